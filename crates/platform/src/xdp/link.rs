//! What both halves of a socket stand on: the socket, its queues' memory, its chunks.

use std::cell::{Cell, RefCell};
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;

use rustix::event::epoll;

use super::flight::Held;
use super::ring::{Completions, Descriptor, RingMap, Submissions};
use crate::memory::{Arena, Frames};

/// Lives until both halves and the [`XdpSocket`](super::XdpSocket) are gone.
pub(super) struct Link {
    /// `None` only while it is dropped.
    pub(super) socket: Option<OwnedFd>,
    /// An epoll of the socket: all that others get hold of.
    pub(super) readiness: OwnedFd,
    /// `None` only while it is dropped.
    pub(super) maps: Option<Maps>,
    pub(super) arena: Arc<Arena>,
    pub(super) receive_frames: Option<Frames>,
    pub(super) transmit_frames: Option<Frames>,
    /// What keeps that which the kernel had not sent when the transmitter was dropped.
    pub(super) unsent: RefCell<Vec<Held>>,
    /// Whether the kernel may still read chunks or pins when the socket is closed.
    pub(super) is_sending: Cell<bool>,
    pub(super) interface: u32,
    pub(super) queue: u32,
    pub(super) scatter: bool,
    pub(super) zero_copy: bool,
    pub(super) busy_poll: bool,
    /// Entries of the queues for receiving, and of those for sending.
    pub(super) receive_entries: u32,
    pub(super) transmit_entries: u32,
}

/// The queues' memory.
pub(super) struct Maps {
    pub(super) received: RingMap,
    pub(super) fill: RingMap,
    pub(super) transmit: RingMap,
    pub(super) completed: RingMap,
}

impl Link {
    pub(super) fn socket(&self) -> &OwnedFd {
        let Some(socket) = &self.socket else { unreachable!("a link has its socket until it is dropped") };
        socket
    }

    pub(super) fn readiness(&self) -> BorrowedFd<'_> {
        self.readiness.as_fd()
    }

    /// The queues for receiving. To be called once.
    pub(super) fn receive_queues(&self) -> (Completions<Descriptor>, Submissions<u64>) {
        let maps = self.maps();
        // SAFETY: the maps were made with entries of these types, whose patterns are all valid; they are
        // given to one receiver, which keeps the link alive, and unmapped when the link is dropped.
        unsafe { (Completions::new(&maps.received), Submissions::new(&maps.fill)) }
    }

    /// The queues for sending. To be called once.
    pub(super) fn transmit_queues(&self) -> (Submissions<Descriptor>, Completions<u64>) {
        let maps = self.maps();
        // SAFETY: as in `receive_queues`, for one transmitter.
        unsafe { (Submissions::new(&maps.transmit), Completions::new(&maps.completed)) }
    }

    /// Where the chunks for frames that arrive lie in the arena.
    pub(super) fn receive_chunks(&self) -> impl Iterator<Item = u64> {
        self.receive_frames.iter().flat_map(Frames::offsets)
    }

    /// Where the chunks for heads of frames that leave lie in the arena.
    pub(super) fn transmit_chunks(&self) -> impl Iterator<Item = u64> {
        self.transmit_frames.iter().flat_map(Frames::offsets)
    }

    /// The address of `len` octets of the arena. They must lie within it.
    #[inline]
    pub(super) fn at(&self, offset: u64, len: usize) -> NonNull<u8> {
        assert!(offset.saturating_add(len as u64) <= self.arena.capacity(), "octets beyond the arena");
        // SAFETY: within the arena's mapping.
        unsafe { self.arena.base().add(offset as usize) }
    }

    /// Keeps what the kernel has not sent yet.
    pub(super) fn keep(&self, held: impl Iterator<Item = Held>) {
        self.is_sending.set(true);
        self.unsent.borrow_mut().extend(held);
    }

    fn maps(&self) -> &Maps {
        let Some(maps) = &self.maps else { unreachable!("a link has its maps until it is dropped") };
        maps
    }
}

impl Drop for Link {
    /// The kernel is done with the memory before it goes back to the arena.
    ///
    /// Each map holds the socket open, as would a poll that is under way. When the last of them is gone, the
    /// kernel takes the socket off the device and waits until nobody writes to its chunks. A child between
    /// fork and exec holds the socket for a moment longer: no chunk is left in the fill queue for it.
    fn drop(&mut self) {
        if let Some(maps) = &self.maps {
            // SAFETY: both halves are gone, so that nobody else writes to the queue.
            let mut fill = unsafe { Submissions::<u64>::new(&maps.fill) };
            // No chunk begins there: the kernel skips such entries.
            fill.overwrite(u64::MAX);
        }
        self.maps = None;
        if let Some(socket) = self.socket.take() {
            let _ = epoll::delete(&self.readiness, &socket);
        }
        if self.zero_copy {
            // The kernel takes the memory away from the driver later, and does not say when.
            mem::forget(self.receive_frames.take());
        }
        if self.zero_copy || self.is_sending.get() {
            // What the device was told to send may be read at any time: it stays as it is for ever.
            mem::forget(self.transmit_frames.take());
            mem::forget(self.unsent.take());
        }
    }
}
