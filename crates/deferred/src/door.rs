//! The Unix socket that connections are handed to.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, fchmod};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with};

use crate::options::Options;

/// Connections of senders that wait to be accepted.
const BACKLOG: i32 = 1024;

/// A Unix socket that listens, and goes with its file.
pub(crate) struct Door {
    pub(crate) listener: UnixListener,
    path: PathBuf,
    /// The file's device and number.
    identity: (u64, u64),
}

impl Door {
    /// Listens at `path`, without blocking. A socket there at which nobody listens is replaced.
    pub(crate) fn open(path: &Path, options: &Options) -> io::Result<Door> {
        let listener = new_socket()?;
        let address = SocketAddrUnix::new(path)?;
        remove_stale(path, &address)?;
        // The file gets the socket's permissions: at no time may more write to it (unix(7)).
        fchmod(&listener, Mode::from_raw_mode(options.mode))?;
        bind(&listener, &address)?;
        let metadata = path.symlink_metadata()?;
        let door =
            Door { listener: listener.into(), path: path.to_owned(), identity: (metadata.dev(), metadata.ino()) };
        // The process's mask may have taken some away.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(options.mode))?;
        listen(&door.listener, BACKLOG)?;
        Ok(door)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let is_ours = |found: std::fs::Metadata| (found.dev(), found.ino()) == self.identity;
        if self.path.symlink_metadata().is_ok_and(is_ours) {
            // What is left behind is replaced by the next one.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn new_socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

/// Removes a socket at which nobody listens, and nothing else.
fn remove_stale(path: &Path, address: &SocketAddrUnix) -> io::Result<()> {
    let found = match path.symlink_metadata() {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        let problem = format!("{} exists and is no socket", path.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, problem));
    }
    match connect(&new_socket()?, address) {
        Err(Errno::CONNREFUSED) => std::fs::remove_file(path),
        // A full backlog is somebody's.
        Ok(()) | Err(Errno::AGAIN) => {
            let problem = format!("another process listens at {}", path.display());
            Err(io::Error::new(io::ErrorKind::AddrInUse, problem))
        }
        Err(error) => Err(error.into()),
    }
}
