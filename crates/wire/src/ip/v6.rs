//! The view of an IPv6 packet, and the walk over its extension headers.

use std::net::{IpAddr, Ipv6Addr};

use super::{Ecn, Packet, V6_HEADER_LEN};
use crate::octets::{number16, take};
use crate::{Layer, Malformed};

/// How many extension headers are walked; a packet with more is malformed. RFC 8504 §5.3 lets a host set
/// such a limit; a packet that means well has each header once, and destination options twice.
pub const MAX_EXTENSIONS: usize = 8;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;
/// The offset and "more fragments" of a fragment header (RFC 8200 §4.5), without the two reserved bits.
const FRAGMENT_BITS: u16 = 0xfff9;
const PAD_1: u8 = 0;
const PAD_N: u8 = 1;

/// Looks at octets of which the first says version 6.
#[inline]
pub(super) fn parse(octets: &[u8]) -> Result<Packet<'_>, Malformed> {
    let Some((fixed, rest)) = octets.split_first_chunk::<V6_HEADER_LEN>() else {
        return Err(Malformed::Truncated(Layer::Ipv6));
    };
    // A jumbogram has length zero and says in an option how long it is; that option asks those who do
    // not know it to discard the packet, and they do below (RFC 2675 §2).
    let payload_len = usize::from(number16(fixed, 4));
    let Some((content, _padding)) = rest.split_at_checked(payload_len) else {
        return Err(Malformed::TotalLength(Layer::Ipv6));
    };
    let chain = walk(fixed[6], content)?;
    let address = |at: usize| IpAddr::V6(Ipv6Addr::from(std::array::from_fn::<u8, 16, _>(|i| fixed[at + i])));
    Ok(Packet {
        source: address(8),
        destination: address(24),
        octets: &octets[..V6_HEADER_LEN + payload_len],
        payload: chain.rest,
        protocol: chain.protocol,
        hop_limit: fixed[7],
        ecn: Ecn::from_bits(fixed[1] >> 4),
        is_fragment: chain.fragment_offset.is_some(),
    })
}

/// What a walk over extension headers found.
pub(crate) struct Chain<'a> {
    /// The first header that is none of those that are walked; of a fragment, what its packet has next.
    pub(crate) protocol: u8,
    /// What follows.
    pub(crate) rest: &'a [u8],
    /// In a fragment: at which octet of its packet it begins.
    pub(crate) fragment_offset: Option<u16>,
}

/// Walks the extension headers in front of a payload, up to a fragment header that makes a fragment.
#[inline]
pub(crate) fn walk(first: u8, octets: &[u8]) -> Result<Chain<'_>, Malformed> {
    match first {
        HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION_OPTIONS => walk_extensions(first, octets),
        protocol => Ok(Chain { protocol, rest: octets, fragment_offset: None }),
    }
}

fn walk_extensions(first: u8, octets: &[u8]) -> Result<Chain<'_>, Malformed> {
    let (mut protocol, mut rest) = (first, octets);
    for number in 0..=MAX_EXTENSIONS {
        if !matches!(protocol, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION_OPTIONS) {
            return Ok(Chain { protocol, rest, fragment_offset: None });
        }
        let Some([next, length, third, fourth]) = take(rest, 0) else {
            return Err(Malformed::Truncated(Layer::Extension));
        };
        let units = if protocol == FRAGMENT { 0 } else { usize::from(length) };
        let Some((header, following)) = rest.split_at_checked((units + 1) * 8) else {
            return Err(Malformed::HeaderLength(Layer::Extension));
        };
        match protocol {
            HOP_BY_HOP if number != 0 => return Err(Malformed::HopByHopPlace),
            HOP_BY_HOP | DESTINATION_OPTIONS => check_options(&header[2..])?,
            ROUTING if fourth != 0 => return Err(Malformed::RoutingUnfinished),
            FRAGMENT => {
                let place = u16::from_be_bytes([third, fourth]) & FRAGMENT_BITS;
                if place != 0 {
                    return Ok(Chain { protocol: next, rest: following, fragment_offset: Some(place & !7) });
                }
            }
            _ => {}
        }
        (protocol, rest) = (next, following);
    }
    Err(Malformed::TooManyExtensions)
}

/// Whether everyone who knows no option but padding may go on with the packet (RFC 8200 §4.2).
fn check_options(mut octets: &[u8]) -> Result<(), Malformed> {
    while let Some((&kind, rest)) = octets.split_first() {
        if kind == PAD_1 {
            octets = rest;
            continue;
        }
        let Some((&length, rest)) = rest.split_first() else {
            return Err(Malformed::Truncated(Layer::Extension));
        };
        // The first two bits say what to do with a packet that has an option that one does not know.
        if kind != PAD_N && kind >> 6 != 0 {
            return Err(Malformed::ExtensionOption(kind));
        }
        let Some((_, rest)) = rest.split_at_checked(usize::from(length)) else {
            return Err(Malformed::Truncated(Layer::Extension));
        };
        octets = rest;
    }
    Ok(())
}
