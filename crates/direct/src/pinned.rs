//! Memory as the payload of segments: a cache's fragment, or what other processes share with us.

use std::ops::Range;

use afpa_cache::FragmentPin;
use afpa_platform::foreign::ForeignSlice;
use afpa_tcp::Payload;
use afpa_wire::checksum;

/// Octets that are summed at once: an even number.
const STEP: usize = 1024;

/// Pinned memory: TCP holds it until its octets are acknowledged, a device until it has read them.
#[derive(Clone, Debug)]
pub struct Pinned(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Fragment(FragmentPin),
    /// A segment has a copy, unless the device sends it from where it lies.
    Foreign(ForeignSlice),
}

impl Pinned {
    /// The slice, of memory that others share.
    pub fn foreign(&self) -> Option<&ForeignSlice> {
        match &self.0 {
            Kind::Fragment(_) => None,
            Kind::Foreign(slice) => Some(slice),
        }
    }

    /// The pin, of a fragment.
    pub fn pin(&self) -> Option<&FragmentPin> {
        match &self.0 {
            Kind::Fragment(pin) => Some(pin),
            Kind::Foreign(_) => None,
        }
    }
}

impl From<FragmentPin> for Pinned {
    fn from(pin: FragmentPin) -> Pinned {
        Pinned(Kind::Fragment(pin))
    }
}

impl From<ForeignSlice> for Pinned {
    fn from(slice: ForeignSlice) -> Pinned {
        Pinned(Kind::Foreign(slice))
    }
}

impl Payload for Pinned {
    #[inline]
    fn bytes(&self) -> &[u8] {
        self.pin().map_or(&[], |pin| pin)
    }

    #[inline]
    fn length(&self) -> usize {
        match &self.0 {
            Kind::Fragment(pin) => pin.len(),
            Kind::Foreign(slice) => slice.len(),
        }
    }

    #[inline]
    fn is_volatile(&self) -> bool {
        matches!(self.0, Kind::Foreign(_))
    }

    fn copy(&self, range: Range<usize>, into: &mut [u8]) {
        match &self.0 {
            Kind::Fragment(pin) => into.copy_from_slice(&pin[range]),
            Kind::Foreign(slice) => slice.read(range.start, into),
        }
    }

    /// From the partial sums that were stored when the object was made (AFPA §3.4). Of memory that others share, of what
    /// is there now.
    #[inline]
    fn sum(&self, range: Range<usize>) -> u16 {
        match &self.0 {
            Kind::Fragment(pin) => pin.sum(range),
            Kind::Foreign(slice) => sum_of(slice, range),
        }
    }
}

/// In steps that stay in the processor's nearest memory: no reference to what others write is ever made.
fn sum_of(slice: &ForeignSlice, range: Range<usize>) -> u16 {
    let mut step = [0; STEP];
    let starts = range.clone().step_by(STEP);
    starts.fold(0, |total, start| {
        let step = &mut step[..STEP.min(range.end - start)];
        slice.read(start, step);
        checksum::add(total, checksum::sum(step))
    })
}
