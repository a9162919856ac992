//! Options of TCP, as peers write them and as we do.

use afpa_wire::tcp::{Flags, Header, Options, SackBlocks, Segment, Timestamps};
use proptest::prelude::*;

/// A header with these options, padded with `END`.
fn header_with(options: &[u8]) -> Vec<u8> {
    let mut header = vec![0; 20];
    header.extend_from_slice(options);
    header.resize(header.len().next_multiple_of(4), 0);
    header[12] = (header.len() << 2) as u8;
    header
}

const SOME: Option<Timestamps> = Some(Timestamps { value: 0x01020304, echo: 0x05060708 });

#[test]
fn options_that_peers_send() {
    let none = Options::NONE;
    let blocks = |blocks: &[(u32, u32)]| blocks.iter().copied().collect::<SackBlocks>();
    let cases: &[(&str, &[u8], Options)] = &[
        ("none", &[], none),
        ("the end at once", &[0, 2, 2, 4, 5, 0xb4], none),
        ("nothing but padding", &[1, 1, 1, 1, 1, 1, 1, 1], none),
        ("MSS", &[2, 4, 5, 0xb4], Options { mss: Some(1460), ..none }),
        ("MSS behind padding", &[1, 1, 1, 2, 4, 5, 0xb4], Options { mss: Some(1460), ..none }),
        ("MSS twice", &[2, 4, 5, 0xb4, 2, 4, 0, 1], Options { mss: Some(1), ..none }),
        ("MSS of zero", &[2, 4, 0, 0], Options { mss: Some(0), ..none }),
        ("window scale", &[3, 3, 7], Options { window_scale: Some(7), ..none }),
        ("window scale of 14", &[3, 3, 14], Options { window_scale: Some(14), ..none }),
        ("window scale beyond what there is", &[3, 3, 15], Options { window_scale: Some(14), ..none }),
        ("window scale of 255", &[3, 3, 255], Options { window_scale: Some(14), ..none }),
        ("SACK permitted", &[4, 2], Options { sack_permitted: true, ..none }),
        ("timestamps", &[1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8], Options { timestamps: SOME, ..none }),
        ("timestamps, padded behind", &[8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1], Options { timestamps: SOME, ..none }),
        (
            "Linux's SYN",
            &[2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 3, 3, 7],
            Options { mss: Some(1460), sack_permitted: true, timestamps: SOME, window_scale: Some(7), ..none },
        ),
        (
            "Windows' SYN",
            &[2, 4, 5, 0xb4, 1, 3, 3, 8, 1, 1, 4, 2],
            Options { mss: Some(1460), sack_permitted: true, window_scale: Some(8), ..none },
        ),
        ("a block", &[1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 9], Options { sack: blocks(&[(1, 9)]), ..none }),
        ("fast open", &[34, 2, 1, 1, 2, 4, 5, 0xb4], Options { mss: Some(1460), ..none }),
        ("something unknown", &[253, 6, 1, 2, 3, 4, 2, 4, 5, 0xb4], Options { mss: Some(1460), ..none }),
        ("something unknown without data", &[99, 2, 4, 2], Options { sack_permitted: true, ..none }),
    ];
    for (name, octets, expected) in cases {
        let header = header_with(octets);
        assert_eq!(Segment::parse(&header).unwrap().options, *expected, "{name}");
    }
}

