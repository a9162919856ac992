//! Which fields of a response are stored (RFC 9111 §3.1): all, but those of the connection and of proxies.

use super::fresh;
use crate::case::{Case, Exchange, Expected, at, cached, prepare, required};

/// A field, and two values that it may have.
pub(crate) struct Listed {
    pub(crate) name: &'static str,
    pub(crate) first: &'static str,
    pub(crate) second: &'static str,
    /// What becomes of it when a 304 has another value.
    pub(crate) on_update: OnUpdate,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnUpdate {
    /// It must be the new one.
    Required,
    /// It may be the new one.
    Free,
    /// It must be the old one: it is about the body's octets (RFC 9111 §3.2).
    Forbidden,
    /// It is not stored at all.
    NotStored,
}

use OnUpdate::{Forbidden, Free, NotStored, Required};

pub(crate) const LISTED: [Listed; 29] = [
    plain("Test-Header", Required),
    plain("X-Test-Header", Required),
    plain("Content-Foo", Required),
    plain("X-Content-Foo", Required),
    listed("Cache-Control", ["max-age=1", "max-age=3600"], Required),
    plain("Connection", NotStored),
    plain("Content-Encoding", Free),
    listed("Content-Length", ["36", "10"], Forbidden),
    listed("Content-Location", ["/foo", "/bar"], Free),
    listed("Content-MD5", ["rL0Y20zC+Fzt72VPzMSk2A==", "N7UdGUp1E+RbVvZSTy1R8g=="], Free),
    plain("Content-Range", Free),
    listed("Content-Security-Policy", ["default-src 'self'", "default-src 'self' cdn.example.com"], Free),
    listed("Content-Type", ["text/plain", "text/plain;charset=utf-8"], Free),
    listed("Clear-Site-Data", ["cache", "cookies"], Free),
    listed("ETag", ["\"abcdef\"", "\"ghijkl\""], Free),
    listed("Expires", ["Fri, 01 Jan 2038 01:01:01 GMT", "Mon, 11 Jan 2038 11:11:11 GMT"], Free),
    plain("Keep-Alive", NotStored),
    plain("Proxy-Authenticate", NotStored),
    plain("Proxy-Authentication-Info", NotStored),
    plain("Proxy-Authorization", NotStored),
    plain("Proxy-Connection", NotStored),
    plain("Public-Key-Pins", Free),
    listed("Set-Cookie", ["a=b", "a=c"], Free),
    listed("Set-Cookie2", ["a=b", "a=c"], Free),
    plain("TE", NotStored),
    plain("Transfer-Encoding", NotStored),
    plain("Upgrade", NotStored),
    listed("X-Frame-Options", ["deny", "sameorigin"], Free),
    listed("X-XSS-Protection", ["1", "1; mode=block"], Free),
];

const fn listed(name: &'static str, [first, second]: [&'static str; 2], on_update: OnUpdate) -> Listed {
    Listed { name, first, second, on_update }
}

/// A field whose value does not matter.
const fn plain(name: &'static str, on_update: OnUpdate) -> Listed {
    listed(name, ["first-value", "second-value"], on_update)
}

pub(crate) fn cases() -> Vec<Case> {
    LISTED.iter().map(stored).chain([named_by_connection()]).map(|case| case.needs("freshness-max-age")).collect()
}

fn stored(field: &Listed) -> Case {
    let is_stored = field.on_update != NotStored;
    let first = prepare().answers("Date", at(0)).answering(field.name, field.second, is_stored).pausing();
    let first = match field.name {
        "Cache-Control" => first,
        _ => first.answers("Cache-Control", "max-age=3600"),
    };
    let expected = if is_stored { Expected::Is(field.second.into()) } else { Expected::Not(field.second.to_owned()) };
    let exchanges = [first, cached().expects_field(field.name, expected)];
    required(format!("headers-store-{}", field.name), exchanges.map(|exchange| framed(field, exchange)))
}

/// Ten octets of what is sent are the body, if Content-Length says so.
pub(crate) fn framed(field: &Listed, exchange: Exchange) -> Exchange {
    if field.name == "Content-Length" { exchange.expects_any_body() } else { exchange }
}

fn named_by_connection() -> Case {
    let first = fresh().answers_loosely("Connection", "a, b").answers_loosely("a", "1").answers_loosely("b", "2");
    let second = cached().expects("c", "3").expects_field("a", Expected::Missing);
    let exchanges = [first.answers_loosely("c", "3"), second.expects_field("b", Expected::Missing)];
    required("headers-omit-headers-listed-in-Connection", exchanges)
}
