//! The store: what the engines' views have in common.

use std::fmt;
use std::io;
use std::mem::size_of;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use afpa_platform::memory::{Arena, ExtentMut, MAX_EXTENT};
use afpa_platform::source::SourceFile;

use crate::body::Body;
use crate::filling::Filling;
use crate::hash::KeyHasher;
use crate::layout::Layout;
use crate::ledger::{Charge, Ledger};
use crate::object::Object;
use crate::refused::Refused;
use crate::resident::{Resident, ResidentBody};
use crate::shelf::Shelf;
use crate::stats::{CacheStats, Counters};
use crate::view::{SharedView, View};

/// No body takes more than this part of the capacity: it would push out too much else.
const LARGEST_PART: u64 = 8;
/// This part of the capacity is kept free, so that room is there while engines let go of what was
/// evicted for it.
const HEADROOM_PART: u64 = 32;
const MOST_HEADROOM: u64 = 32 * 1024 * 1024;
/// How long a worker waits for engines to let go of memory.
const PATIENCE: Duration = Duration::from_millis(20);
const PAUSE: Duration = Duration::from_micros(100);
/// Objects evicted at a time to free ranges that are too small one by one.
const EVICTIONS: usize = 8;
/// Objects looked at under one hold of the lock by [`Cache::for_each`].
const BATCH: usize = 256;
/// The files that the store keeps open, until [`Cache::set_max_files`] says otherwise.
const MAX_FILES: usize = 512;

/// How a cache is set up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CacheConfig {
    /// The ceiling, in octets, of everything: heads, payloads, keys, and what is kept about them in
    /// the store and in every view. Not counted is what details own on the heap themselves.
    pub capacity: u64,
    /// The largest body, head and payload, that is kept in pinned memory, in octets; at most an eighth
    /// of the capacity. Larger ones can be kept as files.
    pub max_pinned_object: u64,
    /// How many views there will be.
    pub engines: usize,
    /// Octets of the arena, beyond `capacity`, for the frames of devices that register it.
    pub frames: u64,
}

/// Objects by key, in memory that is shared by all engines; `D` is what a module remembers of each.
///
/// Workers and control threads use it; engines use a [`View`]. Everything that it holds is counted
/// against one ceiling; when a new body does not fit, others are evicted, and if their memory is still
/// pinned after a short wait, the body is [`Refused`].
pub struct Cache<D: Send + Sync + 'static> {
    config: CacheConfig,
    arena: Arc<Arena>,
    ledger: Arc<Ledger>,
    hasher: KeyHasher,
    shelf: Mutex<Shelf<D>>,
    counters: Counters,
    purges: AtomicU64,
}

