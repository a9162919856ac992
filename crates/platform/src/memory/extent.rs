//! Extents: written once, then sealed and shared.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::allocator::Place;
use super::arena::Arena;

/// An extent that is being written by its only owner. Its first contents are arbitrary.
pub struct ExtentMut {
    range: Range,
    len: u32,
}

/// An extent whose contents never change. Dropping the last reference returns its range.
pub struct Extent {
    range: Range,
    len: u32,
    sums: Box<[u16]>,
}

/// A range of the arena, given back when dropped.
pub(super) struct Range {
    arena: Arc<Arena>,
    start: NonNull<u8>,
    size: u32,
    lendable: bool,
    lent: AtomicBool,
}

// SAFETY: a range is a claim on memory of the process, not of a thread; contents are reached only
// through `ExtentMut` (by its owner) and `Extent` (for reading).
unsafe impl Send for Range {}
// SAFETY: as above; `lent` is atomic.
unsafe impl Sync for Range {}

impl ExtentMut {
    /// # Safety
    /// `range` must be valid for `len` octets and belong to nobody else.
    pub(super) unsafe fn new(range: Range, len: u32) -> ExtentMut {
        debug_assert!(len <= range.size);
        ExtentMut { range, len }
    }

    /// Ends writing. `sums` is whatever the owner wants to remember of the contents, such as partial
    /// checksums.
    pub fn seal(self, sums: Box<[u16]>) -> Arc<Extent> {
        Arc::new(Extent { range: self.range, len: self.len, sums })
    }

    /// The octets that the extent occupies, rounding included.
    pub fn footprint(&self) -> usize {
        self.range.size as usize
    }

    /// Where the extent lies in its arena.
    pub(super) fn offset(&self) -> u64 {
        self.range.arena.offset_of(self.range.start)
    }
}

impl Deref for ExtentMut {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the range is valid for `len` octets, faulted in, and ours alone (see `new`); memory
        // of a file is always initialised.
        unsafe { slice::from_raw_parts(self.range.start.as_ptr(), self.len as usize) }
    }
}

impl DerefMut for ExtentMut {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; `&mut self` makes the borrow unique.
        unsafe { slice::from_raw_parts_mut(self.range.start.as_ptr(), self.len as usize) }
    }
}

impl Extent {
    /// What was given to [`ExtentMut::seal`].
    pub fn sums(&self) -> &[u16] {
        &self.sums
    }

    /// The octets that the extent occupies, rounding included.
    pub fn footprint(&self) -> usize {
        self.range.size as usize
    }

    /// Where the extent lies in `arena`; `None` if it is of another.
    #[inline]
    pub(crate) fn offset_in(&self, arena: &Arc<Arena>) -> Option<u64> {
        Arc::ptr_eq(&self.range.arena, arena).then(|| arena.offset_of(self.range.start))
    }

    /// Whether [`Extent::lend`] would lend.
    pub(super) fn is_lendable(&self) -> bool {
        self.range.lendable && self.range.arena.may_lend()
    }

    /// Marks the extent as lent; `false` if it shares its page with others, or the arena lends nothing.
    pub(super) fn lend(&self) -> bool {
        if !self.is_lendable() {
            return false;
        }
        // The flag only ever rises, and whoever drops the last `Arc` sees it: no read-modify-write.
        let lent = &self.range.lent;
        if !lent.load(Ordering::Relaxed) {
            lent.store(true, Ordering::Relaxed);
        }
        true
    }
}

impl Deref for Extent {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: the range is valid for `len` octets until it is dropped, and nobody writes to it
        // since it was sealed.
        unsafe { slice::from_raw_parts(self.range.start.as_ptr(), self.len as usize) }
    }
}

impl Range {
    pub(super) fn new(arena: Arc<Arena>, start: NonNull<u8>, place: Place) -> Range {
        Range { arena, start, size: place.size, lendable: place.lendable, lent: AtomicBool::new(false) }
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        self.arena.give_back(self.arena.offset_of(self.start), self.size, *self.lent.get_mut());
    }
}

impl fmt::Debug for ExtentMut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExtentMut").field("len", &self.len).finish_non_exhaustive()
    }
}

impl fmt::Debug for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extent").field("len", &self.len).finish_non_exhaustive()
    }
}
