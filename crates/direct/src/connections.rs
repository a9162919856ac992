//! What the seam's calls do: TCP's connections under the seam's names.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};

use afpa_engine::TransportId;
use afpa_engine::seam::{Address, Calls, ConnectionId, Disconnect, Events, ListenerId, Origin, Owner, Segment, Time};
use afpa_tcp::{Arrival, ConnectionInfo, Ending, Handle, Input, ListenerIndex, Opened, Tcp};

use crate::config::DirectConfig;
use crate::datagrams::Datagrams;
use crate::link::Links;
use crate::pinned::Pinned;
use crate::resumed::Resumed;

/// TCP, and what the seam needs beside it.
pub(crate) struct Connections {
    id: TransportId,
    pub(crate) tcp: Tcp<Pinned>,
    pub(crate) datagrams: Datagrams,
    pub(crate) links: Links,
    pub(crate) now: Time,
    /// Calls left something for the next dispatch.
    pub(crate) pending: bool,
    /// Connections whose unread input is to be shown again.
    resumed: Resumed,
    /// Listeners that are known by another's name.
    pub(crate) aliases: HashMap<ListenerIndex, ListenerId>,
    addresses: Vec<IpAddr>,
    mtu: usize,
}

impl Connections {
    pub(crate) fn new(config: &DirectConfig, links: Links) -> Connections {
        Connections {
            id: config.transport,
            tcp: Tcp::new(config.tcp.clone(), config.seed),
            datagrams: Datagrams::default(),
            links,
            now: Time::default(),
            pending: false,
            resumed: Resumed::default(),
            aliases: HashMap::new(),
            addresses: config.addresses.clone(),
            mtu: usize::from(config.mtu),
        }
    }

    /// TCP's idea of the time.
    pub(crate) fn tcp_now(&self) -> afpa_tcp::Time {
        afpa_tcp::Time(self.now.0)
    }

    pub(crate) fn id_of(&self, handle: Handle) -> ConnectionId {
        ConnectionId::new(self.id, handle.index, handle.generation)
    }

    pub(crate) fn listener(&self, index: u16) -> ListenerId {
        ListenerId { transport: self.id, index }
    }

    /// Whether input waits to be shown again.
    pub(crate) fn has_resumed(&self) -> bool {
        !self.resumed.is_empty()
    }

    /// Raises what a packet or a timer came to, in the order in which it happened.
    pub(crate) fn raise(&mut self, arrival: Arrival<'_>, events: &mut dyn Events) {
        let Arrival { handle, token, opened, acknowledged, input, finished, ended } = arrival;
        let (id, owner) = (self.id_of(handle), Owner(token as u8));
        self.pending = true;
        if let Some(opened) = opened {
            let origin = match opened {
                Opened::Accepted(listener) => {
                    let alias = self.aliases.get(&listener).copied();
                    Origin::Accepted(alias.unwrap_or_else(|| self.listener(listener.0)))
                }
                Opened::Connected => Origin::Connected,
            };
            events.connected(self, id, owner, origin);
        }
        if acknowledged > 0 {
            events.sent(self, id, owner, acknowledged);
        }
        match input {
            Input::None => {}
            Input::Frame(bytes) => {
                let consumed = events.received(self, id, owner, bytes).min(bytes.len());
                self.tcp.consumed(handle, &bytes[consumed..], consumed);
            }
            Input::Buffered => self.show(handle, id, owner, events),
        }
        if finished {
            events.disconnected(self, id, owner, Disconnect::Finished);
        }
        if let Some(ending) = ended {
            events.disconnected(self, id, owner, reason(ending));
        }
    }

    /// Shows input again where it was asked for: once for each connection, so that none holds up the
    /// others.
    pub(crate) fn raise_resumed(&mut self, events: &mut dyn Events) {
        for _ in 0..self.resumed.len() {
            let Some(id) = self.resumed.take() else { break };
            let handle = handle_of(id);
            if let Some(token) = self.tcp.token(handle) {
                self.pending = true;
                self.show(handle, id, Owner(token as u8), events);
            }
        }
    }

