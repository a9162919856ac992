//! How often each object was used lately, counted by the engine that uses it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

/// Counts stop here, as S3-FIFO's do.
pub(crate) const MOST: u8 = 3;

const CHUNK: usize = 4096;

type Chunk = Box<[AtomicU8; CHUNK]>;

/// One engine's use counts, by the objects' slots. The engine writes them and the evictor reads and
/// lowers them, with plain loads and stores: a count lost to a race is a use not noticed.
pub(crate) struct UseCounts {
    chunks: Box<[OnceLock<Chunk>]>,
}

impl UseCounts {
    /// Room for the counts of `slots` objects; what is not used is not allocated.
    pub(crate) fn new(slots: usize) -> UseCounts {
        UseCounts { chunks: (0..slots.div_ceil(CHUNK)).map(|_| OnceLock::new()).collect() }
    }

    /// Makes room for a slot's count. Allocates: for admissions, not for hits.
    pub(crate) fn prepare(&self, slot: u32) {
        if let Some(chunk) = self.chunks.get(slot as usize / CHUNK) {
            chunk.get_or_init(|| Box::new([const { AtomicU8::new(0) }; CHUNK]));
        }
    }

    /// Counts one use.
    #[inline]
    pub(crate) fn note(&self, slot: u32) {
        if let Some(count) = self.count(slot) {
            let uses = count.load(Ordering::Relaxed);
            if uses < MOST {
                count.store(uses + 1, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn get(&self, slot: u32) -> u8 {
        self.count(slot).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Counts one use less.
    pub(crate) fn lower(&self, slot: u32) {
        if let Some(count) = self.count(slot) {
            count.store(count.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
        }
    }

    pub(crate) fn clear(&self, slot: u32) {
        if let Some(count) = self.count(slot) {
            count.store(0, Ordering::Relaxed);
        }
    }

    #[inline]
    fn count(&self, slot: u32) -> Option<&AtomicU8> {
        let chunk = self.chunks.get(slot as usize / CHUNK)?.get()?;
        Some(&chunk[slot as usize % CHUNK])
    }
}
