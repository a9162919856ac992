//! Where clients come in: ports that each engine opens for itself, and sockets that all share.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with};

use crate::systemd::Inherited;
use crate::units::ListenAddress;

/// What is served through a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    /// The site, over streams.
    Http,
    /// DNS, over datagrams and streams alike.
    Dns,
}

/// One way in for clients.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) service: Service,
    pub(super) place: Place,
}

/// Where a door is.
#[derive(Debug)]
pub(super) enum Place {
    /// Each engine listens to this port on a socket of its own (SO_REUSEPORT).
    Port(SocketAddr),
    /// An address that the kernel does not have: the direct transport alone listens to it.
    Host(SocketAddr),
    /// One socket, duplicated for each engine.
    Shared {
        socket: OwnedFd,
        address: ListenAddress,
        /// The file that is ours to remove.
        _file: Option<SocketFile>,
    },
}

impl Door {
    pub(super) fn address(&self) -> ListenAddress {
        match &self.place {
            Place::Port(address) | Place::Host(address) => ListenAddress::Inet(*address),
            Place::Shared { address, .. } => address.clone(),
        }
    }

    /// Its Internet address, if it has one.
    pub(super) fn inet(&self) -> Option<SocketAddr> {
        match self.address() {
            ListenAddress::Inet(address) => Some(address),
            ListenAddress::Unix(_) => None,
        }
    }

    /// As a client would write it.
    pub(super) fn url(&self) -> String {
        match (self.service, self.address()) {
            (Service::Http, ListenAddress::Inet(address)) => format!("http://{address}"),
            (Service::Dns, ListenAddress::Inet(address)) => format!("dns://{address}"),
            (_, unix @ ListenAddress::Unix(_)) => unix.to_string(),
        }
    }
}

/// Opens every address, or takes the service manager's sockets in their place.
///
/// # Errors
/// An address cannot be listened to: a sentence with the remedy.
pub(super) fn open(listen: &[ListenAddress], inherited: Vec<Inherited>) -> Result<Vec<Door>, String> {
    if !inherited.is_empty() {
        let shared = |passed: Inherited| Door {
            service: Service::Http,
            place: Place::Shared { socket: passed.socket, address: passed.address, _file: None },
        };
        return Ok(inherited.into_iter().map(shared).collect());
    }
    listen.iter().map(|address| open_one(address).map_err(|error| explain(address, &error))).collect()
}

/// Reserves every address for DNS: its port for datagrams and for streams.
///
/// # Errors
/// An address cannot be listened to: a sentence with the remedy.
pub(super) fn open_dns(listen: &[SocketAddr]) -> Result<Vec<Door>, String> {
    let door = |address: &SocketAddr| {
        let place = reserve_both(*address).map(Place::Port);
        let place = place.map_err(|error| explain(&ListenAddress::Inet(*address), &error))?;
        Ok(Door { service: Service::Dns, place })
    };
    listen.iter().map(door).collect()
}

/// The doors of a host of our own, where the kernel has nothing to open.
///
/// # Errors
/// An address is a path, or has no port.
pub(super) fn of_host(service: Service, listen: &[ListenAddress]) -> Result<Vec<Door>, String> {
    let door = |address: &ListenAddress| match address {
        ListenAddress::Inet(address) if address.port() != 0 => Ok(Door { service, place: Place::Host(*address) }),
        ListenAddress::Inet(_) | ListenAddress::Unix(_) => {
            Err(format!("cannot listen to {address} on a TAP device: choose an address with a port"))
        }
    };
    listen.iter().map(door).collect()
}

fn open_one(address: &ListenAddress) -> io::Result<Door> {
    let place = match address {
        ListenAddress::Inet(address) => Place::Port(reserve(*address, SocketType::STREAM)?),
        ListenAddress::Unix(path) => {
            remove_stale(path)?;
            let listener = UnixListener::bind(path)?;
            let file = SocketFile::at(path)?;
            Place::Shared { socket: listener.into(), address: address.clone(), _file: Some(file) }
        }
    };
    Ok(Door { service: Service::Http, place })
}

