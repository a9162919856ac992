//! A pool as one engine sees it.

use std::fmt;
use std::sync::Arc;

use crate::candidates::{Candidate, Candidates};
use crate::config::{AllUnhealthy, BackendConfig, PoolConfig, Strategy};
use crate::hash::keyed;
use crate::outliers::Ejection;
use crate::pool::PoolState;
use crate::random::Random;
use crate::state::{BackendState, Outcome};
use crate::sticky::Token;
use crate::strategy::{Assignments, Bound, by_lot, fewest_requests, next_in_round, two_choices};
use crate::waiting::Waiting;

/// Names a backend of one [`Balancer`], also while it leaves the pool: until its last request and connection end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BackendIndex {
    slot: u32,
    generation: u32,
}

/// What a choice depends on.
#[derive(Clone, Copy, Default, Debug)]
pub struct Choice<'a> {
    /// A hash of what the strategy goes by, such as the path; see [`hash`](crate::hash). Strategies that need none do
    /// not look at it.
    pub hash: Option<u64>,
    /// The value of the client's sticky cookie.
    pub sticky: Option<&'a [u8]>,
    /// Backends that were tried already.
    pub excluded: &'a [BackendIndex],
}

/// Why no backend can be chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unavailable {
    /// The pool has no backends that take new requests.
    Empty,
    /// None of them works.
    Unhealthy,
    /// Those that work have all the requests that they may have.
    Full,
    /// Those that work were excluded.
    Excluded,
}

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    /// It goes to this backend.
    Go(BackendIndex),
    /// It waits until a request ends.
    Wait,
    /// It is answered with 503: there is no backend, or no room to wait.
    Refuse(Unavailable),
}

/// Chooses among the backends of a pool, for one engine.
pub struct Balancer {
    pool: Arc<PoolState>,
    slots: Vec<Slot>,
    /// Slots of the pool's backends, in their order.
    positions: Vec<u32>,
    /// Standings in the round, by slot.
    standings: Vec<i64>,
    candidates: Candidates,
    assignments: Option<Assignments>,
    random: Random,
}

/// A place for a backend.
struct Slot {
    generation: u32,
    /// `None` if the slot is free.
    backend: Option<Seated>,
}

struct Seated {
    state: Arc<BackendState>,
    config: BackendConfig,
    /// Whether the pool has it still.
    is_member: bool,
    token: Option<Token>,
    key: u64,
    in_flight: u32,
    connections: u32,
}

impl Balancer {
    /// A balancer of a pool. Engines want different seeds, so that they do not choose in step.
    pub fn new(pool: Arc<PoolState>, seed: u64) -> Balancer {
        let mut balancer = Balancer {
            pool: pool.clone(),
            slots: Vec::new(),
            positions: Vec::new(),
            standings: Vec::new(),
            candidates: Candidates::default(),
            assignments: None,
            random: Random::new(seed),
        };
        balancer.update(pool);
        balancer.start_round();
        balancer
    }

    /// Goes on with the pool as it is now configured. What is known of backends that stay is kept, and their indices
    /// are the same; those that left get no new requests.
    pub fn update(&mut self, pool: Arc<PoolState>) {
        self.slots.iter_mut().filter_map(|slot| slot.backend.as_mut()).for_each(|seated| seated.is_member = false);
        let states = pool.backends().iter().zip(&pool.config().backends);
        self.positions = states.map(|(state, config)| self.seat(state, config, pool.config())).collect();
        (0..self.slots.len()).for_each(|slot| self.release(slot as u32));
        self.assignments = match pool.config().strategy {
            Strategy::Locality(config) => {
                let kept = self.assignments.take().filter(|assignments| *assignments.config() == config);
                kept.or_else(|| Some(Assignments::new(config)))
            }
            _ => None,
        };
        self.pool = pool;
    }

    /// The pool.
    pub fn pool(&self) -> &Arc<PoolState> {
        &self.pool
    }

