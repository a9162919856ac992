//! What each header must not be.

mod support;

use std::net::IpAddr;

use afpa_wire::ethernet::Frame;
use afpa_wire::ip::Packet;
use afpa_wire::{Layer, Malformed, arp, checksum, icmp, ip, tcp, udp};
use support::{mend, packet, v4, v6};

/// Octets made from valid ones, and what is wrong with them.
type Case = (&'static str, fn(&mut Vec<u8>), Malformed);

fn check<T: std::fmt::Debug>(valid: &[u8], cases: &[Case], parse: impl Fn(&[u8]) -> Result<T, Malformed>) {
    parse(valid).unwrap_or_else(|malformed| panic!("what is changed was valid before: {malformed}"));
    for (name, change, expected) in cases {
        let mut octets = valid.to_vec();
        change(&mut octets);
        assert_eq!(parse(&octets).expect_err(name), *expected, "{name}");
        assert!(!expected.to_string().is_empty());
    }
}

#[test]
fn ethernet() {
    let cut_short = Malformed::Truncated(Layer::Ethernet);
    let mut tagged = vec![0; 18];
    tagged[12..14].copy_from_slice(&[0x81, 0]);
    check(
        &tagged,
        &[
            ("nothing", |octets| octets.clear(), cut_short),
            ("an octet less than a header", |octets| octets.truncate(13), cut_short),
            ("no tag", |octets| octets.truncate(14), cut_short),
            ("an octet less than a tag", |octets| octets.truncate(17), cut_short),
        ],
        |octets| Frame::parse(octets).map(|_| ()),
    );
}

#[test]
fn arp() {
    let valid = [&[0, 1, 8, 0, 6, 4, 0, 1], [7; 20].as_slice()].concat();
    check(
        &valid,
        &[
            ("nothing", |octets| octets.clear(), Malformed::Truncated(Layer::Arp)),
            ("an octet less", |octets| octets.truncate(27), Malformed::Truncated(Layer::Arp)),
            ("other hardware", |octets| octets[1] = 6, Malformed::ArpKind),
            ("another protocol", |octets| octets[2] = 0x86, Malformed::ArpKind),
            ("long hardware addresses", |octets| octets[4] = 8, Malformed::ArpKind),
            ("long protocol addresses", |octets| octets[5] = 16, Malformed::ArpKind),
            ("operation 0", |octets| octets[7] = 0, Malformed::ArpOperation(0)),
            ("reverse ARP", |octets| octets[7] = 3, Malformed::ArpOperation(3)),
            ("operation 257", |octets| octets[6] = 1, Malformed::ArpOperation(257)),
        ],
        arp::Packet::parse,
    );
}

#[test]
fn ipv4() {
    check(
        &packet(v4(), 6, &[1; 40]),
        &[
            ("nothing", |octets| octets.clear(), Malformed::Truncated(Layer::Ipv4)),
            ("an octet less than a header", |octets| octets.truncate(19), Malformed::Truncated(Layer::Ipv4)),
            ("version 0", |octets| octets[0] = 0x05, Malformed::Version(0)),
            ("version 5", |octets| octets[0] = 0x55, Malformed::Version(5)),
            ("a header of 16 octets", |octets| octets[0] = 0x44, Malformed::HeaderLength(Layer::Ipv4)),
            ("a header of 0 octets", |octets| octets[0] = 0x40, Malformed::HeaderLength(Layer::Ipv4)),
            (
                "an end within the header",
                |octets| octets[2..4].copy_from_slice(&[0, 19]),
                Malformed::TotalLength(Layer::Ipv4),
            ),
            ("options that are payload", |octets| octets[0] = 0x4f, Malformed::Checksum(Layer::Ipv4)),
            (
                "options, and an end within them",
                |octets| {
                    octets[0] = 0x4f;
                    octets[2..4].copy_from_slice(&[0, 59]);
                },
                Malformed::TotalLength(Layer::Ipv4),
            ),
            ("longer than there is", |octets| octets.truncate(59), Malformed::TotalLength(Layer::Ipv4)),
            ("a length that is too long", |octets| octets[2] = 1, Malformed::TotalLength(Layer::Ipv4)),
            ("a flipped bit", |octets| octets[8] ^= 1, Malformed::Checksum(Layer::Ipv4)),
            ("no checksum", |octets| octets[10..12].fill(0), Malformed::Checksum(Layer::Ipv4)),
        ],
        |octets| Packet::parse(octets).map(|_| ()),
    );
}

/// An extension header: its number, and what follows its first octet.
type Extension<'a> = (u8, &'a [u8]);

