//! How connections begin and end.

use afpa_engine::memory::Ending;
use afpa_engine::seam::Address;
use afpa_engine::{Owner, Wake};

use crate::bench::{ABORT, AGAIN, Bench, CLOSE, SCRIPT, UNDECLARED, WAIT, echo, notes, take};

#[test]
fn each_connection_is_announced_once_and_dismissed_once() {
    let mut bench = Bench::new(echo);
    let first = bench.connect();
    let second = bench.connect();
    assert_eq!(bench.open(), 2);
    first.finish();
    second.reset();
    for _ in 0..4 {
        bench.pass();
    }
    assert_eq!(first.ending(), Some(Ending::Finished));
    assert_eq!(bench.open(), 0);
    assert_eq!(bench.engine.handle().stats().resets.get(), 1);
    let journal = bench.journal();
    assert_eq!(journal[..2], ["accepted 0.0.1", "accepted 0.1.1"]);
    let gone = journal.iter().filter(|entry| entry.starts_with("gone")).count();
    let ended: Vec<_> = journal.iter().filter(|entry| entry.starts_with("ended")).collect();
    assert_eq!((journal.len(), gone), (6, 2), "{journal:?}");
    assert_eq!(ended, ["ended: Reset", "ended: Closed"]);
}

#[test]
fn after_the_peers_fin_an_answer_can_still_be_sent() {
    let mut bench = Bench::new(|cx| match cx.wake {
        Wake::Finished => {
            assert!(cx.finished());
            cx.output.send(b"last words");
            CLOSE
        }
        _ => WAIT,
    });
    let peer = bench.connect();
    peer.finish();
    for _ in 0..3 {
        bench.pass();
    }
    assert_eq!(peer.ending(), None, "octets first");
    assert_eq!(peer.read(usize::MAX), b"last words");
    assert_eq!(peer.ending(), Some(Ending::Finished));
}

#[test]
fn after_our_fin_the_peer_can_still_be_heard() {
    let (step, notes) = notes();
    let mut step = step;
    let mut bench = Bench::new(move |cx| {
        if cx.wake == Wake::Continued {
            cx.output.send(b"that is all");
            cx.output.finish();
        }
        step(cx);
        if cx.finished() { CLOSE } else { WAIT }
    });
    let peer = bench.connect();
    assert_eq!(peer.read(usize::MAX), b"that is all");
    assert_eq!(peer.ending(), Some(Ending::Finished));
    peer.send(b"not for me");
    bench.pass();
    assert_eq!(bench.open(), 1);
    peer.finish();
    bench.pass();
    bench.pass();
    assert_eq!(bench.open(), 0);
    assert!(notes.borrow().contains(&(Wake::Received, "not for me".to_owned())));
}

#[test]
fn an_aborted_connection_is_reset_and_forgotten_at_once() {
    let mut bench = Bench::new(|cx| if cx.wake == Wake::Received { ABORT } else { WAIT });
    let peer = bench.connect();
    peer.send(b"x");
    bench.pass();
    assert_eq!(peer.ending(), Some(Ending::Reset));
    assert_eq!(bench.journal(), ["accepted 0.0.1", "gone after 2 runs"]);
    assert_eq!(bench.open(), 0);
}

#[test]
fn an_undeclared_outcome_ends_its_connection_alone_and_is_counted() {
    let mut bench = Bench::new(|cx| match take(cx).as_str() {
        "bad" => UNDECLARED,
        text => {
            cx.output.send(text.as_bytes());
            WAIT
        }
    });
    let (bad, good) = (bench.connect(), bench.connect());
    bad.send(b"bad");
    assert_eq!(bench.exchange(&good, b"good"), b"good");
    assert_eq!(bad.ending(), Some(Ending::Reset));
    assert_eq!(bench.stats.violations.get(), 1);
    assert_eq!(bench.open(), 1);
}

