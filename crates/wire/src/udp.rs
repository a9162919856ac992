//! UDP (RFC 768).

use crate::checksum::{self, Integrity};
use crate::octets::{number16, put, take};
use crate::{Layer, Malformed};

/// Octets of a header.
pub const HEADER_LEN: usize = 8;
/// Where in a datagram its checksum is.
pub const CHECKSUM_OFFSET: usize = 6;

/// A datagram with valid lengths. Its checksum is not looked at: see [`is_intact`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Datagram<'a> {
    /// From which port; zero if no answer is expected.
    pub source_port: u16,
    /// To which port.
    pub destination_port: u16,
    /// As it is in the header; zero if the sender made none, which only IPv4 permits.
    pub checksum: u16,
    /// What was sent.
    pub payload: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// Looks at the payload of an IP packet. What is behind the datagram's end is cut off.
    ///
    /// # Errors
    /// If the header is cut short, or its length is less than the header's or more than there is.
    #[inline]
    pub fn parse(octets: &'a [u8]) -> Result<Datagram<'a>, Malformed> {
        let Some(header) = octets.first_chunk::<HEADER_LEN>() else {
            return Err(Malformed::Truncated(Layer::Udp));
        };
        let length = usize::from(number16(header, 4));
        let Some(payload) = octets.get(HEADER_LEN..length) else {
            return Err(Malformed::TotalLength(Layer::Udp));
        };
        let (source_port, destination_port) = (number16(header, 0), number16(header, 2));
        Ok(Datagram { source_port, destination_port, checksum: number16(header, CHECKSUM_OFFSET), payload })
    }
}

/// What is written in front of a payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// From which port.
    pub source_port: u16,
    /// To which port.
    pub destination_port: u16,
    /// Octets that follow the header: at most 65527.
    pub payload_len: usize,
}

impl Header {
    /// Writes the header, its checksum zero, to the front of `out` and returns how many octets it took:
    /// [`HEADER_LEN`].
    ///
    /// # Panics
    /// If `out` is shorter than that, or the payload longer than the header can say.
    #[inline]
    pub fn write(&self, out: &mut [u8]) -> usize {
        let length = self.payload_len.saturating_add(HEADER_LEN);
        assert!(length <= usize::from(u16::MAX), "a datagram is shorter than 64 KiB");
        put(out, 0, self.source_port.to_be_bytes());
        put(out, 2, self.destination_port.to_be_bytes());
        put(out, 4, (length as u16).to_be_bytes());
        put(out, CHECKSUM_OFFSET, [0, 0]);
        HEADER_LEN
    }
}

/// The checksum to be sent in `datagram`, header and payload, whatever its field holds now. Never zero,
/// which would say that there is none.
#[inline]
pub fn checksum(datagram: &[u8], pseudo_header: u16) -> u16 {
    let field = take(datagram, CHECKSUM_OFFSET).map_or(0, u16::from_be_bytes);
    let sum = checksum::subtract(checksum::sum(datagram), field);
    match !checksum::add(sum, pseudo_header) {
        0 => 0xffff,
        checksum => checksum,
    }
}

/// What the checksum of `datagram`, header and payload, says. A datagram that has none, which is
/// for the caller to accept or not, is [`Broken`](Integrity::Broken) as any other.
#[inline]
pub fn is_intact(datagram: &[u8], pseudo_header: u16) -> Integrity {
    match take(datagram, CHECKSUM_OFFSET).map(u16::from_be_bytes) {
        None | Some(0) => Integrity::Broken,
        Some(field) => checksum::judge(datagram, field, pseudo_header),
    }
}
