//! What a peer sees of a transport's connections, and what the events say, on both interfaces.

mod common;

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use afpa_engine::seam::{Disconnect, Segment};
use afpa_engine::{ConnectionId, Transport};
use afpa_sockets::{Interface, SocketsConfig};
use common::*;

on_both_interfaces! {
    fn input_is_echoed_to_its_end(interface) {
        let mut harness = Harness::new(interface, echo);
        let address = harness.address;
        let octets = pattern(3_000_000);
        let sent = octets.clone();
        let client = thread::spawn(move || {
            let mut stream = TcpStream::connect(address).expect("a connection");
            let reader = stream.try_clone().expect("a descriptor");
            let writer = thread::spawn(move || {
                stream.write_all(&sent).expect("a peer that reads");
                stream.shutdown(Shutdown::Write).expect("a connection");
            });
            let received = read_all(reader);
            writer.join().expect("a writer without complaints");
            received
        });
        assert!(harness.serve(client) == octets);
        let id = harness.accepted()[0];
        harness.until("the end", |log| ending(log, id).is_some());
        assert_eq!(harness.ending(id), Some(Disconnect::Closed));
        assert_eq!(harness.sent(id), octets.len() as u64);
        assert_eq!(harness.sockets.connections(), 0);
    }

    fn what_is_not_consumed_is_shown_again_in_front(interface) {
        // Whole lines are consumed.
        let mut harness = Harness::new(interface, |_, event| match event {
            Event::Received(_, bytes) => bytes.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1),
            _ => 0,
        });
        let (mut stream, id) = harness.client();
        for (part, shown) in [("a", "a"), ("b\nc", "ab\nc"), ("d", "cd"), ("\n", "cd\n"), ("e\n", "e\n")] {
            let before = harness.script.log.len();
            stream.write_all(part.as_bytes()).expect("a connection");
            harness.until("input", |log| log.len() > before);
            assert_eq!(harness.script.log[before..], [Event::Received(id, shown.into())]);
        }
    }

    fn resume_shows_the_rest_until_nothing_is_left(interface) {
        let mut harness = Harness::new(interface, |calls, event| match event {
            Event::Received(id, bytes) if !bytes.is_empty() => {
                calls.resume(*id);
                1
            }
            _ => 0,
        });
        let (mut stream, id) = harness.client();
        stream.write_all(b"abc").expect("a connection");
        let shown = |text: &str| Event::Received(id, text.into());
        harness.until("the empty rest", |log| log.contains(&shown("")));
        assert_eq!(harness.script.log[1..], [shown("abc"), shown("bc"), shown("c"), shown("")]);
        harness.idle();
        assert_eq!(harness.script.log.len(), 5);
        harness.calls().resume(id);
        harness.until("the rest on demand", |log| log.len() > 5);
        assert_eq!(harness.script.log[5..], [shown("")]);
    }

    fn a_module_that_does_not_consume_closes_the_window(interface) {
        let open = Rc::new(Cell::new(false));
        let gate = open.clone();
        let mut harness = Harness::new(interface, move |_, event| match event {
            Event::Received(_, bytes) if gate.get() => bytes.len(),
            _ => 0,
        });
        let (mut stream, id) = harness.client();
        let octets = pattern(16 << 20);
        let copy = octets.clone();
        let client = thread::spawn(move || stream.write_all(&copy));
        let window = common::config(interface).receive_window;
        let longest = |log: &[Event]| log.iter().map(|e| if let Event::Received(_, b) = e { b.len() } else { 0 }).max();
        harness.until("a full window", |log| longest(log) >= Some(window));
        harness.idle();
        assert!(!client.is_finished(), "more was read than the window holds");
        assert!(longest(&harness.script.log) < Some(1 << 20));
        open.set(true);
        harness.script.log.clear();
        harness.calls().resume(id);
        harness.serve(client).expect("a peer that reads again");
        let length = |log: &[Event]| log.iter().map(|e| if let Event::Received(_, b) = e { b.len() } else { 0 }).sum();
        harness.until("the last octet", |log| octets.len() <= length(log));
        let shown = harness.script.log.iter().flat_map(|e| if let Event::Received(_, b) = e { &b[..] } else { &[] });
        assert!(shown.eq(&octets));
    }

    fn sends_of_many_events_and_kinds_keep_their_order(interface) {
        let body = pinned(&pattern(200_000));
        let shared = body.clone();
        let mut harness = Harness::new(interface, move |calls, event| {
            let Event::Received(id, bytes) = event else { return 0 };
            for &number in bytes {
                calls.send(*id, Segment::Copy(&[number; 100]));
                send_body(calls, *id, &shared, u64::from(number) * 700);
                calls.send(*id, Segment::Copy(b"end"));
            }
            bytes.len()
        });
        let (mut stream, _) = harness.client();
        let client = thread::spawn(move || {
            for number in 0..200u8 {
                stream.write_all(&[number]).expect("a connection");
                if number % 3 == 0 {
                    thread::yield_now();
                }
            }
            let mut answer = vec![0; (0..200).map(|number| 103 + number * 700).sum()];
            stream.read_exact(&mut answer).expect("an answer to each");
            answer
        });
        let octets = pattern(200_000);
        let expected: Vec<u8> = (0..200u8)
            .flat_map(|number| [&[number; 100][..], &octets[..usize::from(number) * 700], b"end"].concat())
            .collect();
        assert!(harness.serve(client) == expected);
    }

    fn a_slow_reader_gets_everything_at_its_own_pace(interface) {
        serve_a_slow_reader(common::config(interface));
    }

    fn a_slow_reader_gets_what_is_copied_too(interface) {
        let mut config = common::config(interface);
        config.lend_from = usize::MAX;
        serve_a_slow_reader(config);
    }

    fn after_finish_the_peer_may_still_send(interface) {
        let mut harness = Harness::new(interface, |calls, event| {
            if let Event::Connected(id, _) = event {
                calls.send(*id, Segment::Copy(b"farewell"));
                calls.finish(*id);
                calls.send(*id, Segment::Copy(b"too late"));
            }
            swallow(calls, event)
        });
        let (stream, id) = harness.client();
        let mut writer = stream.try_clone().expect("a descriptor");
        let reader = thread::spawn(move || read_all(stream));
        assert_eq!(harness.serve(reader), b"farewell");
        writer.write_all(b"still here").expect("a connection");
        harness.until("input", |log| log.contains(&Event::Received(id, b"still here".to_vec())));
        assert_eq!(harness.ending(id), None);
        writer.shutdown(Shutdown::Write).expect("a connection");
        harness.until("the peer's FIN", |log| log.contains(&Event::Disconnected(id, Disconnect::Finished)));
        harness.calls().close(id);
        harness.until("the end", |log| ending(log, id).is_some());
        assert_eq!(harness.ending(id), Some(Disconnect::Closed));
    }

    fn abort_resets_and_raises_nothing(interface) {
        let mut harness = Harness::new(interface, |calls, event| {
            if let Event::Received(id, _) = event {
                calls.send(*id, Segment::Copy(b"never mind"));
                calls.abort(*id);
            }
            0
        });
        let (mut stream, _) = harness.client();
        stream.write_all(b"x").expect("a connection");
        let before = harness.script.log.len();
        harness.until("input", |log| log.len() > before);
        harness.idle();
        assert_eq!(harness.script.log.len(), before + 1);
        assert_eq!(harness.sockets.connections(), 0);
        let error = stream.read(&mut [0; 10]).expect_err("a reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }

    fn a_reset_by_the_peer_is_told(interface) {
        let mut harness = Harness::new(interface, swallow);
        let (stream, id) = harness.client();
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).expect("a socket");
        drop(stream);
        harness.until("the end", |log| ending(log, id).is_some());
        assert_eq!(harness.ending(id), Some(Disconnect::Reset));
        assert_eq!(harness.sockets.connections(), 0);
    }

    fn a_reset_behind_the_peers_end_is_told(interface) {
        let mut harness = Harness::new(interface, swallow);
        let (stream, id) = harness.client();
        stream.shutdown(Shutdown::Write).expect("a connection");
        harness.until("the peer's FIN", |log| log.contains(&Event::Disconnected(id, Disconnect::Finished)));
        harness.idle();
        drop(stream);
        // Nobody is there any more: the answer is a reset.
        harness.calls().send(id, Segment::Copy(b"answer"));
        harness.until("the end", |log| ending(log, id).is_some());
        assert_eq!(harness.ending(id), Some(Disconnect::Reset));
        assert_eq!(harness.sockets.connections(), 0);
    }

    fn a_peer_that_goes_while_it_is_sent_to_is_told(interface) {
        let body = pinned(&pattern(1 << 20));
        let mut harness = Harness::new(interface, move |calls, event| {
            match event {
                Event::Connected(id, _) | Event::Sent(id, _) => pump(calls, *id, &body, &mut 0),
                _ => {}
            }
            swallow(calls, event)
        });
        let (mut stream, id) = harness.client();
        let client = thread::spawn(move || stream.read_exact(&mut [0; 1000]));
        harness.serve(client).expect("some octets");
        harness.until("the end", |log| ending(log, id).is_some());
        assert_eq!(harness.ending(id), Some(Disconnect::Reset));
        assert_eq!(harness.calls().send_space(id), 0);
    }

    fn close_sends_what_is_queued(interface) {
        let octets = pattern(4 << 20);
        let body = pinned(&octets);
        let mut harness = Harness::new(interface, move |calls, event| {
            if let Event::Received(id, _) = event {
                send_body(calls, *id, &body, body.len());
                calls.close(*id);
                calls.send(*id, Segment::Copy(b"too late"));
            }
            swallow(calls, event)
        });
        let (mut stream, id) = harness.client();
        let client = thread::spawn(move || {
            stream.write_all(b"x").expect("a connection");
            read_all(stream)
        });
        assert!(harness.serve(client) == octets);
        harness.until("the end", |log| ending(log, id).is_some());
        assert_eq!((harness.ending(id), harness.sent(id)), (Some(Disconnect::Closed), octets.len() as u64));
    }

    // RFC 9112 §9.6: closing both ways at once could reset the connection before the response is read.
    fn input_that_nobody_wants_does_not_cost_the_peer_its_answer(interface) {
        let mut harness = Harness::new(interface, |calls, event| {
            if let Event::Received(id, _) = event {
                calls.send(*id, Segment::Copy(&[b'n'; 500]));
                calls.close(*id);
            }
            0
        });
        for length in [4096, 1 << 20] {
            let (mut stream, id) = harness.client();
            let client = thread::spawn(move || {
                stream.write_all(&pattern(length)).expect("a peer that still takes it");
                read_all(stream)
            });
            assert_eq!(harness.serve(client), [b'n'; 500]);
            harness.until("the end", |log| ending(log, id).is_some());
            assert_eq!(harness.ending(id), Some(Disconnect::Closed));
        }
    }

    fn a_peer_that_never_stops_sending_is_cut_off(interface) {
        let mut config = common::config(interface);
        config.linger = Duration::from_millis(50);
        let mut harness = Harness::with(config, |calls, event| {
            if let Event::Received(id, _) = event {
                calls.close(*id);
            }
            0
        });
        let (mut stream, id) = harness.client();
        let client = thread::spawn(move || while stream.write_all(&[0; 10_000]).is_ok() {});
        harness.serve(client);
        harness.until("the end", |log| ending(log, id).is_some());
        assert_eq!(harness.sockets.stats().linger_timeouts.get(), 1);
        assert_eq!(harness.sockets.connections(), 0);
    }

    fn a_peer_that_takes_nothing_after_the_close_is_reset(interface) {
        let mut config = common::config(interface);
        config.close_patience = Duration::from_millis(50);
        let mut harness = Harness::with(config, |calls, event| {
            if let Event::Received(id, _) = event {
                calls.send(*id, Segment::Copy(&vec![7; 16 << 20]));
                calls.close(*id);
            }
            0
        });
        let (mut stream, id) = harness.client();
        stream.write_all(b"go").expect("a connection");
        harness.until("the end", |log| ending(log, id).is_some());
        assert_eq!(ending(&harness.script.log, id), Some(Disconnect::TimedOut));
        assert_eq!(harness.sockets.connections(), 0);
    }

    fn an_exchange_of_one_request_ends_in_order(interface) {
        let mut harness = Harness::new(interface, |calls, event| match event {
            Event::Received(id, bytes) => {
                calls.send(*id, Segment::Copy(b"answer"));
                calls.close(*id);
                bytes.len()
            }
            _ => 0,
        });
        for _ in 0..100 {
            let (mut stream, id) = harness.client();
            let before = harness.script.log.len();
            stream.write_all(b"request").expect("a connection");
            harness.until("the end", |log| ending(log, id).is_some());
            assert_eq!(read_all(stream), b"answer");
            let events = &harness.script.log[before..];
            let expected = [
                Event::Received(id, b"request".to_vec()),
                Event::Sent(id, 6),
                Event::Disconnected(id, Disconnect::Closed),
            ];
            assert_eq!(events, expected);
        }
        assert_eq!(harness.sockets.connections(), 0);
    }

    fn an_idle_connection_can_be_closed(interface) {
        let mut harness = Harness::new(interface, echo);
        let (mut stream, id) = harness.client();
        stream.write_all(b"x").expect("a connection");
        harness.until("an answer", |log| log.contains(&Event::Sent(id, 1)));
        harness.calls().close(id);
        let client = thread::spawn(move || read_all(stream));
        assert_eq!(harness.serve(client), b"x");
        harness.until("the end", |log| ending(log, id).is_some());
        assert_eq!(harness.ending(id), Some(Disconnect::Closed));
    }

    fn calls_on_dead_ids_do_nothing(interface) {
        let mut harness = Harness::new(interface, echo);
        let (stream, dead) = harness.client();
        harness.calls().abort(dead);
        harness.until("the slot to be free", |_| true);
        harness.idle();
        drop(stream);
        let (mut stream, id) = harness.client();
        assert_eq!((dead.index(), dead == id), (id.index(), false), "the slot is used again");
        for dead in [dead, ConnectionId::new(id.transport(), 12345, 0)] {
            let calls = harness.calls();
            calls.send(dead, Segment::Copy(b"ghost"));
            calls.resume(dead);
            calls.finish(dead);
            calls.close(dead);
            calls.abort(dead);
            assert_eq!((calls.send_space(dead), calls.peer(dead)), (0, None));
        }
        stream.write_all(b"alive").expect("a connection");
        let client = thread::spawn(move || {
            let mut answer = [0; 5];
            stream.read_exact(&mut answer).expect("an answer");
            answer
        });
        assert_eq!(&harness.serve(client), b"alive");
    }

    // More connections with input than there are receive buffers, all there before the first pass.
    fn a_burst_is_answered_to_the_last(interface) {
        const COUNT: usize = 3000;
        if !descriptors_for(3 * COUNT as u64) {
            return;
        }
        let mut harness = Harness::new(interface, echo);
        let address = harness.address;
        let connect = |i: usize| {
            let mut stream = TcpStream::connect(address).expect("a connection");
            stream.write_all(&(i as u32).to_be_bytes()).expect("a connection");
            stream
        };
        let mut streams: Vec<TcpStream> = (0..COUNT).map(connect).collect();
        let client = thread::spawn(move || {
            for (i, stream) in streams.iter_mut().enumerate() {
                let mut answer = [0; 4];
                stream.read_exact(&mut answer).expect("an answer");
                assert_eq!(answer, (i as u32).to_be_bytes());
            }
        });
        harness.serve(client);
    }

    fn two_thousand_connections_at_once(interface) {
        const COUNT: usize = 2000;
        if !descriptors_for(3 * COUNT as u64) {
            return;
        }
        let mut harness = Harness::new(interface, echo);
        let address = harness.address;
        let client = thread::spawn(move || {
            let connect = |_| TcpStream::connect(address).expect("a connection");
            let mut streams: Vec<TcpStream> = (0..COUNT).map(connect).collect();
            for round in 0..3 {
                for (i, stream) in streams.iter_mut().enumerate() {
                    stream.write_all(&[round, i as u8, (i >> 8) as u8]).expect("a connection");
                }
                for (i, stream) in streams.iter_mut().enumerate() {
                    let mut answer = [0; 3];
                    stream.read_exact(&mut answer).expect("an answer");
                    assert_eq!(answer, [round, i as u8, (i >> 8) as u8]);
                }
            }
            streams
        });
        let streams = harness.serve(client);
        assert_eq!(harness.sockets.connections(), COUNT);
        drop(streams);
        let mut most = 0;
        harness.until("all ends", |log| {
            most = log.iter().filter(|e| matches!(e, Event::Disconnected(_, Disconnect::Closed))).count();
            most == COUNT
        });
        assert_eq!(harness.sockets.connections(), 0);
    }

    fn a_transport_can_be_dropped_in_the_midst_of_everything(interface) {
        let body = pinned(&pattern(8 << 20));
        let mut harness = Harness::new(interface, move |calls, event| {
            if let Event::Received(id, _) = event {
                send_body(calls, *id, &body, body.len());
            }
            0
        });
        let mut clients: Vec<TcpStream> = (0..20).map(|_| harness.client().0).collect();
        for stream in clients.iter_mut().step_by(2) {
            stream.write_all(b"send, and wait for me").expect("a connection");
        }
        harness.idle();
        drop(harness);
        for mut stream in clients {
            let mut buffer = vec![0; 1 << 20];
            while stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
        }
    }
}

