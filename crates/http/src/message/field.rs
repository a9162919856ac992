//! The fields of a request head.

use super::octets::trim;

/// A field whose value the server reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Field {
    AcceptEncoding,
    Authorization,
    Connection,
    ContentLength,
    Expect,
    Host,
    IfMatch,
    IfModifiedSince,
    IfNoneMatch,
    IfRange,
    IfUnmodifiedSince,
    Range,
    Referer,
    TransferEncoding,
    UserAgent,
}

impl Field {
    /// The field that `name` names, in any case (RFC 9110 §5.1).
    pub(super) fn from_name(name: &[u8]) -> Option<Field> {
        let is = |other: &[u8], field| name.eq_ignore_ascii_case(other).then_some(field);
        match name.len() {
            4 => is(b"host", Field::Host),
            5 => is(b"range", Field::Range),
            6 => is(b"expect", Field::Expect),
            7 => is(b"referer", Field::Referer),
            8 => is(b"if-match", Field::IfMatch).or_else(|| is(b"if-range", Field::IfRange)),
            10 => is(b"user-agent", Field::UserAgent).or_else(|| is(b"connection", Field::Connection)),
            13 => is(b"if-none-match", Field::IfNoneMatch).or_else(|| is(b"authorization", Field::Authorization)),
            14 => is(b"content-length", Field::ContentLength),
            15 => is(b"accept-encoding", Field::AcceptEncoding),
            17 => is(b"if-modified-since", Field::IfModifiedSince)
                .or_else(|| is(b"transfer-encoding", Field::TransferEncoding)),
            19 => is(b"if-unmodified-since", Field::IfUnmodifiedSince),
            _ => None,
        }
    }
}

/// The name and the trimmed value of each field in `lines`, which a parser has accepted.
pub(super) fn fields(lines: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    lines.split(|&octet| octet == b'\n').filter_map(|line| {
        let line = line.strip_suffix(b"\r")?;
        let colon = line.iter().position(|&octet| octet == b':')?;
        Some((&line[..colon], trim(&line[colon + 1..])))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_any_case() {
        for (name, field) in [
            ("Host", Some(Field::Host)),
            ("hOST", Some(Field::Host)),
            ("If-None-Match", Some(Field::IfNoneMatch)),
            ("AUTHORIZATION", Some(Field::Authorization)),
            ("Transfer-Encoding", Some(Field::TransferEncoding)),
            ("If-Modified-Since", Some(Field::IfModifiedSince)),
            ("Transfer_Encoding", None),
            ("X-Test", None),
        ] {
            assert_eq!(Field::from_name(name.as_bytes()), field, "{name}");
        }
    }

    #[test]
    fn lines_fall_into_names_and_values() {
        let lines = b"A: 1\r\nB:\t2 \r\nC:\r\nD: x:y\r\n\r\n";
        let expected: [(&[u8], &[u8]); 4] = [(b"A", b"1"), (b"B", b"2"), (b"C", b""), (b"D", b"x:y")];
        assert_eq!(fields(lines).collect::<Vec<_>>(), expected);
    }
}
