//! The half that receives.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use super::virtio::{self, Checksum, HEADER, MAX_FRAME};

/// Frames of one system call.
const BATCH: usize = 32;
/// Octets of a frame's place: header and frame.
const PLACE: usize = HEADER + MAX_FRAME;

/// Receives frames, up to 32 with one system call. Memory: 2 MiB, of which short frames use a page each.
pub struct Receiver {
    socket: Arc<OwnedFd>,
    buffer: Box<[u8]>,
    dropped: u64,
}

impl Receiver {
    pub(super) fn new(socket: Arc<OwnedFd>) -> Receiver {
        Receiver { socket, buffer: vec![0; BATCH * PLACE].into_boxed_slice(), dropped: 0 }
    }

    /// Shows at most `budget` frames to `each` and returns how many there were. Never waits. A frame's octets
    /// are gone when `each` returns.
    ///
    /// While the interface is down there are none.
    ///
    /// # Errors
    /// The socket cannot go on; or `each` returned an error, which ends it, and loses up to 31 frames.
    pub fn receive(
        &mut self,
        budget: usize,
        each: &mut dyn FnMut(&[u8], Checksum) -> io::Result<()>,
    ) -> io::Result<usize> {
        let mut count = 0;
        while count < budget {
            let wanted = BATCH.min(budget - count);
            let mut lengths = [None; BATCH];
            let received = match self.read(&mut lengths[..wanted]) {
                Ok(received) => received,
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN | libc::ENETDOWN) => break,
                    Some(libc::EINTR) => continue,
                    // The kernel had a frame that this header cannot describe, and has dropped it.
                    Some(libc::EINVAL) => {
                        self.dropped += 1;
                        count += 1;
                        continue;
                    }
                    _ => return Err(error),
                },
            };
            for (place, length) in self.buffer.chunks_exact(PLACE).zip(&lengths[..received]) {
                let whole = length.and_then(|length| place.get(..length));
                let split = whole.and_then(|whole| whole.split_first_chunk::<HEADER>());
                match split.and_then(|(header, frame)| Some((virtio::read(header)?, frame))) {
                    Some((checksum, frame)) => each(frame, checksum)?,
                    None => self.dropped += 1,
                }
            }
            count += received;
            if received < wanted {
                break;
            }
        }
        Ok(count)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Reads as many frames as there are places in `lengths`, and says how long each is: `None` if it was
    /// longer than its place.
    fn read(&mut self, lengths: &mut [Option<usize>]) -> io::Result<usize> {
        // SAFETY: integers and pointers; zeros are values of them.
        let mut pieces: [libc::iovec; BATCH] = unsafe { mem::zeroed() };
        // SAFETY: as above.
        let mut messages: [libc::mmsghdr; BATCH] = unsafe { mem::zeroed() };
        let places = self.buffer.chunks_exact_mut(PLACE);
        for ((message, piece), place) in messages.iter_mut().zip(&mut pieces).zip(places) {
            *piece = libc::iovec { iov_base: place.as_mut_ptr().cast(), iov_len: PLACE };
            message.msg_hdr.msg_iov = piece;
            message.msg_hdr.msg_iovlen = 1;
        }
        let wanted = lengths.len().min(BATCH) as libc::c_uint;
        // SAFETY: the kernel reads `wanted` messages, each of one piece, which is a place of our buffer of the
        // length that it says, and writes there, and to the messages.
        let received = unsafe {
            let socket = self.socket.as_raw_fd();
            libc::recvmmsg(socket, messages.as_mut_ptr(), wanted, libc::MSG_DONTWAIT as _, std::ptr::null_mut())
        };
        let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        for (length, message) in lengths.iter_mut().zip(&messages) {
            let is_whole = message.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
            *length = is_whole.then_some(message.msg_len as usize);
        }
        Ok(received)
    }
}
