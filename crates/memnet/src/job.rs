//! Jobs: asynchronous sends and receives (MemNet API). A job has what it needs until it is over, and gives it back.

use std::fmt;
use std::io;
use std::time::Instant;

use afpa_channel::job_ring::Received;
use rustix::io::Errno;

use crate::buffer::ReceiveBuffer;
use crate::channel::Channel;
use crate::reactor::Interest;
use crate::socket::Socket;
use crate::waiting::{For, wait_until};

/// A call that did not become a job, with what was to be lent to it.
pub struct Refused<B> {
    /// Why.
    pub error: io::Error,
    /// The caller's again.
    pub buffer: B,
}

/// A send that was posted. Dropping it lets it go on; its buffer is lost then.
#[derive(Debug)]
#[must_use = "the buffer is lost with the job"]
pub struct SendJob<B> {
    socket: Socket,
    number: u32,
    length: u64,
    over: Option<io::Result<()>>,
    polls: u32,
    pub(crate) interest: Option<Interest>,
    /// Taken when it is finished.
    buffer: Option<B>,
}

/// A receive that was posted. Dropping one that runs cancels it, and what it has received by then is lost.
#[derive(Debug)]
#[must_use = "what is received is lost with the job"]
pub struct ReceiveJob {
    socket: Socket,
    state: Reason,
    polls: u32,
    pub(crate) interest: Option<Interest>,
    /// Taken when it is finished.
    buffer: Option<ReceiveBuffer>,
}

/// Where a receive stands.
#[derive(Debug)]
pub(crate) enum Reason {
    /// The server has it, by this number.
    Posted(u32),
    /// So many octets, or an error.
    Over(io::Result<usize>),
}

/// Looks at the server, by a call, at every so many looks at a job that is not done.
const POLLS: u32 = 1024;

/// What all jobs have in common.
pub trait Job {
    /// Whether it is over. No call, but now and then one that asks whether the server is there.
    fn job_done(&mut self) -> bool;

    /// The socket that it runs on.
    fn socket(&self) -> &Socket;

    /// Waits until it is over.
    ///
    /// # Errors
    /// `ETIMEDOUT` at the deadline, `EINTR`: it goes on. A server that is gone is no error here: the job is over.
    fn job_wait(&mut self, deadline: Option<Instant>) -> io::Result<()>
    where
        Self: Sized,
    {
        wait_any(&mut [self], deadline).map(drop)
    }
}

/// Waits until one of several jobs is over, and returns which: the first of those that are.
///
/// # Errors
/// As [`Job::job_wait`]. `EINVAL`: there are none, or they are not all of one attachment.
pub fn wait_any(jobs: &mut [&mut dyn Job], deadline: Option<Instant>) -> io::Result<usize> {
    if let Some(at) = jobs.iter_mut().position(|job| job.job_done()) {
        return Ok(at);
    }
    // Clones, since the jobs are looked at meanwhile.
    let sockets: Vec<Socket> = jobs.iter().map(|job| job.socket().clone()).collect();
    let Some(first) = sockets.first() else { return Err(Errno::INVAL.into()) };
    let attachment = first.channel().attachment();
    if sockets.iter().any(|socket| !std::sync::Arc::ptr_eq(socket.channel().attachment(), attachment)) {
        return Err(Errno::INVAL.into());
    }
    let channels: Vec<&Channel> = sockets.iter().map(Socket::channel).collect();
    let mut done = || jobs.iter_mut().position(|job| job.job_done());
    match wait_until(attachment, &channels, For::Release, deadline, &mut done) {
        // It is the jobs' end.
        Err(error) if attachment.is_lost() => done().ok_or(error),
        result => result,
    }
}

impl<B> SendJob<B> {
    pub(crate) fn new(socket: Socket, number: u32, length: u64, buffer: B) -> SendJob<B> {
        SendJob { socket, number, length, over: None, polls: 0, interest: None, buffer: Some(buffer) }
    }

    /// What came of it, and the buffer.
    ///
    /// # Errors
    /// It runs: the job comes back.
    pub fn finish(mut self) -> Result<(io::Result<u64>, B), SendJob<B>> {
        if !self.job_done() {
            return Err(self);
        }
        Ok(self.outcome())
    }

