//! What the tests have in common: a transport that is driven by the test, and logs its events.
#![allow(dead_code, reason = "each test uses a part")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use afpa_cache::{Cache, CacheConfig, Piece, ResidentBody};
use afpa_engine::seam::{Address, Calls, Disconnect, Events, Listen, ListenerId, Origin, Released, Segment};
use afpa_engine::{ConnectionId, Owner, Time, Transport};
use afpa_platform::clock;
use afpa_sockets::{Interface, Respond, Sockets, SocketsConfig};

/// Makes a module of the tests of this file for each interface.
macro_rules! on_both_interfaces {
    ($($(#[$attribute:meta])* fn $name:ident($interface:ident) $body:block)*) => {
        mod uring {
            use super::*;
            $($(#[$attribute])* #[test] fn $name() {
                let $interface = Interface::Uring;
                if let Err(reason) = afpa_platform::uring::probe() {
                    eprintln!("skipped: {reason}");
                    return;
                }
                $body
            })*
        }
        mod epoll {
            use super::*;
            $($(#[$attribute])* #[test] fn $name() {
                let $interface = Interface::Epoll;
                $body
            })*
        }
    };
}
pub(crate) use on_both_interfaces;

/// A test that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// What happened, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    Connected(ConnectionId, Origin),
    Received(ConnectionId, Vec<u8>),
    Sent(ConnectionId, u64),
    Disconnected(ConnectionId, Disconnect),
    Datagram(ListenerId, SocketAddr, Vec<u8>),
    /// With the octets that came along; the socket is in [`Script::released`].
    Released(ConnectionId, Vec<u8>),
}

/// What the test does in an event. For input, returns how much of it is consumed.
pub(crate) type Behaviour = Box<dyn FnMut(&mut dyn Calls, &Event) -> usize>;

pub(crate) struct Script {
    pub(crate) log: Vec<Event>,
    pub(crate) released: Vec<(ConnectionId, OwnedFd)>,
    behaviour: Behaviour,
}

pub(crate) struct Harness {
    pub(crate) sockets: Sockets,
    pub(crate) script: Script,
    pub(crate) listener: ListenerId,
    pub(crate) address: SocketAddr,
}

pub(crate) fn config(interface: Interface) -> SocketsConfig {
    SocketsConfig { interface, respond: Respond::Inline, ..SocketsConfig::default() }
}

impl Harness {
    /// A transport that listens on a port of its own.
    pub(crate) fn new(
        interface: Interface,
        behaviour: impl FnMut(&mut dyn Calls, &Event) -> usize + 'static,
    ) -> Harness {
        Harness::with(config(interface), behaviour)
    }

    pub(crate) fn with(
        config: SocketsConfig,
        behaviour: impl FnMut(&mut dyn Calls, &Event) -> usize + 'static,
    ) -> Harness {
        let mut sockets = Sockets::new(config).expect("a transport");
        let any_port = Listen::Stream(Address::Inet("127.0.0.1:0".parse().expect("an address")));
        let listener = sockets.listen(any_port, Owner(7)).expect("a free port");
        let Ok(Address::Inet(address)) = sockets.local_address(listener) else { panic!("no local address") };
        let script = Script { log: Vec::new(), released: Vec::new(), behaviour: Box::new(behaviour) };
        Harness { sockets, script, listener, address }
    }

    pub(crate) fn pass(&mut self) {
        let wait = Some(Duration::from_millis(5));
        self.sockets.poll(Time(clock::now()), wait, &mut self.script).expect("a working interface");
    }

    /// Drives the transport until something holds.
    pub(crate) fn until(&mut self, what: &str, mut holds: impl FnMut(&[Event]) -> bool) {
        let start = Instant::now();
        while !holds(&self.script.log) {
            assert!(start.elapsed() < PATIENCE, "waited in vain: {what}; the last events: {:?}", self.last_events());
            self.pass();
        }
    }

    /// Drives the transport until a client is done.
    pub(crate) fn serve<T>(&mut self, client: JoinHandle<T>) -> T {
        self.until("the client to end", |_| client.is_finished());
        client.join().expect("a client without complaints")
    }

    /// Drives the transport for a while in which nothing should happen.
    pub(crate) fn idle(&mut self) {
        for _ in 0..20 {
            self.pass();
        }
    }

    pub(crate) fn calls(&mut self) -> &mut dyn Calls {
        self.sockets.calls()
    }

    /// A client's connection, and its id.
    pub(crate) fn client(&mut self) -> (TcpStream, ConnectionId) {
        let before = self.accepted().len();
        let stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        self.until("a connection", |log| accepted(log).len() > before);
        let id = self.accepted()[before];
        (stream, id)
    }

    pub(crate) fn accepted(&self) -> Vec<ConnectionId> {
        accepted(&self.script.log)
    }

    pub(crate) fn ending(&self, id: ConnectionId) -> Option<Disconnect> {
        ending(&self.script.log, id)
    }

    /// Octets reported as sent.
    pub(crate) fn sent(&self, id: ConnectionId) -> u64 {
        let count =
            |event: &Event| if let Event::Sent(of, count) = event { (*of == id).then_some(*count) } else { None };
        self.script.log.iter().filter_map(count).sum()
    }

    fn last_events(&self) -> Vec<String> {
        let shortened =
            self.script.log.iter().rev().take(8).map(|event| format!("{event:?}").chars().take(90).collect());
        shortened.collect()
    }
}

pub(crate) fn accepted(log: &[Event]) -> Vec<ConnectionId> {
    let accepted = |event: &Event| match event {
        Event::Connected(id, Origin::Accepted(_)) => Some(*id),
        _ => None,
    };
    log.iter().filter_map(accepted).collect()
}

/// How a connection ended, if it did.
pub(crate) fn ending(log: &[Event], id: ConnectionId) -> Option<Disconnect> {
    log.iter().find_map(|event| match event {
        Event::Disconnected(of, reason) if *of == id && *reason != Disconnect::Finished => Some(*reason),
        _ => None,
    })
}

impl Script {
    fn happened(&mut self, calls: &mut dyn Calls, event: Event) -> usize {
        let consumed = (self.behaviour)(calls, &event);
        self.log.push(event);
        consumed
    }
}

impl Events for Script {
    fn connected(&mut self, calls: &mut dyn Calls, id: ConnectionId, owner: Owner, origin: Origin) {
        assert_eq!(owner, Owner(7));
        self.happened(calls, Event::Connected(id, origin));
    }

    fn received(&mut self, calls: &mut dyn Calls, id: ConnectionId, owner: Owner, bytes: &[u8]) -> usize {
        assert_eq!(owner, Owner(7));
        self.happened(calls, Event::Received(id, bytes.to_vec()))
    }

    fn sent(&mut self, calls: &mut dyn Calls, id: ConnectionId, _owner: Owner, count: u64) {
        self.happened(calls, Event::Sent(id, count));
    }

    fn disconnected(&mut self, calls: &mut dyn Calls, id: ConnectionId, _owner: Owner, reason: Disconnect) {
        self.happened(calls, Event::Disconnected(id, reason));
    }

    fn released(&mut self, calls: &mut dyn Calls, id: ConnectionId, _owner: Owner, released: Released) {
        self.released.push((id, released.socket));
        self.happened(calls, Event::Released(id, released.octets));
    }

    fn datagram(&mut self, calls: &mut dyn Calls, socket: ListenerId, _: Owner, peer: SocketAddr, bytes: &[u8]) {
        self.happened(calls, Event::Datagram(socket, peer, bytes.to_vec()));
    }
}

/// Sends input back, and closes when the peer has finished.
pub(crate) fn echo(calls: &mut dyn Calls, event: &Event) -> usize {
    match event {
        Event::Received(id, bytes) => {
            calls.send(*id, Segment::Copy(bytes));
            return bytes.len();
        }
        Event::Disconnected(id, Disconnect::Finished) => calls.close(*id),
        _ => {}
    }
    0
}

/// Consumes everything, and does nothing else.
pub(crate) fn swallow(_calls: &mut dyn Calls, event: &Event) -> usize {
    if let Event::Received(_, bytes) = event { bytes.len() } else { 0 }
}

/// Consumes nothing, and does nothing else.
pub(crate) fn ignore(_calls: &mut dyn Calls, _event: &Event) -> usize {
    0
}

/// Octets that tell their place.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i / 251 + i * 7) as u8).collect()
}

