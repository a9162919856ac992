//! Pools of backends, found by name.

use std::fmt;
use std::time::Duration;

use afpa_engine::Time;

use super::backend::{Backend, BackendConfig, End};
use super::choice::{self, BackendSet, Balance};
use super::flights::Attempt;
use super::health::{HealthChange, HealthConfig, HealthState};
use super::query::Ask;
use crate::message::Name;

/// The most backends of a pool.
pub const MAX_BACKENDS: usize = 128;
/// The most pools.
pub const MAX_POOLS: usize = 1 << 16;

/// A pool as it is configured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PoolConfig {
    /// Its name; unique.
    pub name: String,
    /// Its backends: 1 to [`MAX_BACKENDS`].
    pub backends: Vec<BackendConfig>,
    /// How one is chosen.
    pub balance: Balance,
    /// How long an answer to one attempt is waited for; 2 s by default.
    pub timeout: Duration,
    /// How many times one question is asked before it is given up; 3 by default. Asking the same backend again over
    /// TCP, without EDNS or with a new cookie belongs to the attempt.
    pub attempts: u32,
    /// How long a question is worked on, all attempts together; 5 s by default: clients wait no longer.
    pub patience: Duration,
    /// What becomes of clients' subnets.
    pub subnet: SubnetPolicy,
    /// Whether the letters of questions get a case drawn by lot, which answers must repeat; on by default.
    pub mixed_case: bool,
    /// How its backends are checked.
    pub health: HealthConfig,
}

/// What becomes of the subnet that a client sent (RFC 7871).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SubnetPolicy {
    /// Backends do not see it.
    #[default]
    Strip,
    /// Backends see it, with at most so many bits of an address.
    Pass {
        /// Of an IPv4 address; RFC 7871 §11.1 recommends 24.
        ipv4: u8,
        /// Of an IPv6 address; RFC 7871 §11.1 recommends 56.
        ipv6: u8,
    },
}

impl PoolConfig {
    /// A pool with everything else as by default.
    pub fn new(name: &str, backends: Vec<BackendConfig>) -> PoolConfig {
        PoolConfig {
            name: name.to_owned(),
            backends,
            balance: Balance::default(),
            timeout: Duration::from_secs(2),
            attempts: 3,
            patience: Duration::from_secs(5),
            subnet: SubnetPolicy::default(),
            mixed_case: true,
            health: HealthConfig::default(),
        }
    }
}

/// What is wrong with the configuration of pools: the operator's fault.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PoolError {
    /// The pool.
    pub pool: String,
    /// What is wrong with it.
    pub problem: PoolProblem,
}

/// See [`PoolError`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PoolProblem {
    /// Another pool has its name.
    Name,
    /// More pools than [`MAX_POOLS`].
    TooManyPools,
    /// No backends, or more than [`MAX_BACKENDS`].
    Backends(usize),
    /// Two backends of this name.
    BackendName(String),
    /// A weight out of 1 to 65,535, of the backend of this name.
    Weight(String, u32),
    /// A setting that must not be zero.
    Zero(&'static str),
}

/// Names a pool of one [`Pools`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PoolId {
    index: u16,
    generation: u32,
}

/// Names a backend of one [`Pools`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BackendId {
    /// Its pool.
    pub pool: PoolId,
    index: u8,
}

/// A pool.
#[derive(Clone, Debug)]
pub struct Pool {
    id: PoolId,
    config: PoolConfig,
    backends: Vec<Backend>,
}

/// All pools of an engine.
#[derive(Clone, Debug)]
pub struct Pools {
    pools: Vec<Pool>,
    generation: u32,
}

impl Pools {
    /// The pools of `configs`, in their order.
    ///
    /// # Errors
    /// A pool that cannot work as it is configured.
    pub fn new(configs: Vec<PoolConfig>, random: &mut impl FnMut() -> u64) -> Result<Pools, PoolError> {
        let mut pools: Vec<Pool> = Vec::with_capacity(configs.len());
        for (index, config) in configs.into_iter().enumerate() {
            let is_known = pools.iter().any(|pool| pool.config.name == config.name);
            let problem = if is_known { Err(PoolProblem::Name) } else { config.check() };
            let index = u16::try_from(index).map_err(|_| PoolProblem::TooManyPools);
            let index = problem.and(index).map_err(|problem| PoolError { pool: config.name.clone(), problem })?;
            pools.push(Pool::new(PoolId { index, generation: 0 }, config, random));
        }
        Ok(Pools { pools, generation: 0 })
    }

