//! A transport with a small protocol above it, in place of an engine and its modules.
#![allow(dead_code, reason = "not every test needs all of it")]

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use afpa_cache::{Cache, CacheConfig, Piece, ResidentBody};
use afpa_direct::frames::FrameDevice;
use afpa_direct::frames::xdp::XdpDevice;
use afpa_direct::{Direct, DirectConfig};
use afpa_engine::seam::{
    Address, Calls, ConnectionId, Disconnect, Events, Listen, ListenerId, Origin, Owner, Segment, Time,
};
use afpa_engine::{Transport, TransportId};
use afpa_platform::interface::Interface;
use afpa_platform::memory::Arena;
use afpa_platform::netlink::Netlink;
use afpa_platform::steering::{AttachMode, Protocol, Steering};
use afpa_platform::xdp::{Mode, XdpConfig, XdpSocket};
use afpa_tcp::Config;
use afpa_wire::MacAddress;

/// The port that everybody listens to.
pub(crate) const PORT: u16 = 80;
/// Octets that are in pinned memory.
pub(crate) const LARGEST: usize = 1 << 20;
/// Frames of each queue of an [`xdp_device`]; an arena has four chunks for each at least.
pub(crate) const FRAMES: u32 = 1024;
/// Octets that are consumed at a time: the rest is shown again.
const MOUTHFUL: usize = 10_000;

/// What happened, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    Accepted(ConnectionId),
    Connected(ConnectionId),
    Ended(ConnectionId, Disconnect),
    Datagram(SocketAddr, Vec<u8>),
}

/// A transport, and what stands above it.
pub(crate) struct Side {
    pub(crate) direct: Direct,
    pub(crate) app: App,
    pub(crate) sockets: Vec<ListenerId>,
}

/// Answers lines: `get N` with N octets from pinned memory, `put N` and N octets with their [`digest`] in a line,
/// `drop` with a reset, `bye` with what is queued and the end. An end is answered with an end. Datagrams come back.
pub(crate) struct App {
    body: Rc<ResidentBody>,
    pins: Arc<AtomicU64>,
    talks: HashMap<u64, Talk>,
    pub(crate) events: Vec<Event>,
    /// By which each connection was accepted.
    pub(crate) listeners: Vec<ListenerId>,
    echoes: bool,
}

#[derive(Default)]
struct Talk {
    is_ours: bool,
    input: Vec<u8>,
    /// Ranges of the body that are still to be sent.
    due: VecDeque<(u64, u64)>,
    ends: bool,
}

/// Where a transport stands.
pub(crate) struct Place<'a> {
    pub(crate) link: [u8; 6],
    pub(crate) addresses: &'a [IpAddr],
    pub(crate) is_host: bool,
    pub(crate) kernel: Option<Netlink>,
    pub(crate) tcp: Config,
}

impl Side {
    /// Listens for connections and datagrams on every address.
    pub(crate) fn new(device: Box<dyn FrameDevice>, place: Place<'_>) -> Side {
        let config = DirectConfig {
            transport: TransportId(0),
            link_address: MacAddress(place.link),
            addresses: place.addresses.to_vec(),
            is_host: place.is_host,
            mtu: place.tcp.mtu,
            tcp: place.tcp,
            seed: [place.link[5]; 32],
        };
        let mut direct = Direct::new(&config, device, place.kernel).unwrap();
        let mut sockets = Vec::new();
        for address in place.addresses {
            let local = SocketAddr::new(*address, PORT);
            direct.listen(&Listen::Stream(Address::Inet(local)), Owner(7)).unwrap();
            sockets.push(direct.listen(&Listen::Datagram(local), Owner(7)).unwrap());
        }
        Side { direct, app: App::new(), sockets }
    }

    pub(crate) fn poll(&mut self, now: Time, wait: Duration) {
        self.direct.poll(now, Some(wait), &mut self.app).unwrap();
    }

