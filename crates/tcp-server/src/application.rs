//! An application as the server knows it: a region, and who and what belongs to it. Shared by all engines.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use afpa_channel::control::Token;
use afpa_channel::layout::MAX_ENGINES;
use afpa_channel::slot::Slot;
use afpa_channel::{Geometry, Region};
use afpa_engine::mailbox::Waker;
use afpa_platform::foreign::ForeignMemory;
use afpa_platform::source::SourceFile;

use crate::bell::{Doorbell, EngineBell};
use crate::handing::Handings;
use crate::limits::{Ceiling, Limits};
use crate::objects::Object;
use crate::resources::Numbered;
use crate::slots::Slots;
use crate::stats::ProviderStats;

/// The memory of a region, as the server maps it.
pub(crate) type Memory = ForeignMemory;

/// Who an application is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Tells it from all others, those that are gone included.
    pub number: u64,
    /// Proves that a process is one of its.
    pub token: Token,
    /// The user of its first process.
    pub uid: u32,
    /// What it calls itself.
    pub name: String,
}

/// An application that is attached.
pub struct Application {
    identity: Identity,
    region: Region,
    bells: Vec<EngineBell>,
    wakers: Vec<Waker>,
    pub(crate) slots: Slots,
    /// By process: whether it lives. What a dead one holds does not count.
    alive: Box<[AtomicBool]>,
    queues: Numbered<Queue>,
    pub(crate) memories: Numbered<Arc<Memory>>,
    pub(crate) files: Numbered<Arc<SourceFile>>,
    pub(crate) objects: Numbered<Arc<Object>>,
    pub(crate) listening: AtomicUsize,
    /// Of its listening slots, if it sends itself.
    pub(crate) handings: Handings,
    has_ended: AtomicBool,
}

/// An event queue: what is rung, and whose it is.
#[derive(Clone)]
struct Queue {
    doorbell: Arc<Doorbell>,
    process: u32,
}

impl Application {
    /// Makes the region of an application, which nobody uses yet. `wakers` are the engines'.
    ///
    /// # Errors
    /// There is no memory or no descriptor left.
    pub fn new(
        identity: Identity,
        geometry: Geometry,
        wakers: Vec<Waker>,
        limits: &Limits,
        ceiling: &SlotCeiling,
    ) -> io::Result<Arc<Application>> {
        debug_assert!(wakers.len() == geometry.engines() as usize && wakers.len() <= MAX_ENGINES as usize);
        Ok(Arc::new(Application {
            identity,
            region: Region::create(geometry)?,
            bells: wakers.iter().map(|_| EngineBell::new()).collect::<io::Result<_>>()?,
            wakers,
            slots: Slots::new(geometry.slots(), ceiling.0.clone()),
            alive: (0..geometry.processes()).map(|_| AtomicBool::new(false)).collect(),
            queues: Numbered::new(geometry.queues() as usize),
            memories: Numbered::new(limits.memories),
            files: Numbered::new(limits.files),
            objects: Numbered::new(limits.found_objects),
            listening: AtomicUsize::new(0),
            handings: Handings::default(),
            has_ended: AtomicBool::new(false),
        }))
    }

