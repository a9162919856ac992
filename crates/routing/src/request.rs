//! What a route is chosen by.

use crate::parameters::cookies;

/// A request, as far as routes look at it.
#[derive(Clone, Copy)]
pub struct RequestView<'a> {
    /// The method, in the case in which it came.
    pub method: &'a [u8],
    /// The host that is asked for, in lower case, without a port; an IPv6 address in its brackets.
    pub host: &'a [u8],
    /// The path, percent-decoded and without dot segments; `*` for `OPTIONS *`, empty for CONNECT.
    pub path: &'a [u8],
    /// What follows the question mark, as sent.
    pub query: Option<&'a [u8]>,
    /// The header fields.
    pub fields: &'a dyn Fields,
}

/// The header fields of a request.
pub trait Fields {
    /// Shows the value of each line of field `name`, which is in lower case, in their order, without blanks around
    /// it, until `visit` says that it has seen enough.
    fn each_value<'a>(&'a self, name: &str, visit: &mut dyn FnMut(&'a [u8]) -> bool);
}

/// Names, in any case, and values.
impl<N: AsRef<[u8]>, V: AsRef<[u8]>> Fields for [(N, V)] {
    fn each_value<'a>(&'a self, name: &str, visit: &mut dyn FnMut(&'a [u8]) -> bool) {
        let named = self.iter().filter(|(own, _)| own.as_ref().eq_ignore_ascii_case(name.as_bytes()));
        _ = named.map(|(_, value)| value.as_ref()).any(visit);
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> Fields for Vec<(N, V)> {
    fn each_value<'a>(&'a self, name: &str, visit: &mut dyn FnMut(&'a [u8]) -> bool) {
        self.as_slice().each_value(name, visit);
    }
}

/// The value of the first cookie of this name (RFC 6265 §5.4: the first is the most specific).
pub(crate) fn cookie<'a>(fields: &'a dyn Fields, name: &str) -> Option<&'a [u8]> {
    let mut found = None;
    fields.each_value("cookie", &mut |line| {
        found = cookies(line).find(|(own, _)| *own == name.as_bytes()).map(|(_, value)| value);
        found.is_some()
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cookie_of_a_name_is_found() {
        let fields = vec![("Cookie", "a=1; b = \"2\";c"), ("x", "a=9"), ("cookie", "b=3; d=4=5; A=6")];
        for (name, value) in [
            ("a", Some("1")),
            ("b", Some("2")),
            ("c", None),
            ("d", Some("4=5")),
            ("A", Some("6")),
            ("e", None),
            ("", None),
        ] {
            assert_eq!(cookie(&fields, name), value.map(str::as_bytes), "{name}");
        }
    }

    #[test]
    fn a_visitor_that_has_seen_enough_is_left_alone() {
        let fields = [("a", "1"), ("A", "2"), ("b", "3"), ("a", "4")];
        let mut seen = Vec::new();
        fields.as_slice().each_value("a", &mut |value| {
            seen.push(value);
            seen.len() == 2
        });
        assert_eq!(seen, [b"1", b"2"]);
    }
}
