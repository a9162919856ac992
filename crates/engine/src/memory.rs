//! A transport without a network: both ends live in one thread, and a test plays the peer.
//!
//! It keeps the seam's promises to the letter, and is unkind where the seam allows it: it lends input
//! in frames as small as asked, takes octets only as the peer's window allows, and holds pins until
//! the peer has read the octets, as a user-level TCP does.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use afpa_cache::FragmentPin;
use afpa_platform::foreign::ForeignSlice;

use crate::seam::{
    Address, Calls, ConnectionId, Disconnect, Events, ListenerId, Origin, Owner, Released, Segment, Time, Transport,
    TransportId,
};

/// How the network behaves.
#[derive(Clone, Copy, Debug)]
pub struct MemoryConfig {
    /// The most octets that arrive in one event.
    pub frame: usize,
    /// The most octets that the peer holds unread: beyond it nothing is taken over.
    pub window: usize,
    /// The most octets that the transport holds for a connection before `send_space` is zero.
    pub send_buffer: usize,
    /// Whether [`Segment::File`] is understood.
    pub sends_files: bool,
    /// Whether connections can be released: they become sockets then.
    pub releases: bool,
    /// Where peers are; nowhere but in memory, if absent.
    pub peer: Option<SocketAddr>,
    /// Where we are; as above.
    pub local: Option<SocketAddr>,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        MemoryConfig {
            frame: 1460,
            window: usize::MAX,
            send_buffer: 256 * 1024,
            sends_files: true,
            releases: false,
            peer: None,
            local: None,
        }
    }
}

/// The transport's end of the network.
pub struct Memory {
    id: TransportId,
    wire: Rc<RefCell<Wire>>,
    calls: MemoryCalls,
}

/// The peers' end of the network. Clones are the same network.
#[derive(Clone)]
pub struct Network {
    wire: Rc<RefCell<Wire>>,
}

/// One peer's end of a connection.
pub struct Peer {
    wire: Rc<RefCell<Wire>>,
    link: usize,
}

/// How a connection ended for the peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// FIN arrived behind the octets read so far.
    Finished,
    /// RST arrived.
    Reset,
}

/// A transport, and the network that tests play the peers on.
pub fn network(id: TransportId, config: MemoryConfig) -> (Memory, Network) {
    let wire = Rc::new(RefCell::new(Wire::default()));
    let calls = MemoryCalls { id, config, wire: wire.clone(), slots: Vec::new(), resumed: Vec::new() };
    (Memory { id, wire: wire.clone(), calls }, Network { wire })
}

impl Network {
    /// Opens a connection to a listener of `owner`.
    pub fn connect(&self, owner: Owner) -> Peer {
        let mut wire = self.wire.borrow_mut();
        wire.links.push(Link { owner, ..Link::default() });
        let link = wire.links.len() - 1;
        wire.arriving.push_back(link);
        Peer { wire: self.wire.clone(), link }
    }

    /// The peer of the next connection that was opened from above, and the address asked for.
    pub fn accept(&self) -> Option<(Peer, Address)> {
        let (link, address) = self.wire.borrow_mut().leaving.pop_front()?;
        Some((Peer { wire: self.wire.clone(), link }, address))
    }

    /// The peer of the next conversation that was opened from above, and the address asked for.
    pub fn converse(&self) -> Option<(Peer, SocketAddr)> {
        let (link, address) = self.wire.borrow_mut().conversing.pop_front()?;
        Some((Peer { wire: self.wire.clone(), link }, address))
    }

    /// The peer of the next connection that was taken over, and the socket that it was.
    pub fn taken_over(&self) -> Option<(Peer, OwnedFd)> {
        let (link, socket) = self.wire.borrow_mut().taken_over.pop_front()?;
        Some((Peer { wire: self.wire.clone(), link }, socket))
    }

    /// Sends a datagram to a socket of `owner`.
    pub fn send_datagram(&self, owner: Owner, from: SocketAddr, bytes: &[u8]) {
        self.wire.borrow_mut().datagrams_in.push_back((owner, from, bytes.to_vec()));
    }

    /// The next datagram sent from above.
    pub fn receive_datagram(&self) -> Option<(SocketAddr, Vec<u8>)> {
        self.wire.borrow_mut().datagrams_out.pop_front()
    }
}

