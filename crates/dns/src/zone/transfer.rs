//! All records of a zone, in the order of a transfer.

use super::sets::{Set, Zone};
use crate::message::{Name, Type};

/// A record of a transfer. Its class is IN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TransferRecord<'a> {
    /// Its owner, in lower case.
    pub owner: Name<'a>,
    /// Its type.
    pub rtype: Type,
    /// Seconds.
    pub ttl: u32,
    /// Its data, uncompressed.
    pub rdata: &'a [u8],
}

/// Walks the records of a zone: the SOA, everything else, and the SOA again (RFC 5936 §2.2).
#[derive(Clone)]
pub struct Transfer<'a> {
    zone: &'a Zone,
    /// The node, of names and then of hashes.
    node: usize,
    set: u32,
    record: u32,
    /// Where the next record's data lie, behind their length.
    at: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    First,
    Within,
    Done,
}

impl Zone {
    /// Its records as a transfer has them.
    pub fn transfer(&self) -> Transfer<'_> {
        Transfer { zone: self, node: 0, set: 0, record: 0, at: 0, state: State::First }
    }
}

impl<'a> Transfer<'a> {
    fn soa(&self) -> Option<TransferRecord<'a>> {
        let (zone, soa) = (self.zone, self.zone.soa());
        let rdata = zone.records(soa).next()?;
        Some(TransferRecord { owner: zone.apex(), rtype: Type::SOA, ttl: soa.ttl, rdata })
    }

    /// The next record, of the SOA too.
    fn within(&mut self) -> Option<TransferRecord<'a>> {
        let zone = self.zone;
        loop {
            let set: &Set = zone.sets.get(self.set as usize)?;
            if self.record == u32::from(set.count) + u32::from(set.signatures) {
                (self.set, self.record) = (self.set + 1, 0);
                continue;
            }
            if self.record == 0 {
                self.at = set.at as usize;
            }
            let (len, rest) = zone.octets.get(self.at..)?.split_first_chunk()?;
            let rdata = rest.get(..usize::from(u16::from_be_bytes(*len)))?;
            let rtype = if self.record < u32::from(set.count) { set.rtype } else { Type::RRSIG };
            (self.at, self.record) = (self.at + 2 + rdata.len(), self.record + 1);
            return Some(TransferRecord { owner: self.owner()?, rtype, ttl: set.ttl, rdata });
        }
    }

    fn owner(&mut self) -> Option<Name<'a>> {
        let zone = self.zone;
        let names = zone.nodes.len() - 1;
        loop {
            // Each list ends with a node that is none.
            let (list, place) =
                if self.node < names { (&zone.nodes, self.node) } else { (&zone.hashed, self.node - names) };
            if self.set < list.get(place + 1)?.sets_at {
                return Some(zone.name(&list[place]));
            }
            self.node += 1;
        }
    }
}

impl<'a> Iterator for Transfer<'a> {
    type Item = TransferRecord<'a>;

    fn next(&mut self) -> Option<TransferRecord<'a>> {
        match self.state {
            State::First => {
                self.state = State::Within;
                self.soa()
            }
            State::Within => loop {
                match self.within() {
                    Some(record) if record.rtype == Type::SOA => {}
                    Some(record) => return Some(record),
                    None => {
                        self.state = State::Done;
                        return self.soa();
                    }
                }
            },
            State::Done => None,
        }
    }
}
