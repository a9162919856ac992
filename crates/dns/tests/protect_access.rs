//! Who may ask.

use std::net::IpAddr;

use afpa_dns::protect::{AccessList, Network, NetworkSet};

#[test]
fn recursion_is_for_local_networks_by_default() {
    let local = AccessList::local();
    for address in [
        "127.0.0.1",
        "127.255.0.1",
        "::1",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.0.9",
        "fc00::1",
        "fdff::1",
        "fe80::1",
        "febf::1",
        "::ffff:10.0.0.1",
    ] {
        assert!(local.allows(ip(address)), "{address}");
    }
    for address in [
        "0.0.0.0",
        "8.8.8.8",
        "128.0.0.1",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.1.1",
        "192.169.0.0",
        "169.253.0.1",
        "100.64.0.1",
        "255.255.255.255",
        "::",
        "::2",
        "fe00::1",
        "fec0::1",
        "2001:db8::1",
        "::ffff:8.8.8.8",
    ] {
        assert!(!local.allows(ip(address)), "{address}");
    }
}

#[test]
fn zones_are_for_everybody_by_default() {
    for address in ["0.0.0.0", "203.0.113.9", "::", "2001:db8::1", "::ffff:203.0.113.9", "255.255.255.255"] {
        assert!(AccessList::everybody().allows(ip(address)), "{address}");
    }
}

#[test]
fn deny_wins_over_a_longer_allow() {
    let list = AccessList::new(set(&["0.0.0.0/0", "10.1.2.3"]), set(&["10.0.0.0/8"]));
    assert!(list.allows(ip("11.0.0.1")));
    assert!(!list.allows(ip("10.1.2.3")));
    assert!(!list.allows(ip("2001:db8::1")), "what is nowhere is not allowed");
    let list = AccessList::everybody().denying(set(&["10.0.0.0/8"]));
    assert!(list.allows(ip("11.0.0.1")) && list.allows(ip("2001:db8::1")) && !list.allows(ip("10.1.2.3")));
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn set(networks: &[&str]) -> NetworkSet {
    networks.iter().map(|text| text.parse::<Network>().unwrap()).collect()
}
