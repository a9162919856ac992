//! What applications publish under keys, and send without its octets passing through them again: a cache of objects, shared by
//! all engines. Keys are of a user, and so are objects.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use afpa_cache::{Cache, CacheConfig, Filling, Refused};
use afpa_engine::mailbox::Waker;
use afpa_platform::memory::Arena;
use afpa_platform::source::SourceFile;
use rustix::io::Errno;

use crate::application::Memory;
use crate::control::{Refusal, refuse};
use crate::limits::Limits;
use crate::status::ObjectsStatus;

/// An object that was published.
pub(crate) type Object = afpa_cache::Object<Published>;
/// An engine's view of what was published.
pub(crate) type View = afpa_cache::View<Published>;

/// What is kept about an object, as its user is charged.
const OVERHEAD: u64 = 1024;
/// Octets that are read from a file at once.
const CHUNK: usize = 64 * 1024;

/// What applications have published.
pub struct Objects {
    cache: Arc<Cache<Published>>,
    per_user: u64,
    /// By user; of those who hold nothing there is none.
    accounts: Mutex<HashMap<u32, Arc<Account>>>,
}

/// What is remembered of an object: whose account it is on, for as long as anybody holds it.
pub(crate) struct Published {
    account: Arc<Account>,
    octets: u64,
}

/// Octets that a user has published.
#[derive(Default)]
struct Account(AtomicU64);

/// What is to be published.
pub(crate) struct Publication {
    /// Whose it is.
    pub(crate) uid: u32,
    pub(crate) key: Vec<u8>,
    pub(crate) from: From,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// Where it is copied from.
pub(crate) enum From {
    Memory(Arc<Memory>),
    File(Arc<SourceFile>),
}

impl Objects {
    /// Room for as much as `limits` say, for so many engines. `None`: nothing may be published.
    ///
    /// # Errors
    /// There is no memory.
    pub fn new(limits: &Limits, engines: usize) -> io::Result<Option<Arc<Objects>>> {
        if limits.objects == 0 {
            return Ok(None);
        }
        Ok(Objects::within(limits, engines, Arena::new(limits.objects)?))
    }

    /// The same in memory that a device sends from, which has room for its frames as well.
    pub fn within(limits: &Limits, engines: usize, arena: Arc<Arena>) -> Option<Arc<Objects>> {
        let capacity = limits.objects;
        let frames = arena.capacity().checked_sub(capacity).filter(|_| capacity > 0)?;
        let cache = Cache::within(CacheConfig { capacity, max_pinned_object: u64::MAX, engines, frames }, arena);
        Some(Arc::new(Objects { cache, per_user: limits.objects_per_user, accounts: Mutex::default() }))
    }

    /// What there is.
    pub(crate) fn status(&self) -> ObjectsStatus {
        let stats = self.cache.stats();
        let (objects, used) = (stats.objects, stats.used);
        ObjectsStatus { objects, used, capacity: stats.capacity, evictions: stats.evictions }
    }

    /// A view for an engine.
    pub(crate) fn view(&self, waker: Waker) -> View {
        self.cache.view(Arc::new(move || waker.wake()))
    }

    /// Copies something, and keeps it under its key in place of what was there. Takes its time: files are read.
    pub(crate) fn publish(&self, publication: Publication) -> Result<(), Refusal> {
        let Publication { uid, key, from, offset, length } = publication;
        let charge = length.saturating_add(key.len() as u64).saturating_add(OVERHEAD);
        let Some(published) = self.charge(uid, charge) else {
            return refuse(Errno::DQUOT, "the user has published as much as he may; purge something");
        };
        let mut filling = self.cache.fill(&[], length).map_err(|refused| match refused {
            Refused::TooLarge { .. } => Refusal { errno: Errno::FBIG, reason: "no object may be so large" },
            Refused::Full => Refusal { errno: Errno::NOMEM, reason: "the memory of objects is in use" },
        })?;
        if fill(&mut filling, &from, offset).is_err() {
            return refuse(Errno::IO, "what is published cannot be read, or has changed meanwhile");
        }
        let object = self.cache.insert(&of_user(uid, &key), filling.finish(), Arc::new(published));
        if object.is_dead() {
            return refuse(Errno::NOMEM, "the memory of objects is in use");
        }
        Ok(())
    }

    /// What a user has under a key.
    pub(crate) fn find(&self, uid: u32, key: &[u8]) -> Option<Arc<Object>> {
        self.cache.lookup(&of_user(uid, key))
    }

    /// Keeps it no longer; whether there was something.
    pub(crate) fn purge(&self, uid: u32, key: &[u8]) -> bool {
        self.cache.purge(&of_user(uid, key))
    }

    /// Charges a user, unless it would be too much.
    fn charge(&self, uid: u32, octets: u64) -> Option<Published> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.retain(|_, account| Arc::strong_count(account) > 1);
        let account = accounts.entry(uid).or_default().clone();
        let more = |used: u64| used.checked_add(octets).filter(|used| *used <= self.per_user);
        account.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Published { account, octets })
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        self.account.0.fetch_sub(self.octets, Ordering::Relaxed);
    }
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").field("per_user", &self.per_user).finish_non_exhaustive()
    }
}

/// No user's key is another's.
fn of_user(uid: u32, key: &[u8]) -> Vec<u8> {
    [&uid.to_be_bytes(), key].concat()
}

fn fill(filling: &mut Filling, from: &From, mut offset: u64) -> io::Result<()> {
    while filling.remaining() > 0 {
        let space = filling.space();
        let count = space.len().min(CHUNK);
        match from {
            From::Memory(memory) => memory.read(offset as usize, &mut space[..count]),
            From::File(file) => file.read_at(&mut space[..count], offset)?,
        }
        filling.advance(count);
        offset += count as u64;
    }
    match from {
        From::Memory(_) => Ok(()),
        From::File(file) => file.check(),
    }
}
