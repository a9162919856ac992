//! What leaves.

use std::net::IpAddr;
use std::ops::Range;

use crate::handle::Handle;

/// Where packets go.
pub trait Sink<P> {
    /// The most octets of payload that one packet may have, to be cut into segments by the device. Zero:
    /// the device cuts nothing, and every packet is one segment.
    fn max_payload(&self) -> usize;

    /// Where the payload of the next packet, of `len` octets, may be written: it leaves from there, as [`Piece::Staged`]. What
    /// others may write at any time is copied there once, and summed where nobody else writes it. `None`: nowhere.
    fn stage(&mut self, len: usize) -> Option<&mut [u8]> {
        let _ = len;
        None
    }

    /// Whether a packet of these pieces leaves with its [volatile](crate::Payload::is_volatile) ones where they lie. They are not copied
    /// then, and the packet's sum is of what was there a little before: if they are written meanwhile, the peer drops it.
    fn lends(&self, pieces: &[Piece<'_, P>]) -> bool {
        let _ = pieces;
        false
    }

    /// Takes a packet, or returns false if there is no room for it: it is offered again later.
    fn transmit(&mut self, packet: Packet<'_, P>) -> bool;
}

/// An IP packet, not yet contiguous.
#[derive(Debug)]
pub struct Packet<'a, P> {
    /// The connection that sends it; `None` for a reply that belongs to none.
    pub handle: Option<Handle>,
    /// The IP destination.
    pub remote: IpAddr,
    /// The headers of IP and TCP. Their checksums are final, but with `segment_size` the TCP checksum's field holds
    /// the sum of the pseudo-header, as a device that cuts segments expects it.
    pub headers: &'a [u8],
    /// The payload that follows them.
    pub pieces: &'a [Piece<'a, P>],
    /// The payload is to be cut into segments of this many octets.
    pub segment_size: Option<u16>,
}

/// A part of a packet's payload.
#[derive(Debug)]
pub enum Piece<'a, P> {
    /// Octets that are valid during the call.
    Copied(&'a [u8]),
    /// All of the payload, so many octets, where [`Sink::stage`] said.
    Staged(usize),
    /// Octets of a pinned payload: a clone of it keeps them where they lie.
    Pinned {
        /// The whole payload.
        payload: &'a P,
        /// The octets of it.
        range: Range<usize>,
    },
}

impl<P: crate::Payload> Piece<'_, P> {
    /// The octets; none of what is staged, or volatile.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Piece::Copied(bytes) => bytes,
            Piece::Staged(_) => &[],
            Piece::Pinned { payload, range } => payload.bytes().get(range.clone()).unwrap_or_default(),
        }
    }

    /// How many octets.
    pub fn length(&self) -> usize {
        match self {
            Piece::Copied(bytes) => bytes.len(),
            Piece::Staged(len) => *len,
            Piece::Pinned { range, .. } => range.len(),
        }
    }

    /// Whether others may write its octets at any time.
    pub fn is_volatile(&self) -> bool {
        matches!(self, Piece::Pinned { payload, .. } if payload.is_volatile())
    }
}
