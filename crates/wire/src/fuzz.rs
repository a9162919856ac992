//! Entry points for fuzzing: any octets in, a panic only if a promise is broken.

use std::net::IpAddr;

use crate::arp;
use crate::checksum::{self, Integrity};
use crate::ethernet::{self, Frame};
use crate::icmp;
use crate::ip::{self, Packet, Version};
use crate::proxy_protocol::{self, Parsed};
use crate::tcp;
use crate::udp;

/// Reads `data` as a frame, and as a packet; what is understood is read to the last header, written anew
/// and read again. Checksums that are wrong, as they are in most of what a fuzzer tries, are mended to see
/// what is behind them.
///
/// # Panics
/// If a view promises what does not hold, or what is written is not what is read.
pub fn packet(data: &[u8]) {
    check_sums(data);
    check_frame(data);
    check_packet(data);
    check_packet(&with_mended_header(data));
}

/// `data` is the start of what a load balancer sent. A header that is read can be written, and is the same then.
///
/// # Panics
/// If not.
pub fn proxy_header(data: &[u8]) {
    let Ok(Parsed::Whole(header, len)) = proxy_protocol::read(data) else { return };
    assert!(len <= data.len());
    assert_eq!(proxy_protocol::read(&data[..len]), Ok(Parsed::Whole(header, len)), "a header depends on itself alone");
    assert_eq!(proxy_protocol::read(&data[..len - 1]), Ok(Parsed::Incomplete));
    let (Some(endpoints), Some(carrier)) = (header.endpoints, header.carrier) else { return };
    let mut written = Vec::new();
    proxy_protocol::write(Some(&endpoints), carrier, &mut written);
    assert_eq!(proxy_protocol::read(&written), Ok(Parsed::Whole(header, written.len())));
}

fn check_sums(data: &[u8]) {
    let whole = checksum::sum(data);
    for middle in [1, data.len() / 2, data.len()].map(|middle| middle.min(data.len())) {
        let (front, back) = data.split_at(middle);
        let back = checksum::swap_if_odd(checksum::sum(back), middle % 2 == 1);
        assert_eq!(checksum::add(checksum::sum(front), back), whole, "the sum of two parts");
    }
}

fn check_frame(data: &[u8]) {
    let Ok(frame) = Frame::parse(data) else { return };
    let Frame { destination, source, vlan, ether_type, payload } = frame;
    let header = ethernet::Header { destination, source, vlan, ether_type };
    let mut written = [0; ethernet::TAGGED_HEADER_LEN];
    let length = header.write(&mut written);
    assert_eq!(length + payload.len(), data.len());
    assert_eq!(written[..length], data[..length], "an Ethernet header, written anew");
    match ether_type {
        ethernet::ARP => check_arp(payload),
        ethernet::IPV4 | ethernet::IPV6 => check_packet(payload),
        _ => {}
    }
}

fn check_arp(data: &[u8]) {
    let Ok(packet) = arp::Packet::parse(data) else { return };
    let mut written = [0; arp::PACKET_LEN];
    assert_eq!(packet.write(&mut written), arp::PACKET_LEN);
    assert_eq!(written, data[..arp::PACKET_LEN], "an ARP packet, written anew");
}

fn check_packet(data: &[u8]) {
    let Ok(packet) = Packet::parse(data) else { return };
    assert!(data.starts_with(packet.octets()) && packet.octets().ends_with(packet.payload()));
    assert_eq!(Packet::parse(packet.octets()), Ok(packet), "without padding");
    assert_eq!(packet.source().is_ipv4(), packet.destination().is_ipv4());
    if packet.is_fragment() {
        return;
    }
    check_written(&packet);
    match packet.protocol() {
        ip::TCP => check_segment(&packet),
        ip::UDP => check_datagram(&packet),
        _ => check_error(&packet),
    }
}

/// What the packet says and we can say too, in a packet of ours.
fn check_written(packet: &Packet<'_>) {
    let header = ip::Header {
        source: packet.source(),
        destination: packet.destination(),
        protocol: packet.protocol(),
        ecn: packet.ecn(),
        payload_len: packet.payload().len(),
        identification: 0,
    };
    let mut written = vec![0; header.header_len()];
    assert_eq!(header.write(&mut written), written.len());
    written.extend_from_slice(packet.payload());
    let Ok(again) = Packet::parse(&written) else { panic!("we write valid packets") };
    assert_eq!((again.source(), again.destination()), (packet.source(), packet.destination()));
    assert_eq!((again.protocol(), again.ecn(), again.payload()), (packet.protocol(), packet.ecn(), packet.payload()));
    assert_eq!(again.pseudo_header(), packet.pseudo_header());
    assert!(!again.is_fragment() && again.octets().len() <= packet.octets().len());
}

