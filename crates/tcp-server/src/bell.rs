//! The descriptors by which an application and the server wake each other. The application has them as well, and may make
//! of them what it likes: what it does with them must cost nobody else anything.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{FileType, Mode, OFlags, fcntl_getfl, open};
use rustix::io::{Errno, ReadWriteFlags, preadv2, pwritev2};

/// An eventfd by which an application wakes an engine. One for each application and engine, since who has it can empty it
/// as well as fill it.
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

/// The writing end of a pipe by which an application's queue is woken.
pub(crate) struct Doorbell {
    pipe: OwnedFd,
    /// Nobody else has it, so it stays one whose writes never wait. Otherwise each write says so itself.
    is_own: bool,
}

impl Doorbell {
    /// Takes over what an application has passed.
    ///
    /// # Errors
    /// It is no pipe that can be written to without waiting.
    pub(crate) fn new(passed: OwnedFd) -> io::Result<Doorbell> {
        let is_writable = fcntl_getfl(&passed)? & OFlags::RWMODE != OFlags::RDONLY;
        if !is_writable || FileType::from_raw_mode(rustix::fs::fstat(&passed)?.st_mode) != FileType::Fifo {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // Opened anew, it has a mode of its own (proc(5)).
        let name = format!("/proc/self/fd/{}", passed.as_raw_fd());
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let doorbell = match open(name, flags, Mode::empty()) {
            Ok(pipe) => Doorbell { pipe, is_own: true },
            // Another user's.
            Err(_) => Doorbell { pipe: passed, is_own: false },
        };
        if doorbell.ring(&[]) == Err(Errno::OPNOTSUPP) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(doorbell)
    }

    /// Wakes who waits at the other end. A pipe that is full wakes already; one without another end is nobody's any more.
    pub(crate) fn wake(&self) {
        let _ = self.ring(&[0]);
    }

    fn ring(&self, octets: &[u8]) -> rustix::io::Result<usize> {
        if self.is_own {
            return rustix::io::write(&self.pipe, octets);
        }
        pwritev2(&self.pipe, &[IoSlice::new(octets)], u64::MAX, ReadWriteFlags::NOWAIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::io::ioctl_fionbio;

    #[test]
    fn a_doorbell_never_waits_whatever_the_application_makes_of_it() {
        let (mut reader, writer) = io::pipe().unwrap();
        let theirs = writer.try_clone().unwrap();
        let passed = writer.try_clone().unwrap().into();
        let doorbells = [Doorbell::new(writer.into()).unwrap(), Doorbell { pipe: passed, is_own: false }];
        ioctl_fionbio(&theirs, false).unwrap();
        for doorbell in &doorbells {
            // More than a pipe holds.
            (0..100_000).for_each(|_| doorbell.wake());
        }
        assert!(io::Read::read(&mut reader, &mut [0; 10]).unwrap() > 0);
        drop(reader);
        doorbells.iter().for_each(Doorbell::wake);
        assert!(Doorbell::new(EngineBell::new().unwrap().0).is_err());
        let (reader, _writer) = io::pipe().unwrap();
        assert!(Doorbell::new(reader.into()).is_err());
    }

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
