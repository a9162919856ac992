//! The frames of an echo: Ethernet, IP, UDP. Going back, addresses and ports change places; no checksum changes
//! by that, as it is a sum.

use afpa_wire::{ethernet, ip, udp};
use std::net::IpAddr;

/// Swaps the addresses and ports of a frame with a UDP datagram. Returns whether it is one.
pub(super) fn reverse(frame: &mut [u8]) -> bool {
    let Some(at) = transport(frame) else { return false };
    let network = ethernet::HEADER_LEN;
    let (address, first) = match frame[network] >> 4 {
        4 => (4, network + 12),
        _ => (16, network + 8),
    };
    swap(frame, 0, 6);
    swap(frame, first, address);
    swap(frame, at, 2);
    true
}

/// Whether a frame of `length` octets has a UDP datagram.
pub(super) fn is_datagram(frame: &[u8], length: usize) -> bool {
    frame.len() == length && transport(frame).is_some()
}

/// Where the UDP header of a frame begins that has one behind plain headers, whole.
fn transport(frame: &[u8]) -> Option<usize> {
    let parsed = ethernet::Frame::parse(frame).ok().filter(|parsed| parsed.vlan.is_none())?;
    let first = *parsed.payload.first()?;
    let (protocol, length) = match first >> 4 {
        4 => (*parsed.payload.get(9)?, usize::from(first & 0xf) * 4),
        6 => (*parsed.payload.get(6)?, ip::V6_HEADER_LEN),
        _ => return None,
    };
    let is_whole = length >= ip::V4_HEADER_LEN && parsed.payload.len() >= length + udp::HEADER_LEN;
    (protocol == ip::UDP && is_whole).then_some(ethernet::HEADER_LEN + length)
}

/// Swaps `length` octets at `at` with those behind them.
fn swap(frame: &mut [u8], at: usize, length: usize) {
    let (left, right) = frame[at..at + 2 * length].split_at_mut(length);
    left.swap_with_slice(right);
}

/// A frame of `size` octets, link header included, from `port` of `source` to the same port of `destination`.
/// At least headers and one octet. Its payload is zero.
pub(super) fn build(link: &[u8], source: IpAddr, destination: IpAddr, port: u16, size: usize) -> Vec<u8> {
    let header_len = if source.is_ipv4() { ip::V4_HEADER_LEN } else { ip::V6_HEADER_LEN };
    let payload_len = size.saturating_sub(link.len() + header_len + udp::HEADER_LEN).max(1);
    let length = udp::HEADER_LEN + payload_len;
    let (protocol, ecn) = (ip::UDP, ip::Ecn::from_bits(0));
    let header = ip::Header { source, destination, protocol, ecn, payload_len: length, identification: 0 };
    let mut packet = vec![0; header_len + length];
    header.write(&mut packet);
    udp::Header { source_port: port, destination_port: port, payload_len }.write(&mut packet[header_len..]);
    let pseudo_header = afpa_wire::checksum::pseudo_header(source, destination, ip::UDP, length as u32);
    let checksum = udp::checksum(&packet[header_len..], pseudo_header);
    packet[header_len + udp::CHECKSUM_OFFSET..][..2].copy_from_slice(&checksum.to_be_bytes());
    [link, &packet].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use afpa_wire::tcp::Integrity;
    use proptest::prelude::*;

    const LINK: [u8; 14] = [1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 8, 0];

    fn pair(version: u8) -> (IpAddr, IpAddr, [u8; 14]) {
        let mut link = LINK;
        match version {
            4 => ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap(), link),
            _ => {
                link[12..].copy_from_slice(&ethernet::IPV6.to_be_bytes());
                ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap(), link)
            }
        }
    }

    #[test]
    fn a_frame_comes_back_to_where_it_came_from() {
        for version in [4, 6] {
            let (source, destination, link) = pair(version);
            let sent = build(&link, source, destination, 7, 100);
            assert_eq!(sent.len(), 100);
            let mut back = sent.clone();
            assert!(reverse(&mut back));
            let frame = ethernet::Frame::parse(&back).unwrap();
            assert_eq!((frame.destination.0, frame.source.0), ([2; 6], [1; 6]));
            let packet = ip::Packet::parse(frame.payload).unwrap();
            assert_eq!((packet.source(), packet.destination()), (destination, source));
            assert_eq!(udp::is_intact(packet.payload(), packet.pseudo_header()), Integrity::Whole);
            assert!(reverse(&mut back));
            assert_eq!(back, sent);
        }
    }

    #[test]
    fn a_frame_is_as_long_as_it_has_to_be() {
        let (source, destination, link) = pair(6);
        assert_eq!(build(&link, source, destination, 7, 0).len(), 14 + 40 + 8 + 1);
    }

    proptest! {
        #[test]
        fn no_frame_makes_it_panic(mut frame in prop::collection::vec(any::<u8>(), 0..80), version in 0u8..8, cut in 0usize..80) {
            let _ = reverse(&mut frame);
            let (source, destination, link) = pair(4 + version % 2 * 2);
            let mut datagram = build(&link, source, destination, 7, 80);
            datagram.truncate(cut);
            let before = datagram.clone();
            if !reverse(&mut datagram) {
                prop_assert_eq!(datagram, before);
            }
        }
    }
}