    /// Takes the place of `old` after a reload: what is known of a backend with the same name and address in a pool
    /// of the same name stays known. Ids of `old` name nothing here: [`super::Flights::move_pools`] is due.
    pub fn adopt(&mut self, old: &Pools) {
        self.generation = old.generation.wrapping_add(1);
        for pool in &mut self.pools {
            pool.id.generation = self.generation;
            let Some(before) = old.pools.iter().find(|old| old.config.name == pool.config.name) else { continue };
            for backend in &mut pool.backends {
                let is_same = |old: &&Backend| {
                    old.config().name == backend.config().name && old.config().address == backend.config().address
                };
                if let Some(old) = before.backends.iter().find(is_same) {
                    backend.adopt(old);
                }
            }
        }
    }

    /// The pool of this name.
    pub fn find(&self, name: &str) -> Option<PoolId> {
        self.pools.iter().find(|pool| pool.config.name == name).map(|pool| pool.id)
    }

    /// All pools, as they were configured.
    pub fn iter(&self) -> impl Iterator<Item = &Pool> {
        self.pools.iter()
    }

    /// A pool; `None` if the id is from before a reload.
    pub fn get(&self, id: PoolId) -> Option<&Pool> {
        self.pools.get(usize::from(id.index)).filter(|pool| pool.id == id)
    }

    /// See [`Pools::get`].
    pub fn get_mut(&mut self, id: PoolId) -> Option<&mut Pool> {
        self.pools.get_mut(usize::from(id.index)).filter(|pool| pool.id == id)
    }

    /// A backend; `None` if the id is from before a reload.
    pub fn backend(&self, id: BackendId) -> Option<&Backend> {
        self.get(id.pool)?.backend(id)
    }

    /// See [`Pools::backend`].
    pub fn backend_mut(&mut self, id: BackendId) -> Option<&mut Backend> {
        self.get_mut(id.pool)?.backends.get_mut(usize::from(id.index))
    }

    /// A question goes to the attempt's backend. [`Pools::ended`] must follow.
    pub fn began(&mut self, attempt: &Attempt) {
        if let Some(backend) = self.backend_mut(attempt.backend) {
            backend.began(attempt.tcp);
        }
    }

    /// A question to `id` has ended. Returns what that changes in the backend's state.
    pub fn ended(&mut self, id: BackendId, end: End, now: Time) -> Option<HealthChange> {
        let pool = self.get_mut(id.pool)?;
        let (config, backend) = (&pool.config.health, pool.backends.get_mut(usize::from(id.index))?);
        backend.ended(end);
        let change = match end {
            End::Answered(verdict, _) if verdict.passes_check() => backend.health.answered(config),
            // It lives, but that must not make up for checks that fail with the same words.
            End::Answered(..) => None,
            End::TimedOut => backend.health.timed_out(config, now),
            End::Refused => backend.health.refused(config, now),
            End::Abandoned => None,
        };
        backend.count_down(change);
        change
    }

    /// When [`Pools::due`] next has something to do.
    pub fn next_check(&self) -> Time {
        let next = |pool: &Pool| {
            let config = &pool.config.health;
            pool.backends.iter().map(|backend| backend.health.next(config)).min()
        };
        self.pools.iter().filter_map(next).min().unwrap_or(Time::NEVER)
    }

    /// Adds the checks to `checks` that are to be sent now. Each is sent once: [`Pool::check`] is its question, and
    /// its result goes to [`Pools::checked`].
    pub fn due(&mut self, now: Time, random: &mut impl FnMut() -> u64, checks: &mut Vec<Attempt>) {
        for pool in &mut self.pools {
            for (index, backend) in pool.backends.iter_mut().enumerate() {
                if backend.health.due(&pool.config.health, now, random) {
                    checks.push(Attempt {
                        backend: BackendId { pool: pool.id, index: index as u8 },
                        tcp: backend.config().tcp,
                        edns: backend.takes_edns(now),
                        timeout: pool.config.timeout,
                    });
                }
            }
        }
    }

