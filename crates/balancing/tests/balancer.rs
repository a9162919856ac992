//! A balancer as an engine uses it.

use std::collections::BTreeSet;
use std::sync::Arc;

use afpa_balancing::{
    Admission, BackendAddress, BackendConfig, Balancer, Choice, FailureKind, LocalityConfig, Outcome, PoolConfig,
    Registry, StickyConfig, Strategy, Unavailable, Waiting, hash,
};

const ANY: Choice<'static> = Choice { hash: None, sticky: None, excluded: &[] };

fn backend(name: &str) -> BackendConfig {
    let address = BackendAddress::Inet("192.0.2.1:80".parse().unwrap());
    BackendConfig { name: name.into(), ..BackendConfig::new(address) }
}

fn names(balancer: &mut Balancer, requests: usize) -> Vec<String> {
    let mut name = |_| {
        let index = balancer.choose(&ANY, 1).unwrap();
        balancer.config(index).unwrap().name.clone()
    };
    (0..requests).map(&mut name).collect()
}

#[test]
fn a_request_goes_waits_or_is_refused() {
    let only = BackendConfig { max_requests: 2, ..backend("a") };
    let pool = Registry::new().update_pool(PoolConfig::new("p", vec![only]), 1).unwrap();
    let mut balancer = Balancer::new(pool, 1);
    let mut waiting = Waiting::new(1);
    for _ in 0..2 {
        let Admission::Go(index) = balancer.admit(&ANY, &waiting, 1) else { panic!("there is room") };
        balancer.began(index);
    }
    assert_eq!(balancer.admit(&ANY, &waiting, 1), Admission::Wait);
    waiting.push("first", 100).unwrap();
    assert_eq!(balancer.admit(&ANY, &waiting, 1), Admission::Refuse(Unavailable::Full));
    let index = balancer.indices().next().unwrap();
    balancer.ended(index, Outcome::Success, 5, 2);
    assert_eq!(balancer.admit(&ANY, &waiting, 2), Admission::Refuse(Unavailable::Full), "who waits comes first");
    assert_eq!(waiting.pop(), Some("first"));
    assert_eq!(balancer.choose(&ANY, 2), Ok(index));
}

#[test]
fn connections_are_limited_and_so_are_the_requests_on_them() {
    let only = BackendConfig { max_connections: 1, streams: 2, ..backend("a") };
    let pool = Registry::new().update_pool(PoolConfig::new("p", vec![only]), 1).unwrap();
    let mut balancer = Balancer::new(pool, 1);
    let index = balancer.choose(&ANY, 1).unwrap();
    assert!(balancer.may_connect(index));
    balancer.connected(index);
    balancer.began(index);
    assert!(!balancer.may_connect(index));
    assert_eq!(balancer.choose(&ANY, 1), Ok(index), "the connection has another stream");
    balancer.began(index);
    assert_eq!(balancer.choose(&ANY, 1), Err(Unavailable::Full));
    balancer.disconnected(index);
    assert!(balancer.may_connect(index));
}

#[test]
fn a_backend_that_left_is_known_until_its_last_request_ends() {
    let mut registry = Registry::new();
    let both = registry.update_pool(PoolConfig::new("p", vec![backend("a"), backend("b")]), 1).unwrap();
    let mut balancer = Balancer::new(both, 1);
    let index_of = |balancer: &Balancer, name: &str| {
        balancer.indices().find(|&index| balancer.config(index).unwrap().name == name).unwrap()
    };
    let (a, b) = (index_of(&balancer, "a"), index_of(&balancer, "b"));
    balancer.began(a);
    balancer.update(registry.update_pool(PoolConfig::new("p", vec![backend("b"), backend("c")]), 2).unwrap());
    assert_eq!(balancer.in_flight(a), 1);
    assert!(!balancer.keeps_connections(a) && balancer.keeps_connections(b));
    assert_eq!(index_of(&balancer, "b"), b, "what stays has the same index");
    assert!(names(&mut balancer, 8).iter().all(|name| name != "a"));
    balancer.ended(a, Outcome::Success, 1, 3);
    assert!(balancer.config(a).is_none());
    balancer.ended(a, Outcome::Success, 1, 3);
    balancer.update(registry.update_pool(PoolConfig::new("p", vec![backend("b"), backend("d")]), 4).unwrap());
    let d = index_of(&balancer, "d");
    assert!(a != d && balancer.config(a).is_none(), "an old index never names another backend");
}