/// An IPv6 packet with these extension headers in front of 8 octets of protocol 6.
fn with_extensions(extensions: &[Extension]) -> Vec<u8> {
    let following = extensions.iter().skip(1).map(|(kind, _)| *kind).chain([6]);
    let mut payload = Vec::new();
    for ((_, content), next) in extensions.iter().zip(following) {
        payload.push(next);
        payload.extend_from_slice(content);
    }
    payload.extend_from_slice(&[0xaa; 8]);
    packet(v6(), extensions.first().map_or(6, |(kind, _)| *kind), &payload)
}

const PADDING: &[u8] = &[0, 1, 4, 0, 0, 0, 0];

#[test]
fn ipv6() {
    check(
        &packet(v6(), 6, &[1; 40]),
        &[
            ("a version and no more", |octets| octets.truncate(1), Malformed::Truncated(Layer::Ipv6)),
            ("an octet less than a header", |octets| octets.truncate(39), Malformed::Truncated(Layer::Ipv6)),
            ("longer than there is", |octets| octets.truncate(79), Malformed::TotalLength(Layer::Ipv6)),
            ("a length that is too long", |octets| octets[5] += 1, Malformed::TotalLength(Layer::Ipv6)),
            ("version 7", |octets| octets[0] = 0x70, Malformed::Version(7)),
        ],
        |octets| Packet::parse(octets).map(|_| ()),
    );
}

#[test]
fn ipv6_extension_headers() {
    let many = [(60, PADDING); ip::MAX_EXTENSIONS + 1];
    let cases: &[(&str, &[Extension], Malformed)] = &[
        ("one too many", &many, Malformed::TooManyExtensions),
        ("hop-by-hop options in second place", &[(60, PADDING), (0, PADDING)], Malformed::HopByHopPlace),
        ("hop-by-hop options twice", &[(0, PADDING), (0, PADDING)], Malformed::HopByHopPlace),
        ("a jumbogram", &[(0, &[0, 0xc2, 4, 0, 1, 0, 0])], Malformed::ExtensionOption(0xc2)),
        ("discard if unknown", &[(60, &[0, 0x7e, 4, 0, 0, 0, 0])], Malformed::ExtensionOption(0x7e)),
        ("complain if unknown", &[(60, &[0, 0x80, 4, 0, 0, 0, 0])], Malformed::ExtensionOption(0x80)),
        ("an option without length", &[(60, &[0, 0, 0, 0, 0, 0, 1])], Malformed::Truncated(Layer::Extension)),
        ("an option beyond the end", &[(60, &[0, 1, 5, 0, 0, 0, 0])], Malformed::Truncated(Layer::Extension)),
        ("a station to go", &[(43, &[0, 0, 1, 0, 0, 0, 0])], Malformed::RoutingUnfinished),
        ("longer than the packet", &[(60, &[2, 1, 4, 0, 0, 0, 0])], Malformed::HeaderLength(Layer::Extension)),
    ];
    for (name, extensions, expected) in cases {
        let octets = with_extensions(extensions);
        assert_eq!(Packet::parse(&octets).expect_err(name), *expected, "{name}");
    }
    for length in 0..4 {
        let octets = packet(v6(), 60, &[6, 0, 1, 4][..length]);
        assert_eq!(Packet::parse(&octets), Err(Malformed::Truncated(Layer::Extension)));
    }
    for length in 4..8 {
        let octets = packet(v6(), 44, &[6, 0, 0, 0, 0, 0, 0, 0][..length]);
        assert_eq!(Packet::parse(&octets), Err(Malformed::HeaderLength(Layer::Extension)));
    }
}