    pub(crate) fn connect(&mut self, to: &str) -> ConnectionId {
        let to: SocketAddr = to.parse().unwrap();
        let connection = self.direct.calls().connect(&Address::Inet(to), Owner(7)).unwrap();
        self.app.talks.insert(key(connection), Talk { is_ours: true, ..Talk::default() });
        connection
    }

    pub(crate) fn say(&mut self, connection: ConnectionId, octets: &[u8]) {
        self.direct.calls().send(connection, Segment::Copy(octets));
    }

    /// What `connection` has received and was not fetched.
    pub(crate) fn heard(&self, connection: ConnectionId) -> &[u8] {
        self.app.talks.get(&key(connection)).map_or(&[], |talk| &talk.input)
    }

    /// Forgets what was received.
    pub(crate) fn forget(&mut self, connection: ConnectionId) {
        if let Some(talk) = self.app.talks.get_mut(&key(connection)) {
            talk.input.clear();
        }
    }
}

impl App {
    fn new() -> App {
        let config = CacheConfig { capacity: 64 << 20, max_pinned_object: LARGEST as u64, engines: 1, frames: 0 };
        let cache: Arc<Cache<()>> = Cache::new(config).unwrap();
        let mut filling = cache.fill(b"", LARGEST as u64).unwrap();
        filling.read_from(&mut &pattern(LARGEST)[..]).unwrap();
        let pins = Arc::new(AtomicU64::new(0));
        let body = ResidentBody::new(filling.finish(), &pins);
        App { body, pins, talks: HashMap::new(), events: Vec::new(), listeners: Vec::new(), echoes: true }
    }

    /// How the connection ended, if it did.
    pub(crate) fn end_of(&self, connection: ConnectionId) -> Option<Disconnect> {
        self.events.iter().rev().find_map(|event| match event {
            Event::Ended(of, reason) if *of == connection => Some(*reason),
            _ => None,
        })
    }

    pub(crate) fn accepted(&self) -> Vec<ConnectionId> {
        let accepted = self.events.iter().filter_map(|event| match event {
            Event::Accepted(connection) => Some(*connection),
            _ => None,
        });
        accepted.collect()
    }

    pub(crate) fn datagrams(&self) -> Vec<(SocketAddr, Vec<u8>)> {
        let datagrams = self.events.iter().filter_map(|event| match event {
            Event::Datagram(peer, octets) => Some((*peer, octets.clone())),
            _ => None,
        });
        datagrams.collect()
    }

    /// Keeps datagrams that come.
    pub(crate) fn swallow(&mut self) {
        self.echoes = false;
    }

    /// Pins that are held.
    pub(crate) fn pinned(&self) -> u64 {
        self.pins.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Obeys the lines that are whole.
    fn obey(&mut self, calls: &mut dyn Calls, connection: ConnectionId) {
        let Some(talk) = self.talks.get_mut(&key(connection)).filter(|talk| !talk.is_ours) else { return };
        while let Some(end) = talk.input.iter().position(|octet| *octet == b'\n') {
            let line = String::from_utf8_lossy(&talk.input[..end]).into_owned();
            let (verb, count) = line.split_once(' ').unwrap_or((&line, "0"));
            let count: usize = count.parse().unwrap();
            let rest = &talk.input[end + 1..];
            match verb {
                "put" if rest.len() < count => return,
                "put" => {
                    let answer = format!("{}\n", digest(&rest[..count]));
                    calls.send(connection, Segment::Copy(answer.as_bytes()));
                    talk.input.drain(..count);
                }
                "get" => talk.due.push_back((0, count as u64)),
                "bye" => talk.ends = true,
                "drop" => return calls.abort(connection),
                _ => panic!("a line that nobody sent: {line:?}"),
            }
            talk.input.drain(..=end);
        }
        self.pump(calls, connection);
    }

    /// Sends as much as there is room for.
    fn pump(&mut self, calls: &mut dyn Calls, connection: ConnectionId) {
        let Some(talk) = self.talks.get_mut(&key(connection)) else { return };
        while let Some((position, end)) = talk.due.front_mut() {
            if *position == *end {
                talk.due.pop_front();
                continue;
            }
            if calls.send_space(connection) == 0 {
                return;
            }
            let Piece::Pinned(pin) = self.body.piece_at(*position, *end) else { panic!("the body is in memory") };
            *position += pin.len() as u64;
            calls.send(connection, Segment::Pinned(pin));
        }
        if std::mem::take(&mut talk.ends) {
            calls.close(connection);
        }
    }
}

impl Events for App {
    fn connected(&mut self, _: &mut dyn Calls, connection: ConnectionId, owner: Owner, origin: Origin) {
        assert_eq!(owner, Owner(7));
        match origin {
            Origin::Accepted(listener) => {
                self.listeners.push(listener);
                self.talks.insert(key(connection), Talk::default());
                self.events.push(Event::Accepted(connection));
            }
            Origin::Connected => self.events.push(Event::Connected(connection)),
            // No transport says so.
            Origin::Opened(_) | Origin::Datagram(..) => unreachable!("{origin:?}"),
        }
    }

