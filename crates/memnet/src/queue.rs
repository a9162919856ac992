//! How a thread waits: a queue is told of what happens on the channels that it subscribes to, and is rung only if it
//! sleeps.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use afpa_channel::Region;
use afpa_channel::control::{Reply, Request};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::{Errno, read};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use crate::attachment::{Attachment, strange};
use crate::channel::Channel;

/// An event queue of the application, used by one thread at a time.
#[derive(Debug)]
pub struct Queue {
    attachment: Arc<Attachment>,
    bare: Bare,
    /// The process that has opened it: after a fork, it is not the child's to close.
    place: u32,
}

/// A queue that keeps no attachment, and is not closed before the attachment ends.
#[derive(Debug)]
pub(crate) struct Bare {
    region: Region,
    /// The attachment's: set at the server's end.
    lost: Arc<AtomicBool>,
    number: u32,
    /// The end of a pipe: the server writes an octet to wake, and its end is the server's end.
    doorbell: OwnedFd,
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
        let bare = Bare::open(attachment)?;
        Ok(Queue { bare, place: attachment.place(), attachment: attachment.clone() })
    }

    /// Lets go of it without closing it: after a fork, in the child, where its parent's queues are not its own.
    pub fn abandon(mut self) {
        self.place = u32::MAX;
    }

    /// Its number.
    pub fn number(&self) -> u32 {
        self.bare.number
    }

    /// The attachment that it is of.
    pub fn attachment(&self) -> &Arc<Attachment> {
        &self.attachment
    }

    /// Readable when the queue was rung while it slept ([`Queue::sleep`]), and at the server's end: for the event loops
    /// of others. Such a loop calls [`Queue::sleep`] before it polls, [`Queue::wake`] after it, [`Queue::drain`] if the
    /// descriptor is readable, and then [`Queue::take`].
    pub fn doorbell(&self) -> BorrowedFd<'_> {
        self.bare.doorbell()
    }

    /// Is told of what happens on the channel from now on. What is so already has to be looked at.
    pub fn subscribe(&self, channel: &Channel, exclusive: bool) {
        channel.slot().subscribe(self.bare.number, exclusive);
    }

    /// Is told no more of the channel.
    pub fn unsubscribe(&self, channel: &Channel) {
        channel.slot().unsubscribe(self.bare.number);
    }

    /// Takes the slots on which something has happened.
    #[inline]
    pub fn take(&self, each: impl FnMut(u32)) {
        self.bare.take(each);
    }

    /// Says that the caller is about to sleep until the doorbell rings. Returns whether he may: otherwise something has
    /// happened already. [`Queue::wake`] is due in any case.
    pub fn sleep(&self) -> bool {
        self.bare.sleep()
    }

    /// Takes that back.
    pub fn wake(&self) {
        self.bare.wake();
    }

    /// Takes what has rung: due when the [doorbell](Queue::doorbell) is readable.
    ///
    /// # Errors
    /// `ECONNRESET`: the server is gone.
    pub fn drain(&self) -> io::Result<()> {
        self.bare.drain()
    }

    /// Sleeps until something happens, until `deadline`, or until a signal's handler has run that does not restart calls.
    ///
    /// # Errors
    /// `EINTR`; `ECONNRESET`: the server is gone.
    pub fn wait(&self, deadline: Option<Instant>) -> io::Result<Wait> {
        self.bare.wait(deadline)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if self.place == self.attachment.place() {
            let _ = self.attachment.ask(&Request::CloseQueue { queue: self.bare.number }, &[]);
        }
    }
}

impl Bare {
    pub(crate) fn open(attachment: &Attachment) -> io::Result<Bare> {
        let (doorbell, far) = pipe_with(PipeFlags::CLOEXEC)?;
        // Only the server's end must not block: who waits here wants to.
        fcntl_setfl(&far, OFlags::NONBLOCK)?;
        // An octet or two; there may be many queues.
        let _ = fcntl_setpipe_size(&doorbell, 4096);
        match attachment.ask(&Request::OpenQueue, &[far.as_fd()])? {
            (Reply::Queue { queue: number }, _) if number < attachment.region().geometry().queues() => {
                let doorbell = attachment.placed(doorbell);
                let (region, lost) = (attachment.region().clone(), attachment.lost().clone());
                Ok(Bare { region, lost, number, doorbell })
            }
            _ => Err(strange()),
        }
    }

    pub(crate) fn subscribe(&self, channel: &Channel) {
        channel.slot().subscribe(self.number, false);
    }

    pub(crate) fn unsubscribe(&self, channel: &Channel) {
        channel.slot().unsubscribe(self.number);
    }

    pub(crate) fn doorbell(&self) -> BorrowedFd<'_> {
        self.doorbell.as_fd()
    }

    #[inline]
    pub(crate) fn take(&self, each: impl FnMut(u32)) {
        self.region.happened_bits(self.number).take(each);
    }

    pub(crate) fn sleep(&self) -> bool {
        self.region.queue_bell(self.number).sleep();
        !self.region.happened_bits(self.number).any()
    }

    pub(crate) fn wake(&self) {
        self.region.queue_bell(self.number).wake();
    }

    pub(crate) fn drain(&self) -> io::Result<()> {
        let mut rung = [PollFd::new(&self.doorbell, PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        match poll(&mut rung, Some(&now)) {
            Ok(0) | Err(Errno::INTR) => Ok(()),
            Ok(_) => self.silence(),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes what has rung, or waits for it.
    fn silence(&self) -> io::Result<()> {
        match read(&self.doorbell, &mut [0u8; 64]) {
            Ok(0) => {
                self.lost.store(true, Ordering::Relaxed);
                Err(Errno::CONNRESET.into())
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn wait(&self, deadline: Option<Instant>) -> io::Result<Wait> {
        let result = if self.sleep() { self.slumber(deadline) } else { Ok(Wait::Told) };
        self.wake();
        result
    }

    fn slumber(&self, deadline: Option<Instant>) -> io::Result<Wait> {
        let Some(deadline) = deadline else {
            // A call that the kernel restarts as it would restart the one that is made to wait here (signal(7)).
            return self.silence().map(|()| Wait::Told);
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let mut rung = [PollFd::new(&self.doorbell, PollFlags::IN)];
        if poll(&mut rung, Some(&timespec(left)))? == 0 {
            return Ok(Wait::TimedOut);
        }
        self.silence().map(|()| Wait::Told)
    }
}

pub(crate) fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: duration.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: duration.subsec_nanos().into() }
}
