//! TAP: an Ethernet whose other host is this machine's kernel. Large segments go both ways whole. The kernel
//! copies every frame once, wherever its pieces lie.

use std::io;
use std::os::fd::BorrowedFd;

use afpa_platform::tap::{MAX_SEGMENTED, Tap, Transmitter};
use afpa_tcp::Piece;

use super::{FrameDevice, FrameHandler, FrameTransmitter, Full, Losses, Segmentation};
use crate::pinned::Pinned;

/// Our end of a TAP device, or one queue of it.
pub struct TapDevice {
    tap: Tap,
}

impl TapDevice {
    /// The frames of `tap`.
    pub fn new(tap: Tap) -> TapDevice {
        TapDevice { tap }
    }
}

impl FrameDevice for TapDevice {
    fn receive(&mut self, budget: usize, each: &mut FrameHandler<'_>) -> io::Result<usize> {
        let Tap { receiver, transmitter, .. } = &mut self.tap;
        receiver.receive(budget, &mut |frame, checksum| {
            each(frame, checksum.into(), transmitter);
            Ok(())
        })
    }

    fn transmitter(&mut self) -> &mut dyn FrameTransmitter {
        &mut self.tap.transmitter
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.tap.descriptor()]
    }

    fn losses(&mut self) -> Losses {
        let statistics = self.tap.statistics();
        Losses {
            receive_dropped: statistics.receive_dropped,
            transmit_invalid: statistics.transmit_dropped,
            ..Losses::default()
        }
    }

    fn name(&self) -> &'static str {
        "TAP"
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
