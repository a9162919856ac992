//! The view of an IPv4 packet.

use std::net::{IpAddr, Ipv4Addr};

use super::{Ecn, Packet, V4_HEADER_LEN};
use crate::octets::{number16, number32};
use crate::{Layer, Malformed, checksum};

/// Everything of the flags and the fragment offset but "don't fragment" and the reserved bit.
const FRAGMENT_BITS: u16 = 0x3fff;

/// Looks at octets of which the first says version 4. Options are skipped.
#[inline]
pub(super) fn parse(octets: &[u8]) -> Result<Packet<'_>, Malformed> {
    let Some(fixed) = octets.first_chunk::<V4_HEADER_LEN>() else {
        return Err(Malformed::Truncated(Layer::Ipv4));
    };
    let header_len = usize::from(fixed[0] & 0x0f) * 4;
    if header_len < V4_HEADER_LEN {
        return Err(Malformed::HeaderLength(Layer::Ipv4));
    }
    let total_len = usize::from(number16(fixed, 2));
    if total_len < header_len {
        return Err(Malformed::TotalLength(Layer::Ipv4));
    }
    let Some((octets, _padding)) = octets.split_at_checked(total_len) else {
        return Err(Malformed::TotalLength(Layer::Ipv4));
    };
    let Some((header, payload)) = octets.split_at_checked(header_len) else {
        return Err(Malformed::HeaderLength(Layer::Ipv4));
    };
    if checksum::sum(header) != 0xffff {
        return Err(Malformed::Checksum(Layer::Ipv4));
    }
    Ok(Packet {
        source: IpAddr::V4(Ipv4Addr::from_bits(number32(fixed, 12))),
        destination: IpAddr::V4(Ipv4Addr::from_bits(number32(fixed, 16))),
        octets,
        payload,
        protocol: fixed[9],
        hop_limit: fixed[8],
        ecn: Ecn::from_bits(fixed[1]),
        is_fragment: number16(fixed, 6) & FRAGMENT_BITS != 0,
    })
}
