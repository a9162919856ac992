//! How a thread waits: a queue is told of what happens on the channels that it subscribes to, and is rung only if it
//! sleeps.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use afpa_channel::control::{Reply, Request};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::io::read;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use crate::attachment::{Attachment, strange};
use crate::channel::Channel;

/// An event queue of the application, used by one thread at a time.
#[derive(Debug)]
pub struct Queue {
    attachment: Arc<Attachment>,
    number: u32,
    /// The end of a pipe: the server writes an octet to wake, and its end is the server's end.
    doorbell: OwnedFd,
    /// It is another process's by now.
    abandoned: bool,
}

/// What ended a wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// Something happened, or may have.
    Told,
    /// The time is over.
    TimedOut,
}

impl Queue {
    /// A new queue.
    ///
    /// # Errors
    /// There are as many as there can be, no descriptor is left, or the server is gone.
    pub fn open(attachment: &Arc<Attachment>) -> io::Result<Queue> {
        let (doorbell, far) = pipe_with(PipeFlags::CLOEXEC)?;
        // Only the server's end must not block: who waits here wants to.
        fcntl_setfl(&far, OFlags::NONBLOCK)?;
        // An octet or two; there may be many queues.
        let _ = fcntl_setpipe_size(&doorbell, 4096);
        match attachment.ask(&Request::OpenQueue, &[far.as_fd()])? {
            (Reply::Queue { queue: number }, _) if number < attachment.region().geometry().queues() => {
                let doorbell = attachment.placed(doorbell);
                Ok(Queue { attachment: attachment.clone(), number, doorbell, abandoned: false })
            }
            _ => Err(strange()),
        }
    }

    /// Lets go of it without closing it: after a fork, in the child, where its parent's queues are not its own.
    pub fn abandon(mut self) {
        self.abandoned = true;
    }

    /// Its number.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The attachment that it is of.
    pub fn attachment(&self) -> &Arc<Attachment> {
        &self.attachment
    }

    /// Readable when the queue was rung while it slept ([`Queue::sleep`]), and at the server's end: for the event loops
    /// of others.
    pub fn doorbell(&self) -> BorrowedFd<'_> {
        self.doorbell.as_fd()
    }

    /// Is told of what happens on the channel from now on. What is so already has to be looked at.
    pub fn subscribe(&self, channel: &Channel, exclusive: bool) {
        channel.slot().subscribe(self.number, exclusive);
    }

    /// Is told no more of the channel.
    pub fn unsubscribe(&self, channel: &Channel) {
        channel.slot().unsubscribe(self.number);
    }

    /// Takes the slots on which something has happened.
    #[inline]
    pub fn take(&self, each: impl FnMut(u32)) {
        self.attachment.region().happened_bits(self.number).take(each);
    }

    /// Says that the caller is about to sleep until the doorbell rings. Returns whether he may: otherwise something has
    /// happened already. [`Queue::wake`] is due in any case.
    pub fn sleep(&self) -> bool {
        self.attachment.region().queue_bell(self.number).sleep();
        !self.attachment.region().happened_bits(self.number).any()
    }

    /// Takes that back.
    pub fn wake(&self) {
        self.attachment.region().queue_bell(self.number).wake();
    }

    /// Takes what has rung: due when the [doorbell](Queue::doorbell) is readable.
    ///
    /// # Errors
    /// `ECONNRESET`: the server is gone.
    pub fn drain(&self) -> io::Result<()> {
        let mut rung = [PollFd::new(&self.doorbell, PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        match poll(&mut rung, Some(&now)) {
            Ok(0) | Err(Errno::INTR) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        match read(&self.doorbell, &mut [0u8; 64]) {
            Ok(0) => Err(Errno::CONNRESET.into()),
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Sleeps until something happens, until `deadline`, or until a signal's handler has run that does not restart calls.
    ///
    /// # Errors
    /// `EINTR`; `ECONNRESET`: the server is gone.
    pub fn wait(&self, deadline: Option<Instant>) -> io::Result<Wait> {
        let result = if self.sleep() { self.slumber(deadline) } else { Ok(Wait::Told) };
        self.wake();
        result
    }

    fn slumber(&self, deadline: Option<Instant>) -> io::Result<Wait> {
        let Some(deadline) = deadline else {
            // A call that the kernel restarts as it would restart the one that is made to wait here (signal(7)).
            return match read(&self.doorbell, &mut [0u8; 64])? {
                0 => Err(Errno::CONNRESET.into()),
                _ => Ok(Wait::Told),
            };
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let mut rung = [PollFd::new(&self.doorbell, PollFlags::IN)];
        if poll(&mut rung, Some(&timespec(left)))? == 0 {
            return Ok(Wait::TimedOut);
        }
        self.drain().map(|()| Wait::Told)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if self.abandoned {
            return;
        }
        let _ = self.attachment.ask(&Request::CloseQueue { queue: self.number }, &[]);
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: duration.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: duration.subsec_nanos().into() }
}
