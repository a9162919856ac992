//! How what came from backends is taken out of the cache: at once, however much it is.
//!
//! A purge is entered in a list, and its number is the list's newest. A stored response remembers the newest purge that it
//! was compared with; before it is used, it is compared with those that came later. So a purge costs the same whatever the
//! cache holds, and holds from the next request on. A sweep takes out what nobody asks for.

use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::sync::{Mutex, PoisonError, RwLock};

use afpa_cache::Cache;

use super::details::{Details, Effect};
use super::key;
use crate::kept::Kept;

/// What a purge is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// Everything.
    All,
    /// What lies under this key, in all its variants.
    Key(Box<[u8]>),
    /// What has this host, path and query, whatever else its key has, in all its variants.
    Url {
        /// The host, in lower case. None: any.
        host: Option<Box<[u8]>>,
        /// The path, as keys have it.
        path: Box<[u8]>,
        /// What keys may have of the query; `None`: nothing.
        queries: Box<[Option<Box<[u8]>>]>,
    },
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
    /// What becomes of that.
    pub effect: Effect,
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
    /// What sweeps found.
    swept: AtomicU64,
}

impl Purges {
    /// How many there were.
    #[inline]
    pub fn count(&self) -> u64 {
        self.count.load(Acquire)
    }

    /// How many sweeps have not compared everything with.
    pub fn unswept(&self) -> usize {
        self.recent.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// How many stored responses sweeps took out or found to be out of date.
    pub fn swept(&self) -> u64 {
        self.swept.load(Relaxed)
    }

    /// Enters a purge: it holds from now on.
    pub fn enter(&self, purge: Purge) {
        let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
        if recent.len() >= MOST {
            recent.clear();
            recent.push(Purge { target: Target::All, effect: Effect::Removes });
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
        details.has(Effect::Removes)
    }

    #[cold]
    fn judge(&self, key: &[u8], details: &Details) {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        let count = self.count();
        let missed = count.saturating_sub(details.judged.load(Relaxed));
        let missed = usize::try_from(missed).unwrap_or(usize::MAX);
        // A sweep compared everything that was in the cache with those that are forgotten. This was still under way.
        if missed > recent.len() {
            details.suffer(Effect::Removes);
        }
        let first = recent.len().saturating_sub(missed);
        for purge in recent[first..].iter().filter(|purge| purge.target.is_about(key, details)) {
            details.suffer(purge.effect);
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
                let was_outdated = details.has(Effect::Outdates);
                if self.is_hit(object.key(), details) {
                    purged.push(object.key().to_vec());
                } else if !was_outdated && details.has(Effect::Outdates) {
                    marked += 1;
                }
            }
        });
        let taken = purged.iter().filter(|key| cache.purge(key)).count();
        let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
        let compared = before.min(recent.len());
        recent.drain(..compared);
        self.swept.fetch_add((taken + marked) as u64, Relaxed);
        taken + marked
    }
}

impl Target {
    /// As far as a key tells.
    fn may_be_about(&self, own_key: &[u8]) -> bool {
        match self {
            Target::All | Target::Surrogate(_) | Target::Field { .. } => true,
            Target::Key(wanted) => key::is_of(own_key, wanted),
            Target::Url { host, path, queries } => {
                let parts = Parts::of(own_key);
                let has_query = queries.iter().any(|query| query.as_deref() == parts.query);
                parts.is_of(host.as_deref()) && parts.path == &**path && has_query
            }
            Target::Prefix { host, path } => {
                let parts = Parts::of(own_key);
                parts.is_of(host.as_deref()) && parts.path.starts_with(path)
            }
        }
    }

    fn is_about(&self, own_key: &[u8], details: &Details) -> bool {
        match self {
            Target::Surrogate(wanted) => details.stored.surrogate_keys.iter().any(|own| own == wanted),
            Target::Field { name, value } => {
                let is_it = |(own, held): &(&[u8], &[u8])| own.eq_ignore_ascii_case(name) && *held == &**value;
                details.lines().iter().any(is_it)
            }
            _ => self.may_be_about(own_key),
        }
    }
}

/// Host, path and query of a key.
#[derive(Default)]
struct Parts<'a> {
    host: Option<&'a [u8]>,
    path: &'a [u8],
    query: Option<&'a [u8]>,
}

impl<'a> Parts<'a> {
    /// As the routes' crate writes them: a letter, a length in four octets, and as many octets.
    fn of(own_key: &'a [u8]) -> Parts<'a> {
        let mut parts = Parts::default();
        let mut rest = key::parts(own_key);
        while let Some((&[letter, a, b, c, d], after)) = rest.split_first_chunk() {
            let Some((part, after)) = after.split_at_checked(u32::from_le_bytes([a, b, c, d]) as usize) else { break };
            match letter {
                b'h' => parts.host = Some(part),
                b'p' => parts.path = part,
                b'q' => parts.query = Some(part),
                _ => break,
            }
            rest = after;
        }
        parts
    }

    /// Whether it may be of this host. A key without one is of all hosts.
    fn is_of(&self, host: Option<&[u8]>) -> bool {
        self.host.is_none_or(|own| host.is_none_or(|host| own == host))
    }
}
