//! Proofs that something is not there, from the records that the signer made (RFC 4035 §3.1.3, RFC 5155 §7.2).

use sha1::{Digest, Sha1};

use super::lookup::{Path, canonical_order};
use super::sets::{BELOW, Denial, Node, Set, Zone};
use crate::message::{MAX_NAME, Name, Type};

/// A chain of aliases adds one each, and an NXDOMAIN three.
const MAX_PROOFS: usize = 24;

/// The records that a response needs: places of nodes, of names or of hashes. Each once.
#[derive(Default)]
pub(super) struct Proofs {
    places: [u32; MAX_PROOFS],
    count: usize,
}

impl Proofs {
    fn add(&mut self, place: u32) {
        if !self.places().contains(&place) && self.count < MAX_PROOFS {
            self.places[self.count] = place;
            self.count += 1;
        }
    }

    pub(super) fn places(&self) -> &[u32] {
        &self.places[..self.count]
    }
}

impl Zone {
    /// `name`, which is that of `node`, has no such type (RFC 4035 §3.1.3.1, RFC 5155 §7.2.3, §7.2.4, §7.2.7).
    pub(super) fn deny_type(&self, node: u32, name: Name<'_>, proofs: &mut Proofs) {
        match &self.denial {
            Denial::Unsigned => {}
            Denial::Nsec => proofs.add(self.nodes[node as usize].denial),
            Denial::Nsec3 { .. } => match self.matching(node) {
                Some(place) => proofs.add(place),
                // Opt-out, or an empty non-terminal because of it.
                None => {
                    self.deny_closer(self.nodes[node as usize].parent, name, proofs);
                }
            },
        }
    }

    /// `name` does not exist, nor does a wildcard for it right below `encloser` (RFC 4035 §3.1.3.2, RFC 5155 §7.2.2).
    pub(super) fn deny_name(&self, encloser: u32, name: Name<'_>, proofs: &mut Proofs) {
        let encloser = match &self.denial {
            Denial::Unsigned => return,
            Denial::Nsec => {
                proofs.add(self.covering(name));
                encloser
            }
            Denial::Nsec3 { .. } => self.deny_closer(encloser, name, proofs),
        };
        let above = self.name(&self.nodes[encloser as usize]).as_wire();
        let mut octets = [0; MAX_NAME + 2];
        octets[..2].copy_from_slice(b"\x01*");
        octets[2..2 + above.len()].copy_from_slice(above);
        // A name of 254 or 255 octets has nothing below it: then there is no wildcard to deny.
        if above.len() + 2 <= MAX_NAME {
            self.deny_expansion_of(Name::kept(&octets[..2 + above.len()]), proofs);
        }
    }

    /// `name` was made from the wildcard below `encloser`: nothing closer exists (RFC 4035 §3.1.3.3, RFC 5155 §7.2.6).
    pub(super) fn deny_closer_match(&self, encloser: u32, name: Name<'_>, proofs: &mut Proofs) {
        match &self.denial {
            Denial::Unsigned => {}
            Denial::Nsec => proofs.add(self.covering(name)),
            Denial::Nsec3 { .. } => {
                let (_, next_closer) = self.next_closer(encloser, name);
                self.cover_hash(next_closer, proofs);
            }
        }
    }

    /// The wildcard for `name` has no such type (RFC 4035 §3.1.3.4, RFC 5155 §7.2.5).
    pub(super) fn deny_wildcard_type(&self, encloser: u32, wildcard: u32, name: Name<'_>, proofs: &mut Proofs) {
        match &self.denial {
            Denial::Unsigned => {}
            Denial::Nsec => {
                proofs.add(self.covering(name));
                proofs.add(self.nodes[wildcard as usize].denial);
            }
            Denial::Nsec3 { .. } => {
                self.deny_closer(encloser, name, proofs);
                if let Some(place) = self.matching(wildcard) {
                    proofs.add(place);
                }
            }
        }
    }

    /// The node of a proof and its records.
    pub(super) fn proof(&self, place: u32) -> Option<(&Node, &Set)> {
        let (nodes, rtype) = match self.denial {
            Denial::Nsec3 { .. } => (&self.hashed, Type::NSEC3),
            _ => (&self.nodes, Type::NSEC),
        };
        let set = self.sets_of(nodes, place).iter().find(|set| set.rtype == rtype && set.count > 0);
        set.map(|set| (&nodes[place as usize], set))
    }

    fn deny_expansion_of(&self, wildcard: Name<'_>, proofs: &mut Proofs) {
        match &self.denial {
            Denial::Unsigned => {}
            Denial::Nsec => proofs.add(self.covering(wildcard)),
            Denial::Nsec3 { .. } => self.cover_hash(wildcard, proofs),
        }
    }

    /// RFC 5155 §7.2.1: the closest encloser is there, the next closer name is not. Returns the encloser that can be
    /// proved: one because of opt-out cannot.
    fn deny_closer(&self, encloser: u32, name: Name<'_>, proofs: &mut Proofs) -> u32 {
        let (encloser, next_closer) = self.next_closer(encloser, name);
        if let Some(place) = self.matching(encloser) {
            proofs.add(place);
        }
        self.cover_hash(next_closer, proofs);
        encloser
    }

