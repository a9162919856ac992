//! Two ends, two links, and a clock that moves when something is due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use afpa_tcp::Time;
use fastrand::Rng;

use crate::link::Link;
use crate::plan::{FaultPlan, Jump};
use crate::segment::Segment;
use crate::trace::Trace;

/// The most events at one moment. More is an end that is always due and never done.
const BUSIEST: u32 = 20_000;

/// What is at an end of the network.
pub trait Endpoint {
    /// A packet arrives.
    fn receive(&mut self, now: Time, packet: &[u8]);

    /// Does what is due.
    fn expire(&mut self, now: Time);

    /// Sends what there is to send: hands packets to `out`.
    fn transmit(&mut self, now: Time, out: &mut Vec<Vec<u8>>);

    /// When something is due next.
    fn deadline(&self) -> Option<Time>;

    /// The end's clock leaps forward.
    fn leap(&mut self, by: Duration) {
        let _ = by;
    }

    /// Whether every packet sent has to be well-formed.
    fn is_honest(&self) -> bool {
        true
    }
}

/// The network between a client and a server. If the thread panics while there is one (or the environment has
/// `AFPA_SIM_SHOW`), the plan and the trace of the last packets go to the standard error output.
pub struct Network<C, S> {
    /// One end.
    pub client: C,
    /// The other end.
    pub server: S,
    plan: FaultPlan,
    links: [Link; 2],
    jumps: Vec<Jump>,
    now: Time,
    start: Time,
    random: Rng,
    flights: BinaryHeap<Reverse<Flight>>,
    counter: u64,
    trace: Trace,
    packets: u64,
    last_sent: [Option<Segment>; 2],
    busy: (Time, u32),
}

/// A packet under way. Ordered by arrival, then by departure.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Flight {
    at: Time,
    counter: u64,
    end: usize,
    packet: Vec<u8>,
}

const SENDS: [&str; 2] = ["client sends", "server sends"];
const RECEIVES: [&str; 2] = ["client gets", "server gets"];

impl<C: Endpoint, S: Endpoint> Network<C, S> {
    /// A network whose plan begins now.
    pub fn new(plan: FaultPlan, client: C, server: S) -> Network<C, S> {
        // Not zero, so that nobody takes zero for "never".
        let start = Time(1_000_000_000);
        let mut jumps = plan.jumps.clone();
        jumps.reverse();
        Network {
            client,
            server,
            links: [Link::new(plan.links[0].clone(), start), Link::new(plan.links[1].clone(), start)],
            jumps,
            now: start,
            start,
            random: Rng::with_seed(plan.seed),
            plan,
            flights: BinaryHeap::new(),
            counter: 0,
            trace: Trace::default(),
            packets: 0,
            last_sent: [None, None],
            busy: (start, 0),
        }
    }

    /// The time.
    pub fn now(&self) -> Time {
        self.now
    }

    /// How many packets the ends have sent.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// The last segment that an end (0: the client) has sent.
    pub fn last_sent(&self, end: usize) -> Option<&Segment> {
        self.last_sent[end].as_ref()
    }

    /// Lets a packet arrive at an end (0: the client) out of the blue, now.
    pub fn forge(&mut self, end: usize, packet: Vec<u8>) {
        let at = self.now;
        self.trace.packet(at, "a forger sends", "", &packet);
        self.fly(at, end, packet);
    }

    /// Runs until nothing is due any more, `done` holds, or so much time has passed. Returns whether `done` held or
    /// nothing was due.
    pub fn run(&mut self, span: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now.after(span);
        self.transmit();
        loop {
            if done(self) {
                return true;
            }
            let Some(next) = self.next_event() else { return true };
            if next > end {
                self.now = end;
                return false;
            }
            self.advance(next);
        }
    }

    fn next_event(&self) -> Option<Time> {
        let flight = self.flights.peek().map(|Reverse(flight)| flight.at);
        let jump = self.jumps.last().map(|jump| self.start.after(jump.at));
        let due = [flight, self.client.deadline(), self.server.deadline()].into_iter().flatten().min();
        // A leap is an event only while there is something for it to disturb.
        due.map(|due| jump.map_or(due, |jump| jump.min(due)).max(self.now))
    }

    fn advance(&mut self, to: Time) {
        self.now = to;
        self.busy = if self.busy.0 == to { (to, self.busy.1 + 1) } else { (to, 0) };
        assert!(self.busy.1 < BUSIEST, "an end is always due and never done");
        while let Some(jump) = self.jumps.pop_if(|jump| self.start.after(jump.at) <= to) {
            match jump.end {
                0 => self.client.leap(jump.by),
                _ => self.server.leap(jump.by),
            }
        }
        self.deliver();
        self.client.expire(to);
        self.server.expire(to);
        self.transmit();
    }

    fn deliver(&mut self) {
        while let Some(Reverse(flight)) = self.flights.peek()
            && flight.at <= self.now
        {
            let Some(Reverse(flight)) = self.flights.pop() else { return };
            self.trace.packet(self.now, RECEIVES[flight.end], "", &flight.packet);
            match flight.end {
                0 => self.client.receive(self.now, &flight.packet),
                _ => self.server.receive(self.now, &flight.packet),
            }
        }
    }

    fn transmit(&mut self) {
        let mut out = Vec::new();
        for end in 0..2 {
            let honest = match end {
                0 => {
                    self.client.transmit(self.now, &mut out);
                    self.client.is_honest()
                }
                _ => {
                    self.server.transmit(self.now, &mut out);
                    self.server.is_honest()
                }
            };
            for packet in out.drain(..) {
                self.send(end, packet, honest);
            }
        }
    }

    fn send(&mut self, end: usize, packet: Vec<u8>, honest: bool) {
        self.packets += 1;
        let read = Segment::decode(&packet);
        let mut carried = self.links[end].carry(self.now, packet.clone(), &mut self.random);
        self.trace.packet(self.now, SENDS[end], carried.fate, &packet);
        match read {
            Ok(segment) => self.last_sent[end] = Some(segment),
            Err(error) => assert!(!honest, "an end sent {error}"),
        }
        for (at, packet) in carried.arrivals.drain(..) {
            self.fly(at, 1 - end, packet);
        }
        if let Some((at, packet)) = carried.complaint {
            self.fly(at, end, packet);
        }
    }

    /// Packets arrive in batches, as from a ring that is polled.
    fn fly(&mut self, at: Time, end: usize, packet: Vec<u8>) {
        let batch = self.plan.batch.as_nanos() as u64;
        let at = if batch == 0 { at } else { Time(at.0.div_ceil(batch).saturating_mul(batch)) };
        self.counter += 1;
        self.flights.push(Reverse(Flight { at, counter: self.counter, end, packet }));
    }
}

impl<C, S> Drop for Network<C, S> {
    fn drop(&mut self) {
        if std::thread::panicking() || std::env::var_os("AFPA_SIM_SHOW").is_some() {
            eprintln!("{}\n{}", self.plan, self.trace);
        }
    }
}