    /// A backend for a new request, if one has room. Requests that wait already come first: each time that a request
    /// ends or the pool changes, and now and then, the caller tries [`Balancer::choose`] for the first of them.
    pub fn admit<T>(&mut self, choice: &Choice<'_>, waiting: &Waiting<T>, now: u64) -> Admission {
        let chosen = match waiting.is_empty() {
            true => self.choose(choice, now),
            false => Err(Unavailable::Full),
        };
        match chosen {
            Ok(index) => Admission::Go(index),
            Err(Unavailable::Full) if !waiting.is_full() => Admission::Wait,
            Err(unavailable) => Admission::Refuse(unavailable),
        }
    }

    /// Chooses a backend: the one that the sticky cookie names, if it is there and works; else by the pool's strategy
    /// among those that work, have room, do not drain and are not excluded. If none of the pool works, and it is
    /// configured so, those that do not work count as if they did.
    ///
    /// # Errors
    /// There is none.
    pub fn choose(&mut self, choice: &Choice<'_>, now: u64) -> Result<BackendIndex, Unavailable> {
        let members = || self.slots.iter().filter_map(|slot| slot.backend.as_ref()).filter(|seated| seated.is_member);
        let tries_any = self.pool.config().all_unhealthy == AllUnhealthy::TryAny
            && !members().any(|seated| !seated.config.draining && seated.state.is_usable(now));
        if let Some(index) = choice.sticky.and_then(|value| self.named(value)) {
            let seated = self.seated(index).filter(|seated| tries_any || seated.state.is_usable(now));
            if seated.is_some_and(|seated| !seated.is_full()) && !choice.excluded.contains(&index) {
                return Ok(index);
            }
        }
        self.gather(choice.excluded, tries_any, now)?;
        let slot = self.pick(choice.hash).ok_or(Unavailable::Empty)?;
        Ok(self.index(slot))
    }

    /// An attempt at a backend begins. It ends with [`Balancer::ended`], once.
    pub fn began(&mut self, index: BackendIndex) {
        if let Some(seated) = self.seated_mut(index) {
            seated.in_flight = seated.in_flight.saturating_add(1);
            seated.state.began();
        }
    }

    /// An attempt ended, after `latency_ns` nanoseconds from its begin to the head of its response, or to its failure.
    /// Returns which backends get no requests for a while, now that this is known; mostly none.
    pub fn ended(&mut self, index: BackendIndex, outcome: Outcome, latency_ns: u64, now: u64) -> Vec<Ejection> {
        let server_errors = self.pool.config().outliers.is_some_and(|outliers| outliers.server_errors);
        let Some(seated) = self.seated_mut(index).filter(|seated| seated.in_flight > 0) else { return Vec::new() };
        seated.in_flight -= 1;
        let in_a_row = seated.state.ended(outcome, latency_ns, server_errors);
        // What left the pool does not count among those of which so many are ejected.
        let member = self.seated(index).filter(|seated| seated.is_member);
        let ejections = member.map(|seated| self.pool.judge(&seated.state, in_a_row, now)).unwrap_or_default();
        self.release(index.slot);
        ejections
    }

    /// Counts octets that went to a backend and came from there.
    pub fn transferred(&self, index: BackendIndex, sent: u64, received: u64) {
        if let Some(seated) = self.seated(index) {
            seated.state.transferred(sent, received);
        }
    }

    /// Whether this engine may have one more connection there.
    pub fn may_connect(&self, index: BackendIndex) -> bool {
        self.seated(index).is_some_and(|seated| seated.connections < seated.config.max_connections)
    }

    /// A connection there was begun. It ends with [`Balancer::disconnected`], once.
    pub fn connected(&mut self, index: BackendIndex) {
        if let Some(seated) = self.seated_mut(index) {
            seated.connections = seated.connections.saturating_add(1);
        }
    }

    /// A connection there ended, or was not made.
    pub fn disconnected(&mut self, index: BackendIndex) {
        if let Some(seated) = self.seated_mut(index) {
            seated.connections = seated.connections.saturating_sub(1);
            self.release(index.slot);
        }
    }

    /// How a backend is configured; `None` if it has left.
    pub fn config(&self, index: BackendIndex) -> Option<&BackendConfig> {
        self.seated(index).map(|seated| &seated.config)
    }

    /// What is known of a backend on all engines; `None` if it has left.
    pub fn state(&self, index: BackendIndex) -> Option<&Arc<BackendState>> {
        self.seated(index).map(|seated| &seated.state)
    }

