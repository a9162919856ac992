//! Memory that others write, as the protocol needs it.

use std::sync::atomic::{AtomicU32, Ordering, fence};

use afpa_platform::foreign::ForeignMemory;

/// A word of shared memory: an atomic of 32 bits.
pub trait Word {
    /// Loads it.
    fn load(&self, order: Ordering) -> u32;
    /// Stores it.
    fn store(&self, value: u32, order: Ordering);
    /// Stores `value`; returns what was there.
    fn swap(&self, value: u32, order: Ordering) -> u32;
    /// Sets bits; returns what was there.
    fn fetch_or(&self, bits: u32, order: Ordering) -> u32;
    /// Clears the bits that are not in `bits`; returns what was there.
    fn fetch_and(&self, bits: u32, order: Ordering) -> u32;
    /// Stores `new` if `current` is there, acquiring and releasing; returns what was there, as an error if it is something else.
    ///
    /// # Errors
    /// Another value was there, and stays.
    fn compare_exchange(&self, current: u32, new: u32) -> Result<u32, u32>;
}

/// Memory that two sides share. Offsets are in octets, and are the caller's to get right: they come from the
/// [layout](crate::layout), never from the other side.
pub trait Memory {
    /// Its words.
    type Word: Word;

    /// The word at `offset`, a multiple of four.
    ///
    /// # Panics
    /// Beyond the end.
    fn word(&self, offset: usize) -> &Self::Word;

    /// Copies out.
    ///
    /// # Panics
    /// Beyond the end.
    fn read(&self, offset: usize, into: &mut [u8]);

    /// Copies in.
    ///
    /// # Panics
    /// Beyond the end.
    fn write(&self, offset: usize, bytes: &[u8]);

    /// Orders everything before it against everything after it, for all who do the same.
    fn fence(&self);
}

impl Word for AtomicU32 {
    #[inline]
    fn load(&self, order: Ordering) -> u32 {
        AtomicU32::load(self, order)
    }

    #[inline]
    fn store(&self, value: u32, order: Ordering) {
        AtomicU32::store(self, value, order);
    }

    #[inline]
    fn swap(&self, value: u32, order: Ordering) -> u32 {
        AtomicU32::swap(self, value, order)
    }

    #[inline]
    fn fetch_or(&self, bits: u32, order: Ordering) -> u32 {
        AtomicU32::fetch_or(self, bits, order)
    }

    #[inline]
    fn fetch_and(&self, bits: u32, order: Ordering) -> u32 {
        AtomicU32::fetch_and(self, bits, order)
    }

    #[inline]
    fn compare_exchange(&self, current: u32, new: u32) -> Result<u32, u32> {
        AtomicU32::compare_exchange(self, current, new, Ordering::AcqRel, Ordering::Acquire)
    }
}

impl Memory for ForeignMemory {
    type Word = AtomicU32;

    #[inline]
    fn word(&self, offset: usize) -> &AtomicU32 {
        self.atomic_u32(offset)
    }

    #[inline]
    fn read(&self, offset: usize, into: &mut [u8]) {
        ForeignMemory::read(self, offset, into);
    }

    #[inline]
    fn write(&self, offset: usize, bytes: &[u8]) {
        ForeignMemory::write(self, offset, bytes);
    }

    #[inline]
    fn fence(&self) {
        fence(Ordering::SeqCst);
    }
}
