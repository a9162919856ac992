//! AF_PACKET: frames of an interface whose driver knows nothing of AF_XDP. Large segments leave whole, and
//! the kernel or the device cuts them. The kernel copies every frame once, wherever its pieces lie.

use std::io;
use std::os::fd::BorrowedFd;

use afpa_platform::packet::{self, MAX_SEGMENTED, PacketSocket, Transmitter};
use afpa_tcp::Piece;

use super::{Checksum, FrameDevice, FrameHandler, FrameTransmitter, Full, Losses, Segmentation};
use crate::pinned::Pinned;

/// A packet socket: alone, or one of a group that shares an interface's frames.
pub struct PacketDevice {
    socket: PacketSocket,
}

impl PacketDevice {
    /// The frames of `socket`.
    pub fn new(socket: PacketSocket) -> PacketDevice {
        PacketDevice { socket }
    }
}

impl FrameDevice for PacketDevice {
    fn receive(&mut self, budget: usize, each: &mut FrameHandler<'_>) -> io::Result<usize> {
        let PacketSocket { receiver, transmitter, .. } = &mut self.socket;
        receiver.receive(budget, &mut |frame, checksum| {
            each(frame, checksum.into(), transmitter);
            Ok(())
        })
    }

    fn transmitter(&mut self) -> &mut dyn FrameTransmitter {
        &mut self.socket.transmitter
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.socket.descriptor()]
    }

    fn losses(&mut self) -> Losses {
        // A socket that cannot say has lost nothing that we could name.
        let statistics = self.socket.statistics().unwrap_or_default();
        Losses {
            receive_ring_full: statistics.receive_buffer_full,
            fill_ring_empty: 0,
            receive_dropped: statistics.receive_dropped,
            transmit_invalid: statistics.transmit_dropped,
        }
    }

    fn name(&self) -> &'static str {
        "AF_PACKET"
    }
}

impl FrameTransmitter for Transmitter {
    fn max_payload(&self) -> usize {
        MAX_SEGMENTED
    }

    fn push(
        &mut self,
        head: &[u8],
        pieces: &[Piece<'_, Pinned>],
        segmentation: Option<Segmentation>,
    ) -> Result<(), Full> {
        let segmentation = segmentation.map(|segmentation| segmentation.for_kernel(head));
        Transmitter::push(self, head, &mut pieces.iter().map(Piece::bytes), segmentation).map_err(|_| Full)
    }

    fn flush(&mut self) -> io::Result<()> {
        Transmitter::flush(self)
    }
}

impl From<packet::Checksum> for Checksum {
    fn from(checksum: packet::Checksum) -> Checksum {
        match checksum {
            packet::Checksum::Unverified => Checksum::Unverified,
            packet::Checksum::Partial | packet::Checksum::Complete => Checksum::Verified,
        }
    }
}

impl Segmentation {
    /// As the kernel is told it, for a frame that begins with `head`.
    pub(super) fn for_kernel(self, head: &[u8]) -> packet::Segmentation {
        let version = head.get(usize::from(self.link_len)).map(|first| first >> 4);
        packet::Segmentation {
            is_ipv4: version == Some(4),
            segment_size: self.segment_size,
            transport_offset: self.transport_offset,
            head_len: self.head_len,
        }
    }
}