#[test]
fn ipv6_extension_headers_that_are_walked() {
    let two_units: &[u8] = &[1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let cases: &[(&str, &[Extension], bool)] = &[
        ("none", &[], false),
        ("hop-by-hop options", &[(0, PADDING)], false),
        ("an option that may be skipped", &[(0, &[0, 5, 2, 0, 0, 1, 0])], false),
        ("single octets of padding", &[(60, &[0, 0, 0, 0, 0, 0, 0])], false),
        ("a long one", &[(60, two_units)], false),
        ("a route that was taken", &[(43, &[0, 0, 0, 0, 0, 0, 0])], false),
        ("as many as there may be", &[(60, PADDING); ip::MAX_EXTENSIONS], false),
        ("the only fragment", &[(44, &[0, 0, 0, 1, 2, 3, 4]), (60, PADDING)], false),
        ("reserved bits of a fragment", &[(44, &[9, 0, 6, 1, 2, 3, 4])], false),
        ("the first fragment", &[(0, PADDING), (44, &[0, 0, 1, 1, 2, 3, 4])], true),
        ("the last fragment", &[(44, &[0, 0, 8, 1, 2, 3, 4])], true),
    ];
    for (name, extensions, is_fragment) in cases {
        let octets = with_extensions(extensions);
        let packet = Packet::parse(&octets).expect(name);
        let expected = (6, [0xaa; 8].as_slice(), *is_fragment);
        assert_eq!((packet.protocol(), packet.payload(), packet.is_fragment()), expected, "{name}");
    }
}

#[test]
fn ipv4_packets_that_are_unusual() {
    let mut with_options = packet(v4(), 17, &[1; 12]);
    with_options[0] = 0x46;
    mend(&mut with_options);
    let view = Packet::parse(&with_options).unwrap();
    assert_eq!((view.payload(), view.protocol()), ([1; 8].as_slice(), 17));

    let mut padded = packet(v4(), 17, &[1; 5]);
    padded.extend_from_slice(&[0; 21]);
    let view = Packet::parse(&padded).unwrap();
    assert_eq!((view.payload(), view.octets().len()), ([1; 5].as_slice(), 25));

    for (flags, is_fragment) in
        [([0x40, 0], false), ([0x80, 0], false), ([0x20, 0], true), ([0, 1], true), ([0x1f, 0xff], true)]
    {
        let mut octets = packet(v4(), 6, &[]);
        octets[6..8].copy_from_slice(&flags);
        mend(&mut octets);
        assert_eq!(Packet::parse(&octets).unwrap().is_fragment(), is_fragment, "{flags:?}");
    }
}

#[test]
fn udp() {
    check(
        &support::datagram(v4(), [1000, 2000], &[1; 8]),
        &[
            ("nothing", |octets| octets.clear(), Malformed::Truncated(Layer::Udp)),
            ("an octet less than a header", |octets| octets.truncate(7), Malformed::Truncated(Layer::Udp)),
            ("shorter than its header", |octets| octets[5] = 7, Malformed::TotalLength(Layer::Udp)),
            ("no length", |octets| octets[5] = 0, Malformed::TotalLength(Layer::Udp)),
            ("longer than there is", |octets| octets[5] = 17, Malformed::TotalLength(Layer::Udp)),
            ("cut off", |octets| octets.truncate(15), Malformed::TotalLength(Layer::Udp)),
        ],
        |octets| udp::Datagram::parse(octets).map(|_| ()),
    );
}

#[test]
fn tcp() {
    check(
        &support::segment(v4(), &tcp::Header::default(), &[]),
        &[
            ("nothing", |octets| octets.clear(), Malformed::Truncated(Layer::Tcp)),
            ("an octet less than a header", |octets| octets.truncate(19), Malformed::Truncated(Layer::Tcp)),
            ("a header of 16 octets", |octets| octets[12] = 0x40, Malformed::HeaderLength(Layer::Tcp)),
            ("a header of 0 octets", |octets| octets[12] = 0, Malformed::HeaderLength(Layer::Tcp)),
            ("longer than there is", |octets| octets[12] = 0x60, Malformed::HeaderLength(Layer::Tcp)),
        ],
        |octets| tcp::Segment::parse(octets).map(|_| ()),
    );
}

/// A packet in which a router between says to the first address that its packet is too big.
fn too_big(addresses: [IpAddr; 2], change: fn(&mut Vec<u8>)) -> Vec<u8> {
    let header = tcp::Header { source_port: 80, destination_port: 5000, sequence: 9, ..tcp::Header::default() };
    let about = packet(addresses, ip::TCP, &support::segment(addresses, &header, &[7; 50]));
    let kind = icmp::Kind::TooBig { mtu: 1300 };
    let [destination, source] = addresses;
    let header = icmp::Header { source, destination, kind };
    let mut message = vec![0; header.message_len(about.len())];
    header.write(&about, &mut message);
    let protocol = if source.is_ipv4() { ip::ICMP } else { ip::ICMPV6 };
    change(&mut message);
    if message.len() >= 4 && message[2..4] != [0xba, 0xad] {
        message[2..4].fill(0);
        let length = message.len() as u32;
        let pseudo_header =
            if source.is_ipv4() { 0 } else { checksum::pseudo_header(source, destination, protocol, length) };
        let sum = checksum::add(checksum::sum(&message), pseudo_header);
        message[2..4].copy_from_slice(&(!sum).to_be_bytes());
    }
    packet([source, destination], protocol, &message)
}

#[test]
fn icmp() {
    let cases: &[Case] = &[
        ("nothing", |message| message.clear(), Malformed::Truncated(Layer::Icmp)),
        ("an octet less than a header", |message| message.truncate(7), Malformed::Truncated(Layer::Icmp)),
        ("no quotation", |message| message.truncate(8), Malformed::Truncated(Layer::Quoted)),
        ("a quotation of less than a header", |message| message.truncate(27), Malformed::Truncated(Layer::Quoted)),
        ("a wrong checksum", |message| message[2..4].copy_from_slice(&[0xba, 0xad]), Malformed::Checksum(Layer::Icmp)),
        ("a quotation of another version", |message| message[8] = 0x50, Malformed::Version(5)),
        ("another's packet", |message| message[8 + 15] ^= 1, Malformed::QuotedSource),
    ];
    let of_v4: &[Case] = &[
        ("a quotation without ports", |message| message.truncate(28 + 7), Malformed::Truncated(Layer::Quoted)),
        ("a quoted header that is too short", |message| message[8] = 0x44, Malformed::HeaderLength(Layer::Quoted)),
        ("a quoted fragment", |message| message[8 + 7] = 1, Malformed::QuotedFragment),
    ];
    let of_v6: &[Case] = &[
        ("a quotation without ports", |message| message.truncate(48 + 7), Malformed::Truncated(Layer::Quoted)),
        (
            "a quoted fragment",
            |message| {
                message[8 + 6] = 44;
                message[48..56].copy_from_slice(&[6, 0, 0, 8, 1, 2, 3, 4]);
            },
            Malformed::QuotedFragment,
        ),
        (
            "extension headers that end nowhere",
            |message| message[8 + 6] = 60,
            Malformed::HeaderLength(Layer::Extension),
        ),
    ];
    for (addresses, more) in [(v4(), of_v4), (v6(), of_v6)] {
        for (name, change, expected) in cases.iter().chain(more) {
            let octets = too_big(addresses, *change);
            let packet = Packet::parse(&octets).unwrap();
            assert_eq!(icmp::Error::parse(&packet).expect_err(name), *expected, "{name}");
        }
        let octets = too_big(addresses, |_| {});
        let error = icmp::Error::parse(&Packet::parse(&octets).unwrap()).unwrap().unwrap();
        assert_eq!(error.kind, icmp::Kind::TooBig { mtu: 1300 });
    }
}
