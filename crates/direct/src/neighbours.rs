//! Where a packet goes next: the link header for a remote address, from the kernel's routes and
//! neighbours.

use std::collections::hash_map::{Entry, RandomState};
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::time::Duration;

use afpa_platform::netlink::{self, Change, NeighbourState};
use afpa_tcp::Time;
use afpa_wire::{MacAddress, ethernet};

/// Routes that are kept; later ones are left out and counted. Without its route, a peer is answered the
/// way its frames came.
const ROUTES: usize = 65_536;
/// Neighbours that are kept; the same holds beyond them.
const NEIGHBOURS: usize = 16_384;
/// Addresses of the interface that are kept.
const ADDRESSES: usize = 1_024;
/// Next hops that are waiting to be resolved, or were asked for lately; beyond them none is asked for,
/// until some have got an answer or their second has passed. The kernel's own table overflows at 1,024
/// by default, and whoever forges sources in our network must not get it there.
const WANTED: usize = 256;
/// Of these, those for which a way back is known, so that a flood does not keep away those without.
const WANTED_BESIDES: usize = WANTED / 2;
/// A next hop is asked for once in this time. The kernel repeats its own requests in between.
const PATIENCE: Duration = Duration::from_secs(1);
/// Link headers kept ready: a power of two. A remote address has two places; the older gives way.
const PREPARED: usize = 4_096;

/// An Ethernet header without payload: 14 octets, or 18 with a VLAN's tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkHeader {
    octets: [u8; ethernet::TAGGED_HEADER_LEN],
    len: u8,
}

impl LinkHeader {
    /// The header of a frame that carries an IP packet to `remote`.
    pub fn new(destination: MacAddress, source: MacAddress, vlan: Option<u16>, remote: IpAddr) -> LinkHeader {
        let ether_type = if remote.is_ipv4() { ethernet::IPV4 } else { ethernet::IPV6 };
        let mut octets = [0; ethernet::TAGGED_HEADER_LEN];
        let len = ethernet::Header { destination, source, vlan, ether_type }.write(&mut octets);
        LinkHeader { octets, len: len as u8 }
    }

    /// The octets to put before the IP header.
    pub fn as_bytes(&self) -> &[u8] {
        &self.octets[..usize::from(self.len)]
    }
}

/// What is known about the way to a remote address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// The frame's header.
    Known(LinkHeader),
    /// The next hop has no link address yet. It is asked for ([`Neighbours::wanted`]); what is to be sent
    /// is dropped, and TCP sends it again.
    Unknown(IpAddr),
    /// No route leaves through this interface, and nothing came from there.
    NoRoute,
}

/// An interface's routes and neighbours, as the kernel tells them. Does no input or output: whoever owns
/// the [`Netlink`](netlink::Netlink) passes each change to [`Neighbours::apply`] and each of
/// [`Neighbours::wanted`] to [`resolve`](netlink::Netlink::resolve).
///
/// Bounded: 65,536 routes, 16,384 neighbours, 1,024 addresses; 4,096 headers are kept ready. Beyond that,
/// routes and neighbours are left out ([`Neighbours::left_out`]), and headers are computed anew.
pub struct Neighbours {
    vlan: Option<u16>,
    source: MacAddress,
    link: Option<netlink::Link>,
    addresses: Vec<(netlink::Address, u32)>,
    routes: Routes,
    neighbours: HashMap<IpAddr, (NeighbourState, u32)>,
    wanted: Wanted,
    prepared: Prepared,
    /// Counts snapshots: what was not told in the last one is gone.
    snapshot: u32,
    left_out: u64,
}

impl Neighbours {
    /// Knows nothing yet, not even the interface's own link address. `vlan` is the tag control
    /// information (IEEE 802.1Q) of frames to be sent, if they carry one.
    pub fn new(vlan: Option<u16>) -> Neighbours {
        Neighbours {
            vlan,
            source: MacAddress([0; 6]),
            link: None,
            addresses: Vec::new(),
            routes: Routes::default(),
            neighbours: HashMap::new(),
            wanted: Wanted::default(),
            prepared: Prepared::new(),
            snapshot: 0,
            left_out: 0,
        }
    }

