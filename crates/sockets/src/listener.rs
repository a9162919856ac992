//! The listeners of a transport.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use afpa_engine::{Owner, Time};
use afpa_engine::seam::ListenerId;
use rustix::io::Errno;

/// How long accepting pauses when descriptors have run out, unless a connection closes before.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);

pub(crate) struct Listener {
    pub(crate) id: ListenerId,
    pub(crate) owner: Owner,
    pub(crate) socket: OwnedFd,
    /// The driver is accepting.
    pub(crate) accepting: bool,
}

/// All of them, and whether they pause.
#[derive(Default)]
pub(crate) struct Listeners {
    pub(crate) all: Vec<Listener>,
    paused_until: Time,
}

impl Listeners {
    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut Listener> {
        self.all.get_mut(index)
    }

    pub(crate) fn pause(&mut self, now: Time) {
        self.paused_until = now.after(PAUSE);
    }

    /// Ends the pause: a connection has closed.
    pub(crate) fn unpause(&mut self) {
        self.paused_until = Time::default();
    }

    /// How long until accepting shall be tried again; `None` if every listener accepts.
    pub(crate) fn resumes_in(&self, now: Time) -> Option<Duration> {
        self.all.iter().any(|listener| !listener.accepting).then(|| self.paused_until.since(now))
    }
}

/// Whether accepting failed because something has run out that closing connections gives back.
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| exhausted.contains(&errno))
}