#[test]
fn a_closed_connection_runs_no_more() {
    let mut bench = Bench::new(|cx| if cx.wake == Wake::Received { CLOSE } else { WAIT });
    let peer = bench.connect();
    peer.send(b"a");
    bench.pass();
    peer.send(b"b");
    peer.finish();
    for _ in 0..3 {
        bench.pass();
    }
    assert_eq!(bench.journal(), ["accepted 0.0.1", "ended: Closed", "gone after 2 runs"]);
}

#[test]
fn a_name_that_was_used_again_does_not_reach_its_new_bearer() {
    // The first connection's job ends only after its slot has another connection.
    let (release, gate) = std::sync::mpsc::channel::<()>();
    let mut gate = Some(gate);
    let mut bench = Bench::new(move |cx| {
        assert_ne!(cx.wake, Wake::Completed, "a completion for another connection");
        if let Some(gate) = gate.take() {
            cx.spawn(move || gate.recv()).unwrap();
        }
        WAIT
    });
    let first = bench.connect();
    first.reset();
    bench.pass();
    let _second = bench.connect();
    assert_eq!(bench.journal(), ["accepted 0.0.1", "ended: Reset", "gone after 1 runs", "accepted 0.0.2"]);
    drop(release);
    let stats = bench.engine.handle().stats().clone();
    bench.until(|| stats.completions.get() == 1);
    assert_eq!(bench.open(), 1);
}

#[test]
fn a_connection_that_never_waits_leaves_turns_to_others() {
    let mut bench = Bench::new(|cx| match take(cx).as_str() {
        "spin" => AGAIN,
        "" if *cx.connection > 1 && cx.wake == Wake::Continued => AGAIN,
        text => {
            cx.output.send(text.as_bytes());
            WAIT
        }
    });
    let (greedy, modest) = (bench.connect(), bench.connect());
    greedy.send(b"spin");
    assert_eq!(bench.exchange(&modest, b"hello"), b"hello");
    assert!(bench.stats.transition(SCRIPT.index, AGAIN.index).get() > 100, "the greedy one runs on");
}

#[test]
fn a_connection_opened_from_above_is_announced_as_such() {
    let mut bench = Bench::new(|cx| {
        match take(cx).as_str() {
            "call" => drop(cx.output.connect(&Address::Unix("/there".into()), Owner(0)).unwrap()),
            "" => {}
            text => cx.output.send(text.as_bytes()),
        }
        WAIT
    });
    let caller = bench.connect();
    caller.send(b"call");
    bench.pass();
    bench.pass();
    let (called, address) = bench.network.accept().unwrap();
    assert_eq!(address, Address::Unix("/there".into()));
    assert_eq!(bench.journal(), ["accepted 0.0.1", "connected 0.1.1"]);
    assert_eq!(bench.exchange(&called, b"echo"), b"echo");
}

#[test]
fn a_connection_that_no_module_owns_is_reset() {
    let mut bench = Bench::new(echo);
    let peer = bench.network.connect(Owner(7));
    bench.pass();
    assert_eq!(peer.ending(), Some(Ending::Reset));
}

#[test]
fn whoever_used_up_a_turn_and_then_waits_is_not_run_for_it_again() {
    let waited = std::rc::Rc::new(std::cell::Cell::new(false));
    let has_waited = waited.clone();
    let mut bench = Bench::new(move |cx| {
        let spins = cx.wake == Wake::Received || (*cx.connection > 1 && !has_waited.get());
        assert!(!has_waited.get() || cx.wake != Wake::Continued, "continued after it waited");
        if cx.finished() {
            has_waited.set(true);
            return WAIT;
        }
        if spins { AGAIN } else { WAIT }
    });
    let peer = bench.connect();
    // FIN comes in the pass in which the turn ends, before others have had theirs.
    peer.send(b"spin");
    peer.finish();
    for _ in 0..3 {
        bench.pass();
    }
    assert!(waited.get());
}
