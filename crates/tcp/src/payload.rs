//! Memory that is sent from where it lies.

use std::ops::Range;
use std::rc::Rc;

use afpa_wire::checksum;

/// Octets that stay where they are, as they are, while a clone of this lives (AFPA §3.4's pin).
/// Cloning must be cheap: a segment that is under way holds one.
pub trait Payload: Clone {
    /// The octets. Not asked for if they are [volatile](Payload::is_volatile).
    fn bytes(&self) -> &[u8];

    /// How many octets.
    fn length(&self) -> usize {
        self.bytes().len()
    }

    /// Whether others may write the octets at any time, so that no slice of them can be had, and no sum holds. A
    /// segment is made of a [copy](Payload::copy) then: what is summed is what is sent. Unless the sink
    /// [sends them from where they lie](crate::Sink::lends).
    #[inline]
    fn is_volatile(&self) -> bool {
        false
    }

    /// Copies the octets in `range`.
    fn copy(&self, range: Range<usize>, into: &mut [u8]) {
        into.copy_from_slice(&self.bytes()[range]);
    }

    /// The Internet checksum's sum (RFC 1071), not complemented, of the octets in `range`, as if the
    /// range began at an even octet. Whoever stored partial sums need not read the octets.
    fn sum(&self, range: Range<usize>) -> u16;
}

impl Payload for Rc<[u8]> {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn sum(&self, range: Range<usize>) -> u16 {
        checksum::sum(&self[range])
    }
}
