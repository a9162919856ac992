//! How much one client may ask for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use afpa_classes::{ClientLimits, Clients, Limit, Reason, Slot};
use proptest::prelude::*;

const SECOND: u64 = 1_000_000_000;
const KEY: [u8; 16] = *b"a secret for it!";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn rated(per_second: u64, burst: u64, entries: usize) -> Clients {
    let limits = ClientLimits { rate: Limit::per_second(per_second, burst), entries, ..ClientLimits::default() };
    Clients::new(limits, KEY)
}

/// Asks and ends at once.
fn asks(clients: &mut Clients, client: IpAddr, now: u64) -> bool {
    clients.arrive(client, now).map(|slot| clients.ended(slot)).is_ok()
}

#[test]
fn a_client_has_its_burst_and_then_its_rate() {
    let (mut clients, client) = (rated(2, 3, 100), ip("192.0.2.1"));
    assert_eq!((0..5).map(|_| asks(&mut clients, client, 0)).collect::<Vec<_>>(), [true, true, true, false, false]);
    let refusal = clients.arrive(client, 0).unwrap_err();
    assert_eq!((refusal.status(), refusal.retry_after, refusal.reason), (429, 1, Reason::ClientRate));
    assert!(asks(&mut clients, ip("192.0.2.2"), 0), "another client is not held up");
    assert!(!asks(&mut clients, client, SECOND / 2 - 1));
    assert!(asks(&mut clients, client, SECOND / 2), "being refused costs nothing");
    assert!(!asks(&mut clients, client, SECOND / 2));
}

#[test]
fn a_client_has_so_much_in_progress() {
    let mut clients = Clients::new(ClientLimits { in_flight: Some(2), ..ClientLimits::default() }, KEY);
    let client = ip("192.0.2.1");
    let slots: Vec<Slot> = (0..2).map(|_| clients.arrive(client, 0).unwrap()).collect();
    let refusal = clients.arrive(client, 0).unwrap_err();
    assert_eq!((refusal.status(), refusal.reason), (429, Reason::ClientInFlight));
    slots.into_iter().for_each(|slot| clients.ended(slot));
    assert!(asks(&mut clients, client, 0));
}

#[test]
fn addresses_of_one_network_are_one_client() {
    for (first, second, is_one) in [
        ("192.0.2.1", "192.0.2.2", false),
        ("192.0.2.1", "::ffff:192.0.2.1", true),
        ("2001:db8::1", "2001:db8::ffff:1", true),
        ("2001:db8::1", "2001:db8:0:1::1", false),
    ] {
        let mut clients = rated(1, 1, 100);
        assert!(asks(&mut clients, ip(first), 0));
        assert_eq!(!asks(&mut clients, ip(second), 0), is_one, "{first} {second}");
    }
}

#[test]
fn without_limits_nothing_is_kept() {
    let mut clients = Clients::new(ClientLimits::default(), KEY);
    assert!((0..1_000).all(|_| asks(&mut clients, ip("192.0.2.1"), 0)));
    assert_eq!(clients.octets(), 0);
}

#[test]
fn a_flood_of_addresses_does_not_push_out_who_is_over_the_limit() {
    let (mut clients, abuser) = (rated(1, 10, 64), ip("192.0.2.1"));
    let octets = clients.octets();
    assert_eq!((0..20).filter(|_| asks(&mut clients, abuser, 0)).count(), 10);
    for number in 0..100_000u32 {
        assert!(asks(&mut clients, IpAddr::V4(Ipv4Addr::from_bits(number)), 0));
    }
    assert!(!asks(&mut clients, abuser, 0));
    assert_eq!(clients.octets(), octets);
}

#[test]
fn in_a_table_full_of_what_is_in_progress_others_are_not_limited() {
    let limits = ClientLimits { in_flight: Some(1), entries: 8, ..ClientLimits::default() };
    let mut clients = Clients::new(limits, KEY);
    let address = |number: u32| IpAddr::V4(Ipv4Addr::from_bits(number));
    let slots: Vec<_> = (0..8).map(|number| clients.arrive(address(number), 0).unwrap()).collect();
    let uncounted: Vec<_> = (0..3).map(|_| clients.arrive(address(100), 0).unwrap()).collect();
    assert!((0..8).all(|number| clients.arrive(address(number), 0).is_err()), "those with an account are");
    slots.into_iter().chain(uncounted).for_each(|slot| clients.ended(slot));
    let kept = clients.arrive(address(100), 0).unwrap();
    assert!(clients.arrive(address(100), 0).is_err());
    clients.ended(kept);
}

#[test]
fn a_reload_keeps_accounts_and_an_old_slot_is_nobody_elses() {
    let limits = ClientLimits { in_flight: Some(1), entries: 8, ..ClientLimits::default() };
    let (mut clients, client) = (Clients::new(limits, KEY), ip("192.0.2.1"));
    let first = clients.arrive(client, 0).unwrap();
    clients.reload(ClientLimits { in_flight: Some(2), ..limits });
    let second = clients.arrive(client, 0).unwrap();
    assert!(clients.arrive(client, 0).is_err(), "the first still counts");
    clients.reload(ClientLimits { entries: 16, ..limits });
    let third = clients.arrive(client, 0).unwrap();
    clients.ended(first);
    clients.ended(second);
    assert!(clients.arrive(client, 0).is_err(), "the third is still in progress");
    clients.ended(third);
    assert!(asks(&mut clients, client, 0));
    clients.reload(ClientLimits::default());
    assert_eq!(clients.octets(), 0);
}

proptest! {
    #[test]
    fn never_more_than_the_limits(
        per_second in 1..1_000u64, burst in 1..20u64, most in 1..5u32,
        steps in prop::collection::vec((0..SECOND / 10, 0..4u16, any::<bool>()), 1..300),
    ) {
        let rate = Limit::per_second(per_second, burst);
        let limits = ClientLimits { rate, in_flight: Some(most), entries: 1_000, ..ClientLimits::default() };
        let mut clients = Clients::new(limits, KEY);
        let (mut now, mut had, mut open) = (0u64, [0u64; 4], [const { Vec::new() }; 4]);
        for (later, client, ends) in steps {
            now += later;
            let (which, address) = (usize::from(client), Ipv6Addr::new(0x2001, 0xdb8, 0, client, 0, 0, 0, later as u16));
            if ends && let Some(slot) = open[which].pop() {
                clients.ended(slot);
            }
            match clients.arrive(IpAddr::V6(address), now) {
                Ok(slot) => {
                    had[which] += 1;
                    open[which].push(slot);
                }
                Err(refusal) => prop_assert_eq!(refusal.status(), 429),
            }
            prop_assert!(open[which].len() <= most as usize);
            prop_assert!(had[which] <= now * per_second / SECOND + burst);
        }
    }

    #[test]
    fn no_time_and_no_limit_make_it_panic(
        amount in 1..=u64::MAX, burst: u64, engines in 1..1_000usize, entries in 0..100usize,
        prefixes: (u8, u8), steps in prop::collection::vec((any::<u64>(), any::<u128>()), 1..50),
    ) {
        let rate = Limit::per_second(amount, burst).map(|limit| limit.divided(engines));
        let (ipv4_prefix, ipv6_prefix) = prefixes;
        let mut clients = Clients::new(ClientLimits { rate, in_flight: None, ipv4_prefix, ipv6_prefix, entries }, KEY);
        for (now, address) in steps {
            asks(&mut clients, IpAddr::V6(Ipv6Addr::from_bits(address)), now);
        }
    }
}
