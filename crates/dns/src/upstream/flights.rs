//! Questions under way to backends, each once, however many wait for its answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use afpa_engine::Time;

use super::choice::BackendSet;
use super::pool::{BackendId, PoolId, Pools};
use super::query::Ask;
use super::waiters::{Queue, Waiters};
use crate::message::Rcode;

/// Names a flight. Never reused: a flight's place in the table, and behind it the number of flights before it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FlightId(u64);

/// Bits of the place: a million flights, and serial numbers for years at any rate.
const INDEX_BITS: u32 = 20;

/// A waiter's place in a flight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ticket {
    /// The flight.
    pub flight: FlightId,
    place: u32,
}

/// Bounds of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlightLimits {
    /// Flights at once, at most 2^20; 10,000 by default.
    pub flights: usize,
    /// Waiters of all flights together; 100,000 by default.
    pub waiters: usize,
}

impl Default for FlightLimits {
    fn default() -> FlightLimits {
        FlightLimits { flights: 10_000, waiters: 100_000 }
    }
}

/// What became of a waiter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Joined {
    /// It is the first: a flight was made, which the caller has to start with [`Flights::next_attempt`].
    First(Ticket),
    /// It waits for what is under way already.
    Waiting(Ticket),
    /// A limit is reached: it does not wait.
    Full,
}

/// One question to one backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// Whom to ask.
    pub backend: BackendId,
    /// Over TCP, or in a datagram.
    pub tcp: bool,
    /// With EDNS or without.
    pub edns: bool,
    /// How long to wait for the answer.
    pub timeout: Duration,
}

/// What to do next for a flight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NextAttempt {
    /// Ask.
    Ask(Attempt),
    /// All attempts, or all time, is used up.
    GiveUp(Failure),
}

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The response code for those who wait: what backends said, if all said the same; SERVFAIL else.
    pub rcode: Rcode,
    /// Whether any backend said anything.
    pub was_reached: bool,
}

/// Why an attempt did not bring the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Setback {
    /// No answer came in time, the network refused, or no conversation could be opened.
    Silence,
    /// [`super::Verdict::Truncated`], or [`super::Received::AskOverTcp`].
    NeedsTcp,
    /// [`super::Verdict::WithoutEdns`].
    WithoutEdns,
    /// [`super::Verdict::BadCookie`].
    BadCookie,
    /// [`super::Verdict::Failed`].
    Failed(Rcode),
}

/// A flight that has ended.
#[derive(Debug)]
pub struct Finished {
    /// What it was joined under.
    pub key: Arc<[u8]>,
    /// What was asked.
    pub ask: Ask,
    /// Whether it began as a refresh: nobody missed the answer.
    pub is_refresh: bool,
}

/// The flights of one engine. `W` names a waiter: the id of an exchange.
#[derive(Debug)]
pub struct Flights<W> {
    limits: FlightLimits,
    by_key: HashMap<Arc<[u8]>, FlightId>,
    slots: Vec<Option<Flight>>,
    free: Vec<u32>,
    waiters: Waiters<W>,
    next_serial: u64,
}

#[derive(Debug)]
struct Flight {
    id: FlightId,
    key: Arc<[u8]>,
    ask: Ask,
    pool: PoolId,
    is_refresh: bool,
    /// The end of all attempts; set by the first.
    deadline: Option<Time>,
    attempts: u32,
    tried: BackendSet,
    /// The latest attempt.
    latest: Option<Attempt>,
    /// The same backend is asked again, like this.
    again: Option<Attempt>,
    /// BADCOOKIE of the latest backend.
    bad_cookies: u32,
    /// What backends said; `None` before any did.
    said: Option<Rcode>,
    was_silent: bool,
    queue: Queue,
}

impl<W: Copy + PartialEq> Flights<W> {
    /// An empty table.
    pub fn new(limits: FlightLimits) -> Flights<W> {
        Flights {
            limits,
            by_key: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            waiters: Waiters::new(limits.waiters),
            next_serial: 0,
        }
    }