    /// Requests in flight there from this engine.
    pub fn in_flight(&self, index: BackendIndex) -> u32 {
        self.seated(index).map_or(0, |seated| seated.in_flight)
    }

    /// Connections there from this engine.
    pub fn connections(&self, index: BackendIndex) -> u32 {
        self.seated(index).map_or(0, |seated| seated.connections)
    }

    /// Whether connections there are kept for later requests: not if it has left the pool or drains.
    pub fn keeps_connections(&self, index: BackendIndex) -> bool {
        self.seated(index).is_some_and(|seated| seated.is_member && !seated.config.draining)
    }

    /// The pool's backends, in the order of the configuration.
    pub fn indices(&self) -> impl Iterator<Item = BackendIndex> {
        self.positions.iter().map(|&slot| self.index(slot))
    }

    /// The backend that a sticky cookie's value names, if it is in the pool.
    pub fn named(&self, value: &[u8]) -> Option<BackendIndex> {
        let token = Token::read(value)?;
        let is_it = |slot: &u32| {
            let seated = self.slots[*slot as usize].backend.as_ref();
            seated.is_some_and(|seated| seated.token == Some(token))
        };
        self.positions.iter().copied().find(is_it).map(|slot| self.index(slot))
    }

    /// Appends the value of a Set-Cookie field to `into`, if the pool has sticky cookies and `received`, the value that
    /// the client sent, does not name the backend already. Returns whether it did.
    pub fn set_cookie(&self, index: BackendIndex, received: Option<&[u8]>, into: &mut Vec<u8>) -> bool {
        let (Some(sticky), Some(seated)) = (&self.pool.config().sticky, self.seated(index)) else { return false };
        let Some(token) = seated.token.filter(|token| received.and_then(Token::read) != Some(*token)) else {
            return false;
        };
        sticky.write(token, into);
        true
    }

    /// Fills the list of candidates.
    fn gather(&mut self, excluded: &[BackendIndex], tries_any: bool, now: u64) -> Result<(), Unavailable> {
        self.candidates.clear(self.slots.len());
        let slow_start = self.pool.config().slow_start_ns;
        let mut why = Unavailable::Empty;
        for &slot in &self.positions {
            let place = &self.slots[slot as usize];
            let Some(seated) = place.backend.as_ref().filter(|seated| !seated.config.draining) else { continue };
            let why_not = if !tries_any && !seated.state.is_usable(now) {
                Unavailable::Unhealthy
            } else if excluded.contains(&BackendIndex { slot, generation: place.generation }) {
                Unavailable::Excluded
            } else if seated.is_full() {
                Unavailable::Full
            } else {
                self.candidates.push(seated.candidate(slot, slow_start, now));
                continue;
            };
            why = nearer(why, why_not);
        }
        if self.candidates.is_empty() { Err(why) } else { Ok(()) }
    }

    /// The slot of the candidate that the strategy chooses.
    fn pick(&mut self, hash: Option<u64>) -> Option<u32> {
        let candidates = self.candidates.as_slice();
        let chosen = match self.pool.config().strategy {
            Strategy::RoundRobin => return next_in_round(candidates, &mut self.standings),
            Strategy::Weighted => by_lot(candidates.iter(), &mut self.random),
            Strategy::LeastRequests => fewest_requests(candidates, &mut self.random),
            Strategy::TwoChoices { latency } => two_choices(candidates, &mut self.random, latency),
            Strategy::ConsistentHash(config) => {
                let bound = config.bounded_load.map(|percent| Bound::new(candidates, percent));
                match (hash, self.pool.maglev(), bound) {
                    (Some(hash), Some(maglev), bound) => maglev.choose(&self.candidates, &self.positions, hash, bound),
                    (_, _, Some(bound)) => bound.by_lot(candidates, &mut self.random),
                    (_, _, None) => by_lot(candidates.iter(), &mut self.random),
                }
            }
            Strategy::Locality(_) => match (hash, &mut self.assignments) {
                (Some(hash), Some(assignments)) => {
                    let slots = &self.slots;
                    assignments.choose(&self.candidates, hash, |slot| slots[slot as usize].generation)
                }
                _ => fewest_requests(candidates, &mut self.random),
            },
        };
        chosen.map(|candidate| candidate.slot)
    }

