//! Connections that are given away: to whoever goes on with the peer instead.

use std::os::fd::OwnedFd;

use afpa_engine::seam::{Calls, ConnectionId, Events, Released};
use rustix::io::ioctl_fionbio;

use crate::connection::{Connection, Finish, Phase};
use crate::table::Table;

impl Connection {
    /// Whether it may be given away: as the peer knows it, and with nothing promised that only we could keep.
    pub(crate) fn may_be_released(&self) -> bool {
        let is_ours = !self.is_conversation && !self.has_sender && self.socket.is_some();
        self.phase == Phase::Open && self.finish == Finish::No && is_ours
    }

    /// Whether everything was sent, and nothing uses the socket any more.
    pub(crate) fn is_released(&self) -> bool {
        self.phase == Phase::Releasing && self.outgoing.is_empty() && !self.is_busy()
    }
}

impl Table {
    /// As [`Calls::release`]: the driver sends what is queued, and ends its receive.
    pub(crate) fn start_release(&mut self, connection: ConnectionId) -> bool {
        let is_granted = self.can_release(connection);
        if is_granted {
            let index = connection.index();
            self.connection(index).phase = Phase::Releasing;
            self.touch(index);
        }
        is_granted
    }

    /// Gives a connection away that the driver does not know any more.
    pub(crate) fn give_away(&mut self, index: u32, events: &mut dyn Events) {
        let (id, owner) = (self.id_of(index), self.connection(index).owner);
        self.report(index, events);
        // What that event led to comes first.
        if !self.connection(index).is_released() {
            return self.touch(index);
        }
        let Some(socket) = self.connection(index).socket.take() else { return };
        if let Err(error) = make_impatient(&socket) {
            self.connection(index).socket = Some(socket);
            return self.failed(index, &error.into());
        }
        let octets = std::mem::take(&mut self.connection(index).unread).into_octets();
        self.vacate(index);
        events.released(self, id, owner, Released { socket, octets });
    }
}

/// One mode for all who get a socket, whichever driver it comes from.
fn make_impatient(socket: &OwnedFd) -> rustix::io::Result<()> {
    ioctl_fionbio(socket, true)
}
