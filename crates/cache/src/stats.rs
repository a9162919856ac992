//! What the cache counts.

use std::sync::atomic::{AtomicU64, Ordering};

use afpa_platform::memory::ArenaStats;

/// What the cache holds and has done. Sizes are in octets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CacheStats {
    /// The ceiling of `used`.
    pub capacity: u64,
    /// Everything that counts: pinned memory, and what is kept about it.
    pub used: u64,
    /// Of that, heads and payloads in pinned memory, rounding included.
    pub pinned: u64,
    /// Objects in the store.
    pub objects: u64,
    /// Of those, objects that are sent from a file.
    pub files: u64,
    /// Objects taken in.
    pub admissions: u64,
    /// Of those, objects that had been evicted a little earlier.
    pub ghost_hits: u64,
    /// Bodies and objects refused: too large, or no memory was free in time.
    pub rejections: u64,
    /// Objects evicted to make room.
    pub evictions: u64,
    /// Purges asked for.
    pub purges: u64,
    /// Lookups by workers that found an object.
    pub lookup_hits: u64,
    /// Lookups by workers that found none.
    pub lookup_misses: u64,
    /// The memory below.
    pub arena: ArenaStats,
}

#[derive(Default)]
pub(crate) struct Counters {
    admissions: AtomicU64,
    ghost_hits: AtomicU64,
    rejections: AtomicU64,
    lookup_hits: AtomicU64,
    lookup_misses: AtomicU64,
}

impl Counters {
    pub(crate) fn admitted(&self, remembered: bool) {
        self.admissions.fetch_add(1, Ordering::Relaxed);
        self.ghost_hits.fetch_add(u64::from(remembered), Ordering::Relaxed);
    }

    pub(crate) fn rejected(&self) {
        self.rejections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn looked_up(&self, found: bool) {
        let counter = if found { &self.lookup_hits } else { &self.lookup_misses };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts; the rest is left at zero.
    pub(crate) fn read(&self) -> CacheStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CacheStats {
            admissions: read(&self.admissions),
            ghost_hits: read(&self.ghost_hits),
            rejections: read(&self.rejections),
            lookup_hits: read(&self.lookup_hits),
            lookup_misses: read(&self.lookup_misses),
            ..CacheStats::default()
        }
    }
}
