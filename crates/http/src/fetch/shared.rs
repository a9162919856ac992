//! What the two HTTP modules of an engine share: pools, the connections to their backends, and what waits for one.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use afpa_balancing::{
    Admission, BackendAddress, BackendIndex, Balancer, Choice, FailedAttempt, FailureKind, HedgeConfig, Hedgeable,
    Hedging, Outcome, PoolState, Published, Retries, RetryConfig, Unavailable, Waiting, is_idempotent,
};
use afpa_engine::seam::Address;
use afpa_engine::{Desk, EngineHandle, Notice, Open, Owner, Time};

use super::error::FetchError;
use super::flight::{End, Flight, Seat};
use super::outgoing::Outgoing;

/// The tag of the work that gives up what takes too long.
pub const KEEPER: u64 = 0;

/// One engine's pools, and what is under way to their backends.
pub struct Shared {
    pub(crate) engine: u32,
    pub(crate) handle: EngineHandle,
    /// The module that owns connections to backends.
    pub(crate) fetcher: Owner,
    /// All pools that there ever were.
    pools: Vec<EnginePool>,
    /// Those that there are, by their numbers in the configuration.
    by_number: Vec<usize>,
    /// Connections that are being opened, by tag.
    opening: HashMap<u64, Opening>,
    next_tag: u64,
    /// What idle connections are to take up.
    assigned: HashMap<Notice, Job>,
    keeper: Option<Notice>,
}

/// A pool as a configuration has it.
#[derive(Clone)]
pub struct PoolPlan {
    /// Its backends, and what all engines know of them.
    pub state: Arc<Published<PoolState>>,
    /// Whether and how often an attempt may fail.
    pub retries: RetryConfig,
    /// When a slow attempt is made again beside itself.
    pub hedge: Option<HedgeConfig>,
    /// The most idle connections that an engine keeps to one backend.
    pub idle: usize,
    /// How long an idle connection is kept.
    pub idle_timeout: Duration,
    /// The most requests on one connection; zero for any number.
    pub requests: u32,
    /// The most requests of an engine that wait for a connection.
    pub pending: usize,
}

/// One engine's part of a pool.
struct EnginePool {
    name: String,
    plan: PoolPlan,
    /// Which state of it the balancer has.
    generation: u64,
    balancer: Balancer,
    retries: Retries,
    hedging: Option<Hedging>,
    /// The most recently used is the last.
    idle: HashMap<BackendIndex, Vec<Notice>>,
    waiting: Waiting<Job>,
}

struct Opening {
    job: Job,
    place: Place,
    deadline: Time,
}

/// One attempt to get a response from one backend.
pub(crate) struct Job {
    pub(crate) flight: Arc<Flight>,
    pub(crate) outgoing: Rc<Outgoing>,
    /// Tells attempts for one flight apart.
    pub(crate) attempt: u32,
    /// The engine's pool.
    pool: usize,
    /// A connection that had carried others was closed under it: it gets one of its own.
    is_afresh: bool,
    /// Backends that failed before.
    tried: Vec<BackendIndex>,
    /// How often it failed, and how the last time.
    failures: u32,
    failure: Option<FetchError>,
    began: Time,
    /// Until when it may wait for a connection.
    deadline: Time,
}

/// A backend of a pool of an engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pool: usize,
    backend: BackendIndex,
}

/// What a free connection does.
pub(crate) enum Free {
    Job(Job),
    /// It waits, at most so long.
    Idle(Duration),
}

impl Shared {
    /// For engine number `engine`.
    pub fn new(engine: u32, handle: EngineHandle, plans: &[PoolPlan], now: Time) -> Shared {
        let mut shared = Shared {
            engine,
            handle,
            fetcher: Owner::default(),
            pools: Vec::new(),
            by_number: Vec::new(),
            opening: HashMap::new(),
            next_tag: KEEPER + 1,
            assigned: HashMap::new(),
            keeper: None,
        };
        shared.reload(plans, now);
        shared
    }

