//! splice(2) between a pipe and a socket of the TCP server: octets are copied, since they have to get into its rings.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{BorrowedFd, RawFd};

use rustix::io::Errno;

use crate::application::Socket;
use crate::raw;
use crate::stream::Manner;

/// Octets that are copied at a time.
const PIECE: usize = 16 * 1024;

/// From the socket into a pipe, at most `count` octets. What the pipe does not take stays in the socket.
pub(crate) fn into_pipe(socket: &Socket, pipe: RawFd, count: usize, impatient: bool) -> Result<usize, Errno> {
    let pipe = pipe_of(pipe)?;
    let mut octets = [0; PIECE];
    let wanted = count.min(PIECE);
    let peeked = socket.receive(
        &mut [IoSliceMut::new(&mut octets[..wanted])],
        Manner { impatient, peek: true, ..Manner::default() },
    )?;
    if peeked == 0 {
        return Ok(0);
    }
    if impatient && !is_ready(pipe, libc::POLLOUT)? {
        return Err(Errno::AGAIN);
    }
    let written = rustix::io::write(pipe, &octets[..peeked])?;
    let now = Manner { impatient: true, ..Manner::default() };
    socket.receive(&mut [IoSliceMut::new(&mut octets[..written])], now)
}

/// From a pipe into the socket, at most `count` octets. No more are taken out of the pipe than the socket has room for.
pub(crate) fn from_pipe(socket: &Socket, pipe: RawFd, count: usize, impatient: bool) -> Result<usize, Errno> {
    let pipe = pipe_of(pipe)?;
    // An empty send says whether one could be made, or waits until it can.
    let room = socket.room(Manner { impatient, ..Manner::default() })?;
    if impatient && !is_ready(pipe, libc::POLLIN)? {
        return Err(Errno::AGAIN);
    }
    let mut octets = [0; PIECE];
    let read = rustix::io::read(pipe, &mut octets[..count.min(PIECE).min(room)])?;
    socket.send(&[IoSlice::new(&octets[..read])], Manner::default())
}

fn is_ready(pipe: BorrowedFd<'_>, event: i16) -> Result<bool, Errno> {
    use std::os::fd::AsRawFd;
    let mut polled = [libc::pollfd { fd: pipe.as_raw_fd(), events: event, revents: 0 }];
    Ok(raw::ppoll(&mut polled, Some(crate::epoll::timespec(std::time::Duration::ZERO)), raw::Mask::NONE)? > 0)
}

/// One of the two has to be a pipe.
fn pipe_of<'a>(descriptor: RawFd) -> Result<BorrowedFd<'a>, Errno> {
    let pipe = raw::borrow(descriptor)?;
    let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(pipe)?.st_mode);
    if kind == rustix::fs::FileType::Fifo { Ok(pipe) } else { Err(Errno::INVAL) }
}
