//! Which backend is asked: by weight, by name, by load; and what a failure changes.

mod upstream_support;

use std::time::Duration;

use afpa_dns::message::{NameBuf, Type};
use afpa_dns::upstream::{
    Ask, Attempt, BackendConfig, Balance, End, HealthState, Joined, NextAttempt, PoolConfig, PoolId, PoolProblem,
    Pools, Setback, Verdict,
};
use afpa_engine::Time;
use proptest::prelude::*;
use upstream_support::{backends, first_attempt, flights, name, pools, root, seeded};

fn pool_of(weights: &[u32], balance: Balance) -> (Pools, PoolId) {
    pools(PoolConfig { balance, ..PoolConfig::new("p", backends(weights)) })
}

fn names(count: usize) -> Vec<NameBuf> {
    (0..count).map(|number| name(&format!("host{number}.example"))).collect()
}

/// Which backend each name goes to.
fn placed(pools: &mut Pools, pool: PoolId, names: &[NameBuf]) -> Vec<usize> {
    let mut random = seeded(2);
    names.iter().map(|name| first_attempt(pools, pool, name, &mut random).backend.index()).collect()
}

fn take_down(pools: &mut Pools, pool: PoolId, index: usize) {
    let (id, _) = pools.get(pool).unwrap().backends().nth(index).unwrap();
    for _ in 0..3 {
        pools.checked(id, false, Time(0));
    }
    assert_eq!(pools.backend(id).unwrap().state(), HealthState::Down);
}

fn counts(chosen: &[usize], backends: usize) -> Vec<usize> {
    (0..backends).map(|index| chosen.iter().filter(|&&other| other == index).count()).collect()
}

#[test]
fn a_round_gives_each_backend_its_weight_and_spreads_its_turns() {
    let (mut pools, pool) = pool_of(&[5, 1, 1], Balance::RoundRobin);
    let chosen = placed(&mut pools, pool, &names(7));
    assert_eq!(chosen, [0, 0, 1, 0, 2, 0, 0]);
    let chosen = placed(&mut pools, pool, &names(700));
    assert_eq!(counts(&chosen, 3), [500, 100, 100]);
}

#[test]
fn the_least_loaded_backend_for_its_weight_is_asked() {
    let (mut pools, pool) = pool_of(&[2, 1], Balance::LeastOutstanding);
    let mut random = seeded(3);
    for _ in 0..300 {
        let attempt = first_attempt(&mut pools, pool, &root(), &mut random);
        pools.began(&attempt);
    }
    // Nothing was answered: loads are as weights.
    let outstanding: Vec<_> =
        pools.get(pool).unwrap().backends().map(|(_, backend)| backend.counters().outstanding).collect();
    assert_eq!(outstanding, [200, 100]);
}

#[test]
fn idle_backends_are_drawn_by_weight() {
    let (mut pools, pool) = pool_of(&[3, 1], Balance::LeastOutstanding);
    let chosen = placed(&mut pools, pool, &names(4000));
    let counts = counts(&chosen, 2);
    assert!((2850..=3150).contains(&counts[0]), "{counts:?}");
}

#[test]
fn an_answer_makes_room() {
    let (mut pools, pool) = pool_of(&[1, 1], Balance::LeastOutstanding);
    let mut random = seeded(4);
    let first = first_attempt(&mut pools, pool, &root(), &mut random);
    pools.began(&first);
    let second = first_attempt(&mut pools, pool, &root(), &mut random);
    pools.began(&second);
    assert_ne!(first.backend, second.backend);
    pools.ended(second.backend, End::Answered(Verdict::Answer, Duration::from_millis(1)), Time(0));
    assert_eq!(first_attempt(&mut pools, pool, &root(), &mut random).backend, second.backend);
}

#[test]
fn a_name_is_placed_by_itself_whatever_its_case_and_whoever_places_it() {
    let (mut pools, pool) = pool_of(&[1, 1, 1], Balance::Hash);
    let lower = placed(&mut pools, pool, &names(50));
    let upper: Vec<_> = (0..50).map(|number| name(&format!("HOST{number}.Example"))).collect();
    assert_eq!(placed(&mut pools, pool, &upper), lower);
    let mut other = Pools::new(vec![pools.get(pool).unwrap().config().clone()], &mut seeded(77)).unwrap();
    let id = other.find("p").unwrap();
    assert_eq!(placed(&mut other, id, &names(50)), lower);
}

#[test]
fn names_are_placed_by_weight() {
    let (mut pools, pool) = pool_of(&[3, 1, 1], Balance::Hash);
    let counts = counts(&placed(&mut pools, pool, &names(5000)), 3);
    assert!((2850..=3150).contains(&counts[0]), "{counts:?}");
    assert!((900..=1100).contains(&counts[1]), "{counts:?}");
}

#[test]
fn a_failure_moves_the_names_of_the_failed_backend_alone_and_spreads_them() {
    let (mut pools, pool) = pool_of(&[1, 1, 1, 1], Balance::Hash);
    let names = names(4000);
    let before = placed(&mut pools, pool, &names);
    take_down(&mut pools, pool, 2);
    let after = placed(&mut pools, pool, &names);
    let moved: Vec<_> = before.iter().zip(&after).filter(|(was, is)| was != is).collect();
    assert!(moved.iter().all(|(was, _)| **was == 2));
    assert_eq!(moved.len(), counts(&before, 4)[2]);
    let to = counts(&moved.iter().map(|(_, is)| **is).collect::<Vec<_>>(), 4);
    assert!([to[0], to[1], to[3]].iter().all(|&count| count > moved.len() / 4), "{to:?}");
}

