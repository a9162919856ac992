//! Sums, and numbers that wrap.

mod support;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use afpa_wire::checksum::{self, Integrity};
use afpa_wire::sequence::Sequence;
use afpa_wire::{ip, tcp, udp};
use proptest::prelude::*;

/// As RFC 1071 §1 defines it, a word at a time.
fn defined(octets: &[u8]) -> u16 {
    octets.chunks(2).fold(0, |sum, word| {
        let word = u16::from_be_bytes([word[0], word.get(1).copied().unwrap_or(0)]);
        let (sum, carry) = sum.overflowing_add(word);
        sum + u16::from(carry)
    })
}

#[test]
fn sums_of_any_length_are_as_defined() {
    let octets: Vec<u8> = (0..700u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for start in 0..40 {
        for end in start..octets.len() {
            let part = &octets[start..end];
            assert_eq!(checksum::sum(part), defined(part), "{start}..{end}");
        }
    }
}

#[test]
fn sums_at_the_edges() {
    let many = vec![0xff; 1 << 20];
    let cases: &[(&[u8], u16)] = &[
        (&[], 0),
        (&[0; 100], 0),
        (&[1], 0x0100),
        (&[0xff], 0xff00),
        (&[0xff; 2], 0xffff),
        (&[0xff; 4], 0xffff),
        (&[0xff; 33], 0xff00),
        (&many, 0xffff),
        // The example of RFC 1071 §3.
        (&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7], 0xddf2),
    ];
    for (octets, expected) in cases {
        assert_eq!(checksum::sum(octets), *expected, "{} octets", octets.len());
    }
    assert_eq!(checksum::add(0xffff, 0xffff), 0xffff);
    assert_eq!(checksum::add(0xffff, 1), 1);
    assert_eq!(checksum::subtract(5, 3), 2);
    assert_eq!(checksum::subtract(3, 5), 0xfffd);
}

#[test]
fn a_checksum_that_was_left_to_a_device_is_told_from_a_broken_one() {
    for addresses in [support::v4(), support::v6()] {
        let [source, destination] = addresses;
        let mut segment = support::segment(addresses, &tcp::Header::default(), b"hello");
        let pseudo_header = checksum::pseudo_header(source, destination, ip::TCP, segment.len() as u32);
        assert_eq!(tcp::is_intact(&segment, pseudo_header), Integrity::Whole);
        segment[22] ^= 4;
        assert_eq!(tcp::is_intact(&segment, pseudo_header), Integrity::Broken);
        assert!(!tcp::is_partial(&segment, pseudo_header));
        segment[16..18].copy_from_slice(&pseudo_header.to_be_bytes());
        assert_eq!(tcp::is_intact(&segment, pseudo_header), Integrity::Partial);
        assert!(tcp::is_partial(&segment, pseudo_header));
    }
    assert_eq!(tcp::is_intact(&[0; 17], 0), Integrity::Broken);
    assert!(!tcp::is_partial(&[], 0));
}

#[test]
fn a_datagram_never_says_by_accident_that_it_has_no_checksum() {
    let [source, destination] = support::v4();
    // For one of all payloads of two octets the checksum would be zero.
    let mut avoided = 0;
    for payload in 0..=u16::MAX {
        let datagram = support::datagram([source, destination], [1, 2], &payload.to_be_bytes());
        assert_ne!(datagram[6..8], [0, 0]);
        avoided += u32::from(datagram[6..8] == [0xff, 0xff]);
        let pseudo_header = checksum::pseudo_header(source, destination, ip::UDP, 10);
        assert_eq!(udp::is_intact(&datagram, pseudo_header), Integrity::Whole);
    }
    assert!(avoided > 0);
    assert_eq!(udp::is_intact(&[0; 8], 0xffff), Integrity::Broken, "no checksum");
    assert_eq!(udp::is_intact(&[], 0), Integrity::Broken);
}

#[test]
fn sequence_numbers_wrap() {
    let cases = [(0u32, 1u32), (u32::MAX, 0), (u32::MAX, 5), (0x7fff_ffff, 0x8000_0000), (0, 0x7fff_ffff)];
    for (first, second) in cases {
        let (first, second) = (Sequence(first), Sequence(second));
        assert!(first.before(second) && second.after(first), "{first:?} {second:?}");
        assert!(!second.before(first) && !first.after(second));
        assert_eq!((first.max(second), second.max(first)), (second, second));
        assert_eq!((first.min(second), second.min(first)), (first, first));
        assert_eq!(first + second.offset_from(first), second);
        assert_eq!(second - second.offset_from(first), first);
    }
    let mut number = Sequence(u32::MAX);
    number += 2;
    assert_eq!(number, Sequence(1));
    assert!(!number.before(number) && !number.after(number));
    assert_eq!(format!("{number:?}"), "1");
}

fn addresses() -> impl Strategy<Value = [IpAddr; 2]> {
    prop_oneof![
        any::<[u32; 2]>().prop_map(|both| both.map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)))),
        any::<[u128; 2]>().prop_map(|both| both.map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)))),
    ]
}

proptest! {
    #[test]
    fn sums_of_parts_add_up(octets in prop::collection::vec(any::<u8>(), 0..3000), middle in any::<prop::sample::Index>()) {
        let middle = middle.index(octets.len() + 1);
        let (front, back) = octets.split_at(middle);
        let back = checksum::swap_if_odd(checksum::sum(back), middle % 2 == 1);
        prop_assert_eq!(checksum::add(checksum::sum(front), back), defined(&octets));
    }

    #[test]
    fn what_is_added_can_be_subtracted(a in any::<u16>(), b in any::<u16>()) {
        // Zero can be written in two ways.
        prop_assert_eq!(checksum::subtract(checksum::add(a, b), b) % 0xffff, a % 0xffff);
        prop_assert_eq!(checksum::add(a, b), checksum::add(b, a));
    }

    #[test]
    fn the_pseudo_header_is_as_defined(both in addresses(), protocol in any::<u8>(), length in any::<u32>()) {
        let mut octets = Vec::new();
        for address in both {
            match address {
                IpAddr::V4(address) => octets.extend(address.octets()),
                IpAddr::V6(address) => octets.extend(address.octets()),
            }
        }
        octets.extend(length.to_be_bytes());
        octets.extend([0, 0, 0, protocol]);
        let [source, destination] = both;
        prop_assert_eq!(checksum::pseudo_header(source, destination, protocol, length), defined(&octets));
    }
}
