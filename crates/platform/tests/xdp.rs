//! Frames across a pair of interfaces between two namespaces. As root, with ip(8); without, the tests say
//! so and pass, unless CI=true.

mod xdp_lab;

use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use afpa_platform::foreign::{ForeignMemory, ForeignSlice};
use afpa_platform::interface::{Interface, Kind};
use afpa_platform::memory::{Arena, LocalExtent, Owner, PinnedSlice, Pool};
use afpa_platform::steering::{Answer, Asks, AttachMode, Protocol, Room, Steering, SteeringError, Subject};
use afpa_platform::xdp::{BusyPoll, Mode, Receiver, Transmitter, TxPiece, XdpConfig, XdpSocket};
use xdp_lab::{HERE, HERE_6, INTERFACE, Lab, THERE, UDP_HEAD, config, enter, ip, receive, udp_head};

/// The service that is steered in most tests.
const SERVICE: SocketAddr = SocketAddr::new(IpAddr::V4(HERE), 5000);
const PATIENCE: Option<Duration> = Some(Duration::from_secs(10));
const WAITS_IN: &str = "AFPA_TEST_ATTACH_IN";

fn arena() -> Arc<Arena> {
    Arena::new(8 << 20).unwrap()
}

/// Attaches to the current namespace's interface and sends its frames for `SERVICE` to the socket.
fn steered(config: &XdpConfig) -> (XdpSocket, Steering) {
    let socket = XdpSocket::open(config).unwrap();
    let steering = Steering::attach(config.interface, AttachMode::Auto).unwrap();
    steering.add_socket(config.queue, &socket).unwrap();
    steering.steer(Protocol::Udp, SERVICE).unwrap();
    (socket, steering)
}

/// A pin of octets that differ from place to place, and where its pins are counted.
fn pinned(arena: &Arc<Arena>, len: usize) -> (PinnedSlice, Arc<AtomicU64>) {
    let mut extent = arena.allocate(len).unwrap();
    for (place, octet) in extent.iter_mut().enumerate() {
        *octet = (place % 251) as u8 ^ (place / 4096) as u8;
    }
    let pins = Arc::new(AtomicU64::new(0));
    (LocalExtent::new(extent.seal(Box::default()), pins.clone()).pin(0..len), pins)
}

fn udp_socket(address: impl std::net::ToSocketAddrs) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(PATIENCE).unwrap();
    socket
}

/// Whether a frame ends with these octets.
fn ends_with(payload: &[u8]) -> impl Fn(&[u8]) -> bool + '_ {
    move |frame| frame.ends_with(payload)
}

#[test]
fn listed_services_are_steered_and_the_rest_reaches_the_kernel() {
    let Some(lab) = Lab::up(1500, 1) else { return };
    let client = lab.there.run(|| udp_socket((THERE, 0)));
    let client_6 = lab.there.run(|| udp_socket("[::]:0"));
    lab.here.run(|| {
        let (mut socket, steering) = steered(&config(&arena()));
        let kernel = udp_socket((HERE, 6000));
        let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 5001);
        let service_6 = SocketAddr::new(IpAddr::V6(HERE_6), 5000);
        steering.steer(Protocol::Udp, any).unwrap();
        steering.steer(Protocol::Udp, service_6).unwrap();

        for (to, text) in [(SERVICE, b"listed"), (SocketAddr::new(IpAddr::V4(HERE), 5001), b"any of")] {
            client.send_to(text, to).unwrap();
            assert_eq!(receive(&mut socket, ends_with(text)).len(), UDP_HEAD + text.len());
        }
        client_6.send_to(b"version six", service_6).unwrap();
        receive(&mut socket, ends_with(b"version six"));

        client.send_to(b"other port", (HERE, 6000)).unwrap();
        let mut octets = [0; 64];
        assert_eq!(kernel.recv(&mut octets).unwrap(), 10);
        let counters = steering.counters().unwrap();
        assert!(counters.steered >= 3 && counters.passed >= 1 && counters.no_socket == 0, "{counters:?}");

        // Listed twice, it is steered until both have gone.
        steering.steer(Protocol::Udp, SERVICE).unwrap();
        steering.unsteer(Protocol::Udp, SERVICE).unwrap();
        client.send_to(b"still", SERVICE).unwrap();
        receive(&mut socket, ends_with(b"still"));
        steering.unsteer(Protocol::Udp, SERVICE).unwrap();
        steering.unsteer(Protocol::Udp, SERVICE).unwrap();
        let kernel = udp_socket(SERVICE);
        client.send_to(b"back", SERVICE).unwrap();
        assert_eq!(kernel.recv(&mut octets).unwrap(), 4);
    });
}

