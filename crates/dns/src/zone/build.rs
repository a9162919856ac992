//! Makes records a zone, and sees that they are one.

use std::collections::HashSet;

use super::data::names_only;
use super::denial::HASH_LEN;
use super::error::{Reason, ZoneError};
use super::lookup::table;
use super::raw::{RawRecord, RawRecords};
use super::sets::{BELOW, CUT, DNAME, Denial, Node, Set, WILDCARD, Zone};
use crate::message::{Name, NameBuf, Type};

/// RFC 9276 §3.2: validators take a zone with more for insecure.
const MAX_ITERATIONS: u16 = 150;

/// A zone has a second chain while its parameters change (RFC 5155 §10.4). Each is searched for once.
const MAX_CHAINS: usize = 8;

/// Makes the zone `apex`.
///
/// # Errors
/// Its records contradict each other.
pub(super) fn build(apex: Name<'_>, mut raw: RawRecords) -> Result<Zone, ZoneError> {
    let records = raw.take_sorted(apex);
    check_apex(apex, &raw, &records)?;
    let chain = Chain::find(apex, &raw, &records)?;
    let mut builder = Builder::default();
    for owned in records.chunk_by(|left, right| raw.name(left) == raw.name(right)) {
        builder.owner(&raw, owned, chain.as_ref())?;
    }
    builder.zone(chain)
}

fn check_apex(apex: Name<'_>, raw: &RawRecords, records: &[RawRecord]) -> Result<(), ZoneError> {
    let of_apex = |rtype| records.iter().filter(move |record| record.rtype == rtype && raw.name(record) == apex);
    if let Some(record) = records.iter().find(|record| record.rtype == Type::SOA && raw.name(record) != apex) {
        return Err(raw.error(record, Reason::SoaBelowApex(raw.name(record).to_owned())));
    }
    // What is missing has no line.
    let first = of_apex(Type::SOA).next().ok_or_else(|| raw.error_at(0, 0, Reason::NoSoa))?;
    if let Some(second) = of_apex(Type::SOA).find(|record| raw.data(record) != raw.data(first)) {
        return Err(raw.error(second, Reason::SecondSoa));
    }
    of_apex(Type::NS).next().map(|_| ()).ok_or_else(|| raw.error_at(0, 0, Reason::NoNs))
}

/// The NSEC3 chain that is answered from.
struct Chain {
    apex: NameBuf,
    iterations: u16,
    salt: Box<[u8]>,
}

impl Chain {
    /// The first NSEC3PARAM with SHA-1 (RFC 5155 §4): flags are zero, or it is not in use (§4.1.2).
    fn find(apex: Name<'_>, raw: &RawRecords, records: &[RawRecord]) -> Result<Option<Chain>, ZoneError> {
        let of_apex = records.iter().take_while(|record| raw.name(record) == apex);
        for record in of_apex.filter(|record| record.rtype == Type::NSEC3PARAM).take(MAX_CHAINS) {
            let [1, 0, high, low, len, salt @ ..] = raw.data(record) else { continue };
            let iterations = u16::from_be_bytes([*high, *low]);
            if iterations > MAX_ITERATIONS {
                return Err(raw.error(record, Reason::Iterations(iterations)));
            }
            let chain = Chain { apex: apex.to_owned(), iterations, salt: salt.into() };
            if usize::from(*len) == salt.len() && records.iter().any(|record| chain.has(raw, &[*record])) {
                return Ok(Some(chain));
            }
        }
        Ok(None)
    }

    /// Whether one of these records of one owner is of the chain (RFC 5155 §3): right below the apex, by its hash.
    fn has(&self, raw: &RawRecords, records: &[RawRecord]) -> bool {
        let is_hash = |name: Name<'_>| {
            usize::from(name.as_wire()[0]) == HASH_LEN
                && name.parent().is_some_and(|above| above == self.apex.as_name())
        };
        records.iter().any(|record| {
            let [1, _, high, low, len, rest @ ..] = raw.data(record) else { return false };
            let is_same_salt = usize::from(*len) == self.salt.len() && rest.starts_with(&self.salt);
            let is_same = u16::from_be_bytes([*high, *low]) == self.iterations && is_same_salt;
            record.rtype == Type::NSEC3 && is_same && is_hash(raw.name(record))
        })
    }
}

#[derive(Default)]
struct Builder {
    octets: Vec<u8>,
    nodes: Vec<Node>,
    /// NSEC3 owners of the chain in use, and of others.
    hashed: Vec<Node>,
    hashed_sets: Vec<Vec<Set>>,
    others: Vec<Node>,
    other_sets: Vec<Vec<Set>>,
    sets: Vec<Set>,
    /// The nodes from the apex to the last one.
    path: Vec<u32>,
    record_count: usize,
}

