//! How the sockets of accepted connections get to an application that sends on them itself.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use afpa_channel::handing;
use afpa_channel::slot::Accepted;

/// The pair of a listening slot: both ends, of which each process that accepts gets a duplicate of one.
pub(crate) struct Handing {
    ours: OwnedFd,
    theirs: OwnedFd,
}

impl Handing {
    /// Puts a connection's socket there, before the connection is put into the ring.
    ///
    /// # Errors
    /// There is no room for now.
    pub(crate) fn put(&self, accepted: Accepted, socket: BorrowedFd<'_>) -> io::Result<()> {
        handing::put(self.ours.as_fd(), accepted, socket)
    }

    /// The application's end.
    pub(crate) fn theirs(&self) -> BorrowedFd<'_> {
        self.theirs.as_fd()
    }
}

/// The pairs of an application, by listening slot.
#[derive(Default)]
pub(crate) struct Handings(Mutex<HashMap<u32, Arc<Handing>>>);

impl Handings {
    /// Begins one, for a slot that is about to listen.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(crate) fn begin(&self, slot: u32) -> io::Result<()> {
        let (ours, theirs) = handing::pair()?;
        self.lock().insert(slot, Arc::new(Handing { ours, theirs }));
        Ok(())
    }

    pub(crate) fn of(&self, slot: u32) -> Option<Arc<Handing>> {
        self.lock().get(&slot).cloned()
    }

    /// The slot listens no more. What was put there and not taken is closed when no process has its end any more.
    pub(crate) fn end(&self, slot: u32) {
        self.lock().remove(&slot);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Arc<Handing>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
