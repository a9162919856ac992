//! The simulation's own reading and writing of segments agrees with `afpa_wire`'s.

use std::net::{IpAddr, SocketAddr};

use afpa_sim::{Flags, Segment, TcpOption};
use afpa_wire::ip::{self, Packet};
use afpa_wire::tcp;
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #[test]
    fn what_the_simulation_writes_is_read_the_same_by_wire(segment in segment()) {
        let octets = segment.encode();
        let packet = Packet::parse(&octets).unwrap();
        prop_assert_eq!(packet.source(), segment.source.ip());
        prop_assert_eq!(packet.destination(), segment.destination.ip());
        prop_assert_eq!(packet.ecn().bits(), segment.ecn);
        prop_assert_eq!(tcp::is_intact(packet.payload(), packet.pseudo_header()), tcp::Integrity::Whole);
        let parsed = tcp::Segment::parse(packet.payload()).unwrap();
        prop_assert_eq!(parsed.source_port, segment.source.port());
        prop_assert_eq!(parsed.destination_port, segment.destination.port());
        prop_assert_eq!(parsed.sequence, segment.sequence);
        prop_assert_eq!(parsed.acknowledgment, segment.acknowledgment);
        prop_assert_eq!(parsed.flags.0, segment.flags.0);
        prop_assert_eq!((parsed.window, parsed.urgent), (segment.window, segment.urgent));
        prop_assert_eq!(parsed.payload, &segment.payload[..]);
        prop_assert_eq!(parsed.sequence_len(), segment.length());
        prop_assert_eq!(parsed.options, options(&segment));
    }

    #[test]
    fn what_wire_writes_is_read_the_same_by_the_simulation(segment in segment()) {
        let header = tcp::Header {
            source_port: segment.source.port(),
            destination_port: segment.destination.port(),
            sequence: segment.sequence,
            acknowledgment: segment.acknowledgment,
            flags: tcp::Flags(segment.flags.0),
            window: segment.window,
            options: options(&segment),
        };
        let mut tcp = vec![0; tcp::MAX_HEADER_LEN];
        let len = header.write(&mut tcp);
        tcp.truncate(len);
        tcp.extend(&segment.payload);
        let (source, destination) = (segment.source.ip(), segment.destination.ip());
        let ecn = ip::Ecn::from_bits(segment.ecn);
        let ip = ip::Header { source, destination, protocol: ip::TCP, ecn, payload_len: tcp.len(), identification: 0 };
        let mut octets = vec![0; ip.header_len()];
        ip.write(&mut octets);
        let start = octets.len();
        octets.extend(tcp);
        let pseudo_header = Packet::parse(&octets).unwrap().pseudo_header();
        let checksum = tcp::checksum(&octets[start..], pseudo_header).to_be_bytes();
        octets[start + tcp::CHECKSUM_OFFSET..][..2].copy_from_slice(&checksum);
        let read = Segment::decode(&octets).unwrap();
        prop_assert_eq!(options(&read), options(&segment));
        prop_assert_eq!(Segment { options: Vec::new(), ..read }, Segment { options: Vec::new(), urgent: 0, ..segment });
    }
}

fn segment() -> impl Strategy<Value = Segment> {
    let fields = (any::<[u32; 2]>(), any::<[u16; 4]>(), any::<u8>(), 0..4u8);
    (addresses(), fields, chosen_options(), vec(any::<u8>(), 0..100)).prop_map(
        |(
            (source, destination),
            ([sequence, acknowledgment], [port, other, window, urgent], flags, ecn),
            options,
            payload,
        )| {
            Segment {
                source: SocketAddr::new(source, port),
                destination: SocketAddr::new(destination, other),
                ecn,
                sequence,
                acknowledgment,
                flags: Flags(flags),
                window,
                urgent,
                options,
                payload,
            }
        },
    )
}

fn addresses() -> impl Strategy<Value = (IpAddr, IpAddr)> {
    let v4 = any::<[[u8; 4]; 2]>().prop_map(|[source, destination]| (source.into(), destination.into()));
    let v6 = any::<[[u8; 16]; 2]>().prop_map(|[source, destination]| (source.into(), destination.into()));
    prop_oneof![v4, v6]
}

/// Each kind at most once, and together no more than fits.
fn chosen_options() -> impl Strategy<Value = Vec<TcpOption>> {
    let sack = vec(any::<(u32, u32)>(), 1..=2).prop_map(TcpOption::Sack);
    (
        proptest::option::of(any::<u16>().prop_map(TcpOption::Mss)),
        proptest::option::of((0..=14u8).prop_map(TcpOption::WindowScale)),
        proptest::option::of(Just(TcpOption::SackPermitted)),
        proptest::option::of(any::<(u32, u32)>().prop_map(|(value, echo)| TcpOption::Timestamps { value, echo })),
        proptest::option::of(sack),
    )
        .prop_map(|(mss, scale, permitted, timestamps, sack)| {
            let is_synchronizing = mss.is_some() || scale.is_some() || permitted.is_some();
            let sack = sack.filter(|_| !is_synchronizing);
            [mss, scale, permitted, timestamps, sack].into_iter().flatten().collect()
        })
}

fn options(segment: &Segment) -> tcp::Options {
    let mut options = tcp::Options::NONE;
    for option in &segment.options {
        match option {
            TcpOption::Mss(mss) => options.mss = Some(*mss),
            TcpOption::WindowScale(shift) => options.window_scale = Some(*shift),
            TcpOption::SackPermitted => options.sack_permitted = true,
            TcpOption::Sack(blocks) => blocks.iter().for_each(|block| assert!(options.sack.push(*block))),
            TcpOption::Timestamps { value, echo } => {
                options.timestamps = Some(tcp::Timestamps { value: *value, echo: *echo });
            }
            TcpOption::Raw(_) => {}
        }
    }
    options
}
