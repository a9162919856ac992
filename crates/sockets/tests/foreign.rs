//! Memory that other processes share, sent from where it lies, on both interfaces.

mod common;

use std::io::{Read, Write};
use std::sync::Arc;
use std::thread;

use afpa_engine::seam::{Disconnect, Segment};
use afpa_platform::foreign::ForeignMemory;
use afpa_sockets::{Interface, Respond};
use common::*;

on_both_interfaces! {
    fn foreign_memory_arrives_in_its_place_among_copies_and_pins(interface) {
        let octets = pattern(3 << 20);
        let memory = shared(&octets);
        let body = pinned(&octets);
        for respond in [Respond::Inline, Respond::Thread] {
            // With a `lend_from` of that size the pins are lent, and what is foreign never is.
            for (lend_from, closes) in [(usize::MAX, false), (16 << 10, false), (16 << 10, true)] {
                let (lent, part) = (memory.clone(), body.clone());
                let mut config = common::config(interface);
                (config.respond, config.lend_from) = (respond, lend_from);
                let mut harness = Harness::with(config, move |calls, event| {
                    if let Event::Received(id, bytes) = event {
                        calls.send(*id, Segment::Copy(b"head"));
                        calls.send(*id, Segment::Foreign(lent.slice(7..107)));
                        calls.send(*id, Segment::Foreign(lent.slice(0..0)));
                        calls.send(*id, Segment::Foreign(lent.slice(100..3 << 20)));
                        send_body(calls, *id, &part, 100_000);
                        calls.send(*id, Segment::Foreign(lent.slice(0..50_000)));
                        if closes {
                            calls.close(*id);
                        }
                        return bytes.len();
                    }
                    0
                });
                let expected = [b"head", &octets[7..107], &octets[100..], &octets[..100_000], &octets[..50_000]].concat();
                let (mut stream, id) = harness.client();
                let length = expected.len();
                let client = thread::spawn(move || {
                    stream.write_all(b"go").expect("a connection");
                    let mut received = vec![0; length];
                    stream.read_exact(&mut received).expect("all of it");
                    (stream, received)
                });
                let (stream, received) = harness.serve(client);
                assert!(received == expected, "{respond:?}, {lend_from}, {closes}");
                if closes {
                    drop(stream);
                    harness.until("the end", |log| ending(log, id).is_some());
                    assert_eq!(harness.ending(id), Some(Disconnect::Closed));
                } else {
                    harness.until("all is counted", |log| sent(log, id) == length as u64);
                }
                drop(harness);
                assert_eq!(Arc::strong_count(&memory), 1, "nobody holds it any more");
            }
        }
    }

    fn a_small_last_answer_of_foreign_memory_takes_the_close_along(interface) {
        let memory = shared(b"bye");
        let lent = memory.clone();
        let mut harness = Harness::new(interface, move |calls, event| {
            if let Event::Received(id, bytes) = event {
                calls.send(*id, Segment::Foreign(lent.slice(0..3)));
                calls.close(*id);
                return bytes.len();
            }
            0
        });
        let (mut stream, id) = harness.client();
        stream.write_all(b"go").expect("a connection");
        assert_eq!(harness.serve(thread::spawn(move || read_all(stream))), b"bye");
        harness.until("the end", |log| ending(log, id).is_some());
        assert_eq!(harness.ending(id), Some(Disconnect::Closed));
    }

    fn what_is_queued_leaves_as_it_is_when_it_leaves(interface) {
        let memory = shared(&[1; 16 << 20]);
        let lent = memory.clone();
        let mut harness = Harness::new(interface, move |calls, event| {
            if let Event::Received(id, bytes) = event {
                calls.send(*id, Segment::Foreign(lent.slice(0..16 << 20)));
                return bytes.len();
            }
            0
        });
        let (mut stream, id) = harness.client();
        stream.write_all(b"go").expect("a connection");
        harness.until("the socket is full", |log| log.iter().any(|event| matches!(event, Event::Received(..))));
        harness.idle();
        // No socket holds so much: the end is still where it was.
        memory.write((16 << 20) - 1, &[2]);
        let client = thread::spawn(move || {
            let mut received = vec![0; 16 << 20];
            stream.read_exact(&mut received).expect("all of it");
            received
        });
        let received = harness.serve(client);
        assert_eq!((received[0], received[(16 << 20) - 2], received[(16 << 20) - 1]), (1, 1, 2));
        harness.until("all is counted", |log| sent(log, id) == 16 << 20);
    }
}

fn shared(octets: &[u8]) -> Arc<ForeignMemory> {
    let memory = ForeignMemory::create(octets.len()).expect("memory");
    memory.write(0, octets);
    Arc::new(memory)
}

/// Octets reported as sent.
fn sent(log: &[Event], id: afpa_engine::ConnectionId) -> u64 {
    let counts = log.iter().map(|event| match event {
        Event::Sent(of, count) if *of == id => *count,
        _ => 0,
    });
    counts.sum()
}
