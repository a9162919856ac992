//! MemNet's sockets: a queue for each thread, and one listener for all.

use super::sockets::{Event, Key, Sockets};
use memnet::{Attachment, Frozen, Listener, Options, Queue, Socket};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// The process's attachment: set before any thread starts.
static ATTACHMENT: OnceLock<Arc<Attachment>> = OnceLock::new();
static LISTENER: OnceLock<Arc<Listener>> = OnceLock::new();

/// Attaches to the TCP server at `path`.
pub(super) fn attach(path: &Path) -> io::Result<()> {
    let attachment = Attachment::attach(path, "afpa-bench web")?;
    ATTACHMENT.set(attachment).map_err(|_| io::ErrorKind::AlreadyExists.into())
}

/// The sockets of one thread; with `SYNCHRONOUS`, sends wait until the octets are the TCP server's.
pub(super) struct MemNet<const SYNCHRONOUS: bool> {
    listener: Arc<Listener>,
    queue: Queue,
    /// At their slots' numbers, with whether room to send is waited for.
    sockets: Vec<Option<(Socket, bool)>>,
    /// What has to be looked at without being told.
    unsaid: Vec<Event>,
}

impl<const SYNCHRONOUS: bool> MemNet<SYNCHRONOUS> {
    fn tell(&mut self, events: &mut Vec<Event>) {
        let MemNet { queue, sockets, .. } = self;
        queue.take(|slot| {
            let key = slot as usize;
            match &mut sockets[key] {
                None => events.push(Event::Acceptable),
                Some((socket, waits)) => {
                    events.push(Event::Readable(key));
                    if std::mem::take(waits) {
                        socket.stop_waiting();
                        events.push(Event::Writable(key));
                    }
                }
            }
        });
    }

    fn socket(&self, key: Key) -> io::Result<&Socket> {
        let socket = self.sockets.get(key).and_then(Option::as_ref);
        socket.map(|(socket, _)| socket).ok_or_else(|| ErrorKind::NotConnected.into())
    }

    fn give(&self, key: Key, memory: &Frozen, part: &Range<usize>) -> io::Result<usize> {
        let socket = self.socket(key)?;
        if SYNCHRONOUS {
            return socket.sync_send(&memory[part.clone()], None);
        }
        socket.post(memory, part.clone()).map(|_| part.len())
    }
}

impl<const SYNCHRONOUS: bool> Sockets for MemNet<SYNCHRONOUS> {
    type Memory = Frozen;

    fn register(octets: Vec<u8>) -> io::Result<Frozen> {
        let attachment = ATTACHMENT.get().ok_or(ErrorKind::NotConnected)?;
        let mut memory = attachment.register_mem(octets.len())?;
        memory.copy_from_slice(&octets);
        Ok(memory.freeze())
    }

    fn listen(address: SocketAddr) -> io::Result<Self> {
        let attachment = ATTACHMENT.get().ok_or(ErrorKind::NotConnected)?;
        let listener = match LISTENER.get() {
            Some(listener) => listener.clone(),
            None => {
                let listener = Arc::new(Listener::bind(attachment, address, &Options::default())?);
                LISTENER.get_or_init(|| listener).clone()
            }
        };
        let queue = Queue::open(attachment)?;
        listener.engines().iter().for_each(|engine| queue.subscribe(engine, true));
        let slots = attachment.region().geometry().slots() as usize;
        Ok(MemNet { listener, queue, sockets: (0..slots).map(|_| None).collect(), unsaid: vec![Event::Acceptable] })
    }

    fn wait(&mut self, events: &mut Vec<Event>, limit: Duration) -> io::Result<()> {
        events.append(&mut self.unsaid);
        self.tell(events);
        if events.is_empty() {
            match self.queue.wait(Some(Instant::now() + limit)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => drop(result?),
            }
            self.tell(events);
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<Option<Key>> {
        let socket = match self.listener.try_accept() {
            Ok(socket) => socket,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        };
        let key = socket.channel().number() as usize;
        self.queue.subscribe(socket.channel(), false);
        self.sockets[key] = Some((socket, false));
        // What came before the queue was subscribed is not told.
        self.unsaid.push(Event::Readable(key));
        Ok(Some(key))
    }

    fn receive(&mut self, key: Key, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket(key)?.try_recv(buffer)
    }

    fn send(&mut self, key: Key, memory: &Frozen, parts: &[Range<usize>]) -> io::Result<usize> {
        let mut given = 0;
        for part in parts {
            match self.give(key, memory, part) {
                Ok(count) => given += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if let Some((_, waits)) = &mut self.sockets[key] {
                        *waits = true;
                    }
                    return if given > 0 { Ok(given) } else { Err(error) };
                }
                Err(error) => return Err(error),
            }
        }
        Ok(given)
    }

    fn close(&mut self, key: Key) {
        self.sockets[key] = None;
    }
}
