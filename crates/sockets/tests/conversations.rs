//! Conversations: datagrams with one peer, seen as a connection, on both interfaces.

mod common;

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::File;
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use afpa_engine::seam::{Address, Disconnect, FileRange, Origin, Segment};
use afpa_engine::{ConnectionId, Owner, Time, Transport};
use afpa_platform::clock;
use afpa_platform::source::SourceFile;
use afpa_sockets::{Interface, Respond, SocketsConfig};
use common::*;

on_both_interfaces! {
    fn a_question_is_answered(interface) {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Some(server) = server(address) else { continue };
            let to = local(&server);
            let mut harness = Harness::new(interface, |calls, event| match event {
                Event::Connected(id, Origin::Connected) => {
                    calls.send(*id, Segment::Copy(b"question"));
                    0
                }
                Event::Received(id, bytes) => {
                    calls.close(*id);
                    bytes.len()
                }
                _ => 0,
            });
            let client = thread::spawn(move || answer(&server, 1));
            let id = converse(&mut harness, to);
            assert_eq!((harness.sockets.connections(), harness.calls().peer(id)), (1, Some(Address::Inet(to))));
            harness.serve(client);
            harness.until("the end", |log| ending(log, id).is_some());
            let log = &harness.script.log;
            assert_eq!((&log[0], log.len()), (&Event::Connected(id, Origin::Connected), 4));
            assert_eq!(log[3], Event::Disconnected(id, Disconnect::Closed));
            // An answer may be faster than the word that the question has left.
            assert!(log.contains(&Event::Sent(id, 8)) && log.contains(&Event::Received(id, b"re: question".to_vec())));
            assert_eq!(harness.sockets.connections(), 0);
        }
    }

    fn each_send_is_a_datagram_and_each_datagram_is_shown_alone(interface) {
        let server = server("127.0.0.1:0").expect("a port");
        let mut harness = Harness::new(interface, swallow);
        let id = converse(&mut harness, local(&server));
        for piece in [&b"one"[..], b"two", b""] {
            harness.calls().send(id, Segment::Copy(piece));
        }
        let body = pinned(&pattern(30_000));
        send_body(harness.calls(), id, &body, body.len());
        harness.until("both", |log| sent(log, id) == 30_006);
        let (mut octets, mut from) = ([0; 65_536], None);
        for expected in [b"one".to_vec(), b"two".to_vec(), Vec::new(), pattern(30_000)] {
            let (length, peer) = server.recv_from(&mut octets).expect("a datagram");
            assert_eq!(octets[..length], expected);
            from = Some(peer);
        }
        let answers = [vec![1; 4096], b"three".to_vec(), b"four".to_vec()];
        for answer in &answers {
            server.send_to(answer, from.expect("a peer")).expect("a socket");
        }
        harness.until("the answers", |log| received(log, id).len() == 3);
        assert_eq!(received(&harness.script.log, id), answers);
    }

    fn what_is_not_consumed_of_a_datagram_is_gone(interface) {
        let server = server("127.0.0.1:0").expect("a port");
        let mut harness = Harness::new(interface, ignore);
        let id = converse(&mut harness, local(&server));
        harness.calls().send(id, Segment::Copy(b"hello"));
        harness.until("a datagram", |log| sent(log, id) == 5);
        let (_, from) = server.recv_from(&mut [0; 100]).expect("a datagram");
        for answer in ["one", "two", "three"] {
            server.send_to(answer.as_bytes(), from).expect("a socket");
        }
        harness.until("the answers", |log| received(log, id).len() == 3);
        harness.calls().resume(id);
        harness.until("what is left", |log| received(log, id).len() == 4);
        assert_eq!(received(&harness.script.log, id), [&b"one"[..], b"two", b"three", b""]);
    }

    fn a_datagram_arrives_whole_or_not_at_all(interface) {
        let server = server("127.0.0.1:0").expect("a port");
        let mut harness = Harness::new(interface, swallow);
        let id = converse(&mut harness, local(&server));
        harness.calls().send(id, Segment::Copy(b"hello"));
        harness.until("a datagram", |log| sent(log, id) == 5);
        let (_, from) = server.recv_from(&mut [0; 100]).expect("a datagram");
        let answers = [pattern(20_000), b"short".to_vec(), pattern(4097), pattern(4096)];
        for answer in &answers {
            server.send_to(answer, from).expect("a socket");
        }
        harness.until("the last", |log| received(log, id).last() == answers.last());
        let lost = harness.sockets.stats().datagrams_lost.get();
        let received = received(&harness.script.log, id);
        assert_eq!(received.len() as u64 + lost, 4);
        assert!(received.iter().all(|datagram| answers.contains(datagram)));
    }

    fn what_no_datagram_can_hold_is_lost_and_counted(interface) {
        let server = server("127.0.0.1:0").expect("a port");
        let mut harness = Harness::new(interface, swallow);
        let id = converse(&mut harness, local(&server));
        harness.calls().send(id, Segment::Copy(&pattern(70_000)));
        harness.calls().send(id, Segment::Copy(b"shorter"));
        harness.until("both", |log| sent(log, id) == 70_007);
        let mut octets = [0; 100];
        let length = server.recv(&mut octets).expect("a datagram");
        assert_eq!(&octets[..length], b"shorter");
        assert_eq!((harness.sockets.stats().datagrams_lost.get(), harness.ending(id)), (1, None));
    }

    fn an_empty_datagram_says_nothing(interface) {
        let server = server("127.0.0.1:0").expect("a port");
        let mut harness = Harness::new(interface, swallow);
        let id = converse(&mut harness, local(&server));
        harness.calls().send(id, Segment::Copy(b"hello"));
        harness.until("a datagram", |log| sent(log, id) == 5);
        let (_, from) = server.recv_from(&mut [0; 100]).expect("a datagram");
        for answer in ["", "", "word", "", "", "another"] {
            server.send_to(answer.as_bytes(), from).expect("a socket");
        }
        harness.until("the words", |log| received(log, id).len() == 2);
        harness.idle();
        assert_eq!(received(&harness.script.log, id), [&b"word"[..], b"another"]);
        assert_eq!(harness.script.log.len(), 4);
    }

    fn a_port_where_nobody_listens_refuses(interface) {
        let to = local(&server("127.0.0.1:0").expect("a port"));
        let mut harness = Harness::new(interface, swallow);
        let id = converse(&mut harness, to);
        harness.calls().send(id, Segment::Copy(b"is anybody there?"));
        harness.until("the refusal", |log| ending(log, id).is_some());
        assert_eq!((harness.ending(id), harness.sockets.connections()), (Some(Disconnect::Refused), 0));
        harness.calls().send(id, Segment::Copy(b"no"));
        harness.calls().close(id);
        harness.idle();
        assert!(matches!(harness.script.log.last(), Some(Event::Disconnected(..))));
    }

    fn where_there_is_no_way_the_conversation_is_refused(interface) {
        // RFC 5737 has no such host; what is sent to everybody needs a permission that nobody asked for.
        let mut harness = Harness::new(interface, swallow);
        let id = converse(&mut harness, "255.255.255.255:53".parse().expect("an address"));
        harness.until("the refusal", |log| ending(log, id).is_some());
        assert_eq!(harness.script.log, [Event::Disconnected(id, Disconnect::Refused)]);
        assert_eq!(harness.sockets.connections(), 0);
    }

    fn a_stranger_is_not_heard(interface) {
        let server = server("127.0.0.1:0").expect("a port");
        let mut harness = Harness::new(interface, swallow);
        let id = converse(&mut harness, local(&server));
        harness.calls().send(id, Segment::Copy(b"hello"));
        harness.until("a datagram", |log| sent(log, id) == 5);
        let (_, from) = server.recv_from(&mut [0; 100]).expect("a datagram");
        let stranger = UdpSocket::bind("127.0.0.1:0").expect("a port");
        // What becomes of it is the kernel's to tell the stranger.
        let _ = stranger.send_to(b"forged", from);
        harness.idle();
        server.send_to(b"genuine", from).expect("a socket");
        harness.until("the answer", |log| !received(log, id).is_empty());
        assert_eq!(received(&harness.script.log, id), [b"genuine"]);
    }

    fn what_was_sent_before_a_close_still_leaves(interface) {
        let server = server("127.0.0.1:0").expect("a port");
        let mut harness = Harness::new(interface, swallow);
        let early = converse(&mut harness, local(&server));
        harness.calls().send(early, Segment::Copy(b"at once"));
        harness.calls().close(early);
        harness.until("the end", |log| ending(log, early).is_some());
        let late = converse(&mut harness, local(&server));
        harness.until("a conversation", |log| log.contains(&Event::Connected(late, Origin::Connected)));
        harness.idle();
        harness.calls().send(late, Segment::Copy(b"one"));
        harness.calls().send(late, Segment::Copy(b"two"));
        harness.calls().finish(late);
        harness.calls().close(late);
        harness.until("the end", |log| ending(log, late).is_some());
        assert_eq!((harness.ending(early), harness.ending(late)), (Some(Disconnect::Closed), Some(Disconnect::Closed)));
        assert_eq!(harness.sockets.connections(), 0);
        let mut octets = [0; 100];
        for expected in ["at once", "one", "two"] {
            let length = server.recv(&mut octets).expect("a datagram");
            assert_eq!(&octets[..length], expected.as_bytes());
        }
    }

    fn an_aborted_conversation_is_forgotten_at_once(interface) {
        let server = server("127.0.0.1:0").expect("a port");
        let mut harness = Harness::new(interface, swallow);
        // Descriptors and slots are used again and again, with a receive under way each time.
        for round in 0..100 {
            let id = converse(&mut harness, local(&server));
            harness.calls().send(id, Segment::Copy(&[round]));
            harness.until("a datagram", |log| sent(log, id) == 1);
            let (_, from) = server.recv_from(&mut [0; 100]).expect("a datagram");
            server.send_to(b"too late", from).expect("a socket");
            harness.calls().abort(id);
            let next = converse(&mut harness, local(&server));
            harness.pass();
            assert_eq!(harness.sockets.connections(), 1);
            harness.calls().send(next, Segment::Copy(&[round]));
            harness.until("a datagram", |log| sent(log, next) == 1);
            let (_, from) = server.recv_from(&mut [0; 100]).expect("a datagram");
            server.send_to(&[round], from).expect("a socket");
            harness.until("an answer", |log| !received(log, next).is_empty());
            harness.calls().abort(next);
            assert_eq!(received(&harness.script.log, next), [[round]]);
            assert!(received(&harness.script.log, id).is_empty() && harness.ending(id).is_none());
            harness.pass();
            assert_eq!(harness.sockets.connections(), 0);
            UdpSocket::bind(from).expect("its port is free again");
        }
    }

    fn who_sends_for_connections_does_not_matter(interface) {
        let server = server("127.0.0.1:0").expect("a port");
        for respond in [Respond::Inline, Respond::Thread, Respond::Hybrid] {
            let mut harness = Harness::with(SocketsConfig { respond, ..common::config(interface) }, swallow);
            let id = converse(&mut harness, local(&server));
            let file = File::open("/proc/self/exe").and_then(SourceFile::new).map(Arc::new).expect("a file");
            harness.calls().send(id, Segment::Copy(b"one"));
            // No file's octets become a datagram.
            harness.calls().send(id, Segment::File(FileRange { file, offset: 0, length: 10 }));
            harness.calls().send(id, Segment::Copy(b"two"));
            harness.until("both", |log| sent(log, id) == 6);
            let mut octets = [0; 100];
            for expected in ["one", "two"] {
                let length = server.recv(&mut octets).expect("a datagram");
                assert_eq!(&octets[..length], expected.as_bytes());
            }
            assert_eq!(harness.sockets.stats().datagrams_lost.get(), 1);
        }
    }

    fn conversations_count_as_connections(interface) {
        let server = server("127.0.0.1:0").expect("a port");
        let mut config = common::config(interface);
        config.max_connections = 2;
        let mut harness = Harness::with(config, swallow);
        let first = converse(&mut harness, local(&server));
        converse(&mut harness, local(&server));
        harness.calls().converse(local(&server), Owner(7)).expect_err("the limit");
        harness.calls().connect(&Address::Inet(local(&server)), Owner(7)).expect_err("the limit");
        harness.calls().close(first);
        harness.until("the end", |log| ending(log, first).is_some());
        converse(&mut harness, local(&server));
        assert_eq!(harness.sockets.connections(), 2);
    }

    fn in_any_disorder_nobody_hears_what_is_for_another(interface) {
        let server = server("127.0.0.1:0").expect("a port");
        server.set_nonblocking(true).expect("a socket");
        let mut harness = Harness::new(interface, |calls, event| match event {
            Event::Received(id, bytes) => {
                assert_eq!(*bytes, name(*id));
                if bytes[0] % 2 == 0 {
                    calls.close(*id);
                }
                bytes.len()
            }
            _ => 0,
        });
        let (mut live, mut number) = (Vec::new(), 1u32);
        for _ in 0..20_000 {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let choice = number >> 16;
            match choice % 8 {
                0..=2 if live.len() < 100 => {
                    // No answer is left for a port that is used again.
                    answer_all(&server);
                    live.push(converse(&mut harness, local(&server)));
                }
                3 => harness.sockets.poll(Time(clock::now()), Some(Duration::ZERO), &mut harness.script).expect("a pass"),
                4 | 5 if !live.is_empty() => {
                    let id = live[choice as usize / 8 % live.len()];
                    harness.calls().send(id, Segment::Copy(&name(id)));
                }
                6 if !live.is_empty() => {
                    let id = live.swap_remove(choice as usize / 8 % live.len());
                    if choice & 64 == 0 { harness.calls().abort(id) } else { harness.calls().close(id) }
                }
                _ => answer_all(&server),
            }
        }
        live.into_iter().for_each(|id| harness.calls().close(id));
        harness.idle();
        assert_eq!(harness.sockets.connections(), 0);
        let answers = harness.script.log.iter().filter(|event| matches!(event, Event::Received(..))).count();
        assert!(answers > 500, "{answers}");
    }

    fn last_words_leave_from_the_conversation_that_said_them(interface) {
        const COUNT: usize = 3000;
        let server = server("127.0.0.1:0").expect("a port");
        let to = local(&server);
        server.set_nonblocking(true).expect("a socket");
        let mut opened = 0;
        // Each answer ends a conversation and opens one, so that descriptors are used again within a pass.
        let mut harness = Harness::new(interface, move |calls, event| match event {
            Event::Received(id, bytes) => {
                assert_eq!(*bytes, name(*id));
                calls.send(*id, Segment::Copy(&[&name(*id)[..], b"end"].concat()));
                calls.close(*id);
                opened += 1;
                if opened < COUNT {
                    let next = calls.converse(to, Owner(7)).expect("a socket");
                    calls.send(next, Segment::Copy(&name(next)));
                }
                bytes.len()
            }
            _ => 0,
        });
        for _ in 0..50 {
            let id = converse(&mut harness, to);
            harness.calls().send(id, Segment::Copy(&name(id)));
        }
        let (mut said, mut ended) = (HashMap::new(), 0);
        harness.pass();
        while harness.sockets.connections() > 0 {
            let mut octets = [0; 100];
            while let Ok((length, from)) = server.recv_from(&mut octets) {
                match octets[..length].strip_suffix(b"end") {
                    Some(name) => {
                        assert_eq!(said.get(&from).map(Vec::as_slice), Some(name));
                        ended += 1;
                    }
                    None => {
                        said.insert(from, octets[..length].to_vec());
                        server.send_to(&octets[..length], from).expect("a socket");
                    }
                }
            }
            harness.pass();
        }
        assert!(ended >= COUNT - 50, "{ended}");
    }

    fn a_thousand_conversations_at_once(interface) {
        const COUNT: usize = 1000;
        if !descriptors_for(2 * COUNT as u64) {
            return;
        }
        let server = server("127.0.0.1:0").expect("a port");
        let to = local(&server);
        let answered = Rc::new(Cell::new(0));
        let count = answered.clone();
        let mut harness = Harness::new(interface, move |calls, event| match event {
            Event::Received(id, bytes) => {
                assert_eq!(*bytes, [b"re: ", &id.index().to_be_bytes()[..]].concat());
                count.set(count.get() + 1);
                calls.close(*id);
                bytes.len()
            }
            _ => 0,
        });
        let client = thread::spawn(move || answer(&server, COUNT));
        let ids: Vec<ConnectionId> = (0..COUNT).map(|_| converse(&mut harness, to)).collect();
        harness.pass();
        assert_eq!(harness.sockets.connections(), COUNT);
        // What a socket's queue cannot hold would be lost: the server is asked by a hundred at a time.
        for (round, some) in ids.chunks(100).enumerate() {
            for id in some {
                harness.calls().send(*id, Segment::Copy(&id.index().to_be_bytes()));
            }
            harness.until("the answers", |_| answered.get() == 100 * (round + 1));
        }
        harness.serve(client);
        harness.pass();
        assert_eq!(harness.sockets.connections(), 0);
    }
}

