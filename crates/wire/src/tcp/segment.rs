//! A segment that came in.

use super::{Flags, HEADER_LEN, Options};
use crate::octets::{number16, number32};
use crate::{Layer, Malformed};

/// A segment with a valid header length. Its checksum is not looked at: see [`is_intact`](super::is_intact).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment<'a> {
    /// From which port.
    pub source_port: u16,
    /// To which port.
    pub destination_port: u16,
    /// The number of the first octet of the payload, or of the SYN.
    pub sequence: u32,
    /// The number that the sender expects next, if ACK is set.
    pub acknowledgment: u32,
    /// The control bits.
    pub flags: Flags,
    /// What the sender can take in, before it is scaled.
    pub window: u16,
    /// The urgent pointer, which means something if URG is set.
    pub urgent: u16,
    /// The options that we know.
    pub options: Options,
    /// What was sent.
    pub payload: &'a [u8],
    /// Octets of the header with its options: 20 to 60.
    pub header_len: usize,
}

impl<'a> Segment<'a> {
    /// Looks at the payload of an IP packet.
    ///
    /// # Errors
    /// If the header is cut short, or says that it is shorter than it can be or longer than there is.
    #[inline]
    pub fn parse(octets: &'a [u8]) -> Result<Segment<'a>, Malformed> {
        let Some(fixed) = octets.first_chunk::<HEADER_LEN>() else {
            return Err(Malformed::Truncated(Layer::Tcp));
        };
        let header_len = usize::from(fixed[12] >> 4) * 4;
        let Some(options) = octets.get(HEADER_LEN..header_len) else {
            return Err(Malformed::HeaderLength(Layer::Tcp));
        };
        Ok(Segment {
            source_port: number16(fixed, 0),
            destination_port: number16(fixed, 2),
            sequence: number32(fixed, 4),
            acknowledgment: number32(fixed, 8),
            flags: Flags(fixed[13]),
            window: number16(fixed, 14),
            urgent: number16(fixed, 18),
            options: Options::parse(options),
            payload: &octets[header_len..],
            header_len,
        })
    }

    /// How much of the sequence space it takes: its payload, and one each for SYN and FIN
    /// (RFC 9293 §3.4).
    #[inline]
    pub const fn sequence_len(&self) -> u32 {
        let controls = self.flags.contains(Flags::SYN) as u32 + self.flags.contains(Flags::FIN) as u32;
        (self.payload.len() as u32).saturating_add(controls)
    }
}
