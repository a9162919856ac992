//! Deadlines, by a clock that the tests move.

use std::time::Duration;

use afpa_engine::timers::TICK;
use afpa_engine::{Outcome, Time, Wake};

use crate::bench::{Bench, Cx, WAIT, take};

const SECOND: Duration = Duration::from_secs(1);

/// Arms a deadline so many seconds ahead as the peer says, or none; says when one has passed.
fn alarm(cx: &mut Cx<'_>) -> Outcome {
    if cx.wake == Wake::Expired {
        cx.output.send(b"!");
        return WAIT;
    }
    match take(cx).as_str() {
        "" => {}
        "never" => cx.arm(Time::NEVER),
        seconds => cx.arm_after(seconds.parse::<u32>().unwrap() * SECOND),
    }
    WAIT
}

#[test]
fn a_deadline_fires_once_never_early_and_at_most_a_tick_late() {
    let mut bench = Bench::new(alarm);
    let peer = bench.connect();
    for seconds in ["1", "3", "200"] {
        assert_eq!(bench.exchange(&peer, seconds.as_bytes()), b"");
        let ahead = seconds.parse::<u32>().unwrap() * SECOND;
        bench.advance(ahead - Duration::from_nanos(1));
        assert_eq!(bench.exchange(&peer, b""), b"", "{seconds} s, early");
        bench.advance(TICK);
        assert_eq!(bench.exchange(&peer, b""), b"!", "{seconds} s");
        bench.advance(1000 * SECOND);
        assert_eq!(bench.exchange(&peer, b""), b"", "{seconds} s, twice");
    }
}

#[test]
fn a_deadline_that_moves_holds_where_it_was_moved_last() {
    // (first, then, the seconds at which it fires)
    let table = [("10", "20", Some(20)), ("20", "10", Some(10)), ("10", "never", None)];
    for (first, then, fires) in table {
        let mut bench = Bench::new(alarm);
        let peer = bench.connect();
        bench.exchange(&peer, first.as_bytes());
        bench.exchange(&peer, then.as_bytes());
        let mut fired = None;
        for second in 1..=30 {
            bench.advance(SECOND);
            if bench.exchange(&peer, b"") == b"!" {
                assert_eq!(fired.replace(second), None, "{first}, {then}: fired twice");
            }
        }
        assert_eq!(fired, fires, "{first}, {then}");
    }
}

#[test]
fn each_connection_has_its_own_deadline() {
    let mut bench = Bench::new(alarm);
    let peers: Vec<_> = (1..=5).map(|_| bench.connect()).collect();
    for (i, peer) in peers.iter().enumerate() {
        bench.exchange(peer, (i + 1).to_string().as_bytes());
    }
    for second in 1..=5 {
        bench.advance(SECOND);
        bench.pass();
        let fired: Vec<_> = peers.iter().map(|peer| !peer.read(usize::MAX).is_empty()).collect();
        let expected: Vec<_> = (1..=5).map(|i| i == second).collect();
        assert_eq!(fired, expected, "after {second} s");
    }
}

#[test]
fn a_deadline_dies_with_its_connection() {
    let mut bench = Bench::new(alarm);
    let peer = bench.connect();
    bench.exchange(&peer, b"5");
    peer.reset();
    bench.pass();
    let successor = bench.connect();
    bench.advance(60 * SECOND);
    assert_eq!(bench.exchange(&successor, b""), b"");
}

/// What a pass finds has waited for as long as the one before worked.
#[test]
fn the_delay_is_how_long_the_pass_before_worked() {
    let mut bench = Bench::new(|cx| {
        take(cx);
        let delay = format!("{} ", cx.delay().as_millis());
        cx.output.send(delay.as_bytes());
        WAIT
    });
    let peer = bench.connect();
    peer.read(usize::MAX);
    for milliseconds in [0, 20, 0, 7] {
        peer.send(b"x");
        bench.advance(Duration::from_millis(milliseconds));
        assert_eq!(peer.read(usize::MAX), format!("{milliseconds} ").as_bytes());
    }
}
