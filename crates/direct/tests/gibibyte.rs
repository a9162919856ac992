//! A gibibyte in each direction between the transport and Linux's own TCP, on jumbo frames and on usual ones, compared by
//! hash.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::{Duration, Instant};

use afpa_cache::{Cache, CacheConfig, Piece, ResidentBody};
use afpa_direct::{Direct, DirectConfig};
use afpa_engine::seam::{
    Address, Calls, ConnectionId, Disconnect, Events, Listen, ListenerId, Origin, Owner, Segment, Time,
};
use afpa_engine::{Transport, TransportId};
use afpa_platform::clock;
use afpa_platform::interface::Interface;
use afpa_platform::netlink::Netlink;
use afpa_tcp::Config;
use afpa_wire::MacAddress;
use crc32fast::Hasher;

#[path = "../../platform/tests/link/mod.rs"]
mod link;
mod support;

use link::{Pair, privileged};
use support::{FRAMES, PORT, xdp_device};

const GIBIBYTE: u64 = 1 << 30;
/// Octets of a part of what is sent, and how many there are: repeated in an order that has no short period.
const PART: u64 = 1 << 20;
const PARTS: u64 = 61;
/// Longer than any of this takes.
const PATIENCE: Duration = Duration::from_secs(120);
/// Longer than an end is ever silent.
const SILENCE: Duration = Duration::from_secs(30);
/// How long our end waits without traffic before it looks whether the test is over.
const WAIT: Duration = Duration::from_millis(10);
/// What a client wants: to be sent a gibibyte, or to send one and be told its hash.
const DOWN: u8 = b'd';
const UP: u8 = b'u';

/// What stands above the transport.
struct Streams {
    parts: Vec<Rc<ResidentBody>>,
    pins: Arc<AtomicU64>,
    talk: Talk,
    ended: Option<Disconnect>,
}

/// What the connection, of which there is one at a time, is about.
enum Talk {
    Unknown,
    Down { sent: u64 },
    Up { hasher: Hasher, received: u64 },
}

#[test]
fn a_gibibyte_arrives_from_us_and_from_the_kernel() {
    for (name, mtu) in [("jumbo", 9000), ("usual", 1500)] {
        let Some(pair) = privileged(|| Pair::new(name)) else { return };
        for end in ["near", "far"] {
            pair.run(end, &format!("ip link set {end} mtu {mtu}"));
        }
        pair.inside("far", || {
            let mut far = Far::new(mtu);
            let expected = hash_of_all();
            assert_eq!(far.with_client(&pair, receive_all), (GIBIBYTE, expected), "down, MTU {mtu}");
            assert_eq!(far.with_client(&pair, send_all), (GIBIBYTE, expected), "up, MTU {mtu}");
            assert_eq!(far.streams.pins.load(std::sync::atomic::Ordering::Relaxed), 0);
        });
    }
}

/// Reads everything; how much it was, and its hash.
fn receive_all(mut stream: TcpStream) -> (u64, u32) {
    stream.write_all(&[DOWN]).unwrap();
    let (mut hasher, mut received, mut buffer) = (Hasher::new(), 0, vec![0; 1 << 18]);
    loop {
        let count = stream.read(&mut buffer).unwrap();
        if count == 0 {
            return (received, hasher.finalize());
        }
        hasher.update(&buffer[..count]);
        received += count as u64;
    }
}

/// Sends everything; what the other end says of it.
fn send_all(mut stream: TcpStream) -> (u64, u32) {
    stream.write_all(&[UP]).unwrap();
    let parts: Vec<_> = (0..PARTS).map(part).collect();
    (0..GIBIBYTE / PART).for_each(|place| stream.write_all(&parts[number(place)]).unwrap());
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (received, hash) = answer.split_once(' ').unwrap();
    (received.parse().unwrap(), hash.parse().unwrap())
}

fn hash_of_all() -> u32 {
    let parts: Vec<_> = (0..PARTS).map(part).collect();
    let mut hasher = Hasher::new();
    (0..GIBIBYTE / PART).for_each(|place| hasher.update(&parts[number(place)]));
    hasher.finalize()
}

/// Which part stands at this place.
fn number(place: u64) -> usize {
    ((place * place + place / PARTS) % PARTS) as usize
}

/// The octets of a part: no two places are alike.
fn part(number: u64) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15 ^ (number + 1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..PART / 8).flat_map(|_| next()).collect()
}

/// Our end of the cable.
struct Far {
    direct: Direct,
    streams: Streams,
    address: SocketAddr,
    // Dropped last: it sends the frames to the transport.
    _steering: afpa_platform::steering::Steering,
}

