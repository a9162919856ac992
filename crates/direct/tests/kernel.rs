//! The transport against Linux's own TCP, through packet sockets and a TAP device, in namespaces that the tests
//! make.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use afpa_direct::frames::packet::PacketDevice;
use afpa_direct::frames::tap::TapDevice;
use afpa_engine::Transport;
use afpa_engine::seam::{Disconnect, Segment, Time};
use afpa_platform::clock;
use afpa_platform::interface::Interface;
use afpa_platform::netlink::Netlink;
use afpa_platform::packet::{PacketConfig, PacketSocket, Protocol, Shield, Spread};
use afpa_platform::tap::Tap;
use afpa_tcp::Config;

#[path = "../../platform/tests/link/mod.rs"]
mod link;
mod support;

use link::{Pair, privileged};
use support::{LARGEST, PORT, Place, Side, digest, pattern};

/// Longer than any of this takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long an end without traffic waits before it looks whether the test is over.
const WAIT: Duration = Duration::from_millis(10);

/// One way to reach the kernel.
struct Way<'a> {
    pair: &'a Pair,
    /// The end of the pair in which the kernel talks to us.
    kernel_end: &'static str,
    /// The kernel's addresses and ours, IPv4 and IPv6.
    kernels: [IpAddr; 2],
    ours: [IpAddr; 2],
}

impl Way<'_> {
    /// Runs `client` where the kernel is, while our side does what is due.
    fn with_client<T: Send>(&self, side: &mut Side, client: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let client = scope.spawn(|| {
                assert!(self.pair.enter(self.kernel_end));
                client()
            });
            self.until(side, "the client's end", |_| client.is_finished());
            client.join().unwrap()
        })
    }

    /// Does what is due until it is so.
    fn until(&self, side: &mut Side, what: &str, is_so: impl Fn(&Side) -> bool) {
        let start = Instant::now();
        while !is_so(side) {
            assert!(start.elapsed() < PATIENCE, "never: {what}; {:?}", side.app.events);
            side.poll(Time(clock::now()), WAIT);
        }
    }
}