    /// Takes a change over. Headers that are kept ready are forgotten if any of them may be wrong now.
    pub fn apply(&mut self, change: &Change) {
        let alters = match change {
            Change::SnapshotBegins => {
                self.snapshot = self.snapshot.wrapping_add(1);
                false
            }
            Change::SnapshotEnds => self.sweep(),
            Change::Link(link) => self.set_link(link),
            Change::Address(address) => self.set_address(address),
            Change::Route(route) => self.set_route(route),
            Change::Neighbour(neighbour) => self.set_neighbour(neighbour),
        };
        if alters {
            self.prepared.forget();
        }
    }

    /// The link header for packets to `remote`. `arrived_from` is the link address from which the peer's
    /// last frame came: the way back, as long as the kernel knows no better.
    ///
    /// No allocation and one probe if the answer is kept ready; else a probe for each prefix length among the
    /// routes.
    pub fn link_header(&mut self, remote: IpAddr, arrived_from: Option<MacAddress>) -> Next {
        if let Some(header) = self.prepared.get(remote) {
            return Next::Known(header);
        }
        let next_hop = self.routes.find(remote).map(|route| route.gateway.unwrap_or(remote));
        let state = next_hop.and_then(|next_hop| self.neighbours.get(&next_hop)).map(|(state, _)| *state);
        if let Some(next_hop) = next_hop.filter(|_| !matches!(state, Some(NeighbourState::Reachable(_)))) {
            let is_urgent = arrived_from.is_none() || matches!(state, Some(NeighbourState::Stale(_)));
            self.wanted.want(next_hop, is_urgent);
        }
        match (state, next_hop, arrived_from) {
            (Some(NeighbourState::Reachable(address) | NeighbourState::Stale(address)), _, _) => {
                let header = LinkHeader::new(MacAddress(address), self.source, self.vlan, remote);
                self.prepared.put(remote, header);
                Next::Known(header)
            }
            // Not kept: two connections with one remote address may have come two ways.
            (_, _, Some(address)) => Next::Known(LinkHeader::new(address, self.source, self.vlan, remote)),
            (_, Some(next_hop), None) => Next::Unknown(next_hop),
            (_, None, None) => Next::NoRoute,
        }
    }

    /// A next hop that the kernel is to resolve or confirm: one that was needed since it was last given
    /// out, and that not within the last second. Call it until it has no more.
    pub fn wanted(&mut self, now: Time) -> Option<IpAddr> {
        self.wanted.take(now)
    }

    /// The address to send from to `remote`: the one that its route names, else a usable one of the
    /// interface, of the remote's network if there is one.
    pub fn source_for(&self, remote: IpAddr) -> Option<IpAddr> {
        let named = self.routes.find(remote).and_then(|route| route.source);
        let usable = || {
            let addresses = self.addresses.iter().map(|(address, _)| address);
            addresses.filter(|a| a.is_usable && a.address.is_ipv4() == remote.is_ipv4())
        };
        let is_near = |a: &&netlink::Address| network(a.address, a.prefix) == network(remote, a.prefix);
        named.or_else(|| usable().find(is_near).or_else(|| usable().next()).map(|a| a.address))
    }

