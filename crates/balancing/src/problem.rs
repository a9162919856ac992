//! What may be wrong with the configuration of a pool.

use std::collections::BTreeSet;
use std::fmt;

use crate::config::{
    BackendAddress, BackendConfig, MAX_BACKENDS, MAX_TABLE, MAX_TARGETS, MAX_WEIGHT, OutlierConfig, PoolConfig,
    Strategy,
};
use crate::hash::is_prime;
use crate::sticky;

/// What is wrong with the configuration of a pool: the operator's fault.
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
    /// More pools than [`MAX_POOLS`](crate::MAX_POOLS).
    TooManyPools,
    /// More backends than [`MAX_BACKENDS`].
    TooManyBackends(usize),
    /// Two backends of this name.
    BackendName(String),
    /// A weight out of 1 to [`MAX_WEIGHT`], of the backend of this name.
    Weight(String, u32),
    /// The backend of this name is at a host name that nobody resolved.
    Unresolved(String),
    /// The backend of this name may have no requests or connections: this setting is zero.
    Zero(String, &'static str),
    /// The table of consistent hashing has no prime number of places, or too many or fewer than backends.
    Table(u32),
    /// The bound of a load is out of 101 to 10,000 percent.
    BoundedLoad(u32),
    /// T_low must be at least 1, and T_high above it.
    Thresholds(u32, u32),
    /// Targets out of 4 to [`MAX_TARGETS`].
    Targets(u32),
    /// This setting of outlier detection is out of its range.
    Outliers(&'static str),
    /// The cookie's name or path has characters that a cookie must not have.
    Cookie(String),
}

impl PoolConfig {
    /// Whether a pool can work as it is configured. Host names may still have to be resolved.
    ///
    /// # Errors
    /// It cannot.
    pub fn check(&self) -> Result<(), PoolError> {
        self.problem().map_or(Ok(()), |problem| Err(PoolError { pool: self.name.clone(), problem }))
    }

    fn problem(&self) -> Option<PoolProblem> {
        if self.backends.len() > MAX_BACKENDS {
            return Some(PoolProblem::TooManyBackends(self.backends.len()));
        }
        let mut names = BTreeSet::new();
        let twice = self.backends.iter().find(|backend| !names.insert(&backend.name));
        if let Some(backend) = twice {
            return Some(PoolProblem::BackendName(backend.name.clone()));
        }
        self.backends
            .iter()
            .find_map(of_backend)
            .or_else(|| of_strategy(&self.strategy, self.backends.len()))
            .or_else(|| self.outliers.as_ref().and_then(of_outliers))
            .or_else(|| self.sticky.as_ref().and_then(sticky::problem).map(PoolProblem::Cookie))
    }
}

fn of_backend(backend: &BackendConfig) -> Option<PoolProblem> {
    let zero = |what| Some(PoolProblem::Zero(backend.name.clone(), what));
    match backend {
        BackendConfig { weight, .. } if !(1..=MAX_WEIGHT).contains(weight) => {
            Some(PoolProblem::Weight(backend.name.clone(), *weight))
        }
        BackendConfig { max_requests: 0, .. } => zero("max_requests"),
        BackendConfig { max_connections: 0, .. } => zero("max_connections"),
        BackendConfig { streams: 0, .. } => zero("streams"),
        _ => None,
    }
}

pub(crate) fn unresolved(config: &PoolConfig) -> Option<PoolProblem> {
    let backend = config.backends.iter().find(|backend| matches!(backend.address, BackendAddress::Host(..)))?;
    Some(PoolProblem::Unresolved(backend.name.clone()))
}

fn of_strategy(strategy: &Strategy, backends: usize) -> Option<PoolProblem> {
    match strategy {
        Strategy::ConsistentHash(maglev) => {
            let fits = maglev.table <= MAX_TABLE && maglev.table as usize >= backends && is_prime(maglev.table);
            match maglev.bounded_load {
                _ if !fits => Some(PoolProblem::Table(maglev.table)),
                Some(percent) if !(101..=10_000).contains(&percent) => Some(PoolProblem::BoundedLoad(percent)),
                _ => None,
            }
        }
        Strategy::Locality(locality) if locality.low == 0 || locality.high <= locality.low => {
            Some(PoolProblem::Thresholds(locality.low, locality.high))
        }
        Strategy::Locality(locality) if !(4..=MAX_TARGETS).contains(&locality.targets) => {
            Some(PoolProblem::Targets(locality.targets))
        }
        _ => None,
    }
}

fn of_outliers(outliers: &OutlierConfig) -> Option<PoolProblem> {
    let wrong = match outliers {
        OutlierConfig { interval_ns: 0, .. } => "interval_ns",
        OutlierConfig { base_ns: 0, .. } => "base_ns",
        OutlierConfig { min_requests: 0, .. } => "min_requests",
        OutlierConfig { base_ns, max_ns, .. } if max_ns < base_ns => "max_ns",
        OutlierConfig { max_percent, .. } if *max_percent > 100 => "max_percent",
        OutlierConfig { latency_percent: 1..=100, .. } => "latency_percent",
        _ => return None,
    };
    Some(PoolProblem::Outliers(wrong))
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pool {}: {}", self.pool, self.problem)
    }
}