/// Runs `test` with packet sockets as the way; our side is at the far end.
fn through_packets(name: &str, mtu: u32, test: impl FnOnce(&Way<'_>, &mut Side) + Send) {
    let Some(pair) = privileged(|| Pair::new(name)) else { return };
    for end in ["near", "far"] {
        pair.run(end, &format!("ip link set {end} mtu {mtu}"));
    }
    let way = Way {
        pair: &pair,
        kernel_end: "near",
        kernels: addresses(["10.77.0.1", "fd77::1"]),
        ours: addresses(["10.77.0.2", "fd77::2"]),
    };
    pair.inside("far", || {
        let far = Interface::by_name("far").unwrap();
        let shield = Shield::attach(far.index).unwrap();
        for address in way.ours {
            shield.steer(Protocol::Tcp, SocketAddr::new(address, PORT)).unwrap();
            shield.steer(Protocol::Udp, SocketAddr::new(address, PORT)).unwrap();
            shield.steer_range(address, 32_768..=60_999).unwrap();
        }
        let socket = PacketSocket::open(&PacketConfig::new(far.index), &shield).unwrap();
        let place = Place {
            link: far.mac.unwrap(),
            addresses: &way.ours,
            is_host: false,
            kernel: Some(Netlink::subscribe(far.index).unwrap()),
            tcp: config(mtu),
        };
        test(&way, &mut Side::new(Box::new(PacketDevice::new(socket)), place));
    });
}

/// Runs `test` with a TAP device as the way; the kernel is at its other end.
fn through_tap(name: &str, test: impl FnOnce(&Way<'_>, &mut Side) + Send) {
    let Some(pair) = privileged(|| Pair::new(name)) else { return };
    let way = Way {
        pair: &pair,
        kernel_end: "near",
        kernels: addresses(["10.78.0.1", "fd78::1"]),
        ours: addresses(["10.78.0.2", "fd78::2"]),
    };
    pair.inside("near", || {
        let tap = Tap::open("host", false).unwrap();
        let host = Interface::by_name("host").unwrap();
        let kernel = Netlink::subscribe(host.index).unwrap();
        let link = [2, 0, 0, 0, 0, 9];
        let place = Place { link, addresses: &way.ours, is_host: true, kernel: Some(kernel), tcp: config(host.mtu) };
        let mut side = Side::new(Box::new(TapDevice::new(tap)), place);
        // The operator comes later.
        for command in ["addr add 10.78.0.1/24 dev host", "addr add fd78::1/64 dev host nodad", "link set host up"] {
            pair.run("near", &format!("ip {command}"));
        }
        test(&way, &mut side);
    });
}

fn addresses(both: [&str; 2]) -> [IpAddr; 2] {
    both.map(|address| address.parse().unwrap())
}

fn config(mtu: u32) -> Config {
    Config { mtu: mtu as u16, partial_checksums: true, ..Config::default() }
}

fn open(to: IpAddr) -> TcpStream {
    let stream = TcpStream::connect((to, PORT)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Asks for so many octets, and checks each.
fn fetch(stream: &mut TcpStream, len: usize) {
    stream.write_all(format!("get {len}\n").as_bytes()).unwrap();
    let mut octets = vec![0; len];
    stream.read_exact(&mut octets).unwrap();
    assert!(octets == pattern(len), "{len} octets");
}

/// Everything that the kernel and we say to each other.
fn suite(way: &Way<'_>, side: &mut Side) {
    for family in 0..2 {
        requests(way, side, family);
        ends(way, side, family);
        datagrams(way, side, family);
        connections_of_ours(way, side, family);
    }
    assert_eq!(side.app.pinned(), 0);
}

fn requests(way: &Way<'_>, side: &mut Side, family: usize) {
    let to = way.ours[family];
    way.with_client(side, || {
        let mut stream = open(to);
        for len in [1, 100, 1447, 1448, 1449, 65_535, 65_536, 65_537, LARGEST] {
            fetch(&mut stream, len);
        }
        let octets = pattern(3 * LARGEST);
        stream.write_all(format!("put {}\n", octets.len()).as_bytes()).unwrap();
        stream.write_all(&octets).unwrap();
        let answer = format!("{}\n", digest(&octets));
        let mut told = vec![0; answer.len()];
        stream.read_exact(&mut told).unwrap();
        assert_eq!(told, answer.as_bytes());
    });
}

fn ends(way: &Way<'_>, side: &mut Side, family: usize) {
    let to = way.ours[family];
    way.with_client(side, || {
        // Our half first.
        let mut stream = open(to);
        stream.write_all(b"get 200000\n").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut octets = Vec::new();
        stream.read_to_end(&mut octets).unwrap();
        assert!(octets == pattern(200_000));
        // The other's half first.
        let mut stream = open(to);
        stream.write_all(b"get 10\nbye\n").unwrap();
        octets.clear();
        stream.read_to_end(&mut octets).unwrap();
        assert_eq!(octets, pattern(10));
        let mut stream = open(to);
        fetch(&mut stream, 10);
        stream.write_all(b"drop\n").unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        // What was not read makes the kernel reset the connection.
        let mut stream = open(to);
        stream.write_all(b"get 1000\n").unwrap();
        stream.read_exact(&mut [0; 10]).unwrap();
    });
    let last = *side.app.accepted().last().unwrap();
    way.until(side, "the reset", |side| side.app.end_of(last) == Some(Disconnect::Reset));
}

fn datagrams(way: &Way<'_>, side: &mut Side, family: usize) {
    let (to, from) = (way.ours[family], way.kernels[family]);
    way.with_client(side, || {
        let socket = UdpSocket::bind((from, 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        for len in [0, 1, 1000, 1400] {
            socket.send_to(&pattern(len), (to, PORT)).unwrap();
            let mut octets = [0; 2000];
            let (count, peer) = socket.recv_from(&mut octets).unwrap();
            assert_eq!((&octets[..count], peer), (&pattern(len)[..], SocketAddr::new(to, PORT)));
        }
    });
}

/// We open connections to the kernel, and are refused.
fn connections_of_ours(way: &Way<'_>, side: &mut Side, family: usize) {
    let kernel = way.kernels[family];
    let listener = way.pair.inside(way.kernel_end, || TcpListener::bind((kernel, 0)).unwrap());
    let connection = side.connect(&listener.local_addr().unwrap().to_string());
    side.say(connection, b"hello");
    way.with_client(side, || {
        let (mut stream, peer) = listener.accept().unwrap();
        assert_eq!(peer.ip(), way.ours[family]);
        let mut octets = [0; 5];
        stream.read_exact(&mut octets).unwrap();
        assert_eq!(&octets, b"hello");
        stream.write_all(&pattern(100_000)).unwrap();
    });
    way.until(side, "what the kernel says", |side| side.heard(connection).len() == 100_000);
    assert!(side.heard(connection) == pattern(100_000));
    side.direct.calls().close(connection);
    way.until(side, "the end", |side| side.app.end_of(connection) == Some(Disconnect::Closed));
    let nobody = SocketAddr::new(kernel, 1);
    let connection = side.connect(&nobody.to_string());
    way.until(side, "the refusal", |side| side.app.end_of(connection) == Some(Disconnect::Refused));
}

#[test]
fn packet_sockets_pass_the_suite() {
    through_packets("direct", 1500, suite);
}

#[test]
fn packet_sockets_pass_the_suite_with_jumbo_frames() {
    through_packets("jumbo", 9000, suite);
}

#[test]
fn a_tap_device_passes_the_suite() {
    through_tap("tap", suite);
}

#[test]
fn large_responses_leave_in_large_frames() {
    let one_large = |way: &Way<'_>, side: &mut Side| {
        let to = way.ours[0];
        way.with_client(side, || fetch(&mut open(to), LARGEST));
        // As segments of 1,448 octets they would be 725.
        let frames = side.direct.stats().frames_out.get();
        assert!(frames < 200, "{frames} frames");
    };
    through_packets("large", 1500, one_large);
    through_tap("large", one_large);
}

#[test]
fn our_host_asks_for_a_neighbour_that_it_does_not_know() {
    through_tap("asks", |way, side| {
        side.app.swallow();
        for family in 0..2 {
            let (kernel, ours) = (way.kernels[family], side.sockets[family]);
            let socket = way.pair.inside(way.kernel_end, || UdpSocket::bind((kernel, 0)).unwrap());
            socket.set_read_timeout(Some(WAIT)).unwrap();
            let to = socket.local_addr().unwrap();
            let (start, mut octets) = (Instant::now(), [0; 100]);
            // The first is lost while it asks.
            let (count, from) = loop {
                assert!(start.elapsed() < PATIENCE, "no datagram came");
                let mut said = std::iter::once(Segment::Copy(b"first words"));
                side.direct.calls().send_datagram(ours, to, &mut said);
                side.poll(Time(clock::now()), Duration::ZERO);
                side.poll(Time(clock::now()), WAIT);
                if let Ok(received) = socket.recv_from(&mut octets) {
                    break received;
                }
            };
            assert_eq!((&octets[..count], from.ip()), (&b"first words"[..], way.ours[family]));
        }
    });
}

#[test]
fn sockets_of_a_group_share_the_connections() {
    let Some(pair) = privileged(|| Pair::new("group")) else { return };
    let way = Way {
        pair: &pair,
        kernel_end: "near",
        kernels: addresses(["10.77.0.1", "fd77::1"]),
        ours: addresses(["10.77.0.2", "fd77::2"]),
    };
    pair.inside("far", || {
        let far = Interface::by_name("far").unwrap();
        let shield = Shield::attach(far.index).unwrap();
        shield.steer(Protocol::Tcp, SocketAddr::new(way.ours[0], PORT)).unwrap();
        let config = PacketConfig { spread: Some(Spread::Flow), ..PacketConfig::new(far.index) };
        let first = PacketSocket::open(&config, &shield).unwrap();
        let second = PacketSocket::open_beside(&config, &shield, &first).unwrap();
        let mut sides = [first, second].map(|socket| {
            let place = Place {
                link: far.mac.unwrap(),
                addresses: &way.ours,
                is_host: false,
                kernel: Some(Netlink::subscribe(far.index).unwrap()),
                tcp: self::config(1500),
            };
            Side::new(Box::new(PacketDevice::new(socket)), place)
        });
        thread::scope(|scope| {
            let client = scope.spawn(|| {
                assert!(pair.enter("near"));
                (0..32).for_each(|_| fetch(&mut open(way.ours[0]), 5000));
            });
            let start = Instant::now();
            while !client.is_finished() {
                assert!(start.elapsed() < PATIENCE);
                sides.iter_mut().for_each(|side| side.poll(Time(clock::now()), Duration::from_millis(1)));
            }
            client.join().unwrap();
        });
        let accepted = sides.each_ref().map(|side| side.app.accepted().len());
        assert_eq!(accepted.iter().sum::<usize>(), 32);
        assert!(accepted.iter().all(|count| *count > 0), "{accepted:?}");
    });
}

#[test]
fn an_interface_that_goes_ends_the_transport() {
    through_packets("gone", 1500, |way, side| {
        let to = way.ours[0];
        way.with_client(side, || fetch(&mut open(to), 10));
        way.pair.run("near", "ip link del near");
        let start = Instant::now();
        let mut outcome = Ok(());
        while outcome.is_ok() {
            assert!(start.elapsed() < PATIENCE, "the transport goes on");
            outcome = side.direct.poll(Time(clock::now()), Some(WAIT), &mut side.app);
        }
    });
}
