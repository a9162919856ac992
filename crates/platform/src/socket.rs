//! Questions to a socket that the safe libraries do not ask.

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
