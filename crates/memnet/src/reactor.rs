//! Futures: whoever polls one that is not ready is woken by the attachment's reactor. It needs no runtime, and serves any.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use afpa_channel::control::Sender;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use crate::attachment::Attachment;
use crate::buffer::ReceiveBuffer;
use crate::channel::Channel;
use crate::job::{Job, ReceiveJob, SendJob};
use crate::listener::Listener;
use crate::queue::{Bare, timespec};
use crate::rooms::Rooms;
use crate::socket::Socket;
use crate::waiting::{Announcement, For};

/// Wakes futures. Driven by a thread of its own, or by who has asked for it ([`Attachment::reactor`](crate::Attachment::reactor)).
#[derive(Debug)]
pub struct Reactor {
    queue: Bare,
    /// If the application sends by itself.
    rooms: Option<Rooms>,
    /// Of each slot.
    wakers: Mutex<HashMap<u32, Vec<Waker>>>,
    /// Readable when its thread is to end.
    ends: OwnedFd,
}

/// What a future has said while it waits.
pub(crate) type Interest = Announcement<Socket>;

impl Reactor {
    pub(crate) fn new(attachment: &Attachment, queue: Bare) -> io::Result<Arc<Reactor>> {
        let ends = eventfd(0, EventfdFlags::CLOEXEC)?;
        let rooms = match attachment.sender() {
            Sender::Server => None,
            Sender::Application => Some(Rooms::new(attachment, queue.doorbell())?),
        };
        Ok(Arc::new(Reactor { queue, rooms, wakers: Mutex::default(), ends }))
    }

    /// Waits until something happens, at most until `deadline`, and wakes the futures that it concerns. For the thread that
    /// drives the reactor.
    ///
    /// # Errors
    /// `EINTR`; `ECONNRESET`: the server is gone, and every future has been woken to learn it.
    pub fn turn(&self, deadline: Option<Instant>) -> io::Result<()> {
        let Some(rooms) = &self.rooms else {
            let result = self.queue.wait(deadline).map(drop);
            return self.wake(result);
        };
        let slept = match self.queue.sleep() {
            true => {
                let left = deadline.map(|deadline| timespec(deadline.saturating_duration_since(Instant::now())));
                poll(&mut [PollFd::new(rooms, PollFlags::IN)], left.as_ref()).map(drop)
            }
            false => Ok(()),
        };
        self.look().and(slept.map_err(io::Error::from))
    }