    fn received(&mut self, calls: &mut dyn Calls, connection: ConnectionId, _: Owner, bytes: &[u8]) -> usize {
        let talk = self.talks.get_mut(&key(connection)).expect("a connection that was opened");
        let count = bytes.len().min(MOUTHFUL);
        talk.input.extend_from_slice(&bytes[..count]);
        if count < bytes.len() {
            calls.resume(connection);
        }
        self.obey(calls, connection);
        count
    }

    fn sent(&mut self, calls: &mut dyn Calls, connection: ConnectionId, _: Owner, _: u64) {
        self.pump(calls, connection);
    }

    fn disconnected(&mut self, calls: &mut dyn Calls, connection: ConnectionId, _: Owner, reason: Disconnect) {
        self.events.push(Event::Ended(connection, reason));
        if let Some(talk) = self.talks.get_mut(&key(connection))
            && reason == Disconnect::Finished
            && !talk.is_ours
        {
            talk.ends = true;
            self.pump(calls, connection);
        }
    }

    fn datagram(&mut self, calls: &mut dyn Calls, socket: ListenerId, _: Owner, peer: SocketAddr, bytes: &[u8]) {
        self.events.push(Event::Datagram(peer, bytes.to_vec()));
        if self.echoes {
            calls.send_datagram(socket, peer, &mut std::iter::once(Segment::Copy(bytes)));
        }
    }
}

/// Every queue of an interface, in this memory, and what steers these connections to them.
pub(crate) fn xdp_device(interface: &Interface, services: &[SocketAddr], arena: &Arc<Arena>) -> (XdpDevice, Steering) {
    let steering = Steering::attach(interface.index, AttachMode::Auto).unwrap();
    let queues: Vec<u32> = (0..interface.receive_queues).collect();
    let config = XdpConfig {
        interface: interface.index,
        queue: 0,
        arena: arena.clone(),
        frames: FRAMES,
        mode: Mode::Auto,
        scatter: true,
        busy_poll: None,
    };
    let sockets = XdpSocket::open_queues(&config, &queues).unwrap();
    steering.add_sockets(&sockets).unwrap();
    services.iter().for_each(|service| steering.steer(Protocol::Tcp, *service).unwrap());
    (XdpDevice::new(sockets, true).unwrap(), steering)
}

/// Octets in which every shift shows.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|place| (place * 7 + place / 251) as u8).collect()
}

/// A number that tells octets and their order.
pub(crate) fn digest(octets: &[u8]) -> u64 {
    octets.iter().fold(0xcbf2_9ce4_8422_2325, |sum, octet| (sum ^ u64::from(*octet)).wrapping_mul(0x100_0000_01b3))
}

fn key(connection: ConnectionId) -> u64 {
    u64::from(connection.generation()) << 32 | u64::from(connection.index())
}
