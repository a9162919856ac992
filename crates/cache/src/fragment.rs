//! A fragment of a body, pinned (AFPA §3.4).

use std::fmt;
use std::ops::{Deref, Range};

use afpa_platform::memory::PinnedSlice;

use crate::checksum;

/// A pin of at most 64 KiB of a body: while it lives, the octets stay where they are, as they are.
/// Belongs to one engine.
#[derive(Clone)]
pub struct FragmentPin(PinnedSlice);

impl FragmentPin {
    pub(crate) fn new(slice: PinnedSlice) -> FragmentPin {
        FragmentPin(slice)
    }

    /// How many octets are pinned; never zero when it came from a body.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.range().len()
    }

    /// Whether nothing is pinned.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The Internet checksum's sum (RFC 1071), not complemented, of the octets in `range`, from the
    /// stored partial sums: it reads at most 63 octets at each end, and none where the range starts or
    /// ends at a multiple of 64 octets of the fragment.
    ///
    /// # Panics
    /// Unless `range` lies within the pin.
    pub fn sum(&self, range: Range<usize>) -> u16 {
        assert!(range.start <= range.end && range.end <= self.len(), "a sum beyond its pin");
        let start = self.0.range().start;
        let extent = self.0.extent();
        checksum::range_sum(extent, extent.sums(), start + range.start..start + range.end)
    }

    /// The pinned memory, for a transport that keeps the pin.
    #[inline]
    pub fn slice(&self) -> &PinnedSlice {
        &self.0
    }

    /// The pinned memory itself, for a transport.
    pub fn into_slice(self) -> PinnedSlice {
        self.0
    }
}

impl Deref for FragmentPin {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<FragmentPin> for PinnedSlice {
    fn from(pin: FragmentPin) -> PinnedSlice {
        pin.0
    }
}

impl fmt::Debug for FragmentPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FragmentPin").field(&self.0.range()).finish()
    }
}
