//! AF_XDP: the frames of one queue, in memory shared with the kernel.

use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;

use afpa_platform::foreign::ForeignSlice;
use afpa_platform::xdp::{Receiver, Transmitter, TxPiece, XdpSocket};
use afpa_tcp::Piece;

use super::{Checksum, FrameDevice, FrameHandler, FrameTransmitter, Full, Losses, Segmentation};
use crate::pinned::Pinned;

/// Queues of an interface. What is sent leaves through the first.
pub struct XdpDevice {
    first: XdpSocket,
    others: Vec<XdpSocket>,
}

impl XdpDevice {
    /// Frames of these sockets, which share their memory; `None` if there is no socket. With `zero_copy` off, each
    /// payload is copied into its frame, so that it can be measured what zero copy saves (the paper's Figure 4).
    pub fn new(sockets: Vec<XdpSocket>, zero_copy: bool) -> Option<XdpDevice> {
        let mut sockets = sockets.into_iter();
        let mut first = sockets.next()?;
        if !zero_copy {
            first.transmitter.copy_limit = usize::MAX;
        }
        Some(XdpDevice { first, others: sockets.collect() })
    }

    fn sockets(&self) -> impl Iterator<Item = &XdpSocket> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl FrameDevice for XdpDevice {
    fn receive(&mut self, budget: usize, each: &mut FrameHandler<'_>) -> io::Result<usize> {
        let XdpDevice { first, others } = self;
        let XdpSocket { receiver, transmitter, .. } = first;
        let mut count = drain(receiver, budget, transmitter, each);
        for socket in others {
            count += drain(&mut socket.receiver, budget - count, transmitter, each);
        }
        Ok(count)
    }

    fn transmitter(&mut self) -> &mut dyn FrameTransmitter {
        &mut self.first.transmitter
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.sockets().map(XdpSocket::descriptor).collect()
    }

    fn lends(&self) -> bool {
        self.first.transmitter.lends_anything()
    }

    fn losses(&mut self) -> Losses {
        let mut losses = Losses::default();
        for socket in self.sockets() {
            // A socket that cannot say has lost nothing that we could name.
            let statistics = socket.statistics().unwrap_or_default();
            losses.receive_ring_full += statistics.receive_ring_full;
            losses.fill_ring_empty += statistics.fill_ring_empty;
            losses.receive_dropped += statistics.receive_dropped + socket.receiver.oversized();
            losses.transmit_invalid += statistics.transmit_invalid + socket.transmitter.oversized();
        }
        losses
    }

    fn name(&self) -> &'static str {
        if self.first.is_zero_copy() { "AF_XDP (zero copy)" } else { "AF_XDP (copy)" }
    }
}

fn drain(receiver: &mut Receiver, budget: usize, transmitter: &mut Transmitter, each: &mut FrameHandler<'_>) -> usize {
    for count in 0..budget {
        let Some(frame) = receiver.next_frame() else { return count };
        each(frame, Checksum::Unverified, transmitter);
    }
    receiver.release();
    budget
}

impl FrameTransmitter for Transmitter {
    fn stage(&mut self, len: usize) -> Option<&mut [u8]> {
        Transmitter::stage(self, len)
    }

    fn lends(&self, pieces: &[Piece<'_, Pinned>]) -> bool {
        Transmitter::lends(self, pieces.iter().filter_map(foreign))
    }

    fn push(&mut self, head: &[u8], pieces: &[Piece<'_, Pinned>], _: Option<Segmentation>) -> Result<(), Full> {
        if let [Piece::Staged(len)] = pieces {
            return self.push_staged(head, *len).map_err(|_| Full);
        }
        let mut pieces = pieces.iter().map(|piece| match piece {
            Piece::Copied(bytes) => TxPiece::Copied(bytes),
            Piece::Staged(_) => TxPiece::Copied(&[]),
            Piece::Pinned { payload, range } => match (payload.pin(), payload.foreign()) {
                (Some(pin), _) => TxPiece::Pinned(pin.slice(), range.start.min(pin.len())..range.end),
                (None, Some(slice)) => TxPiece::Foreign(slice, range.clone()),
                (None, None) => TxPiece::Copied(&[]),
            },
        });
        Transmitter::push(self, head, &mut pieces).map_err(|_| Full)
    }

    fn flush(&mut self) -> io::Result<()> {
        Transmitter::flush(self)
    }
}

/// The range of memory that others share, if a piece is of that.
fn foreign<'a>(piece: &'a Piece<'_, Pinned>) -> Option<(&'a ForeignSlice, Range<usize>)> {
    match piece {
        Piece::Pinned { payload, range } => payload.foreign().map(|slice| (slice, range.clone())),
        Piece::Copied(_) | Piece::Staged(_) => None,
    }
}
