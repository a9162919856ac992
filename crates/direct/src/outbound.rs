//! From TCP's packets to frames: the link header in front, and onto the device.

use std::net::IpAddr;

use afpa_engine::seam::Time;
use afpa_tcp::{Packet, Piece, Sink};
use arrayvec::ArrayVec;

use crate::frames::{FrameTransmitter, Segmentation};
use crate::link::Links;
use crate::observer::Capture;
use crate::pinned::Pinned;
use crate::stats::DirectStats;

/// Link header with a VLAN tag, IPv6 header, TCP header with all options.
const MAX_HEAD: usize = 18 + 40 + 60;

/// Where TCP's dispatch puts packets.
pub(crate) struct Outbound<'a> {
    pub(crate) transmitter: &'a mut dyn FrameTransmitter,
    pub(crate) links: &'a mut Links,
    pub(crate) stats: &'a DirectStats,
    pub(crate) captures: &'a mut Vec<Capture>,
    pub(crate) now: Time,
}

impl Sink<Pinned> for Outbound<'_> {
    fn max_payload(&self) -> usize {
        self.transmitter.max_payload()
    }

    fn stage(&mut self, len: usize) -> Option<&mut [u8]> {
        // Whoever looks at what leaves looks at pieces.
        if self.captures.is_empty() { self.transmitter.stage(len) } else { None }
    }

    fn lends(&self, pieces: &[Piece<'_, Pinned>]) -> bool {
        self.captures.is_empty() && self.transmitter.lends(pieces)
    }

    fn transmit(&mut self, packet: Packet<'_, Pinned>) -> bool {
        let Some(link) = self.links.header(packet.handle, packet.remote) else {
            // The kernel is being asked; TCP sends again by its own timer.
            self.stats.unresolved.increment();
            return true;
        };
        let mut head = ArrayVec::<u8, MAX_HEAD>::new();
        let written = head.try_extend_from_slice(link).and_then(|()| head.try_extend_from_slice(packet.headers));
        if written.is_err() {
            return true;
        }
        let segmentation = packet.segment_size.map(|segment_size| Segmentation {
            segment_size,
            link_len: link.len() as u16,
            transport_offset: (link.len() + if packet.remote.is_ipv4() { 20 } else { 40 }) as u16,
            head_len: head.len() as u16,
        });
        self.push(&head, packet.pieces, segmentation)
    }
}

impl Outbound<'_> {
    /// Sends the link's own questions and answers. Returns whether there was room.
    pub(crate) fn notices(&mut self) -> bool {
        while let Some(notice) = self.links.notice().copied() {
            if !self.push(notice.as_bytes(), &[], None) {
                return false;
            }
            self.links.noticed();
        }
        true
    }

    /// Sends a whole IP packet that lies in one piece. Returns whether there was room.
    pub(crate) fn datagram(&mut self, remote: IpAddr, packet: &[u8]) -> bool {
        let Some(link) = self.links.header(None, remote) else {
            self.stats.unresolved.increment();
            return true;
        };
        let mut head = ArrayVec::<u8, MAX_HEAD>::new();
        match head.try_extend_from_slice(link) {
            Ok(()) => self.push(&head, &[Piece::Copied(packet)], None),
            Err(_) => true,
        }
    }

    fn push(&mut self, head: &[u8], pieces: &[Piece<'_, Pinned>], segmentation: Option<Segmentation>) -> bool {
        if self.transmitter.push(head, pieces, segmentation).is_err() {
            self.stats.transmit_ring_full.increment();
            return false;
        }
        self.stats.frames_out.increment();
        let lent: usize = pieces.iter().filter(|piece| piece.is_volatile()).map(Piece::length).sum();
        if lent > 0 {
            self.stats.lent_octets.add(lent as u64);
        }
        if !self.captures.is_empty() {
            self.record(head, pieces);
        }
        true
    }

    #[cold]
    fn record(&mut self, head: &[u8], pieces: &[Piece<'_, Pinned>]) {
        let now = self.now;
        self.captures.retain(|capture| {
            let mut octets = std::iter::once(head).chain(pieces.iter().map(Piece::bytes));
            capture.record(now, true, &mut octets)
        });
    }
}
