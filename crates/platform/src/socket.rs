//! What the safe libraries do not ask or tell a socket.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use crate::foreign::Span;
use crate::gather::MAX_PIECES;

/// Sends octets without waiting, of the first [`MAX_PIECES`] spans at most. Says that more follows (MSG_MORE) if they are
/// fewer octets than `total`. Returns how many were taken.
///
/// # Errors
/// The socket's, `EAGAIN` among them.
pub fn send_spans<'a>(
    socket: BorrowedFd<'_>,
    spans: impl Iterator<Item = Span<'a>>,
    total: u64,
) -> rustix::io::Result<u64> {
    let mut pieces = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; MAX_PIECES];
    let (mut count, mut length) = (0, 0);
    for span in spans.take(MAX_PIECES) {
        pieces[count] = libc::iovec { iov_base: span.as_ptr().cast_mut().cast(), iov_len: span.len() };
        count += 1;
        length += span.len() as u64;
    }
    let more = if length < total { libc::MSG_MORE } else { 0 };
    // SAFETY: all zeroes is a message without name, pieces and control data.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = pieces.as_mut_ptr();
    message.msg_iovlen = count as _;
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT | more;
    // SAFETY: the kernel reads `count` pieces, each of memory that is mapped while its span lives, and writes nothing.
    let result = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags) };
    u64::try_from(result).map_err(|_| Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO))
}

/// Octets that the kernel holds for the peer: not sent, or not acknowledged (SIOCOUTQ).
///
/// # Errors
/// Not a stream socket, or not connected.
pub fn unacknowledged(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut octets: libc::c_int = 0;
    // SAFETY: the kernel writes one int to the address of one.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut octets) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(octets as u64) }
}

/// Has a listening TCP socket report connections when their first octets arrive, or a second after
/// their handshake (TCP_DEFER_ACCEPT).
///
/// # Errors
/// Not a TCP socket.
pub fn defer_accept(listener: BorrowedFd<'_>) -> io::Result<()> {
    let seconds: libc::c_int = 1;
    // SAFETY: the kernel reads one int from the address of one.
    let result = unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const seconds).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
