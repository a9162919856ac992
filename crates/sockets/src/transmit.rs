//! Sends without waiting: what engines do for lent memory, and sending threads for everything.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use afpa_platform::gather::{Front, Gather, Slice};
use afpa_platform::pipe::Pipe;
use afpa_platform::socket::send_spans;
use afpa_platform::source::SourceFile;
use rustix::fs::sendfile;
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

/// The octets at a range's end that are sent as a copy.
const TAIL: u64 = 64 * 1024;

/// How far a transmission went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Progress {
    /// Everything was taken.
    Done,
    /// The socket takes no more for now.
    Blocked,
}

/// A pipe for a thread that transmits; without one, nothing is lent.
pub(crate) fn pipe() -> Option<Pipe> {
    Pipe::new().ok()
}

/// Sends as much of `gather` as `socket` takes, and advances it. Returns the octets taken, also in
/// front of an error. The socket must not block: neither splice(2) nor sendfile(2) can be told not to wait.
pub(crate) fn transmit<S: Slice>(
    socket: BorrowedFd<'_>,
    gather: &mut Gather<S>,
    pipe: Option<&mut Pipe>,
    lend_from: usize,
) -> (u64, io::Result<Progress>) {
    let before = gather.remaining();
    let lend_from = if pipe.is_some() { gather.lend_along(lend_from) } else { usize::MAX };
    let result = send_pieces(socket, gather, pipe, lend_from);
    (before - gather.remaining(), result)
}

fn send_pieces<S: Slice>(
    socket: BorrowedFd<'_>,
    gather: &mut Gather<S>,
    mut pipe: Option<&mut Pipe>,
    lend_from: usize,
) -> io::Result<Progress> {
    loop {
        let mut lent = 0;
        let step = match (gather.front(lend_from), &mut pipe) {
            (None, _) => return Ok(Progress::Done),
            (Some(Front::Lendable), Some(pipe)) => pipe.send(gather, lend_from, socket).map(|(taken, offered)| {
                lent = offered;
                taken as u64
            }),
            (Some(Front::File { file, offset, length }), _) => send_source(socket, file, offset, length)?,
            (Some(Front::Memory | Front::Lendable), _) => {
                // A head leaves in one packet with what follows it.
                send_spans(socket, gather.unlendable(lend_from), gather.remaining())
            }
        };
        match step {
            Ok(count) => {
                gather.advance(count);
                // A socket that takes less of lent memory than it is offered is full.
                if count < lent as u64 {
                    return Ok(Progress::Blocked);
                }
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(Progress::Blocked),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Sends a file's range through the file system's cache, but for its last octets: those leave as a
/// copy that was made before the file was looked at for the last time.
fn send_source(
    socket: BorrowedFd<'_>,
    file: &SourceFile,
    offset: u64,
    length: u64,
) -> io::Result<rustix::io::Result<u64>> {
    if length > TAIL {
        file.check()?;
        return Ok(send_range(socket, file.as_fd(), offset, length - TAIL));
    }
    let mut tail = vec![0; length as usize];
    file.read_at(&mut tail, offset)?;
    Ok(send(socket, &tail, SendFlags::NOSIGNAL | SendFlags::DONTWAIT).map(|count| count as u64))
}

fn send_range(socket: BorrowedFd<'_>, file: BorrowedFd<'_>, mut offset: u64, length: u64) -> rustix::io::Result<u64> {
    match sendfile(socket, file, Some(&mut offset), length as usize)? {
        // A file that became shorter than it was promised to be.
        0 => Err(Errno::IO),
        count => Ok(count as u64),
    }
}
