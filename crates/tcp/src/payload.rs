//! Memory that is sent from where it lies.

use std::ops::Range;
use std::rc::Rc;

use afpa_wire::checksum;

/// Octets that stay where they are, as they are, while a clone of this lives (AFPA §3.4's pin).
/// Cloning must be cheap: a segment that is under way holds one.
pub trait Payload: Clone {
    /// The octets.
    fn bytes(&self) -> &[u8];

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
