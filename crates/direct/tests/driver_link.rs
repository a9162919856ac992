//! Linux's own TCP as a client of the transport, whose handshakes are done in the driver.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use afpa_engine::seam::Time;
use afpa_platform::clock;
use afpa_platform::interface::Interface;
use afpa_platform::memory::Arena;
use afpa_platform::netlink::Netlink;
use afpa_platform::steering::{AttachMode, Steering};
use afpa_tcp::Config;
use afpa_wire::tcp::{self, Flags, Header, Options, Timestamps};
use afpa_wire::{checksum, ip};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, Protocol as Number, SendFlags, SocketFlags, SocketType, bind, connect, sendto, socket_with, sockopt,
};

#[path = "../../platform/tests/link/mod.rs"]
mod link;
mod support;

use link::{Pair, privileged};
use support::{FRAMES, PORT, Place, Side, pattern, xdp_device};

/// Longer than any of this takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long an end without traffic waits before it looks whether the test is over.
const WAIT: Duration = Duration::from_millis(10);
const OURS: [&str; 2] = ["10.77.0.2", "fd77::2"];

/// The kernel's end, and ours with what steers its frames.
struct Lab<'a> {
    pair: &'a Pair,
    side: Side,
    steering: Steering,
}

impl Lab<'_> {
    /// Runs `client` where the kernel is, while our side does what is due.
    fn with_client<T: Send>(&mut self, client: impl FnOnce() -> T + Send) -> T {
        let Lab { pair, side, .. } = self;
        thread::scope(|scope| {
            let client = scope.spawn(|| {
                assert!(pair.enter("near"));
                client()
            });
            let start = Instant::now();
            while !client.is_finished() {
                assert!(start.elapsed() < PATIENCE, "never: the client's end; {:?}", side.app.events.last());
                side.poll(Time(clock::now()), WAIT);
            }
            client.join().unwrap()
        })
    }

    /// Lets the counters be published.
    fn settle(&mut self) -> afpa_tcp::Stats {
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(150) {
            self.side.poll(Time(clock::now()), WAIT);
        }
        self.side.direct.stats().tcp()
    }
}

/// Runs a test with our transport at the far end of a cable, assisted by its driver.
fn assisted(name: &str, test: impl FnOnce(&mut Lab<'_>) + Send) {
    let Some(pair) = privileged(|| Pair::new(name)) else { return };
    // What a driver sends back on such a cable arrives at once only where a program is attached, too: one that passes all.
    let _passing = pair.inside("near", || {
        let near = Interface::by_name("near").unwrap();
        Steering::attach(near.index, AttachMode::Native).unwrap()
    });
    pair.inside("far", || {
        let far = Interface::by_name("far").unwrap();
        let addresses = OURS.map(|address| address.parse::<IpAddr>().unwrap());
        let services = addresses.map(|address| SocketAddr::new(address, PORT));
        let arena = Arena::new(u64::from(far.receive_queues) * u64::from(FRAMES) * 4096 * 4).unwrap();
        let (device, steering) = xdp_device(&far, &services, &arena);
        let place = Place {
            link: far.mac.unwrap(),
            addresses: &addresses,
            is_host: false,
            kernel: Some(Netlink::subscribe(far.index).unwrap()),
            tcp: Config { partial_checksums: true, accept_on_data: true, ..Config::default() },
        };
        let mut side = Side::new(Box::new(device), place);
        let queues: Vec<u32> = (0..far.receive_queues).collect();
        side.direct.assist(steering.assist(&queues).unwrap());
        let mut lab = Lab { pair: &pair, side, steering };
        lab.settle();
        test(&mut lab);
    });
}

/// Asks for so many octets and the end, and checks each.
fn ask(stream: &mut TcpStream, len: usize) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(format!("get {len}\nbye\n").as_bytes()).unwrap();
    let mut octets = Vec::new();
    stream.read_to_end(&mut octets).unwrap();
    assert!(octets == pattern(len), "{len} octets");
}

/// A connection from a port of ours, used before or not.
fn connect_from(port: u16) -> TcpStream {
    let start = Instant::now();
    loop {
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        sockopt::set_socket_reuseaddr(&socket, true).unwrap();
        bind(&socket, &SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 1), port)).unwrap();
        match connect(&socket, &SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 2), PORT)) {
            // The kernel still waits for the last acknowledgment of the connection before.
            Err(Errno::ADDRNOTAVAIL) if start.elapsed() < PATIENCE => thread::yield_now(),
            connected => {
                connected.unwrap();
                return TcpStream::from(socket);
            }
        }
    }
}

/// Sends IP packets of its own making.
struct Forger(OwnedFd);

