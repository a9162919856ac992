//! What the two HTTP modules of an engine share: pools, the connections to their backends, and what waits for one.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use afpa_balancing::{
    Admission, BackendAddress, BackendIndex, Balancer, Choice, FailedAttempt, FailureKind, Outcome, PoolState, Retries,
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
    pools: Vec<EnginePool>,
    /// Raised when pools are replaced: what began under older ones is counted no more, and its connections end.
    generation: u32,
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
    pub state: Arc<PoolState>,
    /// Whether and how often an attempt may fail.
    pub retries: afpa_balancing::RetryConfig,
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
    plan: PoolPlan,
    balancer: Balancer,
    retries: Retries,
    /// By backend; the most recently used is the last.
    idle: Vec<Vec<Notice>>,
    waiting: VecDeque<Job>,
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
    /// Backends that failed before.
    tried: Vec<BackendIndex>,
    began: Time,
    /// Until when it may wait for a connection.
    deadline: Time,
}

/// A backend, in one version of the pools.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pool: usize,
    backend: BackendIndex,
    generation: u32,
}

impl Shared {
    /// For engine number `engine`; connections to backends belong to the module `fetcher`.
    pub fn new(engine: u32, handle: EngineHandle, fetcher: Owner, plans: &[PoolPlan]) -> Shared {
        let mut shared = Shared {
            engine,
            handle,
            fetcher,
            pools: Vec::new(),
            generation: 0,
            opening: HashMap::new(),
            next_tag: KEEPER + 1,
            assigned: HashMap::new(),
            keeper: None,
        };
        shared.pools = plans.iter().map(|plan| shared.pool(plan)).collect();
        shared
    }

    /// Replaces the pools. Requests that wait for a connection of one that is gone are refused; those under way end
    /// as they began.
    pub fn reload(&mut self, plans: &[PoolPlan]) {
        self.generation = self.generation.wrapping_add(1);
        let pools = plans.iter().map(|plan| self.pool(plan)).collect();
        let old: Vec<EnginePool> = std::mem::replace(&mut self.pools, pools);
        for EnginePool { plan, waiting, .. } in old {
            let name = &plan.state.config().name;
            let Some(pool) = self.pools.iter_mut().find(|pool| pool.plan.state.config().name == *name) else { continue };
            pool.waiting = waiting;
        }
    }

    fn pool(&self, plan: &PoolPlan) -> EnginePool {
        EnginePool {
            balancer: Balancer::new(plan.state.clone(), u64::from(self.engine)),
            retries: Retries::new(plan.retries),
            idle: vec![Vec::new(); plan.state.backends().len()],
            waiting: VecDeque::new(),
            plan: plan.clone(),
        }
    }

    /// Who sits at `notice`.
    pub(crate) fn seat(&self, notice: Notice) -> Seat {
        Seat { notice, engine: self.engine, handle: self.handle.clone() }
    }

    /// Has `flight` fetched.
    pub(crate) fn fetch(&mut self, flight: Arc<Flight>, outgoing: Rc<Outgoing>, desk: &mut Desk<'_>) {
        let now = desk.now();
        let deadline = now.after(outgoing.times.connect);
        if let Some(pool) = self.pools.get_mut(outgoing.pool) {
            pool.retries.began(now.0);
        }
        let attempt = flight.new_attempt();
        self.start(Job { flight, outgoing, attempt, tried: Vec::new(), began: now, deadline }, desk);
    }

    /// Sends a job to a backend, lets it wait, or refuses it.
    fn start(&mut self, job: Job, desk: &mut Desk<'_>) {
        let now = desk.now();
        let Some(pool) = self.pools.get_mut(job.outgoing.pool) else {
            return self.refuse(&job, FetchError::Unavailable, desk);
        };
        match pool.admit(&job, now) {
            Ok(backend) => self.send_to(backend, job, desk),
            Err(Wait::ForRoom) if pool.waiting.len() < pool.plan.pending => {
                pool.waiting.push_back(job);
                self.wake_keeper(desk);
            }
            Err(_) => self.refuse(&job, FetchError::Unavailable, desk),
        }
    }

