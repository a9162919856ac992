//! The devices that frames come from and go to. They are equals: the transport above knows none of them.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;

use afpa_tcp::Piece;

use crate::pinned::Pinned;

pub mod memory;
pub mod packet;
pub mod tap;
pub mod xdp;

/// What a device knows of the checksum of a frame's segment or datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Checksum {
    /// Nothing.
    Unverified,
    /// It is right, or the sender left it to a device that was never there: nothing to verify.
    Verified,
}

/// How a device is to cut a frame that is longer than the network takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segmentation {
    /// Octets of payload in each segment but the last.
    pub segment_size: u16,
    /// Octets in front of the network header.
    pub link_len: u16,
    /// Octets in front of the transport header.
    pub transport_offset: u16,
    /// Octets in front of the payload.
    pub head_len: u16,
}

/// A device has no room for another frame: flush, or wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

/// Frames that a device lost because we were too slow, by the ring that was full or empty.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Losses {
    /// The ring of received frames was full.
    pub receive_ring_full: u64,
    /// No memory was there to receive into.
    pub fill_ring_empty: u64,
    /// The kernel dropped a received frame for another reason.
    pub receive_dropped: u64,
    /// The kernel refused a description of a frame to be sent.
    pub transmit_invalid: u64,
}

/// What is done with each received frame. The device's sending half comes with it, so that a frame is
/// answered while it is read.
pub type FrameHandler<'a> = dyn FnMut(&[u8], Checksum, &mut dyn FrameTransmitter) + 'a;

/// The half of a device that sends.
pub trait FrameTransmitter {
    /// The octets of payload that one frame may have beyond the path's segment size, if the device
    /// cuts it (GSO); 0 if it does not.
    fn max_payload(&self) -> usize {
        0
    }

    /// Where the payload of the next frame, of `len` octets, may be written, to leave from there as [`Piece::Staged`].
    /// `None`: nowhere.
    fn stage(&mut self, len: usize) -> Option<&mut [u8]> {
        let _ = len;
        None
    }

    /// Whether a frame of these pieces leaves with those of memory that others share where they lie.
    fn lends(&self, pieces: &[Piece<'_, Pinned>]) -> bool {
        let _ = pieces;
        false
    }

    /// Queues a frame: `head` is copied, and pieces of pinned memory leave from where they lie if the
    /// device can do that; their pins are held until it has read them.
    ///
    /// # Errors
    /// There is no room.
    fn push(
        &mut self,
        head: &[u8],
        pieces: &[Piece<'_, Pinned>],
        segmentation: Option<Segmentation>,
    ) -> Result<(), Full>;

    /// Makes the kernel send what is queued, and takes back what it has sent.
    ///
    /// # Errors
    /// The device is gone.
    fn flush(&mut self) -> io::Result<()>;
}

/// Where frames come from and go to.
pub trait FrameDevice {
    /// Hands over at most `budget` frames and returns how many there were. Never waits. A frame's
    /// octets are where the device put them, and are gone when `each` returns.
    ///
    /// # Errors
    /// The device is gone.
    fn receive(&mut self, budget: usize, each: &mut FrameHandler<'_>) -> io::Result<usize>;

    /// The half that sends.
    fn transmitter(&mut self) -> &mut dyn FrameTransmitter;

    /// Descriptors that are readable when frames have arrived; none for a device in memory.
    fn descriptors(&self) -> Vec<BorrowedFd<'_>>;

    /// Whether memory that others share ever leaves from where it lies.
    fn lends(&self) -> bool {
        false
    }

    /// What was lost so far.
    fn losses(&mut self) -> Losses {
        Losses::default()
    }

    /// Its name, as an operator knows it.
    fn name(&self) -> &'static str;
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the device has no room for another frame")
    }
}

impl std::error::Error for Full {}
