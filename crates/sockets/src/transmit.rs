//! Sending at once, without a ring: for epoll, for workers, and for what is lent to the kernel.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};

use afpa_platform::gather::{Front, Gather, MAX_PIECES, Slice};
use rustix::fs::sendfile;
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};

/// How far it got.
pub(crate) struct Transmitted {
    /// Octets that the kernel took over.
    pub(crate) count: u64,
    /// The socket has no room: the rest must wait.
    pub(crate) blocked: bool,
}

/// Sends as much of `gather` as the socket takes without waiting, and advances it. The socket must
/// be non-blocking: sendfile(2) has no flag that says so. If the socket is closed next (`last`), the
/// last octets leave together with FIN.
pub(crate) fn transmit<P: Slice>(
    socket: BorrowedFd<'_>,
    gather: &mut Gather<P>,
    last: bool,
) -> io::Result<Transmitted> {
    let mut count = 0;
    while let Some(front) = gather.front() {
        let result = match front {
            Front::Memory(_) => send_memory(socket, gather, last),
            Front::Lendable(lent) => send_file(socket, lent.file, lent.offset, lent.len as u64),
            Front::File { file, offset, length } => send_file(socket, file.as_fd(), offset, length),
        };
        match result {
            Ok(sent) => {
                gather.advance(sent);
                count += sent;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Ok(Transmitted { count, blocked: true });
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Transmitted { count, blocked: false })
}

fn send_memory<P: Slice>(socket: BorrowedFd<'_>, gather: &Gather<P>, last: bool) -> io::Result<u64> {
    let mut pieces = [IoSlice::new(&[]); MAX_PIECES];
    let (mut used, mut octets) = (0, 0);
    for piece in gather.memory_to_copy().take(MAX_PIECES) {
        pieces[used] = IoSlice::new(piece);
        used += 1;
        octets += piece.len() as u64;
    }
    let mut flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    // What follows by sendfile(2) shares the segment.
    flags.set(SendFlags::MORE, last || octets < gather.remaining());
    let sent = sendmsg(socket, &pieces[..used], &mut SendAncillaryBuffer::default(), flags)?;
    Ok(sent as u64)
}

fn send_file(socket: BorrowedFd<'_>, file: BorrowedFd<'_>, offset: u64, length: u64) -> io::Result<u64> {
    let mut position = offset;
    match sendfile(socket, file, Some(&mut position), usize::try_from(length).unwrap_or(usize::MAX))? {
        // The file became shorter: the rest does not exist, and the peer must not take what it has
        // for the whole.
        0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was sent")),
        sent => Ok(sent as u64),
    }
}