    /// The lowest encloser with an NSEC3 record, and the part of `name` that is one label longer.
    fn next_closer<'n>(&self, mut encloser: u32, name: Name<'n>) -> (u32, Name<'n>) {
        while self.matching(encloser).is_none() && encloser != 0 {
            encloser = self.nodes[encloser as usize].parent;
        }
        let len = usize::from(self.nodes[encloser as usize].name_len);
        let is_next = |name: &Name<'_>| name.parent().is_some_and(|parent| parent.as_wire().len() == len);
        (encloser, name.ancestors().find(is_next).unwrap_or(name))
    }

    /// The NSEC3 record of a name.
    fn matching(&self, node: u32) -> Option<u32> {
        self.nodes[node as usize].denial.checked_sub(1)
    }

    /// The last node with an NSEC record before `name`, which does not exist.
    fn covering(&self, name: Name<'_>) -> u32 {
        let suffix = self.apex().as_wire().len();
        let path = Path::new(name, suffix);
        let nodes = &self.nodes[..self.nodes.len() - 1];
        let behind =
            nodes.partition_point(|node| canonical_order(self.name(node).as_wire(), path.from(0), suffix).is_le());
        nodes[behind.saturating_sub(1)].denial
    }

    fn cover_hash(&self, name: Name<'_>, proofs: &mut Proofs) {
        let Denial::Nsec3 { iterations, salt, count } = &self.denial else { return };
        let behind = self.hashes_up_to(&hash(name, *iterations, salt), *count as usize);
        // RFC 5155 §3.1.7: the last covers what is before the first.
        proofs.add((behind as u32).checked_sub(1).unwrap_or(count.saturating_sub(1)));
    }

    /// How many of the first `count` hashed nodes are `hash` or before it.
    fn hashes_up_to(&self, hash: &[u8; HASH_LEN], count: usize) -> usize {
        let hashed = &self.hashed[..count];
        let is_up_to = |node: &Node| self.hash_of(node) <= &hash[..];
        // Hashes are spread evenly: where this one should be is close to where it is.
        let digits = hash.iter().take(6).fold(0, |value, digit| value << 5 | digit_value(*digit));
        let (mut low, mut step) = ((digits as usize * count) >> 30, 8);
        let mut high = low;
        while low > 0 && !is_up_to(&hashed[low - 1]) {
            (high, low, step) = (low - 1, low.saturating_sub(step), step * 2);
        }
        while high < count && is_up_to(&hashed[high]) {
            (low, high, step) = (high + 1, (high + step).min(count), step * 2);
        }
        low + hashed[low..high].partition_point(is_up_to)
    }

    /// The hash in base 32 that is the first label.
    fn hash_of(&self, node: &Node) -> &[u8] {
        &self.octets[node.name_at as usize + 1..][..HASH_LEN]
    }

    /// Sets the nodes' places of what denies, when the zone is built.
    pub(super) fn link_denials(&mut self, nsec3: Option<Denial>) {
        self.denial = match nsec3 {
            Some(denial) => denial,
            None if self.set(0, Type::NSEC).is_some() => Denial::Nsec,
            None => return,
        };
        let mut last = 0;
        for place in 0..self.nodes.len() - 1 {
            let node = &self.nodes[place];
            let denial = match &self.denial {
                Denial::Nsec3 { iterations, salt, count } if node.flags & BELOW == 0 => {
                    let hash = hash(self.name(node), *iterations, salt);
                    let place = self.hashes_up_to(&hash, *count as usize);
                    let is_it = place > 0 && self.hash_of(&self.hashed[place - 1]) == hash;
                    if is_it { place as u32 } else { 0 }
                }
                Denial::Nsec if self.set(place as u32, Type::NSEC).is_some() => {
                    last = place as u32;
                    last
                }
                Denial::Nsec => last,
                _ => 0,
            };
            self.nodes[place].denial = denial;
        }
    }
}

/// Characters of a SHA-1 hash in base 32.
pub(super) const HASH_LEN: usize = 32;

fn digit_value(digit: u8) -> u64 {
    u64::from(if digit.is_ascii_digit() { digit - b'0' } else { digit.saturating_sub(b'a') + 10 })
}

/// The hash of a name (RFC 5155 §5), in base 32 (RFC 4648 §7) and lower case.
fn hash(name: Name<'_>, iterations: u16, salt: &[u8]) -> [u8; HASH_LEN] {
    let path = Path::new(name, 1);
    let mut digest = Sha1::new().chain_update(path.from(0)).chain_update(salt).finalize();
    for _ in 0..iterations {
        digest = Sha1::new().chain_update(digest).chain_update(salt).finalize();
    }
    let mut text = [0; HASH_LEN];
    for (text, octets) in text.chunks_exact_mut(8).zip(digest.chunks_exact(5)) {
        let bits = octets.iter().fold(0u64, |bits, octet| bits << 8 | u64::from(*octet));
        for (index, digit) in text.iter_mut().enumerate() {
            *digit = b"0123456789abcdefghijklmnopqrstuv"[(bits >> (35 - 5 * index) & 31) as usize];
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::NameBuf;

    #[test]
    fn hashes_are_those_of_rfc_5155_appendix_a() {
        for (name, text) in [
            ("example.", "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom"),
            ("*.w.Example.", "r53bq7cc2uvmubfu5ocmm6pers9tk9en"),
            ("xx.example.", "t644ebqk9bibcna874givr6joj62mlhv"),
        ] {
            let name: NameBuf = name.parse().unwrap();
            assert_eq!(hash(name.as_name(), 12, &[0xaa, 0xbb, 0xcc, 0xdd]), text.as_bytes());
        }
    }
}
