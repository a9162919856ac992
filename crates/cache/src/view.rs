//! An engine's view of the cache: the hit path.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::body::Body;
use crate::hash::KeyHasher;
use crate::object::Object;
use crate::resident::{Resident, ResidentBody};
use crate::store::Cache;
use crate::uses::UseCounts;

/// Invalidations that one [`View::apply`] takes: an engine must not stall over a purge of everything.
const BATCH: usize = 256;

/// One engine's table from key to object, and its use counts. Stays on its engine's thread.
///
/// It holds no more than the store does: an object that the store lets go of is queued to the views
/// that hold it, and is not found any more from that moment on. Every entry is paid for by its
/// object's charge.
pub struct View<D: Send + Sync + 'static> {
    hasher: KeyHasher,
    table: HashTable<Resident<D>>,
    shared: Arc<SharedView<D>>,
    pins: Arc<AtomicU64>,
    /// An object that died before it could be admitted: lent once, never kept.
    transient: Option<Resident<D>>,
    /// Invalidations taken from the queue and not applied yet.
    backlog: Vec<Arc<Object<D>>>,
    cache: Arc<Cache<D>>,
    /// Keeps the view on one thread: uses and pins are counted with plain loads and stores.
    _local: std::marker::PhantomData<Rc<RefCell<()>>>,
}

/// What the store reaches of a view.
pub(crate) struct SharedView<D> {
    /// Its number among the views.
    pub(crate) index: usize,
    pub(crate) uses: UseCounts,
    pending: AtomicBool,
    queue: Mutex<Vec<Arc<Object<D>>>>,
    waker: Arc<dyn Fn() + Send + Sync>,
}

impl<D: Send + Sync + 'static> View<D> {
    pub(crate) fn new(cache: Arc<Cache<D>>, shared: Arc<SharedView<D>>) -> View<D> {
        View {
            hasher: cache.hasher(),
            table: HashTable::new(),
            shared,
            pins: Arc::default(),
            transient: None,
            backlog: Vec::new(),
            cache,
            _local: std::marker::PhantomData,
        }
    }

    /// The object that `key` stands for, if this engine has it. This is the hit path: one hash, one
    /// probe, one comparison, one count.
    #[inline]
    pub fn get(&mut self, key: &[u8]) -> Option<&Resident<D>> {
        let hash = self.hasher.hash(key);
        let resident = self.table.find(hash, |resident| resident.object.key() == key)?;
        if resident.object.is_dead() {
            return None;
        }
        self.shared.uses.note(resident.object.slot());
        Some(resident)
    }

    /// Takes in what a worker filled or found. An object that was purged or evicted in the meantime
    /// is lent to this caller all the same, who asked before that, but is not kept.
    pub fn admit(&mut self, object: Arc<Object<D>>) -> &Resident<D> {
        let body = self.hold(object.body().clone());
        let resident = Resident { object, body };
        self.shared.uses.prepare(resident.object.slot());
        if !resident.object.enter(bit(self.shared.index)) {
            return self.transient.insert(resident);
        }
        self.transient = None;
        let hash = resident.object.hash();
        let same_key = |other: &Resident<D>| other.object.key() == resident.object.key();
        match self.table.entry(hash, same_key, |resident| resident.object.hash()) {
            Entry::Vacant(entry) => entry.insert(resident).into_mut(),
            Entry::Occupied(entry) => {
                let place = entry.into_mut();
                *place = resident;
                place
            }
        }
    }

    /// Holds a body without an object, to send it once.
    pub fn hold(&self, body: Arc<Body>) -> Rc<ResidentBody> {
        ResidentBody::new(body, &self.pins)
    }

    /// Lets go of objects that the store has let go of, a bounded number of them; if more are left,
    /// the waker is called again. One load when there are none.
    #[inline]
    pub fn apply(&mut self) -> usize {
        if !self.shared.pending.load(Ordering::Acquire) {
            return 0;
        }
        self.apply_queued()
    }

    /// How many objects the view holds.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether the view holds nothing.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// How many pins this engine holds now; readable on any thread.
    pub fn pins(&self) -> &Arc<AtomicU64> {
        &self.pins
    }

    /// The cache that this is a view of.
    pub fn cache(&self) -> &Arc<Cache<D>> {
        &self.cache
    }

    #[cold]
    fn apply_queued(&mut self) -> usize {
        self.transient = None;
        if self.backlog.is_empty() {
            self.shared.take(&mut self.backlog);
        }
        let count = self.backlog.len().min(BATCH);
        for object in self.backlog.drain(self.backlog.len() - count..) {
            let same = |resident: &Resident<D>| Arc::ptr_eq(&resident.object, &object);
            if let Ok(entry) = self.table.find_entry(object.hash(), same) {
                entry.remove();
            }
        }
        if !self.backlog.is_empty() {
            self.shared.remind();
        } else if self.backlog.capacity() > BATCH {
            self.backlog = Vec::new();
        }
        if self.table.capacity() > 4 * self.table.len().max(BATCH) {
            self.table.shrink_to(2 * self.table.len(), |resident| resident.object.hash());
        }
        count
    }
}

impl<D: Send + Sync + 'static> Drop for View<D> {
    fn drop(&mut self) {
        self.cache.forget_view(self.shared.index);
    }
}

impl<D> SharedView<D> {
    pub(crate) fn new(index: usize, slots: usize, waker: Arc<dyn Fn() + Send + Sync>) -> Arc<SharedView<D>> {
        let (pending, queue) = (AtomicBool::new(false), Mutex::default());
        Arc::new(SharedView { index, uses: UseCounts::new(slots), pending, queue, waker })
    }

    /// Queues an invalidation, and wakes the engine if it has none waiting yet. The queue is bounded
    /// by the objects themselves: each of them lives, and is charged for, while it is queued.
    pub(crate) fn invalidate(&self, object: &Arc<Object<D>>, viewers: u64) {
        if viewers & bit(self.index) == 0 {
            return;
        }
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.push(object.clone());
        let first = !self.pending.swap(true, Ordering::AcqRel);
        drop(queue);
        if first {
            (self.waker)();
        }
    }

    /// Moves the queue into `taken`, which is empty.
    fn take(&self, taken: &mut Vec<Arc<Object<D>>>) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        self.pending.store(false, Ordering::Release);
        std::mem::swap(&mut *queue, taken);
    }

    /// Says that more is left to apply.
    fn remind(&self) {
        self.pending.store(true, Ordering::Release);
        (self.waker)();
    }
}

/// A view's bit in an object's set of viewers. Beyond 64 views, several share one.
fn bit(index: usize) -> u64 {
    1 << (index % 64)
}

impl<D: Send + Sync + 'static> fmt::Debug for View<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("index", &self.shared.index).field("len", &self.len()).finish_non_exhaustive()
    }
}
