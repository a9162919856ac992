//! A ring of octets with one producer and one consumer. Indexes count octets and wrap; credit is what lies between.
//!
//! A side passes its own index, which it keeps where it trusts it: the server in its own memory, an application in its
//! words of the slot, since its processes share them. The other side's index is read once and checked.

use std::sync::atomic::Ordering;

use crate::Forged;
use crate::memory::{Memory, Word};

/// A ring in shared memory.
#[derive(Clone, Copy)]
pub struct ByteRing<'a, M> {
    memory: &'a M,
    produced: usize,
    consumed: usize,
    data: usize,
    size: u32,
}

/// Where octets of a ring lie: at most two pieces, as offset and length.
pub type Pieces = [(usize, usize); 2];

impl<'a, M: Memory> ByteRing<'a, M> {
    /// The ring of `size` octets (a power of two) at `data`, with its two indexes at `produced` and `consumed`.
    pub fn new(memory: &'a M, produced: usize, consumed: usize, data: usize, size: u32) -> ByteRing<'a, M> {
        debug_assert!(size.is_power_of_two());
        ByteRing { memory, produced, consumed, data, size }
    }

    /// For the consumer: how many octets there are from its index on.
    ///
    /// # Errors
    /// More than fit.
    #[inline]
    pub fn readable(&self, consumed: u32) -> Result<u32, Forged> {
        let readable = self.memory.word(self.produced).load(Ordering::Acquire).wrapping_sub(consumed);
        if readable > self.size { Err(Forged("more octets than the ring holds")) } else { Ok(readable) }
    }

    /// For the producer: how many octets there is room for.
    ///
    /// # Errors
    /// More were consumed than produced.
    #[inline]
    pub fn writable(&self, produced: u32) -> Result<u32, Forged> {
        let used = produced.wrapping_sub(self.memory.word(self.consumed).load(Ordering::Acquire));
        self.size.checked_sub(used).ok_or(Forged("more octets consumed than produced"))
    }

    /// Copies out from `index` on, without consuming. There are so many.
    ///
    /// # Panics
    /// More than the ring holds.
    #[inline]
    pub fn read(&self, index: u32, into: &mut [u8]) {
        let [first, second] = self.pieces(index, length(into));
        let (start, end) = into.split_at_mut(first.1);
        self.memory.read(first.0, start);
        self.memory.read(second.0, end);
    }

    /// Copies in from `index` on, without publishing. There is room.
    ///
    /// # Panics
    /// More than the ring holds.
    #[inline]
    pub fn write(&self, index: u32, bytes: &[u8]) {
        let [first, second] = self.pieces(index, length(bytes));
        let (start, end) = bytes.split_at(first.1);
        self.memory.write(first.0, start);
        self.memory.write(second.0, end);
    }

    /// Where `length` octets from `index` on lie.
    ///
    /// # Panics
    /// More than the ring holds.
    #[inline]
    pub fn pieces(&self, index: u32, length: u32) -> Pieces {
        assert!(length <= self.size);
        let start = index & (self.size - 1);
        let first = length.min(self.size - start);
        [(self.data + start as usize, first as usize), (self.data, (length - first) as usize)]
    }

    /// For the producer: what lies before `index` is there.
    #[inline]
    pub fn publish(&self, produced: u32) {
        self.memory.word(self.produced).store(produced, Ordering::Release);
    }

    /// For the consumer: what lies before `index` is no longer needed.
    #[inline]
    pub fn consume(&self, consumed: u32) {
        self.memory.word(self.consumed).store(consumed, Ordering::Release);
    }

    /// Octets of the ring.
    pub fn size(&self) -> u32 {
        self.size
    }
}

/// What is too long for an index is too long for a ring.
fn length(octets: &[u8]) -> u32 {
    u32::try_from(octets.len()).unwrap_or(u32::MAX)
}
