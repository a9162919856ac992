//! What the kernel tells of an interface, in namespaces that the tests make.

use std::net::IpAddr;

use afpa_platform::netlink::{Change, Neighbour, NeighbourState, Netlink, interface_index};

mod link;

use link::{Pair, privileged};

/// Applies what `netlink` tells until `until` says that it is enough.
fn wait(netlink: &mut Netlink, mut until: impl FnMut(&Change) -> bool) {
    let mut is_over = false;
    while !is_over {
        link::readable(netlink.descriptor());
        netlink.drain(&mut |change| is_over |= until(&change)).unwrap();
    }
}

fn snapshot(netlink: &mut Netlink) -> Vec<Change> {
    let mut changes = Vec::new();
    netlink.snapshot(&mut |change| changes.push(change)).unwrap();
    changes
}

#[test]
fn an_interface_is_told_as_the_operator_set_it() {
    let Some(pair) = privileged(|| Pair::new("tell")) else { return };
    pair.near("ip route add 192.0.2.0/24 via 10.77.0.2 metric 7");
    pair.near("ip -6 route add default via fd77::2");
    pair.near("ip route add 198.51.100.0/24 nexthop via 10.77.0.2 nexthop via 10.77.0.3");
    pair.near("ip neigh add 10.77.0.9 lladdr 02:00:00:00:00:09 dev near nud permanent");
    let told = pair.inside_near(|| {
        let mut netlink = Netlink::subscribe(interface_index("near").unwrap()).unwrap();
        snapshot(&mut netlink)
    });
    assert_eq!((told.first(), told.last()), (Some(&Change::SnapshotBegins), Some(&Change::SnapshotEnds)));
    let routes: Vec<_> = told.iter().filter_map(|c| if let Change::Route(r) = c { Some(*r) } else { None }).collect();
    let routed = |destination: &str, prefix: u8| -> Vec<Option<IpAddr>> {
        let destination: IpAddr = destination.parse().unwrap();
        let found = routes.iter().filter(|r| r.present && r.destination == destination && r.prefix == prefix);
        found.map(|r| r.gateway).collect()
    };
    let gateway = |text: &str| Some(text.parse::<IpAddr>().unwrap());
    assert_eq!(routed("192.0.2.0", 24), [gateway("10.77.0.2")]);
    assert_eq!(routed("10.77.0.0", 24), [None]);
    assert_eq!(routed("fd77::", 64), [None]);
    assert_eq!(routed("::", 0), [gateway("fd77::2")]);
    assert_eq!(routed("198.51.100.0", 24), [gateway("10.77.0.2"), gateway("10.77.0.3")]);
    assert!(routes.iter().any(|r| r.metric == 7) && routed("127.0.0.0", 8).is_empty());
    let link = told.iter().find_map(|c| if let Change::Link(l) = c { Some(*l) } else { None }).unwrap();
    assert!(link.present && link.is_up && link.has_carrier && link.mtu == 1500);
    assert_eq!(link.address, Some([2, 0, 0, 0, 0, 1]));
    let addresses: Vec<_> =
        told.iter().filter_map(|c| if let Change::Address(a) = c { Some(a.address) } else { None }).collect();
    assert!(addresses.contains(&gateway("10.77.0.1").unwrap()) && addresses.contains(&gateway("fd77::1").unwrap()));
    let state = NeighbourState::Reachable([2, 0, 0, 0, 0, 9]);
    let neighbour = Neighbour { address: gateway("10.77.0.9").unwrap(), state };
    assert!(told.contains(&Change::Neighbour(neighbour)));
}