impl Builder {
    /// Adds a name with all its records, which are sorted.
    fn owner(&mut self, raw: &RawRecords, owned: &[RawRecord], chain: Option<&Chain>) -> Result<(), ZoneError> {
        let name = raw.name(&owned[0]);
        let (hashes, owned): (Vec<_>, Vec<_>) =
            owned.iter().copied().partition(|record| raw.belongs_to(record).0 == Type::NSEC3);
        if !hashes.is_empty() {
            self.hashes(raw, &hashes, chain)?;
        }
        let Some(first) = owned.first() else { return Ok(()) };
        self.check_other_data(raw, &owned, name)?;
        let parent = self.descend(raw, first, name)?;
        let above = parent.map_or(0, |parent| self.nodes[parent as usize].flags);
        if above & (DNAME | BELOW | CUT) == DNAME {
            return Err(raw.error(first, Reason::BelowDname(name.to_owned())));
        }
        self.push(raw, first, name)?;
        let sets = self.sets_of(raw, &owned)?;
        let has = |rtype| sets.iter().any(|set: &Set| set.rtype == rtype && set.count > 0);
        let last = self.nodes.len() - 1;
        if has(Type::NS) && parent.is_some() {
            self.nodes[last].flags |= CUT;
        }
        if has(Type::DNAME) {
            self.nodes[last].flags |= DNAME;
        }
        self.sets.extend_from_slice(&sets);
        Ok(())
    }

    /// Adds the NSEC3 records of one owner.
    fn hashes(&mut self, raw: &RawRecords, hashes: &[RawRecord], chain: Option<&Chain>) -> Result<(), ZoneError> {
        let name = raw.name(&hashes[0]);
        let sets = self.sets_of(raw, hashes)?;
        let name_at = self.name(name, raw, &hashes[0])?;
        let node = node(name_at, name, 0, 0);
        if chain.is_some_and(|chain| chain.has(raw, hashes)) {
            self.hashed.push(node);
            self.hashed_sets.push(sets);
        } else {
            self.others.push(node);
            self.other_sets.push(sets);
        }
        Ok(())
    }

    /// RFC 1034 §3.6.2, RFC 2181 §10.1: a CNAME is alone; beside it only what DNSSEC has (RFC 4035 §2.5). Both are
    /// one of a kind.
    fn check_other_data(&self, raw: &RawRecords, owned: &[RawRecord], name: Name<'_>) -> Result<(), ZoneError> {
        for rtype in [Type::CNAME, Type::DNAME] {
            let mut of_type = owned.iter().filter(|record| record.rtype == rtype);
            let Some(first) = of_type.next() else { continue };
            if let Some(second) = of_type.find(|record| !raw.data(record).eq_ignore_ascii_case(raw.data(first))) {
                return Err(raw.error(second, Reason::Second(rtype, name.to_owned())));
            }
        }
        let is_cname = owned.iter().any(|record| record.rtype == Type::CNAME);
        let beside = |record: &&RawRecord| !matches!(record.rtype, Type::CNAME | Type::RRSIG | Type::NSEC);
        match owned.iter().find(beside).filter(|_| is_cname) {
            Some(other) => Err(raw.error(other, Reason::CnameAndOther(name.to_owned()))),
            None => Ok(()),
        }
    }

    /// Makes the path lead to the name above `name`, with empty non-terminals where there is nothing. Returns its end.
    fn descend(&mut self, raw: &RawRecords, record: &RawRecord, name: Name<'_>) -> Result<Option<u32>, ZoneError> {
        while let Some(&last) = self.path.last() {
            if name.is_within(self.node_name(last)) {
                break;
            }
            self.path.pop();
        }
        let Some(&last) = self.path.last() else { return Ok(None) };
        let reached = self.node_name(last).label_count();
        let missing = name.label_count().saturating_sub(reached + 1);
        for skipped in (1..=missing).rev() {
            let Some(above) = name.ancestors().nth(skipped) else { break };
            let flags = self.path.last().map_or(0, |parent| self.nodes[*parent as usize].flags);
            if flags & (DNAME | BELOW | CUT) == DNAME {
                return Err(raw.error(record, Reason::BelowDname(name.to_owned())));
            }
            self.push(raw, record, above)?;
        }
        Ok(self.path.last().copied())
    }

    /// Adds a node without sets, below the end of the path; it becomes its end.
    fn push(&mut self, raw: &RawRecords, record: &RawRecord, name: Name<'_>) -> Result<(), ZoneError> {
        let place = self.nodes.len() as u32;
        let parent = self.path.last().copied().unwrap_or(place);
        let name_at = self.name(name, raw, record)?;
        let mut node = node(name_at, name, self.sets.len() as u32, parent);
        if let Some(above) = self.nodes.get_mut(parent as usize) {
            node.flags |= if above.flags & (CUT | BELOW) != 0 { BELOW } else { 0 };
            above.flags |= if name.is_wildcard() { WILDCARD } else { 0 };
        }
        self.nodes.push(node);
        self.path.push(place);
        Ok(())
    }

