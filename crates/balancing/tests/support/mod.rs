//! Pools to test with.

use afpa_balancing::{BackendAddress, BackendConfig, LocalityConfig, MaglevConfig, Strategy};
use proptest::prelude::{Strategy as Generator, prop_oneof};
use proptest::strategy::Just;

/// Backends of these weights, named `b0` and so on.
#[allow(dead_code, reason = "not every test needs all")]
pub(crate) fn backends(weights: &[u32]) -> Vec<BackendConfig> {
    let backend = |(number, &weight): (u16, &u32)| {
        let address = BackendAddress::Inet(([192, 0, 2, 1], 8000 + number).into());
        BackendConfig { name: format!("b{number}"), weight, ..BackendConfig::new(address) }
    };
    (0..).zip(weights).map(backend).collect()
}

/// Each strategy.
#[allow(dead_code, reason = "not every test needs all")]
pub(crate) fn strategies() -> impl Generator<Value = Strategy> {
    let maglev = |bounded_load| Strategy::ConsistentHash(MaglevConfig { table: 251, bounded_load });
    prop_oneof![
        Just(Strategy::RoundRobin),
        Just(Strategy::Weighted),
        Just(Strategy::LeastRequests),
        Just(Strategy::TwoChoices { latency: false }),
        Just(Strategy::TwoChoices { latency: true }),
        Just(maglev(None)),
        Just(maglev(Some(125))),
        Just(Strategy::Locality(LocalityConfig { low: 1, high: 2, targets: 16 })),
    ]
}