    /// Connections to backends belong to the module `fetcher`: call it before the engine runs.
    pub fn is_owned_by(&mut self, fetcher: Owner) {
        self.fetcher = fetcher;
    }

    /// Takes over the pools of a configuration. What is under way to backends that leave ends as it began.
    pub fn reload(&mut self, plans: &[PoolPlan], now: Time) {
        self.by_number.clear();
        for plan in plans {
            let state = plan.state.latest();
            let known = self.pools.iter().position(|pool| pool.name == state.config().name);
            let place = known.unwrap_or(self.pools.len());
            match known {
                Some(place) => self.pools[place].change(plan, now),
                None => self.pools.push(EnginePool::new(plan, u64::from(self.engine), now)),
            }
            self.by_number.push(place);
        }
    }

    /// Attempts of this engine that have no connection yet: they wait for one, or it is being opened.
    pub fn under_way(&self) -> usize {
        let waiting: usize = self.pools.iter().map(|pool| pool.waiting.len()).sum();
        self.opening.len() + self.assigned.len() + waiting
    }

    /// How many of them wait, by the name of the pool.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (&str, usize)> {
        self.pools.iter().map(|pool| (&*pool.name, pool.waiting.len()))
    }

    /// Connections of this engine to backends.
    pub fn connections(&self) -> u32 {
        let of_pool = |pool: &EnginePool| -> u32 {
            pool.balancer.indices().map(|backend| pool.balancer.connections(backend)).sum()
        };
        self.pools.iter().map(of_pool).sum()
    }

    /// Who sits at `notice`.
    pub(crate) fn seat(&self, notice: Notice) -> Seat {
        Seat { notice, engine: self.engine, handle: self.handle.clone() }
    }

    /// Has `flight` fetched. After how long it may be hedged, if it may.
    pub(crate) fn fetch(
        &mut self,
        flight: &Arc<Flight>,
        outgoing: &Rc<Outgoing>,
        desk: &mut Desk<'_>,
    ) -> Option<Duration> {
        let now = desk.now();
        let Some(place) = self.pool_of(outgoing) else {
            flight.end(End::Failed(FetchError::Unavailable), desk, self.engine);
            outgoing.close(flight);
            return None;
        };
        let pool = &mut self.pools[place];
        pool.retries.request(now.0);
        let hedge_after = pool.hedging.as_mut().and_then(|hedging| hedging.request(now.0));
        self.begin(place, flight, outgoing, desk);
        hedge_after.map(Duration::from_nanos)
    }

    /// Starts a second attempt beside one that is slow. Whichever answers first is believed.
    pub(crate) fn hedge(&mut self, flight: &Arc<Flight>, outgoing: &Rc<Outgoing>, desk: &mut Desk<'_>) {
        let Some(place) = self.pool_of(outgoing) else { return };
        let request = Hedgeable {
            method: outgoing.method.name().as_bytes(),
            has_body: outgoing.upload.is_some(),
            responded: !flight.is_untouched(),
            hedged: flight.attempts() > 1,
        };
        let may = self.pools[place].hedging.as_mut().is_some_and(|hedging| hedging.may_hedge(&request, desk.now().0));
        if may {
            self.begin(place, flight, outgoing, desk);
        }
    }

    /// The pool that a request is for. Its number is that of the configuration under which the request was routed, and
    /// may be another pool's by now.
    fn pool_of(&self, outgoing: &Outgoing) -> Option<usize> {
        let plan = outgoing.routed.relay.relay.pools.get(outgoing.pool)?;
        let state = plan.state.latest();
        let is_it = |place: &usize| self.pools[*place].name == state.config().name;
        let by_number = self.by_number.get(outgoing.pool).copied().filter(is_it);
        by_number.or_else(|| (0..self.pools.len()).find(is_it))
    }

    fn begin(&mut self, pool: usize, flight: &Arc<Flight>, outgoing: &Rc<Outgoing>, desk: &mut Desk<'_>) {
        let now = desk.now();
        let deadline = now.after(outgoing.times.connect);
        let (attempt, flight, outgoing) = (flight.new_attempt(), flight.clone(), outgoing.clone());
        self.start(
            Job {
                flight,
                outgoing,
                attempt,
                pool,
                is_afresh: false,
                tried: Vec::new(),
                failures: 0,
                failure: None,
                began: now,
                deadline,
            },
            false,
            desk,
        );
    }

    /// Sends a job to a backend, lets it wait, or refuses it. One that `has_waited` goes before those who wait.
    fn start(&mut self, job: Job, has_waited: bool, desk: &mut Desk<'_>) {
        let now = desk.now();
        let pool = &mut self.pools[job.pool];
        pool.refresh();
        let Outgoing { hash, sticky, .. } = &*job.outgoing;
        let choice = Choice { hash: *hash, sticky: sticky.as_deref(), excluded: &job.tried };
        let nobody = Waiting::new(pool.plan.pending);
        let before = if has_waited { &nobody } else { &pool.waiting };
        match pool.balancer.admit(&choice, before, now.0) {
            Admission::Go(backend) => self.send_to(backend, job, desk),
            Admission::Wait => {
                let deadline = job.deadline;
                match pool.waiting.push(job, deadline.0) {
                    Ok(_) => self.wake_keeper(desk),
                    Err(job) => self.refuse(&job, FetchError::Unavailable, desk),
                }
            }
            // It was the only one that works: its connection may have been one that it had just closed.
            Admission::Refuse(Unavailable::Excluded) if !job.tried.is_empty() => {
                let mut job = job;
                job.tried.clear();
                self.start(job, has_waited, desk);
            }
            Admission::Refuse(_) => self.refuse(&job, job.failure.unwrap_or(FetchError::Unavailable), desk),
        }
    }

    /// Takes an idle connection, or opens one.
    fn send_to(&mut self, backend: BackendIndex, mut job: Job, desk: &mut Desk<'_>) {
        let now = desk.now();
        let pool = &mut self.pools[job.pool];
        pool.balancer.began(backend);
        job.began = now;
        let place = Place { pool: job.pool, backend };
        let needs_its_own = !job.outgoing.preamble.is_empty() || job.is_afresh;
        if !needs_its_own && let Some(notice) = pool.idle.get_mut(&backend).and_then(Vec::pop) {
            self.assigned.insert(notice, job);
            desk.notify(notice);
            return;
        }
        let address = match pool.balancer.state(backend).map(|state| state.address()) {
            Some(BackendAddress::Inet(address)) => Address::Inet(*address),
            Some(BackendAddress::Unix(path)) => Address::Unix(path.clone()),
            // Names are resolved before they come here.
            Some(BackendAddress::Host(..)) | None => {
                self.ended(&job, place, Outcome::Abandoned, now);
                return self.refuse(&job, FetchError::Unavailable, desk);
            }
        };
        pool.balancer.connected(backend);
        let (tag, deadline) = (self.next_tag, now.after(job.outgoing.times.connect));
        self.next_tag += 1;
        self.opening.insert(tag, Opening { job, place, deadline });
        desk.open(Open::Stream(address), self.fetcher, tag);
        self.wake_keeper(desk);
    }

    /// What the connection `tag` was opened for. `None`: it took too long.
    pub(crate) fn opened(&mut self, tag: u64) -> Option<(Job, Place)> {
        self.opening.remove(&tag).map(|Opening { job, place, .. }| (job, place))
    }

    /// What the idle connection at `notice` is to take up.
    pub(crate) fn assignment(&mut self, notice: Notice) -> Option<Job> {
        if self.assigned.is_empty() { None } else { self.assigned.remove(&notice) }
    }

    /// The connection `tag` cannot be opened. Without an error, for a reason that says nothing of the backend.
    pub(crate) fn unreachable(&mut self, tag: u64, error: Option<FetchError>, desk: &mut Desk<'_>) {
        let Some((job, place)) = self.opened(tag) else { return };
        match error {
            Some(error) => self.failed(job, place, error, false, desk),
            None => {
                self.ended(&job, place, Outcome::Abandoned, desk.now());
                self.refuse(&job, FetchError::Unavailable, desk);
            }
        }
        // Whoever waits finds room only when the attempt counts no more.
        self.disconnected(place, desk);
    }

    /// An idle connection was found closed before anything was sent on it: that says nothing of the backend.
    pub(crate) fn reassign(&mut self, job: Job, place: Place, desk: &mut Desk<'_>) {
        self.ended(&job, place, Outcome::Abandoned, desk.now());
        self.start(job, true, desk);
    }

    /// A connection that had carried others ended before it said anything to this request: most likely the backend had
    /// closed it before, which says nothing of the backend. What may be repeated is (RFC 9112 §9.3.1), once, on a
    /// connection of its own, whatever is set for retries.
    ///
    /// # Errors
    /// The job, if it may not be repeated.
    pub(crate) fn again_afresh(&mut self, mut job: Job, place: Place, desk: &mut Desk<'_>) -> Result<(), Job> {
        let is_whole = job.outgoing.upload.as_ref().is_none_or(|upload| upload.borrow().is_whole());
        let is_harmless = is_idempotent(job.outgoing.method.name().as_bytes());
        if job.is_afresh || !is_whole || !is_harmless || !job.flight.is_untouched() || !job.flight.wants(job.attempt) {
            return Err(job);
        }
        job.is_afresh = true;
        job.deadline = desk.now().after(job.outgoing.times.connect);
        self.reassign(job, place, desk);
        Ok(())
    }

    /// An attempt ended without a response that can be passed on. `was_sent`: the backend may have seen the request.
    pub(crate) fn failed(
        &mut self,
        mut job: Job,
        place: Place,
        error: FetchError,
        was_sent: bool,
        desk: &mut Desk<'_>,
    ) {
        let now = desk.now();
        self.ended(&job, place, failure(error, was_sent), now);
        if !job.flight.attempt_failed(job.attempt) {
            // Another attempt is under way, or has won.
            return;
        }
        if !error.may_retry() || !self.may_try_again(&job, failure_kind(error, was_sent), was_sent, now) {
            return self.refuse(&job, error, desk);
        }
        job.failure = Some(error);
        self.try_again(job, place, desk);
    }

    /// Whether a response with this status is better asked for elsewhere, and may be. It counts as a try.
    pub(crate) fn may_try_elsewhere(&mut self, job: &Job, status: u16, now: Time) -> bool {
        status >= 500 && self.may_try_again(job, FailureKind::Status(status), true, now)
    }

    /// Asks another backend, after a response that is not passed on.
    pub(crate) fn try_elsewhere(&mut self, job: Job, place: Place, status: u16, desk: &mut Desk<'_>) {
        self.ended(&job, place, Outcome::Failure(FailureKind::Status(status)), desk.now());
        if job.flight.attempt_failed(job.attempt) {
            self.try_again(job, place, desk);
        }
    }

    fn may_try_again(&mut self, job: &Job, failure: FailureKind, was_sent: bool, now: Time) -> bool {
        let failed = FailedAttempt {
            method: job.outgoing.method.name().as_bytes(),
            failure,
            attempts: job.failures + 1,
            sent: was_sent,
            has_body: job.outgoing.upload.as_ref().is_none_or(|upload| upload.borrow().is_whole()),
            responded: !job.flight.is_untouched(),
        };
        self.pools[job.pool].retries.again(&failed, now.0).is_some()
    }

    fn try_again(&mut self, mut job: Job, place: Place, desk: &mut Desk<'_>) {
        job.tried.push(place.backend);
        job.failures += 1;
        job.attempt = job.flight.new_attempt();
        job.deadline = desk.now().after(job.outgoing.times.connect);
        self.start(job, true, desk);
    }

    fn refuse(&mut self, job: &Job, error: FetchError, desk: &mut Desk<'_>) {
        job.flight.end(End::Failed(error), desk, self.engine);
        job.outgoing.close(&job.flight);
    }

    /// An attempt was not begun, since nobody waited for it. Whoever came meanwhile is not to wait for it either.
    pub(crate) fn abandoned(&mut self, job: &Job, place: Place, desk: &mut Desk<'_>) {
        self.ended(job, place, Outcome::Abandoned, desk.now());
        if job.flight.attempt_failed(job.attempt) {
            self.refuse(job, FetchError::Abandoned, desk);
        }
    }

    /// The connection of a response that had come to its end is gone before the cache had it. An object that it
    /// validated is good nevertheless.
    pub(crate) fn lost(&mut self, job: &Job, place: Place, validates: bool, desk: &mut Desk<'_>) {
        self.ended(job, place, Outcome::Success, desk.now());
        let validated = job.outgoing.keeping.as_ref().and_then(|keeping| keeping.validates.clone());
        let end = validated.filter(|_| validates).map_or(End::Failed(FetchError::CutOff), End::Object);
        job.flight.end(end, desk, self.engine);
        job.outgoing.close(&job.flight);
    }

    /// An attempt ended, and its backend is judged by it.
    pub(crate) fn ended(&mut self, job: &Job, place: Place, outcome: Outcome, now: Time) {
        let pool = &mut self.pools[place.pool];
        let latency = now.since(job.began).as_nanos() as u64;
        if let (Outcome::Success, Some(hedging)) = (outcome, &mut pool.hedging) {
            hedging.answered(latency);
        }
        // Ejections are counted by their backends.
        let _ = pool.balancer.ended(place.backend, outcome, latency, now.0);
    }

    /// A connection that carried a request is free: it takes the next that waits, or waits itself. `None`: it is not
    /// to be kept.
    pub(crate) fn release(&mut self, notice: Notice, place: Place, requests: u32, desk: &mut Desk<'_>) -> Option<Free> {
        let now = desk.now();
        let pool = &mut self.pools[place.pool];
        let is_worn = pool.plan.requests > 0 && requests >= pool.plan.requests;
        if is_worn || !pool.balancer.keeps_connections(place.backend) {
            return None;
        }
        while let Some(mut job) = pool.waiting.pop() {
            if job.flight.is_over() {
                continue;
            }
            let fits = !job.is_afresh
                && job.outgoing.preamble.is_empty()
                && job.outgoing.hash.is_none()
                && job.outgoing.sticky.is_none();
            if !fits || job.tried.contains(&place.backend) {
                let idle = pool.keep_idle(notice, place.backend);
                self.start(job, true, desk);
                return idle;
            }
            pool.balancer.began(place.backend);
            job.began = now;
            return Some(Free::Job(job));
        }
        pool.keep_idle(notice, place.backend)
    }

    /// An idle connection is to end.
    pub(crate) fn retire(&mut self, notice: Notice, place: Place) {
        if let Some(idle) = self.pools[place.pool].idle.get_mut(&place.backend) {
            idle.retain(|other| *other != notice);
        }
    }

    /// A connection is gone.
    pub(crate) fn disconnected(&mut self, place: Place, desk: &mut Desk<'_>) {
        let pool = &mut self.pools[place.pool];
        pool.balancer.disconnected(place.backend);
        if pool.idle.get(&place.backend).is_some_and(Vec::is_empty) && pool.balancer.state(place.backend).is_none() {
            pool.idle.remove(&place.backend);
        }
        // There may be room now for one that waits.
        if let Some(job) = pool.waiting.pop() {
            self.start(job, true, desk);
        }
    }

    /// Octets that went to a backend and came from it.
    pub(crate) fn transferred(&self, place: Place, sent: u64, received: u64) {
        self.pools[place.pool].balancer.transferred(place.backend, sent, received);
    }

    /// The Set-Cookie value that keeps a client with the backend that answered it.
    pub(crate) fn cookie(&self, place: Place, received: Option<&[u8]>) -> Option<Vec<u8>> {
        let mut value = Vec::new();
        self.pools[place.pool].balancer.set_cookie(place.backend, received, &mut value).then_some(value)
    }

    /// The exchange that keeps watch.
    pub(crate) fn keeper_is(&mut self, notice: Notice) {
        self.keeper = Some(notice);
    }

    /// Gives up what waited too long; when to look again.
    pub(crate) fn keep_watch(&mut self, desk: &mut Desk<'_>) -> Option<Time> {
        let now = desk.now();
        let late: Vec<u64> =
            self.opening.iter().filter(|(_, opening)| opening.deadline <= now).map(|(&tag, _)| tag).collect();
        for tag in late {
            self.unreachable(tag, Some(FetchError::TimedOut), desk);
        }
        for place in 0..self.pools.len() {
            while let Some(job) = self.pools[place].waiting.expired(now.0) {
                self.refuse(&job, FetchError::Unavailable, desk);
            }
        }
        let opening = self.opening.values().map(|opening| opening.deadline);
        let waiting = self.pools.iter().filter_map(|pool| pool.waiting.next_deadline()).map(Time);
        opening.chain(waiting).min()
    }

    fn wake_keeper(&self, desk: &mut Desk<'_>) {
        if let Some(keeper) = self.keeper {
            desk.notify(keeper);
        }
    }
}

