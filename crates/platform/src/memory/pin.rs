//! Pins: how an engine keeps an extent in memory, without atomic read-modify-writes.

use std::fmt;
use std::ops::{Deref, Range};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::extent::Extent;

/// An extent as one engine knows it: pins of it are counted by an [`Rc`].
#[derive(Clone)]
pub struct LocalExtent {
    shared: Rc<Shared>,
}

struct Shared {
    extent: Arc<Extent>,
    pins: Arc<AtomicU64>,
}

/// A pin: a range of an extent whose address is stable and whose contents do not change while it
/// lives. Belongs to one engine.
pub struct PinnedSlice {
    shared: Rc<Shared>,
    start: u32,
    end: u32,
}

/// A range of an extent, kept in memory for another thread.
#[derive(Clone)]
pub struct SharedSlice {
    extent: Arc<Extent>,
    start: u32,
    end: u32,
}

impl LocalExtent {
    /// `pins` counts the pins that an engine holds; only the engine's own thread writes it.
    pub fn new(extent: Arc<Extent>, pins: Arc<AtomicU64>) -> LocalExtent {
        LocalExtent { shared: Rc::new(Shared { extent, pins }) }
    }

    /// Pins `range` of the extent.
    ///
    /// # Panics
    /// Unless `range` lies within the extent.
    #[inline]
    pub fn pin(&self, range: Range<usize>) -> PinnedSlice {
        assert!(range.start <= range.end && range.end <= self.shared.extent.len(), "a pin beyond its extent");
        PinnedSlice::new(&self.shared, range.start as u32, range.end as u32)
    }

    /// The extent itself.
    pub fn extent(&self) -> &Arc<Extent> {
        &self.shared.extent
    }
}

impl PinnedSlice {
    #[inline]
    fn new(shared: &Rc<Shared>, start: u32, end: u32) -> PinnedSlice {
        // One thread writes, so that a load and a store make no race.
        let pins = shared.pins.load(Ordering::Relaxed);
        shared.pins.store(pins.wrapping_add(1), Ordering::Relaxed);
        PinnedSlice { shared: shared.clone(), start, end }
    }

    /// The same octets, for another thread.
    pub fn share(&self) -> SharedSlice {
        SharedSlice { extent: self.shared.extent.clone(), start: self.start, end: self.end }
    }

    /// Marks the slice as lent to the kernel, so that its pages are not written again; `false` if its
    /// extent shares a page with others (those up to 14 KiB do) or the arena is registered with a device.
    pub fn lend(&self) -> bool {
        self.shared.extent.lend()
    }

    /// Whether [`PinnedSlice::lend`] would lend; lends nothing itself.
    pub fn is_lendable(&self) -> bool {
        self.shared.extent.is_lendable()
    }

    /// The extent that the slice is part of.
    pub fn extent(&self) -> &Extent {
        &self.shared.extent
    }

    /// Which octets of its extent the slice is.
    pub fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl Clone for PinnedSlice {
    fn clone(&self) -> PinnedSlice {
        PinnedSlice::new(&self.shared, self.start, self.end)
    }
}

impl Drop for PinnedSlice {
    #[inline]
    fn drop(&mut self) {
        let pins = self.shared.pins.load(Ordering::Relaxed);
        self.shared.pins.store(pins.wrapping_sub(1), Ordering::Relaxed);
    }
}

impl Deref for PinnedSlice {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.shared.extent[self.start as usize..self.end as usize]
    }
}

impl SharedSlice {
    /// As [`PinnedSlice::is_lendable`].
    pub fn is_lendable(&self) -> bool {
        self.extent.is_lendable()
    }

    /// As [`PinnedSlice::lend`].
    pub fn lend(&self) -> bool {
        self.extent.lend()
    }
}

impl Deref for SharedSlice {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.extent[self.start as usize..self.end as usize]
    }
}

impl fmt::Debug for LocalExtent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LocalExtent").field(&self.shared.extent).finish()
    }
}

impl fmt::Debug for PinnedSlice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PinnedSlice").field(&self.range()).finish()
    }
}

impl fmt::Debug for SharedSlice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedSlice").field(&(self.start..self.end)).finish()
    }
}
