//! Room on the kernel's sockets, for an epoll instance: a second one of the kernel's tells when there is some again. Whether
//! there is, the socket is asked.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use libc::{EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLLET, EPOLLOUT, EPOLLRDHUP, epoll_event};
use rustix::event::epoll::{CreateFlags, create};

use crate::interests::Interests;
use crate::offload::set_aside;
use crate::raw;

/// Sockets of which it is told at a time.
const EVENTS: usize = 64;

#[derive(Default)]
pub(crate) struct Rooms {
    /// Made when first wanted.
    kernel: Option<OwnedFd>,
}

impl Rooms {
    /// The interests that a descriptor's room is told to, from now on.
    pub(crate) fn watch(&mut self, interests: &mut Interests, descriptor: RawFd) {
        if self.kernel.is_none() {
            self.kernel = create(CreateFlags::CLOEXEC).ok().map(set_aside);
        }
        let Some(kernel) = &self.kernel else { return };
        let (known, mark) = interests.watch(descriptor, true);
        if !known {
            let event = epoll_event { events: (EPOLLOUT | EPOLLRDHUP | EPOLLET) as u32, u64: mark };
            // The descriptor may have been closed and made anew while the server still has the socket.
            let nothing = epoll_event { events: 0, u64: 0 };
            if raw::epoll_ctl(kernel.as_raw_fd(), EPOLL_CTL_ADD, descriptor, event).is_err() {
                let _ = raw::epoll_ctl(kernel.as_raw_fd(), EPOLL_CTL_DEL, descriptor, nothing);
                let _ = raw::epoll_ctl(kernel.as_raw_fd(), EPOLL_CTL_ADD, descriptor, event);
            }
        }
    }

    /// Nobody wants to know any more.
    pub(crate) fn forget(&mut self, interests: &mut Interests, descriptor: RawFd) {
        let (known, _) = interests.watch(descriptor, false);
        if let Some(kernel) = self.kernel.as_ref().filter(|_| known) {
            let nothing = epoll_event { events: 0, u64: 0 };
            let _ = raw::epoll_ctl(kernel.as_raw_fd(), EPOLL_CTL_DEL, descriptor, nothing);
        }
    }

    /// Takes what the kernel has told.
    pub(crate) fn take(&mut self, interests: &mut Interests) {
        let Some(kernel) = self.kernel.as_ref().filter(|_| interests.has_watched()) else { return };
        let mut events = [epoll_event { events: 0, u64: 0 }; EVENTS];
        while let Ok(told @ 1..) = raw::epoll_wait(kernel.as_raw_fd(), &mut events, 0) {
            events[..told].iter().for_each(|event| interests.notice_room(event.u64, event.events));
            if told < EVENTS {
                break;
            }
        }
    }

    /// Readable when the kernel tells of room.
    pub(crate) fn descriptor(&self) -> Option<RawFd> {
        self.kernel.as_ref().map(AsRawFd::as_raw_fd)
    }
}
