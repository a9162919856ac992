//! The half that sends.

use std::io::{self, IoSlice};
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};

use super::pieces::gather;
use super::virtio::{self, Full, Segmentation};

/// Short frames that are sent with one system call.
const BATCH: usize = 64;
/// Octets of a short frame, with its header: a copy costs less than a system call of its own.
const SHORT: usize = 2_048;

/// Sends frames. Short ones wait for the next [`Transmitter::flush`], or until there are 64.
pub struct Transmitter {
    socket: Arc<OwnedFd>,
    /// Short frames, one behind the other.
    waiting: Vec<u8>,
    /// The end of each, in `waiting`.
    ends: Vec<usize>,
    /// Pieces of a frame with too many of them.
    spill: Vec<u8>,
    dropped: u64,
    /// Why the socket cannot go on, to be told at the next flush.
    failure: Option<Errno>,
}

/// What the kernel made of frames.
enum Taken {
    All,
    /// It has no room; what is left waits.
    NotNow,
}

impl Transmitter {
    pub(super) fn new(socket: Arc<OwnedFd>) -> Transmitter {
        let (waiting, ends) = (Vec::with_capacity(BATCH * SHORT), Vec::with_capacity(BATCH));
        Transmitter { socket, waiting, ends, spill: Vec::new(), dropped: 0, failure: None }
    }

    /// Short frames that can be pushed for sure.
    pub fn room(&self) -> usize {
        BATCH - self.ends.len()
    }

    /// Frames that wait for the next flush.
    pub fn unsent(&self) -> usize {
        self.ends.len()
    }

    /// Sends a frame made of `head` and `pieces`, which are copied: here if it is short, else once by the
    /// kernel. With `segmentation`, of up to [`MAX_SEGMENTED`](super::MAX_SEGMENTED) octets of payload. Frames
    /// leave in the order in which they are pushed. A frame that the kernel does not take is dropped and
    /// counted.
    ///
    /// # Errors
    /// There is no room.
    pub fn push<'a>(
        &mut self,
        head: &'a [u8],
        pieces: &mut dyn Iterator<Item = &'a [u8]>,
        segmentation: Option<Segmentation>,
    ) -> Result<(), Full> {
        let header = virtio::write(head, segmentation);
        let mut spill = mem::take(&mut self.spill);
        let pushed = gather(&header, head, pieces, &mut spill, |slices| self.push_slices(slices));
        self.spill = spill;
        pushed
    }

    /// Sends what waits. What the kernel has no room for waits for the next flush.
    ///
    /// # Errors
    /// The socket cannot go on.
    pub fn flush(&mut self) -> io::Result<()> {
        self.send_waiting();
        self.failure.take().map_or(Ok(()), |error| Err(error.into()))
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    fn push_slices(&mut self, slices: &[IoSlice<'_>]) -> Result<(), Full> {
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        let is_short = length <= SHORT;
        if (!is_short || self.ends.len() == BATCH) && matches!(self.send_waiting(), Taken::NotNow) {
            return Err(Full);
        }
        if is_short {
            slices.iter().for_each(|slice| self.waiting.extend_from_slice(slice));
            self.ends.push(self.waiting.len());
            return Ok(());
        }
        loop {
            let sent = sendmsg(&*self.socket, slices, &mut SendAncillaryBuffer::default(), SendFlags::DONTWAIT);
            match sent {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Err(Full),
                Err(error) => {
                    self.drop_one(error);
                    return Ok(());
                }
            }
        }
    }

    fn send_waiting(&mut self) -> Taken {
        let mut sent = 0;
        while sent < self.ends.len() {
            match self.send_from(sent) {
                Ok(count) => sent += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(error) => {
                    // The frame in front; those behind it may fare better.
                    self.drop_one(error);
                    sent += 1;
                }
            }
        }
        let start = sent.checked_sub(1).and_then(|last| self.ends.get(last).copied()).unwrap_or_default();
        self.waiting.drain(..start);
        self.ends.drain(..sent);
        self.ends.iter_mut().for_each(|end| *end -= start);
        if self.ends.is_empty() { Taken::All } else { Taken::NotNow }
    }

    /// Sends waiting frames from the one of this number on; how many were sent.
    fn send_from(&self, first: usize) -> Result<usize, Errno> {
        // SAFETY: integers and pointers; zeros are values of them.
        let mut pieces: [libc::iovec; BATCH] = unsafe { mem::zeroed() };
        // SAFETY: as above.
        let mut messages: [libc::mmsghdr; BATCH] = unsafe { mem::zeroed() };
        let mut start = first.checked_sub(1).map_or(0, |before| self.ends[before]);
        for ((message, piece), end) in messages.iter_mut().zip(&mut pieces).zip(&self.ends[first..]) {
            let frame = &self.waiting[start..*end];
            *piece = libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() };
            message.msg_hdr.msg_iov = piece;
            message.msg_hdr.msg_iovlen = 1;
            start = *end;
        }
        let count = (self.ends.len() - first).min(BATCH) as libc::c_uint;
        // SAFETY: the kernel reads `count` messages, each of one piece, which is a waiting frame, and writes how
        // much it sent to the messages.
        let sent =
            unsafe { libc::sendmmsg(self.socket.as_raw_fd(), messages.as_mut_ptr(), count, libc::MSG_DONTWAIT as _) };
        let error = || Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO);
        usize::try_from(sent).map_err(|_| error())
    }

    fn drop_one(&mut self, error: Errno) {
        self.dropped += 1;
        // The interface is gone.
        if matches!(error, Errno::NXIO | Errno::NODEV | Errno::BADF) {
            self.failure = Some(error);
        }
    }
}
