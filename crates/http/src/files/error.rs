//! Why a file cannot be had, and whose fault that is.

use std::fmt;
use std::io;

use rustix::io::Errno;

/// Why a request for a file has no object. [`FileError::status`] is the only place that turns one
/// into an HTTP status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileError {
    /// The client asked for a name that the site does not have, or that the site hides: a dotfile,
    /// a link out of the site, a device. The client cannot tell which.
    NotFound,
    /// The name exists, and the site's owner does not let it be read: permissions, or a directory
    /// that has neither an index file nor a listing.
    Forbidden,
    /// The file did not hold still while it was read.
    Changing,
    /// The server is out of descriptors, memory, or room in its cache.
    Exhausted,
    /// The file system failed with this `errno`.
    Broken(i32),
}

impl FileError {
    /// The status that says so (RFC 9110 §15).
    pub const fn status(self) -> u16 {
        match self {
            FileError::NotFound => 404,
            FileError::Forbidden => 403,
            FileError::Changing | FileError::Exhausted => 503,
            FileError::Broken(_) => 500,
        }
    }

    pub(super) fn is_not_found(self) -> bool {
        self == FileError::NotFound
    }
}

impl From<Errno> for FileError {
    fn from(errno: Errno) -> FileError {
        match errno {
            // EXDEV is how RESOLVE_BENEATH refuses a way out of the site; ENXIO is a socket.
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::NAMETOOLONG | Errno::NXIO => {
                FileError::NotFound
            }
            Errno::ACCESS | Errno::PERM => FileError::Forbidden,
            // RESOLVE_BENEATH gives EAGAIN while directories are being renamed under it; ESTALE is
            // the same on a network file system.
            Errno::AGAIN | Errno::STALE | Errno::BUSY => FileError::Changing,
            Errno::MFILE | Errno::NFILE | Errno::NOMEM => FileError::Exhausted,
            other => FileError::Broken(other.raw_os_error()),
        }
    }
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> FileError {
        match Errno::from_io_error(&error) {
            Some(errno) => errno.into(),
            None if error.kind() == io::ErrorKind::UnexpectedEof => FileError::Changing,
            None => FileError::Broken(0),
        }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileError::NotFound => f.write_str("the client asked for a file that the site does not show"),
            FileError::Forbidden => f.write_str("the site's permissions forbid reading the file"),
            FileError::Changing => f.write_str("the file kept changing while the server read it"),
            FileError::Exhausted => f.write_str("the server is out of descriptors or memory"),
            FileError::Broken(errno) => {
                write!(f, "the file system failed: {}", io::Error::from_raw_os_error(*errno))
            }
        }
    }
}

impl std::error::Error for FileError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_errno_has_its_status() {
        for (errno, status) in [
            (Errno::NOENT, 404),
            (Errno::NOTDIR, 404),
            (Errno::LOOP, 404),
            (Errno::XDEV, 404),
            (Errno::NAMETOOLONG, 404),
            (Errno::ACCESS, 403),
            (Errno::PERM, 403),
            (Errno::AGAIN, 503),
            (Errno::MFILE, 503),
            (Errno::NFILE, 503),
            (Errno::NOMEM, 503),
            (Errno::IO, 500),
        ] {
            assert_eq!(FileError::from(errno).status(), status, "{errno:?}");
        }
    }
}