#[test]
fn answers_that_were_left_are_given_before_any_socket_sees_the_question() {
    for mode in [AttachMode::Native, AttachMode::Generic] {
        let Some(lab) = Lab::up(1500, 1) else { return };
        let client = lab.there.run(|| udp_socket((THERE, 0)));
        let client_6 = lab.there.run(|| udp_socket("[::]:0"));
        let service_6 = SocketAddr::new(IpAddr::V6(HERE_6), 5000);
        // What the driver of a pair sends back arrives only where a program is attached, too: one that passes all.
        let there = lab.there.interface();
        let is_driver = mode == AttachMode::Native;
        let _passing = is_driver.then(|| lab.there.run(|| Steering::attach(there.index, mode).unwrap()));
        lab.here.run(|| {
            let config = config(&arena());
            let mut socket = XdpSocket::open(&config).unwrap();
            let none = Steering::attach(config.interface, mode).unwrap();
            assert!(matches!(none.answers(), Err(SteeringError::NoAnswers)));
            drop(none);
            let steering = Steering::attach_with(config.interface, mode, Room { engines: 1, answers: 16 }).unwrap();
            steering.add_socket(0, &socket).unwrap();
            // Before and after it is steered.
            steering.answer_at(SERVICE, true).unwrap();
            steering.steer(Protocol::Udp, SERVICE).unwrap();
            steering.steer(Protocol::Udp, service_6).unwrap();
            steering.answer_at(service_6, true).unwrap();
            let answers = steering.answers().unwrap();
            answers.turn_on(true);

            // Longer than what there is room for behind a small frame of a pair.
            for len in [16, 100, 200] {
                let asked = b"\xab\xcd\x01\0\0\x01\0\0\0\0\0\0\x03www\x07eXample\0\0\x01\0\x01";
                let subject = Subject::new(b"\x03www\x07example\0", 1, 1, Asks { recursion: true, ..Asks::default() });
                let tail: Vec<u8> = (0..len).map(|place: u16| place as u8).collect();
                let answer = Answer {
                    stored_at: 0,
                    ends_at: u64::MAX,
                    budget: 0,
                    groups: 0,
                    most: u16::MAX,
                    flags: 0x8180,
                    counts: [1, 0, 0],
                    tail: &tail,
                    ttls: &[],
                };
                answers.publish(&subject.unwrap(), &answer, answers.generation()).unwrap();
                for (client, service) in [(&client, SERVICE), (&client_6, service_6)] {
                    client.send_to(asked, service).unwrap();
                    let mut received = [0; 1500];
                    let received_from = client.recv_from(&mut received);
                    let what = || format!("{mode:?}, {len} octets, {service}: {:?}", answers.counters());
                    let (count, from) = received_from.unwrap_or_else(|error| panic!("{error}: {}", what()));
                    let expected = [&asked[..2], b"\x81\x80\0\x01\0\x01\0\0\0\0", &asked[12..], &tail].concat();
                    assert_eq!((&received[..count], from), (&expected[..], service));
                }
            }
            assert_eq!(steering.counters().unwrap().steered, 0, "{mode:?}");
            assert_eq!(answers.counters().unwrap().given, 6);
            steering.answer_at(SERVICE, false).unwrap();
            answers.withdraw_all();
            for (client, service) in [(&client, SERVICE), (&client_6, service_6)] {
                client.send_to(b"\xab\xcd\x01\0\0\x01\0\0\0\0\0\0\0\0\x01\0\x01", service).unwrap();
                receive(&mut socket, ends_with(b"\0\0\x01\0\x01"));
            }
        });
    }
}