    /// The addresses of the interface that may be used.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.iter().filter(|(address, _)| address.is_usable).map(|(address, _)| address.address)
    }

    /// The interface as last told.
    pub fn link(&self) -> Option<&netlink::Link> {
        self.link.as_ref().filter(|link| link.present)
    }

    /// How many routes, neighbours and addresses were left out because their table was full.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    fn set_link(&mut self, link: &netlink::Link) -> bool {
        let source = link.address.map_or(self.source, MacAddress);
        let alters = source != self.source;
        self.source = source;
        self.link = Some(*link);
        alters
    }

    fn set_address(&mut self, told: &netlink::Address) -> bool {
        self.addresses.retain(|(address, _)| address.address != told.address);
        if told.present && self.addresses.len() < ADDRESSES {
            self.addresses.push((*told, self.snapshot));
        } else if told.present {
            self.left_out += 1;
        }
        false
    }

    fn set_route(&mut self, told: &netlink::Route) -> bool {
        let outcome = self.routes.set(told, self.snapshot);
        self.left_out += u64::from(outcome == Set::Full);
        outcome == Set::Altered
    }

    fn set_neighbour(&mut self, told: &netlink::Neighbour) -> bool {
        self.wanted.answered(told);
        let room = self.neighbours.len() < NEIGHBOURS;
        match (self.neighbours.entry(told.address), told.state) {
            (Entry::Occupied(entry), NeighbourState::Absent) => {
                entry.remove();
                true
            }
            (Entry::Vacant(_), NeighbourState::Absent) => false,
            (Entry::Occupied(mut entry), state) => {
                let (before, _) = entry.insert((state, self.snapshot));
                before != state
            }
            (Entry::Vacant(entry), state) if room => {
                entry.insert((state, self.snapshot));
                // No header was made from an entry that was not there.
                false
            }
            (Entry::Vacant(_), _) => {
                self.left_out += 1;
                false
            }
        }
    }

    /// Removes what the snapshot that ends has not told.
    fn sweep(&mut self) -> bool {
        let snapshot = self.snapshot;
        let before = self.neighbours.len();
        self.addresses.retain(|(_, told)| *told == snapshot);
        self.neighbours.retain(|_, (_, told)| *told == snapshot);
        self.routes.sweep(snapshot) || self.neighbours.len() < before
    }
}

/// Routes, found by the longest prefix that matches.
#[derive(Default)]
struct Routes {
    /// By version, prefix length and network; of each the routes by rising metric.
    networks: HashMap<Network, Vec<Route>>,
    /// How many networks there are of each prefix length, for each version.
    lengths: [Vec<u32>; 2],
    len: usize,
}

type Network = (u8, IpAddr);

struct Route {
    gateway: Option<IpAddr>,
    source: Option<IpAddr>,
    metric: u32,
    snapshot: u32,
}

/// What became of a route that was told.
#[derive(PartialEq, Eq)]
enum Set {
    Altered,
    Same,
    Full,
}

impl Routes {
    fn find(&self, remote: IpAddr) -> Option<&Route> {
        let lengths = self.lengths[usize::from(remote.is_ipv6())].iter().enumerate().rev();
        let mut used = lengths.filter(|(_, count)| **count > 0);
        used.find_map(|(length, _)| self.networks.get(&network(remote, length as u8))?.first())
    }

    fn set(&mut self, told: &netlink::Route, snapshot: u32) -> Set {
        let network = network(told.destination, told.prefix);
        if !told.present {
            return self.alter(network, |routes| routes.retain(|route| !is_same(route, told)));
        }
        let routes = self.networks.get_mut(&network).map(Vec::as_mut_slice).unwrap_or_default();
        let gives_way = |route: &Route| is_same(route, told) || told.replaces && route.metric == told.metric;
        let is_new = !routes.iter().any(gives_way);
        let known = routes.iter_mut().find(|route| is_same(route, told) && route.source == told.source);
        if let Some(route) = known.filter(|_| !told.replaces) {
            route.snapshot = snapshot;
            return Set::Same;
        }
        if self.len >= ROUTES && is_new {
            return Set::Full;
        }
        let route = Route { gateway: told.gateway, source: told.source, metric: told.metric, snapshot };
        self.alter(network, |routes| {
            routes.retain(|route| !gives_way(route));
            let place = routes.partition_point(|other| other.metric <= route.metric);
            routes.insert(place, route);
        })
    }

    fn sweep(&mut self, snapshot: u32) -> bool {
        let is_old = |routes: &Vec<Route>| routes.iter().any(|route| route.snapshot != snapshot);
        let old: Vec<Network> =
            self.networks.iter().filter(|(_, routes)| is_old(routes)).map(|(network, _)| *network).collect();
        for network in &old {
            self.alter(*network, |routes| routes.retain(|route| route.snapshot == snapshot));
        }
        !old.is_empty()
    }

