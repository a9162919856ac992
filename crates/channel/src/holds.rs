//! Who refers to which slot: an octet for each slot and process, written by that process, or by its parent before it
//! is forked.
//!
//! A process that lets go of a slot clears its own entry first and looks at the others' then, so of several that let
//! go at once the last one, at least, sees that nobody is left; all of them may. For a process that has died the server
//! clears its entries, and then looks at every slot that is given out: the process may have let go of one and died
//! before it looked at the others' entries.

use std::sync::atomic::Ordering;

use crate::memory::{Memory, Word};

/// The holds of one process.
pub struct Holds<'a, M> {
    memory: &'a M,
    offset: usize,
    slots: u32,
}

impl<'a, M: Memory> Holds<'a, M> {
    pub(crate) fn new(memory: &'a M, offset: usize, slots: u32) -> Holds<'a, M> {
        Holds { memory, offset, slots }
    }

    /// Whether the process refers to the slot.
    pub fn has(&self, slot: u32) -> bool {
        let (word, shift) = self.place(slot);
        word.load(Ordering::Acquire) >> shift & 0xff != 0
    }

    /// The process refers to the slot.
    pub fn hold(&self, slot: u32) {
        let (word, shift) = self.place(slot);
        word.fetch_or(1 << shift, Ordering::AcqRel);
        self.memory.fence();
    }

    /// The process refers to the slot no more.
    pub fn release(&self, slot: u32) {
        let (word, shift) = self.place(slot);
        word.fetch_and(!(0xff << shift), Ordering::AcqRel);
        self.memory.fence();
    }

    /// Calls `each` with every slot that the process refers to.
    pub fn each(&self, mut each: impl FnMut(u32)) {
        for first in (0..self.slots).step_by(4) {
            let word = self.place(first).0.load(Ordering::Acquire);
            if word != 0 {
                (first..first + 4).filter(|slot| word >> (slot % 4 * 8) & 0xff != 0).for_each(&mut each);
            }
        }
    }

    /// Writes the same holds for another process.
    pub fn copy_to(&self, other: &Holds<'_, M>) {
        self.each(|slot| other.hold(slot));
    }

    fn place(&self, slot: u32) -> (&'a M::Word, u32) {
        assert!(slot < self.slots);
        (self.memory.word(self.offset + (slot & !3) as usize), slot % 4 * 8)
    }
}