impl EnginePool {
    fn new(plan: &PoolPlan, seed: u64, now: Time) -> EnginePool {
        let mut generation = 0;
        let state = plan.state.newer(&mut generation).unwrap_or_else(|| plan.state.latest());
        EnginePool {
            name: state.config().name.clone(),
            balancer: Balancer::new(state, seed),
            generation,
            retries: Retries::new(plan.retries.clone(), now.0),
            hedging: plan.hedge.map(|config| Hedging::new(config, now.0)),
            idle: HashMap::new(),
            waiting: Waiting::new(plan.pending),
            plan: plan.clone(),
        }
    }

    fn change(&mut self, plan: &PoolPlan, now: Time) {
        self.plan = plan.clone();
        self.generation = 0;
        self.refresh();
        self.retries = Retries::new(plan.retries.clone(), now.0);
        self.hedging = plan.hedge.map(|config| Hedging::new(config, now.0));
        self.waiting.set_limit(plan.pending);
    }

    /// Takes over backends that came and went.
    fn refresh(&mut self) {
        if let Some(state) = self.plan.state.newer(&mut self.generation) {
            self.balancer.update(state);
        }
    }

    fn keep_idle(&mut self, notice: Notice, backend: BackendIndex) -> Option<Free> {
        let idle = self.idle.entry(backend).or_default();
        if idle.len() >= self.plan.idle {
            return None;
        }
        idle.push(notice);
        Some(Free::Idle(self.plan.idle_timeout))
    }
}

fn failure(error: FetchError, was_sent: bool) -> Outcome {
    match error {
        FetchError::Abandoned | FetchError::RequestCutOff | FetchError::Unavailable => Outcome::Abandoned,
        _ => Outcome::Failure(failure_kind(error, was_sent)),
    }
}

fn failure_kind(error: FetchError, was_sent: bool) -> FailureKind {
    match error {
        FetchError::TimedOut => FailureKind::Timeout,
        FetchError::Malformed => FailureKind::Malformed,
        FetchError::Unreachable if !was_sent => FailureKind::Connect,
        _ => FailureKind::Reset,
    }
}
