//! Sockets of the MemNet API: synchronous and asynchronous sends and receives.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use afpa_channel::control::Sender;
use afpa_channel::job_ring::{Job as Descriptor, Receive, Received, Source};
use afpa_channel::lock::lock;
use rustix::io::Errno;

use crate::attachment::Attachment;
use crate::buffer::{Lend, ReceiveBuffer, Registered, Sendable, SentFile};
use crate::channel::Channel;
use crate::job::{Reason, ReceiveJob, Refused, SendJob};
use crate::object::Object;
use crate::options::Options;
use crate::reactor::Connect;
use crate::thread;
use crate::waiting::{For, wait_for_room, wait_until};

/// A connection. Clones are the same one; when the last is dropped, and the last job on it, what is queued is sent and
/// the connection is closed.
#[derive(Clone, Debug)]
pub struct Socket {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    channel: Channel,
    /// Receives that were posted, and given up before they were done: 0 for none, otherwise one more than the number.
    given_up: AtomicU64,
    /// Likewise of the one that a job waits for.
    receiving: AtomicU64,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Who has not received everything when he closes has the peer told (RFC 2525 §2.17): the server sees to that.
        self.channel.close(false);
    }
}

impl AsRef<Channel> for Socket {
    fn as_ref(&self) -> &Channel {
        self.channel()
    }
}

impl From<Channel> for Socket {
    fn from(channel: Channel) -> Socket {
        Socket { inner: Arc::new(Inner { channel, given_up: AtomicU64::new(0), receiving: AtomicU64::new(0) }) }
    }
}

impl Socket {
    /// Connects to `to`.
    ///
    /// # Errors
    /// As connect(2); `ETIMEDOUT` also at the deadline.
    pub fn connect(
        attachment: &Arc<Attachment>,
        to: SocketAddr,
        options: &Options,
        deadline: Option<Instant>,
    ) -> io::Result<Socket> {
        let socket = Socket::start_to_connect(attachment, to, options)?;
        let is_decided = || socket.is_decided().then_some(());
        wait_until(attachment, &[socket.channel()], For::Arrival, deadline, is_decided)?;
        socket.error().map_or(Ok(socket), Err)
    }

    /// As [`Socket::connect`], to be awaited.
    ///
    /// # Errors
    /// As [`Socket::start_to_connect`].
    pub fn async_connect(attachment: &Arc<Attachment>, to: SocketAddr, options: &Options) -> io::Result<Connect> {
        Ok(Connect(Some(Socket::start_to_connect(attachment, to, options)?)))
    }

    /// Begins to connect. [`Socket::is_decided`] says when something has come of it, and [`Socket::error`] what.
    ///
    /// # Errors
    /// As socket(2) and bind(2); or the server refuses.
    pub fn start_to_connect(attachment: &Arc<Attachment>, to: SocketAddr, options: &Options) -> io::Result<Socket> {
        let socket = options.open(to, false)?;
        let channel = attachment.connect(socket.as_fd(), to)?;
        Ok(match attachment.sender() {
            Sender::Server => channel.into(),
            Sender::Application => channel.with_socket(socket).into(),
        })
    }

    /// What it is made of.
    #[inline]
    pub fn channel(&self) -> &Channel {
        &self.inner.channel
    }