#[test]
fn echo_and_the_kernels_tcp_work_beside_it() {
    let Some(lab) = Lab::up(1500, 1) else { return };
    lab.here.run(|| {
        let (socket, steering) = steered(&config(&arena()));
        let listener = TcpListener::bind((HERE, 7000)).unwrap();
        lab.there.run(|| {
            xdp_lab::ping(HERE);
            TcpStream::connect((HERE, 7000)).unwrap()
        });
        listener.accept().unwrap();
        assert_eq!(steering.counters().unwrap().steered, 0);
        drop(socket);
    });
}

#[test]
fn ports_of_our_own_connections_are_steered() {
    let Some(lab) = Lab::up(1500, 1) else { return };
    lab.here.run(|| {
        let (mut socket, steering) = steered(&config(&arena()));
        steering.steer_range(IpAddr::V4(HERE), 40_000..=40_009).unwrap();
        let reversed = std::ops::RangeInclusive::new(2, 1);
        assert!(matches!(steering.steer_range(IpAddr::V4(HERE), reversed), Err(SteeringError::EmptyRange)));
        lab.there.run(|| {
            let refused = TcpStream::connect((HERE, 40_010)).unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused, "beyond the range, the kernel answers");
            let within = SocketAddr::new(IpAddr::V4(HERE), 40_009);
            TcpStream::connect_timeout(&within, Duration::from_millis(1)).unwrap_err();
        });
        receive(&mut socket, |frame| frame[36..38] == 40_009u16.to_be_bytes());
        steering.unsteer_range(IpAddr::V4(HERE)).unwrap();
        lab.there.run(|| TcpStream::connect((HERE, 40_009)).unwrap_err());
    });
}

#[test]
fn errors_about_our_packets_are_steered() {
    let Some(lab) = Lab::up(1500, 1) else { return };
    let (here, there) = (lab.here.interface(), lab.there.interface());
    lab.here.run(|| {
        let (mut socket, _steering) = steered(&config(&arena()));
        // Nobody listens on port 9 there: the kernel answers with an ICMP error about our datagram.
        let head = udp_head(&here, &there, (5000, 9), 4);
        socket.transmitter.push(&head, &mut [TxPiece::Copied(b"lost")].into_iter()).unwrap();
        socket.transmitter.flush().unwrap();
        let error = receive(&mut socket, |frame| frame[23] == 1);
        assert_eq!(error[34..36], [3, 3], "destination unreachable, port unreachable");
        assert_eq!(error[42..42 + 20], head[14..34], "it quotes our header");
    });
}

