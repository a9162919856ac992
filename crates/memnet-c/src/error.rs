//! Errors as the program learns them: as negative errnos.

use std::ffi::c_int;
use std::io::{self, ErrorKind};

/// The errno, negative.
pub(crate) fn negative(error: &io::Error) -> c_int {
    if let Some(errno) = error.raw_os_error() {
        return -errno;
    }
    -match error.kind() {
        ErrorKind::WouldBlock => libc::EAGAIN,
        ErrorKind::Interrupted => libc::EINTR,
        ErrorKind::TimedOut => libc::ETIMEDOUT,
        ErrorKind::InvalidInput => libc::EINVAL,
        ErrorKind::ConnectionReset => libc::ECONNRESET,
        ErrorKind::InvalidData => libc::EPROTO,
        _ => libc::EIO,
    }
}

/// Zero, or the errno.
pub(crate) fn zero(result: io::Result<()>) -> c_int {
    result.map_or_else(|error| negative(&error), |()| 0)
}

/// A number of octets, or the errno.
pub(crate) fn count(result: io::Result<usize>) -> isize {
    result.map_or_else(|error| negative(&error) as isize, |count| isize::try_from(count).unwrap_or(isize::MAX))
}
