//! Room on the kernel's sockets, for a reactor of an application that sends by itself: the kernel tells of it, and not the
//! server.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;

use crate::attachment::Attachment;

/// Of the doorbell, in place of a slot.
const DOORBELL: u64 = u64::MAX;
/// Sockets of which it is told at a time.
const EVENTS: usize = 64;

/// An epoll instance: readable when some socket that is waited for has room, or the doorbell has rung.
#[derive(Debug)]
pub(crate) struct Rooms(OwnedFd);

impl Rooms {
    pub(crate) fn new(attachment: &Attachment, doorbell: BorrowedFd<'_>) -> io::Result<Rooms> {
        let kernel = attachment.placed(epoll::create(CreateFlags::CLOEXEC)?);
        epoll::add(&kernel, doorbell, EventData::new_u64(DOORBELL), EventFlags::IN)?;
        Ok(Rooms(kernel))
    }

    /// Tells, once, when the slot's socket has room.
    pub(crate) fn wait_for(&self, slot: u32, socket: BorrowedFd<'_>) -> io::Result<()> {
        let (data, flags) = (EventData::new_u64(slot.into()), EventFlags::OUT | EventFlags::ONESHOT);
        match epoll::add(&self.0, socket, data, flags) {
            Err(Errno::EXIST) => Ok(epoll::modify(&self.0, socket, data, flags)?),
            result => Ok(result?),
        }
    }

    /// The slots whose sockets have room, or have failed.
    pub(crate) fn take(&self, mut each: impl FnMut(u32)) {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut events = Vec::with_capacity(EVENTS);
        while let Ok(1..) = epoll::wait(&self.0, spare_capacity(&mut events), Some(&now)) {
            let is_all = events.len() < EVENTS;
            events.drain(..).filter_map(|event| u32::try_from(event.data.u64()).ok()).for_each(&mut each);
            if is_all {
                break;
            }
        }
    }
}

impl AsFd for Rooms {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
