//! Waiting on channels: the calling thread borrows a queue of the attachment's for as long as it waits.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::attachment::Attachment;
use crate::channel::Channel;
use crate::queue::{Bare, Wait, timespec};

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum For {
    /// Octets, the end, a failure, a connection: of these the server tells in any case.
    Arrival,
    /// The end of a job: of this the server tells while somebody says that he waits.
    Release,
    /// Room to send: in the send ring, of which the server tells likewise, or on the kernel's socket, of which the kernel does.
    Room,
}

/// Says on a channel that somebody waits, as long as it lives.
#[derive(Debug)]
pub(crate) struct Announcement<C: AsRef<Channel>>(C);

impl<C: AsRef<Channel>> Announcement<C> {
    pub(crate) fn new(channel: C) -> Self {
        channel.as_ref().slot().begin_wait();
        Announcement(channel)
    }
}

impl<C: AsRef<Channel>> Drop for Announcement<C> {
    fn drop(&mut self) {
        self.0.as_ref().slot().end_wait();
    }
}

impl AsRef<Channel> for Channel {
    fn as_ref(&self) -> &Channel {
        self
    }
}

/// Waits until `ready` has something.
///
/// # Errors
/// `ETIMEDOUT` at the deadline; `EINTR`; `ECONNRESET`: the server is gone.
pub(crate) fn wait_until<T>(
    attachment: &Arc<Attachment>,
    channels: &[&Channel],
    what: For,
    deadline: Option<Instant>,
    mut ready: impl FnMut() -> Option<T>,
) -> io::Result<T> {
    if let Some(now) = ready() {
        return Ok(now);
    }
    if attachment.is_lost() {
        return Err(Errno::CONNRESET.into());
    }
    let queue = attachment.borrow_queue()?;
    let told = Told { queue: &queue, channels };
    told.begin();
    let announcements =
        (what != For::Arrival).then(|| channels.iter().map(|channel| Announcement::new(*channel)).collect::<Vec<_>>());
    let result = wait_on(&queue, deadline, &mut ready);
    drop(announcements);
    drop(told);
    attachment.return_queue(queue);
    result
}

/// Waits until the kernel's socket has room.
///
/// # Errors
/// `ETIMEDOUT` at the deadline; `EINTR`, whatever the signal's handler; `ECONNRESET`: the server is gone.
pub(crate) fn wait_for_room(
    attachment: &Arc<Attachment>,
    socket: BorrowedFd<'_>,
    deadline: Option<Instant>,
) -> io::Result<()> {
    let queue = attachment.borrow_queue()?;
    let left = deadline.map(|deadline| timespec(deadline.saturating_duration_since(Instant::now())));
    let mut ready = [
        PollFd::from_borrowed_fd(socket, PollFlags::OUT),
        // Nothing is told of here; its end is the server's end.
        PollFd::from_borrowed_fd(queue.doorbell(), PollFlags::IN),
    ];
    let result = match poll(&mut ready, left.as_ref()) {
        Ok(0) => Err(Errno::TIMEDOUT.into()),
        Ok(_) if !ready[1].revents().is_empty() => queue.drain(),
        Ok(_) => Ok(()),
        Err(error) => Err(error.into()),
    };
    attachment.return_queue(queue);
    result
}

fn wait_on<T>(queue: &Bare, deadline: Option<Instant>, ready: &mut impl FnMut() -> Option<T>) -> io::Result<T> {
    loop {
        queue.take(|_| {});
        if let Some(now) = ready() {
            return Ok(now);
        }
        if queue.wait(deadline)? == Wait::TimedOut {
            return ready().ok_or_else(|| Errno::TIMEDOUT.into());
        }
    }
}

/// The channels that a borrowed queue is told of.
struct Told<'a> {
    queue: &'a Bare,
    channels: &'a [&'a Channel],
}

impl Told<'_> {
    fn begin(&self) {
        self.channels.iter().for_each(|channel| self.queue.subscribe(channel));
    }
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.channels.iter().for_each(|channel| self.queue.unsubscribe(channel));
    }
}
