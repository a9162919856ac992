//! What ICMP says about packets of ours.

mod support;

use std::net::IpAddr;

use afpa_wire::icmp::{self, Kind, Unreachable};
use afpa_wire::ip::Packet;
use afpa_wire::{checksum, ip, tcp};
use support::{packet, v4, v6};

/// A packet with a message from the second address to the first: type, code, second word, quotation.
fn message([us, peer]: [IpAddr; 2], [kind, code]: [u8; 2], word: u32, quotation: &[u8]) -> Vec<u8> {
    let mut message = [&[kind, code, 0, 0], word.to_be_bytes().as_slice(), quotation].concat();
    let protocol = if us.is_ipv4() { ip::ICMP } else { ip::ICMPV6 };
    let pseudo_header = match us {
        IpAddr::V4(_) => 0,
        IpAddr::V6(_) => checksum::pseudo_header(peer, us, protocol, message.len() as u32),
    };
    let sum = checksum::add(checksum::sum(&message), pseudo_header);
    message[2..4].copy_from_slice(&(!sum).to_be_bytes());
    packet([peer, us], protocol, &message)
}

fn parsed(octets: &[u8]) -> Option<icmp::Error> {
    icmp::Error::parse(&Packet::parse(octets).unwrap()).unwrap()
}

#[test]
fn every_code_has_its_meaning() {
    use Unreachable::*;
    let of_v4 = [
        ([3, 0], Kind::Unreachable(Network)),
        ([3, 1], Kind::Unreachable(Host)),
        ([3, 2], Kind::Unreachable(Protocol)),
        ([3, 3], Kind::Unreachable(Port)),
        // The upper half of the word is unused: routers may put anything there (RFC 4884 a length).
        ([3, 4], Kind::TooBig { mtu: 0x5678 }),
        ([3, 5], Kind::Unreachable(SourceRoute)),
        ([3, 6], Kind::Unreachable(Network)),
        ([3, 7], Kind::Unreachable(Host)),
        ([3, 8], Kind::Unreachable(Network)),
        ([3, 9], Kind::Unreachable(Prohibited)),
        ([3, 10], Kind::Unreachable(Prohibited)),
        ([3, 11], Kind::Unreachable(Network)),
        ([3, 12], Kind::Unreachable(Host)),
        ([3, 13], Kind::Unreachable(Prohibited)),
        ([3, 14], Kind::Unreachable(Prohibited)),
        ([3, 15], Kind::Unreachable(Prohibited)),
        ([3, 16], Kind::Unreachable(Other(16))),
        ([11, 0], Kind::TimeExceeded),
        ([11, 1], Kind::TimeExceeded),
        ([12, 0], Kind::ParameterProblem),
    ];
    let of_v6 = [
        ([1, 0], Kind::Unreachable(Network)),
        ([1, 1], Kind::Unreachable(Prohibited)),
        ([1, 2], Kind::Unreachable(Network)),
        ([1, 3], Kind::Unreachable(Host)),
        ([1, 4], Kind::Unreachable(Port)),
        ([1, 5], Kind::Unreachable(Prohibited)),
        ([1, 6], Kind::Unreachable(Prohibited)),
        ([1, 7], Kind::Unreachable(SourceRoute)),
        ([1, 8], Kind::Unreachable(Other(8))),
        ([2, 0], Kind::TooBig { mtu: 0x1234_5678 }),
        ([3, 0], Kind::TimeExceeded),
        ([4, 1], Kind::ParameterProblem),
    ];
    for (addresses, table) in [(v4(), of_v4.as_slice()), (v6(), of_v6.as_slice())] {
        let about = packet(addresses, ip::UDP, &support::datagram(addresses, [53, 54], b"abc"));
        for (kind_and_code, expected) in table {
            let error = parsed(&message(addresses, *kind_and_code, 0x1234_5678, &about)).expect("an error");
            assert_eq!(error.kind, *expected, "{kind_and_code:?}");
            let quoted = error.quoted;
            assert_eq!((quoted.protocol, quoted.source_port, quoted.destination_port), (ip::UDP, 53, 54));
            assert_eq!((quoted.sequence, quoted.packet_len), (None, about.len()));
        }
    }
}

#[test]
fn source_quench_and_redirects_are_no_errors() {
    for addresses in [v4(), v6()] {
        let about = packet(addresses, ip::TCP, &[0; 20]);
        for kind in [0, 5, 8, 13, 100, 128, 135, 137, 255] {
            assert_eq!(parsed(&message(addresses, [kind, 0], 0, &about)), None, "type {kind}");
        }
    }
    assert_eq!(parsed(&message(v4(), [4, 0], 0, &packet(v4(), ip::TCP, &[0; 20]))), None, "source quench");
}

