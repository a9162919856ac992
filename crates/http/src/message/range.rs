//! Range requests (RFC 9110 §14).

use std::ops::Range;

use super::conditional::{Validators, if_range_holds};
use super::method::Method;
use super::octets::{decimal, members, trim};
use super::request::RequestHead;

/// The most ranges that one request may ask for; with more it gets the whole (RFC 9110 §17.15).
pub const MOST: usize = 16;

/// What part of a representation a request wants. No range is empty, and none reaches beyond the end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ranges {
    /// All of it: 200.
    Whole,
    /// Nothing that there is: 416.
    Unsatisfiable,
    /// One range: 206.
    One(Range<u64>),
    /// At least two, which do not overlap, in the order in which they were asked for: 206 with
    /// multipart/byteranges.
    Several(Vec<Range<u64>>),
}

/// What a request wants of a representation of `length` octets. Its preconditions must hold already.
///
/// A Range that is malformed, of another unit, or abusive counts as absent, which RFC 9110 §14.2 allows
/// for every Range. Abusive is what has more than [`MOST`] ranges, or ranges that overlap.
pub fn wanted(head: &RequestHead, octets: &[u8], validators: &Validators<'_>, length: u64) -> Ranges {
    // RFC 9110 §14.2: for other methods Range has no meaning.
    if head.method() != Method::Get {
        return Ranges::Whole;
    }
    let Some(value) = head.range(octets) else { return Ranges::Whole };
    match head.if_range(octets) {
        Some(condition) if !if_range_holds(condition, validators) => Ranges::Whole,
        _ => parse(value, length),
    }
}

/// What the value of Range asks for of `length` octets.
pub fn parse(value: &[u8], length: u64) -> Ranges {
    let Some(set) = byte_ranges(value) else { return Ranges::Whole };
    let mut satisfiable = Vec::new();
    let mut count = 0;
    for spec in members(set) {
        count += 1;
        match parse_spec(spec, length) {
            _ if count > MOST => return Ranges::Whole,
            None => return Ranges::Whole,
            Some(range) if range.is_empty() => {}
            Some(range) => satisfiable.push(range),
        }
    }
    match satisfiable.as_slice() {
        _ if count == 0 => Ranges::Whole,
        [] => Ranges::Unsatisfiable,
        [range] => Ranges::One(range.clone()),
        _ => several(satisfiable),
    }
}

/// What follows `bytes=`; units are case-insensitive (RFC 9110 §14.1).
fn byte_ranges(value: &[u8]) -> Option<&[u8]> {
    let equals = value.iter().position(|&octet| octet == b'=')?;
    value[..equals].eq_ignore_ascii_case(b"bytes").then_some(&value[equals + 1..])
}

/// `first-[last]` or `-suffix` (RFC 9110 §14.1.2). Empty if it lies beyond the end; `None` if it is
/// malformed.
fn parse_spec(spec: &[u8], length: u64) -> Option<Range<u64>> {
    let dash = spec.iter().position(|&octet| octet == b'-')?;
    match (trim(&spec[..dash]), trim(&spec[dash + 1..])) {
        (b"", suffix) => Some(length.saturating_sub(number(suffix)?)..length),
        (first, b"") => Some(number(first)?.min(length)..length),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then(|| first.min(length)..last.saturating_add(1).min(length))
        }
    }
}

/// A number too large for 64 bits lies beyond every end all the same.
fn number(digits: &[u8]) -> Option<u64> {
    let well_formed = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    well_formed.then(|| decimal(digits).unwrap_or(u64::MAX))
}

