//! The device under a TCP: makes packets contiguous, and cuts those that are too large.

use std::rc::Rc;

use afpa_tcp::{Integrity, Packet, Piece, Sink};

use crate::flags::Flags;
use crate::segment::{Segment, TCP, checksum, pseudo_header};

/// The most octets of payload that are merged.
const LARGEST: usize = 60_000;

/// What a device can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Style {
    /// The packets that it takes at once.
    pub room: usize,
    /// The largest payload that it cuts into segments; zero: none.
    pub cuts: usize,
    /// Whether it verifies what arrives, and merges segments of one stream that arrive together.
    pub merges: bool,
}

/// Merges neighbours as a network card or a kernel does: segments that differ in nothing but in where their octets lie.
pub(crate) fn merge(packets: &[Vec<u8>]) -> Vec<(Vec<u8>, Integrity)> {
    let mut merged: Vec<Result<Segment, Vec<u8>>> = Vec::new();
    for packet in packets {
        let Ok(segment) = Segment::decode(packet) else {
            merged.push(Err(packet.clone()));
            continue;
        };
        match merged.last_mut() {
            Some(Ok(before)) if follows(before, &segment) => {
                before.flags = before.flags | segment.flags;
                before.acknowledgment = segment.acknowledgment;
                before.window = segment.window;
                before.payload.extend(segment.payload);
            }
            _ => merged.push(Ok(segment)),
        }
    }
    let packet = |segment: Result<Segment, Vec<u8>>| match segment {
        Ok(segment) => (segment.encode(), Integrity::Verified),
        Err(packet) => (packet, Integrity::Verify),
    };
    merged.into_iter().map(packet).collect()
}

fn follows(before: &Segment, segment: &Segment) -> bool {
    let plain = |flags: Flags| flags.without(Flags::PSH) == Flags::ACK;
    before.source == segment.source
        && before.destination == segment.destination
        && before.sequence.wrapping_add(before.length()) == segment.sequence
        && before.flags == Flags::ACK
        && plain(segment.flags)
        && !before.payload.is_empty()
        && !segment.payload.is_empty()
        && before.payload.len() + segment.payload.len() <= LARGEST
        && before.options == segment.options
        && before.ecn == segment.ecn
}

/// Takes packets until it is full.
pub(crate) struct Device<'a> {
    style: Style,
    mtu: u16,
    taken: usize,
    was_full: bool,
    out: &'a mut Vec<Vec<u8>>,
}

impl<'a> Device<'a> {
    pub(crate) fn new(style: Style, mtu: u16, out: &'a mut Vec<Vec<u8>>) -> Device<'a> {
        Device { style, mtu, taken: 0, was_full: false, out }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.was_full
    }
}

impl Sink<Rc<[u8]>> for Device<'_> {
    fn max_payload(&self) -> usize {
        self.style.cuts
    }

    fn transmit(&mut self, packet: Packet<'_, Rc<[u8]>>) -> bool {
        if self.taken == self.style.room {
            self.was_full = true;
            return false;
        }
        self.taken += 1;
        let mut octets = packet.headers.to_vec();
        for piece in packet.pieces {
            if let Piece::Pinned { payload, range } = piece {
                assert!(range.end <= payload.len(), "{range:?} of {} pinned octets", payload.len());
            }
            octets.extend(piece.bytes());
        }
        match packet.segment_size {
            Some(size) => {
                let payload = octets.len() - packet.headers.len();
                assert!(payload <= self.style.cuts, "{payload} octets for a device that cuts {}", self.style.cuts);
                self.out.extend(cut(&octets, packet.headers.len(), usize::from(size)));
            }
            None => self.out.push(octets),
        }
        let most = usize::from(self.mtu);
        assert!(self.out.iter().all(|packet| packet.len() <= most), "a packet is larger than the MTU");
        true
    }
}

/// Cuts a packet as a network card does: the sequence number goes on, FIN and PSH stay with the last segment, CWR with
/// the first one.
fn cut(packet: &[u8], headers: usize, size: usize) -> Vec<Vec<u8>> {
    let is_v4 = packet[0] >> 4 == 4;
    let ip_length = if is_v4 { 20 } else { 40 };
    let (head, payload) = packet.split_at(headers);
    let field = u16::from_be_bytes([head[ip_length + 16], head[ip_length + 17]]);
    let whole = !sum_of(packet, ip_length, packet.len() - ip_length, &[]);
    assert_eq!(field, whole, "the checksum's field of a packet to be cut is the pseudo-header's sum");
    let pieces = payload.len().div_ceil(size);
    let piece = |(place, octets): (usize, &[u8])| {
        let mut segment = head.to_vec();
        segment.extend(octets);
        let total = (segment.len() - if is_v4 { 0 } else { 40 }) as u16;
        let at = if is_v4 { 2 } else { 4 };
        segment[at..at + 2].copy_from_slice(&total.to_be_bytes());
        if is_v4 {
            segment[10..12].fill(0);
            let sum = checksum(0, &segment[..20]);
            segment[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        let tcp = &mut segment[ip_length..];
        let sequence = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]).wrapping_add((place * size) as u32);
        tcp[4..8].copy_from_slice(&sequence.to_be_bytes());
        let mut flags = Flags(tcp[13]);
        if place + 1 < pieces {
            flags = flags.without(Flags::FIN | Flags::PSH);
        }
        if place > 0 {
            flags = flags.without(Flags::CWR);
        }
        tcp[13] = flags.0;
        tcp[16..18].fill(0);
        let length = tcp.len();
        let sum = sum_of(packet, ip_length, length, &segment[ip_length..]);
        segment[ip_length + 16..ip_length + 18].copy_from_slice(&sum.to_be_bytes());
        segment
    };
    payload.chunks(size).enumerate().map(piece).collect()
}

/// The checksum of a segment of this length and these octets, between the packet's addresses.
fn sum_of(packet: &[u8], ip_length: usize, length: usize, octets: &[u8]) -> u16 {
    let address = |v4: usize, v6: usize| -> std::net::IpAddr {
        if ip_length == 20 {
            let octets: [u8; 4] = std::array::from_fn(|place| packet[v4 + place]);
            octets.into()
        } else {
            let octets: [u8; 16] = std::array::from_fn(|place| packet[v6 + place]);
            octets.into()
        }
    };
    checksum(pseudo_header(address(12, 8), address(16, 24), TCP, length), octets)
}
