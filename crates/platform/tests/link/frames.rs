//! Frames as the tests write them.
#![allow(dead_code, reason = "not every test needs all of it")]

pub(crate) const NEAR: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(crate) const FAR: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// Of [`tcp_head`].
pub(crate) const SEQUENCE: u32 = 1_000_000;

pub(crate) fn is_ipv4(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&[8, 0])
}

/// A datagram from `FAR` to `NEAR`, without a checksum.
pub(crate) fn udp(source: [u8; 4], from: u16, destination: [u8; 4], to: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = ipv4(source, destination, 17, 8 + payload.len());
    frame.extend([from, to, 8 + payload.len() as u16, 0].map(u16::to_be_bytes).concat());
    frame.extend(payload);
    frame
}

/// The head of a segment from `FAR` to `NEAR` whose checksum is left to do.
pub(crate) fn tcp_head(source: [u8; 4], from: u16, destination: [u8; 4], to: u16, payload: usize) -> Vec<u8> {
    let mut frame = ipv4(source, destination, 6, 20 + payload);
    frame.extend([from, to].map(u16::to_be_bytes).concat());
    frame.extend(SEQUENCE.to_be_bytes());
    // No acknowledgment, PSH, a window of 1000.
    frame.extend([0, 0, 0, 0, 0x50, 0x08, 0x03, 0xe8]);
    let sum = fold(sum(&[source, destination].concat()) + 6 + 20 + payload as u32);
    frame.extend([sum.to_be_bytes(), [0; 2]].concat());
    frame
}

/// A segment like that without payload, with these flags, complete.
pub(crate) fn tcp(from: u16, to: u16, flags: u8, sequence: u32, acknowledgment: u32, head: &[u8]) -> Vec<u8> {
    let mut frame = head.to_vec();
    frame[34..38].copy_from_slice(&[from, to].map(u16::to_be_bytes).concat());
    frame[38..46].copy_from_slice(&[sequence, acknowledgment].map(u32::to_be_bytes).concat());
    frame[47..50].copy_from_slice(&[flags, 0xff, 0xff]);
    let checksum = !fold(sum(&frame[34..]));
    frame[50..52].copy_from_slice(&checksum.to_be_bytes());
    frame
}

/// The sequence number of a segment in an IPv4 packet.
pub(crate) fn sequence(frame: &[u8]) -> u32 {
    u32::from_be_bytes(frame[38..42].try_into().unwrap())
}

/// Whether the checksum of a segment in an IPv4 packet is right.
pub(crate) fn is_intact(frame: &[u8]) -> bool {
    let length = u32::from(u16::from_be_bytes([frame[16], frame[17]])) - 20;
    let segment = &frame[34..][..length as usize];
    fold(sum(&frame[26..34]) + 6 + length + sum(segment)) == 0xffff
}

fn ipv4(source: [u8; 4], destination: [u8; 4], protocol: u8, length: usize) -> Vec<u8> {
    let mut header = vec![0x45, 0];
    header.extend((20 + length as u16).to_be_bytes());
    header.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    header.extend([source, destination].concat());
    let checksum = !fold(sum(&header));
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    [&NEAR[..], &FAR, &[8, 0], &header].concat()
}

fn sum(octets: &[u8]) -> u32 {
    octets.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum()
}

fn fold(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    ((once & 0xffff) + (once >> 16)) as u16
}
