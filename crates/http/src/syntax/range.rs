//! Range requests (RFC 9110 §14).

use std::ops::Range;

use super::conditional::{Validators, if_range_holds};
use super::head::RequestHead;
use super::octet::{saturating_decimal, trimmed};

/// The most ranges that one request may ask for. More are not worth what they cost, and the whole
/// representation is sent instead (RFC 9110 §14.2).
pub const MAX_RANGES: usize = 16;

/// The most ranges of one request that may overlap others before it is taken for an attack (RFC 9110
/// §14.2).
const MAX_OVERLAPPING: usize = 2;

/// Which octets of a representation are to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ranges {
    /// All: 200.
    Whole,
    /// None of those that were asked for exist: 416.
    Unsatisfiable,
    /// These: 206. Not empty.
    One(Range<u64>),
    /// These, as multipart/byteranges: 206. At least two and at most [`MAX_RANGES`], none of them
    /// empty, no two overlapping.
    Several(Vec<Range<u64>>),
}

/// What a request's Range comes to for a representation that is `length` octets long and has these
/// `validators`. `octets` are the head's.
pub fn wanted(head: &RequestHead, octets: &[u8], validators: &Validators<'_>, length: u64) -> Ranges {
    match head.range(octets) {
        Some(value) if head.has_range() && if_range_holds(head, octets, validators) => parse(value, length),
        _ => Ranges::Whole,
    }
}

/// What the value of a Range field comes to. A malformed one, one in other units than bytes, and one
/// that asks for too much is ignored (RFC 9110 §14.2).
pub fn parse(value: &[u8], length: u64) -> Ranges {
    let Some(set) = set_of_bytes(value) else { return Ranges::Whole };
    let mut ranges = Vec::new();
    let (mut count, mut empty) = (0, false);
    for element in set.split(|&octet| octet == b',').map(trimmed).filter(|element| !element.is_empty()) {
        count += 1;
        let Some(spec) = Spec::parse(element) else { return Ranges::Whole };
        if count > MAX_RANGES {
            return Ranges::Whole;
        }
        // A suffix of an empty representation is satisfiable, but no Content-Range can name it.
        empty |= length == 0 && matches!(spec, Spec::Last(1..));
        ranges.extend(spec.within(length));
    }
    match ranges.len() {
        _ if count == 0 || empty => Ranges::Whole,
        0 => Ranges::Unsatisfiable,
        _ => disjoint(ranges),
    }
}

/// One member of a set of ranges (RFC 9110 §14.1.1).
#[derive(Clone, Copy)]
enum Spec {
    FromTo(u64, u64),
    Last(u64),
}

impl Spec {
    fn parse(element: &[u8]) -> Option<Spec> {
        let dash = element.iter().position(|&octet| octet == b'-')?;
        let (first, last) = (&element[..dash], &element[dash + 1..]);
        match (first, last) {
            (b"", last) => Some(Spec::Last(saturating_decimal(last)?)),
            (first, b"") => Some(Spec::FromTo(saturating_decimal(first)?, u64::MAX)),
            (first, last) => {
                let (first, last) = (saturating_decimal(first)?, saturating_decimal(last)?);
                // RFC 9110 §14.1.1: invalid the other way round.
                (first <= last).then_some(Spec::FromTo(first, last))
            }
        }
    }

    /// What of it exists in `length` octets (RFC 9110 §14.1.2).
    fn within(self, length: u64) -> Option<Range<u64>> {
        let range = match self {
            Spec::FromTo(first, last) => first..last.saturating_add(1).min(length),
            Spec::Last(count) => length.saturating_sub(count)..length,
        };
        (range.start < range.end).then_some(range)
    }
}

/// The set that follows `bytes=`; units are named in any case (RFC 9110 §14.1).
fn set_of_bytes(value: &[u8]) -> Option<&[u8]> {
    let (unit, set) = value.split_at_checked(6)?;
    unit.eq_ignore_ascii_case(b"bytes=").then_some(set)
}

