//! Finds names.

use std::cmp::Ordering;

use super::sets::{BELOW, CUT, Node, Zone};
use crate::message::{MAX_NAME, Name};

/// What there is of a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// The name itself.
    Exactly(u32),
    /// The last name above it that exists, its closest encloser (RFC 4592 §3.3.1).
    Below(u32),
}

impl Zone {
    /// Finds `name`, which is within the zone.
    #[inline]
    pub(super) fn find(&self, name: Name<'_>) -> Found {
        let path = Path::new(name, self.apex().as_wire().len());
        let hash = path.starts().fold(self.apex_hash, |hash, at| mix(hash, path.label(at)));
        if let Some(node) = self.probe(hash, path.from(0)) {
            return Found::Exactly(node);
        }
        // From the apex down: as many steps as the zone has labels there, however many the question has.
        let (mut hash, mut encloser) = (self.apex_hash, 0);
        for at in path.starts() {
            hash = mix(hash, path.label(at));
            match self.probe(hash, path.from(at)) {
                Some(node) => encloser = node,
                None => break,
            }
        }
        Found::Below(encloser)
    }

    /// The wildcard right below `node`.
    pub(super) fn wildcard(&self, node: u32) -> Option<u32> {
        let name = self.name(&self.nodes[node as usize]);
        let mut octets = [0; MAX_NAME + 2];
        octets[..2].copy_from_slice(b"\x01*");
        octets[2..2 + name.as_wire().len()].copy_from_slice(name.as_wire());
        let path = Path::new(name, self.apex().as_wire().len());
        let hash = path.starts().fold(self.apex_hash, |hash, at| mix(hash, path.label(at)));
        self.probe(mix(hash, b"\x01*"), &octets[..2 + name.as_wire().len()])
    }

    /// The cut that `node` is at or below, if it is.
    pub(super) fn cut(&self, mut node: u32) -> Option<u32> {
        while self.flags(node) & BELOW != 0 {
            node = self.nodes[node as usize].parent;
        }
        (self.flags(node) & CUT != 0).then_some(node)
    }

    pub(super) fn flags(&self, node: u32) -> u8 {
        self.nodes[node as usize].flags
    }

    #[inline]
    fn probe(&self, hash: u64, name: &[u8]) -> Option<u32> {
        let mask = self.table.len() - 1;
        let mut slot = spread(hash) & mask;
        while let Some(place) = self.table[slot].checked_sub(1) {
            let Node { name_at, name_len, .. } = self.nodes[place as usize];
            if usize::from(name_len) == name.len() && self.octets[name_at as usize..][..name.len()] == *name {
                return Some(place);
            }
            slot = (slot + 1) & mask;
        }
        None
    }
}

/// A table of the places of `nodes`, whose names lie in `octets`: two thirds full at most.
pub(super) fn table(nodes: &[Node], octets: &[u8], apex_hash: u64) -> Box<[u32]> {
    let mut table = vec![0u32; (nodes.len() * 3 / 2 + 1).next_power_of_two()].into_boxed_slice();
    let mask = table.len() - 1;
    let apex_len = nodes.first().map_or(1, |apex| usize::from(apex.name_len));
    for (place, node) in nodes.iter().enumerate() {
        let name = Name::kept(&octets[node.name_at as usize..][..usize::from(node.name_len)]);
        let path = Path::new(name, apex_len);
        let hash = path.starts().fold(apex_hash, |hash, at| mix(hash, path.label(at)));
        let mut slot = spread(hash) & mask;
        while table[slot] > 0 {
            slot = (slot + 1) & mask;
        }
        table[slot] = place as u32 + 1;
    }
    table
}

/// A name in lower case, and where its labels above a suffix start.
pub(super) struct Path {
    octets: [u8; MAX_NAME],
    len: usize,
    starts: Starts,
}

/// Where the labels of a name start, above a suffix.
struct Starts {
    places: [u8; MAX_NAME / 2 + 1],
    count: usize,
}

impl Starts {
    #[inline]
    fn new(wire: &[u8], suffix: usize) -> Starts {
        let mut starts = Starts { places: [0; MAX_NAME / 2 + 1], count: 0 };
        let (mut at, end) = (0, wire.len().saturating_sub(suffix));
        while at < end {
            starts.places[starts.count] = at as u8;
            starts.count += 1;
            at += 1 + usize::from(wire[at]);
        }
        starts
    }

    /// The label next to the suffix first.
    #[inline]
    fn nearest_first(&self) -> impl Iterator<Item = usize> {
        self.places[..self.count].iter().rev().map(|at| usize::from(*at))
    }
}

impl Path {
    /// The path of `name` to its last `suffix` octets, which are a name.
    #[inline]
    pub(super) fn new(name: Name<'_>, suffix: usize) -> Path {
        let wire = name.as_wire();
        let mut octets = [0; MAX_NAME];
        octets[..wire.len()].copy_from_slice(wire);
        octets[..wire.len()].make_ascii_lowercase();
        Path { octets, len: wire.len(), starts: Starts::new(wire, suffix) }
    }

    /// Where its labels start, the one next to the suffix first.
    #[inline]
    pub(super) fn starts(&self) -> impl Iterator<Item = usize> {
        self.starts.nearest_first()
    }

    /// The label at `at`, its length before it.
    #[inline]
    pub(super) fn label(&self, at: usize) -> &[u8] {
        &self.octets[at..=at + usize::from(self.octets[at])]
    }

    /// The name from `at` on.
    #[inline]
    pub(super) fn from(&self, at: usize) -> &[u8] {
        &self.octets[at..self.len]
    }
}

/// The canonical order (RFC 4034 §6.1) of two names in lower case that have their last `suffix` octets, a name, in
/// common.
pub(super) fn canonical_order(left: &[u8], right: &[u8], suffix: usize) -> Ordering {
    let (our_starts, their_starts) = (Starts::new(left, suffix), Starts::new(right, suffix));
    let label = |wire: &'_ [u8], at: usize| at + 1..=at + usize::from(wire[at]);
    for (ours, theirs) in our_starts.nearest_first().zip(their_starts.nearest_first()) {
        let order = left[label(left, ours)].cmp(&right[label(right, theirs)]);
        if order.is_ne() {
            return order;
        }
    }
    our_starts.count.cmp(&their_starts.count)
}

/// Adds a label to the hash of the name behind it. The names are the operator's: nobody chooses them to collide.
#[inline]
pub(super) fn mix(mut hash: u64, label: &[u8]) -> u64 {
    for chunk in label.chunks(8) {
        let mut octets = [0; 8];
        octets[..chunk.len()].copy_from_slice(chunk);
        hash = (hash ^ u64::from_le_bytes(octets)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^= hash >> 32;
    }
    hash
}

/// The slot of a hash, before it is cut to a table's length.
#[inline]
pub(super) fn spread(hash: u64) -> usize {
    (hash ^ hash >> 29) as usize
}
