//! A zone in memory.

use std::path::Path;

use super::error::ZoneError;
use super::{Limits, build, master};
use crate::message::{Name, Type};

/// A zone: immutable, and shared by whoever answers from it.
///
/// A name costs 20 octets, its own length and 6 to 12 octets in the table of names; an RRset 16 octets; a record 2
/// octets and its data. A million names with an address each take 75 MB, and 131 MB while they are loaded.
pub struct Zone {
    /// Names in wire form and lower case; records' data, each behind its length.
    pub(super) octets: Box<[u8]>,
    /// In canonical order of their names (RFC 4034 §6.1), the apex first, empty non-terminals among them. One more than
    /// there are: it ends the sets of the last.
    pub(super) nodes: Box<[Node]>,
    /// The owners of NSEC3 records, which are no names of the zone (RFC 5155 §7.2.8); in canonical order, which is the
    /// order of hashes. Those of the chain in use come first. One more, too.
    pub(super) hashed: Box<[Node]>,
    /// By node, then by type.
    pub(super) sets: Box<[Set]>,
    /// The places of nodes by the hashes of their names, plus one; 0 is free. Its length is a power of two.
    pub(super) table: Box<[u32]>,
    pub(super) apex_hash: u64,
    pub(super) denial: Denial,
    /// Of a negative answer (RFC 2308 §3).
    pub(super) negative_ttl: u32,
    pub(super) serial: u32,
    pub(super) record_count: usize,
}

/// A name.
#[derive(Clone, Copy)]
pub(super) struct Node {
    pub(super) name_at: u32,
    /// Its first set; the next node's first is behind its last.
    pub(super) sets_at: u32,
    /// The name above; its own place at the apex.
    pub(super) parent: u32,
    /// With NSEC: the last node up to here that has such a record. With NSEC3: the place of the record that matches,
    /// plus one.
    pub(super) denial: u32,
    pub(super) name_len: u8,
    pub(super) flags: u8,
}

/// It has NS records, and is not the apex.
pub(super) const CUT: u8 = 1;
/// It is below a cut: glue, or not seen at all.
pub(super) const BELOW: u8 = 2;
/// It has a DNAME.
pub(super) const DNAME: u8 = 4;
/// There is a wildcard right below it.
pub(super) const WILDCARD: u8 = 8;

/// The records of a name and type, and their signatures.
#[derive(Clone, Copy)]
pub(super) struct Set {
    /// Where its records lie, and behind them its signatures.
    pub(super) at: u32,
    pub(super) ttl: u32,
    pub(super) rtype: Type,
    /// Its records. 0 if there are only signatures that cover nothing.
    pub(super) count: u16,
    pub(super) signatures: u16,
}

/// How the zone says that something is not there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Denial {
    /// With the SOA alone.
    Unsigned,
    Nsec,
    Nsec3 {
        iterations: u16,
        salt: Box<[u8]>,
        /// How many nodes of `hashed` are of this chain.
        count: u32,
    },
}

impl Zone {
    /// Reads the zone `apex` from a master file. It blocks.
    ///
    /// # Errors
    /// The file cannot be read, or has an error, or does not make a zone.
    pub fn load(apex: Name<'_>, path: &Path, limits: Limits) -> Result<Zone, ZoneError> {
        build::build(apex, master::read_file(apex, path, limits.file_octets)?)
    }

    /// Reads the zone `apex` from the text of a master file, which cannot include others. Errors call it `file`.
    ///
    /// # Errors
    /// The text has an error, or does not make a zone.
    pub fn parse(apex: Name<'_>, file: &Path, text: &[u8], limits: Limits) -> Result<Zone, ZoneError> {
        build::build(apex, master::read_text(apex, file, text, limits.file_octets)?)
    }

    /// Its name, in lower case.
    pub fn apex(&self) -> Name<'_> {
        self.name(&self.nodes[0])
    }

    /// The serial number of its SOA.
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// Its records, the SOA counted once.
    pub fn record_count(&self) -> usize {
        self.record_count
    }

    /// Its names, those without records included (RFC 8499 §7, empty non-terminals), NSEC3's hashes not.
    pub fn name_count(&self) -> usize {
        self.nodes.len() - 1
    }

    /// Octets of memory that it holds.
    pub fn memory(&self) -> usize {
        let nodes = self.nodes.len() + self.hashed.len();
        size_of::<Zone>()
            + self.octets.len()
            + nodes * size_of::<Node>()
            + size_of_val(&*self.sets)
            + size_of_val(&*self.table)
    }

    /// Whether it denies with NSEC or NSEC3 records.
    pub fn is_signed(&self) -> bool {
        self.denial != Denial::Unsigned
    }

    pub(super) fn name(&self, node: &Node) -> Name<'_> {
        Name::kept(&self.octets[node.name_at as usize..][..usize::from(node.name_len)])
    }

    /// The sets of the node at `place` of `nodes`, one of the zone's two lists.
    pub(super) fn sets_of(&self, nodes: &[Node], place: u32) -> &[Set] {
        let place = place as usize;
        &self.sets[nodes[place].sets_at as usize..nodes[place + 1].sets_at as usize]
    }

    /// The set of a name and type.
    #[inline]
    pub(super) fn set(&self, node: u32, rtype: Type) -> Option<&Set> {
        self.sets_of(&self.nodes, node).iter().find(|set| set.rtype == rtype && set.count > 0)
    }

    /// The SOA's set.
    pub(super) fn soa(&self) -> &Set {
        let soa = self.set(0, Type::SOA);
        soa.expect("a zone without an SOA is not built")
    }

    /// The data of a set's records.
    pub(super) fn records(&self, set: &Set) -> impl Iterator<Item = &[u8]> {
        Data { octets: &self.octets[set.at as usize..], left: u32::from(set.count) }
    }

    /// The data of its signatures.
    pub(super) fn signatures(&self, set: &Set) -> impl Iterator<Item = &[u8]> {
        self.records_and_signatures(set).skip(usize::from(set.count))
    }

    /// The data of its records, and then of its signatures.
    pub(super) fn records_and_signatures(&self, set: &Set) -> impl Iterator<Item = &[u8]> {
        Data { octets: &self.octets[set.at as usize..], left: u32::from(set.count) + u32::from(set.signatures) }
    }
}

/// Data behind their lengths.
struct Data<'a> {
    octets: &'a [u8],
    left: u32,
}

impl<'a> Iterator for Data<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        let (len, rest) = self.octets.split_first_chunk()?;
        let (data, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        self.octets = rest;
        Some(data)
    }
}
