//! The connections of one transport, and what the seam's calls do to them. Both drivers share this;
//! they differ only in how they move octets.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use afpa_engine::TransportId;
use afpa_engine::seam::{Address, Calls, ConnectionId, Disconnect, Events, ListenerId, Owner, Segment};
use afpa_platform::gather::Gather;

use crate::address;
use crate::stats::SocketsStats;
use crate::{Respond, SocketsConfig};

/// One connection. Some 150 octets; what it holds beyond that, it holds only while it is busy.
pub(crate) struct Connection {
    generation: u32,
    pub(crate) owner: Owner,
    pub(crate) phase: Phase,
    pub(crate) finish: Finish,
    pub(crate) socket: Option<OwnedFd>,
    /// Input that was shown and not consumed.
    pub(crate) unread: Vec<u8>,
    /// What is gathered and not yet with the driver.
    pub(crate) outgoing: VecDeque<Box<Gather>>,
    /// What a worker is sending, or what waits for room in the socket.
    pub(crate) held: Option<Box<Gather>>,
    /// Octets given to `send` and not yet reported as sent.
    queued: u64,
    /// The driver is sending, or waiting for room to.
    pub(crate) sending: bool,
    /// The driver is receiving.
    pub(crate) receiving: bool,
    /// The peer's FIN has arrived.
    pub(crate) peer_finished: bool,
    /// Input has arrived before: another request may follow this one.
    pub(crate) seasoned: bool,
    /// Reading waits until more has been consumed.
    pub(crate) paused: bool,
    touched: bool,
}

/// Where a connection stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// The slot is free.
    Free,
    /// We opened it, and the peer has not answered.
    Connecting,
    /// Both sides may talk.
    Open,
    /// `close` was called: what is queued still leaves.
    Closing,
    /// Everything has left; the driver is closing the socket. `Closed` is still to be reported.
    Ending,
    /// Failed or aborted; the driver is closing the socket. Nothing is reported any more.
    Aborting,
}

/// How far our FIN is, apart from closing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Finish {
    No,
    /// Behind what is queued.
    Due,
    Sent,
}

/// The connections of a transport.
pub(crate) struct Table {
    id: TransportId,
    pub(crate) respond: Respond,
    connections: Vec<Connection>,
    free: Vec<u32>,
    max_connections: usize,
    receive_window: usize,
    send_buffer: u64,
    /// Connections that a call has given the driver something to do for.
    touched: Vec<u32>,
    /// Connections whose unread input is to be shown again.
    resumed: Vec<ConnectionId>,
    /// The datagram sockets, by listener.
    pub(crate) datagrams: Vec<(ListenerId, Owner, OwnedFd)>,
    gathers: Vec<Box<Gather>>,
    buffers: Vec<Vec<u8>>,
    pub(crate) stats: Arc<SocketsStats>,
}

/// Gathers and buffers that are kept for reuse: as many as one pass is likely to need at once.
const POOL: usize = 256;

impl Table {
    pub(crate) fn new(config: &SocketsConfig) -> Table {
        Table {
            id: config.transport,
            respond: config.respond,
            connections: Vec::new(),
            free: Vec::new(),
            max_connections: config.max_connections as usize,
            receive_window: config.receive_window,
            send_buffer: config.send_buffer,
            touched: Vec::new(),
            resumed: Vec::new(),
            datagrams: Vec::new(),
            gathers: Vec::new(),
            buffers: Vec::new(),
            stats: Arc::default(),
        }
    }

    /// How many connections there are.
    pub(crate) fn len(&self) -> usize {
        self.connections.len() - self.free.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.max_connections
    }

