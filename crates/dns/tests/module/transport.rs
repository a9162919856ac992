//! The in-memory transport with what it cannot do by itself.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::time::Duration;

use afpa_engine::Time;
use afpa_engine::memory::Memory;
use afpa_engine::seam::{
    Address, Calls, ConnectionId, Disconnect, Events, ListenerId, Origin, Owner, Segment, Transport,
};

/// What a test may turn on.
#[derive(Default)]
pub(crate) struct Switches {
    /// Connections to backends neither open nor fail.
    pub(crate) is_deaf: Cell<bool>,
    /// There is no room for more connections and conversations.
    pub(crate) is_full: Cell<bool>,
    /// Answers to datagrams are counted, and not kept: nothing is allocated for them.
    pub(crate) is_quiet: Cell<bool>,
    /// Octets of such answers.
    pub(crate) octets: Cell<usize>,
}

impl Switches {
    fn room(&self) -> io::Result<()> {
        if self.is_full.get() { Err(io::ErrorKind::QuotaExceeded.into()) } else { Ok(()) }
    }
}

pub(crate) struct Switched {
    memory: RefCell<Memory>,
    switches: Rc<Switches>,
    /// Connections to backends that are not open yet.
    opening: Vec<ConnectionId>,
    held: Vec<(ConnectionId, Owner)>,
}

impl Switched {
    pub(crate) fn new(memory: Memory, switches: Rc<Switches>) -> Switched {
        Switched { memory: RefCell::new(memory), switches, opening: Vec::new(), held: Vec::new() }
    }
}

impl Transport for Switched {
    fn poll(&mut self, now: Time, wait: Option<Duration>, events: &mut dyn Events) -> io::Result<()> {
        let Switched { memory, switches, opening, held } = self;
        let memory = memory.get_mut();
        if !switches.is_deaf.get() {
            for (id, owner) in held.drain(..) {
                events.connected(memory.calls(), id, owner, Origin::Connected);
            }
        }
        memory.poll(now, wait, &mut SwitchedEvents { events, switches, opening, held })
    }

    fn calls(&mut self) -> &mut dyn Calls {
        self
    }

    fn watch(&mut self, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        self.memory.get_mut().watch(descriptor)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        // The network has none.
        None
    }

    fn stop_listening(&mut self) {
        self.memory.get_mut().stop_listening();
    }

    fn connections(&self) -> usize {
        self.memory.borrow().connections()
    }
}

impl Calls for Switched {
    fn send(&mut self, connection: ConnectionId, segment: Segment<'_>) {
        self.memory.borrow_mut().calls().send(connection, segment);
    }

    fn send_space(&self, connection: ConnectionId) -> usize {
        self.memory.borrow_mut().calls().send_space(connection)
    }

    fn resume(&mut self, connection: ConnectionId) {
        self.memory.borrow_mut().calls().resume(connection);
    }

    fn close(&mut self, connection: ConnectionId) {
        self.memory.borrow_mut().calls().close(connection);
    }

    fn finish(&mut self, connection: ConnectionId) {
        self.memory.borrow_mut().calls().finish(connection);
    }

    fn abort(&mut self, connection: ConnectionId) {
        self.memory.borrow_mut().calls().abort(connection);
    }

    fn connect(&mut self, to: &Address, owner: Owner) -> io::Result<ConnectionId> {
        self.switches.room()?;
        let id = self.memory.borrow_mut().calls().connect(to, owner)?;
        self.opening.push(id);
        Ok(id)
    }

    fn converse(&mut self, to: SocketAddr, owner: Owner) -> io::Result<ConnectionId> {
        self.switches.room()?;
        self.memory.borrow_mut().calls().converse(to, owner)
    }

    fn peer(&self, connection: ConnectionId) -> Option<Address> {
        self.memory.borrow_mut().calls().peer(connection)
    }

    fn send_datagram(&mut self, socket: ListenerId, peer: SocketAddr, segments: &mut dyn Iterator<Item = Segment<'_>>) {
        self.memory.borrow_mut().calls().send_datagram(socket, peer, segments);
    }

    fn sends_files(&self) -> bool {
        self.memory.borrow_mut().calls().sends_files()
    }
}

struct SwitchedEvents<'a> {
    events: &'a mut dyn Events,
    switches: &'a Switches,
    opening: &'a mut Vec<ConnectionId>,
    held: &'a mut Vec<(ConnectionId, Owner)>,
}

impl Events for SwitchedEvents<'_> {
    fn awake(&mut self) -> Option<Time> {
        self.events.awake()
    }

    fn connected(&mut self, calls: &mut dyn Calls, id: ConnectionId, owner: Owner, origin: Origin) {
        let is_stream = self.opening.iter().position(|opening| *opening == id).map(|place| self.opening.remove(place));
        match is_stream {
            Some(_) if self.switches.is_deaf.get() => self.held.push((id, owner)),
            _ => self.events.connected(calls, id, owner, origin),
        }
    }

    fn received(&mut self, calls: &mut dyn Calls, id: ConnectionId, owner: Owner, bytes: &[u8]) -> usize {
        self.events.received(calls, id, owner, bytes)
    }

    fn sent(&mut self, calls: &mut dyn Calls, id: ConnectionId, owner: Owner, count: u64) {
        self.events.sent(calls, id, owner, count);
    }

    fn disconnected(&mut self, calls: &mut dyn Calls, id: ConnectionId, owner: Owner, reason: Disconnect) {
        self.events.disconnected(calls, id, owner, reason);
    }

    fn datagram(&mut self, calls: &mut dyn Calls, socket: ListenerId, owner: Owner, peer: SocketAddr, bytes: &[u8]) {
        if !self.switches.is_quiet.get() {
            return self.events.datagram(calls, socket, owner, peer, bytes);
        }
        let mut quiet = Quiet { calls, octets: &self.switches.octets };
        self.events.datagram(&mut quiet, socket, owner, peer, bytes);
    }
}

struct Quiet<'a> {
    calls: &'a mut dyn Calls,
    octets: &'a Cell<usize>,
}

impl Calls for Quiet<'_> {
    fn send(&mut self, connection: ConnectionId, segment: Segment<'_>) {
        self.calls.send(connection, segment);
    }

    fn send_space(&self, connection: ConnectionId) -> usize {
        self.calls.send_space(connection)
    }

    fn resume(&mut self, connection: ConnectionId) {
        self.calls.resume(connection);
    }

    fn close(&mut self, connection: ConnectionId) {
        self.calls.close(connection);
    }

    fn finish(&mut self, connection: ConnectionId) {
        self.calls.finish(connection);
    }

    fn abort(&mut self, connection: ConnectionId) {
        self.calls.abort(connection);
    }

    fn connect(&mut self, to: &Address, owner: Owner) -> io::Result<ConnectionId> {
        self.calls.connect(to, owner)
    }

    fn peer(&self, connection: ConnectionId) -> Option<Address> {
        self.calls.peer(connection)
    }

    fn send_datagram(&mut self, _: ListenerId, _: SocketAddr, segments: &mut dyn Iterator<Item = Segment<'_>>) {
        let octets = |segment| if let Segment::Copy(octets) = segment { octets.len() } else { 0 };
        self.octets.set(self.octets.get() + segments.map(octets).sum::<usize>());
    }

    fn sends_files(&self) -> bool {
        self.calls.sends_files()
    }
}
