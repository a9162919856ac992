//! The way into the platform's cache.

use std::fmt;
use std::sync::Arc;

use afpa_cache::{Cache, Object, Refused};
use afpa_engine::Time;

use super::{Details, Freshness, Kind, Prepared};

/// Why an image was not kept. Those who wait for it get it all the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotKept {
    /// It has no life of its own: a TTL of zero, a negative answer without a SOA record, a truncated one.
    Lifeless,
    /// There was a purge since the question was asked: the answer may be what it was about.
    Purged,
    /// The cache has no room for it.
    Refused(Refused),
}

impl Prepared {
    /// Keeps the image under `key`. `purges` is what [`Cache::purges`] gave before the question was asked. May wait a
    /// moment: for workers, not for engines.
    ///
    /// A failure does not replace an answer that may still be served: then that is the object, and its next refresh
    /// comes later.
    ///
    /// # Errors
    /// It was not kept.
    pub fn insert(
        &self,
        cache: &Cache<Details>,
        key: &[u8],
        purges: u64,
        now: Time,
    ) -> Result<Arc<Object<Details>>, NotKept> {
        if self.details.lifetime == 0 {
            return Err(NotKept::Lifeless);
        }
        let mut details = self.details;
        if details.kind == Kind::Failure
            && let Some(older) = cache.lookup(key)
        {
            let (body, known) = (older.body().clone(), older.details());
            if known.kind == Kind::Failure {
                details = details.after_failure(known);
            } else if known.freshness(now) != Freshness::Expired {
                let details = Arc::new(known.left_alone(now));
                return cache.insert_unless_purged(purges, key, body, details).map_err(|_| NotKept::Purged);
            }
        }
        // As a head, so that it lies in one piece whatever its length.
        let body = cache.fill(&self.octets, 0).map_err(NotKept::Refused)?.finish();
        cache.insert_unless_purged(purges, key, body, Arc::new(details)).map_err(|_| NotKept::Purged)
    }
}

impl fmt::Display for NotKept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotKept::Lifeless => f.write_str("the answer may not be kept"),
            NotKept::Purged => f.write_str("there was a purge meanwhile"),
            NotKept::Refused(refused) => write!(f, "the cache refused it: {refused}"),
        }
    }
}

impl std::error::Error for NotKept {}
