//! Two transports on a cable in memory, with time that the test moves.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use afpa_direct::frames::memory::cable;
use afpa_engine::Transport;
use afpa_engine::seam::{Address, Calls, ConnectionId, Disconnect, Events, ListenerId, Origin, Owner, Segment, Time};
use afpa_tcp::{Config, State};
use rustix::net::{AddressFamily, SocketType};

mod support;

use support::{Event, LARGEST, PORT, Place, Side, pattern};

const NEAR: [&str; 2] = ["10.0.0.1", "fd00::1"];
const FAR: [&str; 2] = ["10.0.0.2", "fd00::2"];
/// Rounds after which nothing more is expected.
const ROUNDS: u32 = 300_000;

/// Both ends, and the time that they are told.
struct Wire {
    near: Side,
    far: Side,
    now: Time,
}

impl Wire {
    /// A cable that holds so many frames in each direction.
    fn new(capacity: usize) -> Wire {
        let (near, far) = cable(capacity);
        let side = |device, addresses: [&str; 2], number| {
            let addresses = addresses.map(|address| address.parse::<IpAddr>().unwrap());
            let tcp = Config::default();
            let link = [2, 0, 0, 0, 0, number];
            Side::new(Box::new(device), Place { link, addresses: &addresses, is_host: false, kernel: None, tcp })
        };
        Wire { near: side(near, NEAR, 1), far: side(far, FAR, 2), now: Time(1_000_000_000) }
    }

    /// Lets time pass until it is so.
    fn until(&mut self, what: &str, is_so: impl Fn(&Wire) -> bool) {
        for _ in 0..ROUNDS {
            if is_so(self) {
                return;
            }
            self.round();
        }
        panic!("never: {what}; near {:?}, far {:?}", self.near.app.events, self.far.app.events);
    }

    fn round(&mut self) {
        self.now = self.now.after(Duration::from_micros(100));
        self.near.poll(self.now, Duration::ZERO);
        self.far.poll(self.now, Duration::ZERO);
    }

    /// Asks the far end for so many octets, and checks each.
    fn fetch(&mut self, connection: afpa_engine::ConnectionId, len: usize) {
        self.near.forget(connection);
        self.near.say(connection, format!("get {len}\n").as_bytes());
        self.until("the whole response", |wire| wire.near.heard(connection).len() >= len);
        assert!(self.near.heard(connection) == pattern(len), "{len} octets");
    }
}

fn to(address: &str) -> String {
    if address.contains(':') { format!("[{address}]:{PORT}") } else { format!("{address}:{PORT}") }
}

#[test]
fn pinned_memory_of_every_size_arrives_as_it_is() {
    for address in FAR {
        let mut wire = Wire::new(256);
        let connection = wire.near.connect(&to(address));
        for len in [1, 2, 100, 1447, 1448, 1449, 2896, 4096, 65_535, 65_536, 65_537, 300_001, LARGEST] {
            wire.fetch(connection, len);
        }
        assert_eq!(wire.far.app.accepted().len(), 1);
        wire.until("every pin is dropped", |wire| wire.far.app.pinned() == 0);
    }
}

#[test]
fn a_cable_that_is_full_holds_up_and_loses_nothing() {
    for capacity in [1, 2, 7] {
        let mut wire = Wire::new(capacity);
        let connection = wire.near.connect(&to(FAR[0]));
        wire.fetch(connection, 200_000);
        assert!(wire.far.direct.stats().transmit_ring_full.get() > 0, "{capacity}");
    }
}

#[test]
fn what_is_sent_up_arrives_whole() {
    let mut wire = Wire::new(64);
    let connection = wire.near.connect(&to(FAR[1]));
    let octets = pattern(500_000);
    wire.near.say(connection, b"put 500000\n");
    wire.near.say(connection, &octets);
    let answer = format!("{}\n", support::digest(&octets));
    wire.until("the answer", |wire| wire.near.heard(connection) == answer.as_bytes());
}

#[test]
fn a_half_that_is_closed_still_hears_the_answer() {
    let mut wire = Wire::new(64);
    let connection = wire.near.connect(&to(FAR[0]));
    wire.near.say(connection, b"get 100000\n");
    wire.near.direct.calls().finish(connection);
    wire.until("the end", |wire| wire.near.app.end_of(connection) == Some(Disconnect::Closed));
    assert!(wire.near.heard(connection) == pattern(100_000));
    let accepted = wire.far.app.accepted()[0];
    wire.until("the other end", |wire| wire.far.app.end_of(accepted) == Some(Disconnect::Closed));
    let ends = wire.near.app.events.iter().filter(|event| matches!(event, Event::Ended(..))).count();
    assert_eq!(ends, 2, "the peer's half, and the whole: {:?}", wire.near.app.events);
    assert_eq!((wire.near.direct.connections(), wire.far.direct.connections()), (0, 0));
}