#[test]
fn clients_stay_with_their_backend() {
    let sticky = StickyConfig::new("b", [9; 16]);
    let config = PoolConfig { sticky: Some(sticky.clone()), ..PoolConfig::new("p", vec![backend("a"), backend("b")]) };
    let mut registry = Registry::new();
    let pool = registry.update_pool(config.clone(), 1).unwrap();
    let mut balancer = Balancer::new(pool.clone(), 1);
    let mut cookie = Vec::new();
    let first = balancer.choose(&ANY, 1).unwrap();
    assert!(balancer.set_cookie(first, None, &mut cookie));
    let pair = cookie.split(|&octet| octet == b';').next().unwrap();
    let value = sticky.find(pair).unwrap().to_vec();
    let with_cookie = Choice { sticky: Some(&value), ..ANY };
    for _ in 0..5 {
        assert_eq!(balancer.choose(&with_cookie, 1), Ok(first));
    }
    let mut none = Vec::new();
    assert!(!balancer.set_cookie(first, Some(&value), &mut none) && none.is_empty(), "the client has it already");

    // A backend that drains gets the requests of its own clients only.
    let mut draining = config.clone();
    let name = balancer.config(first).unwrap().name.clone();
    draining.backends.iter_mut().find(|backend| backend.name == name).unwrap().draining = true;
    balancer.update(registry.update_pool(draining, 2).unwrap());
    assert_eq!(balancer.choose(&with_cookie, 2), Ok(first));
    assert!(names(&mut balancer, 8).iter().all(|other| *other != name));

    // When it does not work, or was tried, another takes over, and the cookie changes.
    let excluded = [first];
    let other = balancer.choose(&Choice { excluded: &excluded, ..with_cookie }, 2).unwrap();
    assert_ne!(other, first);
    balancer.state(first).unwrap().checked(false, 1, 1, 3);
    assert_eq!(balancer.choose(&with_cookie, 3), Ok(other));
    assert!(balancer.set_cookie(other, Some(&value), &mut none));
    let invented = Choice { sticky: Some(b"0000000000000000"), ..ANY };
    assert_eq!(balancer.choose(&invented, 3), Ok(other));
}

#[test]
fn what_fails_in_a_row_is_ejected_and_comes_back() {
    let pool = PoolConfig::new("p", vec![backend("a"), backend("b")]);
    let mut balancer = Balancer::new(Registry::new().update_pool(pool, 1).unwrap(), 1);
    let bad = balancer.choose(&ANY, 1).unwrap();
    let mut ejections = Vec::new();
    for _ in 0..5 {
        assert!(ejections.is_empty());
        balancer.began(bad);
        ejections = balancer.ended(bad, Outcome::Failure(FailureKind::Connect), 7, 10);
    }
    let [ejection] = &ejections[..] else { panic!("{ejections:?}") };
    assert!(Arc::ptr_eq(&ejection.backend, balancer.state(bad).unwrap()));
    for _ in 0..5 {
        assert_ne!(balancer.choose(&ANY, ejection.until - 1), Ok(bad));
    }
    assert!((0..2).any(|_| balancer.choose(&ANY, ejection.until) == Ok(bad)));
}

#[test]
fn a_target_stays_with_its_backend_over_a_reload() {
    let strategy = Strategy::Locality(LocalityConfig::default());
    let config = PoolConfig { strategy, ..PoolConfig::new("p", vec![backend("a"), backend("b"), backend("c")]) };
    let mut registry = Registry::new();
    let mut balancer = Balancer::new(registry.update_pool(config.clone(), 1).unwrap(), 1);
    let target = Choice { hash: Some(hash(b"/film")), ..ANY };
    let first = balancer.choose(&target, 1).unwrap();
    balancer.began(first);
    let fewer = config.backends.iter().filter(|b| Some(*b) == balancer.config(first) || b.name == "c").cloned();
    let fewer = PoolConfig { backends: fewer.collect(), ..config.clone() };
    balancer.update(registry.update_pool(fewer, 2).unwrap());
    assert_eq!(balancer.choose(&target, 2), Ok(first), "although another has nothing to do");
}

#[test]
fn a_new_backend_gets_its_share_little_by_little() {
    let config = |names: &[&str]| PoolConfig {
        slow_start_ns: 1000,
        ..PoolConfig::new("p", names.iter().map(|name| backend(name)).collect())
    };
    let mut registry = Registry::new();
    let mut balancer = Balancer::new(registry.update_pool(config(&["a"]), 1).unwrap(), 1);
    balancer.update(registry.update_pool(config(&["a", "b"]), 1000).unwrap());
    let mut share = |now: u64| {
        let chosen = (0..110).filter(|_| {
            let index = balancer.choose(&ANY, now).unwrap();
            balancer.config(index).unwrap().name == "b"
        });
        chosen.count()
    };
    assert_eq!(share(1000), 10, "a tenth of the weight");
    assert!((30..=40).contains(&share(1500)), "half of the weight: a third of the requests");
    assert_eq!(share(2000), 55);
}

#[test]
fn engines_do_not_all_start_with_the_same_backend() {
    let config = PoolConfig::new("p", ["a", "b", "c", "d"].map(backend).to_vec());
    let pool = Registry::new().update_pool(config, 1).unwrap();
    let first: BTreeSet<_> = (0..32).flat_map(|seed| names(&mut Balancer::new(pool.clone(), seed), 1)).collect();
    assert_eq!(first.len(), 4);
}
