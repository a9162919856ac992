//! Networks, and sets of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use afpa_wire::network::{Network, NetworkError, NetworkSet};
use proptest::prelude::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn set(networks: &[&str]) -> NetworkSet {
    networks.iter().map(|text| text.parse::<Network>().unwrap()).collect()
}

#[test]
fn networks_are_read_and_shown() {
    for (text, shown) in [
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("192.0.2.7/32", "192.0.2.7/32"),
        ("::/0", "::/0"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("::1", "::1/128"),
    ] {
        assert_eq!(text.parse::<Network>().map(|network| network.to_string()), Ok(shown.to_owned()), "{text}");
    }
}

#[test]
fn networks_contain_the_addresses_of_their_prefix() {
    for (network, inside, outside) in [
        ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
        ("0.0.0.0/0", "255.0.0.1", "::1"),
        ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
        ("192.0.2.0/31", "::ffff:192.0.2.1", "192.0.2.2"),
        ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
        ("::/0", "fe80::1", "127.0.0.1"),
        ("::1", "::1", "::2"),
    ] {
        let network: Network = network.parse().unwrap();
        assert!(network.contains(ip(inside)), "{inside} in {network}");
        assert!(!network.contains(ip(outside)), "{outside} in {network}");
    }
}

#[test]
fn a_network_covers_the_smaller_ones_in_it() {
    for (outer, inner, covers) in [
        ("10.0.0.0/8", "10.1.0.0/16", true),
        ("10.0.0.0/8", "10.0.0.0/8", true),
        ("10.0.0.0/8", "10.0.0.0/7", false),
        ("10.0.0.0/8", "11.0.0.0/16", false),
        ("::/0", "10.0.0.0/8", false),
        ("::/0", "fe80::/10", true),
    ] {
        let network = |text: &str| text.parse::<Network>().unwrap();
        assert_eq!(network(outer).covers(&network(inner)), covers, "{inner} in {outer}");
    }
}

#[test]
fn what_is_no_network_is_told_why() {
    for text in ["", "/", "/24", "192.0.2/24", "192.0.2.256/24", "example.com", "[::1]/128", "::1%lo/128", " ::1"] {
        assert_eq!(text.parse::<Network>(), Err(NetworkError::Address), "{text}");
    }
    for (text, most) in [
        ("10.0.0.0/", 32),
        ("10.0.0.0/33", 32),
        ("10.0.0.0/+8", 32),
        ("10.0.0.0/-1", 32),
        ("10.0.0.0/8/8", 32),
        ("10.0.0.0/255.0.0.0", 32),
        ("::/129", 128),
        ("::/256", 128),
        ("::/ 8", 128),
        ("::ffff:10.0.0.0/129", 128),
    ] {
        let error = text.parse::<Network>().unwrap_err();
        assert_eq!(error, NetworkError::Length { most }, "{text}");
        assert_eq!(error.to_string(), format!("its prefix is a number from 0 to {most}"));
    }
    // Mapped addresses are IPv4's: there is no prefix of both families.
    for (text, network) in [
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:192.0.2.7/120", "192.0.2.0/24"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::ffff:0:0/95", "0.0.0.0/0"),
    ] {
        let error = text.parse::<Network>().unwrap_err();
        assert_eq!(error, NetworkError::Mapped(network.parse().unwrap()), "{text}");
        assert_eq!(error.to_string(), format!("write {network}"));
    }
    for (text, around) in [
        ("192.0.2.7/24", "192.0.2.0/24"),
        ("0.0.0.1/0", "0.0.0.0/0"),
        ("2001:db8::1/64", "2001:db8::/64"),
        ("fd00::1/8", "fd00::/8"),
    ] {
        let around = around.parse().unwrap();
        assert_eq!(text.parse::<Network>(), Err(NetworkError::HostBits(around)), "{text}");
    }
    let error = "192.0.2.7/24".parse::<Network>().unwrap_err();
    assert_eq!(error.to_string(), "it has host bits; write 192.0.2.0/24");
    for text in ["10/8", "localhost"] {
        assert_eq!(text.parse::<Network>(), Err(NetworkError::Address), "{text}");
    }
}

