//! Accept-Encoding (RFC 9110 §12.5.3), reduced to what makes a difference here.

use super::language::quality;
use crate::fields::Fields;
use crate::list::trimmed;

/// The codings that are told apart, the most wanted one first.
const CODINGS: [&str; 3] = ["zstd", "br", "gzip"];

/// Appends what an Accept-Encoding field accepts of zstd, br and gzip, and whether it refuses content without a coding:
/// `zstd, br, gzip, identity;q=0` at most. Weights are left out. If there is no such field, nothing is appended, and no
/// field is to be forwarded.
pub fn append_accept_encoding(fields: Fields<'_>, out: &mut Vec<u8>) {
    if !fields.has(b"accept-encoding") {
        return;
    }
    let mut wanted = [None; CODINGS.len()];
    let (mut identity, mut others) = (None, None);
    for member in fields.members(b"accept-encoding") {
        let (coding, parameters) = member.split_at(member.iter().position(|&o| o == b';').unwrap_or(member.len()));
        let (coding, accepts) = (trimmed(coding), quality(parameters) > 0);
        let is = |name: &str| coding.eq_ignore_ascii_case(name.as_bytes());
        if is("*") {
            others = Some(accepts);
        } else if is("identity") {
            identity = Some(accepts);
        } else if let Some(index) = CODINGS.iter().position(|name| is(name) || *name == "gzip" && is("x-gzip")) {
            wanted[index] = Some(accepts);
        }
    }
    let start = out.len();
    for (name, accepts) in CODINGS.iter().zip(wanted) {
        if accepts.or(others).unwrap_or(false) {
            separate(start, out);
            out.extend_from_slice(name.as_bytes());
        }
    }
    let accepts_identity = identity.or(others).unwrap_or(true);
    if !accepts_identity {
        separate(start, out);
        out.extend_from_slice(b"identity;q=0");
    } else if out.len() == start {
        out.extend_from_slice(b"identity");
    }
}

fn separate(start: usize, out: &mut Vec<u8>) {
    if out.len() > start {
        out.extend_from_slice(b", ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted() {
        for (value, expected) in [
            ("", "identity"),
            ("deflate", "identity"),
            ("gzip", "gzip"),
            ("X-GZIP;q=0.1", "gzip"),
            ("gzip, deflate, br, zstd", "zstd, br, gzip"),
            ("gzip;q=0, br", "br"),
            ("gzip;q=0.000", "identity"),
            ("*", "zstd, br, gzip"),
            ("*, br;q=0", "zstd, gzip"),
            ("*;q=0", "identity;q=0"),
            ("gzip, *;q=0", "gzip, identity;q=0"),
            ("*;q=0, identity", "identity"),
            ("br, identity;q=0", "br, identity;q=0"),
        ] {
            let mut out = Vec::new();
            append_accept_encoding(Fields(&[(b"Accept-Encoding", value.as_bytes())]), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{value}");
            let mut again = Vec::new();
            append_accept_encoding(Fields(&[(b"accept-encoding", expected.as_bytes())]), &mut again);
            assert_eq!(String::from_utf8(again).unwrap(), expected);
        }
    }
}