impl Peer {
    /// Sends octets.
    pub fn send(&self, bytes: &[u8]) {
        self.with(|link| link.to_us.extend(bytes));
    }

    /// Sends a datagram, in a conversation.
    pub fn send_datagram(&self, bytes: &[u8]) {
        self.with(|link| link.conversation.iter_mut().for_each(|[to_us, _]| to_us.push_back(bytes.to_vec())));
    }

    /// The next datagram that has arrived, in a conversation.
    pub fn receive_datagram(&self) -> Option<Vec<u8>> {
        self.with(|link| link.conversation.as_mut().and_then(|[_, to_peer]| to_peer.pop_front()))
    }

    /// Sends FIN.
    pub fn finish(&self) {
        self.with(|link| link.peer_finished = true);
    }

    /// Sends RST; in a conversation, says that nobody is at its port.
    pub fn reset(&self) {
        self.with(|link| link.peer_reset = true);
    }

    /// Reads what has arrived, at most `limit` octets; this opens the window again.
    pub fn read(&self, limit: usize) -> Vec<u8> {
        self.with(|link| {
            let count = limit.min(link.to_peer.len());
            link.to_peer.drain(..count).collect()
        })
    }

    /// How the connection ended, once everything before it has been read.
    pub fn ending(&self) -> Option<Ending> {
        self.with(|link| link.ending.filter(|e| *e == Ending::Reset || link.to_peer.is_empty()))
    }

    /// The peer's end of a socket, once the connection was released. What is sent otherwise reaches nobody then.
    pub fn released(&self) -> Option<UnixStream> {
        self.with(|link| link.released.take())
    }

    fn with<R>(&self, f: impl FnOnce(&mut Link) -> R) -> R {
        f(&mut self.wire.borrow_mut().links[self.link])
    }
}

#[derive(Default)]
struct Wire {
    links: Vec<Link>,
    arriving: VecDeque<usize>,
    leaving: VecDeque<(usize, Address)>,
    conversing: VecDeque<(usize, SocketAddr)>,
    taken_over: VecDeque<(usize, OwnedFd)>,
    datagrams_in: VecDeque<(Owner, SocketAddr, Vec<u8>)>,
    datagrams_out: VecDeque<(SocketAddr, Vec<u8>)>,
}

#[derive(Default)]
struct Link {
    owner: Owner,
    to_us: VecDeque<u8>,
    to_peer: VecDeque<u8>,
    /// Of a conversation: the datagrams to us and to the peer.
    conversation: Option<[VecDeque<Vec<u8>>; 2]>,
    peer_finished: bool,
    peer_reset: bool,
    ending: Option<Ending>,
    /// The peer's end of the socket that the connection has become.
    released: Option<UnixStream>,
}

struct MemoryCalls {
    id: TransportId,
    config: MemoryConfig,
    wire: Rc<RefCell<Wire>>,
    slots: Vec<Slot>,
    resumed: Vec<ConnectionId>,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    live: bool,
    outbound: bool,
    link: usize,
    owner: Owner,
    unread: Vec<u8>,
    queue: VecDeque<Outgoing>,
    queued: usize,
    told_finished: bool,
    finishing: bool,
    closing: bool,
    releasing: bool,
}

/// Octets on their way; a pin stays until the last of them is with the peer.
enum Outgoing {
    Bytes(Vec<u8>, usize),
    Pin(FragmentPin, usize),
    /// Copied when the peer has room for it.
    Foreign(ForeignSlice, usize),
}

impl Outgoing {
    fn left(&self) -> usize {
        match self {
            Outgoing::Bytes(bytes, at) => bytes.len() - at,
            Outgoing::Pin(pin, at) => pin.len() - at,
            Outgoing::Foreign(slice, at) => slice.len() - at,
        }
    }

    /// Moves `count` octets to where they go.
    fn move_to(&mut self, to: &mut VecDeque<u8>, count: usize) {
        match self {
            Outgoing::Bytes(bytes, at) => to.extend(&bytes[*at..*at + count]),
            Outgoing::Pin(pin, at) => to.extend(&pin[*at..*at + count]),
            Outgoing::Foreign(slice, at) => {
                let mut octets = vec![0; count];
                slice.read(*at, &mut octets);
                to.extend(octets);
            }
        }
        match self {
            Outgoing::Bytes(_, at) | Outgoing::Pin(_, at) | Outgoing::Foreign(_, at) => *at += count,
        }
    }
}