    /// Puts a backend into its slot, the one that it has or a free one.
    fn seat(&mut self, state: &Arc<BackendState>, config: &BackendConfig, pool: &PoolConfig) -> u32 {
        let has = |slot: &Slot| slot.backend.as_ref().is_some_and(|seated| Arc::ptr_eq(&seated.state, state));
        let token = pool.sticky.as_ref().map(|sticky| Token::new(sticky, &pool.name, &config.name));
        if let Some(at) = self.slots.iter().position(has) {
            if let Some(seated) = &mut self.slots[at].backend {
                (seated.config, seated.is_member, seated.token) = (config.clone(), true, token);
            }
            return at as u32;
        }
        let free = self.slots.iter().position(|slot| slot.backend.is_none()).unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, backend: None });
            self.standings.push(0);
            self.slots.len() - 1
        });
        self.standings[free] = 0;
        let slot = &mut self.slots[free];
        slot.generation = slot.generation.wrapping_add(1);
        slot.backend = Some(Seated {
            state: state.clone(),
            config: config.clone(),
            is_member: true,
            token,
            key: keyed(config.name.as_bytes(), 3),
            in_flight: 0,
            connections: 0,
        });
        free as u32
    }

    /// Frees a slot whose backend has left and has nothing any more.
    fn release(&mut self, slot: u32) {
        let Some(slot) = self.slots.get_mut(slot as usize) else { return };
        let is_done = |seated: &Seated| !seated.is_member && seated.in_flight == 0 && seated.connections == 0;
        if slot.backend.as_ref().is_some_and(is_done) {
            slot.backend = None;
        }
    }

    /// Moves the round on to somewhere: engines that start together must not all start with the same backend.
    fn start_round(&mut self) {
        let turns = self.random.below(self.positions.len() as u64 * 4);
        for _ in 0..turns {
            if self.pool.config().strategy == Strategy::RoundRobin && self.gather(&[], true, 0).is_ok() {
                let _ = next_in_round(self.candidates.as_slice(), &mut self.standings);
            }
        }
    }

    fn index(&self, slot: u32) -> BackendIndex {
        BackendIndex { slot, generation: self.slots[slot as usize].generation }
    }

    fn seated(&self, index: BackendIndex) -> Option<&Seated> {
        let slot = self.slots.get(index.slot as usize).filter(|slot| slot.generation == index.generation)?;
        slot.backend.as_ref()
    }

    fn seated_mut(&mut self, index: BackendIndex) -> Option<&mut Seated> {
        let slot = self.slots.get_mut(index.slot as usize).filter(|slot| slot.generation == index.generation)?;
        slot.backend.as_mut()
    }
}

impl Seated {
    /// A backend whose connections are all made has room as long as one of them has.
    fn is_full(&self) -> bool {
        let most = self.config.max_connections.saturating_mul(self.config.streams).min(self.config.max_requests);
        self.in_flight >= most
    }

    fn candidate(&self, slot: u32, slow_start_ns: u64, now: u64) -> Candidate {
        Candidate {
            slot,
            weight: self.state.weight(self.config.weight, slow_start_ns, now),
            in_flight: u64::from(self.in_flight),
            active: self.state.active(),
            latency: self.state.latency(),
            key: self.key,
        }
    }
}

/// Of two backends' reasons the one that came closer to a choice: it is what a caller can do something about.
fn nearer(one: Unavailable, other: Unavailable) -> Unavailable {
    let rank = |why: &Unavailable| match why {
        Unavailable::Empty => 0,
        Unavailable::Unhealthy => 1,
        Unavailable::Excluded => 2,
        Unavailable::Full => 3,
    };
    std::cmp::max_by_key(one, other, rank)
}

impl fmt::Debug for Balancer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balancer").field("pool", &self.pool).finish_non_exhaustive()
    }
}

/// Other engines do not count what this one had in flight for ever.
impl Drop for Balancer {
    fn drop(&mut self) {
        for seated in self.slots.iter().filter_map(|slot| slot.backend.as_ref()) {
            seated.state.withdrawn(u64::from(seated.in_flight));
        }
    }
}