/// The backends that a flight asks, one after another, without success.
fn tried(pools: &mut Pools, pool: PoolId, setbacks: usize) -> Vec<usize> {
    let (mut flights, mut random) = (flights(), seeded(5));
    let Joined::First(ticket) = flights.join(b"key", pool, 0, || Ask::new(root(), Type::NS)) else { panic!() };
    let mut tried = Vec::new();
    for _ in 0..setbacks {
        match flights.next_attempt(ticket.flight, pools, Time(0), &mut random).unwrap() {
            NextAttempt::Ask(Attempt { backend, .. }) => tried.push(backend.index()),
            NextAttempt::GiveUp(_) => break,
        }
        flights.set_back(ticket.flight, Setback::Silence);
    }
    tried
}

fn retrying(weights: &[u32], balance: Balance) -> (Pools, PoolId) {
    pools(PoolConfig { balance, attempts: 6, ..PoolConfig::new("p", backends(weights)) })
}

const BALANCES: [Balance; 3] = [Balance::LeastOutstanding, Balance::Hash, Balance::RoundRobin];

#[test]
fn a_retry_goes_to_each_other_backend_first_and_never_twice_in_a_row_to_one() {
    for balance in BALANCES {
        let (mut pools, pool) = retrying(&[1, 1, 1], balance);
        let tried = tried(&mut pools, pool, 9);
        assert_eq!(tried.len(), 6, "{balance:?}");
        let mut first = tried[..3].to_vec();
        first.sort_unstable();
        assert_eq!(first, [0, 1, 2], "{balance:?}");
        assert!(tried.windows(2).all(|pair| pair[0] != pair[1]), "{balance:?}: {tried:?}");
    }
}

#[test]
fn the_only_backend_that_works_is_asked_again_rather_than_one_that_is_down() {
    for balance in BALANCES {
        let (mut pools, pool) = retrying(&[1, 1, 1], balance);
        take_down(&mut pools, pool, 0);
        take_down(&mut pools, pool, 2);
        assert_eq!(tried(&mut pools, pool, 9), [1; 6], "{balance:?}");
    }
}

#[test]
fn if_no_backend_works_all_are_tried() {
    for balance in BALANCES {
        let (mut pools, pool) = retrying(&[1, 1, 1], balance);
        (0..3).for_each(|index| take_down(&mut pools, pool, index));
        let mut tried = tried(&mut pools, pool, 3);
        tried.sort_unstable();
        assert_eq!(tried, [0, 1, 2], "{balance:?}");
    }
}

#[test]
fn what_is_known_of_a_backend_survives_a_reload_and_old_ids_do_not() {
    let (mut old, pool) = pool_of(&[1, 1], Balance::Hash);
    take_down(&mut old, pool, 1);
    let mut changed = backends(&[1, 1, 1]);
    changed.swap(0, 1);
    let mut new = Pools::new(vec![PoolConfig::new("p", changed)], &mut seeded(6)).unwrap();
    new.adopt(&old);
    assert!(new.get(pool).is_none());
    let states: Vec<_> = new
        .iter()
        .next()
        .unwrap()
        .backends()
        .map(|(_, backend)| (backend.config().name.clone(), backend.state()))
        .collect();
    let expected = [("b1", HealthState::Down), ("b0", HealthState::Up), ("b2", HealthState::Up)];
    assert_eq!(states, expected.map(|(name, state)| (name.to_owned(), state)));
}

#[test]
fn pools_that_cannot_work_are_refused() {
    let good = || PoolConfig::new("p", backends(&[1, 1]));
    let many: Vec<BackendConfig> = backends(&[1; 129]);
    let twice = vec![backends(&[1]).remove(0), backends(&[2]).remove(0)];
    let cases = [
        (vec![good(), good()], PoolProblem::Name),
        (vec![PoolConfig::new("p", Vec::new())], PoolProblem::Backends(0)),
        (vec![PoolConfig::new("p", many)], PoolProblem::Backends(129)),
        (vec![PoolConfig::new("p", twice)], PoolProblem::BackendName("b0".to_owned())),
        (vec![PoolConfig::new("p", backends(&[1, 0]))], PoolProblem::Weight("b1".to_owned(), 0)),
        (vec![PoolConfig { attempts: 0, ..good() }], PoolProblem::Zero("attempts")),
        (vec![PoolConfig { timeout: Duration::ZERO, ..good() }], PoolProblem::Zero("timeout")),
    ];
    for (configs, problem) in cases {
        assert_eq!(Pools::new(configs, &mut seeded(7)).unwrap_err().problem, problem);
    }
}

proptest! {
    #[test]
    fn a_backend_is_always_found(
        weights in prop::collection::vec(1u32..=65_535, 1..20),
        down in any::<u32>(),
        balance in prop::sample::select(BALANCES.to_vec()),
    ) {
        let (mut pools, pool) = retrying(&weights, balance);
        for index in (0..weights.len()).filter(|index| down >> index & 1 == 1) {
            take_down(&mut pools, pool, index);
        }
        let all_down = (0..weights.len()).all(|index| down >> index & 1 == 1);
        let tried = tried(&mut pools, pool, 6);
        prop_assert_eq!(tried.len(), 6);
        prop_assert!(tried.iter().all(|&index| all_down || down >> index & 1 == 0));
    }
}