impl MemoryCalls {
    fn slot(&mut self, id: ConnectionId) -> Option<&mut Slot> {
        self.slots.get_mut(id.index() as usize).filter(|s| s.live && s.generation == id.generation())
    }

    fn open(&mut self, link: usize, owner: Owner, outbound: bool) -> ConnectionId {
        let index = self.slots.iter().position(|s| !s.live).unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        });
        let generation = self.slots[index].generation + 1;
        self.slots[index] = Slot { generation, live: true, outbound, link, owner, ..Slot::default() };
        ConnectionId::new(self.id, index as u32, generation)
    }

    fn live(&self) -> Vec<ConnectionId> {
        let live = self.slots.iter().enumerate().filter(|(_, s)| s.live);
        live.map(|(i, s)| ConnectionId::new(self.id, i as u32, s.generation)).collect()
    }

    /// Moves octets to the peer as its window allows. Returns how many.
    fn deliver(&mut self, id: ConnectionId) -> usize {
        let (window, wire) = (self.config.window, self.wire.clone());
        let Some(slot) = self.slot(id) else { return 0 };
        let link = &mut wire.borrow_mut().links[slot.link];
        let mut moved = 0;
        while let Some(front) = slot.queue.front_mut() {
            let count = front.left().min(window.saturating_sub(link.to_peer.len()));
            front.move_to(&mut link.to_peer, count);
            moved += count;
            if front.left() > 0 {
                break;
            }
            slot.queue.pop_front();
        }
        slot.queued -= moved;
        if slot.queue.is_empty() && (slot.finishing || slot.closing) {
            link.ending.get_or_insert(Ending::Finished);
        }
        moved
    }
}

impl Calls for MemoryCalls {
    fn send(&mut self, connection: ConnectionId, segment: Segment<'_>) {
        let wire = self.wire.clone();
        let may_send = |s: &&mut Slot| !s.closing && !s.finishing && !s.releasing;
        let Some(slot) = self.slot(connection).filter(may_send) else { return };
        if let (Some([_, to_peer]), Segment::Copy(bytes)) =
            (&mut wire.borrow_mut().links[slot.link].conversation, &segment)
        {
            return to_peer.push_back(bytes.to_vec());
        }
        let outgoing = match segment {
            Segment::Copy(bytes) => Outgoing::Bytes(bytes.to_vec(), 0),
            Segment::Pinned(pin) => Outgoing::Pin(pin, 0),
            Segment::Foreign(slice) => Outgoing::Foreign(slice, 0),
            Segment::File(range) => {
                let mut bytes = vec![0; range.length as usize];
                if range.file.read_at(&mut bytes, range.offset).is_err() {
                    return self.abort(connection);
                }
                Outgoing::Bytes(bytes, 0)
            }
        };
        slot.queued += outgoing.left();
        slot.queue.push_back(outgoing);
    }

    fn send_space(&self, connection: ConnectionId) -> usize {
        let slot = self.slots.get(connection.index() as usize).filter(|s| s.generation == connection.generation());
        slot.map_or(0, |s| self.config.send_buffer.saturating_sub(s.queued))
    }

    fn resume(&mut self, connection: ConnectionId) {
        self.resumed.push(connection);
    }

    fn close(&mut self, connection: ConnectionId) {
        if let Some(slot) = self.slot(connection) {
            slot.closing = true;
        }
    }

    fn finish(&mut self, connection: ConnectionId) {
        if let Some(slot) = self.slot(connection) {
            slot.finishing = true;
        }
    }

    fn abort(&mut self, connection: ConnectionId) {
        let wire = self.wire.clone();
        if let Some(slot) = self.slot(connection) {
            wire.borrow_mut().links[slot.link].ending = Some(Ending::Reset);
            slot.live = false;
            slot.queue.clear();
        }
    }

