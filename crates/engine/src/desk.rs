//! What a module can ask of its engine outside of the connection at hand.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use crate::engine::Services;
use crate::seam::{Address, ConnectionId, Owner, Time};

/// Names a connection or exchange of any module of the engine, so that it can be woken.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Notice {
    pub(crate) connection: ConnectionId,
    pub(crate) owner: Owner,
}

impl Notice {
    /// The module whose connection or exchange it is.
    pub fn owner(self) -> Owner {
        self.owner
    }
}

/// What is to be opened.
#[derive(Debug)]
pub enum Open {
    /// A connection.
    Stream(Address),
    /// A connection, with a socket that was made for it: see [`Calls::connect_with`](crate::Calls::connect_with).
    With {
        /// A stream socket.
        socket: OwnedFd,
        /// Where to.
        to: Address,
    },
    /// A connection that there is: see [`Calls::take_over`](crate::Calls::take_over).
    TakeOver {
        /// A connected stream socket.
        socket: OwnedFd,
        /// What was read from it.
        octets: Vec<u8>,
    },
    /// A conversation: datagrams with one peer.
    Conversation(SocketAddr),
    /// An exchange that answers to nobody: work of the module's own, with deadlines and workers.
    Work,
}

/// Something to be opened, when no event is being handled.
pub(crate) struct Opening {
    pub(crate) what: Open,
    pub(crate) owner: Owner,
    pub(crate) tag: u64,
}

/// The engine, as a module's hooks reach it.
pub struct Desk<'a> {
    pub(crate) services: &'a mut Services,
    pub(crate) owner: Owner,
}

impl Desk<'_> {
    /// The time at which this pass of the loop started.
    pub fn now(&self) -> Time {
        self.services.now
    }

    /// The module's own name, for whoever opens connections on its behalf.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// As [`Context::notify`](crate::Context::notify).
    pub fn notify(&mut self, notice: Notice) {
        self.services.notify(notice);
    }

    /// As [`Context::open`](crate::Context::open).
    pub fn open(&mut self, what: Open, owner: Owner, tag: u64) {
        self.services.open(Opening { what, owner, tag });
    }
}
