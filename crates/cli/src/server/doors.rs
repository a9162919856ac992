//! Where clients come in: ports that each engine opens for itself, and sockets that all share.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::net::sockopt::{set_socket_reuseaddr, socket_acceptconn, socket_type};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with};

use crate::systemd::Inherited;
use crate::units::ListenAddress;
use crate::upgrade::{Handed, Role};

/// What is served through a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    /// The site, over streams.
    Http,
    /// DNS, over datagrams and streams alike.
    Dns,
}

impl Service {
    fn role(self) -> Role {
        match self {
            Service::Http => Role::Http,
            Service::Dns => Role::Dns,
        }
    }
}

/// One way in for clients.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) service: Service,
    /// As it was configured, which may leave the port to the system.
    pub(super) asked: ListenAddress,
    pub(super) place: Place,
}

/// Where a door is.
#[derive(Debug)]
pub(super) enum Place {
    /// Each engine listens to this port on a socket of its own (SO_REUSEPORT).
    Port(SocketAddr),
    /// The same, on sockets that a predecessor's engines had: each of ours has its [share](share).
    Adopted { address: SocketAddr, streams: Vec<OwnedFd>, datagrams: Vec<OwnedFd> },
    /// An address that the kernel does not have: the direct transport alone listens to it.
    Host(SocketAddr),
    /// One socket, duplicated for each engine.
    Shared {
        socket: OwnedFd,
        address: ListenAddress,
        /// The file that is ours to remove; none if the service manager made the socket.
        file: Option<SocketFile>,
    },
}