    fn can_release(&self, connection: ConnectionId) -> bool {
        let slot = self.slots.get(connection.index() as usize).filter(|s| s.generation == connection.generation());
        let is_stream = |s: &Slot| self.wire.borrow().links[s.link].conversation.is_none();
        self.config.releases
            && slot.is_some_and(|s| s.live && !(s.outbound || s.closing || s.finishing || s.releasing) && is_stream(s))
    }

    fn release(&mut self, connection: ConnectionId) -> bool {
        let is_granted = self.can_release(connection);
        if let Some(slot) = self.slot(connection).filter(|_| is_granted) {
            slot.releasing = true;
        }
        is_granted
    }

    fn connect(&mut self, to: &Address, owner: Owner) -> io::Result<ConnectionId> {
        let link = {
            let mut wire = self.wire.borrow_mut();
            wire.links.push(Link { owner, ..Link::default() });
            let link = wire.links.len() - 1;
            wire.leaving.push_back((link, to.clone()));
            link
        };
        Ok(self.open(link, owner, true))
    }

    fn connect_with(&mut self, socket: OwnedFd, to: &Address, owner: Owner) -> io::Result<ConnectionId> {
        // A socket has no place on this network, but others may see whether it is let go of.
        drop(socket);
        self.connect(to, owner)
    }

    fn take_over(&mut self, socket: OwnedFd, owner: Owner, octets: Vec<u8>) -> io::Result<ConnectionId> {
        let link = {
            let mut wire = self.wire.borrow_mut();
            wire.links.push(Link { owner, ..Link::default() });
            let link = wire.links.len() - 1;
            wire.taken_over.push_back((link, socket));
            link
        };
        let id = self.open(link, owner, true);
        if let Some(slot) = self.slot(id).filter(|_| !octets.is_empty()) {
            slot.unread = octets;
            self.resumed.push(id);
        }
        Ok(id)
    }

    fn converse(&mut self, to: SocketAddr, owner: Owner) -> io::Result<ConnectionId> {
        let link = {
            let mut wire = self.wire.borrow_mut();
            wire.links.push(Link { owner, conversation: Some(Default::default()), ..Link::default() });
            let link = wire.links.len() - 1;
            wire.conversing.push_back((link, to));
            link
        };
        Ok(self.open(link, owner, true))
    }

    fn peer(&self, _connection: ConnectionId) -> Option<Address> {
        Some(self.config.peer.map_or_else(|| Address::Unix("memory".into()), Address::Inet))
    }

    fn local(&self, _connection: ConnectionId) -> Option<Address> {
        Some(self.config.local.map_or_else(|| Address::Unix("memory".into()), Address::Inet))
    }

    fn send_datagram(
        &mut self,
        _socket: ListenerId,
        peer: SocketAddr,
        segments: &mut dyn Iterator<Item = Segment<'_>>,
    ) {
        let mut bytes = Vec::new();
        for segment in segments {
            match segment {
                Segment::Copy(piece) => bytes.extend_from_slice(piece),
                Segment::Pinned(pin) => bytes.extend_from_slice(&pin),
                Segment::Foreign(slice) => slice.append_to(&mut bytes),
                Segment::File(_) => return,
            }
        }
        self.wire.borrow_mut().datagrams_out.push_back((peer, bytes));
    }

    fn sends_files(&self) -> bool {
        self.config.sends_files
    }
}

impl Memory {
    fn arrive(&mut self, events: &mut dyn Events) {
        let listener = ListenerId { transport: self.id, index: 0 };
        while let Some(link) = { self.wire.borrow_mut().arriving.pop_front() } {
            let owner = self.wire.borrow().links[link].owner;
            let id = self.calls.open(link, owner, false);
            events.connected(&mut self.calls, id, owner, Origin::Accepted(listener));
        }
        for id in self.calls.live() {
            let Some(slot) = self.calls.slot(id).filter(|s| s.outbound) else { continue };
            slot.outbound = false;
            let owner = slot.owner;
            events.connected(&mut self.calls, id, owner, Origin::Connected);
        }
        while let Some((owner, from, bytes)) = { self.wire.borrow_mut().datagrams_in.pop_front() } {
            events.datagram(&mut self.calls, listener, owner, from, &bytes);
        }
    }

