//! Sends pinned memory by reference: its pages go through a pipe into the socket, and no octet is copied.
//!
//! sendfile(2) from the arena's own file does the same, but looks every page up in that file: 130 ns a page,
//! where a mapping's pages cost 40 ns to find. Of a response of 1 MiB that was 5 %.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{IoSliceRaw, PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice, vmsplice};

use crate::gather::{Gather, MAX_PIECES, Slice};

/// Octets that the pipe is to hold. What a socket does not take was looked up for nothing, and a socket that
/// is full stops in the middle: more than this costs more than the system calls that it saves.
const CAPACITY: usize = 128 * 1024;

/// A pipe that is empty whenever nobody sends through it.
pub struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
    /// Takes what the socket did not.
    null: OwnedFd,
    /// Octets in the pipe.
    queued: usize,
}

impl Pipe {
    /// # Errors
    /// There are no descriptors to spare, or the process may not use vmsplice(2).
    pub fn new() -> io::Result<Pipe> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // A user may have only so many pages in pipes; with the kernel's default it takes more calls.
        let _ = fcntl_setpipe_size(&writer, CAPACITY);
        let null = rustix::fs::open("/dev/null", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        // SAFETY: there is no memory to be valid.
        unsafe { vmsplice(&writer, &[], SpliceFlags::NONBLOCK) }?;
        Ok(Pipe { reader, writer, null, queued: 0 })
    }

    /// Lends the pieces in front of `gather`, those that [`Gather::lent`] names, to `socket`: as many octets as
    /// the pipe holds. Returns how many the socket took and how many it was offered. The socket must not
    /// block: splice(2) has no flag that keeps it from waiting.
    ///
    /// # Errors
    /// The socket's, `EAGAIN` among them.
    pub fn send<S: Slice>(
        &mut self,
        gather: &Gather<S>,
        lend_from: usize,
        socket: BorrowedFd<'_>,
    ) -> rustix::io::Result<(usize, usize)> {
        self.empty()?;
        let mut pieces: [IoSliceRaw<'_>; MAX_PIECES] = std::array::from_fn(|_| IoSliceRaw::from_slice(&[]));
        let (mut count, mut octets) = (0, 0);
        for piece in gather.lent(lend_from).take(MAX_PIECES) {
            pieces[count] = IoSliceRaw::from_slice(piece);
            count += 1;
            octets += piece.len();
            if octets >= CAPACITY {
                break;
            }
        }
        // SAFETY: the pieces are valid, and pinned while `gather` is borrowed; the pipe does not keep them, since
        // it is emptied before this returns or before anything else is sent. Packets may refer to the pages for
        // longer: `Gather::lent` has marked the extents as lent, so their pages are replaced, not written.
        let offered = unsafe { vmsplice(&self.writer, &pieces[..count], SpliceFlags::NONBLOCK) }?;
        self.queued = offered;
        let mut flags = SpliceFlags::NONBLOCK;
        if (offered as u64) < gather.remaining() {
            flags |= SpliceFlags::MORE;
        }
        let result = splice(&self.reader, None, socket, None, offered, flags);
        self.queued -= *result.as_ref().unwrap_or(&0);
        self.empty()?;
        result.map(|taken| (taken, offered))
    }

    fn empty(&mut self) -> rustix::io::Result<()> {
        while self.queued > 0 {
            match splice(&self.reader, None, &self.null, None, self.queued, SpliceFlags::NONBLOCK) {
                Ok(0) => return Err(Errno::IO),
                Ok(dropped) => self.queued -= dropped,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;

    use super::*;
    use crate::memory::{Arena, LocalExtent};

    #[test]
    fn a_full_socket_takes_a_part_and_the_rest_is_offered_again() {
        let arena = Arena::new(8 << 20).expect("an arena");
        let mut gather = Gather::default();
        let mut octets = Vec::new();
        for number in 0..10u8 {
            let mut extent = arena.allocate(60_000).expect("room");
            extent.fill(number);
            octets.extend_from_slice(&extent);
            gather.pin(LocalExtent::new(extent.seal(Box::default()), Arc::default()).pin(0..60_000));
        }
        let (socket, mut peer) = UnixStream::pair().expect("a pair");
        socket.set_nonblocking(true).expect("a socket");
        let mut pipe = Pipe::new().expect("a pipe");
        let (mut received, mut was_full) = (Vec::new(), false);
        while !gather.is_empty() {
            match pipe.send(&gather, 4096, socket.as_fd()) {
                Ok((taken, offered)) => {
                    assert!(taken <= offered && offered <= CAPACITY);
                    gather.advance(taken as u64);
                }
                Err(error) => {
                    assert_eq!(error, Errno::AGAIN);
                    was_full = true;
                    let mut some = [0; 7_000];
                    let count = peer.read(&mut some).expect("something to read");
                    received.extend_from_slice(&some[..count]);
                }
            }
        }
        drop(socket);
        peer.read_to_end(&mut received).expect("the rest");
        assert!(was_full && received == octets);
    }

    #[test]
    fn a_peer_that_is_gone_is_an_error_and_the_pipe_goes_on() {
        let arena = Arena::new(1 << 20).expect("an arena");
        let extent = arena.allocate(60_000).expect("room").seal(Box::default());
        let mut gather = Gather::default();
        gather.pin(LocalExtent::new(extent, Arc::default()).pin(0..60_000));
        let mut pipe = Pipe::new().expect("a pipe");
        let (socket, peer) = UnixStream::pair().expect("a pair");
        drop(peer);
        assert_eq!(pipe.send(&gather, 4096, socket.as_fd()), Err(Errno::PIPE));
        let (socket, mut peer) = UnixStream::pair().expect("a pair");
        socket.set_nonblocking(true).expect("a socket");
        let (taken, _) = pipe.send(&gather, 4096, socket.as_fd()).expect("sent");
        drop(socket);
        let mut received = Vec::new();
        assert_eq!(peer.read_to_end(&mut received).expect("all of it"), taken);
    }
}
