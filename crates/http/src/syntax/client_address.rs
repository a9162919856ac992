//! Who a client is, when proxies that are trusted stand between: X-Forwarded-For and Forwarded (RFC 7239), read.
//!
//! Each proxy appends whom it got the request from, so the lists are true from the right, as far as those who
//! wrote are trusted; what is left of that, the client may have made up. The client is the right-most address
//! that is not a trusted proxy's.

use std::net::{IpAddr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

use super::field_section::{FieldSection, tokens};
use super::octet::{is_token, trimmed};

/// The field that the trusted proxies write. One alone is believed: they replace or extend one, and would pass on
/// what a client puts into the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AddressField {
    /// X-Forwarded-For.
    XForwardedFor,
    /// Forwarded (RFC 7239).
    Forwarded,
}

/// The client's address. It is the peer's, unless the peer is trusted and tells another; `is_trusted` says of
/// which addresses the word counts. IPv4 addresses in IPv6 ones are taken out of them, before they are asked
/// about too.
///
/// If all addresses are trusted, it is the first. What is no address (`unknown`, a name, something malformed)
/// ends the search, and the client is whom the proxy to its right speaks of, or that proxy.
pub fn client_address(
    peer: IpAddr,
    fields: FieldSection<'_>,
    field: AddressField,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> IpAddr {
    let peer = peer.to_canonical();
    if !is_trusted(peer) {
        return peer;
    }
    let mut search = Search { is_trusted, found: None };
    match field {
        AddressField::XForwardedFor => {
            for element in fields.values("x-forwarded-for").flat_map(tokens) {
                search.element(address(element));
            }
        }
        AddressField::Forwarded => {
            for value in fields.values("forwarded") {
                forwarded(value, |node| search.element(node.and_then(address)));
            }
        }
    }
    search.found.unwrap_or(peer)
}

/// Goes through a list from its left, so that the lines of a field need not be put together.
struct Search<F> {
    is_trusted: F,
    /// What it would be if the list ended here.
    found: Option<IpAddr>,
}

impl<F: Fn(IpAddr) -> bool> Search<F> {
    fn element(&mut self, address: Option<IpAddr>) {
        let Some(address) = address.map(|address| address.to_canonical()) else {
            self.found = None;
            return;
        };
        // Left of a trusted address counts what its proxy was told.
        if self.found.is_none() || !(self.is_trusted)(address) {
            self.found = Some(address);
        }
    }
}

/// An address with or without a port; one of IPv6 with or without brackets.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    if let Some(inner) = text.strip_prefix('[') {
        let bare = inner.strip_suffix(']').and_then(|inner| inner.parse::<Ipv6Addr>().ok());
        return bare.or_else(|| text.parse::<SocketAddrV6>().ok().map(|end| *end.ip())).map(IpAddr::V6);
    }
    text.parse().ok().or_else(|| text.parse::<SocketAddrV4>().ok().map(|end| IpAddr::V4(*end.ip())))
}

/// Gives the node that each element of Forwarded is for (RFC 7239 §4), or `None` for an element that does not say.
/// From a malformed one on, the rest of the line is one such element: where it ends, nobody knows.
fn forwarded<'a>(value: &'a [u8], mut element: impl FnMut(Option<&'a [u8]>)) {
    let mut rest = trimmed(value);
    while !rest.is_empty() {
        let Some(first) = Element::parse(rest) else { return element(None) };
        if !first.is_empty {
            element(first.node);
        }
        rest = first.behind;
    }
}

/// One element of Forwarded.
struct Element<'a> {
    node: Option<&'a [u8]>,
    is_empty: bool,
    /// What follows its comma.
    behind: &'a [u8],
}

