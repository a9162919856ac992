//! A cache fragment as the payload of segments.

use std::ops::Range;

use afpa_cache::FragmentPin;
use afpa_tcp::Payload;

/// A pinned fragment: TCP holds it until its octets are acknowledged, a device until it has read them.
#[derive(Clone, Debug)]
pub struct Pinned(FragmentPin);

impl Pinned {
    /// The pin.
    pub fn pin(&self) -> &FragmentPin {
        &self.0
    }
}

impl From<FragmentPin> for Pinned {
    fn from(pin: FragmentPin) -> Pinned {
        Pinned(pin)
    }
}

impl Payload for Pinned {
    #[inline]
    fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// From the partial sums that were stored when the object was made (AFPA §3.4).
    #[inline]
    fn sum(&self, range: Range<usize>) -> u16 {
        self.0.sum(range)
    }
}
