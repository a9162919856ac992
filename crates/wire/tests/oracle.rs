//! smoltcp reads what we write, and we read what it writes. Its checksums are over everything, so that equal
//! octets are equal checksums.

mod support;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use afpa_wire::ethernet::Frame;
use afpa_wire::icmp::{Kind, Unreachable};
use afpa_wire::ip::Packet;
use afpa_wire::tcp::{Flags, Header, Integrity, Options, SackBlocks, Segment, Timestamps};
use afpa_wire::{MacAddress, arp, ethernet, icmp, ip, tcp, udp};
use proptest::prelude::*;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire as theirs;

type Octets = Vec<u8>;

fn addresses() -> impl Strategy<Value = [IpAddr; 2]> {
    let v4 = any::<[u32; 2]>().prop_map(|both| both.map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))));
    let v6 = any::<[u128; 2]>().prop_map(|both| both.map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))));
    prop_oneof![v4, v6]
}

fn payload() -> impl Strategy<Value = Octets> {
    prop::collection::vec(any::<u8>(), 0..1500)
}

fn ports() -> impl Strategy<Value = [u16; 2]> {
    [1u16.., 1u16..]
}

/// Flags that smoltcp has a name for.
fn controls() -> impl Strategy<Value = (theirs::TcpControl, Flags)> {
    prop_oneof![
        Just((theirs::TcpControl::None, Flags::NONE)),
        Just((theirs::TcpControl::Psh, Flags::PSH)),
        Just((theirs::TcpControl::Syn, Flags::SYN)),
        Just((theirs::TcpControl::Fin, Flags::FIN)),
        Just((theirs::TcpControl::Rst, Flags::RST)),
    ]
}

/// Options that smoltcp can say: no more than three blocks, and none in a SYN.
fn options() -> impl Strategy<Value = Options> {
    let timestamps = any::<Option<(u32, u32)>>();
    let sack = prop::collection::vec((1u32.., 1u32..), 0..=2);
    (any::<Option<u16>>(), prop::option::of(0u8..=14), any::<bool>(), timestamps, sack).prop_map(
        |(mss, window_scale, sack_permitted, timestamps, sack)| Options {
            mss,
            window_scale,
            sack_permitted,
            timestamps: timestamps.map(|(value, echo)| Timestamps { value, echo }),
            sack: if sack_permitted { SackBlocks::NONE } else { sack.into_iter().collect() },
        },
    )
}

fn their_segment<'a>(header: &Header, control: theirs::TcpControl, payload: &'a [u8]) -> theirs::TcpRepr<'a> {
    let mut blocks = header.options.sack.iter();
    theirs::TcpRepr {
        src_port: header.source_port,
        dst_port: header.destination_port,
        control,
        seq_number: theirs::TcpSeqNumber(header.sequence as i32),
        ack_number: Some(theirs::TcpSeqNumber(header.acknowledgment as i32)),
        window_len: header.window,
        window_scale: header.options.window_scale,
        max_seg_size: header.options.mss,
        sack_permitted: header.options.sack_permitted,
        sack_ranges: std::array::from_fn(|_| blocks.next()),
        timestamp: header.options.timestamps.map(|t| theirs::TcpTimestampRepr::new(t.value, t.echo)),
        payload,
    }
}

/// An IP packet as smoltcp writes it.
fn their_packet([source, destination]: [IpAddr; 2], protocol: u8, payload: &[u8]) -> Octets {
    let header = theirs::IpRepr::new(source.into(), destination.into(), protocol.into(), payload.len(), 64);
    let mut octets = vec![0; header.buffer_len()];
    header.emit(&mut octets[..], &ChecksumCapabilities::default());
    let start = header.header_len();
    octets[start..].copy_from_slice(payload);
    octets
}

