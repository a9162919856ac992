//! Datagrams in frames, written and read.

use std::net::{IpAddr, SocketAddr};

const ETHERNET: usize = 14;
const UDP: usize = 8;
/// The link addresses of the two ends.
pub(crate) const HERE_LINK: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(crate) const THERE_LINK: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// A frame with a datagram, its checksums right.
pub(crate) fn frame(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut frame = [&HERE_LINK[..], &THERE_LINK].concat();
    let length = (UDP + payload.len()) as u16;
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            frame.extend_from_slice(&[8, 0, 0x45, 0]);
            frame.extend_from_slice(&(20 + length).to_be_bytes());
            frame.extend_from_slice(&[0x12, 0x34, 0, 0, 60, 17, 0, 0]);
            frame.extend_from_slice(&[from.octets(), to.octets()].concat());
            let sum = !sum(&frame[ETHERNET..]);
            frame[24..26].copy_from_slice(&sum.to_be_bytes());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            frame.extend_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend_from_slice(&length.to_be_bytes());
            frame.extend_from_slice(&[17, 60]);
            frame.extend_from_slice(&[from.octets(), to.octets()].concat());
        }
        _ => panic!("addresses of two versions"),
    }
    let start = frame.len();
    for number in [from.port(), to.port(), length, 0] {
        frame.extend_from_slice(&number.to_be_bytes());
    }
    frame.extend_from_slice(payload);
    let sum = match !sum_with_pseudo_header(from.ip(), to.ip(), &frame[start..]) {
        0 => 0xffff,
        sum => sum,
    };
    frame[start + 6..start + 8].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// The datagram in a frame: its source, its destination, its payload. All that is in front of these is seen to be right.
pub(crate) fn read(frame: &[u8]) -> (SocketAddr, SocketAddr, &[u8]) {
    let packet = &frame[ETHERNET..];
    let (from, to, datagram): (IpAddr, IpAddr, &[u8]) = match u16::from_be_bytes([frame[12], frame[13]]) {
        0x0800 => {
            assert_eq!((packet[0], packet[8], packet[9], sum(&packet[..20])), (0x45, 64, 17, 0xffff));
            assert_eq!(usize::from(u16::from_be_bytes([packet[2], packet[3]])), packet.len());
            (array::<4>(packet, 12).into(), array::<4>(packet, 16).into(), &packet[20..])
        }
        0x86dd => {
            assert_eq!((packet[0], packet[6], packet[7]), (0x60, 17, 64));
            assert_eq!(usize::from(u16::from_be_bytes([packet[4], packet[5]])), packet.len() - 40);
            (array::<16>(packet, 8).into(), array::<16>(packet, 24).into(), &packet[40..])
        }
        other => panic!("a frame of type {other:04x}"),
    };
    let word = |at: usize| u16::from_be_bytes([datagram[at], datagram[at + 1]]);
    assert_eq!(usize::from(word(4)), datagram.len());
    assert!(word(6) != 0 && sum_with_pseudo_header(from, to, datagram) == 0xffff, "the checksum");
    (SocketAddr::new(from, word(0)), SocketAddr::new(to, word(2)), &datagram[UDP..])
}

/// The sum over the pseudo-header of a datagram with a payload of so many octets.
pub(crate) fn pseudo_header(from: IpAddr, to: IpAddr, payload: usize) -> u16 {
    let mut octets = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => [from.octets(), to.octets()].concat(),
        (IpAddr::V6(from), IpAddr::V6(to)) => [from.octets(), to.octets()].concat(),
        _ => panic!("addresses of two versions"),
    };
    octets.extend_from_slice(&[0, 17]);
    octets.extend_from_slice(&((UDP + payload) as u16).to_be_bytes());
    sum(&octets)
}

fn sum_with_pseudo_header(from: IpAddr, to: IpAddr, datagram: &[u8]) -> u16 {
    let pseudo = pseudo_header(from, to, datagram.len() - UDP);
    sum(&[&pseudo.to_be_bytes(), datagram].concat())
}

fn sum(octets: &[u8]) -> u16 {
    let words = octets.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word.get(1).copied().unwrap_or(0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

fn array<const N: usize>(octets: &[u8], at: usize) -> [u8; N] {
    octets[at..at + N].try_into().unwrap()
}