/// Overlapping ranges ask for more than there is: RFC 9110 §17.15.
fn several(ranges: Vec<Range<u64>>) -> Ranges {
    let mut sorted = ranges.clone();
    sorted.sort_unstable_by_key(|range| range.start);
    let overlap = sorted.windows(2).any(|pair| pair[0].end > pair[1].start);
    if overlap { Ranges::Whole } else { Ranges::Several(ranges) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Limits, RequestParser};
    use super::*;

    #[test]
    fn ranges_of_a_thousand_octets() {
        use Ranges::*;
        for (value, expected) in [
            ("bytes=0-0", One(0..1)),
            ("bytes=0-499", One(0..500)),
            ("Bytes=500-", One(500..1000)),
            ("bytes=-1", One(999..1000)),
            ("bytes=-5000", One(0..1000)),
            ("bytes=900-5000", One(900..1000)),
            ("bytes=999-18446744073709551615", One(999..1000)),
            ("bytes=0-99999999999999999999999", One(0..1000)),
            ("bytes= , 1-2 ,", One(1..3)),
            ("bytes=1-2,5000-", One(1..3)),
            ("bytes=0-0,-1", Several(vec![0..1, 999..1000])),
            ("bytes=500-599, 0-99", Several(vec![500..600, 0..100])),
            ("bytes=0-99,100-199", Several(vec![0..100, 100..200])),
            ("bytes=1000-", Unsatisfiable),
            ("bytes=1000-2000,3000-", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=99999999999999999999999-", Unsatisfiable),
            // Malformed, or another unit: ignored.
            ("", Whole),
            ("bytes", Whole),
            ("bytes=", Whole),
            ("bytes=,", Whole),
            ("bytes=a-b", Whole),
            ("bytes=2-1", Whole),
            ("bytes=-", Whole),
            ("bytes=--1", Whole),
            ("bytes=+1-2", Whole),
            ("bytes=1-2-3", Whole),
            ("bytes=1-2,x", Whole),
            ("bytes =1-2", Whole),
            ("items=1-2", Whole),
            // Abusive: ignored.
            ("bytes=0-99,50-149", Whole),
            ("bytes=0-,0-,0-", Whole),
            ("bytes=1-1,3-3,5-5,7-7,9-9,11-11,13-13,15-15,17-17,19-19,21-21,23-23,25-25,27-27,29-29,31-31,33-33", Whole),
        ] {
            assert_eq!(parse(value.as_bytes(), 1000), expected, "{value}");
        }
    }

    #[test]
    fn of_nothing_nothing_can_be_had() {
        for value in ["bytes=0-", "bytes=0-0", "bytes=-1"] {
            assert_eq!(parse(value.as_bytes(), 0), Ranges::Unsatisfiable, "{value}");
        }
    }

    #[test]
    fn only_get_and_only_if_range_holds() {
        let validators = Validators { etag: b"\"a\"", last_modified: None };
        for (method, field, expected) in [
            ("GET", "X: y", Ranges::One(1..3)),
            ("GET", "If-Range: \"a\"", Ranges::One(1..3)),
            ("GET", "If-Range: \"b\"", Ranges::Whole),
            ("GET", "If-Range: \"a\"\r\nIf-Range: \"a\"", Ranges::Whole),
            ("GET", "Range: bytes=1-2", Ranges::Whole),
            ("HEAD", "X: y", Ranges::Whole),
        ] {
            let input = format!("{method} / HTTP/1.1\r\nHost: a\r\nRange: bytes=1-2\r\n{field}\r\n\r\n");
            let mut parser = RequestParser::default();
            parser.advance(input.as_bytes(), &Limits::default()).expect("well-formed");
            assert_eq!(wanted(parser.head(), input.as_bytes(), &validators, 10), expected, "{method} {field}");
        }
    }

    proptest! {
        #[test]
        fn ranges_lie_within_and_apart(value in "bytes=[0-9, -]{0,24}", length in 0u64..120) {
            let ranges = match parse(value.as_bytes(), length) {
                Ranges::Whole | Ranges::Unsatisfiable => Vec::new(),
                Ranges::One(range) => vec![range],
                Ranges::Several(ranges) => {
                    prop_assert!((2..=MOST).contains(&ranges.len()));
                    ranges
                }
            };
            prop_assert!(ranges.iter().all(|range| range.start < range.end && range.end <= length));
            prop_assert!(ranges.iter().map(|range| range.end - range.start).sum::<u64>() <= length);
        }
    }
}
