//! What whoever gets a released connection finds, and what its peer sees, on both interfaces.

mod common;

use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use afpa_engine::seam::{Address, Disconnect, Listen, Segment};
use afpa_engine::{ConnectionId, Owner, Transport};
use afpa_sockets::{Interface, Respond};
use common::*;

on_both_interfaces! {
    fn the_octets_of_the_event_and_the_later_ones_keep_their_order(interface) {
        let mut harness = Harness::new(interface, |calls, event| match event {
            // The first three octets are consumed, the rest is the receiver's.
            Event::Received(id, bytes) => {
                assert!(bytes.is_empty() || calls.can_release(*id) && calls.release(*id));
                bytes.len().min(3)
            }
            _ => 0,
        });
        let (mut stream, id) = harness.client();
        stream.write_all(b"abcdef").expect("a connection");
        let octets = released(&mut harness, id);
        assert_eq!(octets, b"def");
        assert_eq!(harness.sockets.connections(), 0);
        stream.write_all(b"ghi").expect("a connection");
        stream.shutdown(Shutdown::Write).expect("a connection");
        let mut theirs = receiver(&mut harness);
        assert_eq!(read_all(&mut theirs), b"ghi");
        theirs.write_all(b"from its new owner").expect("a connection");
        drop(theirs);
        assert_eq!(read_all(stream), b"from its new owner");
        assert_eq!(harness.ending(id), None);
    }

    fn octets_that_arrive_before_during_and_after_are_all_there(interface) {
        let octets = pattern(1 << 20);
        for turn in [0, 1, 5000, 40_000] {
            let mut harness = Harness::new(interface, move |calls, event| {
                // Nothing is consumed: each event shows what has come in all.
                if let Event::Received(id, bytes) = event && bytes.len() > turn {
                    calls.release(*id);
                }
                0
            });
            let (mut stream, id) = harness.client();
            let sent = octets.clone();
            let client = thread::spawn(move || {
                for part in sent.chunks(1000) {
                    stream.write_all(part).expect("a connection");
                }
                stream.shutdown(Shutdown::Write).expect("a connection");
                read_all(stream)
            });
            let mut all = released(&mut harness, id);
            let mut theirs = receiver(&mut harness);
            theirs.read_to_end(&mut all).expect("the rest");
            theirs.write_all(b"thanks").expect("a connection");
            drop(theirs);
            assert!(all == octets, "after {turn} octets");
            assert_eq!(client.join().expect("a client without complaints"), b"thanks");
        }
    }

    fn it_can_be_asked_for_outside_of_events_while_a_receive_is_under_way(interface) {
        let mut harness = Harness::new(interface, swallow);
        let (mut stream, id) = harness.client();
        for _ in 0..3 {
            let before = harness.script.log.len();
            stream.write_all(b"request").expect("a connection");
            harness.until("input", |log| log.len() > before);
        }
        assert!(harness.calls().release(id));
        assert!(!harness.calls().can_release(id) && !harness.calls().release(id), "once");
        stream.write_all(b"meanwhile").expect("a connection");
        let mut octets = released(&mut harness, id);
        stream.shutdown(Shutdown::Write).expect("a connection");
        receiver(&mut harness).read_to_end(&mut octets).expect("the rest");
        assert_eq!(octets, b"meanwhile");
    }

    fn an_idle_connection_needs_no_event_of_its_peer(interface) {
        let mut harness = Harness::new(interface, swallow);
        let (mut stream, id) = harness.client();
        assert!(harness.calls().release(id));
        assert!(released(&mut harness, id).is_empty());
        receiver(&mut harness).write_all(b"hello").expect("a connection");
        harness.script.released.clear();
        let mut greeting = [0; 5];
        stream.read_exact(&mut greeting).expect("a greeting");
        assert_eq!(&greeting, b"hello");
    }

    fn what_is_queued_is_sent_first(interface) {
        let octets = pattern(8 << 20);
        for (respond, lend_from) in [(Respond::Inline, 1000), (Respond::Inline, usize::MAX), (Respond::Thread, 1000)] {
            let mut config = common::config(interface);
            (config.respond, config.lend_from, config.send_buffer) = (respond, lend_from, 16 << 20);
            let body = pinned(&octets);
            let mut harness = Harness::with(config, move |calls, event| match event {
                Event::Received(id, bytes) if !bytes.is_empty() => {
                    calls.send(*id, Segment::Copy(b"head"));
                    send_body(calls, *id, &body, body.len());
                    assert!(calls.release(*id));
                    calls.send(*id, Segment::Copy(b"too late"));
                    assert_eq!(calls.send_space(*id), 0);
                    bytes.len()
                }
                _ => 0,
            });
            let (mut stream, id) = harness.client();
            stream.write_all(b"x").expect("a connection");
            harness.idle();
            assert!(harness.script.released.is_empty(), "its peer has read nothing");
            let client = thread::spawn(move || {
                stream.write_all(b"next").expect("a connection");
                read_all(stream)
            });
            let mut received = released(&mut harness, id);
            assert_eq!(harness.sent(id), octets.len() as u64 + 4);
            let at = harness.script.log.iter().position(|event| matches!(event, Event::Released(..)));
            assert_eq!(at, Some(harness.script.log.len() - 1), "nothing is raised behind it");
            let mut theirs = receiver(&mut harness);
            if received.is_empty() {
                received.resize(4, 0);
                theirs.read_exact(&mut received).expect("the next request");
            }
            assert_eq!(received, b"next");
            theirs.write_all(b"tail").expect("a connection");
            drop(theirs);
            let answer = client.join().expect("a client without complaints");
            assert!(answer == [b"head", &octets[..], b"tail"].concat());
        }
    }

    fn a_peer_that_has_finished_is_still_one(interface) {
        let mut harness = Harness::new(interface, ignore);
        let (mut stream, id) = harness.client();
        stream.write_all(b"all").expect("a connection");
        stream.shutdown(Shutdown::Write).expect("a connection");
        harness.until("FIN", |log| log.contains(&Event::Disconnected(id, Disconnect::Finished)));
        assert!(harness.calls().release(id));
        assert_eq!(released(&mut harness, id), b"all");
        let mut theirs = receiver(&mut harness);
        assert_eq!(theirs.read(&mut [0; 10]).expect("the end, again"), 0);
        theirs.write_all(b"answer").expect("a connection");
        drop(theirs);
        assert_eq!(read_all(stream), b"answer");
    }

    fn a_peer_that_finishes_meanwhile_is_the_receivers_matter(interface) {
        let mut harness = Harness::new(interface, |calls, event| {
            if let Event::Received(id, bytes) = event && bytes.len() > 1 {
                calls.release(*id);
            }
            0
        });
        let (mut stream, id) = harness.client();
        stream.write_all(b"a").expect("a connection");
        harness.until("input", |log| log.contains(&Event::Received(id, b"a".to_vec())));
        stream.write_all(b"b").expect("a connection");
        stream.shutdown(Shutdown::Write).expect("a connection");
        assert_eq!(released(&mut harness, id), b"ab");
        assert_eq!(receiver(&mut harness).read(&mut [0; 10]).expect("the end"), 0);
        assert!(!harness.script.log.contains(&Event::Disconnected(id, Disconnect::Finished)));
    }

    fn a_peer_that_resets_ends_it_either_way(interface) {
        let mut config = common::config(interface);
        config.send_buffer = 64 << 20;
        let mut harness = Harness::with(config, |calls, event| match event {
            Event::Received(id, bytes) => {
                calls.send(*id, Segment::Copy(&vec![7; 16 << 20]));
                assert!(calls.release(*id));
                bytes.len()
            }
            _ => 0,
        });
        let (mut stream, id) = harness.client();
        stream.write_all(b"x").expect("a connection");
        harness.idle();
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).expect("a socket");
        drop(stream);
        harness.until("the end", |log| ending(log, id).is_some());
        assert_eq!(harness.ending(id), Some(Disconnect::Reset));
        assert!(harness.script.released.is_empty() && harness.sockets.connections() == 0);
    }

    fn a_connection_that_shall_be_released_can_still_be_ended(interface) {
        let mut harness = Harness::new(interface, |calls, event| match event {
            Event::Received(id, bytes) => {
                assert!(calls.release(*id));
                match bytes.as_slice() {
                    b"close" => calls.close(*id),
                    b"abort" => calls.abort(*id),
                    _ => {}
                }
                bytes.len()
            }
            _ => 0,
        });
        let (mut stream, id) = harness.client();
        stream.write_all(b"close").expect("a connection");
        let client = thread::spawn(move || read_all(stream));
        assert_eq!(harness.serve(client), b"");
        harness.until("the end", |log| ending(log, id).is_some());
        let (mut stream, _) = harness.client();
        stream.write_all(b"abort").expect("a connection");
        let client = thread::spawn(move || stream.read(&mut [0; 10]).expect_err("a reset").kind());
        assert_eq!(harness.serve(client), ErrorKind::ConnectionReset);
        assert!(harness.script.released.is_empty() && harness.sockets.connections() == 0);
    }

    fn only_what_its_peer_knows_as_open_can_be_released(interface) {
        let mut harness = Harness::new(interface, swallow);
        let (_stream, id) = harness.client();
        harness.calls().finish(id);
        assert!(!harness.calls().can_release(id), "we have said goodbye");
        let nowhere = std::net::UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
        let conversation = harness.calls().converse(nowhere, Owner(7)).expect("a socket");
        harness.until("a conversation", |log| log.iter().any(|event| matches!(event, Event::Connected(id, _) if *id == conversation)));
        assert!(!harness.calls().release(conversation), "datagrams are no stream");
        let to = Address::Inet(harness.address);
        let outbound = harness.calls().connect(&to, Owner(7)).expect("a socket");
        assert!(!harness.calls().release(outbound), "nobody has answered");
        harness.calls().abort(id);
        assert!(!harness.calls().release(id), "a dead id");
    }

    fn streams_of_unix_sockets_are_released_too(interface) {
        let mut harness = Harness::new(interface, |calls, event| {
            if let Event::Received(id, _) = event {
                assert!(calls.release(*id));
            }
            0
        });
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        harness.sockets.listen(Listen::Stream(Address::Unix(path.clone())), Owner(7)).expect("a path");
        let mut stream = UnixStream::connect(path).expect("a connection");
        stream.write_all(b"hello").expect("a connection");
        harness.until("a connection", |log| !accepted(log).is_empty());
        let id = harness.accepted()[0];
        assert_eq!(released(&mut harness, id), b"hello");
    }

    fn many_go_at_once_and_others_stay(interface) {
        const CLIENTS: usize = 100;
        const REQUESTS: usize = 50;
        let given = Rc::<RefCell<Vec<ConnectionId>>>::default();
        let taken = given.clone();
        // A pipeline of lines: each is answered, until one says "go".
        let mut harness = Harness::new(interface, move |calls, event| {
            let Event::Received(id, bytes) = event else { return 0 };
            let mut consumed = 0;
            for line in bytes.split_inclusive(|octet| *octet == b'\n').filter(|line| line.ends_with(b"\n")) {
                if line == b"go\n" {
                    if calls.release(*id) {
                        taken.borrow_mut().push(*id);
                    }
                    break;
                }
                calls.send(*id, Segment::Copy(line));
                consumed += line.len();
            }
            consumed
        });
        let lines = |number: usize| -> (String, String) {
            let before: String = (0..number % REQUESTS).map(|line| format!("line {line}\n")).collect();
            let after: String = (0..REQUESTS).map(|line| format!("more {line}\n")).collect();
            if number.is_multiple_of(3) { (before + &after, String::new()) } else { (before, format!("go\n{after}")) }
        };
        let clients: Vec<_> = (0..CLIENTS).map(|number| {
            let (address, (answered, rest)) = (harness.address, lines(number));
            thread::spawn(move || {
                let mut stream = TcpStream::connect(address).expect("a connection");
                let request = answered.clone() + &rest;
                let middle = request.len() / 2;
                stream.write_all(&request.as_bytes()[..middle]).expect("a connection");
                stream.write_all(&request.as_bytes()[middle..]).expect("a connection");
                let mut answer = vec![0; answered.len()];
                stream.read_exact(&mut answer).expect("answers");
                assert!(answer == answered.as_bytes());
                if rest.is_empty() {
                    return;
                }
                let mut answer = vec![0; rest.len()];
                stream.read_exact(&mut answer).expect("answers of another");
                assert!(answer == rest.as_bytes());
            })
        }).collect();
        let gone = CLIENTS - CLIENTS.div_ceil(3);
        let mut others = Vec::new();
        let mut seen = 0;
        harness.until("all of them", |log| log.iter().filter(|event| matches!(event, Event::Released(..))).count() == gone);
        for (id, socket) in harness.script.released.drain(..) {
            let octets = harness.script.log.iter().find_map(|event| match event {
                Event::Released(of, octets) if *of == id => Some(octets.clone()),
                _ => None,
            }).expect("its octets");
            others.push(thread::spawn(move || echo_until_the_end(TcpStream::from(socket), &octets)));
            seen += 1;
        }
        assert_eq!((seen, given.borrow().len()), (gone, gone));
        for client in clients {
            harness.serve(client);
        }
        for other in others {
            other.join().expect("a receiver without complaints");
        }
    }
}

/// Waits until a connection is released, and returns what came along.
fn released(harness: &mut Harness, id: ConnectionId) -> Vec<u8> {
    let find = |log: &[Event]| {
        log.iter().find_map(|event| match event {
            Event::Released(of, octets) if *of == id => Some(octets.clone()),
            _ => None,
        })
    };
    harness.until("the connection itself", |log| find(log).is_some());
    find(&harness.script.log).expect("it is there")
}

/// The socket released last, as whoever gets it may use it.
fn receiver(harness: &mut Harness) -> TcpStream {
    let (_, socket) = harness.script.released.pop().expect("a released connection");
    let mode = rustix::fs::fcntl_getfl(&socket).expect("a descriptor");
    assert!(mode.contains(rustix::fs::OFlags::NONBLOCK));
    let stream = TcpStream::from(socket);
    stream.set_nonblocking(false).expect("a socket");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
    stream
}

fn echo_until_the_end(mut stream: TcpStream, octets: &[u8]) {
    stream.set_nonblocking(false).expect("a socket");
    stream.write_all(octets).expect("a connection");
    let mut reader = stream.try_clone().expect("a descriptor");
    // Its client leaves without reading more than it expects.
    let _ = std::io::copy(&mut reader, &mut stream);
}
