//! The client: keeps connections busy, reads what comes back, and counts all that goes wrong.
//!
//! It stands on the seam like any module: the transport's events drive it, and [`Client::advance`]
//! does what time alone makes due (arrivals, timeouts, missing connections).

use super::arrivals::Arrivals;
use super::response::{Response, ResponseReader};
use super::tally::Tally;
use super::targets::Targets;
use afpa_engine::seam::{Address, Calls, ConnectionId, Disconnect, Events, ListenerId, Origin, Owner, Segment, Time};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

/// How many connections may be opening at once: a listener's queue should not overflow.
const MAX_OPENING: usize = 512;
/// How often connections are looked over for timeouts.
const SWEEP: Duration = Duration::from_millis(100);
/// How long nothing is opened after a connection failed to open.
const RETRY: Duration = Duration::from_millis(50);

/// What the client does.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Plan {
    /// How many connections are used at once, at most.
    pub(crate) connections: usize,
    /// How many requests may be outstanding on one connection.
    pub(crate) pipeline: usize,
    /// Whether connections carry many requests, one each, or one and then nothing.
    pub(crate) reuse: Reuse,
    /// How long a connection may be silent while an answer is due.
    pub(crate) timeout: Duration,
}

/// What becomes of a connection after an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reuse {
    /// It carries the next request.
    Persistent,
    /// It is closed.
    PerRequest,
    /// It stays open and idle.
    Idle,
}

/// The state of a load, driven by a transport.
pub(crate) struct Client<C> {
    server: Address,
    plan: Plan,
    targets: Targets,
    /// The schedule of an open loop; a closed loop has none.
    arrivals: Option<Arrivals>,
    clock: C,
    slots: Vec<Slot>,
    /// Places for a request on open connections, in an open loop.
    free: VecDeque<ConnectionId>,
    /// Connections that are opening or open.
    alive: usize,
    opening: usize,
    retry_at: Time,
    sweep_at: Time,
    /// What came of it.
    pub(crate) tally: Tally,
}

/// A connection, at the place that its id names.
#[derive(Default)]
struct Slot {
    id: Option<ConnectionId>,
    open: bool,
    reader: ResponseReader,
    /// Requests without an answer, in the order in which they were sent.
    pending: VecDeque<Pending>,
    /// When the request that the connection is opened for was due.
    due: Time,
    /// When something last happened.
    active: Time,
    /// Whether the server said that it will close.
    closing: bool,
}

#[derive(Clone, Copy)]
struct Pending {
    due: Time,
    expected: Option<u64>,
}

impl<C: FnMut() -> Time> Client<C> {
    /// A client of `server`; `arrivals` makes it an open loop. `clock` tells the time.
    pub(crate) fn new(
        server: Address,
        plan: Plan,
        targets: Targets,
        arrivals: Option<Arrivals>,
        clock: C,
    ) -> Client<C> {
        Client {
            server,
            plan,
            targets,
            arrivals,
            clock,
            slots: Vec::new(),
            free: VecDeque::with_capacity(plan.connections * plan.pipeline),
            alive: 0,
            opening: 0,
            retry_at: Time(0),
            sweep_at: Time(0),
            tally: Tally::new(),
        }
    }

    /// Does what is due at `now`, and says how long nothing else will be.
    pub(crate) fn advance(&mut self, calls: &mut dyn Calls, now: Time) -> Duration {
        self.open_missing(calls, now);
        self.dispatch(calls, now);
        if now >= self.sweep_at {
            self.sweep_at = now.after(SWEEP);
            self.abort_silent(calls, now);
        }
        let arrival = self.arrivals.as_ref().map_or(SWEEP, |arrivals| arrivals.wait(now));
        // An arrival that is due but finds no place waits for an event, not for time.
        if arrival.is_zero() { SWEEP } else { arrival.min(SWEEP) }
    }

    /// How many connections are open.
    pub(crate) fn open_connections(&self) -> usize {
        self.alive - self.opening
    }

    /// The load has ended: requests that were due and are unanswered are counted, and in an open
    /// loop their waiting so far enters the latencies, which would look too good without them.
    pub(crate) fn finish(&mut self, now: Time) {
        let Some(arrivals) = &self.arrivals else { return };
        for slot in self.slots.iter().filter(|slot| slot.id.is_some()) {
            let opening = (!slot.open && self.plan.reuse == Reuse::PerRequest).then_some(slot.due);
            for due in slot.pending.iter().map(|pending| pending.due).chain(opening) {
                self.tally.unfinished(due, now);
            }
        }
        for due in arrivals.overdue(now) {
            self.tally.unfinished(due, now);
        }
    }

