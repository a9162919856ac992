//! The field Cache-Status (RFC 9211): what the cache did with a request.

use crate::freshness::Why;
use crate::list::is_token;
use crate::seconds::append_decimal;

/// A key or detail is cut off after this many octets.
const LONGEST_TEXT: usize = 256;
/// The greatest integer of a structured field (RFC 9651 §3.3.1).
const GREATEST: u64 = 999_999_999_999_999;

/// What a cache says about how it handled a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheStatus<'a> {
    /// The cache's name.
    pub name: &'a str,
    /// Whether it answered itself.
    pub handled: Handled,
    /// The status of the origin's response, where it is not that of the one sent.
    pub forward_status: Option<u16>,
    /// The response was stored.
    pub stored: bool,
    /// The request waited for the answer to another one.
    pub collapsed: bool,
    /// For how many seconds the response is still fresh; negative if it is stale.
    pub ttl: Option<i64>,
    /// The key that it is stored with.
    pub key: Option<&'a [u8]>,
    /// A word of the cache's own, such as [`crate::NotStored::word`].
    pub detail: Option<&'a str>,
}

/// Whether the cache answered itself, or why it asked the origin (RFC 9211 §2.1, §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled {
    /// It answered itself, without the origin.
    Hit,
    /// The cache is not used for this request.
    Bypass,
    /// The method's responses are not in the cache.
    Method,
    /// There is no response to this URI.
    UriMiss,
    /// There are responses to this URI, but none for this request's fields.
    VaryMiss,
    /// There is no response, for one of the two reasons before.
    Miss,
    /// There is one, but the request demands that the origin be asked.
    Request,
    /// There is one, but it is stale, or has to be validated.
    Stale,
    /// There are parts of it, but not those asked for.
    Partial,
}

impl<'a> CacheStatus<'a> {
    /// Nothing but that.
    pub fn new(name: &'a str, handled: Handled) -> Self {
        Self {
            name,
            handled,
            forward_status: None,
            stored: false,
            collapsed: false,
            ttl: None,
            key: None,
            detail: None,
        }
    }

    /// Appends this as one more member to the list in `value`, which holds what caches nearer to the origin have said.
    pub fn append(&self, value: &mut Vec<u8>) {
        if !value.is_empty() {
            value.extend_from_slice(b", ");
        }
        append_text(self.name.as_bytes(), value);
        match self.handled.reason() {
            None => value.extend_from_slice(b"; hit"),
            Some(reason) => {
                value.extend_from_slice(b"; fwd=");
                value.extend_from_slice(reason.as_bytes());
                self.append_forwarded(value);
            }
        }
        if let Some(ttl) = self.ttl {
            value.extend_from_slice(if ttl < 0 { b"; ttl=-" } else { b"; ttl=" });
            append_decimal(ttl.unsigned_abs().min(GREATEST), value);
        }
        if let Some(key) = self.key {
            value.extend_from_slice(b"; key=");
            append_string(key, value);
        }
        if let Some(detail) = self.detail {
            value.extend_from_slice(b"; detail=");
            append_text(detail.as_bytes(), value);
        }
    }

    /// What has a meaning only for a request that went on.
    fn append_forwarded(&self, value: &mut Vec<u8>) {
        if let Some(status) = self.forward_status {
            value.extend_from_slice(b"; fwd-status=");
            append_decimal(status.into(), value);
        }
        if self.stored {
            value.extend_from_slice(b"; stored");
        }
        if self.collapsed {
            value.extend_from_slice(b"; collapsed");
        }
    }
}

impl From<Why> for Handled {
    fn from(why: Why) -> Self {
        match why {
            Why::Stale | Why::NoCache => Self::Stale,
            Why::Request => Self::Request,
        }
    }
}

impl Handled {
    /// The word for why the origin was asked.
    fn reason(self) -> Option<&'static str> {
        Some(match self {
            Self::Hit => return None,
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Miss => "miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        })
    }
}

/// As a token if it is one of RFC 9651 §3.3.4, otherwise as a string.
fn append_text(text: &[u8], value: &mut Vec<u8>) {
    if text.first().is_some_and(u8::is_ascii_alphabetic) && is_token(text) && text.len() <= LONGEST_TEXT {
        value.extend_from_slice(text);
    } else {
        append_string(text, value);
    }
}

/// RFC 9651 §3.3.3; an octet that a string cannot have becomes a question mark.
fn append_string(text: &[u8], value: &mut Vec<u8>) {
    value.push(b'"');
    for &octet in text.iter().take(LONGEST_TEXT) {
        match octet {
            b'"' | b'\\' => value.extend_from_slice(&[b'\\', octet]),
            b' '..=b'~' => value.push(octet),
            _ => value.push(b'?'),
        }
    }
    value.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(status: CacheStatus<'_>, before: &str) -> String {
        let mut value = before.as_bytes().to_vec();
        status.append(&mut value);
        String::from_utf8(value).unwrap()
    }

    #[test]
    fn what_is_written() {
        let hit = CacheStatus { ttl: Some(-3), stored: true, ..CacheStatus::new("afpa", Handled::Hit) };
        assert_eq!(text(hit, ""), "afpa; hit; ttl=-3");
        assert_eq!(text(hit, "Origin; hit"), "Origin; hit, afpa; hit; ttl=-3");
        let miss = CacheStatus {
            forward_status: Some(304),
            stored: true,
            collapsed: true,
            ttl: Some(i64::MAX),
            key: Some(b"https://a/\"\\\xff\n"),
            detail: Some("two words"),
            ..CacheStatus::new("the cache", Handled::UriMiss)
        };
        let expected = r#""the cache"; fwd=uri-miss; fwd-status=304; stored; collapsed; ttl=999999999999999; key="https://a/\"\\??"; detail="two words""#;
        assert_eq!(text(miss, ""), expected);
        let bypass = CacheStatus { detail: Some("no-store"), ..CacheStatus::new("afpa", Handled::Bypass) };
        assert_eq!(text(bypass, ""), "afpa; fwd=bypass; detail=no-store");
        let long = [b'k'; 1000];
        let long = CacheStatus { key: Some(&long), ..CacheStatus::new("afpa", Handled::Hit) };
        assert!(text(long, "").len() < 300);
    }
}
