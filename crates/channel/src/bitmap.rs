//! Bits that anybody may set and one side takes: which slots need attention.
//!
//! Two levels: a bit per slot, and a summary bit per word of them, so that to find nothing costs one line for
//! 16,384 slots. Any number of threads and processes set bits; one that is killed in between loses at most what it was
//! about to tell of itself.

use std::sync::atomic::Ordering;

use crate::memory::{Memory, Word};

/// A bitmap in shared memory.
pub struct Bitmap<'a, M> {
    memory: &'a M,
    summary: usize,
    words: usize,
    count: usize,
}

impl<'a, M: Memory> Bitmap<'a, M> {
    /// The bitmap of `slots` bits at `offset`.
    pub fn new(memory: &'a M, offset: usize, slots: u32) -> Bitmap<'a, M> {
        let count = slots as usize / 32;
        Bitmap { memory, summary: offset, words: offset + 4 * count.div_ceil(32), count }
    }

    /// Sets a slot's bit. What was written before is seen by who takes it. Ends with a fence, which a [bell](crate::bell)
    /// that is looked at next relies on.
    #[inline]
    pub fn set(&self, slot: u32) {
        let word = slot as usize / 32;
        self.memory.word(self.words + 4 * word).fetch_or(1 << (slot % 32), Ordering::AcqRel);
        self.memory.fence();
        let (summary, bit) = (self.memory.word(self.summary + 4 * (word / 32)), 1 << (word % 32));
        // If it is seen set here, who clears it looks at the word later, and finds the bit.
        if summary.load(Ordering::Relaxed) & bit == 0 {
            summary.fetch_or(bit, Ordering::AcqRel);
        }
        // In either case: who has set it may have been killed before it could ring, so its fence does not do for ours.
        self.memory.fence();
    }

    /// Whether some bit is set.
    #[inline]
    pub fn any(&self) -> bool {
        (0..self.count.div_ceil(32)).any(|at| self.memory.word(self.summary + 4 * at).load(Ordering::Relaxed) != 0)
    }

    /// Takes the bits that are set, and calls `each` with every slot. Whatever the other side sets meanwhile is seen
    /// now or the next time.
    #[inline]
    pub fn take(&self, mut each: impl FnMut(u32)) {
        for at in 0..self.count.div_ceil(32) {
            let summary = self.memory.word(self.summary + 4 * at);
            if summary.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let mut words = summary.swap(0, Ordering::AcqRel);
            self.memory.fence();
            while words != 0 {
                let word = at * 32 + words.trailing_zeros() as usize;
                words &= words - 1;
                // The other side may have set a summary bit that stands for nothing.
                if word >= self.count {
                    break;
                }
                let mut bits = self.memory.word(self.words + 4 * word).swap(0, Ordering::AcqRel);
                while bits != 0 {
                    each(word as u32 * 32 + bits.trailing_zeros());
                    bits &= bits - 1;
                }
            }
        }
    }

    /// Clears one slot's bit; returns whether it was set.
    pub fn clear(&self, slot: u32) -> bool {
        let bit = 1 << (slot % 32);
        self.memory.word(self.words + 4 * (slot as usize / 32)).fetch_and(!bit, Ordering::AcqRel) & bit != 0
    }
}