    /// Lets `waiter` wait for the answer that is known under `key`. If nobody does yet, `ask` says what is asked of
    /// `pool`.
    pub fn join(&mut self, key: &[u8], pool: PoolId, waiter: W, ask: impl FnOnce() -> Ask) -> Joined {
        let known = self.by_key.get(key).copied();
        if self.waiters.is_full() || known.is_none() && self.is_full() {
            return Joined::Full;
        }
        let flight = known.unwrap_or_else(|| self.insert(key, pool, ask(), false));
        let Some(found) = flight_mut(&mut self.slots, flight) else { return Joined::Full };
        let place = self.waiters.push(&mut found.queue, flight.0, waiter);
        let ticket = Ticket { flight, place };
        if known.is_some() { Joined::Waiting(ticket) } else { Joined::First(ticket) }
    }

    /// Starts a flight that nobody waits for yet: a refresh of what is about to expire, or has. `None` if one is
    /// under way, or the table is full.
    pub fn refresh(&mut self, key: &[u8], pool: PoolId, ask: impl FnOnce() -> Ask) -> Option<FlightId> {
        let may = !self.by_key.contains_key(key) && !self.is_full();
        may.then(|| self.insert(key, pool, ask(), true))
    }

    /// `waiter` no longer waits: it was answered otherwise, or is gone. Returns whether it did. The flight goes on:
    /// its answer is of use to the next who asks.
    pub fn leave(&mut self, ticket: Ticket, waiter: W) -> bool {
        let Some(flight) = flight_mut(&mut self.slots, ticket.flight) else { return false };
        self.waiters.remove(&mut flight.queue, ticket.flight.0, ticket.place, waiter)
    }

    /// What to do next: at the start, and after each [`Flights::set_back`]. `None` if the flight has ended. After
    /// [`NextAttempt::GiveUp`], and after an answer, [`Flights::finish`] is due.
    pub fn next_attempt(
        &mut self,
        id: FlightId,
        pools: &mut Pools,
        now: Time,
        random: &mut impl FnMut() -> u64,
    ) -> Option<NextAttempt> {
        let flight = flight_mut(&mut self.slots, id)?;
        Some(match flight.next(pools, now, random) {
            Some(attempt) => {
                flight.latest = Some(attempt);
                NextAttempt::Ask(attempt)
            }
            None => NextAttempt::GiveUp(flight.failure()),
        })
    }

    /// The latest attempt did not bring the answer.
    pub fn set_back(&mut self, id: FlightId, setback: Setback) {
        if let Some(flight) = flight_mut(&mut self.slots, id) {
            flight.set_back(setback);
        }
    }

    /// Ends a flight and moves its waiters behind what `waiters` has, in the order in which they came. `None` if it
    /// has ended before.
    pub fn finish(&mut self, id: FlightId, waiters: &mut Vec<W>) -> Option<Finished> {
        flight_mut(&mut self.slots, id)?;
        let mut flight = self.slots[id.index()].take()?;
        self.free.push(id.index() as u32);
        self.by_key.remove(&flight.key);
        self.waiters.drain(&mut flight.queue, waiters);
        Some(Finished { key: flight.key, ask: flight.ask, is_refresh: flight.is_refresh })
    }

    /// After a reload: flights go on with the pool that has taken the place of theirs, and choose among its backends
    /// anew. Without one they find no more backends.
    pub fn move_pools(&mut self, mut successor: impl FnMut(PoolId) -> Option<PoolId>) {
        for flight in self.slots.iter_mut().flatten() {
            flight.pool = successor(flight.pool).unwrap_or(flight.pool);
            (flight.tried, flight.latest, flight.again) = (BackendSet::default(), None, None);
        }
    }

    /// What a flight was joined under.
    pub fn key(&self, id: FlightId) -> Option<&Arc<[u8]>> {
        let flight = self.slots.get(id.index())?.as_ref()?;
        (flight.id == id).then_some(&flight.key)
    }

    /// What a flight asks.
    pub fn ask(&self, id: FlightId) -> Option<&Ask> {
        let flight = self.slots.get(id.index())?.as_ref()?;
        (flight.id == id).then_some(&flight.ask)
    }

    /// Flights under way.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Waiters of all flights.
    pub fn waiting(&self) -> usize {
        self.waiters.len()
    }

