//! What the tests of `upstream` share.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use afpa_dns::message::{Name, NameBuf, Type};
use afpa_dns::upstream::{
    Ask, Attempt, BackendConfig, FlightLimits, Flights, Joined, NextAttempt, PoolConfig, PoolId, Pools,
};
use afpa_engine::Time;

/// SplitMix64.
pub(crate) fn seeded(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = state;
        number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ number >> 31
    }
}

pub(crate) fn name(text: &str) -> NameBuf {
    text.parse().unwrap()
}

/// Backends `b0`, `b1` and so on, with these weights.
pub(crate) fn backends(weights: &[u32]) -> Vec<BackendConfig> {
    let backend = |(index, &weight): (usize, &u32)| {
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, index as u8)), 53);
        BackendConfig { name: format!("b{index}"), weight, ..BackendConfig::new(address) }
    };
    weights.iter().enumerate().map(backend).collect()
}

pub(crate) fn pools(config: PoolConfig) -> (Pools, PoolId) {
    let pools = Pools::new(vec![config], &mut seeded(1)).unwrap();
    let id = pools.iter().next().unwrap().id();
    (pools, id)
}

pub(crate) fn flights() -> Flights<u32> {
    Flights::new(FlightLimits::default())
}

/// The first attempt for a question about `name`, and nothing left behind.
pub(crate) fn first_attempt(
    pools: &mut Pools,
    pool: PoolId,
    name: &NameBuf,
    random: &mut impl FnMut() -> u64,
) -> Attempt {
    let mut flights = flights();
    let ask = || Ask::new(name.clone(), Type::A);
    let Joined::First(ticket) = flights.join(name.as_name().as_wire(), pool, 0, ask) else { panic!("not the first") };
    match flights.next_attempt(ticket.flight, pools, Time(0), random) {
        Some(NextAttempt::Ask(attempt)) => attempt,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn root() -> NameBuf {
    Name::ROOT.to_owned()
}

/// An attempt at the first backend of `pool`, over UDP with EDNS.
pub(crate) fn attempt(pools: &Pools, pool: PoolId) -> Attempt {
    let (backend, _) = pools.get(pool).unwrap().backends().next().unwrap();
    Attempt { backend, tcp: false, edns: true, timeout: Duration::from_secs(2) }
}
