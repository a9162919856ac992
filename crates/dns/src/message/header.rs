//! The first twelve octets (RFC 1035 §4.1.1).

use super::{Opcode, Rcode};

/// Octets of a header.
pub const HEADER_LEN: usize = 12;

/// Bits of the second and third pair of octets.
pub mod flag {
    /// A response.
    pub const QR: u16 = 0x8000;
    /// An authoritative answer.
    pub const AA: u16 = 0x0400;
    /// Truncated.
    pub const TC: u16 = 0x0200;
    /// Recursion is desired.
    pub const RD: u16 = 0x0100;
    /// Recursion is available.
    pub const RA: u16 = 0x0080;
    /// Authenticated data (RFC 4035).
    pub const AD: u16 = 0x0020;
    /// Checking disabled (RFC 4035).
    pub const CD: u16 = 0x0010;
}

/// A header, read whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Header {
    /// The sender's number for the exchange.
    pub id: u16,
    /// Flags, opcode and the low four bits of the response code.
    pub flags: u16,
    /// Records announced: question, answer, authority, additional.
    pub counts: [u16; 4],
}

impl Header {
    /// The header of `message`; `None` if that is shorter than one.
    #[inline]
    pub fn read(message: &[u8]) -> Option<Header> {
        let octets: &[u8; HEADER_LEN] = message.first_chunk()?;
        let pair = |at: usize| u16::from_be_bytes([octets[at], octets[at + 1]]);
        Some(Header { id: pair(0), flags: pair(2), counts: [pair(4), pair(6), pair(8), pair(10)] })
    }

    /// As octets.
    pub fn to_octets(self) -> [u8; HEADER_LEN] {
        let mut octets = [0; HEADER_LEN];
        let numbers = [self.id, self.flags].into_iter().chain(self.counts);
        for (pair, number) in octets.chunks_exact_mut(2).zip(numbers) {
            pair.copy_from_slice(&number.to_be_bytes());
        }
        octets
    }

    /// Whether all bits of `flag` are set.
    pub const fn has(self, flag: u16) -> bool {
        self.flags & flag == flag
    }

    /// What is asked for.
    pub const fn opcode(self) -> Opcode {
        Opcode((self.flags >> 11 & 0xf) as u8)
    }

    /// The low four bits of the response code.
    pub const fn rcode(self) -> Rcode {
        Rcode(self.flags & 0xf)
    }
}
