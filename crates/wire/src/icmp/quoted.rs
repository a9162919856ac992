//! The packet that an error is about.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::ip::{self, Version};
use crate::octets::{number16, number32, take};
use crate::{Layer, Malformed};

/// Everything of the flags and the fragment offset of IPv4 but the flags.
const FRAGMENT_OFFSET: u16 = 0x1fff;

/// What an ICMP error shows of the packet that it is about: one that its receiver sent, says the error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quoted {
    /// From where the packet came.
    pub source: IpAddr,
    /// To where it was going.
    pub destination: IpAddr,
    /// [`ip::TCP`] or [`ip::UDP`].
    pub protocol: u8,
    /// From which port.
    pub source_port: u16,
    /// To which port.
    pub destination_port: u16,
    /// Of TCP: its sequence number.
    pub sequence: Option<u32>,
    /// How long the packet was with its IP header, in octets, as that header says.
    pub packet_len: usize,
}

/// What the IP header of a quoted packet says.
struct Envelope<'a> {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    packet_len: usize,
    rest: &'a [u8],
}

impl Quoted {
    /// Reads the quotation of an error of this version. None if it is of neither TCP nor UDP. A quotation is
    /// cut off anywhere behind the first 8 octets of the payload, and checksums of it need not fit.
    pub(super) fn parse(version: Version, octets: &[u8]) -> Result<Option<Quoted>, Malformed> {
        let envelope = match version {
            Version::V4 => Envelope::v4(octets)?,
            Version::V6 => Envelope::v6(octets)?,
        };
        let Envelope { source, destination, protocol, packet_len, rest } = envelope;
        if !matches!(protocol, ip::TCP | ip::UDP) {
            return Ok(None);
        }
        let Some(ports) = rest.first_chunk::<8>() else { return Err(Malformed::Truncated(Layer::Quoted)) };
        Ok(Some(Quoted {
            source,
            destination,
            protocol,
            source_port: number16(ports, 0),
            destination_port: number16(ports, 2),
            sequence: (protocol == ip::TCP).then(|| number32(ports, 4)),
            packet_len,
        }))
    }
}

impl Envelope<'_> {
    fn v4(octets: &[u8]) -> Result<Envelope<'_>, Malformed> {
        let Some(fixed) = octets.first_chunk::<{ ip::V4_HEADER_LEN }>() else {
            return Err(Malformed::Truncated(Layer::Quoted));
        };
        let header_len = usize::from(fixed[0] & 0x0f) * 4;
        if fixed[0] >> 4 != 4 {
            return Err(Malformed::Version(fixed[0] >> 4));
        }
        if header_len < ip::V4_HEADER_LEN {
            return Err(Malformed::HeaderLength(Layer::Quoted));
        }
        if number16(fixed, 6) & FRAGMENT_OFFSET != 0 {
            return Err(Malformed::QuotedFragment);
        }
        let Some(rest) = octets.get(header_len..) else { return Err(Malformed::Truncated(Layer::Quoted)) };
        Ok(Envelope {
            source: IpAddr::V4(Ipv4Addr::from_bits(number32(fixed, 12))),
            destination: IpAddr::V4(Ipv4Addr::from_bits(number32(fixed, 16))),
            protocol: fixed[9],
            packet_len: usize::from(number16(fixed, 2)),
            rest,
        })
    }

    fn v6(octets: &[u8]) -> Result<Envelope<'_>, Malformed> {
        let Some((fixed, rest)) = octets.split_first_chunk::<{ ip::V6_HEADER_LEN }>() else {
            return Err(Malformed::Truncated(Layer::Quoted));
        };
        if fixed[0] >> 4 != 6 {
            return Err(Malformed::Version(fixed[0] >> 4));
        }
        let chain = ip::walk(fixed[6], rest)?;
        if chain.fragment_offset.is_some_and(|offset| offset != 0) {
            return Err(Malformed::QuotedFragment);
        }
        let address = |at| take::<16>(fixed, at).map_or(Ipv6Addr::UNSPECIFIED, Ipv6Addr::from);
        Ok(Envelope {
            source: IpAddr::V6(address(8)),
            destination: IpAddr::V6(address(24)),
            protocol: chain.protocol,
            packet_len: usize::from(number16(fixed, 4)) + ip::V6_HEADER_LEN,
            rest: chain.rest,
        })
    }
}
