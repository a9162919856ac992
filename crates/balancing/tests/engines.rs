//! Several engines at once.

mod support;

use std::sync::Arc;
use std::thread;

use afpa_balancing::{Balancer, Choice, FailureKind, Outcome, OutlierConfig, PoolConfig, Random, Registry, Strategy};
use support::backends;

#[test]
fn engines_that_share_a_pool_lose_no_count_and_eject_no_more_than_they_may() {
    let outliers = OutlierConfig { consecutive_failures: 2, max_percent: 30, ..OutlierConfig::default() };
    let strategy = Strategy::TwoChoices { latency: true };
    let config = PoolConfig { strategy, outliers: Some(outliers), ..PoolConfig::new("p", backends(&[1; 10])) };
    let pool = Registry::new().update_pool(config, 1).unwrap();
    thread::scope(|scope| {
        for engine in 0..4 {
            let pool = pool.clone();
            scope.spawn(move || {
                let mut balancer = Balancer::new(pool.clone(), engine);
                let mut random = Random::new(engine);
                for now in 1..5000 {
                    let index = balancer.choose(&Choice::default(), now).unwrap();
                    balancer.began(index);
                    let outcome = match random.below(2) {
                        0 => Outcome::Success,
                        _ => Outcome::Failure(FailureKind::Reset),
                    };
                    balancer.ended(index, outcome, now, now);
                    // All ejections are longer than this test.
                    let ejected = pool.backends().iter().filter(|state| state.is_ejected(now)).count();
                    assert!(ejected <= 3, "{ejected}");
                }
            });
        }
    });
    let counters: Vec<_> = pool.backends().iter().map(|state| state.counters()).collect();
    assert_eq!(counters.iter().map(|counters| counters.requests).sum::<u64>(), 4 * 4999);
    assert_eq!(counters.iter().map(|counters| counters.active).sum::<u64>(), 0);
    assert_eq!(counters.iter().map(|counters| counters.ejections).sum::<u64>(), 3);
    assert_eq!(Arc::strong_count(&pool), 1, "engines have let go of it");
}