    /// Changes the routes to one network, and keeps count.
    fn alter(&mut self, network: Network, change: impl FnOnce(&mut Vec<Route>)) -> Set {
        let routes = self.networks.entry(network).or_default();
        let before = routes.len();
        change(routes);
        let after = routes.len();
        if after == 0 {
            self.networks.remove(&network);
        }
        self.len = self.len - before + after;
        let lengths = &mut self.lengths[usize::from(network.1.is_ipv6())];
        lengths.resize(129, 0);
        let count = &mut lengths[usize::from(network.0.min(128))];
        *count = *count - u32::from(before > 0) + u32::from(after > 0);
        if before == 0 && after == 0 { Set::Same } else { Set::Altered }
    }
}

fn is_same(route: &Route, told: &netlink::Route) -> bool {
    route.metric == told.metric && route.gateway == told.gateway
}

/// The network of this prefix length in which the address lies.
fn network(address: IpAddr, prefix: u8) -> Network {
    let network = match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32u32.saturating_sub(prefix.into())).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128u32.saturating_sub(prefix.into())).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    };
    (prefix, network)
}

/// Next hops that are to be asked for, each at most once in [`PATIENCE`].
#[derive(Default)]
struct Wanted {
    queue: VecDeque<IpAddr>,
    /// Those in the queue (`None`), and those asked for, with the time.
    asked: HashMap<IpAddr, Option<Time>>,
    swept: Time,
}

impl Wanted {
    fn want(&mut self, next_hop: IpAddr, is_urgent: bool) {
        let limit = if is_urgent { WANTED } else { WANTED_BESIDES };
        if self.asked.len() < limit && !self.asked.contains_key(&next_hop) {
            self.asked.insert(next_hop, None);
            self.queue.push_back(next_hop);
        }
    }

    fn take(&mut self, now: Time) -> Option<IpAddr> {
        if now.since(self.swept) >= PATIENCE {
            self.swept = now;
            self.asked.retain(|_, asked| asked.is_none_or(|asked| now.since(asked) < PATIENCE));
        }
        let next_hop = self.queue.pop_front()?;
        self.asked.insert(next_hop, Some(now));
        Some(next_hop)
    }

    /// A neighbour that is known needs to be asked for no more; if it becomes stale, at once.
    fn answered(&mut self, told: &netlink::Neighbour) {
        if matches!(told.state, NeighbourState::Reachable(_))
            && self.asked.get(&told.address).is_some_and(Option::is_some)
        {
            self.asked.remove(&told.address);
        }
    }
}

/// Link headers kept ready by remote address. A place is chosen by a keyed hash, so that nobody can choose
/// addresses that share one.
struct Prepared {
    places: Box<[Place]>,
    hasher: RandomState,
    /// Places of other generations are empty.
    generation: u32,
}

#[derive(Clone, Copy)]
struct Place {
    remote: IpAddr,
    generation: u32,
    header: LinkHeader,
}

impl Prepared {
    fn new() -> Prepared {
        let header = LinkHeader { octets: [0; ethernet::TAGGED_HEADER_LEN], len: 0 };
        let empty = Place { remote: IpAddr::from([0; 4]), generation: 0, header };
        Prepared { places: vec![empty; PREPARED].into(), hasher: RandomState::new(), generation: 1 }
    }

    fn get(&self, remote: IpAddr) -> Option<LinkHeader> {
        let first = self.first_place(remote);
        let pair = self.places.get(first..first + 2)?;
        let found = pair.iter().find(|place| place.generation == self.generation && place.remote == remote)?;
        Some(found.header)
    }

    fn put(&mut self, remote: IpAddr, header: LinkHeader) {
        let first = self.first_place(remote);
        self.places[first + 1] = self.places[first];
        self.places[first] = Place { remote, generation: self.generation, header };
    }

