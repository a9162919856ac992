//! Addresses and sockets.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;

use afpa_engine::seam::Address;
use rustix::net::SocketAddrAny;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Connections that the kernel completes before we accept them.
const BACKLOG: i32 = 4096;

/// A listening stream socket, for one engine among several.
pub(crate) fn listen(to: &Address) -> io::Result<OwnedFd> {
    let (socket, address) = match to {
        Address::Inet(address) => {
            let socket = Socket::new(Domain::for_address(*address), Type::STREAM, Some(Protocol::TCP))?;
            socket.set_reuse_address(true)?;
            socket.set_reuse_port(true)?;
            if address.is_ipv6() {
                socket.set_only_v6(true)?;
            }
            // Inherited by the connections, which saves a system call for each.
            socket.set_tcp_nodelay(true)?;
            (socket, SockAddr::from(*address))
        }
        Address::Unix(path) => (Socket::new(Domain::UNIX, Type::STREAM, None)?, SockAddr::unix(path)?),
    };
    socket.bind(&address)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A datagram socket, for one engine among several.
pub(crate) fn listen_datagram(to: std::net::SocketAddr) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::for_address(to), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_port(true)?;
    if to.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&to.into())?;
    Ok(socket.into())
}

/// A stream socket on its way to `to`: writable, or in error, when it has arrived. Non-blocking.
pub(crate) fn connect(to: &Address) -> io::Result<OwnedFd> {
    let (socket, address) = match to {
        Address::Inet(address) => {
            let socket = Socket::new(Domain::for_address(*address), Type::STREAM, Some(Protocol::TCP))?;
            socket.set_tcp_nodelay(true)?;
            (socket, SockAddr::from(*address))
        }
        Address::Unix(path) => (Socket::new(Domain::UNIX, Type::STREAM, None)?, SockAddr::unix(path)?),
    };
    socket.set_nonblocking(true)?;
    match socket.connect(&address) {
        Err(error) if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => Err(error),
        _ => Ok(socket.into()),
    }
}

/// The other end of a connection.
pub(crate) fn peer(socket: BorrowedFd<'_>) -> Option<Address> {
    any(rustix::net::getpeername(socket).ok()??)
}

/// Our end of a socket.
pub(crate) fn local(socket: BorrowedFd<'_>) -> Option<Address> {
    any(rustix::net::getsockname(socket).ok()?)
}

fn any(address: SocketAddrAny) -> Option<Address> {
    if let Ok(inet) = std::net::SocketAddr::try_from(address.clone()) {
        return Some(Address::Inet(inet));
    }
    let unix = rustix::net::SocketAddrUnix::try_from(address).ok()?;
    let path = unix.path_bytes().unwrap_or_default();
    Some(Address::Unix(PathBuf::from(std::ffi::OsStr::new(std::str::from_utf8(path).unwrap_or_default()))))
}
