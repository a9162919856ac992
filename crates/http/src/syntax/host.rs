//! `uri-host [ ":" port ]`: the Host field and the authority of a request target (RFC 9110 §7.2).

use std::net::Ipv6Addr;

use super::octet::{hexadecimal, is_reg_name};

/// A host and port that were found valid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Authority<'a> {
    /// A name, an IPv4 address, or an IPv6 address in brackets; never empty.
    pub host: &'a [u8],
    /// The port, unless it is absent or empty.
    pub port: Option<u16>,
}

/// Takes `octets` apart. `None` if they are not a host with an optional port. An empty host is
/// refused: RFC 9110 §4.2.1 wants it of every recipient of an http URI. So is user information, which
/// is only there to deceive (RFC 9110 §4.2.4).
pub fn parse(octets: &[u8]) -> Option<Authority<'_>> {
    let end = match octets {
        [b'[', rest @ ..] => address_end(rest)? + 1,
        _ => name_end(octets)?,
    };
    let (host, rest) = octets.split_at(end);
    match rest {
        [] => Some(Authority { host, port: None }),
        [b':', digits @ ..] => Some(Authority { host, port: port(digits)? }),
        _ => None,
    }
}

/// Whether `octets` are a host with an optional port.
#[inline]
pub fn is_valid(octets: &[u8]) -> bool {
    parse(octets).is_some()
}

/// Replaces `into` by `host` in lower case: names differ not by case (RFC 3986 §3.2.2).
pub fn lower_case(host: &[u8], into: &mut Vec<u8>) {
    into.clear();
    into.extend(host.iter().map(u8::to_ascii_lowercase));
}

/// Behind the bracket that ends an IPv6 address; `rest` starts behind the one that opens it.
fn address_end(rest: &[u8]) -> Option<usize> {
    let end = rest.iter().position(|&octet| octet == b']')?;
    let address = std::str::from_utf8(&rest[..end]).ok()?;
    address.parse::<Ipv6Addr>().ok()?;
    Some(end + 1)
}

fn name_end(octets: &[u8]) -> Option<usize> {
    let mut end = 0;
    while let Some(&octet) = octets.get(end) {
        match octet {
            b':' => break,
            b'%' => {
                let digits = octets.get(end + 1..end + 3)?;
                digits.iter().all(|&digit| hexadecimal(digit).is_some()).then_some(())?;
                end += 3;
            }
            _ if is_reg_name(octet) => end += 1,
            _ => return None,
        }
    }
    (end > 0).then_some(end)
}

fn port(digits: &[u8]) -> Option<Option<u16>> {
    if digits.is_empty() {
        return Some(None);
    }
    let number = digits.iter().try_fold(0u32, |number, &digit| {
        let digit = digit.is_ascii_digit().then(|| u32::from(digit - b'0'))?;
        Some((number * 10 + digit).min(1 << 16))
    })?;
    u16::try_from(number).ok().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        let rows: &[(&str, &str, Option<u16>)] = &[
            ("example.org", "example.org", None),
            ("example.org:", "example.org", None),
            ("EXAMPLE.org:65535", "EXAMPLE.org", Some(65535)),
            ("127.0.0.1:08080", "127.0.0.1", Some(8080)),
            ("[::1]:80", "[::1]", Some(80)),
            ("[2001:db8::192.0.2.1]", "[2001:db8::192.0.2.1]", None),
            ("a_b~%41!$&'()*+,;=", "a_b~%41!$&'()*+,;=", None),
        ];
        for &(text, host, port) in rows {
            assert_eq!(parse(text.as_bytes()), Some(Authority { host: host.as_bytes(), port }), "{text}");
        }
    }

    #[test]
    fn what_is_no_host() {
        let rows: &[&[u8]] = &[
            b"",
            b":80",
            b"a b",
            b"a:80:80",
            b"a:-1",
            b"a:65536",
            b"a:99999999999999999999",
            b"a/",
            b"a?b",
            b"a#b",
            b"user@host",
            b"user:secret@host",
            b"a%4",
            b"a%zz",
            b"[::1",
            b"[::1]x",
            b"[]",
            b"[1.2.3.4]",
            b"[fe80::1%25eth0]",
            b"::1",
            b"a\xc3\xa9",
            b"a\\b",
            b"<a>",
            b"a, b",
        ];
        for row in rows {
            assert!(!is_valid(row), "{}", row.escape_ascii());
        }
    }

    #[test]
    fn names_are_lowered() {
        let mut lowered = b"left over".to_vec();
        lower_case(b"WWW.Example.ORG", &mut lowered);
        assert_eq!(lowered, b"www.example.org");
    }
}
