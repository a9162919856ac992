//! Errors as the kernel numbers them.

use std::io;

use rustix::io::Errno;

/// The errno of an error.
pub(crate) fn errno(error: &io::Error) -> Errno {
    match (error.raw_os_error(), error.kind()) {
        (Some(number), _) => Errno::from_raw_os_error(number),
        (None, io::ErrorKind::WouldBlock) => Errno::AGAIN,
        (None, io::ErrorKind::ConnectionReset) => Errno::CONNRESET,
        (None, io::ErrorKind::InvalidInput) => Errno::INVAL,
        (None, _) => Errno::IO,
    }
}