    /// Opens nothing any more, and aborts at most `count` connections. Returns whether there were any.
    pub(crate) fn leave(&mut self, calls: &mut dyn Calls, count: usize) -> bool {
        self.plan.connections = 0;
        let open: Vec<_> = self.slots.iter().filter_map(|slot| slot.id).take(count).collect();
        open.iter().for_each(|id| self.discard(calls, *id));
        !open.is_empty()
    }

    /// Opens connections up to what the plan wants.
    fn open_missing(&mut self, calls: &mut dyn Calls, now: Time) {
        while self.alive < self.plan.connections && self.opening < MAX_OPENING && now >= self.retry_at {
            let due = match (&mut self.arrivals, self.plan.reuse) {
                (Some(arrivals), Reuse::PerRequest) => match arrivals.take(now) {
                    Some(due) => due,
                    None => return,
                },
                _ => now,
            };
            self.open(calls, due, now);
        }
    }

    fn open(&mut self, calls: &mut dyn Calls, due: Time, now: Time) {
        let id = match calls.connect(&self.server, Owner::default()) {
            Ok(id) => id,
            Err(error) => {
                self.tally.errors.connect += 1;
                self.tally.explain(|| format!("cannot connect: {error}"));
                self.retry_at = now.after(RETRY);
                return;
            }
        };
        let index = id.index() as usize;
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, Slot::default);
        }
        let slot = &mut self.slots[index];
        slot.id = Some(id);
        slot.open = false;
        slot.reader = ResponseReader::default();
        slot.pending.clear();
        slot.due = due;
        slot.active = now;
        slot.closing = false;
        self.alive += 1;
        self.opening += 1;
    }

    /// Gives arrivals that are due to connections that have a place for them.
    fn dispatch(&mut self, calls: &mut dyn Calls, now: Time) {
        if self.plan.reuse != Reuse::Persistent || self.arrivals.is_none() {
            return;
        }
        while let Some(id) = self.free.front().copied() {
            if !self.slot(id).is_some_and(|slot| slot.open && !slot.closing) {
                self.free.pop_front();
                continue;
            }
            let Some(due) = self.arrivals.as_mut().and_then(|arrivals| arrivals.take(now)) else { return };
            self.free.pop_front();
            self.request(calls, id, due, now);
        }
    }

    /// Sends the next request.
    fn request(&mut self, calls: &mut dyn Calls, id: ConnectionId, due: Time, now: Time) {
        let request = self.targets.next();
        let slot = &mut self.slots[id.index() as usize];
        if slot.pending.is_empty() {
            slot.active = now;
        }
        slot.pending.push_back(Pending { due, expected: request.expected });
        calls.send(id, Segment::Copy(&request.bytes));
    }

    /// A connection has a place for a request.
    fn fill(&mut self, calls: &mut dyn Calls, id: ConnectionId, now: Time) {
        match &mut self.arrivals {
            None => self.request(calls, id, now, now),
            Some(arrivals) => match arrivals.take(now) {
                Some(due) => self.request(calls, id, due, now),
                None => self.free.push_back(id),
            },
        }
    }

    /// One response is complete. Returns whether the connection is still of use.
    fn answered(&mut self, calls: &mut dyn Calls, id: ConnectionId, response: Response, now: Time) -> bool {
        let slot = &mut self.slots[id.index() as usize];
        slot.active = now;
        let Some(pending) = slot.pending.pop_front() else {
            self.tally.errors.malformed += 1;
            self.tally.explain(|| "the server sent a response that nobody asked for".into());
            self.discard(calls, id);
            return false;
        };
        slot.closing |= response.closes;
        if response.status != 200 {
            self.tally.errors.status += 1;
            self.tally.explain(|| format!("the server answered with status {}", response.status));
        } else if pending.expected.is_some_and(|expected| expected != response.length) {
            self.tally.errors.length += 1;
            self.tally.explain(|| format!("the server sent a body of {} octets", response.length));
        } else {
            self.tally.answered(pending.due, now);
        }
        match self.plan.reuse {
            // The server that announced a close closes first, as it would to any client.
            _ if slot.closing => {}
            Reuse::Persistent => self.fill(calls, id, now),
            Reuse::PerRequest => {
                slot.closing = true;
                calls.close(id);
            }
            Reuse::Idle => {}
        }
        true
    }

    /// Gives up on a connection; requests without an answer must have been counted.
    fn discard(&mut self, calls: &mut dyn Calls, id: ConnectionId) {
        calls.abort(id);
        self.release(id);
    }

    /// Aborts connections that have owed an answer for too long.
    fn abort_silent(&mut self, calls: &mut dyn Calls, now: Time) {
        for index in 0..self.slots.len() {
            let slot = &self.slots[index];
            let owed = !slot.open || slot.closing || !slot.pending.is_empty();
            if let Some(id) = slot.id.filter(|_| owed && now.since(slot.active) > self.plan.timeout) {
                self.tally.errors.timeout += slot.pending.len().max(1) as u64;
                self.tally.explain(|| format!("the server was silent for {:?}", self.plan.timeout));
                self.discard(calls, id);
            }
        }
    }

    /// The connection's slot is free again.
    fn release(&mut self, id: ConnectionId) {
        let slot = &mut self.slots[id.index() as usize];
        slot.id = None;
        slot.pending.clear();
        self.alive -= 1;
        self.opening -= usize::from(!slot.open);
    }

    fn slot(&mut self, id: ConnectionId) -> Option<&mut Slot> {
        self.slots.get_mut(id.index() as usize).filter(|slot| slot.id == Some(id))
    }
}