    /// Readable when [`Reactor::look`] is due: for the event loop of a caller, who calls [`Reactor::may_sleep`] before it
    /// polls.
    pub fn doorbell(&self) -> BorrowedFd<'_> {
        self.rooms.as_ref().map_or(self.queue.doorbell(), AsFd::as_fd)
    }

    /// Says that the caller is about to sleep until the doorbell rings, and whether he may.
    pub fn may_sleep(&self) -> bool {
        self.queue.sleep()
    }

    /// Wakes futures, after sleep or without.
    ///
    /// # Errors
    /// As [`Reactor::turn`].
    pub fn look(&self) -> io::Result<()> {
        self.queue.wake();
        let result = self.queue.drain();
        self.wake(result)
    }

    pub(crate) fn spawn(self: &Arc<Self>) -> io::Result<()> {
        let reactor = self.clone();
        let run = move || while reactor.thread_turn().is_ok() {};
        std::thread::Builder::new().name("memnet-reactor".into()).spawn(run).map(drop)
    }

    /// # Errors
    /// The server is gone, or the attachment.
    fn thread_turn(&self) -> io::Result<()> {
        let mut ready =
            [PollFd::from_borrowed_fd(self.doorbell(), PollFlags::IN), PollFd::new(&self.ends, PollFlags::IN)];
        if self.queue.sleep() {
            let _ = poll(&mut ready, None);
        }
        match ready[1].revents().is_empty() {
            true => self.look(),
            false => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// The attachment ends, and with it the thread.
    pub(crate) fn stop(&self) {
        let _ = rustix::io::write(&self.ends, &1u64.to_ne_bytes());
    }

    fn wake(&self, result: io::Result<()>) -> io::Result<()> {
        let mut wakers = self.wakers();
        let mut wake = |slot| {
            if let Some(wakers) = wakers.get_mut(&slot) {
                wakers.drain(..).for_each(Waker::wake);
            }
        };
        self.queue.take(&mut wake);
        if let Some(rooms) = &self.rooms {
            rooms.take(&mut wake);
        }
        if matches!(&result, Err(error) if error.kind() == io::ErrorKind::ConnectionReset) {
            wakers.drain().flat_map(|(_, wakers)| wakers).for_each(Waker::wake);
        }
        result
    }

    fn register(&self, channel: &Channel, waker: &Waker) {
        {
            let mut wakers = self.wakers();
            let wakers = wakers.entry(channel.number()).or_default();
            if !wakers.iter().any(|known| known.will_wake(waker)) {
                wakers.push(waker.clone());
            }
        }
        self.queue.subscribe(channel);
    }

    /// As above, and when the kernel's socket has room.
    fn register_for_room(&self, channel: &Channel, waker: &Waker) -> io::Result<()> {
        self.register(channel, waker);
        match (&self.rooms, channel.socket()) {
            (Some(rooms), Some(socket)) => rooms.wait_for(channel.number(), socket),
            _ => Ok(()),
        }
    }

    fn wakers(&self) -> MutexGuard<'_, HashMap<u32, Vec<Waker>>> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Polls until `ready` has something.
pub(crate) fn poll_until<T>(
    socket: &Socket,
    what: For,
    interest: &mut Option<Interest>,
    context: &Context<'_>,
    mut ready: impl FnMut() -> Option<T>,
) -> Poll<io::Result<T>> {
    let result = match ready() {
        Some(now) => Ok(now),
        None => match socket.channel().attachment().driven_reactor() {
            Err(error) => Err(error),
            Ok(reactor) => {
                if what != For::Arrival && interest.is_none() {
                    *interest = Some(Interest::new(socket.clone()));
                }
                if what == For::Room {
                    reactor.register_for_room(socket.channel(), context.waker())?;
                } else {
                    reactor.register(socket.channel(), context.waker());
                }
                // What has happened before somebody was to be told of it.
                match ready() {
                    Some(now) => Ok(now),
                    None => return Poll::Pending,
                }
            }
        },
    };
    *interest = None;
    Poll::Ready(result)
}

impl<B: Unpin> Future for SendJob<B> {
    type Output = (io::Result<u64>, B);

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let job = self.get_mut();
        let mut interest = job.interest.take();
        let poll = poll_job(job, &mut interest, context);
        job.interest = interest;
        poll.map(|()| job.outcome())
    }
}

impl Future for ReceiveJob {
    type Output = (io::Result<usize>, ReceiveBuffer);

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let job = self.get_mut();
        let mut interest = job.interest.take();
        let poll = poll_job(job, &mut interest, context);
        job.interest = interest;
        poll.map(|()| job.outcome())
    }
}

fn poll_job(job: &mut impl Job, interest: &mut Option<Interest>, context: &Context<'_>) -> Poll<()> {
    let socket = job.socket().clone();
    let done = || job.job_done().then_some(());
    match ready!(poll_until(&socket, For::Release, interest, context, done)) {
        Ok(()) => Poll::Ready(()),
        // Without a reactor the job still runs, and its buffer must not come back: it is looked at again and again.
        Err(_) => {
            context.waker().wake_by_ref();
            Poll::Pending
        }
    }
}

/// A connection that is waited for.
#[derive(Debug)]
pub struct Accept<'a>(pub(crate) &'a Listener);

impl Future for Accept<'_> {
    type Output = io::Result<Socket>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let attempt = || crate::socket::unless_it_blocks(self.0.try_accept());
        if let Some(result) = attempt() {
            return Poll::Ready(result);
        }
        let reactor = self.0.attachment().driven_reactor()?;
        self.0.engines().iter().for_each(|engine| reactor.register(engine, context.waker()));
        attempt().map_or(Poll::Pending, Poll::Ready)
    }
}

/// A connection that is being opened.
#[derive(Debug)]
pub struct Connect(pub(crate) Option<Socket>);

impl Future for Connect {
    type Output = io::Result<Socket>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let socket = self.0.as_ref().expect("polled after its end");
        let is_decided = || socket.is_decided().then_some(());
        ready!(poll_until(socket, For::Arrival, &mut None, context, is_decided))?;
        let error = socket.error();
        let socket = self.0.take().expect("as before");
        Poll::Ready(error.map_or(Ok(socket), Err))
    }
}
