//! What the store's lock guards: the objects, their order of eviction, and the views to tell.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashTable;

use crate::body::Body;
use crate::eviction::{Eviction, LEAST_SLOTS, Uses};
use crate::ledger::Charge;
use crate::object::Object;
use crate::uses::{MOST, UseCounts};
use crate::view::SharedView;

pub(crate) struct Shelf<D> {
    /// Objects by slot.
    objects: Vec<Option<Arc<Object<D>>>>,
    /// Slots by key.
    table: HashTable<u32>,
    order: Eviction,
    views: Views<D>,
    /// Slots of objects with a file, in the order in which they came.
    files: VecDeque<u32>,
    max_files: usize,
    /// Bodies with a file that were let go of. The last to drop one closes its file, and that can take
    /// long (the file may have been deleted): it must not be an engine.
    closing: Vec<Arc<Body>>,
    evictions: u64,
}

/// The views, by number, and what workers count by themselves.
struct Views<D> {
    views: Vec<Option<Arc<SharedView<D>>>>,
    lookups: UseCounts,
}

impl<D: Send + Sync + 'static> Shelf<D> {
    pub(crate) fn new(capacity: u64, engines: usize, max_files: usize) -> Shelf<D> {
        let slots = capacity / Self::overhead() + 1;
        Shelf {
            objects: Vec::new(),
            table: HashTable::new(),
            order: Eviction::new(capacity),
            views: Views { views: (0..engines).map(|_| None).collect(), lookups: UseCounts::new(slots as usize) },
            files: VecDeque::new(),
            max_files,
            closing: Vec::new(),
            evictions: 0,
        }
    }

    /// What the shelf takes on the heap for each object. Lists and tables may be half empty.
    pub(crate) const fn overhead() -> u64 {
        let place = 2 * size_of::<Option<Arc<Object<D>>>>();
        let entry = 2 * size_of::<u32>() + 4;
        let file = 2 * size_of::<u32>();
        let lookups = 1;
        (place + entry + file + lookups) as u64 + Eviction::overhead()
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    pub(crate) fn files(&self) -> usize {
        self.files.len()
    }

    pub(crate) fn evictions(&self) -> u64 {
        self.evictions
    }

    /// All slots are below this.
    pub(crate) fn slots(&self) -> u32 {
        self.objects.len() as u32
    }

    pub(crate) fn object(&self, slot: u32) -> Option<&Arc<Object<D>>> {
        self.objects.get(slot as usize)?.as_ref()
    }

    pub(crate) fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        let same = |&slot: &u32| self.object(slot).is_some_and(|object| object.key() == key);
        self.table.find(hash, same).copied()
    }

    /// The object of a key, counted as used.
    pub(crate) fn find_used(&self, hash: u64, key: &[u8]) -> Option<Arc<Object<D>>> {
        let slot = self.find(hash, key)?;
        self.views.lookups.note(slot);
        self.object(slot).cloned()
    }

    /// Adds an object whose key is not there yet; also, whether it was evicted lately.
    pub(crate) fn add(
        &mut self,
        hash: u64,
        key: &[u8],
        body: Arc<Body>,
        details: Arc<D>,
        charge: Charge,
    ) -> (Arc<Object<D>>, bool) {
        let body_weight = if body.hold() { body.weight() } else { 0 };
        if body.file().is_some() {
            self.make_room_for_file();
        }
        let (slot, remembered) = self.order.insert(hash, charge.weight() + body_weight);
        if body.file().is_some() {
            self.files.push_back(slot);
        }
        self.views.lookups.prepare(slot);
        self.views.clear(slot);
        let object = Arc::new(Object::new(hash, key, body, details, slot, charge));
        if self.objects.len() <= slot as usize {
            self.objects.resize_with(slot as usize + 1, || None);
        }
        self.objects[slot as usize] = Some(object.clone());
        let objects = &self.objects;
        let hash_of = |&slot: &u32| objects[slot as usize].as_ref().map_or(0, |object| object.hash());
        self.table.insert_unique(hash, slot, hash_of);
        (object, remembered)
    }

    /// Lets go of an object that was purged or replaced.
    pub(crate) fn discard(&mut self, slot: u32) {
        self.order.remove(slot);
        self.let_go(slot);
    }

    /// Evicts one object to make room for `incoming` octets; false if there is none.
    pub(crate) fn evict_one(&mut self, incoming: u64) -> bool {
        let Some(slot) = self.order.victim(incoming, &self.views) else { return false };
        self.order.evict(slot);
        self.let_go(slot);
        self.evictions += 1;
        true
    }

    pub(crate) fn set_max_files(&mut self, max_files: usize) {
        self.max_files = max_files.max(1);
        while self.files.len() > self.max_files {
            self.evict_file();
        }
    }

    /// Bodies with files that nobody else has any more: to be dropped when the lock is not held.
    pub(crate) fn closed(&mut self) -> Vec<Arc<Body>> {
        self.closing.extract_if(.., |body| Arc::strong_count(body) == 1).collect()
    }

    /// Adds the view that `make` makes of its number.
    pub(crate) fn add_view(&mut self, make: impl FnOnce(usize) -> Arc<SharedView<D>>) -> Arc<SharedView<D>> {
        let index = self.views.views.iter().position(Option::is_none).expect("more views than engines");
        let view = make(index);
        self.views.views[index] = Some(view.clone());
        view
    }

    pub(crate) fn remove_view(&mut self, index: usize) {
        self.views.views[index] = None;
    }

    fn make_room_for_file(&mut self) {
        while self.files.len() >= self.max_files {
            self.evict_file();
        }
    }

    fn evict_file(&mut self) {
        if let Some(&slot) = self.files.front() {
            self.order.evict(slot);
            self.let_go(slot);
            self.evictions += 1;
        }
    }

    /// Gives back what many objects needed and few do not.
    fn shrink(&mut self) {
        self.objects.truncate(self.order.slots());
        if self.objects.capacity() > 4 * self.objects.len().max(LEAST_SLOTS) {
            self.objects.shrink_to(2 * self.objects.len());
        }
        if self.table.capacity() > 4 * self.table.len().max(LEAST_SLOTS) {
            let objects = &self.objects;
            let hash_of = |&slot: &u32| objects[slot as usize].as_ref().map_or(0, |object| object.hash());
            self.table.shrink_to(2 * self.table.len(), hash_of);
        }
    }

    /// Takes the object out, and tells the views that hold it.
    fn let_go(&mut self, slot: u32) {
        let Some(object) = self.objects[slot as usize].take() else { return };
        if let Ok(entry) = self.table.find_entry(object.hash(), |&other| other == slot) {
            entry.remove();
        }
        let body = object.body();
        body.release();
        if body.file().is_some() {
            self.files.retain(|&other| other != slot);
            if !self.closing.iter().any(|other| Arc::ptr_eq(other, body)) {
                self.closing.push(body.clone());
            }
        }
        let viewers = object.kill();
        for view in self.views.views.iter().flatten() {
            view.invalidate(&object, viewers);
        }
        self.shrink();
    }
}

impl<D> Views<D> {
    fn all(&self) -> impl Iterator<Item = &UseCounts> {
        let engines = self.views.iter().flatten().map(|view| &view.uses);
        engines.chain(std::iter::once(&self.lookups))
    }
}

impl<D> Uses for Views<D> {
    fn get(&self, slot: u32) -> u8 {
        self.all().fold(0, |sum: u8, uses| sum.saturating_add(uses.get(slot))).min(MOST)
    }

    fn lower(&self, slot: u32) {
        self.all().for_each(|uses| uses.lower(slot));
    }

    fn clear(&self, slot: u32) {
        self.all().for_each(|uses| uses.clear(slot));
    }
}
