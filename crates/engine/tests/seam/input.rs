//! What the peer sends, as state functions see it.

use afpa_engine::Wake;
use afpa_engine::memory::MemoryConfig;

use crate::bench::{Bench, WAIT, echo, notes, take};

#[test]
fn a_connection_starts_without_input_and_then_sees_what_arrives() {
    let (step, notes) = notes();
    let mut bench = Bench::new(step);
    let peer = bench.connect();
    peer.send(b"one");
    bench.pass();
    peer.send(b"two");
    bench.pass();
    bench.pass();
    let expected = [(Wake::Continued, ""), (Wake::Received, "one"), (Wake::Received, "two")];
    assert_eq!(*notes.borrow(), expected.map(|(wake, text)| (wake, text.to_owned())));
}

#[test]
fn what_is_not_consumed_is_shown_again_in_front_of_what_follows() {
    let seen = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let notes = seen.clone();
    let mut bench = Bench::new(move |cx| {
        let unread = cx.input.unread();
        notes.borrow_mut().push(String::from_utf8(unread.to_vec()).unwrap());
        cx.input.consume(unread.len().min(1));
        WAIT
    });
    let peer = bench.connect();
    for bytes in [b"abc", b"def"] {
        peer.send(bytes);
        bench.pass();
    }
    // Nothing new: what is left is not shown unasked.
    bench.pass();
    assert_eq!(*seen.borrow(), ["", "abc", "bcdef"]);
}

#[test]
fn input_arrives_in_pieces_as_small_as_one_octet() {
    let mut bench = Bench::with(MemoryConfig { frame: 1, ..MemoryConfig::default() }, |cx| {
        let unread = cx.input.unread();
        if unread.ends_with(b"\n") {
            cx.input.consume(unread.len());
            cx.output.send(unread);
        }
        WAIT
    });
    let peer = bench.connect();
    peer.send(b"line\n");
    for _ in 0..5 {
        assert_eq!(peer.read(usize::MAX), b"");
        bench.pass();
    }
    bench.pass();
    assert_eq!(peer.read(usize::MAX), b"line\n");
}

#[test]
fn whoever_looks_for_input_that_an_event_did_not_bring_is_shown_it() {
    // Left alone at first, then wanted when a job is done.
    let mut bench = Bench::new(|cx| {
        match cx.wake {
            Wake::Received if *cx.connection == 2 => cx.spawn(|| ()).unwrap(),
            Wake::Completed => assert!(!cx.input.is_present() && cx.input.unread().is_empty()),
            Wake::Received => {
                let text = take(cx);
                cx.output.send(format!("{text} at run {}", cx.connection).as_bytes());
            }
            _ => {}
        }
        WAIT
    });
    let peer = bench.connect();
    peer.send(b"kept");
    let mut got = Vec::new();
    bench.until(|| {
        got.extend(peer.read(usize::MAX));
        !got.is_empty()
    });
    assert_eq!(got, b"kept at run 4");
}

#[test]
fn asked_for_input_an_empty_connection_answers_that_there_is_none() {
    let (step, notes) = notes();
    let mut step = step;
    let mut bench = Bench::new(move |cx| {
        if cx.wake == Wake::Finished {
            cx.input.unread();
        }
        step(cx)
    });
    let peer = bench.connect();
    peer.finish();
    bench.pass();
    bench.pass();
    let expected = [(Wake::Continued, ""), (Wake::Finished, "-"), (Wake::Received, "")];
    assert_eq!(*notes.borrow(), expected.map(|(wake, text)| (wake, text.to_owned())));
}

#[test]
fn octets_of_any_split_are_echoed_in_order() {
    for frame in [1, 2, 7, 1460] {
        let mut bench = Bench::with(MemoryConfig { frame, ..MemoryConfig::default() }, echo);
        let peer = bench.connect();
        let text: Vec<u8> = (0..5000u32).map(|i| (i % 251) as u8).collect();
        peer.send(&text);
        peer.finish();
        let mut got = Vec::new();
        bench.until(|| {
            got.extend(peer.read(3));
            peer.ending().is_some()
        });
        got.extend(peer.read(usize::MAX));
        assert!(got == text, "in frames of {frame}");
    }
}
