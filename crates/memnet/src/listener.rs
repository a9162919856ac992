//! A listening socket: a slot for each engine, each with the connections that its engine has accepted ahead.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use afpa_channel::control::Sender;
use afpa_channel::handing;
use afpa_channel::layout::ACCEPTED;
use afpa_channel::lock::lock;
use afpa_channel::slot::Accepted;
use rustix::io::Errno;
use rustix::net::getsockname;

use crate::attachment::Attachment;
use crate::channel::Channel;
use crate::options::Options;
use crate::reactor::Accept;
use crate::socket::{Socket, unless_it_blocks};
use crate::thread;
use crate::waiting::{For, wait_until};

/// A socket that listens. Dropping it closes it, unless another process of the application has it too.
#[derive(Debug)]
pub struct Listener {
    engines: Vec<Channel>,
    /// Where the next look starts, so that no engine's connections wait for ever.
    next: AtomicUsize,
    address: Option<SocketAddr>,
}

impl Listener {
    /// Binds a socket to `address` and listens on it.
    ///
    /// # Errors
    /// As bind(2); or the server refuses.
    pub fn bind(attachment: &Arc<Attachment>, address: SocketAddr, options: &Options) -> io::Result<Listener> {
        let socket = options.open(address, true)?;
        let address = SocketAddr::try_from(getsockname(&socket)?)?;
        let listener = attachment.listen(socket.as_fd(), options.backlog)?;
        Ok(Listener { address: Some(address), ..listener })
    }

    /// `engines` are listening slots that the process holds; at least one.
    pub fn new(engines: Vec<Channel>) -> Listener {
        Listener { engines, next: AtomicUsize::new(0), address: None }
    }

    /// Its slots, to be told of.
    pub fn engines(&self) -> &[Channel] {
        &self.engines
    }

    /// Its slots by themselves.
    pub fn into_engines(self) -> Vec<Channel> {
        self.engines
    }

    /// The attachment that it is of.
    pub fn attachment(&self) -> &Arc<Attachment> {
        self.engines[0].attachment()
    }

    /// Where it listens.
    ///
    /// # Errors
    /// It was not [bound](Listener::bind) here, and the server has not said.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.address.map_or_else(|| self.engines[0].local(), Ok)
    }

    /// Whether a connection waits, or an error can be learnt.
    pub fn is_ready(&self) -> bool {
        self.engines
            .iter()
            .any(|engine| engine.readable().map_or(true, |octets| octets > 0) || engine.error().is_some())
    }

    /// The next connection.
    ///
    /// # Errors
    /// `WouldBlock`: none waits. Its error, if it has failed.
    pub fn accept(&self) -> io::Result<Channel> {
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        for at in 0..self.engines.len() {
            let engine = &self.engines[start.wrapping_add(at) % self.engines.len()];
            if let Some(channel) = accept_from(engine, true)? {
                return Ok(channel);
            }
        }
        match self.engines.iter().find_map(Channel::error) {
            Some(error) => Err(error.into()),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Listener {
    /// The next connection, as a socket, without waiting.
    ///
    /// # Errors
    /// As [`Listener::accept`]; `ECONNRESET`: the server is gone.
    pub fn try_accept(&self) -> io::Result<Socket> {
        match self.accept() {
            Err(_) if self.attachment().is_lost() => Err(Errno::CONNRESET.into()),
            result => result.map(Socket::from),
        }
    }

    /// Waits for the next connection.
    ///
    /// # Errors
    /// `ETIMEDOUT` at the deadline, `EINTR`; as [`Listener::try_accept`].
    pub fn sync_accept(&self, deadline: Option<Instant>) -> io::Result<Socket> {
        let engines: Vec<&Channel> = self.engines.iter().collect();
        wait_until(self.attachment(), &engines, For::Arrival, deadline, || unless_it_blocks(self.try_accept()))?
    }

    /// The next connection, to be awaited.
    pub fn async_accept(&self) -> Accept<'_> {
        Accept(self)
    }
}

pub(crate) fn accept_from(engine: &Channel, close_on_exec: bool) -> io::Result<Option<Channel>> {
    let (slot, attachment) = (engine.slot(), engine.attachment());
    let ring = slot.receive_ring();
    // Without the lock: most of the time there is nothing.
    if ring.readable(slot.taken()).map_err(|_| Errno::CONNRESET)? < ACCEPTED as u32 {
        return Ok(None);
    }
    // First, for what leaves the ring has to go somewhere.
    let incoming = match attachment.sender() {
        Sender::Server => None,
        Sender::Application => Some(attachment.incoming().of(engine)?),
    };
    let guard = lock(slot.receive_lock(), thread::id()).ok_or(Errno::AGAIN)?;
    loop {
        let taken = slot.taken();
        if ring.readable(taken).map_err(|_| Errno::CONNRESET)? < ACCEPTED as u32 {
            return Ok(None);
        }
        let mut octets = [0; ACCEPTED];
        ring.read(taken, &mut octets);
        let accepted = Accepted::decode(octets);
        let known = attachment.region().has_slot(accepted.slot);
        // Held before it leaves the ring: a process that is killed in between leaves nothing that nobody holds.
        let channel = known.then(|| attachment.hold(accepted.slot));
        ring.consume(taken.wrapping_add(ACCEPTED as u32));
        match channel {
            Some(channel) if channel.slot().generation() == accepted.generation => {
                let socket = incoming.as_ref().map(|end| handing::take(end.as_fd(), accepted, close_on_exec));
                drop(guard);
                if slot.is_stalled() {
                    attachment.attend(slot);
                }
                return match socket {
                    None => Ok(Some(channel)),
                    Some(Ok(socket)) => Ok(Some(channel.with_socket(socket))),
                    Some(Err(error)) => {
                        channel.close(true);
                        Err(error)
                    }
                };
            }
            // The slot is somebody else's by now.
            Some(channel) => {
                attachment.region().holds(attachment.place()).release(accepted.slot);
                channel.forget();
            }
            None => return Err(Errno::CONNRESET.into()),
        }
    }
}
