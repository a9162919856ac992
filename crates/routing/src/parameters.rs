//! Names and values in a query, and in a Cookie field.

use crate::percent::decode_form;

/// The parameters of a query, as sent, each with its text, which is what stands between two ampersands.
pub(crate) fn parameters(query: &[u8]) -> impl Iterator<Item = Parameter<'_>> {
    query.split(|&octet| octet == b'&').filter(|text| !text.is_empty()).map(|text| {
        let (name, value) = cut(text, b'=').unwrap_or((text, b""));
        Parameter { text, name, value }
    })
}

/// One parameter of a query, as sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parameter<'a> {
    pub(crate) text: &'a [u8],
    name: &'a [u8],
    value: &'a [u8],
}

impl<'a> Parameter<'a> {
    /// Whether this is its name once decoded: `%61` is `a`, since a backend takes it for that, too.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        decode_form(self.name).eq(name.bytes())
    }

    /// Its value, decoded into `scratch`.
    pub(crate) fn value<'s>(&self, scratch: &'s mut Vec<u8>) -> &'s [u8] {
        scratch.clear();
        scratch.extend(decode_form(self.value));
        scratch
    }
}

/// Names and values of a Cookie field's line (RFC 6265 §4.2.1), without quotation marks around a value.
pub(crate) fn cookies(line: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    line.split(|&octet| octet == b';').filter_map(|pair| {
        let (name, value) = cut(pair, b'=')?;
        let value = value.trim_ascii();
        let unquoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
        Some((name.trim_ascii(), unquoted.unwrap_or(value))).filter(|(name, _)| !name.is_empty())
    })
}

fn cut(octets: &[u8], mark: u8) -> Option<(&[u8], &[u8])> {
    let at = octets.iter().position(|&octet| octet == mark)?;
    Some((&octets[..at], &octets[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_named_by_what_they_mean() {
        let mut scratch = Vec::new();
        let found: Vec<_> = parameters(b"a=1&&%61=%32&b&c=x+y%zz&=")
            .map(|parameter| (parameter.is_named("a"), parameter.value(&mut scratch).to_vec()))
            .collect();
        let expected = [(true, &b"1"[..]), (true, b"2"), (false, b""), (false, b"x y%zz"), (false, b"")];
        assert_eq!(found, expected.map(|(named, value)| (named, value.to_vec())));
    }
}