/// `octets` in pinned memory.
pub(crate) fn pinned(octets: &[u8]) -> Rc<ResidentBody> {
    let config = CacheConfig { capacity: 512 << 20, max_pinned_object: 64 << 20, engines: 1, frames: 0 };
    let cache = Cache::<()>::new(config).expect("a cache");
    let mut filling = cache.fill(b"", octets.len() as u64).expect("room");
    filling.write_all(octets).expect("room");
    ResidentBody::new(filling.finish(), &Arc::default())
}

/// Sends what of `body` the transport wants now, from `position` on.
pub(crate) fn pump(calls: &mut dyn Calls, id: ConnectionId, body: &ResidentBody, position: &mut u64) {
    while *position < body.len() && calls.send_space(id) > 0 {
        let Piece::Pinned(pin) = body.piece_at(*position, body.len()) else { panic!("not pinned") };
        *position += pin.len() as u64;
        calls.send(id, Segment::Pinned(pin));
    }
}

/// Sends the first `count` octets of a body, wanted or not.
pub(crate) fn send_body(calls: &mut dyn Calls, id: ConnectionId, body: &ResidentBody, count: u64) {
    let mut position = 0;
    while position < count {
        let Piece::Pinned(pin) = body.piece_at(position, count) else { panic!("not pinned") };
        position += pin.len() as u64;
        calls.send(id, Segment::Pinned(pin));
    }
}

/// Everything that comes until the end.
pub(crate) fn read_all(mut stream: impl Read) -> Vec<u8> {
    let mut octets = Vec::new();
    stream.read_to_end(&mut octets).expect("an orderly end");
    octets
}

/// Raises the limit on descriptors; says so if `wanted` cannot be had.
pub(crate) fn descriptors_for(wanted: u64) -> bool {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    if limit.maximum.is_some_and(|maximum| maximum < wanted) {
        eprintln!("skipped: the limit on descriptors is below {wanted}");
        return false;
    }
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).expect("within the hard limit");
    true
}
