//! The cache's keys for files.

use afpa_cache::Cache;

use super::coding::Codings;
use super::details::Details;

/// What tells one cached response from another: which codings the client accepts, and the path.
///
/// On the wire of the cache it is one octet of mask and then the path. The mask comes first, so that
/// the engine writes it in front of a path that it has already normalised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestKey<'a> {
    /// The codings that the client accepts.
    pub accepts: Codings,
    /// The path, percent-decoded and normalised, from its leading slash on, without the query.
    pub path: &'a [u8],
}

impl<'a> RequestKey<'a> {
    /// Replaces `into` by the key's octets.
    pub fn encode(&self, into: &mut Vec<u8>) {
        into.clear();
        into.push(self.accepts.bits());
        into.extend_from_slice(self.path);
    }

    /// The key that was encoded as `octets`; `None` for what is not one of ours.
    pub fn decode(octets: &'a [u8]) -> Option<RequestKey<'a>> {
        let (&mask, path) = octets.split_first()?;
        Some(RequestKey { accepts: Codings::from_bits(mask)?, path })
    }
}

/// Takes every response for `path` out of the cache, whatever codings it was made for. Returns how
/// many there were.
pub fn purge_url(cache: &Cache<Details>, path: &[u8]) -> usize {
    let mut key = Vec::with_capacity(1 + path.len());
    Codings::all()
        .filter(|&accepts| {
            RequestKey { accepts, path }.encode(&mut key);
            cache.purge(&key)
        })
        .count()
}

/// Takes every response whose path starts with `prefix` out of the cache. Returns how many there
/// were. Looks at every key.
pub fn purge_under(cache: &Cache<Details>, prefix: &[u8]) -> usize {
    cache.purge_if(|object| RequestKey::decode(object.key()).is_some_and(|key| key.path.starts_with(prefix)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_key_comes_back_and_no_two_share_one(bits in 0u8..8, path in proptest::collection::vec(any::<u8>(), 0..64)) {
            let key = RequestKey { accepts: Codings::from_bits(bits).unwrap(), path: &path };
            let mut octets = b"left over".to_vec();
            key.encode(&mut octets);
            prop_assert_eq!(RequestKey::decode(&octets), Some(key));
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert_eq!(RequestKey::decode(b""), None);
        assert_eq!(RequestKey::decode(b"\x08/"), None);
    }
}
