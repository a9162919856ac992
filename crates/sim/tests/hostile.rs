//! Peers that lie: whatever they say, every connection ends, and what TCP holds for them stays bounded.

mod common;

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use afpa_sim::applications::{Closing, Echo, Giver, Reading, Talk, Talker};
use afpa_sim::{Application, Endpoint, FaultPlan, Host, Hostile, Network, Octets, Segment, SharedTally, Style};
use afpa_tcp::{Config, Handshake, KeepAlive, Time};
use fastrand::Rng;

const SEEDS: u64 = 6_000;
/// The most connections that the victim allows; the liars try more.
const CONNECTIONS: u32 = 8;
/// When a network begins.
const START: Time = Time(1_000_000_000);
/// The most octets that the victim holds for them.
const MEMORY: u64 = 100_000;

#[test]
fn no_lie_outlives_its_liar() {
    let (first, count) = common::seeds(SEEDS);
    let (mut packets, mut accepted) = (0, 0);
    for seed in first..first + count {
        let network = run(seed);
        packets += network.packets();
        accepted += network.server.accepted();
    }
    println!("{count} seeds: {accepted} connections, {packets} packets");
    assert!(accepted > count / 2, "the liars get in: {accepted}");
}

fn run(seed: u64) -> Network<Hostile, Host> {
    let mut random = Rng::with_seed(seed);
    let (liar, victim): (IpAddr, IpAddr) = match random.bool() {
        true => ([10, 0, 0, 9].into(), [10, 0, 0, 1].into()),
        false => ([0xfd00, 0, 0, 0, 0, 0, 0, 9].into(), [0xfd00, 0, 0, 0, 0, 0, 0, 1].into()),
    };
    let mut host = Host::new(victim, config(&mut random), Style { room: 64, cuts: 0, merges: false }, seed);
    host.listen(80, applications(&mut random));
    let (flows, lies) = (random.u16(0..=12), random.u32(20..=400));
    let hostile = Hostile::new(liar, SocketAddr::new(victim, 80), flows, lies, seed);
    let plan = FaultPlan::perfect(seed, Duration::from_micros(random.u64(10..20_000)));
    let mut network = Network::new(plan, hostile, host);
    for _ in 0..random.u8(0..4) {
        let giver = Box::new(Giver::new(random.usize(0..50_000), Rc::new(RefCell::default())));
        let now = network.now();
        network.server.connect(now, SocketAddr::new(liar, 9_000), giver);
    }
    let over = network.run(Duration::from_secs(24 * 3600), |network| {
        check_bounds(&network.server);
        false
    });
    let tcp = network.server.tcp();
    let left: Vec<_> = tcp.handles().filter_map(|handle| tcp.describe(handle)).collect();
    assert!(over && tcp.connections() == 0, "connections outlive their peer: {left:#?}");
    network
}

fn check_bounds(host: &Host) {
    let tcp = host.tcp();
    assert!(tcp.connections() <= CONNECTIONS as usize, "{} connections", tcp.connections());
    let unread: u64 = tcp.handles().filter_map(|handle| tcp.describe(handle)).map(|info| u64::from(info.unread)).sum();
    assert!(unread <= MEMORY, "{unread} octets are held");
}

fn config(random: &mut Rng) -> Config {
    Config {
        max_connections: CONNECTIONS,
        handshake: [Handshake::Cookies, Handshake::Queue { entries: 4 }][random.usize(0..2)],
        accept_on_data: random.bool(),
        receive_window: [4_096, 65_535, 1_000_000][random.usize(0..3)],
        receive_memory: MEMORY,
        congestion_notification: random.bool(),
        keep_alive: Some(KeepAlive { idle: Duration::from_secs(60), interval: Duration::from_secs(10), probes: 4 }),
        ..Config::default()
    }
}

fn applications(random: &mut Rng) -> Box<dyn FnMut() -> Box<dyn Application>> {
    let echoes = random.bool();
    let amount = random.usize(0..100_000);
    Box::new(move || {
        let tally: SharedTally = Rc::new(RefCell::default());
        match echoes {
            true => Box::new(Echo::new(tally)),
            false => Box::new(Giver::new(amount, tally)),
        }
    })
}

#[test]
fn a_liar_is_the_same_every_time() {
    let counts: Vec<_> = (0..2).map(|_| run(7)).map(|network| (network.packets(), network.now())).collect();
    assert_eq!(counts[0], counts[1]);
    assert!(counts[0].1 > Time(0));
}

/// Liars fill the memory for what is out of order; an honest peer with losses of its own still gets through.
#[test]
fn an_honest_peer_among_liars_is_served() {
    let mut exhausted = 0;
    for seed in 0..100 {
        let [honest, liar, victim]: [IpAddr; 3] = [[10, 0, 0, 2].into(), [10, 0, 0, 9].into(), [10, 0, 0, 1].into()];
        let victim = SocketAddr::new(victim, 80);
        let style = Style { room: 64, cuts: 0, merges: false };
        let memory = Config { receive_memory: MEMORY, ..Config::default() };
        let mut server = Host::new(victim.ip(), memory, style, seed);
        server.listen(80, Box::new(|| Box::new(Echo::new(Rc::new(RefCell::default())))));
        let mut client = Host::new(honest, Config::default(), style, !seed);
        let tally: SharedTally = Rc::new(RefCell::default());
        client.connect(START, victim, Box::new(Talker::new(talk(), tally.clone())));
        let liars = Hostile::hoarder(liar, victim, 30, 20_000, seed);
        let mut plan = FaultPlan::perfect(seed, Duration::from_millis(5));
        plan.links.iter_mut().for_each(|link| link.loss = 200);
        let mut network = Network::new(plan, Neighbours { host: client, address: honest, liars }, server);
        network.run(Duration::from_secs(3_600), |_| tally.borrow().ending.is_some());
        assert!(tally.borrow().complete, "seed {seed}: {:?}", tally.borrow());
        exhausted += network.server.tcp().stats().receive_memory_exhausted;
    }
    println!("{exhausted} octets were dropped");
    assert!(exhausted > 0, "the liars use all of the memory");
}

/// An honest host and a liar behind one link.
struct Neighbours {
    host: Host,
    address: IpAddr,
    liars: Hostile,
}

impl Endpoint for Neighbours {
    fn receive(&mut self, now: Time, packet: &[u8]) {
        match Segment::decode(packet) {
            Ok(segment) if segment.destination.ip() == self.address => self.host.receive(now, packet),
            _ => self.liars.receive(now, packet),
        }
    }

    fn expire(&mut self, now: Time) {
        self.host.expire(now);
        self.liars.expire(now);
    }

    fn transmit(&mut self, now: Time, out: &mut Vec<Vec<u8>>) {
        self.host.transmit(now, out);
        self.liars.transmit(now, out);
    }

    fn deadline(&self) -> Option<Time> {
        self.host.deadline().into_iter().chain(self.liars.deadline()).min()
    }

    fn is_honest(&self) -> bool {
        false
    }
}

fn talk() -> Talk {
    Talk {
        outgoing: Octets(1),
        amount: 150_000,
        piece: 5_000,
        pinned: 2,
        incoming: Octets(1),
        expected: 150_000,
        reading: Reading::AtOnce,
        closing: Closing::WhenQueued,
        patience: None,
    }
}
