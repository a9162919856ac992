//! Fields that are meant for the next hop alone (RFC 9110 §7.6.1).

use crate::syntax::error::RequestError;
use crate::syntax::field_section::tokens;
use crate::syntax::octet::is_token;

/// The most options in the Connection fields of one message that is passed on: what may be named is compared
/// with every field, so their number is bounded. 400 beyond them, or 502 of a backend.
pub const MAX_CONNECTION_OPTIONS: usize = 32;

/// Fields that go no further, whether Connection names them or not. Content-Length is among them because it is
/// always written anew.
const NAMES: &[&str] = &[
    "connection",
    "content-length",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Those of `fields` that go on to others: none that is meant for the next hop, or frames the message.
///
/// # Errors
/// [`RequestError::TooManyConnectionOptions`].
pub fn end_to_end<'f>(
    fields: impl Iterator<Item = (&'f [u8], &'f [u8])> + Clone,
) -> Result<impl Iterator<Item = (&'f [u8], &'f [u8])>, RequestError> {
    let hop_by_hop = HopByHop::of(fields.clone())?;
    Ok(fields.filter(move |(name, _)| !hop_by_hop.has(name)))
}

/// Tells hop-by-hop fields from others.
pub(super) struct HopByHop<'a> {
    options: [&'a [u8]; MAX_CONNECTION_OPTIONS],
    count: usize,
}

impl<'a> HopByHop<'a> {
    /// Of a message with these `fields`.
    ///
    /// # Errors
    /// [`RequestError::TooManyConnectionOptions`].
    pub(super) fn of(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<HopByHop<'a>, RequestError> {
        let mut hop_by_hop = HopByHop { options: [&[]; MAX_CONNECTION_OPTIONS], count: 0 };
        let values = fields.filter(|(name, _)| name.eq_ignore_ascii_case(b"connection")).map(|(_, value)| value);
        for option in values.flat_map(tokens) {
            let place = hop_by_hop.options.get_mut(hop_by_hop.count).ok_or(RequestError::TooManyConnectionOptions)?;
            *place = option;
            hop_by_hop.count += 1;
        }
        Ok(hop_by_hop)
    }

    /// Whether the field `name` stays here.
    pub(super) fn has(&self, name: &[u8]) -> bool {
        is_hop_by_hop(name) || self.options[..self.count].iter().any(|option| same_name(option, name))
    }
}

/// Whether the field `name` is meant for the next hop in any message, or frames it.
pub(super) fn is_hop_by_hop(name: &[u8]) -> bool {
    NAMES.iter().any(|known| same_name(name, known.as_bytes()))
}

/// Whether two names are one to the most forgiving reader: gateways that make variables of fields do not tell
/// `-` from `_` and other marks, nor upper from lower case.
pub(super) fn same_name(name: &[u8], other: &[u8]) -> bool {
    name.len() == other.len() && name.iter().zip(other).all(|(&octet, &other)| folded(octet) == folded(other))
}

/// Whether `name` starts like `start`, to the same reader.
pub(super) fn starts_with(name: &[u8], start: &[u8]) -> bool {
    name.get(..start.len()).is_some_and(|name| same_name(name, start))
}

fn folded(octet: u8) -> u8 {
    if octet.is_ascii_alphanumeric() { octet.to_ascii_lowercase() } else { b'-' }
}

/// Whether `name` can be a field's name.
pub(super) fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().copied().all(is_token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_connection_names_stays() {
        let fields: [(&[u8], &[u8]); 3] =
            [(b"Connection", b"close, X-One"), (b"X-One", b"1"), (b"connection", b",x-two")];
        let hop_by_hop = HopByHop::of(fields.into_iter()).unwrap();
        for name in ["x-one", "X-TWO", "x_two", "Connection", "Transfer-Encoding", "transfer_encoding", "Keep-Alive"] {
            assert!(hop_by_hop.has(name.as_bytes()), "{name}");
        }
        for name in ["x-three", "x-onee", "Host", "Content-Type", "Trailer"] {
            assert!(!hop_by_hop.has(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn options_are_bounded() {
        let of = |count: usize| {
            let value = b"a,".repeat(count);
            HopByHop::of([(&b"Connection"[..], &value[..])].into_iter()).err()
        };
        assert_eq!(of(MAX_CONNECTION_OPTIONS), None);
        assert_eq!(of(MAX_CONNECTION_OPTIONS + 1), Some(RequestError::TooManyConnectionOptions));
    }
}