impl<D: Send + Sync + 'static> Cache<D> {
    /// An empty cache.
    ///
    /// # Errors
    /// The system refused to reserve the memory.
    pub fn new(config: CacheConfig) -> io::Result<Arc<Cache<D>>> {
        let arena = Arena::new(config.capacity.saturating_add(config.frames))?;
        Ok(Cache::within(config, arena))
    }

    /// An empty cache in memory that there is: an arena with room for `capacity` and `frames`.
    pub fn within(config: CacheConfig, arena: Arc<Arena>) -> Arc<Cache<D>> {
        let whole = config.capacity.saturating_add(config.frames);
        let hasher = KeyHasher::default();
        Arc::new(Cache {
            ledger: Ledger::new(arena.clone(), whole),
            shelf: Mutex::new(Shelf::new(config.capacity, config.engines, MAX_FILES)),
            counters: Counters::default(),
            purges: AtomicU64::new(0),
            config: CacheConfig {
                max_pinned_object: config.max_pinned_object.min(config.capacity / LARGEST_PART),
                ..config
            },
            hasher,
            arena,
        })
    }

    /// Reserves memory for a body of `head` and a payload of `payload_len` octets, evicting others as
    /// needed. May wait a moment: not for engines.
    ///
    /// # Errors
    /// The body is too large to be pinned, or memory that was let go of is still in use.
    pub fn fill(&self, head: &[u8], payload_len: u64) -> Result<Filling, Refused> {
        if payload_len > self.config.max_pinned_object || head.len() > MAX_EXTENT {
            return Err(self.refuse(Refused::TooLarge { limit: self.config.max_pinned_object }));
        }
        let layout = Layout::of(head.len(), payload_len);
        let (fragments, charge) = self.reserve(layout)?;
        Ok(Filling::new(head, layout, fragments, charge))
    }

    /// A body whose payload is the first `len` octets of `file`.
    ///
    /// # Errors
    /// As for [`Cache::fill`]; only the head is pinned.
    pub fn fill_file(&self, head: &[u8], file: Arc<SourceFile>, len: u64) -> Result<Arc<Body>, Refused> {
        if head.len() > MAX_EXTENT {
            return Err(self.refuse(Refused::TooLarge { limit: MAX_EXTENT as u64 }));
        }
        let layout = Layout::of(head.len(), 0);
        let (mut fragments, charge) = self.reserve(layout)?;
        for extent in &mut fragments {
            extent.copy_from_slice(head);
        }
        let seal = |extent: ExtentMut| {
            let sums = crate::checksum::prefix_sums(&extent);
            extent.seal(sums)
        };
        let fragments = fragments.into_iter().map(seal).collect();
        Ok(Body::new(head.len() as u32, len, layout, fragments, Some(file), charge))
    }

    /// Makes `key` stand for `body`. An older object of that key is let go of. Several keys may have
    /// one body. If there is no room even for what is kept about the object, it is returned dead: it
    /// can be served once.
    pub fn insert(&self, key: &[u8], body: Arc<Body>, details: Arc<D>) -> Arc<Object<D>> {
        self.put(self.shelf(), key, body, details)
    }

    /// As [`Cache::insert`], unless anything was purged since [`Cache::purges`] gave `since`: what was
    /// read before a purge may be what the purge was about.
    ///
    /// # Errors
    /// The body, when there was a purge; look again at where it came from.
    pub fn insert_unless_purged(
        &self,
        since: u64,
        key: &[u8],
        body: Arc<Body>,
        details: Arc<D>,
    ) -> Result<Arc<Object<D>>, Arc<Body>> {
        let shelf = self.shelf();
        if self.purges() != since { Err(body) } else { Ok(self.put(shelf, key, body, details)) }
    }

    /// How many purges there were: ask before reading what is to be inserted.
    pub fn purges(&self) -> u64 {
        self.purges.load(Ordering::Acquire)
    }

    /// The object that `key` stands for. Counts as a use of it.
    pub fn lookup(&self, key: &[u8]) -> Option<Arc<Object<D>>> {
        let object = self.shelf().find_used(self.hasher.hash(key), key);
        self.counters.looked_up(object.is_some());
        object
    }

    /// As [`Cache::lookup`], without waiting: for engines. `None` if somebody has the store's lock, and a worker
    /// has to look.
    pub fn try_lookup(&self, key: &[u8]) -> Option<Option<Arc<Object<D>>>> {
        let shelf = match self.shelf.try_lock() {
            Ok(shelf) => shelf,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let object = shelf.find_used(self.hasher.hash(key), key);
        drop(shelf);
        self.counters.looked_up(object.is_some());
        Some(object)
    }

    /// Lets go of the object that `key` stands for; whether there was one.
    pub fn purge(&self, key: &[u8]) -> bool {
        let mut shelf = self.purging();
        let Some(slot) = shelf.find(self.hasher.hash(key), key) else { return false };
        shelf.discard(slot);
        true
    }

    /// Lets go of every object whose key starts with `prefix`; how many there were.
    pub fn purge_prefix(&self, prefix: &[u8]) -> usize {
        self.purge_if(|object| object.key().starts_with(prefix))
    }

    /// Lets go of everything; how many objects there were.
    pub fn purge_all(&self) -> usize {
        self.purge_if(|_| true)
    }

    /// Lets go of the objects of which `condemned` holds; how many there were. The store is locked
    /// meanwhile: `condemned` must not use it.
    pub fn purge_if(&self, mut condemned: impl FnMut(&Object<D>) -> bool) -> usize {
        let mut shelf = self.purging();
        let mut count = 0;
        for slot in 0..shelf.slots() {
            if shelf.object(slot).is_some_and(|object| condemned(object)) {
                shelf.discard(slot);
                count += 1;
            }
        }
        count
    }

    /// Shows every object, in no order. One that comes or goes meanwhile may be missed. The store is
    /// not locked while `visit` runs.
    pub fn for_each(&self, mut visit: impl FnMut(&Arc<Object<D>>)) {
        self.close_files();
        let mut next = 0;
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let shelf = self.shelf();
            let slots = shelf.slots();
            let end = slots.min(next + BATCH as u32);
            batch.extend((next..end).filter_map(|slot| shelf.object(slot).cloned()));
            drop(shelf);
            batch.drain(..).for_each(|object| visit(&object));
            next = end;
            if next == slots {
                return;
            }
        }
    }

    /// A view for one engine. `waker` is called, on any thread, when the view has something to
    /// [`apply`](View::apply); it must not use the cache.
    ///
    /// # Panics
    /// If there are as many views already as the configuration has engines.
    pub fn view(self: &Arc<Self>, waker: Arc<dyn Fn() + Send + Sync>) -> View<D> {
        let least = self.object_overhead(0, 0);
        let slots = (self.config.capacity / least) as usize + 1;
        let shared = self.shelf().add_view(|index| SharedView::new(index, slots, waker));
        View::new(self.clone(), shared)
    }

    /// Sets how many files the store keeps open at most, at least one. Beyond it, the object whose file
    /// came first is let go of.
    pub fn set_max_files(&self, max_files: usize) {
        self.shelf().set_max_files(max_files);
    }

    /// The arena, for a transport that registers it.
    pub fn arena(&self) -> &Arc<Arena> {
        &self.arena
    }

    /// What the cache holds and has done.
    pub fn stats(&self) -> CacheStats {
        self.close_files();
        let shelf = self.shelf();
        let mut stats = self.counters.read();
        stats.objects = shelf.len() as u64;
        stats.files = shelf.files() as u64;
        stats.evictions = shelf.evictions();
        stats.purges = self.purges();
        drop(shelf);
        stats.capacity = self.config.capacity;
        stats.used = self.ledger.used();
        stats.pinned = self.arena.in_use();
        stats.arena = self.arena.stats();
        stats
    }

    pub(crate) fn hasher(&self) -> KeyHasher {
        self.hasher.clone()
    }

    pub(crate) fn forget_view(&self, index: usize) {
        self.shelf().remove_view(index);
    }

    fn put(&self, mut shelf: MutexGuard<'_, Shelf<D>>, key: &[u8], body: Arc<Body>, details: Arc<D>) -> Arc<Object<D>> {
        let hash = self.hasher.hash(key);
        if let Some(older) = shelf.find(hash, key) {
            shelf.discard(older);
        }
        let overhead = self.object_overhead(key.len(), body.fragments().len());
        self.evict_for(&mut shelf, overhead);
        let Some(charge) = self.ledger.charge(overhead) else {
            drop(shelf);
            self.counters.rejected();
            return Arc::new(Object::stillborn(hash, key, body, details, self.ledger.charge_anyway(overhead)));
        };
        let (object, remembered) = shelf.add(hash, key, body, details, charge);
        self.counters.admitted(remembered);
        object
    }

    /// Fragments for a body, and a charge for them and what is kept about it.
    fn reserve(&self, layout: Layout) -> Result<(Vec<ExtentMut>, Charge), Refused> {
        self.close_files();
        let deadline = Instant::now() + PATIENCE;
        let mut charge = self.make_room(layout.footprint() + Body::overhead(layout), deadline)?;
        let mut fragments = Vec::with_capacity(layout.count() as usize);
        for len in layout.fragments() {
            let extent = self.allocate(len, deadline)?;
            charge.allocated(extent.footprint() as u64);
            fragments.push(extent);
        }
        Ok((fragments, charge))
    }

    /// Charges `octets`, evicting for them and waiting for engines to let go of what was evicted. When
    /// that takes long, the memory may be pinned by slow readers: then others are evicted as well.
    fn make_room(&self, octets: u64, deadline: Instant) -> Result<Charge, Refused> {
        let mut wanted = octets;
        loop {
            let mut shelf = self.shelf();
            self.evict_for(&mut shelf, wanted);
            if let Some(charge) = self.ledger.charge(octets) {
                return Ok(charge);
            }
            drop(shelf);
            self.pause(deadline)?;
            wanted += octets / 8;
        }
    }

    /// An extent of `len` octets. The ceiling allows for it; but the free ranges may be too small, and
    /// then others are evicted until one is free.
    fn allocate(&self, len: usize, deadline: Instant) -> Result<ExtentMut, Refused> {
        loop {
            if let Some(extent) = self.arena.allocate(len) {
                return Ok(extent);
            }
            let mut shelf = self.shelf();
            for _ in 0..EVICTIONS {
                shelf.evict_one(len as u64);
            }
            drop(shelf);
            if let Some(extent) = self.arena.allocate(len) {
                return Ok(extent);
            }
            self.pause(deadline)?;
        }
    }

    /// Closes files that were let go of, on a thread that may wait for it.
    fn close_files(&self) {
        let closed = self.shelf().closed();
        drop(closed);
    }

    fn evict_for(&self, shelf: &mut Shelf<D>, octets: u64) {
        let headroom = (self.config.capacity / HEADROOM_PART).min(MOST_HEADROOM);
        let target = self.config.capacity - headroom;
        while self.ledger.expected() + octets > target && shelf.evict_one(octets) {}
    }

    fn pause(&self, deadline: Instant) -> Result<(), Refused> {
        if Instant::now() > deadline {
            return Err(self.refuse(Refused::Full));
        }
        thread::sleep(PAUSE);
        Ok(())
    }

    fn refuse(&self, refused: Refused) -> Refused {
        self.counters.rejected();
        refused
    }

    /// What is kept about an object, here and in every view, beside its body.
    fn object_overhead(&self, key: usize, fragments: usize) -> u64 {
        // A table may be up to a little more than half empty, and has one octet of its own per place.
        let entry = 2 * size_of::<Resident<D>>() as u64 + 4;
        let uses_and_queue = 1 + 2 * size_of::<Arc<Object<D>>>() as u64;
        let view = entry + uses_and_queue + ResidentBody::overhead(fragments);
        Object::<D>::overhead(key) + Shelf::<D>::overhead() + self.config.engines as u64 * view
    }

    fn purging(&self) -> MutexGuard<'_, Shelf<D>> {
        let shelf = self.shelf();
        self.purges.fetch_add(1, Ordering::AcqRel);
        shelf
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf<D>> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D: Send + Sync + 'static> fmt::Debug for Cache<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("config", &self.config).finish_non_exhaustive()
    }
}
