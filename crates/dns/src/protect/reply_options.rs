//! The EDNS options of an answer.

use std::time::Duration;

use super::COOKIE_LEN;
use crate::message::{ExtendedError, OPT_FIXED, Options, option, write_option};

/// The most octets of a server's identifier: a longer one would leave no room for answers, and is not sent.
pub const MAX_NSID: usize = 128;
/// The most octets of an extended error's text: it must not push out what was asked for.
pub const MAX_EXTRA_TEXT: usize = 128;

/// What the server has to say; the client's options decide which of it is said. For an answer to a query without an OPT
/// record there are none (RFC 6891 §6.1.1). Padding is for encrypted transports (RFC 7830 §6), of which there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReplyOptions<'a> {
    /// What [`CookieSecrets::reply`](super::CookieSecrets::reply) says.
    pub cookie: Option<[u8; COOKIE_LEN]>,
    /// The server's identifier; `None` keeps it to itself.
    pub nsid: Option<&'a [u8]>,
    /// How many bits of the client's subnet the answer depends on; `None` where subnets are ignored (RFC 7871 §7.2.1).
    pub subnet_scope: Option<u8>,
    /// How long the connection may be idle. `None` over UDP (RFC 7828 §3.2.1).
    pub idle_timeout: Option<Duration>,
    /// Why the answer is what it is, with a text or an empty one. Of the text [`MAX_EXTRA_TEXT`] octets are sent.
    pub extended_error: Option<(ExtendedError, &'a str)>,
}

impl ReplyOptions<'_> {
    /// Replaces what `into` holds by the options for a query with the options `asked`, well formed. Returns the octets
    /// of the whole OPT record: what a [`Writer`](crate::message::Writer) reserves. The extended error comes last.
    pub fn write(&self, asked: Options<'_>, into: &mut Vec<u8>) -> usize {
        into.clear();
        if let Some(cookie) = &self.cookie {
            write_option(into, option::COOKIE, &[cookie]);
        }
        // RFC 5001 §2.1: only if asked for, whatever the question's option holds.
        if let Some(nsid) = self.nsid.filter(|nsid| nsid.len() <= MAX_NSID)
            && asked.get(option::NSID).is_some()
        {
            write_option(into, option::NSID, &[nsid]);
        }
        if let (Some(scope), Some(subnet)) = (self.subnet_scope, asked.get(option::CLIENT_SUBNET)) {
            put_subnet(into, scope, subnet);
        }
        if let Some(timeout) = self.idle_timeout
            && asked.get(option::TCP_KEEPALIVE).is_some()
        {
            // RFC 7828 §3.1: in units of 100 ms.
            let units = u16::try_from(timeout.as_millis() / 100).unwrap_or(u16::MAX);
            write_option(into, option::TCP_KEEPALIVE, &[&units.to_be_bytes()]);
        }
        if let Some((code, text)) = self.extended_error {
            write_option(into, option::EXTENDED_ERROR, &[&code.0.to_be_bytes(), cut(text, MAX_EXTRA_TEXT).as_bytes()]);
        }
        OPT_FIXED + into.len()
    }
}

/// RFC 7871 §7.2.1: family, source prefix length and address as they came, with the scope.
fn put_subnet(into: &mut Vec<u8>, scope: u8, asked: &[u8]) {
    let &[family_high, family_low, source, _, ref address @ ..] = asked else { return };
    // A client that tells nothing gets an answer that depends on nothing.
    let scope = if source == 0 { 0 } else { scope };
    write_option(into, option::CLIENT_SUBNET, &[&[family_high, family_low, source, scope], address]);
}

/// As much of `text` as fits `most` octets, in whole characters: what is sent is UTF-8 (RFC 8914 §2).
fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    &text[..end]
}
