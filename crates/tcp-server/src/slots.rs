//! Which slots of a region are free. What the region says of it is for the application; here is what the server goes by.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limits::Ceiling;

/// The slots of an application.
pub(crate) struct Slots {
    free: Mutex<Vec<u32>>,
    generations: Box<[AtomicU32]>,
    /// Engines, a bit each, on which connections wait for a slot.
    starving: AtomicU64,
    used: AtomicUsize,
    ceiling: Arc<Ceiling>,
}

impl Slots {
    pub(crate) fn new(count: u32, ceiling: Arc<Ceiling>) -> Slots {
        Slots {
            // The lowest numbers are given out first, so that as little memory as possible is touched.
            free: Mutex::new((0..count).rev().collect()),
            generations: (0..count).map(|_| AtomicU32::new(0)).collect(),
            starving: AtomicU64::new(0),
            used: AtomicUsize::new(0),
            ceiling,
        }
    }

    /// Moves free slots into an engine's own batch.
    pub(crate) fn refill(&self, batch: &mut Vec<u32>, count: usize) {
        let mut free = self.free();
        let from = free.len() - free.len().min(count);
        batch.extend(free.drain(from..));
    }

    /// Moves free slots back.
    pub(crate) fn put_back(&self, slots: impl Iterator<Item = u32>) {
        self.free().extend(slots);
    }

    /// Begins another use of a free slot: its generation, which is odd. `None` if all applications together use as many
    /// as they may.
    pub(crate) fn begin(&self, slot: u32) -> Option<u32> {
        if !self.ceiling.take() {
            return None;
        }
        self.used.fetch_add(1, Ordering::Relaxed);
        Some(self.generations[slot as usize].fetch_add(1, Ordering::AcqRel).wrapping_add(1))
    }

    /// Whether all applications together may use more.
    pub(crate) fn has_room(&self) -> bool {
        self.ceiling.has_room()
    }

    /// Ends a slot's use: its generation, which is even.
    pub(crate) fn end(&self, slot: u32) -> u32 {
        self.ceiling.give_back();
        self.used.fetch_sub(1, Ordering::Relaxed);
        self.generations[slot as usize].fetch_add(1, Ordering::AcqRel).wrapping_add(1)
    }

    /// The present use of a slot.
    pub(crate) fn generation(&self, slot: u32) -> u32 {
        self.generations[slot as usize].load(Ordering::Acquire)
    }

    /// How many are in use.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Says that an engine needs slots. It looks once more whether there are.
    pub(crate) fn starve(&self, engine: u32) {
        self.starving.fetch_or(1 << engine, Ordering::SeqCst);
    }

    /// The engines that needed slots, a bit each; a slot was freed.
    pub(crate) fn take_starving(&self) -> u64 {
        if self.starving.load(Ordering::SeqCst) == 0 { 0 } else { self.starving.swap(0, Ordering::SeqCst) }
    }

    fn free(&self) -> MutexGuard<'_, Vec<u32>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_given_out_once_and_counts_its_uses() {
        let ceiling = Arc::new(Ceiling::new(2));
        let slots = Slots::new(3, ceiling.clone());
        let mut batch = Vec::new();
        slots.refill(&mut batch, 16);
        assert_eq!(batch, [2, 1, 0]);
        assert_eq!((slots.begin(0), slots.begin(1), slots.begin(2)), (Some(1), Some(1), None));
        assert_eq!((slots.end(0), slots.begin(0), slots.used(), ceiling.used()), (2, Some(3), 2, 2));
        slots.starve(5);
        assert_eq!((slots.take_starving(), slots.take_starving()), (1 << 5, 0));
    }
}
