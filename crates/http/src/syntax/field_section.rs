//! The field lines of a head that was parsed.

use memchr::memchr;
use smallvec::SmallVec;

use super::octet::trimmed;

/// The field lines of a request's or response's head, in order: name, and value without white space
/// around it. It borrows and allocates nothing; each pass looks at the octets anew.
///
/// `octets` are those of a complete head that a parser accepted, as far as
/// [`Progress::Complete`](super::Progress::Complete) counted them. Of others it yields something, and ends.
#[derive(Clone, Debug)]
pub struct FieldSection<'a> {
    rest: &'a [u8],
}

/// The field lines of a head, at hand: those of nearly every one without memory of their own.
pub(crate) type FieldLines<'a> = SmallVec<[(&'a [u8], &'a [u8]); 16]>;

/// The field lines of the head that `octets` are.
pub fn fields(octets: &[u8]) -> FieldSection<'_> {
    let mut rest = octets;
    // RFC 9112 §2.2: empty lines may precede a request.
    while let Some(behind) = rest.strip_prefix(b"\r\n") {
        rest = behind;
    }
    split_line(rest).1.map_or(FieldSection { rest: &[] }, FieldSection::of_lines)
}

impl<'a> FieldSection<'a> {
    /// `lines`, which have no start line before them: a trailer section.
    pub(super) fn of_lines(lines: &'a [u8]) -> FieldSection<'a> {
        FieldSection { rest: lines }
    }

    /// The values of the field `name`, one for each of its lines.
    pub fn values(self, name: &str) -> impl Iterator<Item = &'a [u8]> + Clone {
        let lines = self;
        lines.filter(move |(other, _)| other.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// The first value of the field `name`.
    pub fn first(self, name: &str) -> Option<&'a [u8]> {
        self.values(name).next()
    }
}

impl<'a> Iterator for FieldSection<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let (line, rest) = split_line(self.rest);
        self.rest = rest.unwrap_or_default();
        let Some(colon) = memchr(b':', line) else {
            self.rest = &[];
            return None;
        };
        Some((&line[..colon], trimmed(&line[colon + 1..])))
    }
}

/// The members of a list field's value: trimmed, and without empty ones (RFC 9110 §5.6.1.2). Commas in quoted
/// strings separate too, so it is for lists of tokens only.
pub fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    value.split(|&octet| octet == b',').map(trimmed).filter(|member| !member.is_empty())
}

/// The line that `octets` starts with, and what follows its CRLF.
fn split_line(octets: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr(b'\n', octets) {
        Some(end) => (octets[..end].strip_suffix(b"\r").unwrap_or(&octets[..end]), Some(&octets[end + 1..])),
        None => (octets, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(octets: &[u8]) -> Vec<(String, String)> {
        fields(octets)
            .map(|(name, value)| (name.escape_ascii().to_string(), value.escape_ascii().to_string()))
            .collect()
    }

    #[test]
    fn all_lines_in_order() {
        let head = b"\r\nGET / HTTP/1.1\r\nHost: a:80\r\nEmpty:\r\nx:\t y z \t\r\nEMPTY: no\r\n\r\nGET: / HTTP/1.1\r\n";
        let rows = [("Host", "a:80"), ("Empty", ""), ("x", "y z"), ("EMPTY", "no")];
        assert_eq!(listed(head), rows.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(fields(head).values("empty").collect::<Vec<_>>(), [&b""[..], b"no"]);
        assert_eq!(fields(head).first("X"), Some(&b"y z"[..]));
        assert_eq!(fields(head).first("y"), None);
    }

    #[test]
    fn what_is_no_head_has_no_fields() {
        for octets in [&b""[..], b"\r\n", b"GET / HTTP/1.1", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\n\r\n", b"a\nb"]
        {
            assert_eq!(listed(octets), []);
        }
    }

    #[test]
    fn members_of_a_list() {
        assert_eq!(tokens(b" a,, b\t,c d ,").collect::<Vec<_>>(), [&b"a"[..], b"b", b"c d"]);
        assert_eq!(tokens(b" ,").count(), 0);
    }
}
