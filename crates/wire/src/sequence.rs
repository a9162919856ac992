//! Sequence numbers.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// A number in TCP's sequence space, which wraps (RFC 9293 §3.4). There is no total order: comparisons
/// hold between numbers less than 2³¹ apart, and those of one connection are, since a window is at most 2³⁰.
/// Numbers exactly 2³¹ apart are each before the other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Sequence(pub u32);

impl Sequence {
    /// Whether this comes before `other`.
    #[inline]
    pub const fn before(self, other: Sequence) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// Whether this comes after `other`.
    #[inline]
    pub const fn after(self, other: Sequence) -> bool {
        other.before(self)
    }

    /// How many octets lie between `earlier` and this. If `earlier` is not earlier, the number is huge.
    #[inline]
    pub const fn offset_from(self, earlier: Sequence) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// The later of the two.
    #[inline]
    pub const fn max(self, other: Sequence) -> Sequence {
        if self.before(other) { other } else { self }
    }

    /// The earlier of the two.
    #[inline]
    pub const fn min(self, other: Sequence) -> Sequence {
        if other.before(self) { other } else { self }
    }
}

impl Add<u32> for Sequence {
    type Output = Sequence;

    #[inline]
    fn add(self, octets: u32) -> Sequence {
        Sequence(self.0.wrapping_add(octets))
    }
}

impl AddAssign<u32> for Sequence {
    #[inline]
    fn add_assign(&mut self, octets: u32) {
        *self = *self + octets;
    }
}

impl Sub<u32> for Sequence {
    type Output = Sequence;

    #[inline]
    fn sub(self, octets: u32) -> Sequence {
        Sequence(self.0.wrapping_sub(octets))
    }
}

impl fmt::Debug for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