/// Sends frames of a head and pieces to a kernel's UDP socket, which checks what is in them.
fn pieces_arrive(mtu: u32, scatter: bool, cases: &[&[(usize, usize)]]) {
    let Some(lab) = Lab::up(mtu, 1) else { return };
    let (here, there) = (lab.here.interface(), lab.there.interface());
    let peer = lab.there.run(|| udp_socket((THERE, 9000)));
    lab.here.run(|| {
        let arena = arena();
        let config = XdpConfig { scatter, ..config(&arena) };
        let (mut socket, _steering) = steered(&config);
        assert_eq!(socket.is_scattering(), scatter);
        let (pin, pins) = pinned(&arena, 64 * 1024);
        let (foreign, _) = pinned(&Arena::new(1 << 20).unwrap(), 64 * 1024);
        for pin in [&pin, &foreign] {
            for case in cases {
                let len = case.iter().map(|(_, len)| len).sum::<usize>();
                let head = udp_head(&here, &there, (5000, 9000), 6 + len);
                let ranges = case.iter().map(|&(start, len)| TxPiece::Pinned(pin, start..start + len));
                let mut pieces = std::iter::once(TxPiece::Copied(b"octets")).chain(ranges);
                socket.transmitter.push(&head, &mut pieces).unwrap();
                socket.transmitter.flush().unwrap();
                let mut received = vec![0; 65_536];
                let count = peer.recv(&mut received).unwrap();
                let expected: Vec<u8> =
                    case.iter().flat_map(|&(start, len)| &pin[start..start + len]).copied().collect();
                assert_eq!(&received[..6], b"octets");
                assert!(received[6..count] == expected, "{case:?} at an MTU of {mtu}");
            }
        }
        socket.transmitter.flush().unwrap();
        assert_eq!((socket.transmitter.in_flight(), pins.load(Ordering::Relaxed)), (0, 1), "pins return");
    });
}

#[test]
fn pinned_pieces_leave_from_where_they_lie_in_jumbo_frames() {
    let cases: [&[(usize, usize)]; 10] = [
        &[],
        &[(0, 1)],
        &[(7, 100)],
        &[(0, 8192)],
        &[(4095, 8192)],
        &[(4095, 8900)],
        &[(65_536 - 8000, 8000)],
        &[(1000, 2000), (50_001, 3000), (9, 1)],
        &[(1, 2000), (2, 2000), (3, 2000), (4, 2000)],
        &[(4000, 1600), (8000, 1600), (12_000, 1600), (16_000, 1600), (20_000, 1600)],
    ];
    pieces_arrive(9000, true, &cases);
}

#[test]
fn memory_of_others_leaves_from_where_it_lies_if_it_is_of_the_pool() {
    let Some(lab) = Lab::up(9000, 1) else { return };
    let (here, there) = (lab.here.interface(), lab.there.interface());
    let peer = lab.there.run(|| udp_socket((THERE, 9000)));
    lab.here.run(|| {
        let (arena, pool) = Pool::behind_arena(8 << 20, 2, 2 << 20).unwrap();
        let (mut socket, _steering) = steered(&config(&arena));
        let owner = Owner { user: 1000, application: 1 };
        let _before = pool.grant(owner, 5000).unwrap().unwrap();
        let memory = Arc::new(pool.grant(owner, 100_000).unwrap().unwrap().0);
        let slice = memory.slice(1..100_000);
        for (number, range) in [0..1536, 4095..12_500, 7..8907, 91_100..99_999].into_iter().enumerate() {
            assert!(socket.transmitter.lends([(&slice, range.clone())].into_iter()), "{range:?}");
            memory.write(0, &vec![b'x'; 100_000]);
            let head = udp_head(&here, &there, (5000, 9000), 6 + range.len());
            let pieces = [TxPiece::Copied(b"octets"), TxPiece::Foreign(&slice, range.clone())];
            socket.transmitter.push(&head, &mut pieces.into_iter()).unwrap();
            // Nothing has read it yet.
            let now: Vec<u8> = (0..100_000).map(|place| (place * 7 % 251 + number) as u8).collect();
            memory.write(0, &now);
            socket.transmitter.flush().unwrap();
            let mut received = vec![0; 65_536];
            let count = peer.recv(&mut received).unwrap();
            assert_eq!(&received[..6], b"octets");
            assert!(received[6..count] == now[1 + range.start..1 + range.end], "{range:?}");
        }
        let lends = |pieces: &[(&ForeignSlice, Range<usize>)]| socket.transmitter.lends(pieces.iter().cloned());
        assert!(!lends(&[(&slice, 0..1535)]), "a copy is cheaper");
        assert!(lends(&[(&slice, 0..1000), (&slice, 9000..10_000)]));
        let other = Arc::new(ForeignMemory::create(8192).unwrap()).slice(0..8192);
        assert!(!lends(&[(&slice, 0..4000), (&other, 0..4000)]), "the kernel does not know it");
        drop(slice);
        socket.transmitter.flush().unwrap();
        assert_eq!((socket.transmitter.in_flight(), Arc::strong_count(&memory)), (0, 1), "nothing holds it any more");
    });
}

