//! The fields of a response that are not stored (RFC 9111 §3.1).

use crate::fields::Fields;
use crate::list::{Members, is_token};

/// How many names a response may add to those that are never stored.
pub const MOST_NAMES: usize = 64;

/// Fields between two hops (RFC 9110 §7.6.1), and Age, which is made anew for each response.
const NEVER: [&str; 12] = [
    "age",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// Names of fields that are not stored: those that never are, those that Connection names, and those that `private`
/// or `no-cache` name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Omitted(Box<[Box<[u8]>]>);

impl Omitted {
    /// `None` if there are more than [`MOST_NAMES`].
    pub(crate) fn of(fields: Fields<'_>, named: &[&[u8]]) -> Option<Self> {
        let mut names: Vec<Box<[u8]>> = Vec::new();
        for name in fields.members(b"connection").chain(named.iter().copied()).filter(|name| is_token(name)) {
            if is_never_stored(name) || names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                continue;
            }
            if names.len() == MOST_NAMES {
                return None;
            }
            names.push(name.to_ascii_lowercase().into());
        }
        Some(Self(names.into()))
    }

    /// Whether this line is stored.
    pub fn keeps(&self, name: &[u8], value: &[u8]) -> bool {
        let is_omitted = is_never_stored(name) || self.0.iter().any(|omitted| omitted.eq_ignore_ascii_case(name));
        let is_obsolete = name.eq_ignore_ascii_case(b"warning") && is_passing_warning(value);
        !is_omitted && !is_obsolete
    }
}

fn is_never_stored(name: &[u8]) -> bool {
    NEVER.iter().any(|never| never.as_bytes().eq_ignore_ascii_case(name))
}

/// Warnings about the freshness of a response, 1xx, are dropped with it. The field is obsolete (RFC 9111 §5.5).
fn is_passing_warning(value: &[u8]) -> bool {
    Members::of(value).all(|warning| matches!(warning, [b'1', b'0'..=b'9', b'0'..=b'9', b' ', ..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_between_two_hops_or_named_is_not_kept() {
        let lines: [(&[u8], &[u8]); 2] = [(b"Connection", b"close, A, b"), (b"connection", b"C, no name")];
        let omitted = Omitted::of(Fields(&lines), &[b"Set-Cookie"]).unwrap();
        for name in ["connection", "Keep-Alive", "TE", "a", "B", "c", "close", "set-cookie", "Age", "transfer-encoding"]
        {
            assert!(!omitted.keeps(name.as_bytes(), b""), "{name}");
        }
        for name in ["date", "etag", "x", "no name", "cache-control", "content-length"] {
            assert!(omitted.keeps(name.as_bytes(), b""), "{name}");
        }
        assert!(!omitted.keeps(b"Warning", b"110 - \"stale, or so\", 112 - \"x\""));
        assert!(omitted.keeps(b"Warning", b"110 - \"stale\", 214 - \"transformed\""));
    }

    #[test]
    fn too_many_names() {
        let names: Vec<_> = (0..=MOST_NAMES).map(|n| format!("n{n}")).collect();
        let list = names.join(",");
        assert!(Omitted::of(Fields(&[(b"connection", list.as_bytes())]), &[]).is_none());
        let list = names[1..].join(",");
        assert!(Omitted::of(Fields(&[(b"connection", list.as_bytes())]), &[b"N1"]).is_some());
    }
}