#[test]
fn a_first_fragment_still_names_its_ports() {
    let first = packet(v6(), 44, &[[6, 0, 0, 1, 9, 9, 9, 9], [0, 80, 0, 81, 0, 0, 0, 5]].concat());
    let quoted = parsed(&message(v6(), [3, 0], 0, &first)).expect("an error").quoted;
    assert_eq!((quoted.source_port, quoted.destination_port, quoted.sequence), (80, 81, Some(5)));

    let mut first = packet(v4(), ip::TCP, &[0, 80, 0, 81, 0, 0, 0, 5]);
    first[6] = 0x20;
    let quoted = parsed(&message(v4(), [3, 4], 576, &first)).expect("an error").quoted;
    assert_eq!((quoted.source_port, quoted.destination_port, quoted.sequence), (80, 81, Some(5)));
}

#[test]
fn a_fragment_of_the_middle_names_none() {
    let last = packet(v6(), 44, &[[6, 0, 1, 0, 9, 9, 9, 9], [0, 80, 0, 81, 0, 0, 0, 5]].concat());
    let octets = message(v6(), [3, 0], 0, &last);
    let refused = Err(afpa_wire::Malformed::QuotedFragment);
    assert_eq!(icmp::Error::parse(&Packet::parse(&octets).unwrap()), refused);
    for offset in [1, 0x1000] {
        let mut fragment = packet(v4(), ip::TCP, &[0; 8]);
        fragment[6..8].copy_from_slice(&u16::to_be_bytes(offset));
        let octets = message(v4(), [3, 0], 0, &fragment);
        assert_eq!(icmp::Error::parse(&Packet::parse(&octets).unwrap()), refused, "{offset}");
    }
}

/// What an error of ICMP is about, and its kind, survives the way to the one whom it concerns.
#[test]
fn errors_are_understood_by_their_receiver() {
    let unreachable = [
        Unreachable::Network,
        Unreachable::Host,
        Unreachable::Port,
        Unreachable::SourceRoute,
        Unreachable::Prohibited,
        Unreachable::Other(99),
    ];
    let kinds = [Kind::TooBig { mtu: 1280 }, Kind::TooBig { mtu: 0 }, Kind::TimeExceeded, Kind::ParameterProblem];
    for addresses @ [us, peer] in [v4(), v6()] {
        let segment = support::segment(
            addresses,
            &tcp::Header { source_port: 80, sequence: 5, ..Default::default() },
            &[1; 3000],
        );
        let about = packet(addresses, ip::TCP, &segment);
        for kind in unreachable.map(Kind::Unreachable).into_iter().chain(kinds) {
            let header = icmp::Header { source: peer, destination: us, kind };
            let mut message = vec![0; header.message_len(about.len())];
            header.write(&about, &mut message);
            let protocol = if us.is_ipv4() { ip::ICMP } else { ip::ICMPV6 };
            let octets = packet([peer, us], protocol, &message);
            assert!(octets.len() <= if us.is_ipv4() { 576 } else { 1280 });
            let error = icmp::Error::parse(&Packet::parse(&octets).unwrap()).unwrap().expect("an error");
            assert_eq!(error.kind, kind);
            assert_eq!((error.quoted.source, error.quoted.destination), (us, peer));
            assert_eq!((error.quoted.source_port, error.quoted.sequence), (80, Some(5)));
            assert_eq!(error.quoted.packet_len, about.len());
        }
    }
}

#[test]
fn what_is_no_error_about_tcp_or_udp_is_someone_elses() {
    let of = |octets: &[u8]| icmp::Error::parse(&Packet::parse(octets).unwrap());
    assert_eq!(of(&packet(v4(), ip::TCP, &[0; 20])), Ok(None), "no ICMP");
    assert_eq!(of(&packet(v4(), ip::ICMPV6, &[0; 20])), Ok(None), "ICMP of the other version");
    assert_eq!(of(&packet(v4(), ip::ICMP, &[8, 0, 0xf7, 0xff, 0, 0, 0, 0])), Ok(None), "an echo request");
    for addresses @ [us, peer] in [v4(), v6()] {
        let about = packet(addresses, 132, &[0; 20]);
        let header = icmp::Header { source: peer, destination: us, kind: Kind::TimeExceeded };
        let mut message = vec![0; header.message_len(about.len())];
        header.write(&about, &mut message);
        let protocol = if us.is_ipv4() { ip::ICMP } else { ip::ICMPV6 };
        assert_eq!(of(&packet([peer, us], protocol, &message)), Ok(None), "about SCTP");
    }
}