    /// Takes a connection in. `None` at the limit.
    pub(crate) fn open(&mut self, socket: OwnedFd, owner: Owner, phase: Phase) -> Option<ConnectionId> {
        if self.is_full() {
            return None;
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.connections.push(Connection::free());
            (self.connections.len() - 1) as u32
        });
        let connection = &mut self.connections[index as usize];
        connection.generation = connection.generation.wrapping_add(1).max(1);
        connection.owner = owner;
        connection.phase = phase;
        connection.socket = Some(socket);
        Some(self.id_of(index))
    }

    /// Frees a connection's slot. Its socket must be closed or in the kernel's hands.
    pub(crate) fn release(&mut self, index: u32) {
        let connection = &mut self.connections[index as usize];
        let generation = connection.generation;
        let mut outgoing = std::mem::take(&mut connection.outgoing);
        let unread = std::mem::take(&mut connection.unread);
        let held = connection.held.take();
        *connection = Connection { generation, ..Connection::free() };
        for gather in outgoing.drain(..).chain(held) {
            self.recycle(gather);
        }
        self.connections[index as usize].outgoing = outgoing;
        self.recycle_buffer(unread);
        self.free.push(index);
    }

    pub(crate) fn id_of(&self, index: u32) -> ConnectionId {
        ConnectionId::new(self.id, index, self.connections[index as usize].generation)
    }

    pub(crate) fn at(&mut self, index: u32) -> &mut Connection {
        &mut self.connections[index as usize]
    }

    /// The index of a connection that a completion or an event speaks of, unless it is gone.
    pub(crate) fn find(&self, generation: u32, index: u32) -> Option<u32> {
        let connection = self.connections.get(index as usize)?;
        (connection.generation == generation && connection.phase != Phase::Free).then_some(index)
    }

    fn open_one(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let connection = self.connections.get_mut(id.index() as usize)?;
        let open = matches!(connection.phase, Phase::Open | Phase::Connecting);
        (open && connection.generation == id.generation() && id.transport() == self.id).then_some(connection)
    }

    fn touch(&mut self, index: u32) {
        let connection = &mut self.connections[index as usize];
        if !connection.touched {
            connection.touched = true;
            self.touched.push(index);
        }
    }

    /// The next connection that the driver must look at.
    pub(crate) fn next_touched(&mut self) -> Option<u32> {
        let index = self.touched.pop()?;
        self.connections[index as usize].touched = false;
        Some(index)
    }

    /// Whether there is work that no event will announce.
    pub(crate) fn has_work(&self) -> bool {
        !self.touched.is_empty() || !self.resumed.is_empty()
    }

    /// Shows what `resume` asked for. Returns whether there was anything.
    pub(crate) fn show_resumed(&mut self, events: &mut dyn Events) -> bool {
        if self.resumed.is_empty() {
            return false;
        }
        let mut resumed = std::mem::take(&mut self.resumed);
        for id in resumed.drain(..) {
            if self.open_one(id).is_some_and(|c| c.phase == Phase::Open) {
                self.show_unread(id.index(), events);
            }
        }
        if self.resumed.is_empty() {
            self.resumed = resumed;
        }
        true
    }

    /// Lends octets that have just arrived; keeps a copy of what is not consumed.
    pub(crate) fn deliver(&mut self, index: u32, fresh: &[u8], events: &mut dyn Events) {
        let id = self.id_of(index);
        let connection = self.at(index);
        connection.seasoned = true;
        if !connection.unread.is_empty() {
            connection.unread.extend_from_slice(fresh);
            return self.show_unread(index, events);
        }
        let owner = connection.owner;
        let consumed = events.received(self, id, owner, fresh);
        let rest = &fresh[consumed..];
        if !rest.is_empty() && self.open_one(id).is_some() {
            let mut unread = self.buffers.pop().unwrap_or_default();
            unread.extend_from_slice(rest);
            self.at(index).unread = unread;
            self.mind_window(index);
        }
    }

    fn show_unread(&mut self, index: u32, events: &mut dyn Events) {
        let id = self.id_of(index);
        let connection = self.at(index);
        let owner = connection.owner;
        let mut unread = std::mem::take(&mut connection.unread);
        let consumed = events.received(self, id, owner, &unread);
        unread.drain(..consumed);
        if unread.is_empty() || self.open_one(id).is_none() {
            self.recycle_buffer(unread);
        } else {
            self.at(index).unread = unread;
        }
        self.mind_window(index);
    }

    /// Stops reading while more is unread than the window allows.
    fn mind_window(&mut self, index: u32) {
        let window = self.receive_window;
        let connection = self.at(index);
        let paused = connection.unread.len() >= window;
        if paused != connection.paused {
            connection.paused = paused;
            self.touch(index);
        }
    }

    /// Takes the next gather to be sent.
    pub(crate) fn take_outgoing(&mut self, index: u32) -> Option<Box<Gather>> {
        self.at(index).outgoing.pop_front()
    }

    /// Counts octets that the kernel took over, and tells the module.
    pub(crate) fn sent(&mut self, index: u32, count: u64, events: &mut dyn Events) {
        let id = self.id_of(index);
        let connection = self.at(index);
        connection.queued = connection.queued.saturating_sub(count);
        let (owner, phase) = (connection.owner, connection.phase);
        if count > 0 && phase != Phase::Aborting {
            events.sent(self, id, owner, count);
        }
    }

    /// The connection failed: tells the module, once.
    pub(crate) fn fail(&mut self, index: u32, error: &io::Error, events: &mut dyn Events) {
        let id = self.id_of(index);
        let connection = self.at(index);
        let (owner, phase) = (connection.owner, connection.phase);
        if matches!(phase, Phase::Aborting | Phase::Free) {
            return;
        }
        connection.phase = Phase::Aborting;
        self.touch(index);
        events.disconnected(self, id, owner, reason(error, phase));
    }

    /// The peer's FIN has arrived.
    pub(crate) fn peer_finished(&mut self, index: u32, events: &mut dyn Events) {
        let id = self.id_of(index);
        let connection = self.at(index);
        let first = !std::mem::replace(&mut connection.peer_finished, true);
        let owner = connection.owner;
        if first && connection.phase == Phase::Open {
            events.disconnected(self, id, owner, Disconnect::Finished);
        }
        self.touch(index);
    }

    /// The socket is closed: tells the module unless it knows, and frees the slot.
    pub(crate) fn ended(&mut self, index: u32, events: &mut dyn Events) {
        let id = self.id_of(index);
        let connection = self.at(index);
        let owner = connection.owner;
        if connection.phase == Phase::Ending {
            connection.phase = Phase::Aborting;
            events.disconnected(self, id, owner, Disconnect::Closed);
        }
        self.release(index);
    }

    pub(crate) fn recycle(&mut self, mut gather: Box<Gather>) {
        if self.gathers.len() < POOL {
            gather.clear();
            self.gathers.push(gather);
        }
    }

    fn recycle_buffer(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() > 0 && self.buffers.len() < POOL {
            buffer.clear();
            buffer.shrink_to(self.receive_window);
            self.buffers.push(buffer);
        }
    }
}

