//! The socket at the path, if no other server has it.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use afpa_channel::control::connect_to;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind as bind_to, listen, socket_with};

/// Connections that wait until they are accepted.
const BACKLOG: i32 = 128;

/// Listens at `path`. The file of a server that is gone is replaced.
///
/// # Errors
/// Another server listens there, or something else is; the error says so.
pub(super) fn bind(path: &Path, mode: u32) -> io::Result<OwnedFd> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let address = SocketAddrUnix::new(path).map_err(|error| named(error.into()))?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    match bind_to(&socket, &address) {
        Err(Errno::ADDRINUSE) => {
            replace_stale(path)?;
            bind_to(&socket, &address)
        }
        result => result,
    }
    .map_err(|error| named(error.into()))?;
    // Nobody can connect yet.
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(named)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

fn replace_stale(path: &Path) -> io::Result<()> {
    let taken = |what| io::Error::new(io::ErrorKind::AddrInUse, format!("{}: {what}", path.display()));
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(taken("there is a file that is no socket"));
    }
    match connect_to(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => Err(taken("another server listens there")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_servers_file_is_replaced_and_a_living_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("server.sock");
        let first = bind(&path, 0o600).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let error = bind(&path, 0o600).unwrap_err();
        assert!(error.to_string().contains("another server listens there"), "{error}");
        drop(first);
        drop(bind(&path, 0o660).unwrap());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        let error = bind(&path, 0o600).unwrap_err();
        assert!(error.to_string().contains("no socket"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }
}