fn serve_a_slow_reader(config: SocketsConfig) {
    let octets = pattern(16 << 20);
    let body = pinned(&octets);
    let mut position = 0;
    let mut most_queued = 0;
    let mut harness = Harness::with(config, move |calls, event| match event {
        Event::Received(id, bytes) => {
            calls.send(*id, Segment::Copy(b"head"));
            pump(calls, *id, &body, &mut position);
            bytes.len()
        }
        Event::Sent(id, count) => {
            most_queued = most_queued.max(*count);
            assert!(most_queued <= (1 << 20) + (64 << 10), "send_space was not minded: {most_queued}");
            pump(calls, *id, &body, &mut position);
            if position == body.len() {
                calls.close(*id);
            }
            0
        }
        _ => 0,
    });
    let (mut stream, id) = harness.client();
    let client = thread::spawn(move || {
        stream.write_all(b"go").expect("a connection");
        let (mut received, mut buffer) = (Vec::new(), vec![0; 100_000]);
        loop {
            let count = stream.read(&mut buffer).expect("an orderly end");
            if count == 0 {
                return received;
            }
            received.extend_from_slice(&buffer[..count]);
            if received.len() % 7 == 0 {
                thread::sleep(Duration::from_micros(200));
            }
        }
    });
    let received = harness.serve(client);
    assert!(received[..4] == *b"head" && received[4..] == octets);
    harness.until("the end", |log| ending(log, id).is_some());
    assert_eq!(harness.sent(id), 4 + octets.len() as u64);
}
