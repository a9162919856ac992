//! What the kernel's tables say, found without an index and kept without a cache.

use std::net::IpAddr;

use afpa_platform::netlink::{Address, Change, NeighbourState, Route};
use afpa_wire::MacAddress;

use crate::neighbours::{LinkHeader, Next};

/// The tables as they were told, oldest first.
#[derive(Default)]
pub(super) struct Model {
    vlan: Option<u16>,
    own: MacAddress,
    addresses: Vec<(Address, u32)>,
    routes: Vec<(Route, u32)>,
    neighbours: Vec<(IpAddr, NeighbourState, u32)>,
    snapshot: u32,
}

impl Model {
    pub(super) fn new(vlan: Option<u16>) -> Model {
        Model { vlan, ..Model::default() }
    }

    pub(super) fn apply(&mut self, change: &Change) {
        let snapshot = self.snapshot;
        match change {
            Change::SnapshotBegins => self.snapshot += 1,
            Change::SnapshotEnds => {
                self.addresses.retain(|(_, told)| *told == snapshot);
                self.routes.retain(|(_, told)| *told == snapshot);
                self.neighbours.retain(|(_, _, told)| *told == snapshot);
            }
            Change::Link(link) => self.own = link.address.map_or(self.own, MacAddress),
            Change::Address(told) => {
                self.addresses.retain(|(address, _)| address.address != told.address);
                self.addresses.extend(told.present.then_some((*told, snapshot)));
            }
            Change::Route(told) => self.route(told),
            Change::Neighbour(told) => {
                self.neighbours.retain(|(address, _, _)| *address != told.address);
                let is_there = told.state != NeighbourState::Absent;
                self.neighbours.extend(is_there.then_some((told.address, told.state, snapshot)));
            }
        }
    }

    /// The way that packets to `remote` go.
    pub(super) fn next(&self, remote: IpAddr, arrived_from: Option<MacAddress>) -> Next {
        let next_hop = self.best(remote).map(|route| route.gateway.unwrap_or(remote));
        let neighbour = self.neighbours.iter().find(|(address, _, _)| Some(*address) == next_hop);
        let known = match neighbour {
            Some((_, NeighbourState::Reachable(link) | NeighbourState::Stale(link), _)) => Some(MacAddress(*link)),
            _ => None,
        };
        match (known.or(arrived_from), next_hop) {
            (Some(link), _) => Next::Known(LinkHeader::new(link, self.own, self.vlan, remote)),
            (None, Some(next_hop)) => Next::Unknown(next_hop),
            (None, None) => Next::NoRoute,
        }
    }

    /// Which addresses packets to `remote` may come from; none if there is none.
    pub(super) fn sources(&self, remote: IpAddr) -> Vec<IpAddr> {
        if let Some(named) = self.best(remote).and_then(|route| route.source) {
            return vec![named];
        }
        let usable = || self.addresses.iter().map(|(a, _)| a).filter(|a| a.is_usable);
        let fits = usable().filter(|a| a.address.is_ipv4() == remote.is_ipv4());
        let near: Vec<_> = fits.clone().filter(|a| covers(a.address, a.prefix, remote)).map(|a| a.address).collect();
        if near.is_empty() { fits.map(|a| a.address).collect() } else { near }
    }

    fn route(&mut self, told: &Route) {
        let is_same_network =
            |route: &Route| route.prefix == told.prefix && covers(route.destination, route.prefix, told.destination);
        let is_same = |route: &Route| route.metric == told.metric && route.gateway == told.gateway;
        if told.present && !told.replaces {
            let known = |(route, _): &&mut (Route, u32)| {
                is_same_network(route) && is_same(route) && route.source == told.source
            };
            if let Some((_, snapshot)) = self.routes.iter_mut().find(known) {
                *snapshot = self.snapshot;
                return;
            }
        }
        let gives_way = |route: &Route| is_same(route) || told.replaces && route.metric == told.metric;
        self.routes.retain(|(route, _)| !(is_same_network(route) && gives_way(route)));
        self.routes.extend(told.present.then_some((*told, self.snapshot)));
    }

    /// The longest prefix, then the lowest metric, then the oldest.
    fn best(&self, remote: IpAddr) -> Option<&Route> {
        let routes = self.routes.iter().map(|(route, _)| route);
        let fitting = routes.filter(|route| covers(route.destination, route.prefix, remote));
        fitting.min_by_key(|route| (u8::MAX - route.prefix, route.metric))
    }
}

/// Whether both addresses have the same first `prefix` bits.
fn covers(network: IpAddr, prefix: u8, address: IpAddr) -> bool {
    let differing = match (network, address) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        _ => return false,
    };
    differing >= u32::from(prefix)
}
