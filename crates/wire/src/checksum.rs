//! The Internet checksum (RFC 1071): ones' complement sums of 16-bit words.
//!
//! A sum is never complemented here unless a function says so. Of the two ways to write zero, a sum of
//! octets is 0x0000 only if all of them are zero (or there are none).

use std::net::IpAddr;

/// How many octets one step of the loop adds. A power of two that fills the widest vectors in use.
const BLOCK: usize = 32;

/// What a packet's checksum says about it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Integrity {
    /// The checksum fits the octets.
    Whole,
    /// The field holds just the pseudo-header's sum, as a kernel leaves it when a device was to
    /// complete it. It proves nothing: only on a link that cannot corrupt (veth, TAP, loopback) is
    /// the packet to be believed.
    Partial,
    /// The checksum does not fit.
    Broken,
}

/// The sum of `octets` as big-endian words; an odd last octet is followed by a zero.
#[inline]
pub fn sum(octets: &[u8]) -> u16 {
    // The sum of words in the machine's order is the sum in network order with its octets swapped
    // (RFC 1071 §2(B)), so nothing is swapped inside the loop. Lanes that do not depend on each other
    // become vectors. A lane overflows after 2³² blocks: 128 GiB.
    let (blocks, rest) = octets.as_chunks::<BLOCK>();
    let mut wide = 0;
    if !blocks.is_empty() {
        let mut lanes = [0u64; BLOCK / 4];
        for block in blocks {
            let (words, _) = block.as_chunks::<4>();
            for (lane, word) in lanes.iter_mut().zip(words) {
                *lane += u64::from(u32::from_ne_bytes(*word));
            }
        }
        // Folded to 33 bits each, eight of them and a rest cannot overflow.
        wide = lanes.iter().map(|lane| (lane & 0xffff_ffff) + (lane >> 32)).sum();
    }
    let (words, rest) = rest.as_chunks::<4>();
    for word in words {
        wide += u64::from(u32::from_ne_bytes(*word));
    }
    let mut last = [0; 4];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    wide += u64::from(u32::from_ne_bytes(last));
    fold(wide).to_be()
}

/// Ones' complement addition: the carry comes back in at the other end.
#[inline]
pub const fn add(a: u16, b: u16) -> u16 {
    let (sum, carry) = a.overflowing_add(b);
    // After a carry the sum is at most 0xfffe.
    sum + carry as u16
}

/// Ones' complement subtraction, which is addition of the complement.
#[inline]
pub const fn subtract(a: u16, b: u16) -> u16 {
    add(a, !b)
}

/// The sum that octets contribute when they start at an odd offset of the whole, given their sum as if
/// they started at an even one (RFC 1071 §2(B)).
#[inline]
pub const fn swap_if_odd(sum: u16, offset_is_odd: bool) -> u16 {
    if offset_is_odd { sum.swap_bytes() } else { sum }
}

/// The sum of the pseudo-header (RFC 9293 §3.1, RFC 8200 §8.1), where `length` is that of the header and
/// the payload of `protocol`, in octets.
#[inline]
pub fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, length: u32) -> u16 {
    let rest = u64::from(length) + u64::from(protocol);
    fold(address_sum(source) + address_sum(destination) + rest)
}

#[inline]
fn address_sum(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            (0..4).map(|word| (bits >> (32 * word)) as u64 & 0xffff_ffff).sum()
        }
    }
}

/// A number to the 16 bits that are the same modulo 0xffff, and zero only if it is zero.
#[inline]
const fn fold(wide: u64) -> u16 {
    let wide = (wide & 0xffff_ffff) + (wide >> 32);
    let wide = (wide & 0xffff) + (wide >> 16 & 0xffff) + (wide >> 32);
    let wide = (wide & 0xffff) + (wide >> 16);
    let wide = (wide & 0xffff) + (wide >> 16);
    wide as u16
}

/// What the checksum in `field`, which is part of `octets`, says about them.
#[inline]
pub(crate) fn judge(octets: &[u8], field: u16, pseudo_header: u16) -> Integrity {
    if add(sum(octets), pseudo_header) == 0xffff {
        Integrity::Whole
    } else if field == pseudo_header {
        Integrity::Partial
    } else {
        Integrity::Broken
    }
}
