//! What holds whatever happens: of choices, limits, budgets and counters.

mod support;

use std::collections::VecDeque;
use std::sync::Arc;

use afpa_balancing::{
    AllUnhealthy, BackendIndex, Balancer, Budget, BudgetConfig, Choice, FailureKind, MaglevConfig, Outcome, PoolConfig,
    Quantiles, Random, Registry, Strategy, Unavailable, Waiting,
};
use proptest::prelude::*;
use support::{backends, strategies};

const SECOND: u64 = 1_000_000_000;

fn balancer(config: PoolConfig, seed: u64) -> Balancer {
    Balancer::new(Registry::new().update_pool(config, 1).unwrap(), seed)
}

fn position(balancer: &Balancer, index: BackendIndex) -> usize {
    balancer.indices().position(|other| other == index).unwrap()
}

/// How often each backend was chosen in so many requests, each of which ends before the next.
fn shares(config: PoolConfig, requests: u64, seed: u64) -> Vec<u64> {
    let mut balancer = balancer(config, seed);
    let mut shares = vec![0; balancer.indices().count()];
    for request in 0..requests {
        let choice = Choice { hash: Some(request), ..Choice::default() };
        let index = balancer.choose(&choice, 1).unwrap();
        shares[position(&balancer, index)] += 1;
        balancer.began(index);
        balancer.ended(index, Outcome::Success, 1000, 1);
    }
    shares
}

