//! Connections that fail after the peer's FIN, when no receive is under way that would be told.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::net::sockopt::socket_error;

use crate::connection::Phase;
use crate::table::Table;

/// Failures taken from the kernel at once.
const AT_ONCE: usize = 64;

/// Tells a ring of them. The ring's own wait for errors ends with the peer's FIN, however little it asks for.
pub(crate) struct Failures {
    epoll: OwnedFd,
    occurred: Vec<Event>,
}

impl Failures {
    /// # Errors
    /// No descriptor is left.
    pub(crate) fn new() -> io::Result<Failures> {
        Ok(Failures { epoll: epoll::create(CreateFlags::CLOEXEC)?, occurred: Vec::with_capacity(AT_ONCE) })
    }

    /// Has something to read while somebody has failed.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Whether it is told if this one fails.
    pub(crate) fn mind(&self, socket: &OwnedFd, token: u64) -> bool {
        // Errors are always reported; an edge is enough, for there is no way back.
        epoll::add(&self.epoll, socket, EventData::new_u64(token), EventFlags::ET).is_ok()
    }

    pub(crate) fn forget(&self, socket: &OwnedFd) {
        // It fails only if the socket is not minded, which is what is wanted.
        let _ = epoll::delete(&self.epoll, socket);
    }

    /// Ends those that have failed.
    pub(crate) fn take(&mut self, table: &mut Table) {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        // If it fails, there was nothing: what is there is found the next time.
        let _ = epoll::wait(&self.epoll, spare_capacity(&mut self.occurred), Some(&now));
        for event in self.occurred.drain(..) {
            // A socket that others have, too, may still be minded when its connection is over here.
            let Event { data, .. } = event;
            if let Some(index) = table.by_token(data.u64()) {
                table.failed_behind(index);
            }
        }
    }
}

impl Table {
    /// An error was reported of a connection. While the peer may still send, a receive is told of it.
    pub(crate) fn failed_behind(&mut self, index: u32) {
        let connection = self.connection(index);
        // What came before and is not read yet is still the owner's to read.
        let is_told_otherwise = !connection.peer_finished || !connection.unread.is_empty();
        if connection.phase != Phase::Open || is_told_otherwise {
            return;
        }
        if let Some(socket) = &connection.socket
            && let Ok(Err(error)) = socket_error(socket)
        {
            self.failed(index, &error.into());
        }
    }
}