#[test]
fn pinned_pieces_are_copied_into_frames_of_one_chunk() {
    let cases: [&[(usize, usize)]; 4] = [&[(0, 1)], &[(4000, 1466)], &[(0, 700), (65_000, 500)], &[(3, 3000)]];
    pieces_arrive(3100, false, &cases);
    pieces_arrive(3100, true, &cases);
}

#[test]
fn a_half_may_outlive_the_rest() {
    let Some(lab) = Lab::up(1500, 1) else { return };
    let client = lab.there.run(|| udp_socket((THERE, 0)));
    lab.here.run(|| {
        let arena = arena();
        let (socket, steering) = steered(&config(&arena));
        let (mut receiver, transmitter) = halves(socket);
        drop(transmitter);
        client.send_to(b"alone", SERVICE).unwrap();
        let mut found = false;
        while !found {
            receiver.receive(64, &mut |frame| found |= frame.ends_with(b"alone"));
        }
        drop(receiver);
        assert_eq!(arena.in_use(), 0);
        drop(steering);
    });
}

fn halves(socket: XdpSocket) -> (Receiver, Transmitter) {
    (socket.receiver, socket.transmitter)
}

#[test]
fn an_object_is_in_flight_on_many_frames_at_a_time() {
    let Some(lab) = Lab::up(9000, 1) else { return };
    let (here, there) = (lab.here.interface(), lab.there.interface());
    lab.here.run(|| {
        let arena = arena();
        let (mut socket, _steering) = steered(&config(&arena));
        let (pin, pins) = pinned(&arena, 64 * 1024);
        let head = udp_head(&here, &there, (5000, 9000), 8000);
        let mut frames = 0;
        while socket.transmitter.push(&head, &mut [TxPiece::Pinned(&pin, 100..8100)].into_iter()).is_ok() {
            frames += 1;
        }
        // 512 descriptors, at most 8 of them for a frame.
        assert!(frames >= 512 / 8, "{frames} frames");
        assert_eq!(socket.transmitter.room(), 0);
        assert!(pins.load(Ordering::Relaxed) > frames, "each frame under way holds its pieces' pins");
        while socket.transmitter.in_flight() > 0 {
            socket.transmitter.flush().unwrap();
        }
        assert_eq!(pins.load(Ordering::Relaxed), 1);
        assert!(socket.transmitter.room() > 0);
        assert_eq!(socket.statistics().unwrap().transmit_invalid, 0);

        // What is too large for a frame goes nowhere, and costs nothing.
        let large = pinned(&Arena::new(1 << 20).unwrap(), 40_000).0;
        socket.transmitter.push(&head, &mut [TxPiece::Pinned(&large, 0..40_000)].into_iter()).unwrap();
        assert_eq!((socket.transmitter.oversized(), socket.transmitter.in_flight()), (1, 0));
    });
}

#[test]
fn jumbo_frames_are_handed_over_in_one_piece() {
    let Some(lab) = Lab::up(9000, 1) else { return };
    let client = lab.there.run(|| udp_socket((THERE, 0)));
    lab.here.run(|| {
        let arena = arena();
        let (mut socket, _steering) = steered(&config(&arena));
        for len in [1, 1472, 3000, 3798, 3799, 4096, 8191, 8972] {
            let payload: Vec<u8> = (0..len).map(|place| (place % 253) as u8).collect();
            // More often than there are chunks, so that each comes back.
            for _ in 0..if len == 8972 { 300 } else { 1 } {
                client.send_to(&payload, SERVICE).unwrap();
                assert_eq!(receive(&mut socket, ends_with(&payload)).len(), UDP_HEAD + len);
            }
        }
        assert_eq!(socket.receiver.oversized(), 0);
    });
}