/// Coalesces ranges that overlap or touch; those that do not stay in the order in which they were
/// asked for (RFC 9110 §15.3.7.2).
fn disjoint(ranges: Vec<Range<u64>>) -> Ranges {
    let mut sorted = ranges.clone();
    sorted.sort_unstable_by_key(|range| (range.start, range.end));
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
    let mut overlapping = 0;
    for range in sorted {
        match merged.last_mut() {
            Some(before) if range.start <= before.end => {
                overlapping += usize::from(range.start < before.end);
                before.end = before.end.max(range.end);
            }
            _ => merged.push(range),
        }
    }
    if overlapping > MAX_OVERLAPPING {
        return Ranges::Whole;
    }
    let mut kept = if merged.len() == ranges.len() { ranges } else { merged };
    match kept.len() {
        1 => Ranges::One(kept.remove(0)),
        _ => Ranges::Several(kept),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::syntax::fuzz;

    #[test]
    fn sets_of_ranges() {
        use Ranges::{One, Several, Unsatisfiable, Whole};
        let rows: &[(&str, u64, Ranges)] = &[
            ("bytes=0-499", 10_000, One(0..500)),
            ("bytes=500-999", 10_000, One(500..1000)),
            ("bytes=-500", 10_000, One(9500..10_000)),
            ("bytes=9500-", 10_000, One(9500..10_000)),
            ("bytes=0-0,-1", 10_000, Several(vec![0..1, 9999..10_000])),
            ("BYTES= 0-0 , ,\t5-6,", 10, Several(vec![0..1, 5..7])),
            ("bytes=5-6,0-1", 10, Several(vec![5..7, 0..2])),
            ("bytes=0-", 10, One(0..10)),
            ("bytes=0-99999999999999999999999", 10, One(0..10)),
            ("bytes=99999999999999999999999-", 10, Unsatisfiable),
            ("bytes=-99999999999999999999999", 10, One(0..10)),
            ("bytes=10-", 10, Unsatisfiable),
            ("bytes=10-20,30-", 10, Unsatisfiable),
            ("bytes=9-,10-", 10, One(9..10)),
            ("bytes=-0", 10, Unsatisfiable),
            ("bytes=-0,1-1", 10, One(1..2)),
            ("bytes=0-", 0, Unsatisfiable),
            ("bytes=-5", 0, Whole),
            ("bytes=-0", 0, Unsatisfiable),
            // Coalesced: RFC 9110 §15.3.7.2.
            ("bytes=0-4,5-9", 100, One(0..10)),
            ("bytes=0-4,2-9", 100, One(0..10)),
            ("bytes=20-29,0-4,2-9", 100, Several(vec![0..10, 20..30])),
            // Ignored: RFC 9110 §14.2.
            ("bytes=0-,0-,0-,0-", 100, Whole),
            (
                "bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22,24-24,26-26,28-28,30-30,32-32",
                100,
                Whole,
            ),
            ("bytes=5-4", 10, Whole),
            ("bytes=0-1,5-4", 10, Whole),
            ("bytes=", 10, Whole),
            ("bytes=,", 10, Whole),
            ("bytes=-", 10, Whole),
            ("bytes=a-b", 10, Whole),
            ("bytes=+1-2", 10, Whole),
            ("bytes=1 - 2", 10, Whole),
            ("bytes=0x1-2", 10, Whole),
            ("bytes=--1", 10, Whole),
            ("bytes=1", 10, Whole),
            ("bytes =0-1", 10, Whole),
            ("items=0-1", 10, Whole),
            ("", 10, Whole),
        ];
        for (value, length, expected) in rows {
            assert_eq!(&parse(value.as_bytes(), *length), expected, "{value} of {length}");
        }
    }

    proptest! {
        #[test]
        fn any_value_keeps_the_promises(set in "[0-9,\\-]{0,40}", length in 0u8..120) {
            fuzz::range(&[&[length], b"bytes=".as_slice(), set.as_bytes()].concat());
        }
    }
}
