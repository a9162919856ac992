//! Packets to test with.
#![allow(dead_code, reason = "each test file uses some of it")]

use std::net::IpAddr;

use afpa_wire::{checksum, ip, tcp, udp};

pub(crate) const ADDRESSES: [[&str; 2]; 2] = [["192.0.2.1", "198.51.100.2"], ["2001:db8::1", "2001:db8:ffff::2"]];

pub(crate) fn v4() -> [IpAddr; 2] {
    ADDRESSES[0].map(|address| address.parse().unwrap())
}

pub(crate) fn v6() -> [IpAddr; 2] {
    ADDRESSES[1].map(|address| address.parse().unwrap())
}

/// A packet from the first address to the second.
pub(crate) fn packet([source, destination]: [IpAddr; 2], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let ecn = ip::Ecn::NotCapable;
    let header = ip::Header { source, destination, protocol, ecn, payload_len: payload.len(), identification: 7 };
    let mut packet = vec![0; header.header_len()];
    assert_eq!(header.write(&mut packet), packet.len());
    packet.extend_from_slice(payload);
    packet
}

/// A segment with its checksum.
pub(crate) fn segment([source, destination]: [IpAddr; 2], header: &tcp::Header, payload: &[u8]) -> Vec<u8> {
    let mut segment = vec![0; header.header_len()];
    assert_eq!(header.write(&mut segment), segment.len());
    segment.extend_from_slice(payload);
    let pseudo_header = checksum::pseudo_header(source, destination, ip::TCP, segment.len() as u32);
    let sum = tcp::checksum(&segment, pseudo_header);
    segment[tcp::CHECKSUM_OFFSET..][..2].copy_from_slice(&sum.to_be_bytes());
    segment
}

/// A datagram with its checksum.
pub(crate) fn datagram([source, destination]: [IpAddr; 2], ports: [u16; 2], payload: &[u8]) -> Vec<u8> {
    let [source_port, destination_port] = ports;
    let header = udp::Header { source_port, destination_port, payload_len: payload.len() };
    let mut datagram = vec![0; udp::HEADER_LEN];
    assert_eq!(header.write(&mut datagram), udp::HEADER_LEN);
    datagram.extend_from_slice(payload);
    let pseudo_header = checksum::pseudo_header(source, destination, ip::UDP, datagram.len() as u32);
    let sum = udp::checksum(&datagram, pseudo_header);
    datagram[udp::CHECKSUM_OFFSET..][..2].copy_from_slice(&sum.to_be_bytes());
    datagram
}

/// Makes the checksum of an IPv4 header right again.
pub(crate) fn mend(packet: &mut [u8]) {
    packet[10..12].fill(0);
    let length = (usize::from(packet[0] & 15) * 4).min(packet.len());
    let sum = checksum::sum(&packet[..length]);
    packet[10..12].copy_from_slice(&(!sum).to_be_bytes());
}
