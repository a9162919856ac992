//! Memory for what the peers sent and nobody has consumed.

use crate::pool::Pool;
use crate::receive::unread::Buffer;

/// The budget of unread and out-of-order input, one for all connections of an engine, and memory of both
/// kinds that nobody uses at the moment. At the budget's end input is refused: the peer sends it again.
///
/// What is kept for reuse is not part of the budget, and at most 16 buffers of each size from 4 to 64 KiB
/// (2 MiB) and 256 blocks (512 KiB).
pub(crate) struct Memory {
    used: usize,
    limit: usize,
    /// By size: 4 KiB, 8 KiB, ... 64 KiB.
    buffers: [Pool<Buffer>; SIZES],
    #[expect(clippy::vec_box, reason = "a block keeps its box from here to a connection and back")]
    blocks: Vec<Box<Block>>,
}

/// A stretch of the sequence space with holes.
pub(crate) type Block = [u8; BLOCK];

/// A full segment of an Ethernet, and not much more.
pub(crate) const BLOCK: usize = 2048;

const SIZES: usize = 5;
const SMALLEST: usize = 4096;
const BUFFERS_KEPT: usize = 16;
const BLOCKS_KEPT: usize = 256;

impl Memory {
    /// At most `limit` octets in use.
    pub(crate) fn new(limit: usize) -> Memory {
        let buffers = std::array::from_fn(|_| Pool::new(BUFFERS_KEPT));
        Memory { used: 0, limit, buffers, blocks: Vec::new() }
    }

    /// Octets in use.
    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// Octets that may still be taken.
    pub(crate) fn room(&self) -> usize {
        self.limit - self.used
    }

    /// The size of a buffer that holds `count` octets: a power of two, at least 4 KiB.
    pub(super) fn size_for(count: usize) -> usize {
        count.checked_next_power_of_two().unwrap_or(usize::MAX).max(SMALLEST)
    }

    /// A buffer of `size` octets, one of the sizes that `size_for` names.
    pub(super) fn take_buffer(&mut self, size: usize) -> Option<Box<Buffer>> {
        if !self.take(size) {
            return None;
        }
        let mut buffer = match self.pool(size) {
            Some(pool) => pool.take(),
            None => Box::default(),
        };
        buffer.provide(size);
        Some(buffer)
    }

    pub(super) fn give_buffer(&mut self, buffer: Box<Buffer>) {
        let size = buffer.size();
        self.give(size);
        if let Some(pool) = self.pool(size) {
            pool.give(buffer);
        }
    }

    pub(super) fn take_block(&mut self) -> Option<Box<Block>> {
        if !self.take(BLOCK) {
            return None;
        }
        // What another connection left in it is written over before it is read.
        Some(self.blocks.pop().unwrap_or_else(|| Box::new([0; BLOCK])))
    }

    pub(super) fn give_block(&mut self, block: Box<Block>) {
        self.give(BLOCK);
        if self.blocks.len() < BLOCKS_KEPT {
            self.blocks.push(block);
        }
    }

    fn pool(&mut self, size: usize) -> Option<&mut Pool<Buffer>> {
        self.buffers.get_mut((size / SMALLEST).trailing_zeros() as usize)
    }

    fn take(&mut self, octets: usize) -> bool {
        let fits = octets <= self.room();
        if fits {
            self.used += octets;
        }
        fits
    }

    fn give(&mut self, octets: usize) {
        self.used = self.used.saturating_sub(octets);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_kept_and_what_is_given_back_can_be_taken_again() {
        let mut memory = Memory::new(3 * BLOCK);
        let blocks: Vec<_> = std::iter::from_fn(|| memory.take_block()).take(10).collect();
        assert_eq!((blocks.len(), memory.room()), (3, 0));
        assert!(memory.take_buffer(SMALLEST).is_none());
        blocks.into_iter().for_each(|block| memory.give_block(block));
        assert_eq!(memory.used(), 0);
        let buffer = memory.take_buffer(SMALLEST).unwrap();
        assert!(memory.take_buffer(SMALLEST).is_none());
        memory.give_buffer(buffer);
        assert_eq!((memory.used(), memory.room()), (0, 3 * BLOCK));
    }

    #[test]
    fn sizes_are_powers_of_two() {
        let table = [(0, 4096), (1, 4096), (4096, 4096), (4097, 8192), (65_536, 65_536), (65_537, 131_072)];
        for (count, size) in table {
            assert_eq!(Memory::size_for(count), size);
        }
        assert_eq!(Memory::size_for(usize::MAX), usize::MAX);
    }
}
