//! The listener for servers that block.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::MAX_SENDERS;
use crate::connection::Connection;
use crate::door::Door;
use crate::frame::Fault;
use crate::intake::{Intake, Progress};
use crate::options::Options;

/// Takes over connections that are handed to a Unix socket. Its file goes with it.
pub struct Listener {
    door: Door,
    options: Options,
    senders: Vec<Sender>,
    refused: u64,
}

struct Sender {
    stream: UnixStream,
    intake: Intake,
    deadline: Instant,
}

impl Listener {
    /// Listens at `path`, with the default [`Options`]. A socket there at which nobody listens any more is replaced.
    ///
    /// # Errors
    /// Somebody listens there, something else is there, or the path cannot be used.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Listener> {
        Listener::bind_with(path, Options::default())
    }

    /// As [`Listener::bind`], with other options.
    ///
    /// # Errors
    /// As [`Listener::bind`].
    pub fn bind_with(path: impl AsRef<Path>, options: Options) -> io::Result<Listener> {
        Ok(Listener { door: Door::open(path.as_ref(), &options)?, options, senders: Vec::new(), refused: 0 })
    }

    /// Waits for a connection. It blocks.
    ///
    /// # Errors
    /// The system has no descriptors or memory left. It may be called again.
    pub fn accept(&mut self) -> io::Result<Connection> {
        loop {
            let accepted = self.accept_senders();
            if let Some(connection) = self.advance() {
                connection.stream().set_nonblocking(false)?;
                return Ok(connection);
            }
            accepted?;
            self.wait()?;
        }
    }

    /// Senders from which nothing was taken, because they did not do as they should.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn accept_senders(&mut self) -> io::Result<()> {
        while self.senders.len() < MAX_SENDERS {
            let stream = match self.door.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if is_passing(&error) => continue,
                Err(error) => return Err(error),
            };
            match Intake::new(stream.as_fd(), &self.options) {
                Ok(intake) => {
                    self.senders.push(Sender { stream, intake, deadline: Instant::now() + self.options.patience });
                }
                Err(_) => self.refused += 1,
            }
        }
        Ok(())
    }

    /// Reads from every sender, until a connection is complete.
    fn advance(&mut self) -> Option<Connection> {
        let now = Instant::now();
        let mut index = 0;
        while let Some(sender) = self.senders.get_mut(index) {
            let progress = match sender.intake.advance(sender.stream.as_fd()) {
                Ok(Progress::Waiting) if sender.deadline <= now => Err(Fault::Late),
                progress => progress,
            };
            if progress == Ok(Progress::Waiting) {
                index += 1;
                continue;
            }
            let Sender { intake, .. } = self.senders.remove(index);
            match progress.and_then(|progress| match progress {
                Progress::Complete => intake.finish().map(Some),
                Progress::Nothing | Progress::Waiting => Ok(None),
            }) {
                Ok(Some(connection)) => return Some(connection),
                Ok(None) => {}
                Err(_) => self.refused += 1,
            }
        }
        None
    }

    /// Waits for something to do.
    fn wait(&self) -> io::Result<()> {
        let mut watched: Vec<_> = self.senders.iter().map(|s| PollFd::new(&s.stream, PollFlags::IN)).collect();
        if self.senders.len() < MAX_SENDERS {
            watched.push(PollFd::new(&self.door.listener, PollFlags::IN));
        }
        let now = Instant::now();
        let left = self.senders.iter().map(|sender| sender.deadline.saturating_duration_since(now)).min();
        let wait = left.map(|left| Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) });
        match poll(&mut watched, wait.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether an error is of one sender only.
pub(crate) fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted)
}
