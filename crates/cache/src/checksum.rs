//! Partial sums of the Internet checksum (RFC 1071), so that a sender need not read what it sends.

use std::ops::Range;

/// Octets between two stored sums.
pub const STEP: usize = 64;

/// For each whole [`STEP`] of `bytes`, the sum of everything up to its end.
pub fn prefix_sums(bytes: &[u8]) -> Box<[u16]> {
    let mut total = 0;
    bytes
        .chunks_exact(STEP)
        .map(|step| {
            total = add(total, sum(step));
            total
        })
        .collect()
}

/// The ones' complement sum of `bytes` in `range`, not complemented, as if `range` started at an even
/// octet. `sums` is what [`prefix_sums`] made of all of `bytes`. Of the two ways to write zero it
/// gives 0x0000; in a sum with anything else, such as a header, the two are the same.
///
/// # Panics
/// Unless `range` lies within `bytes`.
pub fn range_sum(bytes: &[u8], sums: &[u16], range: Range<usize>) -> u16 {
    let before = prefix_sum(bytes, sums, range.start);
    let through = prefix_sum(bytes, sums, range.end);
    // Subtraction is addition of the complement.
    let difference = match add(through, !before) {
        0xffff => 0,
        difference => difference,
    };
    // RFC 1071 §2 (B): swapping the octets of every word swaps those of the sum.
    if range.start.is_multiple_of(2) { difference } else { difference.swap_bytes() }
}

/// The ones' complement sum of `bytes`, not complemented.
pub fn sum(bytes: &[u8]) -> u16 {
    let mut wide = 0u64;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        wide += u64::from(u32::from_be_bytes(*word));
    }
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    wide += u64::from(u32::from_be_bytes(last));
    fold(wide)
}

fn prefix_sum(bytes: &[u8], sums: &[u16], end: usize) -> u16 {
    let steps = end / STEP;
    let stored = if steps == 0 { 0 } else { sums[steps - 1] };
    add(stored, sum(&bytes[steps * STEP..end]))
}

fn add(a: u16, b: u16) -> u16 {
    let (sum, carry) = a.overflowing_add(b);
    sum + u16::from(carry)
}

fn fold(mut wide: u64) -> u16 {
    while wide > 0xffff {
        wide = (wide & 0xffff) + (wide >> 16);
    }
    wide as u16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 1071 §4.1, word by word.
    fn naive(bytes: &[u8]) -> u16 {
        let mut total = 0u32;
        for pair in bytes.chunks(2) {
            total += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |&low| u32::from(low));
            total = (total & 0xffff) + (total >> 16);
        }
        if total == 0xffff { 0 } else { total as u16 }
    }

    #[test]
    fn the_example_of_rfc_1071() {
        // RFC 1071 §3.
        assert_eq!(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), 0xddf2);
    }

    #[test]
    fn zeros_and_ones() {
        for byte in [0x00, 0xff] {
            let bytes = [byte; 200];
            assert_eq!(range_sum(&bytes, &prefix_sums(&bytes), 3..190), naive(&bytes[3..190]));
        }
    }

    proptest! {
        #[test]
        fn any_range_from_the_stored_sums(
            bytes in prop::collection::vec(any::<u8>(), 0..2000),
            a in 0..2000usize,
            b in 0..2000usize,
        ) {
            let (a, b) = (a.min(b).min(bytes.len()), a.max(b).min(bytes.len()));
            prop_assert_eq!(range_sum(&bytes, &prefix_sums(&bytes), a..b), naive(&bytes[a..b]));
        }
    }
}