    /// The sets of a name, signatures with what they cover.
    fn sets_of(&mut self, raw: &RawRecords, owned: &[RawRecord]) -> Result<Vec<Set>, ZoneError> {
        let mut sets = Vec::new();
        for of_type in owned.chunk_by(|left, right| raw.belongs_to(left).0 == raw.belongs_to(right).0) {
            let (rtype, _) = raw.belongs_to(&of_type[0]);
            // RFC 2181 §5.2: TTLs that differ are an error; the lowest is safe. A signature has the TTL of what it
            // covers (RFC 4034 §3).
            let records = of_type.iter().filter(|record| !raw.belongs_to(record).1);
            let ttl = records.clone().map(|record| record.ttl).min();
            let ttl = ttl.or_else(|| of_type.iter().map(|record| record.ttl).min()).unwrap_or(0);
            let mut set = Set { at: self.position(raw, &of_type[0])?, ttl, rtype, count: 0, signatures: 0 };
            let (ignore_case, is_single) = (names_only(rtype), of_type.len() == 1);
            let mut distinct = Distinct { ignore_case, is_single, seen: HashSet::new() };
            for record in of_type {
                let (data, is_signature) = (raw.data(record), raw.belongs_to(record).1);
                if !distinct.add(data, is_signature) {
                    continue;
                }
                self.octets.extend_from_slice(&(data.len() as u16).to_be_bytes());
                self.octets.extend_from_slice(data);
                let count = if is_signature { &mut set.signatures } else { &mut set.count };
                let many = || raw.error(record, Reason::ManyRecords(raw.name(record).to_owned()));
                *count = count.checked_add(1).ok_or_else(many)?;
                self.record_count += 1;
            }
            sets.push(set);
        }
        Ok(sets)
    }

    fn name(&mut self, name: Name<'_>, raw: &RawRecords, record: &RawRecord) -> Result<u32, ZoneError> {
        let at = self.position(raw, record)?;
        self.octets.extend_from_slice(name.as_wire());
        Ok(at)
    }

    fn position(&self, raw: &RawRecords, record: &RawRecord) -> Result<u32, ZoneError> {
        let at = u32::try_from(self.octets.len());
        at.map_err(|_| raw.error(record, Reason::LargeZone(u64::from(u32::MAX))))
    }

    fn node_name(&self, place: u32) -> Name<'_> {
        let node = &self.nodes[place as usize];
        Name::kept(&self.octets[node.name_at as usize..][..usize::from(node.name_len)])
    }

    fn zone(mut self, chain: Option<Chain>) -> Result<Zone, ZoneError> {
        let apex_hash = 0x5851_f42d_4c95_7f2d;
        let table = table(&self.nodes, &self.octets, apex_hash);
        self.nodes.push(Node { sets_at: self.sets.len() as u32, ..END });
        let count = self.hashed.len() as u32;
        let nodes = self.hashed.drain(..).chain(self.others.drain(..));
        let sets = self.hashed_sets.drain(..).chain(self.other_sets.drain(..));
        let mut hashed = Vec::with_capacity(nodes.size_hint().0 + 1);
        for (node, sets) in nodes.zip(sets) {
            hashed.push(Node { sets_at: self.sets.len() as u32, ..node });
            self.sets.extend(sets);
        }
        hashed.push(Node { sets_at: self.sets.len() as u32, ..END });
        let mut zone = Zone {
            octets: self.octets.into(),
            nodes: self.nodes.into(),
            hashed: hashed.into(),
            sets: self.sets.into(),
            table,
            apex_hash,
            denial: Denial::Unsigned,
            negative_ttl: 0,
            serial: 0,
            record_count: self.record_count,
        };
        zone.read_soa();
        zone.link_denials(chain.map(|chain| Denial::Nsec3 { iterations: chain.iterations, salt: chain.salt, count }));
        Ok(zone)
    }
}

const END: Node = Node { name_at: 0, sets_at: 0, parent: 0, denial: 0, name_len: 0, flags: 0 };

fn node(name_at: u32, name: Name<'_>, sets_at: u32, parent: u32) -> Node {
    Node { name_at, sets_at, parent, name_len: name.as_wire().len() as u8, ..END }
}

impl Zone {
    fn read_soa(&mut self) {
        let soa = *self.soa();
        let numbers = self.records(&soa).next().and_then(|data| data.last_chunk::<20>()).copied().unwrap_or_default();
        let number = |at: usize| u32::from_be_bytes([numbers[at], numbers[at + 1], numbers[at + 2], numbers[at + 3]]);
        self.serial = number(0);
        // RFC 2308 §3.
        self.negative_ttl = soa.ttl.min(number(16));
    }
}

/// Drops records that were there before (RFC 2181 §5).
struct Distinct {
    ignore_case: bool,
    /// Nothing to compare with.
    is_single: bool,
    seen: HashSet<(Vec<u8>, bool)>,
}

impl Distinct {
    fn add(&mut self, data: &[u8], is_signature: bool) -> bool {
        let kept = || if self.ignore_case { data.to_ascii_lowercase() } else { data.to_vec() };
        self.is_single || self.seen.insert((kept(), is_signature))
    }
}