#[test]
fn an_abort_resets_the_peer() {
    let mut wire = Wire::new(64);
    let connections = FAR.map(|address| wire.near.connect(&to(address)));
    for connection in connections {
        wire.fetch(connection, 10);
        wire.near.say(connection, b"drop\n");
        wire.until("the reset", |wire| wire.near.app.end_of(connection) == Some(Disconnect::Reset));
    }
    let connection = wire.near.connect(&to(FAR[0]));
    wire.fetch(connection, 10);
    wire.near.direct.calls().abort(connection);
    let accepted = wire.far.app.accepted()[2];
    wire.until("the peer's reset", |wire| wire.far.app.end_of(accepted) == Some(Disconnect::Reset));
    assert_eq!(wire.far.direct.connections(), 0);
}

#[test]
fn listeners_come_and_go_and_their_connections_live_on() {
    let mut wire = Wire::new(64);
    for _ in 0..3 {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&socket, &SocketAddr::from(([0, 0, 0, 0], 0))).unwrap();
        let SocketAddr::V4(at) = rustix::net::getsockname(&socket).unwrap().try_into().unwrap() else { panic!() };
        let to = format!("{}:{}", FAR[0], at.port());
        let listener = wire.far.direct.adopt(socket, Owner(7), 5).unwrap();
        let connection = wire.near.connect(&to);
        wire.fetch(connection, 1000);
        let accepted = *wire.far.app.accepted().last().unwrap();
        assert_eq!(wire.far.direct.calls().local(accepted), Some(Address::Inet(to.parse().unwrap())));
        wire.far.direct.unlisten(listener).unwrap();
        assert!(wire.far.direct.unlisten(listener).is_err());
        let late = wire.near.connect(&to);
        wire.until("the refusal", |wire| wire.near.app.end_of(late) == Some(Disconnect::Refused));
        wire.fetch(connection, 1000);
    }
    assert!(wire.far.direct.unlisten(wire.far.sockets[0]).is_err(), "datagrams have no listener");
    // The listeners that were there before are as they were.
    let connection = wire.near.connect(&to(FAR[0]));
    wire.fetch(connection, 1000);
}

#[test]
fn a_socket_of_both_families_is_listened_to_by_one_name() {
    let mut wire = Wire::new(64);
    for _ in 0..2 {
        let socket = rustix::net::socket(AddressFamily::INET6, SocketType::STREAM, None).unwrap();
        rustix::net::sockopt::set_ipv6_v6only(&socket, false).unwrap();
        rustix::net::bind(&socket, &SocketAddr::from(([0; 8], 0))).unwrap();
        let port = SocketAddr::try_from(rustix::net::getsockname(&socket).unwrap()).unwrap().port();
        let listener = wire.far.direct.adopt(socket, Owner(7), 5).unwrap();
        let both = FAR.map(|address| SocketAddr::new(address.parse().unwrap(), port).to_string());
        for to in &both {
            let connection = wire.near.connect(to);
            wire.fetch(connection, 1000);
            assert_eq!(wire.far.app.listeners.last(), Some(&listener));
        }
        wire.far.direct.unlisten(listener).unwrap();
        for to in &both {
            let late = wire.near.connect(to);
            wire.until("the refusal", |wire| wire.near.app.end_of(late) == Some(Disconnect::Refused));
        }
    }
}

#[test]
fn who_listens_to_nothing_refuses() {
    let mut wire = Wire::new(64);
    let connection = wire.near.connect("10.0.0.2:81");
    wire.until("the refusal", |wire| wire.near.app.end_of(connection) == Some(Disconnect::Refused));
}

#[test]
fn datagrams_go_both_ways() {
    let mut wire = Wire::new(64);
    wire.near.app.swallow();
    let sockets: Vec<ListenerId> = wire.near.sockets.clone();
    for (socket, (ours, theirs)) in sockets.into_iter().zip(NEAR.into_iter().zip(FAR)) {
        for len in [0, 1, 1000, 1400] {
            let octets = pattern(len);
            let mut pieces = octets.chunks(300).map(Segment::Copy);
            wire.near.direct.calls().send_datagram(socket, to(theirs).parse().unwrap(), &mut pieces);
            let echo = (to(theirs).parse().unwrap(), octets.clone());
            wire.until("the echo", |wire| wire.near.app.datagrams().last() == Some(&echo));
            assert_eq!(wire.far.app.datagrams().last().unwrap(), &(to(ours).parse().unwrap(), octets));
        }
    }
    let too_long = pattern(1473);
    wire.near.direct.calls().send_datagram(
        wire.near.sockets[0],
        to(FAR[0]).parse().unwrap(),
        &mut std::iter::once(Segment::Copy(&too_long)),
    );
    (0..10).for_each(|_| wire.round());
    assert_eq!(wire.far.app.datagrams().len(), 8, "longer than the link takes");
}

