//! How what came from backends is taken out of the cache: at once, however much it is.
//!
//! A purge is entered in a list, and its number is the list's newest. A stored response remembers the newest purge that it
//! was compared with; before it is used, it is compared with those that came later. So a purge costs the same whatever the
//! cache holds, and holds from the next request on. A sweep takes out what nobody asks for.

use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::sync::{Mutex, PoisonError, RwLock};

use afpa_cache::Cache;

use super::details::Details;
use super::key;
use crate::kept::Kept;

/// What a purge is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// Everything.
    All,
    /// What lies under this key, in all its variants.
    Key(Box<[u8]>),
    /// What has this host, and a path that starts so. No host: any.
    Prefix {
        /// The host, in lower case.
        host: Option<Box<[u8]>>,
        /// How the path starts.
        path: Box<[u8]>,
    },
    /// What the origin gave this surrogate key.
    Surrogate(Box<[u8]>),
    /// What has a header field with this value.
    Field {
        /// Its name.
        name: Box<[u8]>,
        /// Its value.
        value: Box<[u8]>,
    },
}

/// One purge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Purge {
    /// What it is about.
    pub target: Target,
    /// It only makes out of date: what it is about may be validated, and answers when the backend fails.
    pub is_soft: bool,
}

/// The most purges that are not swept up yet. Beyond it, everything is purged instead.
const MOST: usize = 4096;

/// The purges that stored responses are compared with.
#[derive(Default)]
pub struct Purges {
    /// How many there were.
    count: AtomicU64,
    /// Those that not everything was compared with; the last one's number is `count`.
    recent: RwLock<Vec<Purge>>,
    /// Held while a sweep is under way.
    sweeping: Mutex<()>,
}

impl Purges {
    /// How many there were.
    #[inline]
    pub fn count(&self) -> u64 {
        self.count.load(Acquire)
    }

    /// Enters a purge: it holds from now on.
    pub fn enter(&self, purge: Purge) {
        let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
        if recent.len() >= MOST {
            recent.clear();
            recent.push(Purge { target: Target::All, is_soft: false });
        } else {
            recent.push(purge);
        }
        self.count.fetch_add(1, Release);
    }

    /// Whether a purge was about a response, which is not used then. Costs one comparison if there was none since the
    /// response was last compared.
    #[inline]
    pub(crate) fn is_hit(&self, key: &[u8], details: &Details) -> bool {
        if details.judged.load(Relaxed) != self.count() {
            self.judge(key, details);
        }
        details.is_purged.load(Relaxed)
    }

    #[cold]
    fn judge(&self, key: &[u8], details: &Details) {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        let count = self.count();
        let missed = count.saturating_sub(details.judged.load(Relaxed));
        let missed = usize::try_from(missed).unwrap_or(usize::MAX);
        // A sweep compared everything that was in the cache with those that are forgotten. This was still under way.
        if missed > recent.len() {
            details.is_purged.store(true, Relaxed);
        }
        let first = recent.len().saturating_sub(missed);
        for purge in recent[first..].iter().filter(|purge| purge.target.is_about(key, details)) {
            let mark = if purge.is_soft { &details.is_invalid } else { &details.is_purged };
            mark.store(true, Relaxed);
        }
        details.judged.store(count, Relaxed);
    }

    /// Whether a purge after the first `since` ones may be about a response that is to lie under `key`, and has not
    /// come yet.
    pub(crate) fn may_be_about(&self, key: &[u8], since: u64) -> bool {
        let missed = self.count().saturating_sub(since);
        if missed == 0 {
            return false;
        }
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        let missed = usize::try_from(missed).unwrap_or(usize::MAX);
        missed > recent.len() || recent[recent.len() - missed..].iter().any(|purge| purge.target.may_be_about(key))
    }

    /// Compares everything with the purges, and takes out what they were about. How much that was. Blocks.
    pub fn sweep(&self, cache: &Cache<Kept>) -> usize {
        let _one = self.sweeping.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.recent.read().unwrap_or_else(PoisonError::into_inner).len();
        let (mut purged, mut marked) = (Vec::new(), 0);
        cache.for_each(|object| {
            if let Kept::Remote(details) = &**object.details() {
                let was_invalid = details.is_invalid.load(Relaxed);
                if self.is_hit(object.key(), details) {
                    purged.push(object.key().to_vec());
                } else if !was_invalid && details.is_invalid.load(Relaxed) {
                    marked += 1;
                }
            }
        });
        let taken = purged.iter().filter(|key| cache.purge(key)).count();
        let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
        let swept = before.min(recent.len());
        recent.drain(..swept);
        taken + marked
    }
}

impl Target {
    /// As far as a key tells.
    fn may_be_about(&self, own_key: &[u8]) -> bool {
        match self {
            Target::All | Target::Surrogate(_) | Target::Field { .. } => true,
            Target::Key(wanted) => key::is_of(own_key, wanted),
            Target::Prefix { host, path } => {
                let parts = Parts::of(own_key);
                host.as_ref().is_none_or(|host| parts.host == Some(host)) && parts.path.starts_with(path)
            }
        }
    }

    fn is_about(&self, own_key: &[u8], details: &Details) -> bool {
        match self {
            Target::All => true,
            Target::Key(wanted) => key::is_of(own_key, wanted),
            Target::Prefix { host, path } => {
                let parts = Parts::of(own_key);
                host.as_ref().is_none_or(|host| parts.host == Some(host)) && parts.path.starts_with(path)
            }
            Target::Surrogate(wanted) => details.stored.surrogate_keys.iter().any(|own| own == wanted),
            Target::Field { name, value } => {
                let is_it = |(own, held): &(&[u8], &[u8])| own.eq_ignore_ascii_case(name) && *held == &**value;
                details.lines().iter().any(is_it)
            }
        }
    }
}

/// Host and path of a key.
struct Parts<'a> {
    host: Option<&'a [u8]>,
    path: &'a [u8],
}

impl<'a> Parts<'a> {
    /// As the routes' crate writes them: a letter, a length in four octets, and as many octets.
    fn of(own_key: &'a [u8]) -> Parts<'a> {
        let mut parts = Parts { host: None, path: &[] };
        let mut rest = key::parts(own_key);
        while let Some((&[letter, a, b, c, d], after)) = rest.split_first_chunk() {
            let Some((part, after)) = after.split_at_checked(u32::from_le_bytes([a, b, c, d]) as usize) else { break };
            match letter {
                b'h' => parts.host = Some(part),
                b'p' => parts.path = part,
                _ => break,
            }
            rest = after;
        }
        parts
    }
}