fn converse(harness: &mut Harness, to: SocketAddr) -> ConnectionId {
    harness.calls().converse(to, Owner(7)).expect("a socket")
}

/// A socket that waits for datagrams, unless the address family is missing here.
fn server(address: &str) -> Option<UdpSocket> {
    let socket = UdpSocket::bind(address).inspect_err(|error| eprintln!("{address} skipped: {error}")).ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
    Some(socket)
}

fn local(socket: &UdpSocket) -> SocketAddr {
    socket.local_addr().expect("an address")
}

/// Answers as many questions, each with itself.
fn answer(server: &UdpSocket, count: usize) {
    let mut octets = [0; 5000];
    for _ in 0..count {
        let (length, from) = server.recv_from(&mut octets).expect("a question");
        server.send_to(&[b"re: ", &octets[..length]].concat(), from).expect("a socket");
    }
}

/// Answers what is there with itself.
fn answer_all(server: &UdpSocket) {
    let mut octets = [0; 100];
    while let Ok((length, from)) = server.recv_from(&mut octets) {
        // Who has gone in the meantime does not matter.
        let _ = server.send_to(&octets[..length], from);
    }
}

/// What only one conversation says.
fn name(id: ConnectionId) -> Vec<u8> {
    [id.index().to_le_bytes(), id.generation().to_le_bytes()].concat()
}

fn received(log: &[Event], id: ConnectionId) -> Vec<Vec<u8>> {
    let received = |event: &Event| match event {
        Event::Received(of, bytes) if *of == id => Some(bytes.clone()),
        _ => None,
    };
    log.iter().filter_map(received).collect()
}

fn sent(log: &[Event], id: ConnectionId) -> u64 {
    log.iter().map(|event| if let Event::Sent(of, count) = event { count * u64::from(*of == id) } else { 0 }).sum()
}