proptest! {
    #[test]
    fn ethernet_and_arp(macs in any::<[[u8; 6]; 2]>(), ips in any::<[u32; 2]>(), is_request in any::<bool>()) {
        let [sender, target] = macs;
        let [sender_ip, target_ip] = ips.map(Ipv4Addr::from_bits);
        let header = theirs::EthernetRepr {
            src_addr: theirs::EthernetAddress(sender),
            dst_addr: theirs::EthernetAddress(target),
            ethertype: theirs::EthernetProtocol::Arp,
        };
        let packet = theirs::ArpRepr::EthernetIpv4 {
            operation: if is_request { theirs::ArpOperation::Request } else { theirs::ArpOperation::Reply },
            source_hardware_addr: theirs::EthernetAddress(sender),
            source_protocol_addr: sender_ip,
            target_hardware_addr: theirs::EthernetAddress(target),
            target_protocol_addr: target_ip,
        };
        let mut octets = [0; 42];
        header.emit(&mut theirs::EthernetFrame::new_unchecked(&mut octets[..]));
        packet.emit(&mut theirs::ArpPacket::new_unchecked(&mut octets[14..]));

        let [sender_mac, target_mac] = macs.map(MacAddress);
        let operation = if is_request { arp::Operation::Request } else { arp::Operation::Reply };
        let expected = arp::Packet { operation, sender_mac, sender_ip, target_mac, target_ip };
        let frame = Frame::parse(&octets).unwrap();
        let ether_type = ethernet::ARP;
        let view = Frame { destination: target_mac, source: sender_mac, vlan: None, ether_type, payload: &octets[14..] };
        prop_assert_eq!(frame, view);
        prop_assert_eq!(arp::Packet::parse(frame.payload), Ok(expected));

        let mut written = [0xff; 42];
        let header = ethernet::Header { destination: target_mac, source: sender_mac, vlan: None, ether_type };
        prop_assert_eq!(header.write(&mut written), 14);
        prop_assert_eq!(expected.write(&mut written[14..]), 28);
        prop_assert_eq!(written, octets);
    }

    #[test]
    fn ip_headers(both in addresses(), protocol in 100u8.., payload in payload(), padding in 0usize..50) {
        let mut octets = their_packet(both, protocol, &payload);
        let length = octets.len();
        octets.resize(length + padding, 0);
        let packet = Packet::parse(&octets).unwrap();
        prop_assert_eq!([packet.source(), packet.destination()], both);
        prop_assert_eq!((packet.protocol(), packet.payload()), (protocol, payload.as_slice()));
        prop_assert_eq!((packet.hop_limit(), packet.ecn()), (64, ip::Ecn::NotCapable));
        prop_assert_eq!((packet.is_fragment(), packet.octets().len()), (false, length));

        let [source, destination] = both;
        let ecn = ip::Ecn::NotCapable;
        let header = ip::Header { source, destination, protocol, ecn, payload_len: payload.len(), identification: 0 };
        let mut written = vec![0xff; header.header_len()];
        prop_assert_eq!(header.write(&mut written), length - payload.len());
        prop_assert_eq!(&written, &octets[..written.len()]);
    }

    #[test]
    fn congestion_and_identification(both in addresses(), bits in 0u8..4, identification in any::<u16>()) {
        let [source, destination] = both;
        let ecn = ip::Ecn::from_bits(bits);
        let header = ip::Header { source, destination, protocol: ip::TCP, ecn, payload_len: 0, identification };
        let mut octets = vec![0; header.header_len()];
        header.write(&mut octets);
        prop_assert_eq!(Packet::parse(&octets).unwrap().ecn(), ecn);
        if source.is_ipv4() {
            let packet = theirs::Ipv4Packet::new_checked(&octets).unwrap();
            prop_assert!(packet.verify_checksum() && packet.dont_frag() && !packet.more_frags());
            prop_assert_eq!((packet.ecn(), packet.ident(), packet.dscp()), (bits, identification, 0));
        } else {
            let packet = theirs::Ipv6Packet::new_checked(&octets).unwrap();
            prop_assert_eq!((packet.traffic_class(), packet.flow_label()), (bits, 0));
        }
    }

    #[test]
    fn tcp_segments(
        both in addresses(), ports in ports(), numbers in any::<[u32; 2]>(), (control, flags) in controls(),
        window in any::<u16>(), options in options(), payload in payload(),
    ) {
        let [source_port, destination_port] = ports;
        let [sequence, acknowledgment] = numbers;
        let flags = flags | Flags::ACK;
        let header = Header { source_port, destination_port, sequence, acknowledgment, flags, window, options };
        let expected = their_segment(&header, control, &payload);
        let [source, destination] = both.map(theirs::IpAddress::from);
        let all = ChecksumCapabilities::default();

        let ours = support::segment(both, &header, &payload);
        let packet = theirs::TcpPacket::new_checked(ours.as_slice()).unwrap();
        prop_assert_eq!(theirs::TcpRepr::parse(&packet, &source, &destination, &all), Ok(expected));
        prop_assert_eq!((packet.urgent_at(), packet.ece(), packet.cwr()), (0, false, false));

        let mut octets = vec![0; expected.buffer_len()];
        expected.emit(&mut theirs::TcpPacket::new_unchecked(octets.as_mut_slice()), &source, &destination, &all);
        let octets = their_packet(both, ip::TCP, &octets);
        let packet = Packet::parse(&octets).unwrap();
        let segment = Segment::parse(packet.payload()).unwrap();
        let header_len = segment.header_len;
        let view = Segment {
            source_port, destination_port, sequence, acknowledgment, flags, window, urgent: 0, options,
            payload: &payload, header_len,
        };
        prop_assert_eq!(segment, view);
        prop_assert_eq!(tcp::is_intact(packet.payload(), packet.pseudo_header()), Integrity::Whole);
    }

    #[test]
    fn udp_datagrams(both in addresses(), ports in ports(), payload in payload()) {
        let [source_port, destination_port] = ports;
        let [source, destination] = both.map(theirs::IpAddress::from);
        let header = theirs::UdpRepr { src_port: source_port, dst_port: destination_port };
        let mut octets = vec![0; 8 + payload.len()];
        let mut packet = theirs::UdpPacket::new_unchecked(octets.as_mut_slice());
        let fill = |to: &mut [u8]| to.copy_from_slice(&payload);
        header.emit(&mut packet, &source, &destination, payload.len(), fill, &ChecksumCapabilities::default());
        let checksum = packet.checksum();
        prop_assert_eq!(&support::datagram(both, ports, &payload), &octets);

        let octets = their_packet(both, ip::UDP, &octets);
        let packet = Packet::parse(&octets).unwrap();
        let view = udp::Datagram { source_port, destination_port, checksum, payload: &payload };
        prop_assert_eq!(udp::Datagram::parse(packet.payload()), Ok(view));
        prop_assert_eq!(udp::is_intact(packet.payload(), packet.pseudo_header()), Integrity::Whole);
    }

    #[test]
    fn icmp_errors_of_v4(router in any::<u32>(), both in any::<[u32; 2]>(), code in 0u8..20, data in payload()) {
        prop_assume!(data.len() >= 20 && code != 4);
        let [router, us, peer] = [router, both[0], both[1]].map(Ipv4Addr::from_bits);
        let header = theirs::Ipv4Repr {
            src_addr: us, dst_addr: peer, next_header: theirs::IpProtocol::Tcp, payload_len: data.len(), hop_limit: 3,
        };
        let message = theirs::Icmpv4Repr::DstUnreachable { reason: code.into(), header, data: &data };
        let mut octets = vec![0; message.buffer_len()];
        let mut packet = theirs::Icmpv4Packet::new_unchecked(octets.as_mut_slice());
        message.emit(&mut packet, &ChecksumCapabilities::default());
        let octets = their_packet([router.into(), us.into()], ip::ICMP, &octets);
        let error = icmp::Error::parse(&Packet::parse(&octets).unwrap()).unwrap().unwrap();
        prop_assert!(matches!(error.kind, Kind::Unreachable(_)));
        prop_assert_eq!(error.kind == Kind::Unreachable(Unreachable::Port), code == 3);
        prop_assert_eq!(error.quoted, quoted(us.into(), peer.into(), 20, &data));
    }

    #[test]
    fn icmp_errors_of_v6(router in any::<u128>(), both in any::<[u128; 2]>(), mtu in any::<u32>(), data in payload()) {
        prop_assume!((20..=1280 - 40 - 8 - 40).contains(&data.len()));
        let [router, us, peer] = [router, both[0], both[1]].map(Ipv6Addr::from_bits);
        let header = theirs::Ipv6Repr {
            src_addr: us, dst_addr: peer, next_header: theirs::IpProtocol::Tcp, payload_len: data.len(), hop_limit: 3,
        };
        let message = theirs::Icmpv6Repr::PktTooBig { mtu, header, data: &data };
        let mut octets = vec![0; message.buffer_len()];
        let mut packet = theirs::Icmpv6Packet::new_unchecked(octets.as_mut_slice());
        message.emit(&router, &us, &mut packet, &ChecksumCapabilities::default());
        let octets = their_packet([router.into(), us.into()], ip::ICMPV6, &octets);
        let error = icmp::Error::parse(&Packet::parse(&octets).unwrap()).unwrap().unwrap();
        prop_assert_eq!(error.kind, Kind::TooBig { mtu });
        prop_assert_eq!(error.quoted, quoted(us.into(), peer.into(), 40, &data));

        // What we write about the same packet is the same.
        let about = their_packet([us.into(), peer.into()], ip::TCP, &data);
        let answer = icmp::Header { source: router.into(), destination: us.into(), kind: error.kind };
        let mut ours = vec![0xff; answer.message_len(about.len())];
        prop_assert_eq!(answer.write(&about, &mut ours), ours.len());
        let packet = theirs::Icmpv6Packet::new_checked(ours.as_slice()).unwrap();
        let read = theirs::Icmpv6Repr::parse(&router, &us, &packet, &ChecksumCapabilities::default());
        let header = theirs::Ipv6Repr { hop_limit: 64, ..header };
        prop_assert_eq!(read, Ok(theirs::Icmpv6Repr::PktTooBig { mtu, header, data: &data }));
    }
}

fn quoted(source: IpAddr, destination: IpAddr, header_len: usize, data: &[u8]) -> icmp::Quoted {
    icmp::Quoted {
        source,
        destination,
        protocol: ip::TCP,
        source_port: u16::from_be_bytes([data[0], data[1]]),
        destination_port: u16::from_be_bytes([data[2], data[3]]),
        sequence: Some(u32::from_be_bytes([data[4], data[5], data[6], data[7]])),
        packet_len: header_len + data.len(),
    }
}
