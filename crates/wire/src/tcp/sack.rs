//! What a receiver has got out of order.

use std::fmt;

/// At most four blocks of a SACK option (RFC 2018 §3): pairs of the first sequence number of a block and
/// the one behind its last. Whether they make sense is for TCP to say.
#[derive(Clone, Copy, Default)]
pub struct SackBlocks {
    blocks: [(u32, u32); SackBlocks::MAX],
    count: u8,
}

impl SackBlocks {
    /// How many blocks the longest option has: 40 octets have no room for a fifth.
    pub const MAX: usize = 4;

    /// None.
    pub const NONE: SackBlocks = SackBlocks { blocks: [(0, 0); SackBlocks::MAX], count: 0 };

    /// Adds a block behind the others. False if there is no room; then nothing changes.
    #[inline]
    pub fn push(&mut self, block: (u32, u32)) -> bool {
        let Some(place) = self.blocks.get_mut(usize::from(self.count)) else { return false };
        *place = block;
        self.count += 1;
        true
    }

    /// The blocks, in the order of the option.
    #[inline]
    pub fn as_slice(&self) -> &[(u32, u32)] {
        &self.blocks[..usize::from(self.count)]
    }

    /// The blocks, in the order of the option.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u32, u32)> + '_ {
        self.as_slice().iter().copied()
    }

    /// How many blocks there are.
    #[inline]
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl FromIterator<(u32, u32)> for SackBlocks {
    /// The first four of them.
    fn from_iter<I: IntoIterator<Item = (u32, u32)>>(blocks: I) -> SackBlocks {
        let mut collected = SackBlocks::NONE;
        blocks.into_iter().take(SackBlocks::MAX).for_each(|block| {
            collected.push(block);
        });
        collected
    }
}

impl IntoIterator for SackBlocks {
    type Item = (u32, u32);
    type IntoIter = std::iter::Take<std::array::IntoIter<(u32, u32), { SackBlocks::MAX }>>;

    #[inline]
    fn into_iter(self) -> Self::IntoIter {
        self.blocks.into_iter().take(usize::from(self.count))
    }
}

impl PartialEq for SackBlocks {
    fn eq(&self, other: &SackBlocks) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for SackBlocks {}

impl fmt::Debug for SackBlocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
