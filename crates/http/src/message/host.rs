//! `uri-host [":" port]` (RFC 9110 §7.2, RFC 3986 §3.2.2).

use std::borrow::Cow;
use std::net::Ipv6Addr;

use super::octets::{decimal, hexadecimal};

/// The longest host name: 253 octets of DNS, rounded up for a port.
const LONGEST: usize = 272;

/// Whether `value` is a host with or without a port. An empty value is: RFC 9112 §3.2 has a client send
/// it when its target has no authority. A port without a host, a user's name, or white space is not.
pub fn is_valid(value: &[u8]) -> bool {
    if value.is_empty() {
        return true;
    }
    let Some((host, port)) = split(value) else { return false };
    value.len() <= LONGEST && is_host(host) && port.is_none_or(is_port)
}

/// Whether `value` is a host with a port, as CONNECT needs it (RFC 9112 §3.2.3).
pub fn is_authority_form(value: &[u8]) -> bool {
    is_valid(value) && matches!(split(value), Some((_, Some(port))) if !port.is_empty())
}

/// The host of a valid value, lower-cased, with the port and a dot at the end left off: what to compare
/// with a configured name. Allocates only if there is something to lower.
pub fn name(value: &[u8]) -> Cow<'_, [u8]> {
    let host = split(value).map_or(value, |(host, _)| host);
    let host = host.strip_suffix(b".").unwrap_or(host);
    if host.iter().any(u8::is_ascii_uppercase) { host.to_ascii_lowercase().into() } else { host.into() }
}

/// The host, and what stands behind its colon.
fn split(value: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let host_end = if value.first() == Some(&b'[') {
        1 + value.iter().position(|&octet| octet == b']')?
    } else {
        value.iter().position(|&octet| octet == b':').unwrap_or(value.len())
    };
    match value.split_at(host_end) {
        (host, []) => Some((host, None)),
        (host, [b':', port @ ..]) => Some((host, Some(port))),
        _ => None,
    }
}

fn is_host(host: &[u8]) -> bool {
    match host {
        [] => false,
        [b'[', address @ .., b']'] => is_ip_literal(address),
        _ => is_registered_name(host),
    }
}

/// Zone identifiers and addresses of the future are left out: no client has them in a Host.
fn is_ip_literal(address: &[u8]) -> bool {
    std::str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

fn is_registered_name(mut name: &[u8]) -> bool {
    while let Some((&octet, rest)) = name.split_first() {
        name = match octet {
            b'%' => match rest {
                [high, low, rest @ ..] if hexadecimal(*high).is_some() && hexadecimal(*low).is_some() => rest,
                _ => return false,
            },
            b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' => rest,
            _ if octet.is_ascii_alphanumeric() => rest,
            _ => return false,
        };
    }
    true
}

/// RFC 3986 §3.2.3 allows a port of no digits.
fn is_port(port: &[u8]) -> bool {
    port.is_empty() || port.len() <= 5 && decimal(port).is_some_and(|number| number <= u16::MAX.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for (value, valid) in [
            ("", true),
            ("example.org", true),
            ("EXAMPLE.org.:8080", true),
            ("example.org:", true),
            ("127.0.0.1:80", true),
            ("[::1]", true),
            ("[2001:db8::1]:8443", true),
            ("a%20b", true),
            ("under_score", true),
            (":80", false),
            ("a:b", false),
            ("a:65536", false),
            ("a:000080", false),
            ("a:-1", false),
            ("a:80:80", false),
            ("::1", false),
            ("[::1", false),
            ("[::1]x", false),
            ("[zz]", false),
            ("[]", false),
            ("a b", false),
            ("user@a", false),
            ("a/b", false),
            ("a%2", false),
            ("a%zz", false),
            ("a?b", false),
            ("caf\u{e9}", false),
        ] {
            assert_eq!(is_valid(value.as_bytes()), valid, "{value:?}");
        }
        assert!(!is_valid(&[b'a'; LONGEST + 1]));
    }

    #[test]
    fn connect_needs_a_port() {
        assert!(is_authority_form(b"example.org:443"));
        assert!(is_authority_form(b"[::1]:443"));
        for value in ["example.org", "example.org:", "", ":443", "[::1]"] {
            assert!(!is_authority_form(value.as_bytes()), "{value:?}");
        }
    }

    #[test]
    fn names_are_compared_without_case_port_and_final_dot() {
        for (value, expected) in
            [("Example.ORG:80", "example.org"), ("example.org.", "example.org"), ("[2001:DB8::1]:80", "[2001:db8::1]"), ("", "")]
        {
            assert_eq!(&*name(value.as_bytes()), expected.as_bytes());
        }
        assert!(matches!(name(b"example.org"), Cow::Borrowed(_)));
    }
}