#[test]
fn the_longest_match_is_the_smallest_network() {
    let set = set(&["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3", "10.200.0.0/16", "2001:db8::/32", "::/0"]);
    for (address, network) in [
        ("10.1.2.3", Some("10.1.2.3/32")),
        ("10.1.2.4", Some("10.1.2.0/24")),
        ("10.1.3.0", Some("10.1.0.0/16")),
        ("10.201.0.1", Some("10.0.0.0/8")),
        ("::ffff:10.1.2.3", Some("10.1.2.3/32")),
        ("9.255.255.255", None),
        ("11.0.0.0", None),
        ("2001:db8::1", Some("2001:db8::/32")),
        ("2001:db9::1", Some("::/0")),
        ("::", Some("::/0")),
    ] {
        let found = set.longest_match(ip(address)).map(|network| network.to_string());
        assert_eq!(found.as_deref(), network, "{address}");
        assert_eq!(set.contains(ip(address)), network.is_some(), "{address}");
    }
}

#[test]
fn families_do_not_meet() {
    assert!(!set(&["::/0"]).contains(ip("192.0.2.1")));
    assert!(!set(&["::/0"]).contains(ip("::ffff:192.0.2.1")));
    assert!(!set(&["0.0.0.0/0"]).contains(ip("::")));
    assert!(!set(&["0.0.0.0/0"]).contains(ip("::192.0.2.1")));
    assert!(set(&["0.0.0.0/0"]).contains(ip("::ffff:192.0.2.1")));
}

#[test]
fn an_empty_set_contains_nothing() {
    let none = NetworkSet::default();
    assert!(none.is_empty() && !none.contains(ip("::")) && !none.contains(ip("0.0.0.0")));
}

/// Addresses of a few bits, so that networks and addresses meet often.
fn addresses() -> impl Strategy<Value = IpAddr> {
    let few_bits = |bits: u32| (0..bits, any::<u8>()).prop_map(move |(shift, value)| (shift, u128::from(value)));
    prop_oneof![
        few_bits(32).prop_map(|(shift, value)| Ipv4Addr::from_bits((value << shift) as u32).into()),
        few_bits(32)
            .prop_map(|(shift, value)| { Ipv4Addr::from_bits((value << shift) as u32).to_ipv6_mapped().into() }),
        few_bits(128).prop_map(|(shift, value)| Ipv6Addr::from_bits(value << shift).into()),
        any::<IpAddr>(),
    ]
}

/// The network test as a textbook has it: octets of one family, compared bit by bit.
fn is_within(address: IpAddr, network: &Network) -> bool {
    let octets = |address: IpAddr| match address.to_canonical() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let (ours, theirs) = (octets(address), octets(network.address()));
    let bit = |octets: &[u8], at: usize| octets[at / 8] >> (7 - at % 8) & 1;
    ours.len() == theirs.len() && (0..usize::from(network.prefix_length())).all(|at| bit(&ours, at) == bit(&theirs, at))
}

proptest! {
    #[test]
    fn a_set_finds_what_looking_at_every_network_finds(
        networks in prop::collection::vec((addresses(), 0..=128u8), 0..200),
        asked in prop::collection::vec(addresses(), 50),
    ) {
        let networks: Vec<_> = networks.iter().map(|&(address, length)| Network::around(address, length)).collect();
        let set = NetworkSet::new(networks.iter().copied());
        let edges = networks.iter().map(Network::address);
        for address in asked.into_iter().chain(edges) {
            let longest = networks.iter().filter(|network| is_within(address, network));
            let longest = longest.max_by_key(|network| network.prefix_length()).copied();
            prop_assert_eq!(set.longest_match(address), longest, "{}", address);
            prop_assert_eq!(set.contains(address), longest.is_some());
        }
    }

    #[test]
    fn what_is_shown_is_read_again(address: IpAddr, length in 0..=128u8) {
        let network = Network::around(address, length);
        prop_assert_eq!(network.to_string().parse(), Ok(network));
        prop_assert_eq!(Network::new(network.address(), network.prefix_length()), Ok(network));
        prop_assert!(network.covers(&Network::around(address, u8::MAX)));
        prop_assert!(network.contains(address) && network.contains(network.address()));
    }

    #[test]
    fn any_text_is_a_network_or_an_error(text in prop_oneof![any::<String>(), "[0-9a-f:./+ -]{0,40}"]) {
        if let Ok(network) = text.parse::<Network>() {
            prop_assert!(network.contains(network.address()));
        }
    }
}