impl<C: FnMut() -> Time> Events for Client<C> {
    fn awake(&mut self) -> Option<Time> {
        Some((self.clock)())
    }

    fn connected(&mut self, calls: &mut dyn Calls, id: ConnectionId, _: Owner, _: Origin) {
        let now = (self.clock)();
        let Some(slot) = self.slot(id) else { return };
        slot.open = true;
        slot.active = now;
        let due = slot.due;
        self.opening -= 1;
        self.tally.connections += 1;
        match self.plan.reuse {
            Reuse::Persistent => (0..self.plan.pipeline).for_each(|_| self.fill(calls, id, now)),
            Reuse::PerRequest | Reuse::Idle => self.request(calls, id, due, now),
        }
    }

    fn received(&mut self, calls: &mut dyn Calls, id: ConnectionId, _: Owner, bytes: &[u8]) -> usize {
        let now = (self.clock)();
        let mut consumed = 0;
        while consumed < bytes.len() {
            let Some(slot) = self.slot(id) else { return bytes.len() };
            slot.active = now;
            let progress = match slot.reader.read(&bytes[consumed..]) {
                Ok(progress) => progress,
                Err(error) => {
                    self.tally.errors.malformed += slot.pending.len().max(1) as u64;
                    self.tally.explain(|| error.to_string());
                    self.discard(calls, id);
                    return bytes.len();
                }
            };
            consumed += progress.consumed;
            self.tally.received(progress.consumed as u64);
            match progress.response {
                Some(response) if self.answered(calls, id, response, now) => {}
                Some(_) => return bytes.len(),
                None => break,
            }
        }
        consumed
    }

    fn sent(&mut self, _: &mut dyn Calls, _: ConnectionId, _: Owner, _: u64) {}

    fn disconnected(&mut self, calls: &mut dyn Calls, id: ConnectionId, _: Owner, reason: Disconnect) {
        let now = (self.clock)();
        let Some(slot) = self.slot(id) else { return };
        let lost = slot.pending.len() as u64;
        let opened = slot.open;
        slot.pending.clear();
        if lost > 0 || (reason != Disconnect::Finished && reason != Disconnect::Closed) {
            self.tally.explain(|| format!("a connection ended: {reason:?}, with {lost} requests unanswered"));
        }
        let errors = &mut self.tally.errors;
        match reason {
            Disconnect::Finished | Disconnect::Closed => errors.closed += lost,
            Disconnect::Reset if opened => errors.reset += lost.max(1),
            Disconnect::TimedOut if opened => errors.timeout += lost.max(1),
            Disconnect::Refused
            | Disconnect::Unreachable
            | Disconnect::Unavailable
            | Disconnect::Reset
            | Disconnect::TimedOut => {
                errors.connect += 1;
                self.retry_at = now.after(RETRY);
            }
        }
        if reason == Disconnect::Finished {
            slot_of(&mut self.slots, id).closing = true;
            calls.close(id);
            return;
        }
        self.release(id);
        self.open_missing(calls, now);
    }

    fn datagram(&mut self, _: &mut dyn Calls, _: ListenerId, _: Owner, _: SocketAddr, _: &[u8]) {}
}

fn slot_of(slots: &mut [Slot], id: ConnectionId) -> &mut Slot {
    &mut slots[id.index() as usize]
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
