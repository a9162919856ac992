//! Sockets by address: making them, and asking them where they are.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use afpa_engine::seam::Address;
use afpa_platform::socket::defer_accept;
use rustix::net::sockopt::{
    set_ipv6_v6only, set_socket_keepalive, set_socket_recv_buffer_size, set_socket_reuseaddr, set_socket_reuseport,
    set_tcp_keepcnt, set_tcp_keepidle, set_tcp_keepintvl, set_tcp_nodelay,
};
use rustix::net::{
    AddressFamily, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType, bind, connect, getpeername, getsockname,
    listen, socket_with,
};

/// Octets that a datagram socket is to hold until they are read, bookkeeping included.
const DATAGRAM_QUEUE: usize = 4 << 20;

/// A stream socket that listens.
///
/// # Errors
/// The address cannot be listened to; the error names it.
pub(crate) fn listen_to(address: &Address, backlog: u16, peer_speaks_first: bool) -> io::Result<OwnedFd> {
    let open = || match address {
        Address::Inet(inet) => {
            let socket = stream_socket(family(inet), SocketFlags::empty())?;
            set_socket_reuseaddr(&socket, true)?;
            // One listener per engine, between which the kernel spreads the connections.
            set_socket_reuseport(&socket, true)?;
            if inet.is_ipv6() {
                // `[::]` and `0.0.0.0` are two addresses, and may both be listened to.
                set_ipv6_v6only(&socket, true)?;
            }
            if peer_speaks_first {
                // Where the kernel does not know it, connections are accepted a moment earlier.
                let _ = defer_accept(socket.as_fd());
            }
            bind(&socket, inet)?;
            Ok(socket)
        }
        Address::Unix(path) => {
            let socket = stream_socket(AddressFamily::UNIX, SocketFlags::empty())?;
            bind(&socket, &SocketAddrUnix::new(path)?)?;
            Ok(socket)
        }
    };
    let listening = open().and_then(|socket: OwnedFd| listen(&socket, i32::from(backlog)).map(|()| socket));
    listening.map_err(|error: rustix::io::Errno| named(address, error.into()))
}

/// A datagram socket bound to `address`.
///
/// # Errors
/// The address cannot be bound; the error names it.
pub(crate) fn bind_datagram(address: &SocketAddr) -> io::Result<OwnedFd> {
    let open = || {
        let socket = socket_with(family(address), SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        set_socket_reuseport(&socket, true)?;
        if address.is_ipv6() {
            set_ipv6_v6only(&socket, true)?;
        }
        bind(&socket, address)?;
        Ok(socket)
    };
    open().map_err(|error: rustix::io::Errno| named(&Address::Inet(*address), error.into()))
}

/// Lets a burst of datagrams wait until the engine comes to it. The kernel gives what it may.
pub(crate) fn widen(datagrams: impl AsFd) {
    let _ = set_socket_recv_buffer_size(datagrams, DATAGRAM_QUEUE);
}

/// Has TCP ask whether a silent peer is there, in whole seconds.
fn ask_the_silent(socket: &OwnedFd, keep_alive: Duration) -> rustix::io::Result<()> {
    let interval = Duration::from_secs(keep_alive.as_secs().clamp(1, 32_767));
    set_socket_keepalive(socket, true)?;
    set_tcp_keepidle(socket, interval)?;
    set_tcp_keepintvl(socket, interval)?;
    set_tcp_keepcnt(socket, 3)
}

/// Starts opening a connection. The socket does not block; it is writable when it is known whether
/// the connection was made. The second value is an error that is known at once.
///
/// # Errors
/// There can be no such socket.
pub(crate) fn start_connecting(to: &Address, keep_alive: Duration) -> io::Result<(OwnedFd, io::Result<()>)> {
    let socket = match to {
        Address::Inet(inet) => {
            let socket = stream_socket(family(inet), SocketFlags::NONBLOCK)?;
            if !keep_alive.is_zero() {
                ask_the_silent(&socket, keep_alive)?;
            }
            socket
        }
        Address::Unix(path) => {
            SocketAddrUnix::new(path)?;
            stream_socket(AddressFamily::UNIX, SocketFlags::NONBLOCK)?
        }
    };
    let started = connect_to(&socket, to);
    Ok((socket, started))
}

/// Starts connecting a socket that does not block.
///
/// # Errors
/// What is known at once.
pub(crate) fn connect_to(socket: &OwnedFd, to: &Address) -> io::Result<()> {
    let started = match to {
        Address::Inet(inet) => connect(socket, inet),
        Address::Unix(path) => connect(socket, &SocketAddrUnix::new(path)?),
    };
    match started {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A datagram socket with a port of its own, chosen at random by the kernel, that hears `to` alone. The second
/// value is an error that is known at once.
///
/// # Errors
/// There can be no such socket.
pub(crate) fn start_conversing(to: SocketAddr) -> io::Result<(OwnedFd, io::Result<()>)> {
    let socket = socket_with(family(&to), SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let started = connect(&socket, &to).map_err(io::Error::from);
    Ok((socket, started))
}

/// Where a socket is bound.
///
/// # Errors
/// It is neither an Internet nor a Unix socket.
pub(crate) fn local_address(socket: impl AsFd) -> io::Result<Address> {
    address(getsockname(socket)?)
}

/// The other end of a connected socket.
pub(crate) fn peer_address(socket: impl AsFd) -> Option<Address> {
    getpeername(socket).ok().flatten().and_then(|any| address(any).ok())
}

fn stream_socket(family: AddressFamily, flags: SocketFlags) -> rustix::io::Result<OwnedFd> {
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | flags, None)?;
    if family != AddressFamily::UNIX {
        // What belongs together leaves in one call; nothing is gained by waiting for more. Accepted
        // sockets inherit it.
        set_tcp_nodelay(&socket, true)?;
    }
    Ok(socket)
}

fn family(address: &SocketAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 }
}

fn address(any: SocketAddrAny) -> io::Result<Address> {
    if any.address_family() == AddressFamily::UNIX {
        let unix = SocketAddrUnix::try_from(any)?;
        let path = unix.path_bytes().unwrap_or_default();
        return Ok(Address::Unix(PathBuf::from(std::ffi::OsStr::from_bytes(path))));
    }
    Ok(Address::Inet(SocketAddr::try_from(any)?))
}

fn named(address: &Address, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{address}: {error}"))
}
