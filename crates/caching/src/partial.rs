//! Which part of a representation a 206 holds (RFC 9110 §14.4).

use std::ops::Range;

use crate::fields::Fields;
use crate::list::trimmed;

/// The octets `first..=last` of a representation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partial {
    /// The position of the first octet.
    pub first: u64,
    /// The position of the last octet; not before the first.
    pub last: u64,
    /// The length of the whole, if it is known; greater than `last`.
    pub complete: Option<u64>,
}

impl Partial {
    /// Of the field Content-Range. `None` if there is none, several, or it is not one that can be.
    pub fn of(fields: Fields<'_>) -> Option<Self> {
        let mut lines = fields.lines(b"content-range");
        let line = lines.next()?;
        let (unit, range) = line.split_at_checked(6)?;
        if lines.next().is_some() || !unit.eq_ignore_ascii_case(b"bytes ") {
            return None;
        }
        let (range, complete) = split_once(trimmed(range), b'/')?;
        let (first, last) = split_once(range, b'-')?;
        let (first, last) = (position(first)?, position(last)?);
        let complete = if complete == b"*" { None } else { Some(position(complete)?) };
        let holds = first <= last && complete.is_none_or(|complete| last < complete);
        holds.then_some(Self { first, last, complete })
    }

    /// The positions of its octets.
    pub fn octets(&self) -> Range<u64> {
        self.first..self.last.saturating_add(1)
    }

    /// How many octets it has.
    pub fn length(&self) -> u64 {
        self.octets().end - self.first
    }
}

fn split_once(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let position = text.iter().position(|&octet| octet == at)?;
    Some((&text[..position], &text[position + 1..]))
}

fn position(text: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|octet| octet.is_ascii_digit()))?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (value, expected) in [
            ("bytes 4-9/10", Some((4, 9, Some(10)))),
            ("Bytes 0-0/*", Some((0, 0, None))),
            ("bytes 4-9/9", None),
            ("bytes 9-4/10", None),
            ("bytes */10", None),
            ("bytes 4-/10", None),
            ("bytes +4-9/10", None),
            ("items 4-9/10", None),
            ("bytes 0-99999999999999999999/*", None),
            ("", None),
        ] {
            let expected = expected.map(|(first, last, complete)| Partial { first, last, complete });
            assert_eq!(Partial::of(Fields(&[(b"Content-Range", value.as_bytes())])), expected, "{value}");
        }
        assert_eq!(
            Partial::of(Fields(&[(b"Content-Range", b"bytes 4-9/10"), (b"content-range", b"bytes 0-9/10")])),
            None
        );
    }
}
