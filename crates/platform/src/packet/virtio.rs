//! The header that goes with a frame between the kernel and us (`struct virtio_net_hdr`): whose checksum
//! is left to do, and how a frame longer than the network takes is to be cut. All integers are in the
//! machine's order, since neither kind of descriptor was told otherwise.

use std::fmt;

/// Octets of the header.
pub(crate) const HEADER: usize = 10;
/// Octets of the longest frame that is received: 64 KiB and two tags.
pub(crate) const MAX_FRAME: usize = 65_536 + 64;
/// Octets of payload that a frame may have if it is to be cut: with its headers, less than 64 KiB.
pub const MAX_SEGMENTED: usize = 65_536 - 256;

const NEEDS_CHECKSUM: u8 = 1;
const CHECKSUM_IS_RIGHT: u8 = 2;

const GSO_NONE: u8 = 0;
const GSO_TCP4: u8 = 1;
const GSO_TCP6: u8 = 4;
/// Only the first segment may have CWR (RFC 3168 §6.1.2).
const GSO_ECN: u8 = 0x80;

/// Where TCP's checksum is, and its flags, in its header.
const CHECKSUM_OFFSET: u16 = 16;
const FLAGS_OFFSET: usize = 13;
const CWR: u8 = 0x80;

/// What is known of the checksum of a frame's segment or datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Checksum {
    /// Nothing.
    Unverified,
    /// The sender left it to a device that was never there: the field holds the pseudo-header's sum, and
    /// there is nothing to verify.
    Partial,
    /// It was verified.
    Complete,
}

/// How the kernel or a device is to cut a frame with a TCP segment that is longer than the network takes. The
/// checksum's field holds the pseudo-header's sum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segmentation {
    /// Whether the segment is in an IPv4 packet; else in an IPv6 packet.
    pub is_ipv4: bool,
    /// Octets of payload in each segment but the last.
    pub segment_size: u16,
    /// Octets in front of the TCP header.
    pub transport_offset: u16,
    /// Octets in front of the payload.
    pub head_len: u16,
}

/// There is no room for another frame: flush, and try again when frames have left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no room for another frame")
    }
}

impl std::error::Error for Full {}

/// The header of a frame that is to be sent.
pub(crate) fn write(head: &[u8], segmentation: Option<Segmentation>) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let Some(Segmentation { is_ipv4, segment_size, transport_offset, head_len }) = segmentation else {
        return header;
    };
    let flags = head.get(usize::from(transport_offset) + FLAGS_OFFSET).copied().unwrap_or_default();
    let version = if is_ipv4 { GSO_TCP4 } else { GSO_TCP6 };
    header[0] = NEEDS_CHECKSUM;
    header[1] = if flags & CWR == 0 { version } else { version | GSO_ECN };
    header[2..4].copy_from_slice(&head_len.to_ne_bytes());
    header[4..6].copy_from_slice(&segment_size.to_ne_bytes());
    header[6..8].copy_from_slice(&transport_offset.to_ne_bytes());
    header[8..10].copy_from_slice(&CHECKSUM_OFFSET.to_ne_bytes());
    header
}

/// What the header of a received frame says of its checksum. `None` if the frame is several datagrams in
/// one, which nobody asked for.
pub(crate) fn read(header: &[u8; HEADER]) -> Option<Checksum> {
    let [flags, segmentation, ..] = *header;
    if !matches!(segmentation & !GSO_ECN, GSO_NONE | GSO_TCP4 | GSO_TCP6) {
        return None;
    }
    Some(match flags {
        flags if flags & NEEDS_CHECKSUM != 0 => Checksum::Partial,
        flags if flags & CHECKSUM_IS_RIGHT != 0 => Checksum::Complete,
        _ => Checksum::Unverified,
    })
}
