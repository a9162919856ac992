//! The cache's keys for files.

use afpa_cache::Cache;

use super::coding::Codings;
use crate::kept::Kept;

/// What tells one cached response from another: which codings the client accepts, and the path.
///
/// As octets it is the mask, the site's number, and then the path, which the engine has already normalised. No
/// other key starts with a mask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestKey<'a> {
    /// The site's number.
    pub site: u16,
    /// The codings that the client accepts.
    pub accepts: Codings,
    /// The path, percent-decoded and normalised, from its leading slash on, without the query.
    pub path: &'a [u8],
}

impl<'a> RequestKey<'a> {
    /// Replaces `into` by the key's octets.
    pub fn encode(&self, into: &mut Vec<u8>) {
        into.clear();
        let [high, low] = self.site.to_be_bytes();
        into.extend_from_slice(&[self.accepts.bits(), high, low]);
        into.extend_from_slice(self.path);
    }

    /// The key that was encoded as `octets`; `None` for what is not one of ours.
    pub fn decode(octets: &'a [u8]) -> Option<RequestKey<'a>> {
        let (&[mask, high, low], path) = octets.split_first_chunk()?;
        Some(RequestKey { site: u16::from_be_bytes([high, low]), accepts: Codings::from_bits(mask)?, path })
    }
}

/// Takes every response of a site for `path` out of the cache, whatever codings it was made for. Returns how
/// many there were.
pub fn purge_url(cache: &Cache<Kept>, site: u16, path: &[u8]) -> usize {
    let mut key = Vec::with_capacity(3 + path.len());
    Codings::all()
        .filter(|&accepts| {
            RequestKey { site, accepts, path }.encode(&mut key);
            cache.purge(&key)
        })
        .count()
}

/// Takes every response of a site whose path starts with `prefix` out of the cache. Returns how many there
/// were. Looks at every key.
pub fn purge_under(cache: &Cache<Kept>, site: u16, prefix: &[u8]) -> usize {
    let is_under = |key: RequestKey<'_>| key.site == site && key.path.starts_with(prefix);
    cache.purge_if(|object| RequestKey::decode(object.key()).is_some_and(is_under))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_key_comes_back_and_no_two_share_one(
            site: u16,
            bits in 0u8..8,
            path in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let key = RequestKey { site, accepts: Codings::from_bits(bits).unwrap(), path: &path };
            let mut octets = b"left over".to_vec();
            key.encode(&mut octets);
            prop_assert_eq!(RequestKey::decode(&octets), Some(key));
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert_eq!(RequestKey::decode(b""), None);
        assert_eq!(RequestKey::decode(b"\x08\0\0/"), None);
    }
}
