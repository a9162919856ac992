//! What the safe libraries do not ask or tell a socket.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

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
