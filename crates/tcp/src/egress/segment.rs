//! Headers, from a template per connection.

use std::net::IpAddr;

use afpa_wire::ip::{self, Ecn};
use afpa_wire::sequence::Sequence;
use afpa_wire::tcp::{self, Options};
use afpa_wire::{checksum, ip::V4_HEADER_LEN, ip::V6_HEADER_LEN};

use crate::lookup::Tuple;

/// The most octets of headers in a packet.
pub(crate) const MAX_HEADERS: usize = V6_HEADER_LEN + tcp::MAX_HEADER_LEN;

/// The IP header of a connection's packets, and what of the checksums does not change.
pub(crate) struct Template {
    octets: [u8; V6_HEADER_LEN],
    len: u8,
    source_port: u16,
    destination_port: u16,
    /// The sum of the IPv4 header without its length and congestion bits.
    header_sum: u16,
    /// The sum of the pseudo-header without its length.
    pseudo_sum: u16,
}

/// The TCP part of a segment to be sent.
pub(crate) struct Outgoing {
    pub(crate) sequence: Sequence,
    pub(crate) acknowledgment: Sequence,
    pub(crate) flags: tcp::Flags,
    pub(crate) window: u16,
    pub(crate) options: Options,
    pub(crate) ecn: Ecn,
    pub(crate) payload_len: usize,
    /// The sum of the payload; not looked at if `is_cut`.
    pub(crate) payload_sum: u16,
    /// A device cuts the payload into segments and completes their checksums.
    pub(crate) is_cut: bool,
}

impl Template {
    pub(crate) fn new(tuple: &Tuple) -> Template {
        let mut octets = [0; V6_HEADER_LEN];
        let header = ip::Header {
            source: tuple.local,
            destination: tuple.remote,
            protocol: ip::TCP,
            ecn: Ecn::NotCapable,
            payload_len: 0,
            identification: 0,
        };
        // Both ends come from one packet, or were compared by `connect`; of two families nothing could be sent.
        let len = if tuple.local.is_ipv4() == tuple.remote.is_ipv4() { header.write(&mut octets) } else { 0 };
        let mut header_sum = 0;
        if len == V4_HEADER_LEN {
            octets[2..4].fill(0);
            octets[10..12].fill(0);
            header_sum = checksum::sum(&octets[..len]);
        }
        Template {
            octets,
            len: len as u8,
            source_port: tuple.local_port,
            destination_port: tuple.remote_port,
            header_sum,
            pseudo_sum: checksum::pseudo_header(tuple.local, tuple.remote, ip::TCP, 0),
        }
    }

    /// Writes the headers of `segment`, checksums and all, and returns how many octets they are.
    pub(crate) fn write(&self, segment: &Outgoing, out: &mut [u8; MAX_HEADERS]) -> usize {
        let len = usize::from(self.len);
        out[..V6_HEADER_LEN].copy_from_slice(&self.octets);
        let header = tcp::Header {
            source_port: self.source_port,
            destination_port: self.destination_port,
            sequence: segment.sequence.0,
            acknowledgment: segment.acknowledgment.0,
            flags: segment.flags,
            window: segment.window,
            options: segment.options,
        };
        let header_len = header.write(&mut out[len..]);
        // At most 65,535: the caller keeps packets within what IP can say.
        let tcp_len = (header_len + segment.payload_len) as u16;
        let mut sum = checksum::add(self.pseudo_sum, tcp_len);
        if !segment.is_cut {
            sum = checksum::add(sum, checksum::sum(&out[len..len + header_len]));
            sum = !checksum::add(sum, segment.payload_sum);
        }
        let at = len + tcp::CHECKSUM_OFFSET;
        out[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        self.complete(out, segment.ecn, tcp_len);
        len + header_len
    }

    fn complete(&self, out: &mut [u8; MAX_HEADERS], ecn: Ecn, tcp_len: u16) {
        if usize::from(self.len) == V4_HEADER_LEN {
            let total = tcp_len.saturating_add(V4_HEADER_LEN as u16);
            out[1] = ecn.bits();
            out[2..4].copy_from_slice(&total.to_be_bytes());
            let sum = checksum::add(checksum::add(self.header_sum, total), u16::from(ecn.bits()));
            out[10..12].copy_from_slice(&(!sum).to_be_bytes());
        } else {
            out[1] |= ecn.bits() << 4;
            out[4..6].copy_from_slice(&tcp_len.to_be_bytes());
        }
    }
}

/// The octets of an IP header towards that address.
pub(crate) const fn ip_header_len(address: IpAddr) -> u16 {
    match address {
        IpAddr::V4(_) => V4_HEADER_LEN as u16,
        IpAddr::V6(_) => V6_HEADER_LEN as u16,
    }
}
