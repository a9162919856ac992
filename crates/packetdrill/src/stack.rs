//! Sockets, a simulated clock and a cable around one TCP.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use afpa_tcp::{
    Arrival, ConnectError, ConnectionInfo, Handle, Input, Integrity, ListenError, Opened, Packet, Payload, Sink, Tcp,
    Time,
};
use afpa_wire::checksum;

use crate::errno::Errno;
use crate::settings::Settings;
use crate::socket::{Connection, Role, Socket};

/// The simulated clock begins here, so that a script may look back.
const START: Time = Time(1_000_000_000_000_000);
const MICROSECOND: Duration = Duration::from_micros(1);
/// Packets that packetdrill has not yet sniffed. Beyond it, TCP keeps them.
const CABLE: usize = 4096;
/// The most sockets of a script.
const SOCKETS: usize = 1024;
/// The most connections that wait for one `accept`.
const BACKLOG: usize = 128;
/// A script is replayed with the same numbers each time.
const SEED: [u8; 32] = *b"the same numbers for each replay";

/// Everything behind the C interface but its blocking.
pub(crate) struct Stack {
    pub(crate) settings: Settings,
    tcp: Option<Tcp<Octets>>,
    now: Time,
    sockets: BTreeMap<u32, Socket>,
    next: u32,
    descriptors: BTreeMap<i32, u32>,
    handles: BTreeMap<(u32, u32), u32>,
    cable: Cable,
}

impl Stack {
    pub(crate) fn new(settings: Settings) -> Stack {
        Stack {
            settings,
            tcp: None,
            now: START,
            sockets: BTreeMap::new(),
            next: 0,
            descriptors: BTreeMap::new(),
            handles: BTreeMap::new(),
            cable: Cable::default(),
        }
    }

    /// The simulated time.
    pub(crate) fn now(&self) -> Time {
        self.now
    }

