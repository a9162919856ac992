//! Connections that a module asks for, to hand them to somebody else.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use afpa_engine::memory::MemoryConfig;
use afpa_engine::seam::Released;
use afpa_engine::{Outcome, Wake};

use crate::bench::{ABORT, Bench, CLOSE, Cx, WAIT, take};

const RELEASES: MemoryConfig = MemoryConfig {
    frame: 4,
    window: 8,
    send_buffer: 1 << 20,
    sends_files: true,
    releases: true,
    peer: None,
    local: None,
};

/// Answers "a" by itself, and asks for the connection when it sees a "b". What it gets, a worker writes to.
fn hand_over(cx: &mut Cx<'_>) -> Outcome {
    match cx.wake {
        Wake::Released => {
            let Some(Released { socket, octets }) = cx.released() else { return ABORT };
            assert!(cx.released().is_none() && !cx.release(), "once");
            let job = move || UnixStream::from(socket).write_all(&[b"got ", octets.as_slice()].concat()).is_ok();
            if cx.spawn(job).is_ok() { WAIT } else { CLOSE }
        }
        Wake::Completed => {
            assert_eq!(cx.completion::<bool>(), Some(Some(true)));
            CLOSE
        }
        _ => {
            let unread = cx.input.unread();
            let own = unread.iter().take_while(|octet| **octet != b'b').count();
            cx.output.send(&unread[..own]);
            cx.input.consume(own);
            if own < unread.len() && !cx.release() {
                return ABORT;
            }
            WAIT
        }
    }
}

#[test]
fn the_request_goes_on_with_the_connection_in_its_hands() {
    let mut bench = Bench::with(RELEASES, hand_over);
    let peer = bench.connect();
    peer.send(b"aaaabcdefgh");
    let mut theirs = None;
    bench.until(|| {
        theirs = peer.released();
        theirs.is_some()
    });
    assert_eq!(peer.read(usize::MAX), b"aaaa");
    assert_eq!(bench.open(), 0, "it is no connection of the engine any more");
    let mut got = vec![0; "got bcdefgh".len()];
    let mut theirs = theirs.unwrap();
    theirs.read_exact(&mut got).unwrap();
    assert_eq!(got, b"got bcdefgh");
    while bench.journal().len() < 2 {
        bench.pass();
    }
    assert!(bench.journal()[1].starts_with("gone after"), "its data lives to the end");
}

#[test]
fn what_was_sent_leaves_first_and_a_deadline_still_holds() {
    let mut bench = Bench::with(RELEASES, |cx| match cx.wake {
        Wake::Received => {
            take(cx);
            cx.output.send(b"an answer in parts");
            cx.arm_after(Duration::from_secs(3));
            assert!(cx.release());
            WAIT
        }
        Wake::Released => WAIT,
        Wake::Expired => CLOSE,
        _ => WAIT,
    });
    let peer = bench.connect();
    assert_eq!(bench.exchange(&peer, b"x"), b"an answe");
    assert!(peer.released().is_none(), "its peer has not read everything");
    assert_eq!(bench.exchange(&peer, b"y"), b"r in par");
    bench.pass();
    assert_eq!(peer.read(usize::MAX), b"ts");
    let mut theirs = peer.released().expect("the other end");
    assert_eq!(bench.journal().len(), 1, "the module still has it");
    bench.advance(Duration::from_secs(4));
    assert_eq!(bench.journal().len(), 2);
    // What nobody took is closed.
    let mut rest = Vec::new();
    theirs.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
}

#[test]
fn a_module_that_waits_for_its_connection_can_change_its_mind() {
    let mut bench = Bench::with(RELEASES, |cx| match cx.wake {
        Wake::Received => {
            cx.output.send(&[b'n'; 100]);
            cx.arm_after(Duration::from_secs(3));
            assert!(cx.release() && !cx.output.can_release());
            WAIT
        }
        Wake::Expired => ABORT,
        _ => WAIT,
    });
    let peer = bench.connect();
    bench.exchange(&peer, b"x");
    bench.advance(Duration::from_secs(4));
    assert_eq!((bench.open(), bench.journal().len()), (0, 2));
    bench.pass();
    assert!(peer.released().is_none() && peer.ending().is_some());
}

#[test]
fn a_transport_that_gives_nothing_away_says_so() {
    let mut bench = Bench::new(|cx| {
        if !take(cx).is_empty() {
            let granted = cx.output.can_release() || cx.release();
            cx.output.send(if granted { b"gone" } else { b"here" });
        }
        WAIT
    });
    let peer = bench.connect();
    assert_eq!(bench.exchange(&peer, b"x"), b"here");
    assert_eq!(bench.exchange(&peer, b"y"), b"here");
}
