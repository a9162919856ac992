//! Trailer fields (RFC 9110 §6.5).

/// Fields whose meaning is the head's: framing, routing, control of the request or response, authentication,
/// and what says how the content is to be processed (RFC 9110 §6.5.1).
const FORBIDDEN: &[&str] = &[
    "accept-ranges",
    "age",
    "authorization",
    "cache-control",
    "cdn-cache-control",
    "connection",
    "content-disposition",
    "content-encoding",
    "content-length",
    "content-location",
    "content-range",
    "content-security-policy",
    "content-type",
    "cookie",
    "date",
    "etag",
    "expect",
    "expires",
    "forwarded",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "last-modified",
    "location",
    "max-forwards",
    "pragma",
    "range",
    "retry-after",
    "set-cookie",
    "strict-transport-security",
    "surrogate-control",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "via",
    "warning",
    "www-authenticate",
];

/// How names start of which none belongs in a trailer section.
const FORBIDDEN_STARTS: &[&str] = &["access-control-", "proxy-", "x-forwarded-", "x-real-"];

/// Whether the field `name` may be passed on in a trailer section.
pub fn is_allowed(name: &[u8]) -> bool {
    let starts = |start: &&str| name.get(..start.len()).is_some_and(|name| name.eq_ignore_ascii_case(start.as_bytes()));
    !FORBIDDEN.iter().any(|field| name.eq_ignore_ascii_case(field.as_bytes())) && !FORBIDDEN_STARTS.iter().any(starts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_head_must_say_is_no_trailer() {
        for name in
            ["Content-Length", "TRANSFER-ENCODING", "Host", "Authorization", "Proxy-Anything", "X-Forwarded-For"]
        {
            assert!(!is_allowed(name.as_bytes()), "{name}");
        }
        for name in ["Digest", "grpc-status", "Server-Timing", "x-checksum", "proxy", "Content-MD5"] {
            assert!(is_allowed(name.as_bytes()), "{name}");
        }
    }
}