/// A port that is free for datagrams and streams alike.
fn reserve_both(address: SocketAddr) -> io::Result<SocketAddr> {
    /// How many ports are tried for port 0: the two kinds are given out apart.
    const TRIES: usize = 16;
    let mut last = None;
    for _ in 0..TRIES {
        let found = reserve(address, SocketType::STREAM)?;
        match reserve(found, SocketType::DGRAM) {
            Ok(found) => return Ok(found),
            Err(error) if address.port() != 0 => return Err(error),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

/// Finds out whether a port is free, and which one port 0 stands for. The engines' own sockets would
/// not notice another server of the same user: SO_REUSEPORT lets them share its port. Does not listen: who comes before
/// the engines is refused, and not accepted by nobody.
fn reserve(address: SocketAddr, kind: SocketType) -> io::Result<SocketAddr> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    // What is left of closed connections is no obstacle; a listener is. Of datagrams nothing is left, and the option
    // would let two servers share a port.
    if kind == SocketType::STREAM {
        set_socket_reuseaddr(&socket, true)?;
    }
    bind(&socket, &address)?;
    SocketAddr::try_from(getsockname(&socket)?).map_err(io::Error::from)
}

/// Removes the socket of a server that is gone. One that answers, and anything that is no socket,
/// stays and makes binding fail.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    let refused = || UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    if is_socket && refused() { std::fs::remove_file(path) } else { Ok(()) }
}

/// The file of a Unix socket that we made. Removed with the server, unless another took its place.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn at(path: &Path) -> io::Result<SocketFile> {
        Ok(SocketFile { path: path.to_owned(), identity: identity(path)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            // A directory that became read-only keeps the file; the next start removes it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = std::fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// What went wrong, and what helps.
pub(super) fn explain(address: &ListenAddress, error: &io::Error) -> String {
    let remedy = match (error.kind(), address) {
        (io::ErrorKind::AddrInUse, ListenAddress::Inet(_)) => {
            "another program listens there; stop it (ss -ltnp names it), or listen to another address"
        }
        (io::ErrorKind::AddrInUse, ListenAddress::Unix(_)) => {
            "another program listens there, or the file is no socket; remove it, or listen to another path"
        }
        (io::ErrorKind::PermissionDenied, ListenAddress::Inet(_)) => {
            "ports below 1024 need the capability CAP_NET_BIND_SERVICE; give it, or choose a higher port"
        }
        (io::ErrorKind::PermissionDenied, ListenAddress::Unix(_)) => {
            "the directory cannot be written to; change its permissions, or choose another"
        }
        (io::ErrorKind::AddrNotAvailable, _) => "no interface of this machine has this address (ip address shows them)",
        (io::ErrorKind::NotFound, _) => "the directory does not exist; make it, or choose another",
        _ => return format!("cannot listen to {address}: {error}"),
    };
    format!("cannot listen to {address}: {remedy}")
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn inet(address: SocketAddr) -> Vec<ListenAddress> {
        vec![ListenAddress::Inet(address)]
    }

    #[test]
    fn a_port_in_use_is_explained() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap();
        let error = open(&inet(address), Vec::new()).unwrap_err();
        assert_eq!(
            error,
            format!(
                "cannot listen to {address}: another program listens there; stop it (ss -ltnp names it), or listen \
                 to another address"
            )
        );
        drop(other);
        // A port that was let go may be given to another test meanwhile.
        let is_free_again = || {
            let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap();
            open(&inet(address), Vec::new()).is_ok_and(|doors| doors[0].url() == format!("http://{address}"))
        };
        assert!((0..20).any(|_| is_free_again()));
    }

    #[test]
    fn port_zero_becomes_a_port() {
        let doors = open(&inet("127.0.0.1:0".parse().unwrap()), Vec::new()).unwrap();
        assert!(matches!(doors[0].place, Place::Port(address) if address.port() != 0));
    }

    #[test]
    fn an_address_of_another_machine_is_explained() {
        let error = open(&inet("192.0.2.1:80".parse().unwrap()), Vec::new()).unwrap_err();
        assert!(error.contains("no interface of this machine has this address"), "{error}");
    }

    #[test]
    fn the_socket_of_a_dead_server_is_replaced_and_that_of_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("afpa.sock");
        let listen = [ListenAddress::Unix(path.clone())];
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a dead server leaves its file");
        let doors = open(&listen, Vec::new()).unwrap();
        assert!(UnixStream::connect(&path).is_ok());
        let error = open(&listen, Vec::new()).unwrap_err();
        assert!(error.contains("another program listens there"), "{error}");
        drop(doors);
        assert!(!path.exists());
        std::fs::write(&path, "precious").unwrap();
        assert!(open(&listen, Vec::new()).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }
}
