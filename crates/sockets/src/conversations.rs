//! Conversations: datagram sockets with one peer, seen as connections. They share the connections' slots
//! and phases; here is what differs.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use afpa_engine::seam::{ConnectionId, Events, Owner};
use afpa_platform::gather::Gather;
use afpa_platform::socket::send_spans;
use rustix::io::Errno;

use crate::address::start_conversing;
use crate::connection::Phase;
use crate::table::Table;
use crate::transmit::Progress;

impl Table {
    /// As [`Calls::converse`](afpa_engine::Calls::converse). `connected` is raised when the driver looks at it.
    ///
    /// # Errors
    /// There can be no such socket, or the limit on connections is reached.
    pub(crate) fn open_conversation(&mut self, to: SocketAddr, owner: Owner) -> io::Result<ConnectionId> {
        self.check_room()?;
        let (socket, started) = start_conversing(to)?;
        let index = self.insert(socket, owner, Phase::Connecting);
        self.connection(index).is_conversation = true;
        match started {
            Ok(()) => self.touch(index),
            Err(error) => self.failed(index, &error),
        }
        Ok(self.id_of(index))
    }

    /// A datagram arrived; an empty one says nothing, least of all FIN.
    pub(crate) fn heard(&mut self, index: u32, bytes: &[u8], events: &mut dyn Events) {
        if !bytes.is_empty() {
            self.arrived(index, bytes, false, events);
        }
    }

    /// Sends the gather in front as one datagram, without waiting. `sent` is raised later.
    ///
    /// # Errors
    /// The peer refused an earlier one, or there is no way to it.
    pub(crate) fn transmit_datagram(&mut self, index: u32) -> io::Result<Progress> {
        let connection = self.connection(index);
        let (Some(socket), Some(gather)) = (&connection.socket, connection.outgoing.front()) else {
            return Ok(Progress::Done);
        };
        let length = gather.remaining();
        let is_sent = match send_whole(socket, gather) {
            Ok(()) => true,
            Err(Errno::AGAIN) => return Ok(Progress::Blocked),
            Err(error) if is_loss(error) => false,
            Err(error) => return Err(error.into()),
        };
        if let Some(gather) = connection.outgoing.pop_front() {
            self.recycle(gather);
        }
        if !is_sent {
            self.stats.datagrams_lost.increment();
        }
        self.taken(index, length);
        Ok(Progress::Done)
    }
}

/// Whether an error is of one datagram only, and says nothing of the peer.
pub(crate) fn is_loss(error: Errno) -> bool {
    matches!(error, Errno::AGAIN | Errno::CANCELED | Errno::INTR | Errno::MSGSIZE | Errno::NOBUFS | Errno::NOMEM)
}

fn send_whole(socket: &OwnedFd, gather: &Gather) -> rustix::io::Result<()> {
    loop {
        match send_spans(socket.as_fd(), gather.memory(), 0) {
            Err(Errno::INTR) => {}
            result => return result.map(drop),
        }
    }
}