#[test]
fn frames_of_queues_that_share_memory_are_apart() {
    let Some(lab) = Lab::up(1500, 2) else { return };
    let (here, there) = (lab.here.interface(), lab.there.interface());
    assert_eq!((here.receive_queues, here.transmit_queues, here.kind), (2, 2, Kind::Pair));
    let peer = lab.there.run(|| udp_socket((THERE, 9000)));
    lab.here.run(|| {
        let arena = arena();
        let first = config(&arena);
        let (mut socket, steering) = steered(&first);
        let second = XdpConfig { queue: 1, ..first.clone() };
        let mut beside = XdpSocket::open_beside(&second, &socket).unwrap();
        steering.add_socket(1, &beside).unwrap();
        for (socket, text) in [(&mut socket, b"first "), (&mut beside, b"second")] {
            let head = udp_head(&here, &there, (5000, 9000), text.len());
            socket.transmitter.push(&head, &mut [TxPiece::Copied(text)].into_iter()).unwrap();
            socket.transmitter.flush().unwrap();
            let mut received = [0; 64];
            let count = peer.recv(&mut received).unwrap();
            assert_eq!(&received[..count], text);
        }
        let elsewhere = XdpConfig { arena: Arena::new(8 << 20).unwrap(), ..second };
        assert!(XdpSocket::open_beside(&elsewhere, &socket).is_err());
    });
}

#[test]
fn a_socket_gives_everything_back() {
    let Some(lab) = Lab::up(1500, 1) else { return };
    let client = lab.there.run(|| udp_socket((THERE, 0)));
    lab.here.run(|| {
        let arena = arena();
        let config = config(&arena);
        for _ in 0..3 {
            let (mut socket, steering) = steered(&config);
            client.send_to(b"again", SERVICE).unwrap();
            receive(&mut socket, ends_with(b"again"));
            assert!(arena.in_use() > 0);
            drop((steering, socket));
            assert_eq!(arena.in_use(), 0);
        }
    });
}

#[test]
fn what_is_missing_is_named() {
    let Some(lab) = Lab::up(1500, 1) else { return };
    lab.here.run(|| {
        afpa_platform::xdp::probe().unwrap();
        afpa_platform::steering::probe().unwrap();
        let arena = arena();
        let good = config(&arena);
        let small = Arena::new(1 << 20).unwrap();
        let cases = [
            (XdpConfig { queue: 7, ..good.clone() }, "queue 7"),
            (XdpConfig { interface: 4711, ..good.clone() }, "no such interface"),
            (XdpConfig { mode: Mode::ZeroCopy, ..good.clone() }, "zero-copy"),
            (XdpConfig { arena: small, ..good.clone() }, "4 MiB"),
        ];
        for (config, expected) in cases {
            let error = XdpSocket::open(&config).err().expect("an error").to_string();
            assert!(error.contains(expected), "{error}");
        }
        let _socket = XdpSocket::open(&good).unwrap();
        let error = XdpSocket::open(&good).err().expect("an error").to_string();
        assert!(error.contains("belongs to another AF_XDP socket"), "{error}");

        let _steering = Steering::attach(good.interface, AttachMode::Native).unwrap();
        let error = Steering::attach(good.interface, AttachMode::Auto).unwrap_err();
        assert!(matches!(error, SteeringError::Occupied), "{error}");
        let error = Steering::attach(4711, AttachMode::Auto).unwrap_err();
        assert!(matches!(error, SteeringError::NoInterface), "{error}");
    });
}