    /// The address of this end.
    ///
    /// # Errors
    /// The server has not said.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.channel().local()
    }

    /// The peer's address.
    ///
    /// # Errors
    /// It is not connected.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.channel().peer()
    }

    /// Whether it is connected, was, or has failed to connect.
    pub fn is_decided(&self) -> bool {
        self.channel().is_decided()
    }

    /// What it has failed with.
    pub fn error(&self) -> Option<io::Error> {
        self.channel().error().map(io::Error::from)
    }

    // Synchronous.

    /// Sends: returns when all octets have been given to the server, or to the kernel if the application
    /// [sends](Attachment::sender), whose copy they are from then on. Fewer are returned only if something went wrong behind
    /// them.
    ///
    /// # Errors
    /// `ETIMEDOUT`, `EINTR` before anything was given; `EPIPE`, or what the connection has failed with; `ECONNRESET`: the
    /// server is gone.
    pub fn sync_send(&self, octets: &[u8], deadline: Option<Instant>) -> io::Result<usize> {
        let mut given = 0;
        while given < octets.len() {
            match self.sync_send_some(&octets[given..], deadline) {
                Ok(more) => given += more,
                Err(_) if given > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(given)
    }

    fn sync_send_some(&self, octets: &[u8], deadline: Option<Instant>) -> io::Result<usize> {
        let attempt = || unless_it_blocks(self.try_send_unannounced(octets));
        if let Some(socket) = self.channel().socket().filter(|_| self.is_decided()) {
            loop {
                match attempt() {
                    Some(result) => return result,
                    None => wait_for_room(self.channel().attachment(), socket, deadline)?,
                }
            }
        }
        match attempt() {
            Some(result) => result,
            None => wait_until(self.channel().attachment(), &[self.channel()], For::Room, deadline, attempt)?,
        }
    }

    /// Receives what there is, or else waits until there is something; nothing at the end of the stream.
    ///
    /// # Errors
    /// `ETIMEDOUT`, `EINTR`; what the connection has failed with; `ECONNRESET`, also if the server is gone. `EALREADY`
    /// while a job receives.
    pub fn sync_recv(&self, into: &mut [u8], deadline: Option<Instant>) -> io::Result<usize> {
        // The likely case first, without what waiting needs.
        if let Some(result) = unless_it_blocks(self.try_recv(into)) {
            return result;
        }
        let channel = self.channel();
        let what = if self.inner.given_up.load(Ordering::Relaxed) == 0 { For::Arrival } else { For::Release };
        wait_until(channel.attachment(), &[channel], what, deadline, || unless_it_blocks(self.try_recv(into)))?
    }

    // Without waiting, for event loops.

    /// Sends what there is room for.
    ///
    /// # Errors
    /// `WouldBlock`: the server will tell of room, until [`Socket::stop_waiting`]; if the application
    /// [sends](Attachment::sender), the kernel's socket is to be polled for it ([`Channel::socket`]). Otherwise as
    /// [`Socket::sync_send`].
    #[inline]
    pub fn try_send(&self, octets: &[u8]) -> io::Result<usize> {
        self.alive()?;
        self.channel().send(&[io::IoSlice::new(octets)])
    }

    pub(crate) fn try_send_unannounced(&self, octets: &[u8]) -> io::Result<usize> {
        self.alive()?;
        self.channel().send_unannounced(&[io::IoSlice::new(octets)])
    }

    /// Receives what there is; nothing at the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock`: there is nothing yet. Otherwise as [`Socket::sync_recv`].
    #[inline]
    pub fn try_recv(&self, into: &mut [u8]) -> io::Result<usize> {
        self.may_receive()?;
        match self.channel().receive(into, false) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.alive().and(Err(error)),
            result => result,
        }
    }

    /// For an event loop that owns the socket: it waits for room, or for the end of a send, and is told of them.
    pub fn start_waiting(&self) {
        self.channel().slot().wait(true);
    }

    /// For an event loop that owns the socket: it does not wait for room, or for the end of a send, any more.
    pub fn stop_waiting(&self) {
        self.channel().slot().wait(false);
    }

    /// Posts a send of registered memory, or of an object; returns its number, for [`Socket::is_sent`]. It is kept, and not
    /// overwritten, until it is sent; [`Socket::async_send`] sees to that by itself.
    ///
    /// # Errors
    /// `WouldBlock`: so many are posted as fit; the server will tell of those that are done, until
    /// [`Socket::stop_waiting`]. Otherwise as [`Socket::sync_send`]; `EINVAL`: the memory is another attachment's;
    /// `ENOTSUP`: the application [sends](Attachment::sender), not the server, which could do so later.
    ///
    /// # Panics
    /// The octets are beyond the memory's end.
    #[inline]
    pub fn post<B: Sendable>(&self, memory: &B, octets: Range<usize>) -> io::Result<u32> {
        let place = memory.place();
        assert!(octets.start <= octets.end && octets.end <= place.len(), "beyond the buffer's end");
        self.post_from(memory.registered(), (place.start + octets.start) as u64, octets.len() as u64)
    }

    /// Posts a receive into registered memory; returns its number. As [`Socket::post`], for who looks at results himself:
    /// [`Socket::async_recv`] does.
    ///
    /// # Errors
    /// As [`Socket::post`].
    pub(crate) fn post_receive(&self, memory: &ReceiveBuffer) -> io::Result<u32> {
        let Source::Memory(number) = memory.registered().source() else { return Err(Errno::INVAL.into()) };
        if !memory.registered().is_of(self.channel().attachment()) {
            return Err(Errno::INVAL.into());
        }
        let slot = self.channel().slot();
        let length = u32::try_from(memory.len()).unwrap_or(u32::MAX);
        let guard = lock(slot.receive_lock(), thread::id()).ok_or(Errno::AGAIN)?;
        let posted = slot.post_receive(Receive { memory: number, offset: memory.place().start as u64, length });
        drop(guard);
        self.channel().attend();
        posted.ok_or_else(|| Errno::AGAIN.into())
    }

    /// Whether the `number`th send is done: its memory is not needed any more. `None` while it is not.
    ///
    /// # Errors
    /// The connection has failed before it was done.
    #[inline]
    pub fn is_sent(&self, number: u32) -> Option<io::Result<()>> {
        let slot = self.channel().slot();
        let is_done = || slot.jobs_done().wrapping_sub(number).wrapping_sub(1) < 1 << 31;
        if is_done() {
            return Some(Ok(()));
        }
        if let Some(error) = self.channel().error() {
            // What was done before it failed is done.
            return Some(if is_done() { Ok(()) } else { Err(error.into()) });
        }
        self.alive().err().map(Err)
    }

    // Asynchronous.

    /// Sends octets of a buffer, which is lent to the job and comes back from it. No call, unless the server sleeps.
    ///
    /// # Errors
    /// As [`Socket::post`]; the buffer comes back at once.
    ///
    /// # Panics
    /// The octets are beyond the buffer's end.
    #[inline]
    pub fn async_send<B: Sendable>(&self, buffer: B, octets: Range<usize>) -> Result<SendJob<B>, Refused<B>> {
        let length = octets.len() as u64;
        match self.post(&buffer, octets) {
            Ok(number) => Ok(SendJob::new(self.clone(), number, length, buffer)),
            Err(error) => Err(Refused { error, buffer }),
        }
    }

    /// Sends a part of a file, in its order among everything else that is sent.
    ///
    /// # Errors
    /// As [`Socket::async_send`]. A file that turns out to be shorter fails the connection.
    pub fn send_file(&self, file: &SentFile, offset: u64, length: u64) -> Result<SendJob<SentFile>, Refused<SentFile>> {
        let buffer = file.clone();
        match self.post_from(file.registered(), offset, length) {
            Ok(number) => Ok(SendJob::new(self.clone(), number, length, buffer)),
            Err(error) => Err(Refused { error, buffer }),
        }
    }

    /// Sends a part of an object, from where the server keeps it, in its order among everything else that is sent. No call,
    /// unless the server sleeps.
    ///
    /// # Errors
    /// As [`Socket::async_send`]. `EINVAL` also beyond the object's end.
    pub fn send_object(&self, object: &Object, offset: u64, length: u64) -> Result<SendJob<Object>, Refused<Object>> {
        let buffer = object.clone();
        if offset.checked_add(length).is_none_or(|end| end > object.len()) {
            return Err(Refused { error: Errno::INVAL.into(), buffer });
        }
        match self.post_from(object.registered(), offset, length) {
            Ok(number) => Ok(SendJob::new(self.clone(), number, length, buffer)),
            Err(error) => Err(Refused { error, buffer }),
        }
    }

    /// Receives into a buffer, which is lent to the job and comes back from it; at most what it holds. One job receives
    /// at a time.
    ///
    /// # Errors
    /// `EALREADY`: another job receives. `WouldBlock`: one that was given up is not over. The buffer comes back.
    pub fn async_recv(&self, mut buffer: ReceiveBuffer) -> Result<ReceiveJob, Refused<ReceiveBuffer>> {
        match self.begin_to_receive(&mut buffer) {
            Ok(Reason::Posted(number)) => {
                self.inner.receiving.store(u64::from(number) + 1, Ordering::Relaxed);
                Ok(ReceiveJob::new(self.clone(), Reason::Posted(number), buffer))
            }
            Ok(over) => Ok(ReceiveJob::new(self.clone(), over, buffer)),
            Err(error) => Err(Refused { error, buffer }),
        }
    }

    fn begin_to_receive(&self, buffer: &mut ReceiveBuffer) -> io::Result<Reason> {
        self.may_receive()?;
        match self.receive_into(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.alive()?;
                Ok(Reason::Posted(self.post_receive(buffer)?))
            }
            result => Ok(Reason::Over(result)),
        }
    }

    // The end.

    /// Shuts one direction down, or both: FIN behind what is queued; what still comes is not wanted.
    pub fn shutdown(&self, how: Shutdown) {
        if how != Shutdown::Read {
            self.channel().finish();
        }
        if how != Shutdown::Write {
            self.channel().discard();
        }
    }

    /// Resets the connection. Jobs end with `ECONNABORTED`: what is sent cannot be taken back in any other way.
    pub fn abort(&self) {
        self.channel().abort();
    }

    /// Drops it.
    pub fn close(self) {}

    // For jobs.

    /// Copies what is in the receive ring.
    pub(crate) fn receive_into(&self, buffer: &mut ReceiveBuffer) -> io::Result<usize> {
        let mut octets = [0; 4096];
        let mut received = 0;
        while received < buffer.len() {
            let most = octets.len().min(buffer.len() - received);
            match self.channel().receive(&mut octets[..most], false) {
                Ok(0) if received > 0 => break,
                Ok(0) => return Ok(0),
                Ok(count) => {
                    buffer.write_at(received, &octets[..count]);
                    received += count;
                }
                Err(_) if received > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(received)
    }

    /// What has come of a posted receive.
    pub(crate) fn received(&self, number: u32) -> Option<io::Result<Received>> {
        let slot = self.channel().slot();
        let is_done = || slot.receives_done().wrapping_sub(number).wrapping_sub(1) < 1 << 31;
        let result = || slot.received(number).map_err(|_| Errno::CONNRESET.into());
        if is_done() {
            return Some(result());
        }
        if let Some(error) = self.channel().error() {
            return Some(if is_done() { result() } else { Err(error.into()) });
        }
        self.alive().err().map(Err)
    }

    pub(crate) fn has_received(&self) {
        self.inner.receiving.store(0, Ordering::Relaxed);
    }

    pub(crate) fn cancel_receive(&self) {
        self.channel().slot().cancel_receives();
        self.channel().attend();
    }

    /// The job is dropped before its receive was done.
    pub(crate) fn give_up_receive(&self, number: u32) {
        self.inner.given_up.store(u64::from(number) + 1, Ordering::Relaxed);
        self.has_received();
        self.cancel_receive();
    }

    fn may_receive(&self) -> io::Result<()> {
        if self.inner.receiving.load(Ordering::Relaxed) != 0 {
            return Err(Errno::ALREADY.into());
        }
        match self.inner.given_up.load(Ordering::Relaxed) {
            0 => Ok(()),
            number if self.received((number - 1) as u32).is_none() => Err(Errno::AGAIN.into()),
            _ => {
                self.inner.given_up.store(0, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    #[inline]
    fn post_from(&self, registered: &Registered, offset: u64, length: u64) -> io::Result<u32> {
        let channel = self.channel();
        let slot = channel.slot();
        if channel.attachment().sender() == Sender::Application {
            return Err(Errno::OPNOTSUPP.into());
        }
        if !channel.takes_octets() {
            return Err(channel.unsendable());
        }
        if !registered.is_of(channel.attachment()) {
            return Err(Errno::INVAL.into());
        }
        let guard = lock(slot.send_lock(), thread::id()).ok_or(Errno::AGAIN)?;
        let job = Descriptor { source: registered.source(), offset, length, after: slot.given() };
        let posted = slot.post_job(job).or_else(|| {
            slot.wait(true);
            slot.post_job(job)
        });
        drop(guard);
        let number = posted.ok_or(Errno::AGAIN)?;
        channel.attend();
        Ok(number)
    }

    #[inline]
    fn alive(&self) -> io::Result<()> {
        if self.channel().attachment().is_lost() { Err(Errno::CONNRESET.into()) } else { Ok(()) }
    }
}

/// `None` if it would block.
pub(crate) fn unless_it_blocks<T>(result: io::Result<T>) -> Option<io::Result<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        result => Some(result),
    }
}
