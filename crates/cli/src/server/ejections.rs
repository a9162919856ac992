//! Which backends were ejected and came back since it was last looked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use afpa_balancing::PoolState;

/// What is known of each backend, by the names of pool and backend.
#[derive(Default)]
pub(super) struct Ejections(BTreeMap<(String, String), Known>);

#[derive(Clone, Copy, Default)]
struct Known {
    /// How often it was ejected.
    count: u64,
    is_ejected: bool,
}

/// Something that an operator wants to know.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ejected {
    pub(super) pool: String,
    pub(super) backend: String,
    /// How long it is left alone; `None`: it is no longer.
    pub(super) left: Option<Duration>,
}

impl Ejections {
    /// What has changed; `now` is in nanoseconds of the engines' clock. Backends that are gone are forgotten.
    pub(super) fn news(&mut self, pools: impl Iterator<Item = Arc<PoolState>>, now: u64) -> Vec<Ejected> {
        let before = std::mem::take(&mut self.0);
        let mut news = Vec::new();
        for pool in pools {
            for backend in pool.backends() {
                let key = (pool.config().name.clone(), backend.name().to_owned());
                let was = before.get(&key).copied().unwrap_or_default();
                let is = Known { count: backend.counters().ejections, is_ejected: backend.is_ejected(now) };
                let left = Duration::from_nanos(backend.ejected_until().saturating_sub(now));
                let is_new = is.is_ejected && (is.count != was.count || !was.is_ejected);
                let is_back = was.is_ejected && !is.is_ejected;
                if is_new || is_back {
                    let (pool, backend) = key.clone();
                    news.push(Ejected { pool, backend, left: is_new.then_some(left) });
                }
                self.0.insert(key, is);
            }
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use afpa_balancing::{
        BackendAddress, BackendConfig, Balancer, FailureKind, Outcome, OutlierConfig, PoolConfig, Registry,
    };

    #[test]
    fn each_ejection_is_told_once_and_so_is_its_end() {
        let outliers =
            OutlierConfig { consecutive_failures: 1, base_ns: 1000, max_percent: 100, ..OutlierConfig::default() };
        let backend = BackendConfig::new(BackendAddress::Inet("192.0.2.1:80".parse().unwrap()));
        let config = PoolConfig { outliers: Some(outliers), ..PoolConfig::new("app", vec![backend]) };
        let state = Registry::new().update_pool(config, 1).unwrap();
        let mut balancer = Balancer::new(state.clone(), 1);
        let index = balancer.indices().next().unwrap();
        let fail = |balancer: &mut Balancer, now| {
            balancer.began(index);
            balancer.ended(index, Outcome::Failure(FailureKind::Timeout), 1, now);
        };
        let mut ejections = Ejections::default();
        let mut news = |now| {
            let news = ejections.news([state.clone()].into_iter(), now);
            news.into_iter().map(|it| (it.backend, it.left.map(|left| left.as_nanos()))).collect::<Vec<_>>()
        };
        let of = |left| vec![("192.0.2.1:80".to_owned(), left)];
        assert_eq!(news(10), []);
        fail(&mut balancer, 100);
        assert_eq!(news(200), of(Some(900)));
        assert_eq!(news(300), []);
        assert_eq!(news(1100), of(None));
        assert_eq!(news(1200), []);
        fail(&mut balancer, 2000);
        assert_eq!(news(2000), of(Some(2000)), "longer each time");
    }
}
