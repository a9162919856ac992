//! The zones that are served.

use std::sync::Arc;

use super::Zone;
use super::lookup::{Path, mix, spread};
use crate::message::{Name, Question, Type};

/// So many zones are looked at one by one: cheaper than to hash the name's labels.
const FEW: usize = 4;

/// A set of zones, found by the names within them. It does not change: a reload makes another.
#[derive(Clone, Default)]
pub struct Zones {
    zones: Vec<Arc<Zone>>,
    /// Places in `zones` by the hashes of their names, plus one; 0 is free. Empty, or a power of two.
    table: Vec<u32>,
    /// The most labels that a zone's name has.
    depth: usize,
}

impl Zones {
    /// Of two zones of one name the later is served.
    pub fn new(zones: impl IntoIterator<Item = Arc<Zone>>) -> Zones {
        let mut all = Zones::default();
        let zones: Vec<_> = zones.into_iter().collect();
        all.table = vec![0; (2 * zones.len() + 1).next_power_of_two()];
        for zone in zones {
            let path = Path::new(zone.apex(), 1);
            let hash = path.starts().fold(0, |hash, at| mix(hash, path.label(at)));
            let (slot, found) = all.probe(hash, zone.apex().as_wire());
            match found {
                Some(place) => all.zones[place] = zone,
                None => {
                    all.depth = all.depth.max(zone.apex().label_count());
                    all.zones.push(zone);
                    all.table[slot] = all.zones.len() as u32;
                }
            }
        }
        all
    }

    /// The zone that is closest to `name`: at it, or above.
    pub fn find(&self, name: Name<'_>) -> Option<&Arc<Zone>> {
        if self.zones.len() <= FEW {
            let above = self.zones.iter().filter(|zone| name.is_within(zone.apex()));
            return above.max_by_key(|zone| zone.apex().as_wire().len());
        }
        let path = Path::new(name, 1);
        let root = path.from(name.as_wire().len() - 1);
        let (mut hash, mut found) = (0, self.probe(0, root).1);
        for at in path.starts().take(self.depth) {
            hash = mix(hash, path.label(at));
            found = self.probe(hash, path.from(at)).1.or(found);
        }
        found.map(|place| &self.zones[place])
    }

    /// The zone that answers `question`. The DS records of a zone are in the one above it (RFC 4035 §3.1.4.1), if that
    /// is served.
    pub fn answering(&self, question: &Question<'_>) -> Option<&Arc<Zone>> {
        let zone = self.find(question.name)?;
        if question.qtype == Type::DS && zone.apex() == question.name {
            return question.name.parent().and_then(|above| self.find(above)).or(Some(zone));
        }
        Some(zone)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Zone>> {
        self.zones.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.zones.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.zones.is_empty()
    }

    /// Where a zone of this name is in `zones`, and its slot, or the free one where it would be.
    fn probe(&self, hash: u64, apex: &[u8]) -> (usize, Option<usize>) {
        let mask = self.table.len() - 1;
        let mut slot = spread(hash) & mask;
        while let Some(place) = self.table[slot].checked_sub(1) {
            if self.zones[place as usize].apex().as_wire() == apex {
                return (slot, Some(place as usize));
            }
            slot = (slot + 1) & mask;
        }
        (slot, None)
    }
}
