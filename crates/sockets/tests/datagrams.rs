//! Datagram listeners, on both interfaces.

mod common;

use std::collections::HashSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use afpa_engine::seam::{Address, Calls, Listen, ListenerId, Segment};
use afpa_engine::{Owner, Time, Transport};
use afpa_platform::clock;
use afpa_sockets::Interface;
use common::*;

on_both_interfaces! {
    fn thousands_of_datagrams_from_several_peers_are_answered(interface) {
        const PEERS: usize = 8;
        const EACH: usize = 1000;
        let (mut harness, address) = listening(interface, "127.0.0.1:0").expect("a port");
        let start = |peer| thread::spawn(move || ask(address, peer, EACH));
        let clients: Vec<JoinHandle<()>> = (0..PEERS).map(start).collect();
        for client in clients {
            harness.serve(client);
        }
        assert_eq!(harness.script.log.len(), PEERS * EACH);
        assert_eq!(harness.sockets.stats().datagrams_lost.get(), 0);
    }

    fn every_listener_has_its_own_datagrams(interface) {
        let (mut harness, first) = listening(interface, "127.0.0.1:0").expect("a port");
        let (_, second) = listen(&mut harness, "127.0.0.1:0").expect("a port");
        let six = listen(&mut harness, "[::1]:0").map(|(_, address)| address);
        for address in [first, second].into_iter().chain(six) {
            let client = thread::spawn(move || ask(address, 0, 10));
            harness.serve(client);
        }
        let sockets = harness.script.log.iter().filter_map(|event| match event {
            Event::Datagram(socket, ..) => Some(socket.index),
            _ => None,
        });
        assert_eq!(sockets.collect::<HashSet<u16>>().len(), 2 + usize::from(six.is_some()));
    }

    fn datagrams_of_every_length_are_echoed(interface) {
        let (mut harness, address) = listening(interface, "127.0.0.1:0").expect("a port");
        let client = thread::spawn(move || {
            let socket = client(address);
            for length in [1, 0, 12, 0, 0, 512, 1232, 4095, 4096] {
                socket.send(&pattern(length)).expect("a socket");
                let mut answer = [0; 5000];
                let answered = socket.recv(&mut answer).expect("an answer");
                assert_eq!(answer[..answered], pattern(length));
            }
        });
        harness.serve(client);
    }

    fn a_datagram_arrives_whole_or_is_counted(interface) {
        let (mut harness, address) = listening(interface, "127.0.0.1:0").expect("a port");
        let socket = client(address);
        let sent = [pattern(4097), pattern(30_000), b"short".to_vec()];
        for datagram in &sent {
            socket.send(datagram).expect("a socket");
        }
        harness.until("the last", |log| log.iter().any(|event| octets(event) == sent[2]));
        let lost = harness.sockets.stats().datagrams_lost.get();
        assert_eq!(harness.script.log.len() as u64 + lost, 3);
        assert!(harness.script.log.iter().all(|event| sent.iter().any(|datagram| datagram == octets(event))));
    }

    fn a_burst_may_lose_some_but_stalls_nothing(interface) {
        const BURST: usize = 5000;
        let (mut harness, address) = listening(interface, "127.0.0.1:0").expect("a port");
        for round in 1..=3 {
            let socket = client(address);
            for number in 0..BURST {
                socket.send(&number.to_be_bytes()).expect("a socket");
            }
            socket.send(b"the last of this burst").expect("a socket");
            harness.idle();
            // Behind the burst, everything goes on as before.
            let client = thread::spawn(move || ask(address, round, 100));
            harness.serve(client);
        }
        let arrived = harness.script.log.len();
        assert!(arrived > 300 && arrived <= 3 * (BURST + 101), "{arrived}");
    }

    fn a_burst_makes_the_transport_due_until_it_is_over(interface) {
        // Kernels that share a pass out among sockets run out of buffers only where there are many.
        const LISTENERS: usize = 40;
        const EACH: usize = 100;
        let mut harness = Harness::new(interface, ignore);
        let listeners: Vec<_> = (0..LISTENERS).map(|_| listen(&mut harness, "127.0.0.1:0").expect("a port")).collect();
        harness.idle();
        for (_, address) in listeners {
            let socket = client(address);
            (0..EACH).for_each(|_| _ = socket.send(b"x").expect("a socket"));
        }
        let start = Instant::now();
        while harness.script.log.len() < LISTENERS * EACH {
            // Another transport sleeps; this one is polled when it says so, and never waits.
            if harness.sockets.is_due(Time(clock::now())) != Some(false) {
                let now = Time(clock::now());
                harness.sockets.poll(now, Some(Duration::ZERO), &mut harness.script).expect("a working interface");
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{} arrived", harness.script.log.len());
        }
    }

    fn more_answers_than_can_wait_are_lost_and_counted(interface) {
        const ANSWERS: u64 = 20_000;
        let mut harness = Harness::new(interface, |calls, event| {
            if let Event::Datagram(socket, peer, _) = event {
                for _ in 0..ANSWERS {
                    calls.send_datagram(*socket, *peer, &mut [Segment::Copy(&[7; 1000])].into_iter());
                }
            }
            0
        });
        let (_, address) = listen(&mut harness, "127.0.0.1:0").expect("a port");
        let socket = client(address);
        socket.send(b"flood me").expect("a socket");
        harness.until("the question", |log| !log.is_empty());
        harness.idle();
        socket.set_nonblocking(true).expect("a socket");
        let mut arrived = 0;
        while socket.recv(&mut [0; 2000]).is_ok() {
            arrived += 1;
        }
        let lost = harness.sockets.stats().datagrams_lost.get();
        assert!(arrived > 0 && arrived + lost <= ANSWERS, "{arrived} and {lost}");
    }

    fn answers_may_be_given_later(interface) {
        let mut harness = Harness::new(interface, ignore);
        let (listener, address) = listen(&mut harness, "127.0.0.1:0").expect("a port");
        let sockets: Vec<UdpSocket> = (0..50).map(|_| client(address)).collect();
        for socket in &sockets {
            socket.send(b"question").expect("a socket");
        }
        harness.until("all questions", |log| log.len() == 50);
        for socket in &sockets {
            let peer = socket.local_addr().expect("an address");
            reply(harness.calls(), listener, peer, b"answer");
        }
        assert!(interface == Interface::Epoll || harness.sockets.is_pending());
        harness.pass();
        for socket in &sockets {
            assert_eq!(socket.recv(&mut [0; 100]).expect("an answer"), 6);
        }
    }

    fn answers_leave_from_the_address_that_was_asked(interface) {
        let four: &[IpAddr] = &[[127, 0, 0, 1].into(), [127, 0, 0, 2].into(), [127, 1, 2, 3].into()];
        let six: &[IpAddr] = &[Ipv6Addr::LOCALHOST.into()];
        // What others have bound to `[::]` may take IPv4 too.
        for (wildcard, addresses) in [("0.0.0.0:0", four), ("[::]:0", six), ("[::]:0", four)] {
            let mut harness = Harness::new(interface, ignore);
            let Ok(socket) = UdpSocket::bind(wildcard) else {
                eprintln!("{wildcard} skipped");
                continue;
            };
            let address = socket.local_addr().expect("an address");
            let listener = harness.sockets.adopt(socket.into(), Owner(7), 64).expect("a datagram socket");
            // A connected socket hears nothing from elsewhere.
            let asked = |address: &IpAddr, port| client(SocketAddr::new(*address, port));
            let sockets: Vec<UdpSocket> = addresses.iter().map(|ip| asked(ip, address.port())).collect();
            for socket in &sockets {
                socket.send(b"question").expect("a socket");
            }
            harness.until("all questions", |log| log.len() == addresses.len());
            // Answers that had to be looked up elsewhere come later.
            let peers: Vec<SocketAddr> = harness.script.log.iter().filter_map(|event| match event {
                Event::Datagram(_, peer, _) => Some(*peer),
                _ => None,
            }).collect();
            for peer in peers {
                reply(harness.calls(), listener, peer, b"answer");
            }
            harness.pass();
            for socket in &sockets {
                assert_eq!(socket.recv(&mut [0; 100]).expect("an answer"), 6);
            }
        }
    }

    fn a_port_of_both_families_is_two_listeners(interface) {
        let (mut harness, four) = listening(interface, "0.0.0.0:0").expect("a port");
        let Some((_, six)) = listen(&mut harness, &format!("[::]:{}", four.port())) else { return };
        for ip in [IpAddr::from([127, 0, 0, 1]), Ipv6Addr::LOCALHOST.into()] {
            let client = thread::spawn(move || ask(SocketAddr::new(ip, six.port()), 0, 10));
            harness.serve(client);
        }
        let is_four = |event: &&Event| matches!(event, Event::Datagram(_, peer, _) if peer.is_ipv4());
        assert_eq!((harness.script.log.len(), harness.script.log.iter().filter(is_four).count()), (20, 10));
    }

    fn who_never_wrote_can_be_written_to(interface) {
        let mut harness = Harness::new(interface, ignore);
        for (bound, to) in [("0.0.0.0:0", "127.0.0.1:0"), ("127.0.0.1:0", "127.0.0.1:0"), ("[::]:0", "[::1]:0")] {
            let Some((listener, _)) = listen(&mut harness, bound) else { continue };
            let socket = UdpSocket::bind(to).expect("a port");
            socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
            reply(harness.calls(), listener, socket.local_addr().expect("an address"), b"notice");
            harness.pass();
            assert_eq!(socket.recv(&mut [0; 100]).expect("a notice"), 6);
        }
    }

    fn a_transport_that_receives_datagrams_can_be_dropped(interface) {
        let (mut harness, address) = listening(interface, "127.0.0.1:0").expect("a port");
        let socket = client(address);
        for _ in 0..100 {
            socket.send(b"question").expect("a socket");
        }
        harness.until("some", |log| !log.is_empty());
        for _ in 0..100 {
            socket.send(b"question").expect("a socket");
        }
        drop(harness);
        // The port is free again.
        UdpSocket::bind(address).expect("a free port");
    }
}

/// A transport that echoes datagrams.
fn listening(interface: Interface, address: &str) -> Option<(Harness, SocketAddr)> {
    let mut harness = Harness::new(interface, |calls, event| {
        if let Event::Datagram(socket, peer, bytes) = event {
            reply(calls, *socket, *peer, bytes);
        }
        0
    });
    let (_, address) = listen(&mut harness, address)?;
    Some((harness, address))
}

fn listen(harness: &mut Harness, address: &str) -> Option<(ListenerId, SocketAddr)> {
    let to = Listen::Datagram(address.parse().expect("an address"));
    let listener =
        harness.sockets.listen(to, Owner(7)).inspect_err(|error| eprintln!("{address} skipped: {error}")).ok()?;
    let Ok(Address::Inet(address)) = harness.sockets.local_address(listener) else { panic!("no address") };
    Some((listener, address))
}

fn reply(calls: &mut dyn Calls, socket: ListenerId, peer: SocketAddr, bytes: &[u8]) {
    calls.send_datagram(socket, peer, &mut [Segment::Copy(bytes)].into_iter());
}

/// A socket that talks to one address only.
fn client(address: SocketAddr) -> UdpSocket {
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).expect("a port");
    socket.connect(address).expect("a way");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
    socket
}

/// Asks some questions at a time, and expects each one's answer.
fn ask(address: SocketAddr, peer: usize, count: usize) {
    let socket = client(address);
    let question = |number: usize| [peer.to_be_bytes(), number.to_be_bytes()].concat();
    let numbers: Vec<usize> = (0..count).collect();
    for some in numbers.chunks(20) {
        for number in some {
            socket.send(&question(*number)).expect("a socket");
        }
        let mut missing: HashSet<Vec<u8>> = some.iter().map(|number| question(*number)).collect();
        while !missing.is_empty() {
            let mut answer = [0; 100];
            let length = socket.recv(&mut answer).expect("an answer");
            assert!(missing.remove(&answer[..length]), "answered twice, or not asked");
        }
    }
}

fn octets(event: &Event) -> &[u8] {
    if let Event::Datagram(_, _, octets) = event { octets } else { &[] }
}