    /// Lends one frame more of what the peer sent, in front of which lies what was not consumed.
    fn receive(&mut self, id: ConnectionId, events: &mut dyn Events) {
        let frame = self.calls.config.frame;
        let Some(slot) = self.calls.slot(id).filter(|s| !s.closing && !s.releasing) else { return };
        let (owner, link) = (slot.owner, slot.link);
        let datagram = self.wire.borrow_mut().links[link].conversation.as_mut().map(|[to_us, _]| to_us.pop_front());
        if let Some(datagram) = datagram {
            if let Some(datagram) = datagram {
                events.received(&mut self.calls, id, owner, &datagram);
            }
            return;
        }
        let Some(slot) = self.calls.slot(id) else { return };
        let mut bytes = std::mem::take(&mut slot.unread);
        let before = bytes.len();
        {
            let link = &mut self.wire.borrow_mut().links[slot.link];
            let count = frame.min(link.to_us.len());
            bytes.extend(link.to_us.drain(..count));
        }
        let resumed = self.calls.resumed.iter().position(|r| *r == id);
        if let Some(at) = resumed {
            self.calls.resumed.remove(at);
        }
        if bytes.len() > before || resumed.is_some() {
            let consumed = events.received(&mut self.calls, id, owner, &bytes);
            bytes.drain(..consumed);
        }
        if let Some(slot) = self.calls.slot(id) {
            slot.unread = bytes;
        }
    }

    /// Releases the connection, if that is due: what the peer has sent comes along.
    fn release(&mut self, id: ConnectionId, events: &mut dyn Events) -> io::Result<()> {
        let is_due = |s: &&mut Slot| s.releasing && !s.closing && s.queue.is_empty();
        let Some(slot) = self.calls.slot(id).filter(is_due) else { return Ok(()) };
        let (ours, peers) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        slot.live = false;
        let owner = slot.owner;
        let mut octets = std::mem::take(&mut slot.unread);
        {
            let link = &mut self.wire.borrow_mut().links[slot.link];
            octets.extend(link.to_us.drain(..));
            if link.peer_finished {
                peers.shutdown(std::net::Shutdown::Write)?;
            }
            link.released = Some(peers);
        }
        events.released(&mut self.calls, id, owner, Released { socket: ours.into(), octets });
        Ok(())
    }

    fn ends(&mut self, id: ConnectionId, events: &mut dyn Events) {
        let Some(slot) = self.calls.slot(id) else { return };
        let owner = slot.owner;
        let (reset, finished, is_conversation) = {
            let link = &self.wire.borrow().links[slot.link];
            (link.peer_reset, link.peer_finished && link.to_us.is_empty(), link.conversation.is_some())
        };
        let closed = slot.closing && slot.queue.is_empty();
        let first = finished && !slot.told_finished && !slot.releasing;
        slot.told_finished |= finished;
        if reset || closed {
            slot.live = false;
            slot.queue.clear();
            let reason = match (reset, is_conversation) {
                (true, true) => Disconnect::Refused,
                (true, false) => Disconnect::Reset,
                (false, _) => Disconnect::Closed,
            };
            events.disconnected(&mut self.calls, id, owner, reason);
        } else if first {
            events.disconnected(&mut self.calls, id, owner, Disconnect::Finished);
        }
    }
}

impl Transport for Memory {
    fn poll(&mut self, _now: Time, _wait: Option<Duration>, events: &mut dyn Events) -> io::Result<()> {
        events.awake();
        self.arrive(events);
        for id in self.calls.live() {
            self.receive(id, events);
            let moved = self.calls.deliver(id);
            if let Some(slot) = self.calls.slot(id).filter(|_| moved > 0) {
                let owner = slot.owner;
                events.sent(&mut self.calls, id, owner, moved as u64);
            }
            self.ends(id, events);
            self.release(id, events)?;
        }
        Ok(())
    }

    fn calls(&mut self) -> &mut dyn Calls {
        &mut self.calls
    }

    fn watch(&mut self, _descriptor: BorrowedFd<'_>) -> io::Result<()> {
        Ok(())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn stop_listening(&mut self) {}

    fn connections(&self) -> usize {
        self.calls.slots.iter().filter(|s| s.live).count()
    }
}
