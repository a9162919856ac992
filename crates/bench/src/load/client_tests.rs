//! The client against a transport that only writes down what it is told.

use super::*;
use crate::load::targets::Style;
use afpa_engine::seam::TransportId;
use std::cell::Cell;
use std::io;
use std::rc::Rc;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const LAST_ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";

#[derive(Default)]
struct Script {
    next: u32,
    refuse: bool,
    sent: Vec<ConnectionId>,
    closed: Vec<ConnectionId>,
    aborted: Vec<ConnectionId>,
}

impl Calls for Script {
    fn send(&mut self, connection: ConnectionId, segment: Segment<'_>) {
        assert!(matches!(segment, Segment::Copy(bytes) if bytes.ends_with(b"\r\n\r\n")));
        self.sent.push(connection);
    }
    fn send_space(&self, _: ConnectionId) -> usize {
        usize::MAX
    }
    fn resume(&mut self, _: ConnectionId) {}
    fn close(&mut self, connection: ConnectionId) {
        self.closed.push(connection);
    }
    fn finish(&mut self, _: ConnectionId) {}
    fn abort(&mut self, connection: ConnectionId) {
        self.aborted.push(connection);
    }
    fn connect(&mut self, _: &Address, _: Owner) -> io::Result<ConnectionId> {
        if self.refuse {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        self.next += 1;
        Ok(id(self.next - 1))
    }
    fn peer(&self, _: ConnectionId) -> Option<Address> {
        None
    }
    fn send_datagram(&mut self, _: ListenerId, _: SocketAddr, _: &mut dyn Iterator<Item = Segment<'_>>) {}
    fn sends_files(&self) -> bool {
        false
    }
}

fn id(index: u32) -> ConnectionId {
    ConnectionId::new(TransportId(0), index, 1)
}

struct Bench {
    client: Client<Box<dyn FnMut() -> Time>>,
    calls: Script,
    now: Rc<Cell<Time>>,
}

impl Bench {
    fn new(reuse: Reuse, connections: usize, pipeline: usize, rate: Option<f64>) -> Bench {
        let plan = Plan { connections, pipeline, reuse, timeout: Duration::from_secs(1) };
        let targets = Targets::one(Style { host: "h", close: false, headers: "", http10: false }, "/", Some(2));
        let now = Rc::new(Cell::new(Time(0)));
        let clock = now.clone();
        let server = Address::Unix("/s".into());
        let arrivals = rate.map(|rate| Arrivals::new(Time(0), rate));
        let mut client = Client::new(server, plan, targets, arrivals, Box::new(move || clock.get()) as Box<_>);
        client.tally.begin(Time(0));
        Bench { client, calls: Script::default(), now }
    }

    fn at(&mut self, nanoseconds: u64) -> Duration {
        self.now.set(Time(nanoseconds));
        self.client.advance(&mut self.calls, Time(nanoseconds))
    }

    fn connected(&mut self, index: u32) {
        self.client.connected(&mut self.calls, id(index), Owner::default(), Origin::Connected);
    }

    fn received(&mut self, index: u32, bytes: &[u8]) -> usize {
        self.client.received(&mut self.calls, id(index), Owner::default(), bytes)
    }

    fn disconnected(&mut self, index: u32, reason: Disconnect) {
        self.client.disconnected(&mut self.calls, id(index), Owner::default(), reason);
    }
}

#[test]
fn a_closed_loop_keeps_every_place_of_every_connection_busy() {
    let mut bench = Bench::new(Reuse::Persistent, 2, 3, None);
    bench.at(0);
    bench.connected(0);
    bench.connected(1);
    assert_eq!(bench.calls.sent.len(), 6);
    let two = [ANSWER, ANSWER, &ANSWER[..5]].concat();
    assert_eq!(bench.received(0, &two), 2 * ANSWER.len());
    assert_eq!(bench.calls.sent.len(), 8);
    assert_eq!((bench.client.tally.requests, bench.client.tally.errors.total()), (2, 0));
}

#[test]
fn an_open_loop_counts_latency_from_when_a_request_was_due() {
    let mut bench = Bench::new(Reuse::Persistent, 1, 1, Some(1e6));
    bench.at(0);
    bench.connected(0);
    assert_eq!(bench.calls.sent.len(), 1, "the first arrival is due at the start");
    bench.now.set(Time(5_000_000));
    bench.received(0, ANSWER);
    assert_eq!(bench.calls.sent.len(), 2, "the next one has waited");
    bench.now.set(Time(5_001_000));
    bench.received(0, ANSWER);
    let slowest = bench.client.tally.latencies.max();
    assert!((4_990_000..=5_010_000).contains(&slowest), "{slowest}");
    bench.client.finish(Time(10_000_000));
    // 10,001 arrivals were due; two are answered.
    assert_eq!(bench.client.tally.unfinished, 9_999);
}

#[test]
fn an_open_loop_sends_nothing_before_its_time() {
    let mut bench = Bench::new(Reuse::Persistent, 2, 1, Some(1000.0));
    bench.at(0);
    bench.connected(0);
    bench.connected(1);
    assert_eq!(bench.calls.sent, [id(0)]);
    assert_eq!(bench.at(400_000), Duration::from_micros(600));
    assert_eq!(bench.calls.sent.len(), 1);
    bench.at(1_000_000);
    assert_eq!(bench.calls.sent, [id(0), id(1)]);
}

#[test]
fn a_connection_per_request_carries_one_request() {
    let mut bench = Bench::new(Reuse::PER_REQUEST, 1, 1, None);
    bench.at(0);
    bench.connected(0);
    bench.received(0, ANSWER);
    assert_eq!((bench.calls.sent.len(), &bench.calls.closed[..]), (1, &[id(0)][..]));
    bench.disconnected(0, Disconnect::Closed);
    assert_eq!(bench.calls.next, 2, "the next connection is opened at once");
}

#[test]
fn bursts_follow_one_another_and_then_the_connection_is_closed() {
    let mut bench = Bench::new(Reuse::Limited { requests: 5, burst: 3 }, 1, 1, None);
    bench.at(0);
    bench.connected(0);
    assert_eq!(bench.calls.sent.len(), 3);
    bench.received(0, &[ANSWER, ANSWER].concat());
    assert_eq!((bench.calls.sent.len(), bench.calls.closed.len()), (3, 0), "one of the burst is unanswered");
    bench.received(0, ANSWER);
    assert_eq!((bench.calls.sent.len(), bench.calls.closed.len()), (5, 0));
    bench.received(0, &[ANSWER, ANSWER].concat());
    assert_eq!((bench.calls.sent.len(), &bench.calls.closed[..]), (5, &[id(0)][..]));
    bench.disconnected(0, Disconnect::Closed);
    assert_eq!((bench.calls.next, bench.client.tally.requests, bench.client.tally.errors.total()), (2, 5, 0));
}

#[test]
fn an_open_loop_of_bursts_opens_connections_on_schedule() {
    let mut bench = Bench::new(Reuse::Limited { requests: 6, burst: 3 }, 2, 1, Some(1000.0));
    bench.at(0);
    bench.connected(0);
    assert_eq!((bench.calls.next, bench.calls.sent.len()), (1, 3));
    bench.at(1_000_000);
    assert_eq!(bench.calls.next, 2);
    bench.at(2_000_000);
    bench.client.finish(Time(2_500_000));
    // Three connections were due, and nothing is answered.
    assert_eq!(bench.client.tally.unfinished, 18);
}

#[test]
fn a_server_that_announces_its_close_closes_first() {
    let mut bench = Bench::new(Reuse::PER_REQUEST, 1, 1, None);
    bench.at(0);
    bench.connected(0);
    bench.received(0, LAST_ANSWER);
    assert!(bench.calls.closed.is_empty());
    bench.disconnected(0, Disconnect::Finished);
    bench.disconnected(0, Disconnect::Closed);
    assert_eq!((bench.calls.closed.len(), bench.client.tally.errors.total()), (1, 0));
}

#[test]
fn idle_connections_ask_once() {
    let mut bench = Bench::new(Reuse::Idle, 1, 1, None);
    bench.at(0);
    bench.connected(0);
    bench.received(0, ANSWER);
    bench.at(5_000_000_000);
    assert_eq!((bench.calls.sent.len(), bench.client.open_connections()), (1, 1));
    assert_eq!(bench.client.tally.errors.total(), 0);
}

#[test]
fn a_client_that_leaves_has_no_connection_and_opens_none() {
    let mut bench = Bench::new(Reuse::Persistent, 3, 1, None);
    bench.at(0);
    bench.connected(1);
    assert!(bench.client.leave(&mut bench.calls, 2));
    assert!(bench.client.leave(&mut bench.calls, 2));
    assert!(!bench.client.leave(&mut bench.calls, 2));
    bench.at(1_000_000_000);
    assert_eq!((&bench.calls.aborted[..], bench.calls.next), (&[id(0), id(1), id(2)][..], 3));
    assert_eq!((bench.client.open_connections(), bench.client.tally.errors.total()), (0, 0));
}

#[test]
fn every_failure_is_counted_as_what_it_is() {
    type Failure = fn(&mut Bench);
    type Count = fn(&crate::load::tally::Errors) -> u64;
    let cases: [(&str, Failure, Count); 8] = [
        ("reset", |bench| bench.disconnected(0, Disconnect::Reset), |errors| errors.reset),
        ("closed", |bench| bench.disconnected(0, Disconnect::Finished), |errors| errors.closed),
        ("timeout", |bench| _ = bench.at(2_000_000_000), |errors| errors.timeout),
        (
            "status",
            |bench| _ = bench.received(0, b"HTTP/1.1 404 x\r\nContent-Length: 2\r\n\r\nno"),
            |errors| errors.status,
        ),
        (
            "length",
            |bench| _ = bench.received(0, b"HTTP/1.1 200 x\r\nContent-Length: 1\r\n\r\n."),
            |errors| errors.length,
        ),
        ("malformed", |bench| _ = bench.received(0, b"SSH-2.0\r\n\r\n"), |errors| errors.malformed),
        (
            "short body",
            |bench| {
                bench.received(0, &ANSWER[..ANSWER.len() - 1]);
                bench.disconnected(0, Disconnect::Finished);
            },
            |errors| errors.closed,
        ),
        (
            "unasked",
            |bench| {
                bench.client.plan.reuse = Reuse::Idle;
                bench.received(0, &[ANSWER, ANSWER].concat());
            },
            |errors| errors.malformed,
        ),
    ];
    for (name, fail, count) in cases {
        let mut bench = Bench::new(Reuse::Persistent, 1, 1, None);
        bench.at(0);
        bench.connected(0);
        fail(&mut bench);
        let errors = bench.client.tally.errors;
        assert_eq!((count(&errors), errors.total()), (1, 1), "{name}: {errors:?}");
    }
}

#[test]
fn a_server_that_refuses_is_not_hammered() {
    let mut bench = Bench::new(Reuse::Persistent, 4, 1, None);
    bench.at(0);
    (0..4).for_each(|index| bench.disconnected(index, Disconnect::Refused));
    bench.at(1);
    assert_eq!((bench.calls.next, bench.client.tally.errors.connect), (4, 4));
    bench.at(RETRY.as_nanos() as u64);
    assert_eq!(bench.calls.next, 8);
    bench.calls.refuse = true;
    let mut alone = Bench::new(Reuse::Persistent, 4, 1, None);
    alone.calls.refuse = true;
    alone.at(0);
    assert_eq!(alone.client.tally.errors.connect, 1);
}
