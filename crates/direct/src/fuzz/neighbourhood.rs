//! The way to a remote address, by what the kernel told.

use std::collections::HashMap;
use std::net::IpAddr;

use afpa_platform::netlink::{Address, Change, Link, Neighbour, NeighbourState, Route};
use afpa_tcp::Time;

use super::model::Model;
use super::program::Program;
use crate::neighbours::{Neighbours, Next};

/// Next hops that may be waiting to be asked for.
const WANTED: usize = 256;

/// Reads `data` as a program: changes of the kernel's tables in any order, packets to be sent, and time.
///
/// # Panics
/// If the way is another than that which the changes say, whatever is kept ready; or if a next hop is asked for that
/// nobody needs, or one twice in a second without having been found in between.
pub fn neighbours(data: &[u8]) {
    let mut program = Program::new(data);
    let vlan = (program.octet() & 1 != 0).then_some(0x2007);
    let mut neighbourhood = Neighbourhood {
        neighbours: Neighbours::new(vlan),
        model: Model::new(vlan),
        now: Time(1_000_000_000),
        needed: HashMap::new(),
    };
    while !program.is_over() {
        neighbourhood.step(&mut program);
    }
    assert_eq!(neighbourhood.neighbours.left_out(), 0, "there was room");
}

struct Neighbourhood {
    neighbours: Neighbours,
    model: Model,
    now: Time,
    /// Next hops that were needed, and when they were last asked for.
    needed: HashMap<IpAddr, Option<Time>>,
}

impl Neighbourhood {
    fn step(&mut self, program: &mut Program<'_>) {
        match program.octet() % 16 {
            0..=3 => self.send(program),
            4 => {
                self.now = Time(self.now.0 + program.duration());
                self.ask();
            }
            5 => self.ask(),
            6 => {
                let remote = program.address();
                let (source, sources) = (self.neighbours.source_for(remote), self.model.sources(remote));
                assert!(source.map_or(sources.is_empty(), |source| sources.contains(&source)), "from {source:?}");
            }
            what => {
                let change = change(what, program);
                self.neighbours.apply(&change);
                self.model.apply(&change);
                if let Change::Neighbour(Neighbour { address, state: NeighbourState::Reachable(_) }) = change {
                    self.needed.remove(&address);
                }
            }
        }
    }

    /// A packet is to be sent. Twice: the second time the header may be ready.
    fn send(&mut self, program: &mut Program<'_>) {
        let (remote, from) = (program.address(), program.octet());
        let arrived_from = (from & 1 != 0).then(|| program.link());
        for _ in 0..2 {
            let next = self.neighbours.link_header(remote, arrived_from);
            assert_eq!(next, self.model.next(remote, arrived_from), "to {remote}");
            if let Next::Unknown(next_hop) = next {
                self.needed.entry(next_hop).or_default();
            }
        }
    }

    fn ask(&mut self) {
        let mut asked = Vec::new();
        while let Some(next_hop) = self.neighbours.wanted(self.now) {
            assert!(!asked.contains(&next_hop) && asked.len() < WANTED, "{next_hop} is asked for again");
            let before = self.needed.insert(next_hop, Some(self.now)).flatten();
            let is_due = before.is_none_or(|before| self.now.0 - before.0 >= 1_000_000_000);
            assert!(is_due, "{next_hop} is asked for twice in a second");
            asked.push(next_hop);
        }
        // Those that nobody knows the way to, and that were not asked for of late, are asked for now.
        let forgotten = self.needed.iter().find(|(_, asked)| asked.is_none());
        assert_eq!(forgotten, None, "needed, and not asked for");
    }
}

fn change(what: u8, program: &mut Program<'_>) -> Change {
    match what {
        7 => match program.octet() % 4 {
            0 => Change::SnapshotBegins,
            1 => Change::SnapshotEnds,
            _ => {
                let address = (program.octet() & 1 != 0).then(|| program.link().0);
                Change::Link(Link { present: true, mtu: 1500, address, is_up: true, has_carrier: true })
            }
        },
        8 => {
            let (address, bits) = (program.address(), program.octet());
            let prefix = prefix(address, program.octet());
            Change::Address(Address { present: bits & 1 == 0, address, prefix, is_usable: bits & 2 == 0 })
        }
        9..=11 => {
            let (destination, bits) = (program.address(), program.octet());
            Change::Route(Route {
                present: bits & 1 == 0,
                replaces: bits & 3 == 2,
                destination,
                prefix: prefix(destination, program.octet()),
                gateway: (bits & 4 != 0).then(|| program.address()),
                metric: u32::from(bits >> 4 & 3),
                source: (bits & 8 != 0).then(|| program.address()).filter(|s| s.is_ipv4() == destination.is_ipv4()),
            })
        }
        _ => {
            let address = program.address();
            let state = match program.octet() % 8 {
                0 => NeighbourState::Absent,
                1 => NeighbourState::Incomplete,
                2 => NeighbourState::Failed,
                3..=5 => NeighbourState::Reachable(program.link().0),
                _ => NeighbourState::Stale(program.link().0),
            };
            Change::Neighbour(Neighbour { address, state })
        }
    }
}

/// A length of a prefix: mostly one that tells some of the addresses from others.
fn prefix(address: IpAddr, octet: u8) -> u8 {
    let (few, most) = if address.is_ipv4() { (14, 32) } else { (48, 128) };
    match octet {
        0..=3 => 0,
        4..=7 => most,
        _ => few + octet % (most - few + 1),
    }
}