impl Far {
    /// In the namespace of the calling thread.
    fn new(mtu: u16) -> Far {
        let interface = Interface::by_name("far").unwrap();
        let frames = u64::from(interface.receive_queues) * u64::from(FRAMES) * 4096 * 4;
        let config = CacheConfig { capacity: 2 * PARTS * PART, max_pinned_object: PART, engines: 1, frames };
        let cache: Arc<Cache<()>> = Cache::new(config).unwrap();
        let pins = Arc::new(AtomicU64::new(0));
        let resident = |number| {
            let mut filling = cache.fill(b"", PART).unwrap();
            filling.read_from(&mut &part(number)[..]).unwrap();
            ResidentBody::new(filling.finish(), &pins)
        };
        let parts = (0..PARTS).map(resident).collect();
        let ip: IpAddr = [10, 77, 0, 2].into();
        let address = SocketAddr::new(ip, PORT);
        let (device, steering) = xdp_device(&interface, &[address], cache.arena());
        let config = DirectConfig {
            transport: TransportId(0),
            link_address: MacAddress(interface.mac.unwrap()),
            addresses: vec![ip],
            is_host: false,
            mtu,
            tcp: Config { mtu, partial_checksums: true, ..Config::default() },
            seed: [7; 32],
        };
        let kernel = Netlink::subscribe(interface.index).unwrap();
        let mut direct = Direct::new(&config, Box::new(device), Some(kernel)).unwrap();
        direct.listen(&Listen::Stream(Address::Inet(address)), Owner(0)).unwrap();
        let streams = Streams { parts, pins, talk: Talk::Unknown, ended: None };
        Far { direct, streams, address, _steering: steering }
    }

    /// Runs `client` on a connection at the kernel's end, while ours does what is due, until both have ended.
    fn with_client<T: Send>(&mut self, pair: &Pair, client: impl FnOnce(TcpStream) -> T + Send) -> T {
        let Far { direct, streams, address, .. } = self;
        (streams.talk, streams.ended) = (Talk::Unknown, None);
        thread::scope(|scope| {
            let client = scope.spawn(|| {
                assert!(pair.enter("near"));
                let stream = TcpStream::connect(*address).unwrap();
                stream.set_read_timeout(Some(SILENCE)).unwrap();
                stream.set_write_timeout(Some(SILENCE)).unwrap();
                client(stream)
            });
            let start = Instant::now();
            while !client.is_finished() || streams.ended.is_none() {
                assert!(start.elapsed() < PATIENCE, "never: the end");
                direct.poll(Time(clock::now()), Some(WAIT), streams).unwrap();
            }
            assert_eq!(streams.ended, Some(Disconnect::Closed));
            client.join().unwrap()
        })
    }
}

impl Streams {
    /// Sends as much as there is room for, and the end behind the last.
    fn pump(&mut self, calls: &mut dyn Calls, connection: ConnectionId) {
        let Talk::Down { sent } = &mut self.talk else { return };
        while *sent < GIBIBYTE {
            if calls.send_space(connection) == 0 {
                return;
            }
            let body = &self.parts[number(*sent / PART)];
            let Piece::Pinned(pin) = body.piece_at(*sent % PART, PART) else { panic!("the body is in memory") };
            *sent += pin.len() as u64;
            calls.send(connection, Segment::Pinned(pin));
        }
        calls.close(connection);
        self.talk = Talk::Unknown;
    }
}

impl Events for Streams {
    fn connected(&mut self, _: &mut dyn Calls, _: ConnectionId, _: Owner, _: Origin) {
        self.talk = Talk::Unknown;
    }

    fn received(&mut self, calls: &mut dyn Calls, connection: ConnectionId, _: Owner, bytes: &[u8]) -> usize {
        match (&mut self.talk, bytes[0]) {
            (Talk::Unknown, DOWN) => {
                self.talk = Talk::Down { sent: 0 };
                self.pump(calls, connection);
                1
            }
            (Talk::Unknown, UP) => {
                let (mut hasher, received) = (Hasher::new(), bytes.len() as u64 - 1);
                hasher.update(&bytes[1..]);
                self.talk = Talk::Up { hasher, received };
                bytes.len()
            }
            (Talk::Up { hasher, received }, _) => {
                hasher.update(bytes);
                *received += bytes.len() as u64;
                bytes.len()
            }
            _ => panic!("octets that nobody sent: {bytes:?}"),
        }
    }

    fn sent(&mut self, calls: &mut dyn Calls, connection: ConnectionId, _: Owner, _: u64) {
        self.pump(calls, connection);
    }

    fn disconnected(&mut self, calls: &mut dyn Calls, connection: ConnectionId, _: Owner, reason: Disconnect) {
        if reason != Disconnect::Finished {
            self.ended = Some(reason);
        } else if let Talk::Up { hasher, received } = std::mem::replace(&mut self.talk, Talk::Unknown) {
            calls.send(connection, Segment::Copy(format!("{received} {}", hasher.finalize()).as_bytes()));
            calls.close(connection);
        }
    }

    fn datagram(&mut self, _: &mut dyn Calls, _: ListenerId, _: Owner, _: SocketAddr, _: &[u8]) {}
}