    /// A check of `id` was passed (see [`super::Verdict::passes_check`]), or not. Returns what that changes.
    pub fn checked(&mut self, id: BackendId, is_passed: bool, now: Time) -> Option<HealthChange> {
        let pool = self.get_mut(id.pool)?;
        let (config, backend) = (&pool.config.health, pool.backends.get_mut(usize::from(id.index))?);
        let change = match is_passed {
            true => {
                backend.counters.checks_passed += 1;
                backend.health.passed(config)
            }
            false => {
                backend.counters.checks_failed += 1;
                backend.health.failed(config, now)
            }
        };
        backend.count_down(change);
        change
    }
}

impl Pool {
    fn new(id: PoolId, config: PoolConfig, random: &mut impl FnMut() -> u64) -> Pool {
        let backend = |config: &BackendConfig| {
            // By name: one that moves to another address keeps its share of the names.
            Backend::new(config.clone(), choice::place(config.name.as_bytes()), random())
        };
        let backends = config.backends.iter().map(backend).collect();
        Pool { id, config, backends }
    }

    /// Its id.
    pub fn id(&self) -> PoolId {
        self.id
    }

    /// How it was configured.
    pub fn config(&self) -> &PoolConfig {
        &self.config
    }

    /// Its backends with their ids.
    pub fn backends(&self) -> impl Iterator<Item = (BackendId, &Backend)> {
        let id = |index: usize| BackendId { pool: self.id, index: index as u8 };
        self.backends.iter().enumerate().map(move |(index, backend)| (id(index), backend))
    }

    /// A backend of this pool.
    pub fn backend(&self, id: BackendId) -> Option<&Backend> {
        self.backends.get(usize::from(id.index)).filter(|_| id.pool == self.id)
    }

    /// The question that checks ask.
    pub fn check(&self) -> Ask {
        Ask::new(self.config.health.name.clone(), self.config.health.qtype)
    }

    /// Chooses a backend: one that works, not tried yet if there is one, not `last` if there is another. If none
    /// works, all are tried as a last resort.
    pub(crate) fn choose(
        &mut self,
        name: Name<'_>,
        tried: BackendSet,
        last: Option<BackendId>,
        random: &mut impl FnMut() -> u64,
    ) -> Option<BackendId> {
        let last = last.map(|last| usize::from(last.index));
        let index = choice::choose(self.config.balance, &mut self.backends, name, tried, last, random)?;
        Some(BackendId { pool: self.id, index: index as u8 })
    }
}

impl BackendId {
    /// Its place in its pool.
    pub fn index(self) -> usize {
        usize::from(self.index)
    }
}

impl Backend {
    fn count_down(&mut self, change: Option<HealthChange>) {
        self.counters.downs += u64::from(change.is_some_and(|change| change.to == HealthState::Down));
    }
}

impl PoolConfig {
    fn check(&self) -> Result<(), PoolProblem> {
        if !(1..=MAX_BACKENDS).contains(&self.backends.len()) {
            return Err(PoolProblem::Backends(self.backends.len()));
        }
        for (index, backend) in self.backends.iter().enumerate() {
            if self.backends[..index].iter().any(|other| other.name == backend.name) {
                return Err(PoolProblem::BackendName(backend.name.clone()));
            }
            if !(1..=65_535).contains(&backend.weight) {
                return Err(PoolProblem::Weight(backend.name.clone(), backend.weight));
            }
        }
        let health = &self.health;
        let zeros = [
            (self.timeout.is_zero(), "timeout"),
            (self.attempts == 0, "attempts"),
            (self.patience.is_zero(), "patience"),
            (health.interval.is_zero(), "health.interval"),
            (health.failures == 0, "health.failures"),
            (health.timeouts == 0, "health.timeouts"),
            (health.successes == 0, "health.successes"),
        ];
        zeros.into_iter().find(|(is_zero, _)| *is_zero).map_or(Ok(()), |(_, name)| Err(PoolProblem::Zero(name)))
    }
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pool {}: ", self.pool)?;
        match &self.problem {
            PoolProblem::Name => f.write_str("another pool has this name"),
            PoolProblem::TooManyPools => write!(f, "more than {MAX_POOLS} pools"),
            PoolProblem::Backends(count) => write!(f, "{count} backends; 1 to {MAX_BACKENDS} are possible"),
            PoolProblem::BackendName(name) => write!(f, "two backends are named {name}"),
            PoolProblem::Weight(name, weight) => {
                write!(f, "backend {name} has the weight {weight}; 1 to 65535 are possible")
            }
            PoolProblem::Zero(name) => write!(f, "{name} must not be zero"),
        }
    }
}

impl std::error::Error for PoolError {}
