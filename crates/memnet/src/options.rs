//! What a socket is to be like, before it is the server's.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};

/// Options of a listener, whose connections have them, too, or of a connection that is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// The address may still be in use by connections of a former listener (SO_REUSEADDR).
    pub reuse_address: bool,
    /// Several listeners share the address (SO_REUSEPORT).
    pub reuse_port: bool,
    /// An IPv6 listener has no clients by IPv4 (IPV6_V6ONLY).
    pub only_v6: bool,
    /// Small segments wait for nothing (TCP_NODELAY).
    pub no_delay: bool,
    /// A peer that is silent for long is asked whether it is there (SO_KEEPALIVE).
    pub keep_alive: bool,
    /// Connections that may wait to be accepted.
    pub backlog: u32,
    /// The address of this end of a connection that is opened.
    pub from: Option<SocketAddr>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            reuse_address: true,
            reuse_port: false,
            only_v6: false,
            no_delay: true,
            keep_alive: false,
            backlog: 4096,
            from: None,
        }
    }
}

impl Options {
    /// The socket that the server takes over: bound to `address` if it listens.
    pub(crate) fn open(&self, address: SocketAddr, listens: bool) -> io::Result<OwnedFd> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        sockopt::set_socket_reuseaddr(&socket, self.reuse_address && listens)?;
        sockopt::set_socket_reuseport(&socket, self.reuse_port)?;
        sockopt::set_tcp_nodelay(&socket, self.no_delay)?;
        sockopt::set_socket_keepalive(&socket, self.keep_alive)?;
        if address.is_ipv6() {
            sockopt::set_ipv6_v6only(&socket, self.only_v6)?;
        }
        if let Some(own) = if listens { Some(address) } else { self.from } {
            bind(&socket, &own)?;
        }
        Ok(socket)
    }
}
