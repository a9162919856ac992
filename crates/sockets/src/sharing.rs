//! Connections whose sockets others have as well: that they are closed here ends nothing.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use afpa_engine::seam::ConnectionId;
use rustix::io::ioctl_fionbio;
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{Shutdown, connect_unspec, shutdown};

use crate::table::Table;

impl Table {
    /// As [`Calls::share`](afpa_engine::seam::Calls::share).
    pub(crate) fn start_to_share(&mut self, id: ConnectionId) -> Option<BorrowedFd<'_>> {
        let index = self.find_live(id)?;
        let waits = self.waits;
        let connection = self.connection(index);
        let socket = connection.socket.as_ref().filter(|_| !connection.is_conversation)?;
        if !connection.has_sender {
            if !waits {
                ioctl_fionbio(socket, false).ok()?;
            }
            (connection.is_shared, connection.has_sender) = (true, true);
            // A receive that is begun now, and goes on, outlives the day when others set the socket's mode.
            connection.seasoned = true;
        }
        connection.socket.as_ref().map(AsFd::as_fd)
    }
}

/// Closes a socket: with `reset`, its connection is reset, whoever has it as well.
pub(crate) fn let_go(socket: OwnedFd, is_shared: bool, reset: bool) {
    if reset && is_shared && connect_unspec(&socket).is_err() {
        // Somebody waits in a call on it, which this ends.
        let _ = shutdown(&socket, Shutdown::Both);
    }
    if reset || is_shared {
        // With a linger time of zero, closing sends a reset; with another, which others may have set, it waits here. It
        // fails only if there is no connection any more.
        let _ = set_socket_linger(&socket, reset.then_some(Duration::ZERO));
    }
}