#[test]
fn a_malformed_option_ends_the_options() {
    let sack_of = |length: u8| [vec![5, length], vec![0; usize::from(length) - 2]].concat();
    let cases: &[(&str, Vec<u8>)] = &[
        ("length zero", vec![99, 0]),
        ("length one", vec![99, 1]),
        ("beyond the end", vec![99, 60]),
        ("MSS of length zero", vec![2, 0]),
        ("MSS of 3 octets", vec![2, 3, 5]),
        ("MSS of 6 octets", vec![2, 6, 0, 0, 5, 0xb4]),
        ("window scale of 2 octets", vec![3, 2]),
        ("window scale of 4 octets", vec![3, 4, 7, 7]),
        ("SACK permitted of 3 octets", vec![4, 3, 0]),
        ("timestamps of 9 octets", vec![8, 9, 1, 2, 3, 4, 5, 6, 7]),
        ("timestamps of 11 octets", vec![8, 11, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ("no blocks", sack_of(2)),
        ("half a block", sack_of(6)),
        ("a block and a half", sack_of(14)),
    ];
    for (name, malformed) in cases {
        let octets = [&[2, 4, 5, 0xb4], malformed.as_slice(), &[4, 2]].concat();
        let options = Segment::parse(&header_with(&octets)).unwrap().options;
        assert_eq!(options, Options { mss: Some(1460), ..Options::NONE }, "{name}");
    }
    // Where nothing follows, the length itself may be missing.
    let mut header = header_with(&[2, 4, 5, 0xb4, 1, 1, 1, 4]);
    assert_eq!(Segment::parse(&header).unwrap().options, Options { mss: Some(1460), ..Options::NONE });
    header[27] = 0;
    assert_eq!(Segment::parse(&header).unwrap().options, Options { mss: Some(1460), ..Options::NONE });
}

#[test]
fn headers_are_as_long_as_they_must_be() {
    let timestamps = SOME;
    let blocks = |count| (0..count).map(|n| (n, n + 1)).collect::<SackBlocks>();
    let none = Options::NONE;
    let syn = Options { mss: Some(1460), window_scale: Some(7), sack_permitted: true, timestamps, ..none };
    let cases = [
        ("none", none, 20, 0),
        ("timestamps", Options { timestamps, ..none }, 32, 0),
        ("a SYN", syn, 40, 0),
        ("a SYN without timestamps", Options { timestamps: None, ..syn }, 32, 0),
        ("four blocks", Options { sack: blocks(4), ..none }, 56, 4),
        ("timestamps and three blocks", Options { timestamps, sack: blocks(3), ..none }, 60, 3),
        ("timestamps and four blocks", Options { timestamps, sack: blocks(4), ..none }, 60, 3),
        ("everything", Options { sack: blocks(4), ..syn }, 60, 2),
    ];
    for (name, options, length, sent) in cases {
        let header = Header { options, ..Header::default() };
        let mut octets = [0xff; 60];
        assert_eq!((header.header_len(), header.write(&mut octets)), (length, length), "{name}");
        let segment = Segment::parse(&octets[..length]).unwrap();
        assert_eq!(segment.header_len, length, "{name}");
        assert_eq!(segment.options.sack, blocks(sent), "{name}");
        assert_eq!(Options { sack: none.sack, ..segment.options }, Options { sack: none.sack, ..options }, "{name}");
    }
}

#[test]
fn timestamps_alone_are_written_as_everyone_expects() {
    let options = Options { timestamps: SOME, ..Options::NONE };
    let mut octets = [0; 32];
    Header { options, ..Header::default() }.write(&mut octets);
    assert_eq!(octets[20..], [1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn a_window_scale_that_nobody_would_believe_is_not_sent() {
    let options = Options { window_scale: Some(99), ..Options::NONE };
    let mut octets = [0; 24];
    Header { options, ..Header::default() }.write(&mut octets);
    assert_eq!(octets[20..], [1, 3, 3, 14]);
}

#[test]
fn syn_and_fin_take_a_number_each() {
    let cases = [(Flags::ACK | Flags::RST | Flags::PSH, 0), (Flags::SYN, 1), (Flags::FIN, 1), (Flags(0xff), 2)];
    for (flags, controls) in cases {
        let mut octets = [7; 25];
        Header { flags, ..Header::default() }.write(&mut octets);
        assert_eq!(Segment::parse(&octets[..20]).unwrap().sequence_len(), controls, "{flags:?}");
        assert_eq!(Segment::parse(&octets).unwrap().sequence_len(), controls + 5, "{flags:?}");
    }
}

#[test]
fn flags_are_sets() {
    let flags = Flags::SYN | Flags::ACK;
    assert!(flags.contains(Flags::SYN) && flags.contains(flags) && flags.contains(Flags::NONE));
    assert!(!flags.contains(Flags::SYN | Flags::FIN) && flags.intersects(Flags::SYN | Flags::FIN));
    assert_eq!(flags.without(Flags::SYN), Flags::ACK);
    assert_eq!(format!("{flags:?} {:?} {:?}", Flags::CWR, Flags::NONE), "SYN|ACK CWR none");
}

#[test]
fn no_more_than_four_blocks_are_kept() {
    let mut blocks: SackBlocks = (0..9).map(|n| (n, n)).collect();
    assert_eq!((blocks.len(), blocks.as_slice().last()), (4, Some(&(3, 3))));
    assert!(!blocks.push((9, 9)));
    assert_eq!(blocks.into_iter().map(|(first, _)| first).collect::<Vec<_>>(), [0, 1, 2, 3]);
}

fn options() -> impl Strategy<Value = Options> {
    let timestamps = any::<Option<(u32, u32)>>();
    let sack = prop::collection::vec(any::<(u32, u32)>(), 0..=4);
    (any::<Option<u16>>(), prop::option::of(0u8..=14), any::<bool>(), timestamps, sack).prop_map(
        |(mss, window_scale, sack_permitted, timestamps, sack)| Options {
            mss,
            window_scale,
            sack_permitted,
            timestamps: timestamps.map(|(value, echo)| Timestamps { value, echo }),
            sack: sack.into_iter().collect(),
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        ports in any::<(u16, u16)>(), numbers in any::<(u32, u32)>(), flags in any::<u8>(), window in any::<u16>(),
        options in options(), payload in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let header = Header {
            source_port: ports.0, destination_port: ports.1, sequence: numbers.0, acknowledgment: numbers.1,
            flags: Flags(flags), window, options,
        };
        let mut octets = vec![0xff; header.header_len()];
        prop_assert_eq!(header.write(&mut octets), octets.len());
        octets.extend_from_slice(&payload);
        let segment = Segment::parse(&octets).unwrap();
        let kept: SackBlocks = options.sack.iter().take(segment.options.sack.len()).collect();
        let expected = Segment {
            source_port: ports.0, destination_port: ports.1, sequence: numbers.0, acknowledgment: numbers.1,
            flags: Flags(flags), window, urgent: 0, options: Options { sack: kept, ..options }, payload: &payload,
            header_len: header.header_len(),
        };
        prop_assert_eq!(segment, expected);
        prop_assert!(options.sack.len() == kept.len() || header.header_len() > 52);
    }
}