impl fmt::Display for PoolProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PoolProblem::Name => write!(f, "another pool has its name"),
            PoolProblem::TooManyPools => write!(f, "there are more than {} pools", crate::MAX_POOLS),
            PoolProblem::TooManyBackends(count) => write!(f, "{count} backends; at most {MAX_BACKENDS} are possible"),
            PoolProblem::BackendName(name) => write!(f, "two backends are named {name}"),
            PoolProblem::Weight(name, weight) => {
                write!(f, "backend {name} has weight {weight}; possible is 1 to {MAX_WEIGHT}")
            }
            PoolProblem::Unresolved(name) => write!(f, "backend {name} has no address yet"),
            PoolProblem::Zero(name, what) => write!(f, "backend {name}: {what} must not be zero"),
            PoolProblem::Table(places) => {
                write!(f, "a table of {places} places; it must be a prime, at most {MAX_TABLE}, such as 65537")
            }
            PoolProblem::BoundedLoad(percent) => write!(f, "a load of {percent} %; possible is 101 to 10000"),
            PoolProblem::Thresholds(low, high) => {
                write!(f, "thresholds {low} and {high}; the low one is at least 1, the high one is above it")
            }
            PoolProblem::Targets(targets) => write!(f, "{targets} targets; possible is 4 to {MAX_TARGETS}"),
            PoolProblem::Outliers(what) => write!(f, "outliers: {what} is out of its range"),
            PoolProblem::Cookie(text) => write!(f, "{text:?} cannot be in a cookie"),
        }
    }
}

impl std::error::Error for PoolError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LocalityConfig, MaglevConfig};
    use crate::sticky::StickyConfig;

    fn backend(name: &str) -> BackendConfig {
        let address = BackendAddress::Inet("192.0.2.1:80".parse().unwrap());
        BackendConfig { name: name.into(), ..BackendConfig::new(address) }
    }

    #[test]
    fn what_cannot_work_is_said() {
        let good = PoolConfig::new("p", vec![backend("a"), backend("b")]);
        assert_eq!(good.check(), Ok(()));
        assert_eq!(PoolConfig::new("p", Vec::new()).check(), Ok(()), "a name may have no address for a while");
        let with = |change: &dyn Fn(&mut PoolConfig)| {
            let mut config = good.clone();
            change(&mut config);
            config.check().unwrap_err().problem
        };
        let maglev = |table, bounded_load| Strategy::ConsistentHash(MaglevConfig { table, bounded_load });
        let locality = |low, high, targets| Strategy::Locality(LocalityConfig { low, high, targets });
        type Case<'a> = (PoolProblem, &'a dyn Fn(&mut PoolConfig));
        let cases: [Case<'_>; 14] = [
            (PoolProblem::TooManyBackends(1025), &|p| {
                p.backends = (0..1025).map(|n| backend(&n.to_string())).collect();
            }),
            (PoolProblem::BackendName("a".into()), &|p| p.backends[1].name = "a".into()),
            (PoolProblem::Weight("a".into(), 0), &|p| p.backends[0].weight = 0),
            (PoolProblem::Weight("b".into(), 65_536), &|p| p.backends[1].weight = 65_536),
            (PoolProblem::Zero("a".into(), "max_requests"), &|p| p.backends[0].max_requests = 0),
            (PoolProblem::Zero("a".into(), "streams"), &|p| p.backends[0].streams = 0),
            (PoolProblem::Table(65_536), &|p| p.strategy = maglev(65_536, None)),
            (PoolProblem::Table(1), &|p| p.strategy = maglev(1, None)),
            (PoolProblem::BoundedLoad(100), &|p| p.strategy = maglev(251, Some(100))),
            (PoolProblem::Thresholds(65, 65), &|p| p.strategy = locality(65, 65, 100)),
            (PoolProblem::Targets(3), &|p| p.strategy = locality(1, 2, 3)),
            (PoolProblem::Outliers("max_percent"), &|p| p.outliers.as_mut().unwrap().max_percent = 101),
            (PoolProblem::Outliers("max_ns"), &|p| p.outliers.as_mut().unwrap().max_ns = 1),
            (PoolProblem::Cookie("a b".into()), &|p| p.sticky = Some(StickyConfig::new("a b", [0; 16]))),
        ];
        for (expected, change) in cases {
            assert_eq!(with(change), expected);
            assert!(!expected.to_string().is_empty());
        }
    }
}