    fn forget(&mut self) {
        // After 2^32 changes a generation comes again; its places must not.
        self.generation = self.generation.wrapping_add(1);
        if self.generation == 0 {
            self.generation = 1;
            self.places.iter_mut().for_each(|place| place.generation = 0);
        }
    }

    fn first_place(&self, remote: IpAddr) -> usize {
        // The addresses' octets only: the hash of an IpAddr takes several steps more.
        let hash = match remote {
            IpAddr::V4(address) => self.hasher.hash_one(address.to_bits()),
            IpAddr::V6(address) => self.hasher.hash_one(address.to_bits()),
        };
        hash as usize % (PREPARED / 2) * 2
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OURS: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const GATEWAY: [u8; 6] = [2, 0, 0, 0, 0, 2];
    const PEER: MacAddress = MacAddress([2, 0, 0, 0, 0, 3]);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn route(network: &str, gateway: Option<&str>, metric: u32) -> netlink::Route {
        let (destination, prefix) = network.split_once('/').unwrap();
        netlink::Route {
            present: true,
            replaces: false,
            destination: ip(destination),
            prefix: prefix.parse().unwrap(),
            gateway: gateway.map(ip),
            metric,
            source: None,
        }
    }

    fn neighbour(address: &str, state: NeighbourState) -> Change {
        Change::Neighbour(netlink::Neighbour { address: ip(address), state })
    }

    /// An interface in 10.0.0.0/24 with a default route over 10.0.0.254.
    fn interface() -> Neighbours {
        let mut neighbours = Neighbours::new(None);
        let link = netlink::Link { present: true, mtu: 1500, address: Some(OURS), is_up: true, has_carrier: true };
        let ours = netlink::Address { present: true, address: ip("10.0.0.1"), prefix: 24, is_usable: true };
        neighbours.apply(&Change::Link(link));
        neighbours.apply(&Change::Address(ours));
        neighbours.apply(&Change::Route(route("10.0.0.0/24", None, 0)));
        neighbours.apply(&Change::Route(route("0.0.0.0/0", Some("10.0.0.254"), 0)));
        neighbours
    }

    /// The link address that packets to `remote` go to.
    fn destination(neighbours: &mut Neighbours, remote: &str) -> Option<[u8; 6]> {
        match neighbours.link_header(ip(remote), None) {
            Next::Known(header) => header.as_bytes()[..6].try_into().ok(),
            _ => None,
        }
    }

    #[test]
    fn a_header_is_that_of_the_next_hop() {
        let mut neighbours = interface();
        assert_eq!(neighbours.link_header(ip("192.0.2.7"), None), Next::Unknown(ip("10.0.0.254")));
        neighbours.apply(&neighbour("10.0.0.254", NeighbourState::Reachable(GATEWAY)));
        for _ in 0..2 {
            let Next::Known(header) = neighbours.link_header(ip("192.0.2.7"), Some(PEER)) else { panic!("unknown") };
            assert_eq!(header.as_bytes(), [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
        }
        assert_eq!(neighbours.link_header(ip("10.0.0.7"), None), Next::Unknown(ip("10.0.0.7")));
        assert_eq!(neighbours.link_header(ip("2001:db8::1"), None), Next::NoRoute);
    }

    #[test]
    fn a_tag_goes_before_the_type() {
        let header = LinkHeader::new(PEER, MacAddress(OURS), Some(0x2005), ip("fd00::1"));
        assert_eq!(header.as_bytes()[12..], [0x81, 0, 0x20, 5, 0x86, 0xdd]);
    }

    #[test]
    fn the_longest_prefix_decides_then_the_metric() {
        let mut neighbours = interface();
        for (address, last) in [("10.0.0.254", 2), ("10.0.0.11", 11), ("10.0.0.12", 12), ("10.0.0.13", 13)] {
            neighbours.apply(&neighbour(address, NeighbourState::Reachable([2, 0, 0, 0, 0, last])));
        }
        let [wide, near, far] = [("192.0.0.0/8", 11, 5), ("192.0.2.0/24", 12, 9), ("192.0.2.0/24", 13, 10)]
            .map(|(network, via, metric)| route(network, Some(&format!("10.0.0.{via}")), metric));
        let mut check = |change: &netlink::Route, expected: u8| {
            neighbours.apply(&Change::Route(*change));
            assert_eq!(destination(&mut neighbours, "192.0.2.1").map(|address| address[5]), Some(expected));
        };
        check(&wide, 11);
        check(&far, 13);
        check(&near, 12);
        check(&netlink::Route { present: false, ..near }, 13);
        check(&netlink::Route { gateway: Some(ip("10.0.0.12")), replaces: true, ..far }, 12);
        check(&netlink::Route { present: false, gateway: Some(ip("10.0.0.12")), ..far }, 11);
        check(&netlink::Route { present: false, ..wide }, 2);
    }

    #[test]
    fn what_the_kernel_does_not_know_goes_back_the_way_it_came() {
        let mut neighbours = interface();
        let back = LinkHeader::new(PEER, MacAddress(OURS), None, ip("10.0.0.7"));
        assert_eq!(neighbours.link_header(ip("10.0.0.7"), Some(PEER)), Next::Known(back));
        assert_eq!(neighbours.link_header(ip("10.0.0.7"), None), Next::Unknown(ip("10.0.0.7")));
        neighbours.apply(&neighbour("10.0.0.7", NeighbourState::Failed));
        assert_eq!(neighbours.link_header(ip("10.0.0.7"), Some(PEER)), Next::Known(back));
        neighbours.apply(&neighbour("10.0.0.7", NeighbourState::Reachable(GATEWAY)));
        assert_eq!(destination(&mut neighbours, "10.0.0.7"), Some(GATEWAY));
        neighbours.apply(&neighbour("10.0.0.7", NeighbourState::Absent));
        assert_eq!(destination(&mut neighbours, "10.0.0.7"), None);
        assert!(matches!(neighbours.link_header(ip("fd00::1"), Some(PEER)), Next::Known(_)));
    }

    #[test]
    fn a_next_hop_is_asked_for_once_a_second_and_confirmed_when_stale() {
        let mut neighbours = interface();
        let second = |n: u64| Time(n * 1_000_000_000);
        for _ in 0..3 {
            neighbours.link_header(ip("10.0.0.7"), Some(PEER));
        }
        assert_eq!(neighbours.wanted(second(1)), Some(ip("10.0.0.7")));
        neighbours.link_header(ip("10.0.0.7"), Some(PEER));
        assert_eq!(neighbours.wanted(second(1)), None);
        assert_eq!(neighbours.wanted(second(3)), None, "nobody needs it");
        neighbours.link_header(ip("10.0.0.7"), Some(PEER));
        assert_eq!(neighbours.wanted(second(3)), Some(ip("10.0.0.7")));
        neighbours.apply(&neighbour("10.0.0.7", NeighbourState::Reachable(GATEWAY)));
        neighbours.link_header(ip("10.0.0.7"), None);
        assert_eq!(neighbours.wanted(second(9)), None);
        neighbours.apply(&neighbour("10.0.0.7", NeighbourState::Stale(GATEWAY)));
        assert_eq!(destination(&mut neighbours, "10.0.0.7"), Some(GATEWAY));
        assert_eq!(neighbours.wanted(second(9)), Some(ip("10.0.0.7")));
    }

    #[test]
    fn a_flood_of_forged_neighbours_leaves_room_for_a_needed_one() {
        let mut neighbours = interface();
        neighbours.apply(&Change::Route(route("10.0.0.0/8", None, 0)));
        for number in 0..10_000u32 {
            neighbours.link_header(IpAddr::from((0x0a01_0000 + number).to_be_bytes()), Some(PEER));
        }
        neighbours.link_header(ip("192.0.2.1"), None);
        let asked: Vec<_> = std::iter::from_fn(|| neighbours.wanted(Time(5))).collect();
        assert_eq!(asked.len(), WANTED_BESIDES + 1);
        assert_eq!(asked.last(), Some(&ip("10.0.0.254")));
    }

    #[test]
    fn a_snapshot_drops_what_it_does_not_tell() {
        let mut neighbours = interface();
        neighbours.apply(&neighbour("10.0.0.254", NeighbourState::Reachable(GATEWAY)));
        neighbours.apply(&neighbour("10.0.0.7", NeighbourState::Reachable(PEER.0)));
        neighbours.apply(&Change::SnapshotBegins);
        assert_eq!(destination(&mut neighbours, "192.0.2.1"), Some(GATEWAY), "still the best that is known");
        neighbours.apply(&Change::Route(route("10.0.0.0/24", None, 0)));
        neighbours.apply(&neighbour("10.0.0.7", NeighbourState::Reachable(PEER.0)));
        neighbours.apply(&Change::SnapshotEnds);
        assert_eq!(neighbours.link_header(ip("192.0.2.1"), None), Next::NoRoute);
        assert_eq!(destination(&mut neighbours, "10.0.0.7"), Some(PEER.0));
        assert_eq!(neighbours.addresses().count(), 0);
    }

    #[test]
    fn the_source_is_the_routes_or_one_of_the_remotes_network() {
        let mut neighbours = interface();
        let second = netlink::Address { present: true, address: ip("172.16.0.1"), prefix: 16, is_usable: true };
        neighbours.apply(&Change::Address(second));
        assert_eq!(neighbours.source_for(ip("172.16.9.9")), Some(ip("172.16.0.1")));
        assert_eq!(neighbours.source_for(ip("192.0.2.1")), Some(ip("10.0.0.1")));
        assert_eq!(neighbours.source_for(ip("fd00::1")), None);
        let named = netlink::Route { source: Some(ip("172.16.0.1")), ..route("192.0.2.0/24", Some("10.0.0.254"), 0) };
        neighbours.apply(&Change::Route(named));
        assert_eq!(neighbours.source_for(ip("192.0.2.1")), Some(ip("172.16.0.1")));
    }

    #[test]
    fn tables_are_bounded() {
        let mut neighbours = interface();
        for number in 0..70_000u32 {
            let destination = IpAddr::from((0x1400_0000 + (number << 8)).to_be_bytes());
            neighbours.apply(&Change::Route(netlink::Route { destination, ..route("0.0.0.0/24", None, 0) }));
            let address = IpAddr::from((0x0a01_0000 + number).to_be_bytes());
            let state = NeighbourState::Reachable(GATEWAY);
            neighbours.apply(&Change::Neighbour(netlink::Neighbour { address, state }));
        }
        assert_eq!(neighbours.left_out(), (70_002 - ROUTES as u64) + (70_000 - NEIGHBOURS as u64));
    }

    proptest! {
        #[test]
        fn what_is_kept_ready_is_what_would_be_found_anew(
            steps in prop::collection::vec((0u8..4, 0u8..8, 0u8..8, 0u32..3), 1..120),
        ) {
            let (mut kept, mut log) = (interface(), Vec::new());
            for (kind, a, b, metric) in steps {
                let network = format!("10.0.{}.0/{}", a * 32, 16 + b);
                let gateway = format!("10.0.0.{b}");
                let change = match kind {
                    0 => Change::Route(route(&network, (b > 0).then_some(gateway.as_str()), metric)),
                    1 => Change::Route(netlink::Route { present: false, ..route(&network, Some(&gateway), metric) }),
                    2 => neighbour(&format!("10.0.0.{a}"), NeighbourState::Reachable([2, 0, 0, 0, b, a])),
                    _ => neighbour(&format!("10.0.0.{a}"), NeighbourState::Absent),
                };
                log.push(change);
                kept.apply(&change);
                let mut anew = interface();
                log.iter().for_each(|change| anew.apply(change));
                for remote in ["10.0.0.3", "10.0.64.1", "10.0.224.9", "192.0.2.1"] {
                    prop_assert_eq!(kept.link_header(ip(remote), None), anew.link_header(ip(remote), None));
                }
            }
        }
    }
}
