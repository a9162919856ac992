//! The header that is sent.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Ecn, V4_HEADER_LEN, V6_HEADER_LEN};
use crate::checksum;
use crate::octets::put;

const DONT_FRAGMENT: u16 = 0x4000;
/// The value that RFC 1700 recommends and that everyone sends.
const HOP_LIMIT: u8 = 64;

/// What is written in front of a payload: a header without options, never to be fragmented, with a hop
/// limit of 64.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// From where.
    pub source: IpAddr,
    /// To where; of the same version.
    pub destination: IpAddr,
    /// What the payload is.
    pub protocol: u8,
    /// What to say about congestion.
    pub ecn: Ecn,
    /// Octets that follow the header: at most 65515 for IPv4, 65535 for IPv6.
    pub payload_len: usize,
    /// For IPv4. Of no use in a packet that is not fragmented (RFC 6864 §4.1), but devices that cut large
    /// segments count on from it.
    pub identification: u16,
}

impl Header {
    /// How many octets [`Header::write`] writes: 20 or 40.
    #[inline]
    pub const fn header_len(&self) -> usize {
        match self.source {
            IpAddr::V4(_) => V4_HEADER_LEN,
            IpAddr::V6(_) => V6_HEADER_LEN,
        }
    }

    /// Writes the header to the front of `out` and returns how many octets it took.
    ///
    /// # Panics
    /// If `out` is shorter than that, the addresses are of different versions, or the payload is longer
    /// than the version can say.
    #[inline]
    pub fn write(&self, out: &mut [u8]) -> usize {
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => self.write_v4(source, destination, out),
            (IpAddr::V6(source), IpAddr::V6(destination)) => self.write_v6(source, destination, out),
            _ => panic!("a packet has addresses of one version"),
        }
    }

    #[inline]
    fn write_v4(&self, source: Ipv4Addr, destination: Ipv4Addr, out: &mut [u8]) -> usize {
        let mut header = [0; V4_HEADER_LEN];
        header[0] = 0x45;
        header[1] = self.ecn.bits();
        put(&mut header, 2, length_field(self.payload_len.saturating_add(V4_HEADER_LEN)));
        put(&mut header, 4, self.identification.to_be_bytes());
        put(&mut header, 6, DONT_FRAGMENT.to_be_bytes());
        header[8] = HOP_LIMIT;
        header[9] = self.protocol;
        put(&mut header, 12, source.octets());
        put(&mut header, 16, destination.octets());
        let sum = checksum::sum(&header);
        put(&mut header, 10, (!sum).to_be_bytes());
        put(out, 0, header);
        V4_HEADER_LEN
    }

    #[inline]
    fn write_v6(&self, source: Ipv6Addr, destination: Ipv6Addr, out: &mut [u8]) -> usize {
        let mut header = [0; V6_HEADER_LEN];
        header[0] = 0x60;
        header[1] = self.ecn.bits() << 4;
        put(&mut header, 4, length_field(self.payload_len));
        header[6] = self.protocol;
        header[7] = HOP_LIMIT;
        put(&mut header, 8, source.octets());
        put(&mut header, 24, destination.octets());
        put(out, 0, header);
        V6_HEADER_LEN
    }
}

#[inline]
fn length_field(length: usize) -> [u8; 2] {
    assert!(length <= usize::from(u16::MAX), "a payload of an IP packet is shorter than 64 KiB");
    (length as u16).to_be_bytes()
}