#[test]
fn the_generic_mode_steers_as_well() {
    let Some(lab) = Lab::up(1500, 1) else { return };
    let client = lab.there.run(|| udp_socket((THERE, 0)));
    lab.here.run(|| {
        let config = config(&arena());
        let mut socket = XdpSocket::open(&config).unwrap();
        let steering = Steering::attach(config.interface, AttachMode::Generic).unwrap();
        assert_eq!(steering.mode(), AttachMode::Generic);
        steering.steer(Protocol::Udp, SERVICE).unwrap();
        steering.add_socket(0, &socket).unwrap();
        assert!(matches!(steering.add_socket(1, &socket), Err(SteeringError::WrongSocket)));
        client.send_to(b"generic", SERVICE).unwrap();
        receive(&mut socket, ends_with(b"generic"));
    });
}

#[test]
fn a_device_is_polled_busily() {
    let Some(lab) = Lab::up(1500, 1) else { return };
    let client = lab.there.run(|| udp_socket((THERE, 0)));
    lab.here.run(|| {
        let busy_poll = Some(BusyPoll { microseconds: 20, budget: 64 });
        let (mut socket, _steering) = steered(&XdpConfig { busy_poll, ..config(&arena()) });
        client.send_to(b"busy", SERVICE).unwrap();
        receive(&mut socket, ends_with(b"busy"));
    });
}

/// Not a test of its own: what the next one kills.
#[test]
#[ignore = "waits to be killed"]
fn attach_and_wait() {
    let Ok(namespace) = std::env::var(WAITS_IN) else { return };
    enter(&namespace);
    let _steered = steered(&config(&arena()));
    println!("\nattached");
    let _ = std::io::stdin().read(&mut [0]);
}

#[test]
fn a_process_that_is_killed_leaves_the_interface_as_it_was() {
    let Some(lab) = Lab::up(1500, 1) else { return };
    let show = || ip(&format!("-n {} link show {INTERFACE}", lab.here.namespace)).unwrap();
    let before = show();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "attach_and_wait", "--ignored", "--nocapture"])
        .env(WAITS_IN, &lab.here.namespace)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let attached = lines.any(|line| line.unwrap() == "attached");
    let during = show();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(attached && during.contains("xdp"), "{during}");
    assert_eq!(show(), before);
    lab.here.run(|| drop(steered(&config(&arena()))));
}

#[test]
fn interfaces_are_what_they_are() {
    let Some(lab) = Lab::up(9000, 1) else { return };
    let here = lab.here.interface();
    assert_eq!((here.mtu, here.kind, here.is_up, &*here.driver), (9000, Kind::Pair, true, "veth"));
    assert!(here.mac.is_some() && here.mac != lab.there.interface().mac);
    assert_eq!(lab.here.run(|| Interface::by_index(here.index)).unwrap(), here);
    ip(&format!("-n {} tuntap add dev tap0 mode tap", lab.here.namespace)).unwrap();
    let tap = lab.here.run(|| Interface::by_name("tap0")).unwrap();
    assert_eq!((tap.kind, tap.is_up, tap.receive_queues), (Kind::Tap, false, 1));
}

#[test]
fn the_committed_program_is_what_its_source_compiles_to() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("bpf");
    let version = Command::new("clang").arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    let version = String::from_utf8_lossy(&version);
    if !version.contains("version 14.") {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "clang 14 is not there");
        eprintln!("skipped: clang 14, which made the committed object, is not there");
        return;
    }
    let target = std::env::temp_dir().join(format!("afpa-bpf-{}", std::process::id()));
    std::fs::create_dir(&target).unwrap();
    let built = Command::new(directory.join("build.sh")).arg(&target).status();
    let object = std::fs::read(target.join("steer.bpf.o"));
    std::fs::remove_dir_all(&target).unwrap();
    assert!(built.unwrap().success());
    let committed = std::fs::read(directory.join("steer.bpf.o")).unwrap();
    assert!(object.unwrap() == committed, "run crates/platform/bpf/build.sh");
}