    /// The next moment, not before now, at which TCP does something by itself.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.tcp.as_ref()?.next_deadline().map(|due| due.max(self.now.after(MICROSECOND)))
    }

    /// Moves the clock, not beyond [`next_deadline`](Stack::next_deadline), and does what is due.
    pub(crate) fn advance(&mut self, to: Time) {
        self.now = self.now.max(to);
        while let Some(arrival) = self.tcp.as_mut().and_then(|tcp| tcp.expire(self.now)) {
            self.arrive(arrival);
        }
        self.dispatch();
    }

    /// An IP packet from the script.
    pub(crate) fn receive(&mut self, packet: &[u8]) {
        let now = self.now;
        if let Some(arrival) = self.tcp().process(now, packet, Integrity::Verify) {
            self.arrive(arrival);
        }
        self.dispatch();
    }

    /// The oldest packet that the script has not seen, and when it was sent.
    pub(crate) fn sniff(&mut self) -> Option<(Time, Vec<u8>)> {
        let packet = self.cable.packets.pop_front();
        if packet.is_some() {
            self.dispatch();
        }
        packet
    }

    /// Gives `descriptor` a socket of its own.
    pub(crate) fn open(&mut self, descriptor: i32, socket: Socket) -> Result<(), Errno> {
        let id = self.add(socket)?;
        self.descriptors.insert(descriptor, id);
        Ok(())
    }

    pub(crate) fn socket(&self, descriptor: i32) -> Result<&Socket, Errno> {
        self.descriptors.get(&descriptor).and_then(|id| self.sockets.get(id)).ok_or(Errno::BAD_DESCRIPTOR)
    }

    pub(crate) fn socket_mut(&mut self, descriptor: i32) -> Result<&mut Socket, Errno> {
        self.descriptors.get(&descriptor).and_then(|id| self.sockets.get_mut(id)).ok_or(Errno::BAD_DESCRIPTOR)
    }

    /// Whether the configuration may still change.
    pub(crate) fn is_configurable(&self) -> bool {
        self.tcp.is_none()
    }

    pub(crate) fn listen(&mut self, descriptor: i32, backlog: i32) -> Result<(), Errno> {
        let id = self.id(descriptor)?;
        let backlog = usize::try_from(backlog).unwrap_or_default().clamp(1, BACKLOG);
        let socket = self.socket_mut(descriptor)?;
        match &mut socket.role {
            Role::Listening { backlog: old, .. } => *old = backlog,
            Role::Connected(_) => return Err(Errno::INVALID),
            Role::Fresh => {
                let local = socket.bound.ok_or(Errno::INVALID)?;
                self.tcp().listen(local, id).map_err(|error| match error {
                    ListenError::InUse => Errno::ADDRESS_IN_USE,
                    ListenError::Address => Errno::INVALID,
                    ListenError::TooMany => Errno::TOO_MANY,
                })?;
                self.socket_mut(descriptor)?.role = Role::Listening { queue: VecDeque::new(), backlog };
            }
        }
        Ok(())
    }

    /// Whether a connection waits for `accept`.
    pub(crate) fn has_accepted(&self, descriptor: i32) -> Result<bool, Errno> {
        match &self.socket(descriptor)?.role {
            Role::Listening { queue, .. } => Ok(!queue.is_empty()),
            _ => Err(Errno::INVALID),
        }
    }

    /// Gives the oldest connection that waits to `descriptor`, and returns its peer.
    pub(crate) fn accept(&mut self, listener: i32, descriptor: i32) -> Result<Option<SocketAddr>, Errno> {
        let Role::Listening { queue, .. } = &mut self.socket_mut(listener)?.role else { return Err(Errno::INVALID) };
        let Some(id) = queue.pop_front() else { return Ok(None) };
        self.descriptors.insert(descriptor, id);
        Ok(self.socket(descriptor)?.bound)
    }

    /// Begins to connect.
    pub(crate) fn connect(&mut self, descriptor: i32, remote: SocketAddr) -> Result<(), Errno> {
        let id = self.id(descriptor)?;
        let socket = self.socket(descriptor)?;
        match &socket.role {
            Role::Fresh => {}
            Role::Listening { .. } => return Err(Errno::IS_CONNECTED),
            Role::Connected(connection) if connection.is_established => return Err(Errno::IS_CONNECTED),
            Role::Connected(_) => return Err(Errno::ALREADY),
        }
        let bound = socket.bound.map(|bound| bound.ip()).filter(|address| !address.is_unspecified());
        let local = bound.unwrap_or(match remote {
            SocketAddr::V4(_) => IpAddr::V4(self.settings.local),
            SocketAddr::V6(_) => IpAddr::V6(self.settings.local_v6),
        });
        let now = self.now;
        let handle = self.tcp().connect(now, local, remote, id).map_err(|error| match error {
            ConnectError::Addresses | ConnectError::NotUnicast => Errno::INVALID,
            ConnectError::TooManyConnections => Errno::TOO_MANY,
            ConnectError::NoPort => Errno::ADDRESS_NOT_AVAILABLE,
        })?;
        self.handles.insert((handle.index, handle.generation), id);
        self.socket_mut(descriptor)?.role = Role::Connected(Connection::new(handle, false));
        self.dispatch();
        Ok(())
    }

    /// Fills `parts` with what is unread; `None` if the peer may send more and nothing is there.
    pub(crate) fn read(
        &mut self,
        descriptor: i32,
        parts: &mut [&mut [u8]],
        peek: bool,
    ) -> Result<Option<usize>, Errno> {
        let socket = self.socket_mut(descriptor)?;
        let is_deaf = socket.is_deaf;
        let connection = socket.connection_mut().ok_or(Errno::NOT_CONNECTED)?;
        let (handle, is_finished) = (connection.handle, connection.is_finished);
        if let Some(error) = connection.error.take() {
            return Err(error);
        }
        if parts.iter().all(|part| part.is_empty()) {
            return Ok(Some(0));
        }
        let Some(tcp) = self.tcp.as_mut() else { return Ok(None) };
        let unread = tcp.take_unread(handle);
        let mut count = 0;
        for part in parts {
            let rest = unread.get(count..).unwrap_or_default();
            let length = rest.len().min(part.len());
            part[..length].copy_from_slice(&rest[..length]);
            count += length;
        }
        tcp.give_unread(handle, unread, if peek { 0 } else { count });
        self.dispatch();
        Ok((count > 0 || is_finished || is_deaf).then_some(count))
    }

    /// Queues as much of `bytes` as there is room for; `None` if there is none, or the connection is not yet open.
    pub(crate) fn write(&mut self, descriptor: i32, bytes: &[u8]) -> Result<Option<usize>, Errno> {
        let socket = self.socket_mut(descriptor)?;
        let limit = socket.send_limit.unwrap_or(usize::MAX);
        let connection = socket.connection_mut().ok_or(Errno::PIPE)?;
        let handle = connection.handle;
        if let Some(error) = connection.error.take() {
            return Err(error);
        }
        if connection.has_shut_down || connection.ended.is_some() {
            return Err(Errno::PIPE);
        }
        if !connection.is_established {
            return Ok(None);
        }
        if bytes.is_empty() {
            return Ok(Some(0));
        }
        let Some(tcp) = self.tcp.as_mut() else { return Ok(None) };
        let queued = usize::try_from(tcp.in_flight(handle)).unwrap_or(usize::MAX);
        let count = tcp.send_space(handle).min(limit.saturating_sub(queued)).min(bytes.len());
        if count == 0 {
            return Ok(None);
        }
        tcp.send_pinned(handle, Octets(Arc::from(&bytes[..count])));
        self.dispatch();
        Ok(Some(count))
    }

    /// Shuts down one half, or both.
    pub(crate) fn shut_down(&mut self, descriptor: i32, receiving: bool, sending: bool) -> Result<(), Errno> {
        let socket = self.socket_mut(descriptor)?;
        socket.is_deaf |= receiving;
        let connection = socket.connection_mut().ok_or(Errno::NOT_CONNECTED)?;
        if connection.ended.is_some() {
            return Err(Errno::NOT_CONNECTED);
        }
        if sending {
            connection.has_shut_down = true;
            let handle = connection.handle;
            if let Some(tcp) = &mut self.tcp {
                tcp.finish(handle);
            }
        }
        self.dispatch();
        Ok(())
    }

    /// Closes as the socket interface does: what nobody read is answered with a reset (RFC 9293 §3.6.1).
    pub(crate) fn close(&mut self, descriptor: i32) -> Result<(), Errno> {
        let id = self.descriptors.remove(&descriptor).ok_or(Errno::BAD_DESCRIPTOR)?;
        self.drop_socket(id);
        self.dispatch();
        Ok(())
    }

    /// What TCP says of a connection.
    pub(crate) fn describe(&self, descriptor: i32) -> Result<Option<ConnectionInfo>, Errno> {
        let socket = self.socket(descriptor)?;
        let described = socket.connection().and_then(|connection| self.tcp.as_ref()?.describe(connection.handle));
        Ok(described)
    }

    /// Whether a write would be taken.
    pub(crate) fn is_writable(&self, socket: &Socket) -> bool {
        let Some(connection) = socket.connection() else { return false };
        let Some(tcp) = &self.tcp else { return false };
        let queued = usize::try_from(tcp.in_flight(connection.handle)).unwrap_or(usize::MAX);
        let is_open = connection.is_established && !connection.has_shut_down;
        connection.ended.is_some()
            || (is_open
                && tcp.send_space(connection.handle) > 0
                && socket.send_limit.is_none_or(|limit| queued < limit))
    }

    /// Octets that the peer sent and nobody read.
    pub(crate) fn unread(&self, socket: &Socket) -> u32 {
        let described = socket.connection().and_then(|connection| self.tcp.as_ref()?.describe(connection.handle));
        described.map_or(0, |info| info.unread)
    }

    fn id(&self, descriptor: i32) -> Result<u32, Errno> {
        self.descriptors.get(&descriptor).copied().ok_or(Errno::BAD_DESCRIPTOR)
    }

    fn add(&mut self, socket: Socket) -> Result<u32, Errno> {
        if self.sockets.len() >= SOCKETS {
            return Err(Errno::TOO_MANY);
        }
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        self.sockets.insert(id, socket);
        Ok(id)
    }

    fn tcp(&mut self) -> &mut Tcp<Octets> {
        self.tcp.get_or_insert_with(|| Tcp::new(self.settings.config.clone(), SEED))
    }

    fn arrive(&mut self, arrival: Arrival<'_>) {
        let Arrival { handle, token, opened, acknowledged: _, input, finished, ended } = arrival;
        if let Some(Opened::Accepted(_)) = opened {
            self.enqueue(token, handle);
        }
        if let (Input::Frame(octets), Some(tcp)) = (input, self.tcp.as_mut()) {
            tcp.consumed(handle, octets, 0);
        }
        let id = self.handles.get(&(handle.index, handle.generation)).copied();
        let connection = id.and_then(|id| self.sockets.get_mut(&id)).and_then(Socket::connection_mut);
        if let Some(connection) = connection {
            connection.is_established |= opened.is_some();
            connection.is_finished |= finished;
            if let Some(ending) = ended {
                connection.end(ending);
            }
        }
        if ended.is_some() {
            self.handles.remove(&(handle.index, handle.generation));
        }
    }

    /// A new connection of a listener; reset if nobody accepts so many.
    fn enqueue(&mut self, listener: u32, handle: Handle) {
        let mut peer = self.tcp.as_ref().and_then(|tcp| tcp.peer(handle));
        let (is_v6, has_room) = match self.sockets.get(&listener) {
            Some(Socket { role: Role::Listening { queue, backlog }, is_v6, .. }) => (*is_v6, queue.len() < *backlog),
            _ => (false, false),
        };
        let mut socket = Socket::new(is_v6, false);
        socket.role = Role::Connected(Connection::new(handle, true));
        socket.bound = peer.take();
        let id = if has_room { self.add(socket).ok() } else { None };
        match (id, self.sockets.get_mut(&listener).map(|socket| &mut socket.role)) {
            (Some(id), Some(Role::Listening { queue, .. })) => {
                queue.push_back(id);
                self.handles.insert((handle.index, handle.generation), id);
            }
            _ => {
                if let Some(tcp) = &mut self.tcp {
                    tcp.abort(handle);
                }
            }
        }
    }

    fn drop_socket(&mut self, id: u32) {
        let Some(socket) = self.sockets.remove(&id) else { return };
        match &socket.role {
            Role::Fresh => {}
            Role::Listening { queue, .. } => {
                for id in queue.iter().copied().collect::<Vec<_>>() {
                    self.drop_socket(id);
                }
                self.listen_again();
            }
            Role::Connected(connection) => {
                let is_unread = self.unread(&socket) > 0;
                let Some(tcp) = &mut self.tcp else { return };
                if connection.ended.is_some() {
                    return;
                }
                if socket.aborts || is_unread {
                    tcp.abort(connection.handle);
                    self.handles.remove(&(connection.handle.index, connection.handle.generation));
                } else {
                    tcp.close(connection.handle);
                }
            }
        }
    }

    /// TCP forgets all of its listeners at once; those that are left are named again.
    fn listen_again(&mut self) {
        let Some(tcp) = &mut self.tcp else { return };
        tcp.stop_listening();
        for (&id, socket) in &self.sockets {
            if let (Role::Listening { .. }, Some(local)) = (&socket.role, socket.bound) {
                let _ = tcp.listen(local, id);
            }
        }
    }

    fn dispatch(&mut self) {
        self.cable.now = self.now;
        if let Some(tcp) = &mut self.tcp {
            tcp.dispatch(self.now, &mut self.cable);
        }
    }
}

/// Packets that left, with their times.
#[derive(Default)]
struct Cable {
    now: Time,
    packets: VecDeque<(Time, Vec<u8>)>,
}

impl Sink<Octets> for Cable {
    fn max_payload(&self) -> usize {
        0
    }

    fn transmit(&mut self, packet: Packet<'_, Octets>) -> bool {
        if self.packets.len() >= CABLE {
            return false;
        }
        let mut octets = packet.headers.to_vec();
        for piece in packet.pieces {
            octets.extend_from_slice(piece.bytes());
        }
        self.packets.push_back((self.now, octets));
        true
    }
}

/// What `write` was given. Unlike `Rc`, it may be dropped by another thread than the one that made it.
#[derive(Clone)]
struct Octets(Arc<[u8]>);

impl Payload for Octets {
    fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn sum(&self, range: Range<usize>) -> u16 {
        checksum::sum(self.0.get(range).unwrap_or_default())
    }
}
