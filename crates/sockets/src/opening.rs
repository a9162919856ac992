//! Connections that are not accepted: those that we open, and those that others have opened or prepared.

use std::io;
use std::os::fd::OwnedFd;

use afpa_engine::ConnectionId;
use afpa_engine::seam::{Address, Calls, Disconnect, Owner};
use rustix::io::ioctl_fionbio;
use rustix::net::SocketType;
use rustix::net::sockopt::socket_type;

use crate::address::{connect_to, peer_address, start_connecting};
use crate::connection::Phase;
use crate::table::Table;

impl Table {
    /// As [`Calls::connect`].
    ///
    /// # Errors
    /// There can be no such socket, or the limit on connections is reached.
    pub(crate) fn open(&mut self, to: &Address, owner: Owner) -> io::Result<ConnectionId> {
        self.check_room()?;
        let (socket, started) = start_connecting(to, self.keep_alive)?;
        Ok(self.await_answer(socket, started, owner))
    }

    /// As [`Calls::connect_with`].
    ///
    /// # Errors
    /// The socket cannot be connected to such an address, or the limit on connections is reached.
    pub(crate) fn open_with(&mut self, socket: OwnedFd, to: &Address, owner: Owner) -> io::Result<ConnectionId> {
        self.check_room()?;
        check_stream(&socket)?;
        // It is writable when it is known whether the connection was made.
        ioctl_fionbio(&socket, true)?;
        let started = connect_to(&socket, to);
        match started {
            Err(error) if !is_answer(&error) => Err(error),
            started => {
                let id = self.await_answer(socket, started, owner);
                self.connection(id.index()).is_shared = true;
                Ok(id)
            }
        }
    }

    /// As [`Calls::take_over`]. `connected` is raised when the driver looks at it, and then the octets are shown.
    ///
    /// # Errors
    /// It is no connected stream socket, or the limit on connections is reached.
    pub(crate) fn take_in(&mut self, socket: OwnedFd, owner: Owner, octets: Vec<u8>) -> io::Result<ConnectionId> {
        self.check_room()?;
        check_stream(&socket)?;
        if peer_address(&socket).is_none() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        // A ring waits only for sockets that block.
        ioctl_fionbio(&socket, !self.waits)?;
        let index = self.insert(socket, owner, Phase::Connecting);
        let connection = self.connection(index);
        (connection.is_made, connection.seasoned) = (true, true);
        connection.unread = octets.into();
        self.touch(index);
        let id = self.id_of(index);
        if !self.connection(index).unread.is_empty() {
            self.resume(id);
        }
        Ok(id)
    }

    fn await_answer(&mut self, socket: OwnedFd, started: io::Result<()>, owner: Owner) -> ConnectionId {
        let index = self.insert(socket, owner, Phase::Connecting);
        match started {
            Ok(()) => self.touch(index),
            Err(error) => self.failed(index, &error),
        }
        self.id_of(index)
    }
}

/// What a connection that was not made has come to.
pub(crate) fn refusal(error: &io::Error) -> Disconnect {
    match error.kind() {
        io::ErrorKind::TimedOut => Disconnect::TimedOut,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => {
            Disconnect::Unreachable
        }
        _ => Disconnect::Refused,
    }
}

/// Whether an error is the network's answer, and not one to the caller.
fn is_answer(error: &io::Error) -> bool {
    refusal(error) != Disconnect::Refused
        || matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset)
}

fn check_stream(socket: &OwnedFd) -> io::Result<()> {
    match socket_type(socket)? {
        SocketType::STREAM => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a stream socket")),
    }
}