    /// Takes an idle connection, or opens one.
    fn send_to(&mut self, backend: BackendIndex, mut job: Job, desk: &mut Desk<'_>) {
        let now = desk.now();
        let index = job.outgoing.pool;
        let pool = &mut self.pools[index];
        pool.balancer.began(backend, now.0);
        job.began = now;
        let needs_its_own = !job.outgoing.preamble.is_empty();
        if !needs_its_own && let Some(notice) = pool.idle[backend.index()].pop() {
            self.assigned.insert(notice, job);
            desk.notify(notice);
            return;
        }
        let address = match pool.plan.state.backends()[backend.index()].address() {
            BackendAddress::Inet(address) => Address::Inet(*address),
            BackendAddress::Unix(path) => Address::Unix(path.clone()),
            // Resolved before it came here.
            BackendAddress::Host(..) => return self.refuse(&job, FetchError::Unavailable, desk),
        };
        pool.balancer.connected(backend);
        let place = Place { pool: index, backend, generation: self.generation };
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

    /// The connection `tag` cannot be opened.
    pub(crate) fn unreachable(&mut self, tag: u64, error: Option<FetchError>, desk: &mut Desk<'_>) {
        let Some((job, place)) = self.opened(tag) else { return };
        self.disconnected(place, desk);
        match error {
            Some(error) => self.failed(job, place, error, false, desk),
            // Want of room on this side says nothing of the backend.
            None => {
                self.ended(&job, place, Outcome::Abandoned, desk.now());
                self.refuse(&job, FetchError::Unavailable, desk);
            }
        }
    }

    /// An attempt ended without a response that can be passed on. `was_sent`: the backend may have seen the request.
    pub(crate) fn failed(&mut self, mut job: Job, place: Place, error: FetchError, was_sent: bool, desk: &mut Desk<'_>) {
        let now = desk.now();
        self.ended(&job, place, failure(error, was_sent), now);
        if !job.flight.attempt_failed(job.attempt) {
            // Another attempt is under way, or has won.
            return;
        }
        let same_pools = place.generation == self.generation;
        let may_repeat = error.may_retry() && job.flight.is_untouched() && job.outgoing.may_be_repeated(was_sent);
        let granted = may_repeat
            && self.pools.get_mut(job.outgoing.pool).is_some_and(|pool| {
                let failed = FailedAttempt { attempts: job.tried.len() as u32 + 1, failure: failure_kind(error, was_sent) };
                pool.retries.may_retry(&failed, now.0)
            });
        if !granted {
            return self.refuse(&job, error, desk);
        }
        if same_pools {
            job.tried.push(place.backend);
        } else {
            job.tried.clear();
        }
        job.attempt = job.flight.new_attempt();
        self.start(job, desk);
    }

    /// Starts a second attempt beside one that is slow. Whichever answers first is believed.
    pub(crate) fn hedge(&mut self, flight: &Arc<Flight>, outgoing: &Rc<Outgoing>, desk: &mut Desk<'_>) {
        let now = desk.now();
        let attempt = flight.new_attempt();
        let deadline = now.after(outgoing.times.connect);
        let (flight, outgoing) = (flight.clone(), outgoing.clone());
        self.start(Job { flight, outgoing, attempt, tried: Vec::new(), began: now, deadline }, desk);
    }

    fn refuse(&mut self, job: &Job, error: FetchError, desk: &mut Desk<'_>) {
        job.flight.end(End::Failed(error), desk, self.engine);
    }

    /// An attempt ended, and its backend is judged by it.
    pub(crate) fn ended(&mut self, job: &Job, place: Place, outcome: Outcome, now: Time) {
        if place.generation != self.generation {
            return;
        }
        let pool = &mut self.pools[place.pool];
        let latency = now.since(job.began).as_nanos() as u64;
        for ejection in pool.balancer.ended(place.backend, outcome, latency, now.0) {
            pool.ejected(&ejection);
        }
    }

    /// A connection that carried a request is free: it takes the next that waits, or waits itself. `None`: it is not
    /// to be kept.
    pub(crate) fn release(&mut self, notice: Notice, place: Place, requests: u32, desk: &mut Desk<'_>) -> Option<Free> {
        if place.generation != self.generation {
            return None;
        }
        let now = desk.now();
        let pool = &mut self.pools[place.pool];
        let worn = pool.plan.requests > 0 && requests >= pool.plan.requests;
        if worn || pool.plan.state.config().backends[place.backend.index()].draining {
            return None;
        }
        let next = pool.waiting.iter().position(|job| job.outgoing.preamble.is_empty() && job.may_use(place.backend));
        if let Some(mut job) = next.and_then(|index| pool.waiting.remove(index)) {
            pool.balancer.began(place.backend, now.0);
            job.began = now;
            return Some(Free::Job(job));
        }
        let idle = &mut pool.idle[place.backend.index()];
        if idle.len() >= pool.plan.idle {
            return None;
        }
        idle.push(notice);
        Some(Free::Idle(pool.plan.idle_timeout))
    }

    /// An idle connection is to end. `false`: too late, it has something to do.
    pub(crate) fn retire(&mut self, notice: Notice, place: Place) -> bool {
        if self.assigned.contains_key(&notice) {
            return false;
        }
        if place.generation == self.generation {
            self.pools[place.pool].idle[place.backend.index()].retain(|other| *other != notice);
        }
        true
    }

    /// A connection is gone.
    pub(crate) fn disconnected(&mut self, place: Place, desk: &mut Desk<'_>) {
        if place.generation != self.generation {
            return;
        }
        let pool = &mut self.pools[place.pool];
        pool.balancer.disconnected(place.backend);
        // There may be room now for one that waits.
        if let Some(job) = pool.waiting.pop_front() {
            self.start(job, desk);
        }
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
        let mut refused = Vec::new();
        for pool in &mut self.pools {
            while pool.waiting.front().is_some_and(|job| job.deadline <= now || job.flight.is_over()) {
                refused.extend(pool.waiting.pop_front());
            }
        }
        for job in refused {
            self.refuse(&job, FetchError::Unavailable, desk);
        }
        let opening = self.opening.values().map(|opening| opening.deadline);
        opening.chain(self.pools.iter().flat_map(|pool| &pool.waiting).map(|job| job.deadline)).min()
    }

    /// How many wait for a connection, by pool.
    pub fn waiting(&self) -> impl Iterator<Item = usize> + '_ {
        self.pools.iter().map(|pool| pool.waiting.len())
    }

    fn wake_keeper(&self, desk: &mut Desk<'_>) {
        if let Some(keeper) = self.keeper {
            desk.notify(keeper);
        }
    }
}

/// What a free connection does.
pub(crate) enum Free {
    Job(Job),
    /// It waits, at most so long.
    Idle(Duration),
}

/// Why a job is not sent now.
enum Wait {
    ForRoom,
    InVain,
}

impl EnginePool {
    fn admit(&mut self, job: &Job, now: Time) -> Result<BackendIndex, Wait> {
        let Outgoing { hash, sticky, .. } = &*job.outgoing;
        let choice = Choice { hash: *hash, sticky: sticky.as_deref(), excluded: &job.tried };
        match self.balancer.admit(&choice, now.0) {
            Admission::Go(backend) => Ok(backend),
            Admission::Wait => Err(Wait::ForRoom),
            Admission::Refuse(_) => Err(Wait::InVain),
        }
    }

    fn ejected(&self, ejection: &afpa_balancing::Ejection) {
        let _ = ejection;
    }
}

impl Job {
    fn may_use(&self, backend: BackendIndex) -> bool {
        !self.tried.contains(&backend) && self.outgoing.hash.is_none() && self.outgoing.sticky.is_none()
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