impl Calls for Table {
    fn send(&mut self, connection: ConnectionId, segment: Segment<'_>) {
        let Table { gathers, connections, .. } = self;
        let Some(c) = connections.get_mut(connection.index() as usize) else { return };
        if c.generation != connection.generation() || c.phase != Phase::Open || c.finish != Finish::No {
            return;
        }
        if c.outgoing.back().is_none_or(|gather| gather.is_full()) {
            c.outgoing.push_back(gathers.pop().unwrap_or_default());
        }
        let Some(gather) = c.outgoing.back_mut() else { return };
        let before = gather.remaining();
        match segment {
            Segment::Copy(bytes) => gather.copy(bytes),
            Segment::Pinned(pin) => gather.pin(pin.into_slice()),
            Segment::File(range) => gather.file(range.file, range.offset, range.length),
        }
        c.queued += gather.remaining() - before;
        self.touch(connection.index());
    }

    fn send_space(&self, connection: ConnectionId) -> usize {
        let c = self.connections.get(connection.index() as usize);
        let c = c.filter(|c| c.generation == connection.generation());
        c.map_or(0, |c| self.send_buffer.saturating_sub(c.queued) as usize)
    }

    fn in_flight(&self, connection: ConnectionId) -> u64 {
        let c = self.connections.get(connection.index() as usize);
        let socket = c.filter(|c| c.generation == connection.generation()).and_then(|c| c.socket.as_ref());
        socket.map_or(0, |socket| afpa_platform::socket::unacknowledged(socket.as_fd()).unwrap_or(0))
    }

