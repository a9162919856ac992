//! How an engine ends.

use std::time::Duration;

use afpa_engine::memory::Ending;
use afpa_engine::{Outcome, Wake};

use crate::bench::{Bench, CLOSE, Cx, WAIT, take};

const GRACE: Duration = Duration::from_secs(10);

/// Goes when told that the engine is stopping, unless the peer asked it to stay until the next word.
fn polite(cx: &mut Cx<'_>) -> Outcome {
    match take(cx).as_str() {
        "stay" => {
            cx.arm_after(1000 * GRACE);
            WAIT
        }
        "go" => {
            cx.output.send(b"bye");
            CLOSE
        }
        _ if cx.draining() && *cx.connection == 2 => CLOSE,
        _ => WAIT,
    }
}

#[test]
fn without_connections_it_ends_at_once() {
    let mut bench = Bench::new(polite);
    bench.engine.handle().stop(GRACE);
    assert!(!bench.engine.pass(false).unwrap());
    bench.engine.run().unwrap();
}

#[test]
fn idle_connections_end_and_what_is_in_flight_is_finished() {
    let mut bench = Bench::new(polite);
    let (idle, busy) = (bench.connect(), bench.connect());
    bench.exchange(&busy, b"stay");
    bench.engine.handle().stop(GRACE);
    assert!(bench.engine.pass(false).unwrap(), "one is in flight");
    bench.pass();
    assert_eq!(idle.ending(), Some(Ending::Finished));
    assert_eq!(busy.ending(), None);
    busy.send(b"go");
    bench.engine.run().unwrap();
    assert_eq!(busy.read(usize::MAX), b"bye");
    assert_eq!(busy.ending(), Some(Ending::Finished));
}

#[test]
fn when_the_grace_is_over_it_ends_whatever_is_in_flight() {
    let mut bench = Bench::new(polite);
    let busy = bench.connect();
    bench.exchange(&busy, b"stay");
    bench.engine.handle().stop(GRACE);
    bench.pass();
    bench.advance(GRACE - Duration::from_nanos(1));
    assert!(bench.engine.pass(false).unwrap());
    bench.advance(Duration::from_nanos(1));
    assert!(!bench.engine.pass(false).unwrap());
}

#[test]
fn each_connection_is_told_why_it_runs() {
    let mut bench = Bench::new(|cx| {
        if cx.wake == Wake::Draining {
            assert!(cx.draining());
            cx.output.send(b"draining");
            return CLOSE;
        }
        WAIT
    });
    let peers = [bench.connect(), bench.connect(), bench.connect()];
    bench.engine.handle().stop(GRACE);
    bench.engine.run().unwrap();
    for peer in peers {
        assert_eq!(peer.read(usize::MAX), b"draining");
        assert_eq!(peer.ending(), Some(Ending::Finished));
    }
}