impl Forger {
    fn new() -> Forger {
        // IPPROTO_RAW: the header is ours, too.
        let number = Number::from_raw(255.try_into().unwrap());
        Forger(socket_with(AddressFamily::INET, SocketType::RAW, SocketFlags::CLOEXEC, Some(number)).unwrap())
    }

    fn syn(&self, from: SocketAddrV4, sequence: u32) {
        let to = Ipv4Addr::new(10, 77, 0, 2);
        let timestamps = Some(Timestamps { value: 1, echo: 0 });
        let header = Header {
            source_port: from.port(),
            destination_port: PORT,
            sequence,
            flags: Flags::SYN,
            window: 1000,
            options: Options { mss: Some(1460), sack_permitted: true, timestamps, ..Options::NONE },
            ..Header::default()
        };
        let mut octets = [0; 80];
        let len = header.write(&mut octets[20..]);
        let pseudo = checksum::pseudo_header((*from.ip()).into(), to.into(), ip::TCP, len as u32);
        let sum = tcp::checksum(&octets[20..20 + len], pseudo);
        octets[36..38].copy_from_slice(&sum.to_be_bytes());
        let header = ip::Header {
            source: (*from.ip()).into(),
            destination: to.into(),
            protocol: ip::TCP,
            ecn: ip::Ecn::NotCapable,
            payload_len: len,
            identification: 0,
        };
        header.write(&mut octets);
        sendto(&self.0, &octets[..20 + len], SendFlags::empty(), &SocketAddrV4::new(to, 0)).unwrap();
    }
}

#[test]
fn connections_open_without_the_engine_and_data_flows() {
    assisted("opens", |lab| {
        for address in OURS {
            let to = SocketAddr::new(address.parse().unwrap(), PORT);
            lab.with_client(|| {
                for len in [1, 1000, 100_000] {
                    ask(&mut TcpStream::connect(to).unwrap(), len);
                }
            });
        }
        let stats = lab.settle();
        assert_eq!((stats.accepted, stats.cookies_accepted), (6, 6));
        assert_eq!((stats.syns_received, stats.cookies_sent), (0, 0));
        let (counters, direct) = (lab.steering.counters().unwrap(), lab.side.direct.stats());
        assert_eq!((counters.answered, counters.absorbed), (6, 6));
        assert_eq!((direct.driver_answered.get(), direct.driver_absorbed.get()), (6, 6));
    });
}

#[test]
fn a_port_is_used_again_at_once() {
    assisted("again", |lab| {
        const COUNT: u64 = 2000;
        let elapsed = lab.with_client(|| {
            let start = Instant::now();
            (0..COUNT).for_each(|_| ask(&mut connect_from(40_000), 100));
            start.elapsed()
        });
        let stats = lab.settle();
        println!("{COUNT} connections in {elapsed:?}");
        assert_eq!((stats.accepted, stats.cookies_accepted), (COUNT, COUNT));
        assert_eq!((stats.time_waits_reused, stats.challenges_sent, stats.retransmitted_segments), (COUNT - 1, 0, 0));
        assert_eq!((stats.syns_received, lab.steering.counters().unwrap().answered), (0, COUNT));
    });
}

#[test]
fn a_syn_for_a_live_connection_is_challenged_by_the_engine() {
    assisted("live", |lab| {
        lab.with_client(|| {
            let mut stream = connect_from(40_001);
            stream.write_all(b"get 10\n").unwrap();
            stream.read_exact(&mut [0; 10]).unwrap();
            Forger::new().syn(SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 1), 40_001), 99);
            // It lives on.
            ask(&mut stream, 100);
        });
        assert_eq!(lab.settle().challenges_sent, 1);
        assert_eq!(lab.steering.counters().unwrap().answered, 1);
    });
}

#[test]
fn a_flood_of_syns_costs_the_engine_nothing() {
    assisted("flood", |lab| {
        lab.with_client(|| ask(&mut connect_from(40_002), 100));
        let accepted = lab.settle().accepted;
        let before = lab.side.direct.stats().frames_in.get();
        lab.with_client(|| {
            let forger = Forger::new();
            // From hosts that are not there.
            for number in 0..5000u16 {
                let [high, low] = number.to_be_bytes();
                forger.syn(SocketAddrV4::new(Ipv4Addr::new(10, 77, 9 + high, low), 1024 + number), number.into());
            }
        });
        lab.settle();
        assert_eq!(lab.side.direct.stats().frames_in.get(), before);
        assert_eq!(lab.steering.counters().unwrap().answered, 5001);
        lab.with_client(|| ask(&mut connect_from(40_003), 100));
        assert_eq!(lab.settle().accepted, accepted + 1);
    });
}