#[test]
fn an_observer_sees_connections_and_frames() {
    let mut wire = Wire::new(64);
    let (frames, dropped) = wire.far.direct.observer().capture(60);
    let connection = wire.near.connect(&to(FAR[0]));
    wire.fetch(connection, 5000);
    let answer = wire.far.direct.observer().connections(10);
    wire.round();
    let found = answer.recv().unwrap();
    assert_eq!((found.len(), found[0].state, found[0].segment_size), (1, State::Established, 1448));
    assert_eq!((found[0].local, found[0].token), (to(FAR[0]).parse().unwrap(), 7));
    let captured: Vec<_> = frames.try_iter().collect();
    let stats = wire.far.direct.stats();
    assert_eq!(captured.len() as u64, stats.frames_in.get() + stats.frames_out.get());
    assert_eq!(dropped.get(), 0);
    let longest = captured.iter().filter(|frame| frame.outgoing).map(|frame| frame.length).max();
    assert_eq!(longest, Some(1514));
    assert!(captured.iter().all(|frame| frame.octets.len() == frame.length.min(60)));
    // SYN first.
    assert!(!captured[0].outgoing && captured[0].octets[47] == 2);
    drop(frames);
    wire.fetch(connection, 10);
}

#[test]
fn counters_that_are_asked_for_are_up_to_date() {
    let mut wire = Wire::new(64);
    let connection = wire.near.connect(&to(FAR[0]));
    wire.fetch(connection, 5000);
    let answer = wire.far.direct.observer().counters();
    // Without any time or traffic between.
    wire.far.poll(wire.now, Duration::ZERO);
    let (tcp, stats) = (answer.recv().unwrap(), wire.far.direct.stats());
    assert_eq!((tcp.accepted, tcp.octets_sent), (1, 5000));
    assert_eq!((stats.connections.get(), stats.tcp().octets_sent), (1, 5000));
}

#[test]
fn a_transport_knows_how_long_it_has_nothing_to_do() {
    let mut wire = Wire::new(64);
    let now = wire.now;
    wire.near.poll(now, Duration::ZERO);
    assert_eq!(wire.near.direct.patience(now), None);
    wire.near.connect(&to(FAR[0]));
    wire.near.poll(now, Duration::ZERO);
    // RFC 6298 §2.1: the SYN is sent again after a second.
    let patience = wire.near.direct.patience(now).unwrap();
    assert!((900..=1000).contains(&patience.as_millis()), "{patience:?}");
    let part = Duration::from_millis(400);
    assert_eq!(wire.near.direct.patience(now.after(part)), Some(patience - part));
    assert_eq!(wire.near.direct.patience(now.after(2 * patience)), Some(Duration::ZERO));
}

#[test]
fn who_stops_listening_keeps_its_connections() {
    let mut wire = Wire::new(64);
    let connection = wire.near.connect(&to(FAR[0]));
    wire.fetch(connection, 10);
    wire.far.direct.stop_listening();
    let late = wire.near.connect(&to(FAR[0]));
    wire.until("the refusal", |wire| wire.near.app.end_of(late) == Some(Disconnect::Refused));
    wire.fetch(connection, 100_000);
}

/// Counts how often it is told that a poll has stopped waiting.
#[derive(Default)]
struct Awakenings(usize);

impl Events for Awakenings {
    fn awake(&mut self) -> Option<Time> {
        self.0 += 1;
        None
    }

    fn connected(&mut self, _: &mut dyn Calls, _: ConnectionId, _: Owner, _: Origin) {}

    fn received(&mut self, _: &mut dyn Calls, _: ConnectionId, _: Owner, bytes: &[u8]) -> usize {
        bytes.len()
    }

    fn sent(&mut self, _: &mut dyn Calls, _: ConnectionId, _: Owner, _: u64) {}

    fn disconnected(&mut self, _: &mut dyn Calls, _: ConnectionId, _: Owner, _: Disconnect) {}

    fn datagram(&mut self, _: &mut dyn Calls, _: ListenerId, _: Owner, _: SocketAddr, _: &[u8]) {}
}

#[test]
fn a_poll_that_has_said_that_it_waits_no_more_does_not_wait() {
    let mut wire = Wire::new(64);
    wire.near.connect(&to(FAR[0]));
    wire.near.poll(wire.now, Duration::ZERO);
    wire.far.poll(wire.now, Duration::ZERO);
    // Whoever would wake it has no reason to from the first time on.
    for _ in 0..3 {
        let mut events = Awakenings::default();
        wire.far.direct.poll(wire.now, Some(Duration::from_millis(1)), &mut events).unwrap();
        assert_eq!(events.0, 1);
    }
}
