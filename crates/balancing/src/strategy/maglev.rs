//! Consistent hashing (Eisenbud et al., *Maglev*, 2016, §3.4).

use super::lot::{by_hash, by_lot};
use crate::candidates::{Candidate, Candidates};
use crate::config::BackendConfig;
use crate::hash::keyed;
use crate::random::{Random, mix};

/// A table in which each backend has places by its weight: mostly the same ones, whichever others there are.
#[derive(Debug)]
pub(crate) struct Maglev {
    /// Positions of backends in the configuration.
    places: Box<[u16]>,
}

/// How much load candidates may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    percent: u128,
    requests: u128,
    weights: u128,
}

const FREE: u16 = u16::MAX;
/// Places that are looked at for a candidate, before all candidates are.
const PROBES: u64 = 32;

impl Maglev {
    /// A table of `size` places, a prime. Draining backends get none. It does not depend on the order of backends.
    pub(crate) fn new(backends: &[BackendConfig], size: u32) -> Maglev {
        let mut turns: Vec<_> = (0u16..).zip(backends).filter(|(_, b)| !b.draining).map(Turn::new).collect();
        turns.sort_by(|a, b| a.name.cmp(b.name));
        let heaviest = turns.iter().map(|turn| turn.weight).max().unwrap_or(0);
        let mut places = vec![FREE; if turns.is_empty() { 0 } else { size as usize }];
        let mut left = places.len();
        while left > 0 {
            for turn in &mut turns {
                // The heaviest takes a place in each round, others as often as their weight is of its.
                turn.credit += turn.weight;
                if turn.credit < heaviest || left == 0 {
                    continue;
                }
                turn.credit -= heaviest;
                turn.take(&mut places);
                left -= 1;
            }
        }
        Maglev { places: places.into() }
    }

    /// The candidate for `hash`, within the bound. `slots` are those of positions. `None` if there are no candidates.
    pub(crate) fn choose<'a>(
        &self,
        candidates: &'a Candidates,
        slots: &[u32],
        hash: u64,
        bound: Option<Bound>,
    ) -> Option<&'a Candidate> {
        let allowed = |candidate: &&Candidate| bound.is_none_or(|bound| bound.allows(candidate));
        let size = self.places.len() as u64;
        // Mixed, because the caller's hash may be any number. A step of a prime's table leads to each of its places.
        let hash = mix(hash);
        let step = 1 + mix(hash).checked_rem(size.saturating_sub(1)).unwrap_or(0);
        let probes = if size == 0 { 0 } else { PROBES };
        let mut probed = (0..probes).filter_map(|probe| {
            // Both are below 2^32.
            let place = (hash % size + probe * step) % size;
            let slot = slots.get(usize::from(self.places[place as usize]))?;
            candidates.of_slot(*slot).filter(allowed)
        });
        probed.next().or_else(|| by_hash(candidates.as_slice().iter().filter(allowed), hash))
    }

    #[cfg(test)]
    fn places(&self) -> &[u16] {
        &self.places
    }
}

struct Turn<'a> {
    name: &'a str,
    position: u16,
    weight: u64,
    credit: u64,
    offset: u64,
    skip: u64,
    next: u64,
}

impl<'a> Turn<'a> {
    fn new((position, backend): (u16, &'a BackendConfig)) -> Turn<'a> {
        Turn {
            name: &backend.name,
            position,
            weight: u64::from(backend.weight),
            credit: 0,
            offset: keyed(backend.name.as_bytes(), 1),
            skip: keyed(backend.name.as_bytes(), 2),
            next: 0,
        }
    }

    /// Takes the next free place of its permutation. There is one.
    fn take(&mut self, places: &mut [u16]) {
        let size = places.len() as u64;
        let (offset, skip) = (self.offset % size, 1 + self.skip.checked_rem(size - 1).unwrap_or(0));
        while self.next < size {
            let place = ((offset + self.next * skip) % size) as usize;
            self.next += 1;
            if places[place] == FREE {
                places[place] = self.position;
                return;
            }
        }
    }
}

impl Bound {
    /// With one more request than candidates have from this engine, none has more than `percent` of its share.
    pub(crate) fn new(candidates: &[Candidate], percent: u32) -> Bound {
        Bound {
            percent: u128::from(percent),
            requests: candidates.iter().map(|candidate| u128::from(candidate.in_flight)).sum::<u128>() + 1,
            weights: candidates.iter().map(|candidate| u128::from(candidate.weight)).sum(),
        }
    }

    /// Whether a candidate may get one more. Always at least one may, because the bounds of all together are more
    /// than their requests.
    pub(crate) fn allows(&self, candidate: &Candidate) -> bool {
        // Rounded up.
        let most = (self.percent * self.requests * u128::from(candidate.weight)).div_ceil(100 * self.weights.max(1));
        u128::from(candidate.in_flight) < most
    }

    /// One by lot within the bound: for requests without a hash.
    pub(crate) fn by_lot<'a>(&self, candidates: &'a [Candidate], random: &mut Random) -> Option<&'a Candidate> {
        by_lot(candidates.iter().filter(|candidate| self.allows(candidate)), random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BackendAddress;

    fn backends(weights: &[u32]) -> Vec<BackendConfig> {
        let address = BackendAddress::Inet("192.0.2.1:80".parse().unwrap());
        let backend = |(number, &weight): (usize, &u32)| BackendConfig {
            name: format!("backend-{number}"),
            weight,
            ..BackendConfig::new(address.clone())
        };
        weights.iter().enumerate().map(backend).collect()
    }

    fn share(maglev: &Maglev, position: u16) -> f64 {
        let places = maglev.places();
        places.iter().filter(|&&place| place == position).count() as f64 / places.len() as f64
    }

    #[test]
    fn places_are_shared_by_weight() {
        let weights = [1, 2, 3, 4, 10];
        let maglev = Maglev::new(&backends(&weights), 5003);
        for (position, weight) in (0..).zip(weights) {
            let expected = f64::from(weight) / 20.0;
            assert!((share(&maglev, position) - expected).abs() < 0.002, "{position}");
        }
    }

    #[test]
    fn few_places_change_when_a_backend_goes() {
        let all = backends(&[1; 20]);
        let before = Maglev::new(&all, 5003);
        let without = Maglev::new(&all[..19], 5003);
        let kept = before.places().iter().zip(without.places()).filter(|(before, _)| **before != 19);
        let (moved, total) = kept.fold((0, 0), |(moved, total), (b, a)| (moved + usize::from(b != a), total + 1));
        assert!(moved * 100 < total * 5, "{moved} of {total}");
    }

    #[test]
    fn the_order_of_backends_does_not_matter() {
        let forward = backends(&[1, 5, 2]);
        let backward: Vec<_> = forward.iter().rev().cloned().collect();
        let turned: Vec<_> = Maglev::new(&backward, 251).places().iter().map(|place| 2 - place).collect();
        assert_eq!(Maglev::new(&forward, 251).places(), turned);
    }

    #[test]
    fn a_draining_backend_and_an_empty_pool_have_no_places() {
        let mut some = backends(&[1, 1]);
        some[0].draining = true;
        assert!(Maglev::new(&some, 251).places().iter().all(|&place| place == 1));
        let empty = Maglev::new(&[], 251);
        assert!(empty.choose(&Candidates::default(), &[], 9, None).is_none());
        let two = Maglev::new(&backends(&[1, 1]), 2);
        assert_eq!(two.places().len(), 2);
    }
}