    /// Waits for its end, whatever that is.
    pub fn wait(mut self) -> (io::Result<u64>, B) {
        while self.job_wait(None).is_err() && !self.job_done() {}
        self.outcome()
    }

    pub(crate) fn outcome(&mut self) -> (io::Result<u64>, B) {
        let over = self.over.take().unwrap_or(Ok(()));
        (over.map(|()| self.length), self.buffer.take().expect("a job is finished once"))
    }
}

impl<B> Job for SendJob<B> {
    fn job_done(&mut self) -> bool {
        if self.over.is_none() {
            look(&self.socket, &mut self.polls);
            self.over = self.socket.is_sent(self.number);
        }
        self.over.is_some()
    }

    fn socket(&self) -> &Socket {
        &self.socket
    }
}

impl ReceiveJob {
    pub(crate) fn new(socket: Socket, state: Reason, buffer: ReceiveBuffer) -> ReceiveJob {
        ReceiveJob { socket, state, polls: 0, interest: None, buffer: Some(buffer) }
    }

    /// Has it end soon: with `ECANCELED`, unless something has come.
    pub fn cancel(&self) {
        if matches!(self.state, Reason::Posted(_)) {
            self.socket.cancel_receive();
        }
    }

    /// How many octets came, none at the end of the stream; and the buffer.
    ///
    /// # Errors
    /// It runs: the job comes back.
    pub fn finish(mut self) -> Result<(io::Result<usize>, ReceiveBuffer), ReceiveJob> {
        if !self.job_done() {
            return Err(self);
        }
        Ok(self.outcome())
    }

    /// Waits for its end, whatever that is.
    pub fn wait(mut self) -> (io::Result<usize>, ReceiveBuffer) {
        while self.job_wait(None).is_err() && !self.job_done() {}
        self.outcome()
    }

    pub(crate) fn outcome(&mut self) -> (io::Result<usize>, ReceiveBuffer) {
        let state = std::mem::replace(&mut self.state, Reason::Over(Ok(0)));
        let Reason::Over(result) = state else { unreachable!("it is over") };
        (result, self.buffer.take().expect("a job is finished once"))
    }

    /// What the server's result comes to. `None`: it is posted again.
    fn settle(&mut self, result: io::Result<Received>) -> Option<io::Result<usize>> {
        let buffer = self.buffer.as_mut()?;
        Some(match result {
            Ok(Received::Octets(octets)) => Ok(buffer.len().min(octets as usize)),
            Ok(Received::InRing) => match self.socket.receive_into(buffer) {
                // Somebody else has taken it, who did not have to.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => match self.socket.post_receive(buffer) {
                    Ok(number) => {
                        self.state = Reason::Posted(number);
                        return None;
                    }
                    Err(error) => Err(error),
                },
                result => result,
            },
            Ok(Received::Failed) => Err(self.socket.channel().error().unwrap_or(Errno::CONNRESET).into()),
            Ok(Received::Invalid) => Err(Errno::INVAL.into()),
            Ok(Received::Cancelled) => Err(Errno::CANCELED.into()),
            Err(error) => Err(error),
        })
    }
}

impl Job for ReceiveJob {
    fn job_done(&mut self) -> bool {
        let Reason::Posted(number) = self.state else { return true };
        look(&self.socket, &mut self.polls);
        let Some(result) = self.socket.received(number) else { return false };
        let Some(over) = self.settle(result) else { return false };
        self.state = Reason::Over(over);
        self.socket.has_received();
        true
    }

    fn socket(&self) -> &Socket {
        &self.socket
    }
}

impl Drop for ReceiveJob {
    fn drop(&mut self) {
        if self.buffer.is_some()
            && !self.job_done()
            && let Reason::Posted(number) = self.state
        {
            self.socket.give_up_receive(number);
        }
    }
}

impl<B> fmt::Debug for Refused<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Refused").field(&self.error).finish()
    }
}

impl<B> From<Refused<B>> for io::Error {
    fn from(refused: Refused<B>) -> io::Error {
        refused.error
    }
}

fn look(socket: &Socket, polls: &mut u32) {
    *polls = polls.wrapping_add(1);
    if polls.is_multiple_of(POLLS) {
        // What it finds is seen by the next look at the job.
        let _ = socket.channel().attachment().is_alive();
    }
}
