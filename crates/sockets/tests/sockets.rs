//! Listeners, limits, outbound connections, datagrams and contexts, on both interfaces.

mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use afpa_engine::seam::{Address, Disconnect, FileRange, Listen, Origin, Segment};
use afpa_engine::{Owner, Time, Transport};
use afpa_platform::source::SourceFile;
use afpa_sockets::{Interface, Respond};
use common::*;

on_both_interfaces! {
    fn the_limit_on_connections_pauses_accepting(interface) {
        let mut config = common::config(interface);
        config.max_connections = 3;
        let mut harness = Harness::with(config, echo);
        let address = harness.address;
        let mut streams: Vec<TcpStream> = (0..3).map(|_| harness.client().0).collect();
        let waiting: Vec<TcpStream> = (0..5).map(|_| TcpStream::connect(address).expect("a backlog")).collect();
        harness.idle();
        assert_eq!(harness.accepted().len(), 3);
        assert_eq!(harness.sockets.stats().at_connection_limit.get(), 1);
        assert!(harness.calls().connect(&Address::Inet(address), Owner(7)).is_err());
        streams.pop();
        harness.until("the next one", |log| accepted(log).len() == 4);
        harness.idle();
        assert_eq!((harness.accepted().len(), harness.sockets.connections()), (4, 3));
        drop(streams);
        drop(waiting);
        harness.until("all", |log| accepted(log).len() == 8);
        harness.until("all ends", |log| accepted(log).iter().all(|id| ending(log, *id).is_some()));
        assert_eq!(harness.sockets.connections(), 0);
    }

    fn what_is_reserved_is_left_to_what_is_opened(interface) {
        let mut config = common::config(interface);
        (config.max_connections, config.reserved) = (3, 2);
        let mut harness = Harness::with(config, echo);
        let address = harness.address;
        let _clients: Vec<TcpStream> = (0..5).map(|_| TcpStream::connect(address).expect("a backlog")).collect();
        harness.until("one", |log| accepted(log).len() == 1);
        harness.idle();
        assert_eq!((harness.accepted().len(), harness.sockets.connections()), (1, 1));
        let peer = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let to = Address::Inet(peer.local_addr().expect("an address"));
        let opened = [(); 2].map(|()| harness.calls().connect(&to, Owner(7)).expect("a place"));
        harness.calls().connect(&to, Owner(7)).expect_err("the limit");
        harness.calls().abort(opened[0]);
        harness.idle();
        assert_eq!((harness.accepted().len(), harness.sockets.connections()), (1, 2));
        harness.calls().connect(&to, Owner(7)).expect("its place");
    }

    fn without_descriptors_accepting_pauses_and_connections_live_on(interface) {
        // In a process of its own: the limit is the process's.
        let name = format!("{}::child_without_descriptors", interface.name().replace("io_", ""));
        let test = std::env::current_exe().expect("a test");
        let status = Command::new(test).args(["--exact", &name, "--ignored"]).status().expect("a child");
        assert!(status.success());
    }

    #[ignore = "runs in a process of its own"]
    fn child_without_descriptors(interface) {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        setrlimit(Resource::Nofile, Rlimit { current: Some(100), ..getrlimit(Resource::Nofile) }).expect("a lower limit");
        let mut harness = Harness::new(interface, echo);
        let (mut first, _) = harness.client();
        let clients: Vec<TcpStream> = (0..10).map(|_| TcpStream::connect(harness.address).expect("a backlog")).collect();
        let mut files = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            files.push(file);
        }
        let stats = harness.sockets.stats();
        harness.until("a pause", |_| stats.out_of_descriptors.get() > 0);
        assert_eq!(harness.accepted().len(), 1);
        first.write_all(b"alive").expect("a connection");
        let id = harness.accepted()[0];
        harness.until("an answer", |log| log.contains(&Event::Sent(id, 5)));
        drop(files);
        harness.until("all others", |log| accepted(log).len() == 11);
        drop(clients);
    }

    fn addresses_are_known(interface) {
        let mut harness = Harness::new(interface, echo);
        let (stream, id) = harness.client();
        assert_eq!(harness.calls().peer(id), Some(Address::Inet(stream.local_addr().expect("an address"))));
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = Address::Inet(taken.local_addr().expect("an address"));
        let error = harness.sockets.listen(Listen::Stream(address.clone()), Owner(7)).expect_err("a port in use");
        assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }

    fn unix_sockets_and_ipv6_are_streams_too(interface) {
        let mut harness = Harness::new(interface, echo);
        let path = scratch("socket");
        let unix = Address::Unix(path.clone());
        let listener = harness.sockets.listen(Listen::Stream(unix.clone()), Owner(7)).expect("a path");
        assert_eq!(harness.sockets.local_address(listener).expect("an address"), unix);
        let client = path.clone();
        let client = thread::spawn(move || exchange(UnixStream::connect(client).expect("a connection")));
        harness.serve(client);
        let id = harness.accepted()[0];
        assert!(harness.script.log.contains(&Event::Connected(id, Origin::Accepted(listener))));
        std::fs::remove_file(path).expect("a socket");

        let six = Listen::Stream(Address::Inet("[::1]:0".parse().expect("an address")));
        match harness.sockets.listen(six, Owner(7)) {
            Ok(listener) => {
                let Ok(Address::Inet(address)) = harness.sockets.local_address(listener) else { panic!("no address") };
                harness.serve(thread::spawn(move || exchange(TcpStream::connect(address).expect("a connection"))));
            }
            Err(error) => eprintln!("IPv6 skipped: {error}"),
        }
    }

    fn a_listener_can_be_shared_by_transports(interface) {
        let path = scratch("shared");
        let listener = UnixListener::bind(&path).expect("a path");
        let mut harnesses = [Harness::new(interface, echo), Harness::new(interface, echo)];
        for harness in &mut harnesses {
            harness.sockets.adopt(listener.try_clone().expect("a descriptor").into(), Owner(7), 64).expect("a listener");
        }
        let client = path.clone();
        let client = thread::spawn(move || {
            for _ in 0..20 {
                exchange(UnixStream::connect(&client).expect("a connection"));
            }
        });
        while !client.is_finished() {
            harnesses.iter_mut().for_each(Harness::pass);
        }
        client.join().expect("answers");
        harnesses.iter_mut().for_each(Harness::idle);
        assert_eq!(harnesses.iter().map(|harness| harness.accepted().len()).sum::<usize>(), 20);
        let datagrams = UdpSocket::bind("127.0.0.1:0").expect("a port");
        harnesses[0].sockets.adopt(datagrams.into(), Owner(7), 64).expect("a datagram socket");
        harnesses[0].sockets.adopt(File::open("/dev/null").expect("a file").into(), Owner(7), 64).expect_err("no socket");
        std::fs::remove_file(path).expect("a socket");
    }

    fn who_stops_listening_serves_on(interface) {
        let mut harness = Harness::new(interface, echo);
        let (stream, _) = harness.client();
        harness.sockets.stop_listening();
        harness.idle();
        TcpStream::connect(harness.address).expect_err("nobody listens");
        assert!(harness.sockets.local_address(harness.listener).is_err());
        harness.serve(thread::spawn(move || exchange(stream)));
    }

    fn connections_can_be_opened(interface) {
        let mut harness = Harness::new(interface, |calls, event| match event {
            Event::Connected(id, Origin::Connected) => {
                calls.send(*id, Segment::Copy(b"question"));
                0
            }
            Event::Received(id, bytes) if bytes == b"question" => {
                calls.send(*id, Segment::Copy(b"answer"));
                bytes.len()
            }
            Event::Received(id, bytes) => {
                calls.close(*id);
                bytes.len()
            }
            Event::Disconnected(id, Disconnect::Finished) => {
                calls.close(*id);
                0
            }
            _ => 0,
        });
        let address = Address::Inet(harness.address);
        let id = harness.calls().connect(&address, Owner(7)).expect("a socket");
        assert_eq!(harness.sockets.connections(), 1);
        harness.until("an answer", |log| log.contains(&Event::Received(id, b"answer".to_vec())));
        harness.until("the end", |log| ending(log, id).is_some() && ending(log, accepted(log)[0]).is_some());
        assert_eq!((harness.ending(id), harness.sockets.connections()), (Some(Disconnect::Closed), 0));
        assert_eq!(harness.script.log[0], Event::Connected(id, Origin::Connected));
    }

    fn a_connection_that_is_refused_says_so(interface) {
        let mut harness = Harness::new(interface, echo);
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        let unix = scratch("nobody");
        for address in [Address::Inet(free), Address::Unix(unix)] {
            harness.script.log.clear();
            let id = harness.calls().connect(&address, Owner(7)).expect("a socket");
            harness.until("the refusal", |log| ending(log, id).is_some());
            assert_eq!(harness.script.log, [Event::Disconnected(id, Disconnect::Refused)]);
        }
        assert_eq!(harness.sockets.connections(), 0);
    }

    fn datagrams_are_answered(interface) {
        let mut harness = Harness::new(interface, |calls, event| {
            if let Event::Datagram(socket, peer, bytes) = event {
                calls.send_datagram(*socket, *peer, &mut [Segment::Copy(b"re: "), Segment::Copy(bytes)].into_iter());
            }
            0
        });
        let any_port = Listen::Datagram("127.0.0.1:0".parse().expect("an address"));
        let listener = harness.sockets.listen(any_port, Owner(7)).expect("a port");
        let Ok(Address::Inet(address)) = harness.sockets.local_address(listener) else { panic!("no address") };
        let client = thread::spawn(move || {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
            socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
            for number in 0..200u8 {
                let sent = vec![number; usize::from(number)];
                socket.send_to(&sent, address).expect("a socket");
                let mut answer = [0; 1000];
                let length = socket.recv(&mut answer).expect("an answer");
                assert_eq!(answer[..length], [b"re: ", &sent[..]].concat());
            }
        });
        harness.serve(client);
    }

    fn a_watched_descriptor_wakes_the_transport(interface) {
        let mut harness = Harness::new(interface, echo);
        let (mut here, there) = UnixStream::pair().expect("a pair");
        harness.sockets.watch(there.as_fd()).expect("a descriptor");
        for round in 0..3 {
            let other = here.try_clone().expect("a descriptor");
            let waker = thread::spawn(move || {
                thread::sleep(Duration::from_millis(20 * round));
                (&other).write_all(b"wake up").expect("a pair");
            });
            // Returns only because it is woken.
            let now = Time(afpa_platform::clock::now());
            harness.sockets.poll(now, None, &mut harness.script).expect("a working interface");
            waker.join().expect("a waker");
            (&there).read_exact(&mut [0; 7]).expect("what woke us");
        }
        here.flush().expect("a pair");
    }

    fn whoever_sends_the_answer_is_the_same(interface) {
        let octets = pattern(3 << 20);
        let path = scratch("file");
        std::fs::write(&path, &octets).expect("a file");
        let file = File::open(&path).and_then(SourceFile::new).map(Arc::new).expect("a file");
        std::fs::remove_file(&path).expect("a file");
        let ways = [Respond::Inline, Respond::Thread, Respond::Hybrid].map(|respond| [(respond, usize::MAX), (respond, 1000)]);
        for (respond, lend_from) in ways.into_iter().flatten() {
            let mut config = common::config(interface);
            (config.respond, config.lend_from) = (respond, lend_from);
            let (file, body) = (file.clone(), pinned(&octets[..300_000]));
            let mut harness = Harness::with(config, move |calls, event| {
                let Event::Received(id, bytes) = event else { return 0 };
                for _ in bytes {
                    calls.send(*id, Segment::Copy(b"head"));
                    send_body(calls, *id, &body, body.len());
                    if calls.sends_files() {
                        let length = 3 << 20;
                        calls.send(*id, Segment::File(FileRange { file: file.clone(), offset: 1000, length: length - 1000 }));
                    }
                }
                bytes.len()
            });
            assert_eq!(harness.calls().sends_files(), respond != Respond::Inline);
            let mut expected = [b"head", &octets[..300_000]].concat();
            if respond != Respond::Inline {
                expected.extend_from_slice(&octets[1000..]);
            }
            let clients: Vec<_> = (0..4).map(|_| {
                let (address, expected) = (harness.address, expected.repeat(3));
                thread::spawn(move || {
                    let mut stream = TcpStream::connect(address).expect("a connection");
                    stream.write_all(b"ab").expect("a connection");
                    let mut answer = vec![0; expected.len()];
                    stream.read_exact(&mut answer[..500_000]).expect("an answer");
                    stream.write_all(b"c").expect("a connection");
                    stream.read_exact(&mut answer[500_000..]).expect("an answer");
                    assert!(answer == expected);
                })
            }).collect();
            for client in clients {
                harness.serve(client);
            }
            let handed_over = harness.sockets.stats().handed_over.get();
            assert_eq!(handed_over > 0, respond != Respond::Inline);
        }
    }

    fn a_connection_can_end_while_a_thread_sends(interface) {
        let octets = pattern(8 << 20);
        let body = pinned(&octets);
        let mut config = common::config(interface);
        config.respond = Respond::Thread;
        config.send_buffer = 16 << 20;
        let mut harness = Harness::with(config, move |calls, event| {
            if let Event::Received(id, bytes) = event {
                pump(calls, *id, &body, &mut 0);
                if bytes == b"close" {
                    calls.close(*id);
                }
            }
            swallow(calls, event)
        });
        let (mut stream, id) = harness.client();
        let client = thread::spawn(move || {
            stream.write_all(b"close").expect("a connection");
            read_all(stream)
        });
        assert!(harness.serve(client) == octets);
        harness.until("the end", |log| ending(log, id).is_some());
        assert_eq!(harness.ending(id), Some(Disconnect::Closed));

        let (mut stream, id) = harness.client();
        stream.write_all(b"go").expect("a connection");
        harness.until("a part", |log| log.contains(&Event::Received(id, b"go".to_vec())));
        harness.calls().abort(id);
        harness.until("the end", |_| true);
        harness.idle();
        assert_eq!((harness.ending(id), harness.sockets.connections()), (None, 0));

        let (mut stream, _) = harness.client();
        stream.write_all(b"go").expect("a connection");
        harness.pass();
        drop(harness);
    }
}

/// A file name that nobody else uses.
fn scratch(name: &str) -> PathBuf {
    let thread = format!("{:?}", thread::current().id());
    std::env::temp_dir().join(format!("afpa-sockets-{name}-{}-{thread}", std::process::id()))
}

fn exchange(mut stream: impl Read + Write) {
    for text in ["hello", "and goodbye"] {
        stream.write_all(text.as_bytes()).expect("a connection");
        let mut answer = vec![0; text.len()];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(answer, text.as_bytes());
    }
}
