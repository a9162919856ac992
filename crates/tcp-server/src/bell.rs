//! The descriptor by which an application wakes an engine.
//!
//! One for each application and engine: who has it can empty it as well as fill it, and that must cost nobody else his
//! wake-ups.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

/// An eventfd that is shared with an application.
pub(crate) struct EngineBell(OwnedFd);

impl EngineBell {
    pub(crate) fn new() -> io::Result<EngineBell> {
        Ok(EngineBell(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?))
    }

    /// Silences it. The application may have made the descriptor one whose reads wait, so this read says itself that it
    /// does not (preadv2(2), RWF_NOWAIT). Returns how often it was rung.
    pub(crate) fn silence(&self) -> u64 {
        let mut count = [0; 8];
        let mut result = preadv2(&self.0, &mut [IoSliceMut::new(&mut count)], u64::MAX, ReadWriteFlags::NOWAIT);
        if result == Err(Errno::OPNOTSUPP) {
            // A kernel before 5.8.
            result = rustix::io::read(&self.0, &mut count);
        }
        if result.is_ok() { u64::from_ne_bytes(count) } else { 0 }
    }
}

impl AsFd for EngineBell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::io::ioctl_fionbio;

    #[test]
    fn it_is_silenced_without_waiting_whatever_the_application_makes_of_it() {
        let bell = EngineBell::new().unwrap();
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let rings = || poll(&mut [PollFd::new(&bell.0, PollFlags::IN)], Some(&now)).unwrap() == 1;
        ioctl_fionbio(&bell.0, false).unwrap();
        rustix::io::write(&bell.0, &1u64.to_ne_bytes()).unwrap();
        assert!(rings());
        assert_eq!((bell.silence(), rings(), bell.silence()), (1, false, 0));
    }
}