    fn is_full(&self) -> bool {
        self.by_key.len() >= self.limits.flights.min(1 << INDEX_BITS)
    }

    fn insert(&mut self, key: &[u8], pool: PoolId, ask: Ask, is_refresh: bool) -> FlightId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as u32
        });
        let id = FlightId(self.next_serial << INDEX_BITS | u64::from(index));
        self.next_serial += 1;
        let key: Arc<[u8]> = key.into();
        self.by_key.insert(key.clone(), id);
        self.slots[index as usize] = Some(Flight::new(id, key, ask, pool, is_refresh));
        id
    }
}

impl FlightId {
    /// As a number, to be carried where only numbers are.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The id that `bits` came from.
    pub const fn from_bits(bits: u64) -> FlightId {
        FlightId(bits)
    }

    fn index(self) -> usize {
        (self.0 & ((1 << INDEX_BITS) - 1)) as usize
    }
}

fn flight_mut(slots: &mut [Option<Flight>], id: FlightId) -> Option<&mut Flight> {
    slots.get_mut(id.index())?.as_mut().filter(|flight| flight.id == id)
}

impl Flight {
    fn new(id: FlightId, key: Arc<[u8]>, ask: Ask, pool: PoolId, is_refresh: bool) -> Flight {
        Flight {
            id,
            key,
            ask,
            pool,
            is_refresh,
            deadline: None,
            attempts: 0,
            tried: BackendSet::default(),
            latest: None,
            again: None,
            bad_cookies: 0,
            said: None,
            was_silent: false,
            queue: Queue::default(),
        }
    }

    fn next(&mut self, pools: &mut Pools, now: Time, random: &mut impl FnMut() -> u64) -> Option<Attempt> {
        let pool = pools.get_mut(self.pool)?;
        let (timeout, attempts, patience) = (pool.config().timeout, pool.config().attempts, pool.config().patience);
        let deadline = *self.deadline.get_or_insert(now.after(patience));
        let timeout = timeout.min(deadline.since(now));
        if timeout.is_zero() {
            return None;
        }
        if let Some(again) = self.again.take() {
            return Some(Attempt { timeout, ..again });
        }
        if self.attempts >= attempts {
            return None;
        }
        let last = self.latest.map(|attempt| attempt.backend);
        let id = pool.choose(self.ask.name.as_name(), self.tried, last, random)?;
        self.attempts += 1;
        self.tried.insert(id.index());
        self.bad_cookies = 0;
        let backend = pool.backend(id)?;
        Some(Attempt { backend: id, tcp: backend.config().tcp, edns: backend.takes_edns(now), timeout })
    }

    /// Decides whether the latest backend is asked again, in another way, or the next. Each way is taken once, so
    /// that no sequence of answers goes on for ever.
    fn set_back(&mut self, setback: Setback) {
        let Some(latest) = self.latest else { return };
        self.again = match setback {
            Setback::NeedsTcp => (!latest.tcp).then_some(Attempt { tcp: true, ..latest }),
            Setback::WithoutEdns => latest.edns.then_some(Attempt { edns: false, ..latest }),
            Setback::BadCookie => {
                self.bad_cookies += 1;
                match self.bad_cookies {
                    1 => Some(latest),
                    // RFC 7873 §5.3: after a second BADCOOKIE, TCP.
                    _ => (!latest.tcp).then_some(Attempt { tcp: true, ..latest }),
                }
            }
            Setback::Silence | Setback::Failed(_) => None,
        };
        if self.again.is_some() {
            return;
        }
        match setback {
            Setback::Silence => self.was_silent = true,
            Setback::Failed(rcode) => self.say(rcode),
            Setback::NeedsTcp | Setback::WithoutEdns | Setback::BadCookie => self.say(Rcode::SERVFAIL),
        }
    }

    fn say(&mut self, rcode: Rcode) {
        self.said = Some(if self.said.is_none_or(|said| said == rcode) { rcode } else { Rcode::SERVFAIL });
    }

    fn failure(&self) -> Failure {
        let said = self.said.filter(|_| !self.was_silent);
        Failure { rcode: said.unwrap_or(Rcode::SERVFAIL), was_reached: self.said.is_some() }
    }
}
