//! Who may be answered by the driver, and whether anybody.

use std::net::IpAddr;

use afpa_dns::driver::{Audience, Obstacle, budget};
use afpa_dns::protect::{AccessList, ClientRateConfig, Network, NetworkSet, ResponseRateConfig};
use afpa_dns::route::{FixedAnswer, RouteAction, RouteConfig};
use afpa_platform::steering::Admission;
use proptest::collection::vec;
use proptest::prelude::*;

/// The groups that the program finds a client in: those of the smallest network that it is in.
fn groups(admissions: &[Admission], client: IpAddr) -> u32 {
    let is_in = |admission: &&Admission| Network::around(admission.address, admission.prefix).contains(client);
    admissions.iter().filter(is_in).max_by_key(|admission| admission.prefix).map_or(0, |admission| admission.groups)
}

/// Few enough that they lie in each other.
fn network() -> impl Strategy<Value = Network> {
    let address = prop_oneof![
        (0u8..4, 0u8..4).prop_map(|(third, last)| IpAddr::from([10, 0, third, last])),
        (0u16..4, 0u16..4).prop_map(|(third, last)| IpAddr::from([0x2001, 0xdb8, third, 0, 0, 0, 0, last])),
    ];
    let prefix = prop_oneof![Just(0u8), Just(8), Just(22), Just(24), Just(31), Just(32), Just(48), Just(128)];
    (address, prefix).prop_map(|(address, prefix)| Network::around(address, prefix))
}

fn access_list() -> impl Strategy<Value = AccessList> {
    let set = || vec(network(), 0..6).prop_map(|networks| networks.into_iter().collect::<NetworkSet>());
    prop_oneof![
        4 => (set(), set()).prop_map(|(allow, deny)| AccessList::new(allow, deny)),
        1 => Just(AccessList::everybody()),
        1 => Just(AccessList::local()),
    ]
}

proptest! {
    #[test]
    fn the_program_answers_those_who_may_ask(
        forward in access_list(),
        zones in access_list(),
        clients in vec((0u8..4, 0u8..4, any::<bool>()), 20),
    ) {
        let audience = Audience::new(&forward, &zones);
        for (third, last, is_v4) in clients {
            let client = if is_v4 {
                IpAddr::from([10, 0, third, last])
            } else {
                IpAddr::from([0x2001, 0xdb8, third.into(), 0, 0, 0, 0, last.into()])
            };
            let found = groups(&audience.admissions, client);
            let is_answered = |groups: u32| groups == 0 || found & groups > 0;
            prop_assert_eq!(is_answered(audience.forwarded), forward.allows(client), "{}", client);
            prop_assert_eq!(is_answered(audience.zones), zones.allows(client), "{}", client);
        }
    }
}

#[test]
fn what_is_for_everybody_needs_no_networks() {
    let audience = Audience::new(&AccessList::everybody(), &AccessList::everybody());
    assert_eq!(audience, Audience { admissions: Vec::new(), forwarded: 0, zones: 0 });
}

#[test]
fn what_only_engines_can_do_stands_in_the_way() {
    let route = |clients: &[Network]| RouteConfig {
        suffixes: Vec::new(),
        qtypes: Vec::new(),
        qclass: None,
        clients: clients.to_vec(),
        action: RouteAction::Fixed(FixedAnswer::Refused),
    };
    let some = [route(&[Network::around(IpAddr::from([10, 0, 0, 0]), 8)])];
    assert_eq!(Obstacle::among(None, &[route(&[])], false), None);
    assert_eq!(Obstacle::among(Some(&ClientRateConfig::default()), &[], false), Some(Obstacle::ClientRate));
    assert_eq!(Obstacle::among(None, &some, false), Some(Obstacle::Routes));
    assert_eq!(Obstacle::among(None, &[], true), Some(Obstacle::QueryLog));
}

#[test]
fn answers_have_the_budget_of_one_network() {
    assert_eq!(budget(None), 0);
    assert_eq!(budget(Some(&ResponseRateConfig { responses_per_second: 50, ..ResponseRateConfig::default() })), 50);
}