    /// Who it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What it shares with the server.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// What is passed to a process that attaches: the region, and each engine's bell.
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        std::iter::once(self.region.descriptor()).chain(self.bells.iter().map(AsFd::as_fd)).collect()
    }

    /// The bell by which an engine is woken.
    pub(crate) fn bell(&self, engine: u32) -> &EngineBell {
        &self.bells[engine as usize]
    }

    /// A place for a process, which lives from now on.
    pub fn admit_process(&self) -> Option<u32> {
        let place = self.alive.iter().position(|alive| !alive.load(Ordering::Acquire))?;
        self.region.server_place(place as u32);
        let holds = self.region.holds(place as u32);
        // Left by a process that died while it wrote them, or by one that lies.
        holds.each(|slot| holds.release(slot));
        self.alive[place].store(true, Ordering::Release);
        Some(place as u32)
    }

    /// A process is gone, and with it its queues. What it alone held is held by nobody.
    pub fn forget_process(&self, process: u32) {
        for queue in 0..self.region.geometry().queues() {
            self.close_queue(queue, process);
        }
        let holds = self.region.holds(process);
        holds.each(|slot| holds.release(slot));
        self.alive[process as usize].store(false, Ordering::Release);
    }

    /// How many processes live.
    pub fn processes(&self) -> usize {
        self.alive.iter().filter(|alive| alive.load(Ordering::Relaxed)).count()
    }

    /// Whether some process refers to the slot.
    pub(crate) fn is_held(&self, slot: u32) -> bool {
        let mut living = self.living();
        living.any(|place| self.region.holds(place).has(slot))
    }

    fn living(&self) -> impl Iterator<Item = u32> {
        let alive = self.alive.iter().enumerate().filter(|(_, alive)| alive.load(Ordering::Acquire));
        alive.map(|(place, _)| place as u32)
    }

    /// Opens a queue of a process.
    pub(crate) fn open_queue(&self, doorbell: Doorbell, process: u32) -> Option<u32> {
        let queue = self.queues.add(Queue { doorbell: Arc::new(doorbell), process })?;
        // Of its last use.
        self.region.happened_bits(queue).take(|_| ());
        self.region.queue_bell(queue).wake();
        Some(queue)
    }

    /// Closes one; whether there was one of that process.
    pub fn close_queue(&self, queue: u32, process: u32) -> bool {
        if self.queues.with(queue, |queue| queue.process == process) != Some(true) {
            return false;
        }
        self.unsubscribe(queue);
        self.queues.remove(queue).is_some()
    }

    /// A queue is told no more: its number may be another's at once. What it alone was told, another is told.
    fn unsubscribe(&self, queue: u32) {
        let is_used = |slot: &u32| !self.slots.generation(*slot).is_multiple_of(2);
        for slot in (0..self.region.geometry().slots()).filter(is_used).map(|slot| self.region.slot(slot)) {
            let (all, exclusive) = slot.server_subscribers(queue as usize / 32);
            if (all | exclusive) >> (queue % 32) & 1 == 0 {
                continue;
            }
            slot.unsubscribe(queue);
            if exclusive >> (queue % 32) & 1 != 0 {
                self.ring(slot, || ());
            }
        }
    }

    /// Octets of its registered memory.
    pub fn registered(&self) -> u64 {
        self.memories.sum(|memory| memory.len() as u64)
    }

    /// Tells those who want to know that something happened on a slot.
    pub(crate) fn tell(&self, slot: Slot<'_, Memory>, stats: &ProviderStats) {
        stats.told.increment();
        self.ring(slot, || stats.rung.increment());
    }

    fn ring(&self, slot: Slot<'_, Memory>, mut rung: impl FnMut()) {
        self.region.tell(slot, |queue| {
            rung();
            // One that is closed is nobody's any more.
            self.queues.with(queue, |queue| queue.doorbell.wake());
        });
    }

    /// Begins another use of `slot`, which is free, and of which nothing is held. Returns its generation.
    pub(crate) fn begin(&self, slot: u32, engine: u32, state: u32) -> Option<u32> {
        let generation = self.slots.begin(slot)?;
        for place in self.living() {
            let holds = self.region.holds(place);
            if holds.has(slot) {
                holds.release(slot);
            }
        }
        self.slots.serve_on(slot, engine);
        self.region.slot(slot).server_begin(generation, engine, state);
        Some(generation)
    }

    /// Ends a slot's use; it is the caller's to put it back.
    pub(crate) fn end(&self, slot: u32) {
        let generation = self.slots.end(slot);
        self.region.slot(slot).server_end(generation);
    }

    /// Says that another engine serves the slot. Who has read the word before still tells the engine at hand, which
    /// [forwards](Application::forward) it.
    pub(crate) fn move_slot(&self, slot: u32, engine: u32) {
        self.slots.serve_on(slot, engine);
        self.region.slot(slot).server_move(engine);
    }

    /// Tells the slot's engine what an application has told another.
    pub(crate) fn forward(&self, slot: u32) {
        let engine = self.slots.engine(slot);
        self.region.attend_bits(engine).set(slot);
        if let Some(waker) = self.wakers.get(engine as usize) {
            waker.wake();
        }
    }

    /// Takes a free slot for a process, which holds it. For other threads than the engines'.
    pub(crate) fn allocate(&self, engine: u32, state: u32, process: u32) -> Option<Use> {
        let mut taken = Vec::new();
        self.slots.refill(&mut taken, 1);
        let slot = taken.pop()?;
        match self.begin(slot, engine, state) {
            Some(generation) => {
                self.region.holds(process).hold(slot);
                Some(Use { slot, generation })
            }
            None => {
                self.slots.put_back(std::iter::once(slot));
                None
            }
        }
    }

    /// Gives one back that no engine has learnt of.
    pub(crate) fn give_back(&self, slot: u32) {
        self.handings.end(slot);
        self.end(slot);
        self.slots.put_back(std::iter::once(slot));
    }

    /// Wakes the engines that waited for a free slot.
    pub(crate) fn feed_starving(&self) {
        let engines = self.slots.take_starving();
        for (engine, waker) in self.wakers.iter().enumerate() {
            if engines >> engine & 1 != 0 {
                waker.wake();
            }
        }
    }

    /// The last process is gone, or the server ends the attachment.
    pub(crate) fn finish(&self) {
        self.has_ended.store(true, Ordering::Release);
        self.region.end();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }
}

/// Bounds the slots of all applications together.
#[derive(Clone)]
pub struct SlotCeiling(pub(crate) Arc<Ceiling>);

impl SlotCeiling {
    /// As the limits say, for regions of this geometry.
    pub fn new(limits: &Limits, geometry: Geometry) -> SlotCeiling {
        let of_memory = usize::try_from(limits.memory / geometry.footprint()).unwrap_or(usize::MAX);
        SlotCeiling(Arc::new(Ceiling::new(limits.slots.min(of_memory))))
    }

    /// How many are in use.
    pub fn used(&self) -> usize {
        self.0.used()
    }
}

/// A use of a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Use {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}
