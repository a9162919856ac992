//! Buffers of a device, taken from the arena.

use std::sync::Arc;

use super::MAX_EXTENT;
use super::arena::Arena;
use super::extent::ExtentMut;

/// Chunks of memory that a device reads and writes, cut from whole pages of an arena. They go back to it
/// when this is dropped; until then nobody but the holder and its device reaches them.
pub(crate) struct Frames {
    pages: Vec<ExtentMut>,
}

impl Frames {
    /// Octets of a chunk, and what its offset is a multiple of.
    pub(crate) const CHUNK: usize = 4096;

    /// At least `count` chunks; `None` if the arena has no room for them.
    pub(crate) fn allocate(arena: &Arc<Arena>, count: usize) -> Option<Frames> {
        let pages = count.div_ceil(MAX_EXTENT / Frames::CHUNK);
        let pages = (0..pages).map(|_| arena.allocate(MAX_EXTENT)).collect::<Option<Vec<_>>>()?;
        Some(Frames { pages })
    }

    /// Where each chunk lies in the arena.
    pub(crate) fn offsets(&self) -> impl Iterator<Item = u64> {
        let chunks = (0..MAX_EXTENT).step_by(Frames::CHUNK);
        self.pages.iter().flat_map(move |page| chunks.clone().map(move |chunk| page.offset() + chunk as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_aligned_and_apart_and_come_back() {
        let arena = Arena::new(1 << 20).expect("an arena");
        let frames = Frames::allocate(&arena, 100).expect("room");
        let mut offsets: Vec<u64> = frames.offsets().collect();
        offsets.sort_unstable();
        offsets.dedup();
        assert_eq!(offsets.len(), 112);
        assert!(offsets.iter().all(|offset| offset % Frames::CHUNK as u64 == 0));
        assert!(Frames::allocate(&arena, 300).is_none());
        drop(frames);
        assert_eq!(arena.in_use(), 0);
    }
}