impl<'a> Element<'a> {
    /// The element that `text` starts with, unless it is malformed.
    fn parse(text: &'a [u8]) -> Option<Element<'a>> {
        let mut element = Element { node: None, is_empty: true, behind: text };
        loop {
            match element.behind {
                [] => return Some(element),
                [b',', behind @ ..] => return Some(Element { behind: trimmed(behind), ..element }),
                [b';', behind @ ..] if !element.is_empty => element.behind = trimmed(behind),
                _ => element.pair()?,
            }
        }
    }

    /// Takes one pair, which a comma or a semicolon must follow, or nothing.
    fn pair(&mut self) -> Option<()> {
        let (name, value, behind) = pair(self.behind)?;
        self.behind = trimmed(behind);
        self.is_empty = false;
        // RFC 7239 §4: once in each element.
        let is_repeated = name.eq_ignore_ascii_case(b"for") && self.node.replace(value).is_some();
        (!is_repeated && matches!(self.behind, [] | [b',' | b';', ..])).then_some(())
    }
}

/// A name, its value without quotes, and what follows it.
fn pair(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let token = |text: &[u8]| text.iter().position(|&octet| !is_token(octet)).unwrap_or(text.len());
    let (name, rest) = text.split_at(token(text));
    let rest = rest.strip_prefix(b"=").filter(|_| !name.is_empty())?;
    let Some(quoted) = rest.strip_prefix(b"\"") else {
        // An address with a port, or without its quotes, is no token, and is often sent.
        let end =
            rest.iter().position(|octet| matches!(octet, b',' | b';' | b' ' | b'\t' | b'"')).unwrap_or(rest.len());
        return (end > 0).then(|| (name, &rest[..end], &rest[end..]));
    };
    let mut end = 0;
    while *quoted.get(end)? != b'"' {
        // What is escaped is no part of an address, which then is none.
        end += if quoted[end] == b'\\' { 2 } else { 1 };
    }
    Some((name, &quoted[..end], &quoted[end + 1..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::syntax::fields;

    /// Trusted are 10.0.0.0/8 and fd00::/8.
    fn is_trusted(address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => address.octets()[0] == 10,
            IpAddr::V6(address) => address.octets()[0] == 0xfd,
        }
    }

    fn found(peer: &str, lines: &str, field: AddressField) -> String {
        let head = format!("GET / HTTP/1.1\r\n{lines}\r\n");
        client_address(peer.parse().unwrap(), fields(head.as_bytes()), field, is_trusted).to_string()
    }

    #[test]
    fn x_forwarded_for() {
        let rows = [
            ("192.0.2.1", "1.1.1.1", "192.0.2.1"),
            ("10.0.0.1", "1.1.1.1", "1.1.1.1"),
            ("::ffff:10.0.0.1", "1.1.1.1", "1.1.1.1"),
            ("fd00::1", " 2001:db8::1 ", "2001:db8::1"),
            // What is left of the right-most untrusted address, the client wrote.
            ("10.0.0.1", "9.9.9.9, 10.0.0.9, 1.1.1.1, 10.0.0.2", "1.1.1.1"),
            ("10.0.0.1", "9.9.9.9, 1.1.1.1,, 10.0.0.2, fd00::5,", "1.1.1.1"),
            ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("10.0.0.1", "::ffff:1.1.1.1, ::ffff:10.0.0.2", "1.1.1.1"),
            ("10.0.0.1", "", "10.0.0.1"),
            ("10.0.0.1", "1.1.1.1:80, [2001:db8::1]:443", "2001:db8::1"),
            ("10.0.0.1", "[2001:db8::1]", "2001:db8::1"),
            ("10.0.0.1", "1.1.1.1:8080", "1.1.1.1"),
            // What is no address ends the search.
            ("10.0.0.1", "1.1.1.1, unknown", "10.0.0.1"),
            ("10.0.0.1", "1.1.1.1, unknown, 10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("10.0.0.1", "1.1.1.1 2.2.2.2", "10.0.0.1"),
            ("10.0.0.1", "01.1.1.1", "10.0.0.1"),
            ("10.0.0.1", "[1.1.1.1]", "10.0.0.1"),
            ("10.0.0.1", "\"1.1.1.1\"", "10.0.0.1"),
        ];
        for (peer, value, expected) in rows {
            let line = format!("X-Forwarded-For: {value}\r\nForwarded: for=8.8.8.8\r\n");
            assert_eq!(found(peer, &line, AddressField::XForwardedFor), expected, "{peer}: {value}");
        }
        let lines = "x-forwarded-for: 9.9.9.9\r\nX-Forwarded-For: 1.1.1.1\r\nA: b\r\nX-Forwarded-For: 10.0.0.2\r\n";
        assert_eq!(found("10.0.0.1", lines, AddressField::XForwardedFor), "1.1.1.1");
    }

    #[test]
    fn forwarded_elements() {
        let rows = [
            ("for=1.1.1.1", "1.1.1.1"),
            ("For=\"[2001:db8::1]\";proto=http", "2001:db8::1"),
            ("proto=http;for=\"[2001:db8::1]:4711\" ; by=_x", "2001:db8::1"),
            ("for=1.1.1.1:80", "1.1.1.1"),
            ("for=9.9.9.9, for=1.1.1.1;host=\"a,for=8.8.8.8\", for=10.0.0.2", "1.1.1.1"),
            ("for=1.1.1.1, , for=10.0.0.2,", "1.1.1.1"),
            ("", "10.0.0.1"),
            ("for=unknown", "10.0.0.1"),
            ("for=_hidden, for=10.0.0.7", "10.0.0.7"),
            ("for=1.1.1.1, proto=http", "10.0.0.1"),
            ("for=1.1.1.1, for=2.2.2.2;for=3.3.3.3", "10.0.0.1"),
            ("for=1.1.1.1, for", "10.0.0.1"),
            ("for=1.1.1.1, =x", "10.0.0.1"),
            ("for=1.1.1.1, for=", "10.0.0.1"),
            ("for=1.1.1.1, for=\"\\1.1.1.1\"", "10.0.0.1"),
            // A quote that a client opens must not hide what a proxy appends behind it, nor make it another's.
            ("for=9.9.9.9;x=\", for=1.1.1.1", "10.0.0.1"),
            ("for=9.9.9.9;x=\", for=\"[2001:db8::1]\"", "10.0.0.1"),
            ("for=9.9.9.9;x=\"\\, for=1.1.1.1", "10.0.0.1"),
            ("for=9.9.9.9;x=\"\\", "10.0.0.1"),
        ];
        for (value, expected) in rows {
            let line = format!("Forwarded: {value}\r\nX-Forwarded-For: 8.8.8.8\r\n");
            assert_eq!(found("10.0.0.1", &line, AddressField::Forwarded), expected, "{value}");
        }
        let lines = "Forwarded: for=9.9.9.9;x=\"\r\nForwarded: for=1.1.1.1\r\n";
        assert_eq!(found("10.0.0.1", lines, AddressField::Forwarded), "1.1.1.1", "a line ends what is open in it");
    }

    proptest! {
        /// Whatever a client writes, a trusted proxy's word about it is found.
        #[test]
        fn a_client_cannot_choose_its_address(lie in "[ -~]{0,30}") {
            let lines = format!("X-Forwarded-For: {lie}, 1.1.1.1, 10.0.0.2\r\n");
            prop_assert_eq!(found("10.0.0.1", &lines, AddressField::XForwardedFor), "1.1.1.1");
            let lines = format!("Forwarded: {lie}, for=1.1.1.1\r\n");
            let address = found("10.0.0.1", &lines, AddressField::Forwarded);
            prop_assert!(address == "1.1.1.1" || address == "10.0.0.1", "{}", address);
            let lines = format!("Forwarded: {lie}\r\nForwarded: for=1.1.1.1\r\n");
            prop_assert_eq!(found("10.0.0.1", &lines, AddressField::Forwarded), "1.1.1.1");
        }
    }
}