impl Door {
    pub(super) fn address(&self) -> ListenAddress {
        match &self.place {
            Place::Port(address) | Place::Host(address) | Place::Adopted { address, .. } => {
                ListenAddress::Inet(*address)
            }
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

    /// Whether the file of a Unix socket is removed with this server, or is another's by now.
    pub(super) fn own_file(&self, is_ours: bool) {
        if let Place::Shared { file: Some(file), .. } = &self.place {
            file.is_ours.store(is_ours, Relaxed);
        }
    }

    /// Duplicates of its sockets, for a successor; `of_engines` are those that engines opened themselves.
    ///
    /// # Errors
    /// No descriptor is left, or the direct transport has no sockets.
    pub(super) fn hand_over(&self, number: u16, of_engines: &[OwnedFd]) -> io::Result<Vec<Handed>> {
        let (sockets, role): (Vec<&OwnedFd>, _) = match &self.place {
            Place::Port(_) => (of_engines.iter().collect(), self.service.role()),
            Place::Adopted { streams, datagrams, .. } => {
                (streams.iter().chain(datagrams).collect(), self.service.role())
            }
            Place::Shared { socket, file: None, .. } => (vec![socket], Role::Passed),
            Place::Shared { socket, .. } => (vec![socket], self.service.role()),
            Place::Host(address) => return Err(io::Error::other(format!("{address} is no socket"))),
        };
        // Where the manager's sockets are, they know themselves.
        let asked = match role {
            Role::Passed => ListenAddress::Inet((Ipv4Addr::UNSPECIFIED, 0).into()),
            _ => self.asked.clone(),
        };
        let duplicate =
            |socket: &OwnedFd| Ok(Handed { role, door: number, asked: asked.clone(), socket: socket.try_clone()? });
        sockets.into_iter().map(duplicate).collect()
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

/// Opens every address, or takes the service manager's sockets in their place. Takes what was handed over for the same
/// address.
///
/// # Errors
/// An address cannot be listened to: a sentence with the remedy.
pub(super) fn open(
    listen: &[ListenAddress],
    inherited: Vec<Inherited>,
    handed: &mut Vec<Handed>,
) -> Result<Vec<Door>, String> {
    if !inherited.is_empty() {
        let shared = |passed: Inherited| Door {
            service: Service::Http,
            asked: passed.address.clone(),
            place: Place::Shared { socket: passed.socket, address: passed.address, file: None },
        };
        return Ok(inherited.into_iter().map(shared).collect());
    }
    let door = |address: &ListenAddress| match adopt(handed, Service::Http, address) {
        Some(door) => Ok(door),
        None => open_one(address).map_err(|error| explain(address, &error)),
    };
    listen.iter().map(door).collect()
}

/// Reserves every address for DNS: its port for datagrams and for streams.
///
/// # Errors
/// An address cannot be listened to: a sentence with the remedy.
pub(super) fn open_dns(listen: &[SocketAddr], handed: &mut Vec<Handed>) -> Result<Vec<Door>, String> {
    let door = |address: &SocketAddr| {
        let asked = ListenAddress::Inet(*address);
        if let Some(door) = adopt(handed, Service::Dns, &asked) {
            return Ok(door);
        }
        let place = reserve_both(*address).map(Place::Port);
        let place = place.map_err(|error| explain(&asked, &error))?;
        Ok(Door { service: Service::Dns, asked, place })
    };
    listen.iter().map(door).collect()
}

/// The doors of a host of our own, where the kernel has nothing to open.
///
/// # Errors
/// An address is a path, or has no port.
pub(super) fn of_host(service: Service, listen: &[ListenAddress]) -> Result<Vec<Door>, String> {
    let door = |address: &ListenAddress| match address {
        ListenAddress::Inet(inet) if inet.port() != 0 => {
            Ok(Door { service, asked: address.clone(), place: Place::Host(*inet) })
        }
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
            let file = SocketFile::at(path, true)?;
            Place::Shared { socket: listener.into(), address: address.clone(), file: Some(file) }
        }
    };
    Ok(Door { service: Service::Http, asked: address.clone(), place })
}

/// Makes a door of what was handed over for an address, if that is something that can be listened to.
fn adopt(handed: &mut Vec<Handed>, service: Service, asked: &ListenAddress) -> Option<Door> {
    let sockets = claim(handed, service.role(), asked);
    let (mut streams, mut datagrams) = (Vec::new(), Vec::new());
    for socket in sockets {
        match socket_type(&socket) {
            Ok(SocketType::STREAM) if socket_acceptconn(&socket) == Ok(true) => streams.push(socket),
            Ok(SocketType::DGRAM) => datagrams.push(socket),
            _ => {}
        }
    }
    let first = streams.first()?;
    let place = match asked {
        ListenAddress::Inet(_) => {
            let address = SocketAddr::try_from(getsockname(first).ok()?).ok()?;
            Place::Adopted { address, streams, datagrams }
        }
        ListenAddress::Unix(path) => {
            let file = SocketFile::at(path, false).ok()?;
            Place::Shared { socket: streams.pop()?, address: asked.clone(), file: Some(file) }
        }
    };
    Some(Door { service, asked: asked.clone(), place })
}

/// Takes out what belongs to the first door of its kind at an address.
pub(super) fn claim(handed: &mut Vec<Handed>, role: Role, asked: &ListenAddress) -> Vec<OwnedFd> {
    let is_meant = |handed: &&Handed| handed.role == role && handed.asked == *asked;
    let Some(door) = handed.iter().find(is_meant).map(|handed| handed.door) else { return Vec::new() };
    handed.extract_if(.., |handed| handed.role == role && handed.door == door).map(|handed| handed.socket).collect()
}

/// The sockets of one engine, when each socket shall have an engine, and each engine a socket.
pub(super) fn share(sockets: &[OwnedFd], engine: usize, engines: usize) -> impl Iterator<Item = &OwnedFd> {
    let sole = engine.checked_rem(sockets.len());
    let belongs = move |index: usize| index % engines == engine || sole == Some(index);
    sockets.iter().enumerate().filter(move |(index, _)| belongs(*index)).map(|(_, socket)| socket)
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
    /// False while another server has it as well, which answers for it.
    is_ours: AtomicBool,
}

impl SocketFile {
    fn at(path: &Path, is_ours: bool) -> io::Result<SocketFile> {
        Ok(SocketFile { path: path.to_owned(), identity: identity(path)?, is_ours: AtomicBool::new(is_ours) })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_ours.load(Relaxed) && identity(&self.path).is_ok_and(|found| found == self.identity) {
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
    use std::os::fd::AsRawFd;

    use super::*;

    fn inet(address: SocketAddr) -> Vec<ListenAddress> {
        vec![ListenAddress::Inet(address)]
    }

    #[test]
    fn a_port_in_use_is_explained() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap();
        let error = open(&inet(address), Vec::new(), &mut Vec::new()).unwrap_err();
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
            open(&inet(address), Vec::new(), &mut Vec::new())
                .is_ok_and(|doors| doors[0].url() == format!("http://{address}"))
        };
        assert!((0..20).any(|_| is_free_again()));
    }

    #[test]
    fn port_zero_becomes_a_port() {
        let doors = open(&inet("127.0.0.1:0".parse().unwrap()), Vec::new(), &mut Vec::new()).unwrap();
        assert!(matches!(doors[0].place, Place::Port(address) if address.port() != 0));
    }

    #[test]
    fn an_address_of_another_machine_is_explained() {
        let error = open(&inet("192.0.2.1:80".parse().unwrap()), Vec::new(), &mut Vec::new()).unwrap_err();
        assert!(error.contains("no interface of this machine has this address"), "{error}");
    }

    #[test]
    fn the_socket_of_a_dead_server_is_replaced_and_that_of_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("afpa.sock");
        let listen = [ListenAddress::Unix(path.clone())];
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a dead server leaves its file");
        let doors = open(&listen, Vec::new(), &mut Vec::new()).unwrap();
        assert!(UnixStream::connect(&path).is_ok());
        let error = open(&listen, Vec::new(), &mut Vec::new()).unwrap_err();
        assert!(error.contains("another program listens there"), "{error}");
        drop(doors);
        assert!(!path.exists());
        std::fs::write(&path, "precious").unwrap();
        assert!(open(&listen, Vec::new(), &mut Vec::new()).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn every_socket_has_an_engine_and_every_engine_a_socket() {
        for (sockets, engines) in [(1, 1), (1, 4), (2, 3), (3, 2), (4, 4), (5, 2), (7, 3)] {
            let opened: Vec<OwnedFd> = (0..sockets).map(|_| std::fs::File::open("/dev/null").unwrap().into()).collect();
            let taken = |engine| -> Vec<_> { share(&opened, engine, engines).map(AsRawFd::as_raw_fd).collect() };
            let all: Vec<_> = (0..engines).map(taken).collect();
            assert!(all.iter().all(|taken| !taken.is_empty()), "{sockets} sockets, {engines} engines: {all:?}");
            let served: std::collections::BTreeSet<_> = all.iter().flatten().collect();
            assert_eq!(served.len(), sockets, "{sockets} sockets, {engines} engines: {all:?}");
        }
        assert_eq!(share(&[], 0, 2).count(), 0);
    }

    #[test]
    fn what_was_handed_over_for_an_address_is_taken_once() {
        let listener = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
        let asked: ListenAddress = "127.0.0.1:0".parse().unwrap();
        let one = |door, asked: &ListenAddress, socket| Handed { role: Role::Http, door, asked: asked.clone(), socket };
        let file = std::fs::File::open("/dev/null").unwrap().into();
        let mut handed = vec![
            one(0, &asked, listener()),
            one(1, &asked, listener()),
            one(1, &asked, listener()),
            one(2, &"127.0.0.1:1".parse().unwrap(), file),
        ];
        let sockets = |door: Door| match door.place {
            Place::Adopted { streams, .. } => streams.len(),
            _ => 0,
        };
        assert_eq!(adopt(&mut handed, Service::Http, &asked).map(sockets), Some(1));
        assert!(adopt(&mut handed, Service::Dns, &asked).is_none(), "of another service");
        assert_eq!(adopt(&mut handed, Service::Http, &asked).map(sockets), Some(2));
        assert!(adopt(&mut handed, Service::Http, &asked).is_none());
        assert!(adopt(&mut handed, Service::Http, &"127.0.0.1:1".parse().unwrap()).is_none(), "no socket at all");
    }

    #[test]
    fn the_file_of_a_socket_that_two_servers_have_is_removed_by_neither_unless_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("afpa.sock");
        let asked = ListenAddress::Unix(path.clone());
        let first = open(std::slice::from_ref(&asked), Vec::new(), &mut Vec::new()).unwrap();
        let handed = || first[0].hand_over(0, &[]).unwrap();
        drop(adopt(&mut handed(), Service::Http, &asked).unwrap());
        assert!(path.exists(), "a successor that failed");
        let second = adopt(&mut handed(), Service::Http, &asked).unwrap();
        first[0].own_file(false);
        second.own_file(true);
        drop(first);
        assert!(UnixStream::connect(&path).is_ok());
        drop(second);
        assert!(!path.exists());
    }
}
