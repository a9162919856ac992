//! Packets that no honest client sends.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;

use afpa_wire::tcp::{CHECKSUM_OFFSET, Header, checksum};
use afpa_wire::{checksum, ip};
use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket};

use crate::lab::Namespace;

/// Sends IPv4 packets that say what they want about where they come from.
pub(crate) struct Forger(OwnedFd);

impl Forger {
    pub(crate) fn new(from: &Namespace) -> Forger {
        Forger(from.inside(|| socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::RAW))).unwrap())
    }

    /// Sends a segment; the header's ports are those of the addresses.
    pub(crate) fn send(&self, from: SocketAddrV4, to: SocketAddrV4, header: Header, payload: &[u8]) {
        let header = Header { source_port: from.port(), destination_port: to.port(), ..header };
        let (source, destination) = (IpAddr::V4(*from.ip()), IpAddr::V4(*to.ip()));
        let payload_len = header.header_len() + payload.len();
        let outer = ip::Header {
            source,
            destination,
            protocol: ip::TCP,
            ecn: ip::Ecn::NotCapable,
            payload_len,
            identification: 1,
        };
        let mut packet = vec![0; outer.header_len() + payload_len];
        let start = outer.write(&mut packet);
        let length = header.write(&mut packet[start..]);
        packet[start + length..].copy_from_slice(payload);
        let pseudo = checksum::pseudo_header(source, destination, ip::TCP, payload_len as u32);
        let sum = checksum(&packet[start..], pseudo);
        packet[start + CHECKSUM_OFFSET..][..2].copy_from_slice(&sum.to_be_bytes());
        // What the kernel has no room for at the moment is lost, as on any network.
        let _ = sendto(&self.0, &packet, SendFlags::empty(), &SocketAddrV4::new(*to.ip(), 0));
    }
}

/// Numbers without a pattern, the same each time.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// An address of the networks for benchmarks (RFC 2544), and a port.
    pub(crate) fn stranger(&mut self) -> SocketAddrV4 {
        let [a, b, c, d, ..] = self.next().to_be_bytes();
        let port = u16::from_be_bytes([c, d]).max(1);
        SocketAddrV4::new(Ipv4Addr::new(198, 18 + a % 2, b, c), port)
    }
}