    fn resume(&mut self, connection: ConnectionId) {
        if self.open_one(connection).is_some() {
            self.resumed.push(connection);
        }
    }

    fn close(&mut self, connection: ConnectionId) {
        if let Some(c) = self.open_one(connection) {
            c.phase = Phase::Closing;
            self.touch(connection.index());
        }
    }

    fn finish(&mut self, connection: ConnectionId) {
        if let Some(c) = self.open_one(connection).filter(|c| c.finish == Finish::No) {
            c.finish = Finish::Due;
            self.touch(connection.index());
        }
    }

    fn abort(&mut self, connection: ConnectionId) {
        let Some(c) = self.connections.get_mut(connection.index() as usize) else { return };
        if c.generation != connection.generation() || matches!(c.phase, Phase::Free | Phase::Aborting | Phase::Ending) {
            return;
        }
        c.phase = Phase::Aborting;
        if let Some(socket) = &c.socket {
            // Closing then sends RST. A socket that is not connected has nothing to reset.
            let _ = rustix::net::sockopt::set_socket_linger(socket, Some(std::time::Duration::ZERO));
        }
        self.touch(connection.index());
    }

    fn connect(&mut self, to: &Address, owner: Owner) -> io::Result<ConnectionId> {
        let socket = address::connect(to)?;
        let limit = || io::Error::new(io::ErrorKind::QuotaExceeded, "the transport's limit on connections is reached");
        let id = self.open(socket, owner, Phase::Connecting).ok_or_else(limit)?;
        self.touch(id.index());
        Ok(id)
    }

    fn peer(&self, connection: ConnectionId) -> Option<Address> {
        let c = self.connections.get(connection.index() as usize)?;
        let socket = c.socket.as_ref().filter(|_| c.generation == connection.generation())?;
        address::peer(socket.as_fd())
    }

    fn send_datagram(&mut self, socket: ListenerId, peer: SocketAddr, segments: &mut dyn Iterator<Item = Segment<'_>>) {
        let mut octets = self.buffers.pop().unwrap_or_default();
        for segment in segments {
            match segment {
                Segment::Copy(bytes) => octets.extend_from_slice(bytes),
                Segment::Pinned(pin) => octets.extend_from_slice(&pin),
                Segment::File(_) => return self.recycle_buffer(octets),
            }
        }
        if let Some((_, _, fd)) = self.datagrams.iter().find(|(id, _, _)| *id == socket) {
            // What does not fit the socket's queue is lost, as the seam says.
            let _ = rustix::net::sendto(fd, &octets, rustix::net::SendFlags::DONTWAIT, &peer);
        }
        self.recycle_buffer(octets);
    }

    fn sends_files(&self) -> bool {
        self.respond != Respond::Inline
    }
}

impl Connection {
    fn free() -> Connection {
        Connection {
            generation: 0,
            owner: Owner::default(),
            phase: Phase::Free,
            finish: Finish::No,
            socket: None,
            unread: Vec::new(),
            outgoing: VecDeque::new(),
            held: None,
            queued: 0,
            sending: false,
            receiving: false,
            peer_finished: false,
            seasoned: false,
            paused: false,
            touched: false,
        }
    }

    /// Whether everything given to `send` is with the kernel.
    pub(crate) fn is_drained(&self) -> bool {
        !self.sending && self.outgoing.is_empty()
    }

    /// Whether the driver shall receive.
    pub(crate) fn wants_input(&self) -> bool {
        self.phase == Phase::Open && !self.receiving && !self.paused && !self.peer_finished
    }

    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }
}

fn reason(error: &io::Error, phase: Phase) -> Disconnect {
    match error.kind() {
        _ if phase == Phase::Connecting => Disconnect::Refused,
        io::ErrorKind::TimedOut => Disconnect::TimedOut,
        _ => Disconnect::Reset,
    }
}
