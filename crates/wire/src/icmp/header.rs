//! An error that is sent.

use std::net::IpAddr;

use super::{HEADER_LEN, Kind};
use crate::octets::put;
use crate::{checksum, ip};

/// How long the packet with the error may be: what every link carries (RFC 1812 §4.3.2.3, RFC 4443 §2.4).
const LONGEST_V4: usize = 576;
const LONGEST_V6: usize = 1280;

/// What is written in front of the packet that the error is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// From where the error comes.
    pub source: IpAddr,
    /// To where it goes: the source of the packet that it is about.
    pub destination: IpAddr,
    /// What happened.
    pub kind: Kind,
}

impl Header {
    /// How many octets [`Header::write`] writes about a packet of this length: at most 1240.
    pub fn message_len(&self, about: usize) -> usize {
        let longest = match self.source {
            IpAddr::V4(_) => LONGEST_V4 - ip::V4_HEADER_LEN,
            IpAddr::V6(_) => LONGEST_V6 - ip::V6_HEADER_LEN,
        };
        about.saturating_add(HEADER_LEN).min(longest)
    }

    /// Writes the message with its checksum and as much of the packet `about` as there may be to the front
    /// of `out`, and returns how many octets it took. The IP header is the caller's.
    ///
    /// # Panics
    /// If `out` is shorter than that.
    pub fn write(&self, about: &[u8], out: &mut [u8]) -> usize {
        let length = self.message_len(about.len());
        let message = &mut out[..length];
        message[HEADER_LEN..].copy_from_slice(&about[..length - HEADER_LEN]);
        let ((kind, code, word), pseudo_header) = match self.source {
            IpAddr::V4(_) => (self.kind.to_v4(), 0),
            IpAddr::V6(_) => {
                let (source, destination) = (self.source, self.destination);
                (self.kind.to_v6(), checksum::pseudo_header(source, destination, ip::ICMPV6, length as u32))
            }
        };
        put(message, 0, [kind, code, 0, 0]);
        put(message, 4, word.to_be_bytes());
        let sum = checksum::add(checksum::sum(message), pseudo_header);
        put(message, 2, (!sum).to_be_bytes());
        length
    }
}