proptest! {
    #[test]
    fn a_round_gives_each_its_weight(weights in prop::collection::vec(1..20u32, 1..8), rounds in 1..4u64, seed: u64) {
        let total = weights.iter().copied().map(u64::from).sum::<u64>();
        let expected: Vec<_> = weights.iter().map(|&weight| u64::from(weight) * rounds).collect();
        prop_assert_eq!(shares(PoolConfig::new("p", backends(&weights)), total * rounds, seed), expected);
    }

    #[test]
    fn every_strategy_that_draws_respects_weights(weights in prop::collection::vec(1..10u32, 2..6), seed: u64) {
        let total = f64::from(weights.iter().sum::<u32>());
        let maglev = MaglevConfig { table: 5003, bounded_load: None };
        for strategy in [Strategy::Weighted, Strategy::ConsistentHash(maglev)] {
            let config = PoolConfig { strategy, ..PoolConfig::new("p", backends(&weights)) };
            let requests = 4000;
            for (share, weight) in shares(config, requests, seed).into_iter().zip(&weights) {
                let expected = requests as f64 * f64::from(*weight) / total;
                // Five standard deviations and more.
                let tolerance = 5.5 * expected.sqrt() + 10.0;
                prop_assert!((share as f64 - expected).abs() < tolerance, "{strategy:?}: {share} for {expected}");
            }
        }
    }

    #[test]
    fn requests_in_flight_follow_weights(weights in prop::collection::vec(1..10u32, 1..6), rounds in 1..5u32, seed: u64) {
        let config = PoolConfig { strategy: Strategy::LeastRequests, ..PoolConfig::new("p", backends(&weights)) };
        let mut balancer = balancer(config, seed);
        for _ in 0..weights.iter().sum::<u32>() * rounds {
            let index = balancer.choose(&Choice::default(), 1).unwrap();
            balancer.began(index);
        }
        let in_flight: Vec<_> = balancer.indices().map(|index| balancer.in_flight(index)).collect();
        let expected: Vec<_> = weights.iter().map(|weight| weight * rounds).collect();
        prop_assert_eq!(in_flight, expected);
    }

    #[test]
    fn a_load_is_never_beyond_its_bound(
        weights in prop::collection::vec(1..5u32, 1..8),
        percent in 101..300u32,
        steps in prop::collection::vec((0..3u64, any::<bool>(), any::<prop::sample::Index>()), 1..200),
    ) {
        let strategy = Strategy::ConsistentHash(MaglevConfig { table: 251, bounded_load: Some(percent) });
        let mut balancer = balancer(PoolConfig { strategy, ..PoolConfig::new("p", backends(&weights)) }, 1);
        let total_weight = u64::from(weights.iter().sum::<u32>());
        let mut running = Vec::new();
        for (hash, begins, which) in steps {
            if !begins && !running.is_empty() {
                let index = running.swap_remove(which.index(running.len()));
                balancer.ended(index, Outcome::Success, 1, 1);
                continue;
            }
            // Few hashes, so that without a bound few backends would have all of the load.
            let choice = Choice { hash: (hash > 0).then_some(hash), ..Choice::default() };
            let index = balancer.choose(&choice, 1).unwrap();
            balancer.began(index);
            running.push(index);
            let weight = u64::from(weights[position(&balancer, index)]);
            let most = (u64::from(percent) * running.len() as u64 * weight).div_ceil(100 * total_weight);
            prop_assert!(u64::from(balancer.in_flight(index)) <= most);
        }
    }

    #[test]
    fn only_what_goes_away_moves(count in 2..12usize, gone in any::<prop::sample::Index>(), seed: u64) {
        let strategy = Strategy::ConsistentHash(MaglevConfig { table: 5003, bounded_load: None });
        let all = backends(&vec![1; count]);
        let config = PoolConfig { strategy, ..PoolConfig::new("p", all.clone()) };
        let gone = gone.index(count);
        let mut registry = Registry::new();
        let pool = registry.update_pool(config.clone(), 1).unwrap();
        let mut balancer = Balancer::new(pool.clone(), seed);
        let place = |balancer: &mut Balancer, hash: u64| {
            let index = balancer.choose(&Choice { hash: Some(hash), ..Choice::default() }, 1).unwrap();
            balancer.config(index).unwrap().name.clone()
        };
        let before: Vec<_> = (0..2000).map(|hash| place(&mut balancer, hash)).collect();

        // One that does not work for a while moves nothing of the others.
        pool.backends()[gone].checked(false, 1, 1, 1);
        for (hash, before) in (0..).zip(&before) {
            let now = place(&mut balancer, hash);
            prop_assert_eq!(now != *before, *before == all[gone].name);
        }

        // One that is removed moves few.
        let mut left = all.clone();
        left.remove(gone);
        balancer.update(registry.update_pool(PoolConfig { backends: left, ..config }, 1).unwrap());
        let others = (0..).zip(&before).filter(|(_, name)| **name != all[gone].name);
        let (mut moved, mut total) = (0, 0);
        for (hash, name) in others {
            total += 1;
            moved += usize::from(place(&mut balancer, hash) != *name);
        }
        prop_assert!(moved * 10 <= total, "{moved} of {total}");
    }

    #[test]
    fn no_choice_is_one_that_must_not_be(
        strategy in strategies(),
        seed: u64,
        tries_any: bool,
        conditions in prop::collection::vec((0..6u8, 1..4u32), 0..7),
        hashes in prop::collection::vec(any::<Option<u64>>(), 1..20),
    ) {
        let weights: Vec<_> = conditions.iter().map(|(_, weight)| *weight).collect();
        let mut all = backends(&weights);
        for (backend, (condition, _)) in all.iter_mut().zip(&conditions) {
            backend.draining = *condition == 1;
            backend.max_requests = 1;
        }
        let all_unhealthy = if tries_any { AllUnhealthy::TryAny } else { AllUnhealthy::Refuse };
        let mut outliers = afpa_balancing::OutlierConfig { max_percent: 100, ..Default::default() };
        outliers.consecutive_failures = 1;
        let config = PoolConfig { strategy, all_unhealthy, outliers: Some(outliers), ..PoolConfig::new("p", all) };
        let mut balancer = balancer(config, seed);
        let indices: Vec<_> = balancer.indices().collect();
        let mut excluded = Vec::new();
        for (&index, (condition, _)) in indices.iter().zip(&conditions) {
            match condition {
                2 => _ = balancer.state(index).unwrap().checked(false, 1, 1, 1),
                3 => excluded.push(index),
                4 => balancer.began(index),
                5 => {
                    balancer.began(index);
                    balancer.ended(index, Outcome::Failure(FailureKind::Connect), 1, 1);
                    prop_assert!(balancer.state(index).unwrap().is_ejected(2));
                }
                _ => {}
            }
        }
        let works = |condition: &u8| !matches!(condition, 1 | 2 | 5);
        let any_works = conditions.iter().any(|(condition, _)| works(condition));
        let may = |condition: &u8| match condition {
            0 => true,
            2 | 5 => tries_any && !any_works,
            _ => false,
        };
        for hash in hashes {
            let chosen = balancer.choose(&Choice { hash, sticky: None, excluded: &excluded }, 2);
            let has = |wanted: u8| conditions.iter().any(|(condition, _)| *condition == wanted);
            match chosen {
                Ok(index) => prop_assert!(may(&conditions[position(&balancer, index)].0)),
                Err(why) => {
                    prop_assert!(!conditions.iter().any(|(condition, _)| may(condition)));
                    let expected = match (has(4), has(3), has(2) || has(5)) {
                        (true, ..) => Unavailable::Full,
                        (_, true, _) => Unavailable::Excluded,
                        (.., true) => Unavailable::Unhealthy,
                        _ => Unavailable::Empty,
                    };
                    prop_assert_eq!(why, expected);
                }
            }
        }
    }

    #[test]
    fn counters_return_to_zero(
        strategy in strategies(),
        seed: u64,
        steps in prop::collection::vec((0..6u8, any::<u64>(), any::<prop::sample::Index>()), 1..150),
    ) {
        let config = |count: usize| PoolConfig { strategy, ..PoolConfig::new("p", backends(&vec![1; count])) };
        let mut registry = Registry::new();
        let pool = registry.update_pool(config(4), 1).unwrap();
        let mut states = pool.backends().to_vec();
        let mut balancer = Balancer::new(pool, seed);
        let (mut running, mut connections) = (Vec::new(), Vec::new());
        for (now, (step, number, which)) in (2..).zip(steps) {
            match step {
                0 | 1 => {
                    let choice = Choice { hash: Some(number), ..Choice::default() };
                    if let Ok(index) = balancer.choose(&choice, now) {
                        balancer.began(index);
                        balancer.connected(index);
                        running.push(index);
                        connections.push(index);
                    }
                }
                2 if !running.is_empty() => {
                    let outcomes =
                        [Outcome::Success, Outcome::Abandoned, Outcome::Failure(FailureKind::Timeout)];
                    let index = running.swap_remove(which.index(running.len()));
                    balancer.ended(index, outcomes[number as usize % 3], number % 1000, now);
                }
                3 if !connections.is_empty() => {
                    balancer.disconnected(connections.swap_remove(which.index(connections.len())));
                }
                4 => {
                    let pool = registry.update_pool(config(number as usize % 6), now).unwrap();
                    for state in pool.backends() {
                        if !states.iter().any(|known| Arc::ptr_eq(known, state)) {
                            states.push(state.clone());
                        }
                    }
                    balancer.update(pool);
                }
                _ => {}
            }
            let active: u64 = states.iter().map(|state| state.active()).sum();
            prop_assert_eq!(active, running.len() as u64);
            let counted: u32 = connections.iter().map(|&index| balancer.connections(index)).min().unwrap_or(1);
            prop_assert!(counted > 0, "who has a connection is known");
        }
        let half = running.len() / 2;
        for index in running.drain(..half) {
            balancer.ended(index, Outcome::Success, 1, 1000);
        }
        drop(balancer);
        prop_assert!(states.iter().all(|state| state.active() == 0), "an engine that ends leaves nothing");
    }

    #[test]
    fn no_more_is_ejected_than_may_be(
        count in 1..12usize,
        max_percent in 0..101u32,
        failures in prop::collection::vec((any::<prop::sample::Index>(), 0..SECOND), 1..200),
    ) {
        let outliers = afpa_balancing::OutlierConfig { max_percent, consecutive_failures: 2, ..Default::default() };
        let config = PoolConfig { outliers: Some(outliers), ..PoolConfig::new("p", backends(&vec![1; count])) };
        let mut balancer = balancer(config, 1);
        let indices: Vec<_> = balancer.indices().collect();
        let mut now = 1;
        for (which, passed) in failures {
            now += passed;
            let index = indices[which.index(count)];
            balancer.began(index);
            for ejection in balancer.ended(index, Outcome::Failure(FailureKind::Reset), 1, now) {
                prop_assert!(ejection.until > now);
            }
            let ejected = indices.iter().filter(|&&index| balancer.state(index).unwrap().is_ejected(now)).count();
            prop_assert!(ejected * 100 <= count * max_percent as usize);
        }
    }

    #[test]
    fn a_budget_is_never_exceeded(
        percent in 0..200u32,
        per_second in 0..20u32,
        burst in 0..50u32,
        steps in prop::collection::vec((any::<bool>(), 0..SECOND / 5), 1..300),
    ) {
        let mut budget = Budget::new(BudgetConfig { percent, per_second, burst }, 0);
        let (mut requests, mut spent, mut now) = (0u128, 0u128, 0);
        for (is_request, passed) in steps {
            now += passed;
            if is_request {
                budget.request(now);
                requests += 1;
            } else {
                spent += u128::from(budget.spend(now));
            }
            let by_time = u128::from(per_second) * u128::from(now + SECOND);
            let by_requests = u128::from(percent) * requests * u128::from(SECOND / 100);
            prop_assert!(spent * u128::from(SECOND) <= by_time + by_requests);
        }
    }

    #[test]
    fn who_came_first_is_first(
        limit in 0..8usize,
        steps in prop::collection::vec((0..4u8, 0..50u64, any::<prop::sample::Index>()), 1..200),
    ) {
        let mut waiting = Waiting::new(limit);
        let mut model: VecDeque<(u64, u64, _)> = VecDeque::new();
        let mut gone = Vec::new();
        for (number, (step, time, which)) in (0u64..).zip(steps) {
            match step {
                0 => match waiting.push(number, time) {
                    Ok(handle) => model.push_back((number, time, handle)),
                    Err(returned) => prop_assert!(returned == number && model.len() == limit),
                },
                1 => {
                    let first = model.pop_front();
                    gone.extend(first.map(|(.., handle)| handle));
                    prop_assert_eq!(waiting.pop(), first.map(|(number, ..)| number));
                }
                2 if !model.is_empty() => {
                    let (number, _, handle) = model.remove(which.index(model.len())).unwrap();
                    prop_assert_eq!(waiting.remove(handle), Some(number));
                    gone.push(handle);
                }
                _ => {
                    let expired = waiting.expired(time);
                    let at = model.iter().position(|(number, ..)| Some(*number) == expired);
                    let earliest = model.iter().map(|(_, deadline, _)| *deadline).min();
                    prop_assert_eq!(at.map(|at| model[at].1), earliest.filter(|earliest| *earliest <= time));
                    gone.extend(at.and_then(|at| model.remove(at)).map(|(.., handle)| handle));
                }
            }
            prop_assert!(gone.iter().all(|&handle| waiting.remove(handle).is_none()));
            prop_assert_eq!(waiting.len(), model.len());
            prop_assert_eq!(waiting.front().copied(), model.front().map(|(number, ..)| *number));
            prop_assert_eq!(waiting.next_deadline(), model.iter().map(|(_, deadline, _)| *deadline).min());
        }
    }

    #[test]
    fn a_quantile_is_right_to_an_eighth(durations in prop::collection::vec(1024..1u64 << 40, 1..500), percent in 0..101u32) {
        let mut quantiles = Quantiles::new();
        durations.iter().for_each(|&nanos| quantiles.record(nanos));
        let mut sorted = durations;
        sorted.sort_unstable();
        let rank = (sorted.len() * percent as usize).div_ceil(100).max(1);
        let exact = sorted[rank - 1];
        let estimated = quantiles.quantile(percent).unwrap();
        prop_assert!(estimated >= exact && estimated <= exact + exact / 8, "{estimated} for {exact}");
    }

    #[test]
    fn any_number_of_nanoseconds_is_counted(durations in prop::collection::vec(any::<u64>(), 0..5000)) {
        let mut quantiles = Quantiles::new();
        durations.iter().for_each(|&nanos| quantiles.record(nanos));
        prop_assert!(quantiles.len() <= Quantiles::WINDOW);
        prop_assert_eq!(quantiles.quantile(50).is_none(), durations.is_empty());
    }

    #[test]
    fn a_lot_is_below_its_bound(seed: u64, bound: u64) {
        let drawn = Random::new(seed).below(bound);
        prop_assert!(drawn < bound || (drawn, bound) == (0, 0));
    }
}
