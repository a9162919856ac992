//! Any octets at all.

mod support;

use std::fs;
use std::path::Path;

use afpa_wire::icmp::{self, Kind};
use afpa_wire::ip::Packet;
use afpa_wire::{fuzz, ip, tcp};
use proptest::prelude::*;
use support::{mend, packet, v4, v6};

#[test]
fn the_corpus_keeps_the_promises() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/wire");
    let files = fs::read_dir(&corpus).expect("the corpus").map(|file| file.expect("a file").path());
    let count = files.map(|file| fuzz::packet(&fs::read(file).expect("a seed"))).count();
    assert!(count >= 20, "{count} seeds");
}

#[test]
fn packets_of_every_length_are_read_or_refused() {
    for octets in [&packet(v4(), ip::TCP, &[0x50; 60]), &packet(v6(), ip::UDP, &[0; 60])] {
        (0..octets.len()).for_each(|length| fuzz::packet(&octets[..length]));
    }
}

/// The longest that either version can say.
#[test]
fn packets_as_long_as_can_be() {
    for (addresses, longest) in [(v4(), 65515), (v6(), 65535)] {
        let octets = packet(addresses, ip::TCP, &vec![0x5a; longest]);
        assert_eq!(Packet::parse(&octets).unwrap().payload().len(), longest);
        fuzz::packet(&octets);
    }
}

/// Octets that come further than arbitrary ones: each of some places of a good packet replaced.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let bases = [v4(), v6()].into_iter().flat_map(|addresses| {
        let [us, peer] = addresses;
        let options = tcp::Options { mss: Some(1), sack: [(1, 2)].into_iter().collect(), ..tcp::Options::NONE };
        let header = tcp::Header { options, ..tcp::Header::default() };
        let segment = packet(addresses, ip::TCP, &support::segment(addresses, &header, b"abc"));
        let datagram = packet(addresses, ip::UDP, &support::datagram(addresses, [53, 53], b"abc"));
        let header = icmp::Header { source: peer, destination: us, kind: Kind::TimeExceeded };
        let mut message = vec![0; header.message_len(segment.len())];
        header.write(&segment, &mut message);
        let error = packet([peer, us], if us.is_ipv4() { ip::ICMP } else { ip::ICMPV6 }, &message);
        [segment, datagram, error]
    });
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    (prop::sample::select(bases.collect::<Vec<_>>()), changes, any::<bool>()).prop_map(
        |(mut octets, changes, mended)| {
            for (place, octet) in changes {
                let place = place.index(octets.len());
                octets[place] = octet;
            }
            if mended && octets[0] >> 4 == 4 {
                mend(&mut octets);
            }
            octets
        },
    )
}

/// An IPv6 packet with a next header that is walked, in front of anything.
fn chained() -> impl Strategy<Value = Vec<u8>> {
    let kinds = prop::sample::select(vec![0u8, 6, 17, 43, 44, 58, 60]);
    (kinds.clone(), prop::collection::vec((kinds, 0u8..3, any::<[u8; 6]>()), 0..12)).prop_map(|(first, units)| {
        let payload: Vec<u8> =
            units.iter().flat_map(|(next, length, rest)| [&[*next, *length], rest.as_slice()].concat()).collect();
        packet(v6(), first, &payload)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arbitrary_octets_keep_the_promises(octets in prop::collection::vec(any::<u8>(), 0..150)) {
        fuzz::packet(&octets);
        let _ = tcp::Segment::parse(&octets);
        let _ = afpa_wire::udp::Datagram::parse(&octets);
        let _ = afpa_wire::arp::Packet::parse(&octets);
    }

    #[test]
    fn mutated_packets_keep_the_promises(octets in mutated()) {
        fuzz::packet(&octets);
    }

    #[test]
    fn chains_of_extension_headers_keep_the_promises(octets in chained()) {
        fuzz::packet(&octets);
    }

    #[test]
    fn arbitrary_options_keep_the_promises(options in prop::collection::vec(0u8..12, 40)) {
        let mut segment = vec![0; 20];
        segment[12] = 0xf0;
        segment.extend_from_slice(&options);
        fuzz::packet(&packet(v4(), ip::TCP, &segment));
    }
}