#[test]
fn changes_are_told_when_they_happen() {
    let Some(pair) = privileged(|| Pair::new("change")) else { return };
    pair.inside_near(|| {
        let mut netlink = Netlink::subscribe(interface_index("near").unwrap()).unwrap();
        snapshot(&mut netlink);
        pair.near("ip link set near mtu 1400");
        wait(&mut netlink, |change| matches!(change, Change::Link(link) if link.mtu == 1400));
        pair.near("ip link set near address 02:00:00:00:00:77");
        wait(&mut netlink, |c| matches!(c, Change::Link(link) if link.address == Some([2, 0, 0, 0, 0, 0x77])));
        pair.near("ip route add 203.0.113.0/24 via 10.77.0.2");
        wait(&mut netlink, |change| matches!(change, Change::Route(route) if route.present && route.prefix == 24));
        pair.near("ip route replace 203.0.113.0/24 via 10.77.0.3");
        let gateway: IpAddr = "10.77.0.3".parse().unwrap();
        wait(&mut netlink, |c| matches!(c, Change::Route(r) if r.replaces && r.gateway == Some(gateway)));
        pair.near("ip route del 203.0.113.0/24");
        wait(&mut netlink, |change| matches!(change, Change::Route(route) if !route.present));
        // Its routes go without notice: a snapshot tells what is left.
        pair.near("ip link set near down");
        let (mut is_down, mut routes) = (false, 0);
        wait(&mut netlink, |change| {
            match change {
                Change::Link(link) => is_down |= !link.is_up,
                Change::SnapshotBegins => routes = 0,
                Change::Route(route) => routes += u32::from(route.present && route.destination.is_ipv4()),
                _ => {}
            }
            is_down && *change == Change::SnapshotEnds
        });
        assert_eq!(routes, 0);
    });
}

#[test]
fn a_neighbour_is_resolved_by_the_kernel_and_confirmed() {
    let Some(pair) = privileged(|| Pair::new("resolve")) else { return };
    pair.inside_near(|| {
        let mut netlink = Netlink::subscribe(interface_index("near").unwrap()).unwrap();
        snapshot(&mut netlink);
        for address in ["10.77.0.2", "fd77::2"] {
            let address: IpAddr = address.parse().unwrap();
            netlink.resolve(address).unwrap();
            let known = Neighbour { address, state: NeighbourState::Reachable([2, 0, 0, 0, 0, 2]) };
            wait(&mut netlink, |change| *change == Change::Neighbour(known));
            pair.near(&format!("ip neigh change {address} dev near nud stale"));
            let stale = Neighbour { address, state: NeighbourState::Stale([2, 0, 0, 0, 0, 2]) };
            wait(&mut netlink, |change| *change == Change::Neighbour(stale));
            netlink.confirm(address).unwrap();
            wait(&mut netlink, |change| *change == Change::Neighbour(known));
            pair.near(&format!("ip neigh del {address} dev near"));
            let is_gone = |state| matches!(state, NeighbourState::Absent | NeighbourState::Failed);
            wait(&mut netlink, |change| matches!(change, Change::Neighbour(n) if is_gone(n.state)));
        }
        // Nobody there: the kernel says so, after its three requests.
        pair.near("ip ntable change name arp_cache dev near retrans 20");
        let nobody: IpAddr = "10.77.0.200".parse().unwrap();
        netlink.resolve(nobody).unwrap();
        wait(&mut netlink, |c| *c == Change::Neighbour(Neighbour { address: nobody, state: NeighbourState::Failed }));
        netlink.confirm("10.77.0.201".parse().unwrap()).unwrap();
        snapshot(&mut netlink);
        assert_eq!(netlink.refused(), 1, "what is not known cannot be confirmed");
    });
}

#[test]
fn changes_that_were_lost_are_made_up_for_by_a_snapshot() {
    let Some(pair) = privileged(|| Pair::new("lost")) else { return };
    const ROUTES: u32 = 20_000;
    let batch = |action: &str| -> String {
        (0..ROUTES)
            .map(|number| format!("route {action} 20.{}.{}.0/24 via 10.77.0.2\n", number >> 8, number & 255))
            .collect()
    };
    pair.inside_near(|| {
        let mut netlink = Netlink::subscribe(interface_index("near").unwrap()).unwrap();
        snapshot(&mut netlink);
        for (action, left) in [("add", ROUTES), ("del", 0)] {
            pair.feed_near("ip -batch -", &batch(action));
            let (mut snapshots, mut routes) = (0, 0);
            while snapshots == 0 {
                wait(&mut netlink, |change| {
                    match change {
                        Change::SnapshotBegins => routes = 0,
                        Change::Route(route) if route.gateway.is_some() => routes += u32::from(route.present),
                        Change::SnapshotEnds => snapshots += 1,
                        _ => {}
                    }
                    true
                });
            }
            assert_eq!(routes, left, "{action}");
        }
    });
}
