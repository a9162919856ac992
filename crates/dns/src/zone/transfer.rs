//! All records of a zone, in the order of a transfer.

use super::sets::Zone;
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
    position: TransferPosition,
}

/// How far a transfer has come: what is kept from one message to the next, beside the zone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TransferPosition {
    /// The node, of names and then of hashes.
    node: usize,
    set: u32,
    record: u32,
    /// Where the next record's data lie, behind their length.
    at: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    #[default]
    First,
    Within,
    Done,
}

impl Zone {
    /// Its records as a transfer has them.
    pub fn transfer(&self) -> Transfer<'_> {
        self.transfer_from(TransferPosition::default())
    }

    /// Those from `position` on, which is one of a transfer of this zone.
    pub fn transfer_from(&self, position: TransferPosition) -> Transfer<'_> {
        Transfer { zone: self, position }
    }
}

impl<'a> Transfer<'a> {
    /// Where the next record is.
    pub fn position(&self) -> TransferPosition {
        self.position
    }

    fn soa(&self) -> Option<TransferRecord<'a>> {
        let (zone, soa) = (self.zone, self.zone.soa());
        let rdata = zone.records(soa).next()?;
        Some(TransferRecord { owner: zone.apex(), rtype: Type::SOA, ttl: soa.ttl, rdata })
    }

    /// The next record, of the SOA too.
    fn within(&mut self) -> Option<TransferRecord<'a>> {
        let (zone, position) = (self.zone, &mut self.position);
        loop {
            let set = zone.sets.get(position.set as usize)?;
            if position.record == u32::from(set.count) + u32::from(set.signatures) {
                (position.set, position.record) = (position.set + 1, 0);
                continue;
            }
            if position.record == 0 {
                position.at = set.at as usize;
            }
            let (len, rest) = zone.octets.get(position.at..)?.split_first_chunk()?;
            let rdata = rest.get(..usize::from(u16::from_be_bytes(*len)))?;
            let rtype = if position.record < u32::from(set.count) { set.rtype } else { Type::RRSIG };
            let owner = position.owner(zone)?;
            (position.at, position.record) = (position.at + 2 + rdata.len(), position.record + 1);
            return Some(TransferRecord { owner, rtype, ttl: set.ttl, rdata });
        }
    }
}

impl TransferPosition {
    /// The owner of the set, which is that of the node, or of one behind it.
    fn owner<'a>(&mut self, zone: &'a Zone) -> Option<Name<'a>> {
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
        match self.position.state {
            State::First => {
                self.position.state = State::Within;
                self.soa()
            }
            State::Within => loop {
                match self.within() {
                    Some(record) if record.rtype == Type::SOA => {}
                    Some(record) => return Some(record),
                    None => {
                        self.position.state = State::Done;
                        return self.soa();
                    }
                }
            },
            State::Done => None,
        }
    }
}