    /// All connections, at most `limit`, for an operator.
    pub(crate) fn describe(&self, limit: usize) -> Vec<ConnectionInfo> {
        self.tcp.handles().filter_map(|handle| self.tcp.describe(handle)).take(limit).collect()
    }

    /// The address to send from to `remote`.
    fn local_for(&self, remote: IpAddr) -> Option<IpAddr> {
        let known = self.links.source_for(remote);
        known.or_else(|| self.addresses.iter().copied().find(|address| address.is_ipv4() == remote.is_ipv4()))
    }

    /// Shows everything that is not consumed.
    fn show(&mut self, handle: Handle, id: ConnectionId, owner: Owner, events: &mut dyn Events) {
        let unread = self.tcp.take_unread(handle);
        let consumed = events.received(self, id, owner, &unread).min(unread.len());
        self.tcp.give_unread(handle, unread, consumed);
    }
}

impl Calls for Connections {
    fn send(&mut self, connection: ConnectionId, segment: Segment<'_>) {
        self.pending = true;
        match segment {
            Segment::Copy(bytes) => self.tcp.send_copy(handle_of(connection), bytes),
            Segment::Pinned(pin) => self.tcp.send_pinned(handle_of(connection), Pinned::from(pin)),
            Segment::Foreign(slice) => self.tcp.send_pinned(handle_of(connection), Pinned::from(slice)),
            // Nobody may ask for it: `sends_files` is false.
            Segment::File(_) => self.tcp.abort(handle_of(connection)),
        }
    }

    fn send_space(&self, connection: ConnectionId) -> usize {
        self.tcp.send_space(handle_of(connection))
    }

    fn in_flight(&self, connection: ConnectionId) -> u64 {
        self.tcp.in_flight(handle_of(connection))
    }

    fn resume(&mut self, connection: ConnectionId) {
        self.resumed.add(connection);
    }

    fn close(&mut self, connection: ConnectionId) {
        self.pending = true;
        self.tcp.close(handle_of(connection));
    }

    fn finish(&mut self, connection: ConnectionId) {
        self.pending = true;
        self.tcp.finish(handle_of(connection));
    }

    fn abort(&mut self, connection: ConnectionId) {
        self.pending = true;
        self.tcp.abort(handle_of(connection));
    }

    fn connect(&mut self, to: &Address, owner: Owner) -> io::Result<ConnectionId> {
        let Address::Inet(remote) = to else {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "direct has no Unix sockets"));
        };
        let local = self.local_for(remote.ip());
        let missing = || io::Error::new(io::ErrorKind::AddrNotAvailable, "the interface has no address of that family");
        let local = local.ok_or_else(missing)?;
        self.pending = true;
        let handle = self.tcp.connect(self.tcp_now(), local, *remote, u32::from(owner.0)).map_err(io::Error::other)?;
        Ok(self.id_of(handle))
    }

    fn peer(&self, connection: ConnectionId) -> Option<Address> {
        self.tcp.peer(handle_of(connection)).map(Address::Inet)
    }

    fn local(&self, connection: ConnectionId) -> Option<Address> {
        self.tcp.local(handle_of(connection)).map(Address::Inet)
    }

    fn send_datagram(&mut self, socket: ListenerId, peer: SocketAddr, segments: &mut dyn Iterator<Item = Segment<'_>>) {
        let Some(local) = self.datagrams.local(socket) else { return };
        let local = match local.ip().is_unspecified() {
            true => self.local_for(peer.ip()),
            false => Some(local.ip()),
        }
        .map(|address| SocketAddr::new(address, local.port()));
        let Some(local) = local else { return };
        self.pending = true;
        self.datagrams.send(local, peer, self.mtu, segments);
    }

    fn sends_files(&self) -> bool {
        false
    }
}

fn handle_of(id: ConnectionId) -> Handle {
    Handle { index: id.index(), generation: id.generation() }
}

fn reason(ending: Ending) -> Disconnect {
    match ending {
        Ending::Closed => Disconnect::Closed,
        Ending::Reset => Disconnect::Reset,
        Ending::Refused => Disconnect::Refused,
        Ending::TimedOut => Disconnect::TimedOut,
    }
}
