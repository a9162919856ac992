//! A listening socket: a slot for each engine, each with the connections that its engine has accepted ahead.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use afpa_channel::layout::ACCEPTED;
use afpa_channel::lock::lock;
use afpa_channel::slot::Accepted;
use rustix::io::Errno;

use crate::channel::Channel;
use crate::thread;

/// A socket that listens. Dropping it closes it, unless another process of the application has it too.
#[derive(Debug)]
pub struct Listener {
    engines: Vec<Channel>,
    /// Where the next look starts, so that no engine's connections wait for ever.
    next: AtomicUsize,
}

impl Listener {
    /// `engines` are listening slots that the process holds.
    pub fn new(engines: Vec<Channel>) -> Listener {
        Listener { engines, next: AtomicUsize::new(0) }
    }

    /// Its slots, to be told of.
    pub fn engines(&self) -> &[Channel] {
        &self.engines
    }

    /// Its slots by themselves.
    pub fn into_engines(self) -> Vec<Channel> {
        self.engines
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
            if let Some(channel) = accept_from(engine)? {
                return Ok(channel);
            }
        }
        match self.engines.iter().find_map(Channel::error) {
            Some(error) => Err(error.into()),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

pub(crate) fn accept_from(engine: &Channel) -> io::Result<Option<Channel>> {
    let (slot, attachment) = (engine.slot(), engine.attachment());
    let ring = slot.receive_ring();
    // Without the lock: most of the time there is nothing.
    if ring.readable(slot.taken()).map_err(|_| Errno::CONNRESET)? < ACCEPTED as u32 {
        return Ok(None);
    }
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
                drop(guard);
                if slot.is_stalled() {
                    attachment.attend(slot);
                }
                return Ok(Some(channel));
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
