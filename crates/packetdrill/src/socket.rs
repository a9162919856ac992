//! What a socket call sees of a connection.

use std::collections::VecDeque;
use std::net::SocketAddr;

use afpa_tcp::{Ending, Handle};

use crate::errno::Errno;

/// A socket, with or without a descriptor: an accepted one gets its own with `accept`.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) is_v6: bool,
    pub(crate) is_nonblocking: bool,
    pub(crate) bound: Option<SocketAddr>,
    pub(crate) role: Role,
    /// Whether `close` resets (`SO_LINGER` with zero seconds).
    pub(crate) aborts: bool,
    /// Whether the caller shut the receiving half down.
    pub(crate) is_deaf: bool,
    /// The most octets queued for the peer, where `SO_SNDBUF` said so.
    pub(crate) send_limit: Option<usize>,
}

/// What a socket has become.
#[derive(Debug)]
pub(crate) enum Role {
    Fresh,
    /// Connections that wait for `accept`, the oldest first; at most `backlog`.
    Listening {
        queue: VecDeque<u32>,
        backlog: usize,
    },
    Connected(Connection),
}

/// A connection, as far as TCP has told.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) handle: Handle,
    pub(crate) is_established: bool,
    pub(crate) is_finished: bool,
    pub(crate) has_shut_down: bool,
    pub(crate) ended: Option<Ending>,
    /// What the next call fails with, once.
    pub(crate) error: Option<Errno>,
}

impl Socket {
    pub(crate) fn new(is_v6: bool, is_nonblocking: bool) -> Socket {
        Socket {
            is_v6,
            is_nonblocking,
            bound: None,
            role: Role::Fresh,
            aborts: false,
            is_deaf: false,
            send_limit: None,
        }
    }

    pub(crate) fn connection(&self) -> Option<&Connection> {
        match &self.role {
            Role::Connected(connection) => Some(connection),
            _ => None,
        }
    }

    pub(crate) fn connection_mut(&mut self) -> Option<&mut Connection> {
        match &mut self.role {
            Role::Connected(connection) => Some(connection),
            _ => None,
        }
    }
}

impl Connection {
    pub(crate) fn new(handle: Handle, is_established: bool) -> Connection {
        Connection { handle, is_established, is_finished: false, has_shut_down: false, ended: None, error: None }
    }

    /// Remembers why it is over.
    pub(crate) fn end(&mut self, ending: Ending) {
        self.ended = Some(ending);
        self.is_finished = true;
        self.error = match ending {
            Ending::Closed => None,
            Ending::Reset if self.is_established => Some(Errno::RESET),
            Ending::Reset | Ending::Refused => Some(Errno::REFUSED),
            Ending::TimedOut => Some(Errno::TIMED_OUT),
        };
    }
}
