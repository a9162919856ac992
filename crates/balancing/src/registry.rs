//! What is known of all backends, kept while configurations come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::{MAX_POOLS, PoolConfig};
use crate::outliers::Outliers;
use crate::pool::PoolState;
use crate::problem::{PoolError, PoolProblem, unresolved};
use crate::state::BackendState;

/// All pools. Owned by the control plane.
#[derive(Debug, Default)]
pub struct Registry {
    pools: BTreeMap<String, Kept>,
}

#[derive(Debug)]
struct Kept {
    backends: BTreeMap<String, Arc<BackendState>>,
    outliers: Arc<Outliers>,
}

impl Registry {
    /// A registry without pools.
    pub fn new() -> Registry {
        Registry::default()
    }

    /// Makes the pools of a configuration, in its order. Backends that were there under the same name and address are
    /// the same still; what is not in `configs` is forgotten. A new backend of a pool that was there before starts
    /// slowly, if the pool is configured so.
    ///
    /// # Errors
    /// A pool that cannot work as it is configured, or host names are not resolved. Nothing has changed then.
    pub fn update(&mut self, configs: Vec<PoolConfig>, now: u64) -> Result<Vec<Arc<PoolState>>, PoolError> {
        let mut names = BTreeSet::new();
        for (number, config) in configs.iter().enumerate() {
            let problem = match names.insert(config.name.clone()) {
                false => Some(PoolProblem::Name),
                true if number == MAX_POOLS => Some(PoolProblem::TooManyPools),
                true => None,
            };
            if let Some(problem) = problem {
                return Err(PoolError { pool: config.name.clone(), problem });
            }
            check(config)?;
        }
        self.pools.retain(|name, _| names.contains(name));
        Ok(configs.into_iter().map(|config| self.keep(config, now)).collect())
    }

    /// Makes one pool anew, or adds it, and leaves all others as they are: for addresses that come and go.
    ///
    /// # Errors
    /// As of [`Registry::update`].
    pub fn update_pool(&mut self, config: PoolConfig, now: u64) -> Result<Arc<PoolState>, PoolError> {
        check(&config)?;
        if self.pools.len() >= MAX_POOLS && !self.pools.contains_key(&config.name) {
            return Err(PoolError { pool: config.name, problem: PoolProblem::TooManyPools });
        }
        Ok(self.keep(config, now))
    }

    /// A backend by the names of its pool and its own.
    pub fn backend(&self, pool: &str, name: &str) -> Option<&Arc<BackendState>> {
        self.pools.get(pool)?.backends.get(name)
    }

    /// All backends with their pools' names, sorted by both.
    pub fn backends(&self) -> impl Iterator<Item = (&str, &Arc<BackendState>)> {
        self.pools.iter().flat_map(|(pool, kept)| kept.backends.values().map(|backend| (&**pool, backend)))
    }

    fn keep(&mut self, config: PoolConfig, now: u64) -> Arc<PoolState> {
        let before = self.pools.remove(&config.name);
        let returned = if before.is_some() { now.max(1) } else { 0 };
        let (known, outliers) = before.map(|kept| (kept.backends, kept.outliers)).unwrap_or_default();
        let backends: Vec<_> = config
            .backends
            .iter()
            .map(|backend| match known.get(&backend.name) {
                Some(state) if *state.address() == backend.address => state.clone(),
                _ => Arc::new(BackendState::new(&backend.name, backend.address.clone(), returned)),
            })
            .collect();
        let by_name = backends.iter().map(|state| (state.name().to_owned(), state.clone())).collect();
        self.pools.insert(config.name.clone(), Kept { backends: by_name, outliers: outliers.clone() });
        Arc::new(PoolState::new(config, backends, outliers))
    }
}

fn check(config: &PoolConfig) -> Result<(), PoolError> {
    config.check()?;
    match unresolved(config) {
        Some(problem) => Err(PoolError { pool: config.name.clone(), problem }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{BackendAddress, BackendConfig};

    fn backend(name: &str, port: u16) -> BackendConfig {
        let address = BackendAddress::Inet(([192, 0, 2, 1], port).into());
        BackendConfig { name: name.into(), ..BackendConfig::new(address) }
    }

    #[test]
    fn what_is_known_of_a_backend_that_stays_is_kept() {
        let mut registry = Registry::new();
        let first = PoolConfig::new("p", vec![backend("a", 1), backend("b", 2), backend("c", 3)]);
        let other = PoolConfig::new("q", vec![backend("a", 9)]);
        let before = registry.update(vec![first, other], 5).unwrap();
        before[0].backends().iter().for_each(|state| _ = state.checked(false, 1, 1, 6));

        let second = PoolConfig::new("p", vec![backend("c", 3), backend("b", 20), backend("d", 4)]);
        let after = registry.update(vec![second], 7).unwrap();
        let healthy: Vec<_> = after[0].backends().iter().map(|state| (state.name(), state.is_healthy())).collect();
        assert_eq!(healthy, [("c", false), ("b", true), ("d", true)], "b is elsewhere now: another backend");
        assert!(Arc::ptr_eq(&before[0].backends()[2], &after[0].backends()[0]));
        assert!(registry.backend("p", "a").is_none() && registry.backend("q", "a").is_none());
        let all: Vec<_> = registry.backends().map(|(pool, state)| (pool, state.name().to_owned())).collect();
        assert_eq!(all, [("p", "b".into()), ("p", "c".into()), ("p", "d".into())]);
    }

    #[test]
    fn a_backend_that_joins_a_pool_that_runs_starts_slowly() {
        let mut registry = Registry::new();
        let first = registry.update_pool(PoolConfig::new("p", vec![backend("a", 1)]), 500).unwrap();
        let second = registry.update_pool(PoolConfig::new("p", vec![backend("a", 1), backend("b", 2)]), 1000).unwrap();
        assert_eq!(first.backends()[0].weight(100, 1000, 500), 102_400);
        let weights: Vec<_> = second.backends().iter().map(|state| state.weight(100, 1000, 1500)).collect();
        assert_eq!(weights, [102_400, 51_200]);
    }

    #[test]
    fn a_configuration_that_cannot_work_changes_nothing() {
        let mut registry = Registry::new();
        registry.update_pool(PoolConfig::new("p", vec![backend("a", 1)]), 1).unwrap();
        let twice = vec![PoolConfig::new("q", Vec::new()), PoolConfig::new("q", Vec::new())];
        assert_eq!(registry.update(twice, 2).unwrap_err().problem, PoolProblem::Name);
        let host = BackendConfig::new(BackendAddress::Host("a.example".into(), 80));
        let unresolved = registry.update(vec![PoolConfig::new("q", vec![host])], 2).unwrap_err();
        assert_eq!(unresolved.problem, PoolProblem::Unresolved("a.example:80".into()));
        assert!(registry.backend("p", "a").is_some());
    }
}