fn check_segment(packet: &Packet<'_>) {
    let Ok(segment) = tcp::Segment::parse(packet.payload()) else { return };
    assert_eq!(segment.header_len + segment.payload.len(), packet.payload().len());
    assert!(segment.options.window_scale.is_none_or(|shift| shift <= tcp::MAX_WINDOW_SCALE));
    let header = tcp::Header {
        source_port: segment.source_port,
        destination_port: segment.destination_port,
        sequence: segment.sequence,
        acknowledgment: segment.acknowledgment,
        flags: segment.flags,
        window: segment.window,
        options: segment.options,
    };
    let mut written = [0xff; tcp::MAX_HEADER_LEN];
    let length = header.write(&mut written);
    assert_eq!(length, header.header_len());
    let Ok(mut again) = tcp::Segment::parse(&written[..length]) else { panic!("we write valid segments") };
    // Padding may cost the last blocks their place.
    assert!(segment.options.sack.as_slice().starts_with(again.options.sack.as_slice()));
    again.options.sack = segment.options.sack;
    let expected = tcp::Segment { urgent: 0, payload: &[], header_len: length, ..segment };
    assert_eq!(again, expected, "a TCP header, written anew");
    check_integrity(packet, tcp::CHECKSUM_OFFSET, tcp::checksum, tcp::is_intact);
}

fn check_datagram(packet: &Packet<'_>) {
    let Ok(datagram) = udp::Datagram::parse(packet.payload()) else { return };
    let (source_port, destination_port) = (datagram.source_port, datagram.destination_port);
    let header = udp::Header { source_port, destination_port, payload_len: datagram.payload.len() };
    let mut written = vec![0xff; udp::HEADER_LEN];
    assert_eq!(header.write(&mut written), udp::HEADER_LEN);
    written.extend_from_slice(datagram.payload);
    assert!(packet.payload().len() >= written.len());
    let Ok(again) = udp::Datagram::parse(&written) else { panic!("we write valid datagrams") };
    assert_eq!(again, udp::Datagram { checksum: 0, ..datagram }, "a UDP header, written anew");
    check_integrity(packet, udp::CHECKSUM_OFFSET, udp::checksum, udp::is_intact);
}

/// A checksum that we make is right, one that is left to a device looks so, and a flipped bit breaks it.
fn check_integrity(
    packet: &Packet<'_>,
    field: usize,
    checksum: fn(&[u8], u16) -> u16,
    is_intact: fn(&[u8], u16) -> Integrity,
) {
    let pseudo_header = packet.pseudo_header();
    let mut octets = packet.payload().to_vec();
    let right = checksum(&octets, pseudo_header);
    octets[field..field + 2].copy_from_slice(&right.to_be_bytes());
    assert_eq!(is_intact(&octets, pseudo_header), Integrity::Whole);
    assert_eq!(checksum(&octets, pseudo_header), right, "the field itself does not count");
    octets[field..field + 2].copy_from_slice(&pseudo_header.to_be_bytes());
    assert_ne!(is_intact(&octets, pseudo_header), Integrity::Broken);
    octets[field..field + 2].copy_from_slice(&right.to_be_bytes());
    let last = octets.len() - 1;
    octets[last] ^= 1;
    assert_ne!(is_intact(&octets, pseudo_header), Integrity::Whole, "with a flipped bit");
}

fn check_error(packet: &Packet<'_>) {
    check_error_as_it_is(packet);
    if packet.payload().len() >= icmp::HEADER_LEN {
        let mut message = packet.payload().to_vec();
        message[2..4].fill(0);
        let pseudo_header = if packet.version() == Version::V4 { 0 } else { packet.pseudo_header() };
        let sum = checksum::add(checksum::sum(&message), pseudo_header);
        message[2..4].copy_from_slice(&(!sum).to_be_bytes());
        let mended = in_packet(packet.source(), packet.destination(), packet.protocol(), &message);
        let Ok(mended) = Packet::parse(&mended) else { panic!("we write valid packets") };
        check_error_as_it_is(&mended);
    }
}

fn check_error_as_it_is(packet: &Packet<'_>) {
    let Ok(Some(error)) = icmp::Error::parse(packet) else { return };
    assert_eq!(error.quoted.source, packet.destination());
    assert_eq!(error.quoted.sequence.is_some(), error.quoted.protocol == ip::TCP);
    let header = icmp::Header { source: packet.source(), destination: packet.destination(), kind: error.kind };
    let about = &packet.payload()[icmp::HEADER_LEN..];
    let mut message = vec![0xff; header.message_len(about.len())];
    assert_eq!(header.write(about, &mut message), message.len());
    // A quotation that is cut off may lose what says the ports.
    if message.len() == packet.payload().len() {
        let written = in_packet(packet.source(), packet.destination(), packet.protocol(), &message);
        let Ok(again) = Packet::parse(&written) else { panic!("we write valid packets") };
        assert_eq!(icmp::Error::parse(&again), Ok(Some(error)), "an ICMP error, written anew");
    }
}

/// `data` with a right checksum where an IPv4 header would have it.
fn with_mended_header(data: &[u8]) -> Vec<u8> {
    let mut octets = data.to_vec();
    let header_len = usize::from(data.first().map_or(0, |first| first & 0x0f)) * 4;
    if (ip::V4_HEADER_LEN..=octets.len()).contains(&header_len) {
        octets[10..12].fill(0);
        let sum = checksum::sum(&octets[..header_len]);
        octets[10..12].copy_from_slice(&(!sum).to_be_bytes());
    }
    octets
}

fn in_packet(source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let ecn = ip::Ecn::NotCapable;
    let header = ip::Header { source, destination, protocol, ecn, payload_len: payload.len(), identification: 0 };
    let mut packet = vec![0; header.header_len()];
    header.write(&mut packet);
    packet.extend_from_slice(payload);
    packet
}
