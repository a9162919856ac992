//! Who a request is from: X-Forwarded-For and its kin, and Forwarded (RFC 7239).

use std::io::Write;
use std::net::IpAddr;

use crate::syntax::octet::{is_control, is_token};
use crate::syntax::response::field;
use crate::syntax::target::Scheme;

/// The client's end of a request that is passed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientEnd<'a> {
    /// The address that the connection is from.
    pub peer: IpAddr,
    /// The client's, if the peer is a trusted proxy that told it; else the peer's.
    pub client: IpAddr,
    /// Whether the peer is a trusted proxy, whose word counts.
    pub is_trusted: bool,
    /// How the request came to us.
    pub scheme: Scheme,
    /// The host with its port that the client asked for.
    pub host: &'a [u8],
}

/// Which fields tell a backend about the client. From a trusted peer, a list that is there is extended in any
/// case: it would else end with somebody who is not the client's neighbour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Provenance {
    /// X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host.
    pub x_forwarded: bool,
    /// Forwarded (RFC 7239).
    pub forwarded: bool,
    /// X-Real-IP: the client's address alone.
    pub x_real_ip: bool,
}

impl Default for Provenance {
    fn default() -> Provenance {
        Provenance { x_forwarded: true, forwarded: false, x_real_ip: false }
    }
}

const X_FORWARDED_FOR: &str = "X-Forwarded-For";
const FORWARDED: &str = "Forwarded";

impl Provenance {
    /// Whether the field `name`, of a trusted peer, is left out because it is written anew.
    pub(super) fn rewrites(self, name: &[u8]) -> bool {
        [X_FORWARDED_FOR, FORWARDED].iter().any(|list| name.eq_ignore_ascii_case(list.as_bytes()))
            || self.x_real_ip && name.eq_ignore_ascii_case(b"x-real-ip")
    }

    /// Appends those of the fields that `is_ours` to write. `fields` are what was received.
    pub(super) fn write<'a>(
        self,
        out: &mut Vec<u8>,
        end: &ClientEnd,
        fields: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
        is_ours: impl Fn(&str) -> bool,
    ) {
        let is_there =
            |name: &str| end.is_trusted && fields.clone().any(|(other, _)| other.eq_ignore_ascii_case(name.as_bytes()));
        // What a trusted peer says about the client's own connection is truer than what we see of it.
        let is_missing = |name: &str| is_ours(name) && !is_there(name);
        let peer = end.peer.to_canonical();
        if (self.x_forwarded || is_there(X_FORWARDED_FOR)) && is_ours(X_FORWARDED_FOR) {
            list(out, X_FORWARDED_FOR, end, fields.clone(), |out| _ = write!(out, "{peer}"));
        }
        if self.x_forwarded && is_missing("X-Forwarded-Proto") {
            field(out, "X-Forwarded-Proto", end.scheme.name());
        }
        if self.x_forwarded && is_missing("X-Forwarded-Host") && !end.host.is_empty() {
            field(out, "X-Forwarded-Host", end.host);
        }
        if (self.forwarded || is_there(FORWARDED)) && is_ours(FORWARDED) {
            list(out, FORWARDED, end, fields.clone(), |out| element(out, peer, end));
        }
        if self.x_real_ip && is_ours("X-Real-IP") {
            _ = write!(out, "X-Real-IP: {}\r\n", end.client.to_canonical());
        }
    }
}

/// Appends the list field `name`: what a trusted peer has in it, in one line, and one element more.
fn list<'a>(
    out: &mut Vec<u8>,
    name: &str,
    end: &ClientEnd,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    element: impl FnOnce(&mut Vec<u8>),
) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    let received = fields
        .filter(|(other, value)| end.is_trusted && other.eq_ignore_ascii_case(name.as_bytes()) && !value.is_empty());
    for (_, value) in received {
        out.extend(value.iter().map(|&octet| if is_control(octet) { b' ' } else { octet }));
        out.extend_from_slice(b", ");
    }
    element(out);
    out.extend_from_slice(b"\r\n");
}

/// Appends one element of Forwarded (RFC 7239 §4, §6): an IPv6 address is in brackets, and so in quotes.
fn element(out: &mut Vec<u8>, peer: IpAddr, end: &ClientEnd) {
    _ = match peer {
        IpAddr::V4(address) => write!(out, "for={address}"),
        IpAddr::V6(address) => write!(out, "for=\"[{address}]\""),
    };
    if !end.host.is_empty() {
        out.extend_from_slice(b";host=");
        token_or_quoted(out, end.host);
    }
    out.extend_from_slice(b";proto=");
    out.extend_from_slice(end.scheme.name().as_bytes());
}

/// Appends `value` as it is, if it is a token, and else as a quoted string (RFC 9110 §5.6.4).
fn token_or_quoted(out: &mut Vec<u8>, value: &[u8]) {
    if value.iter().copied().all(is_token) {
        return out.extend_from_slice(value);
    }
    out.push(b'"');
    for &octet in value {
        match octet {
            b'"' | b'\\' => out.extend([b'\\', octet]),
            _ if is_control(octet) => out.push(b' '),
            _ => out.push(octet),
        }
    }
    out.push(b'"');
}
