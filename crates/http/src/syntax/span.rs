//! Places in a request's head.

use std::ops::Range;

/// A range of a head's octets. Nothing that is kept starts at offset zero but the method, which is
/// always there; so a span that is all zeros is an absent one, and a parser starts as zeros.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// `range`, which lies within a head whose length fits 32 bits.
    #[inline]
    pub(super) fn new(range: Range<usize>) -> Span {
        Span { start: range.start as u32, end: range.end as u32 }
    }

    /// Whether there is something, be it empty.
    #[inline]
    pub(super) const fn is_present(self) -> bool {
        self.start != 0
    }

    /// From the start of this one to the end of `other`.
    pub(super) const fn through(self, other: Span) -> Span {
        Span { start: self.start, end: other.end }
    }

    /// The octets; empty if they are not among `octets`.
    #[inline]
    pub(super) fn of(self, octets: &[u8]) -> &[u8] {
        octets.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// The octets, unless the span is absent.
    #[inline]
    pub(super) fn get(self, octets: &[u8]) -> Option<&[u8]> {
        self.is_present().then(|| self.of(octets))
    }
}
