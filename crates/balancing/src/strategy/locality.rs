//! Locality-aware request distribution (Pai et al., *Locality-Aware Request Distribution in Cluster-based Network
//! Servers*, 1998, Figure 2; *TCP Servers* cites it).

use super::lot::by_hash;
use crate::candidates::{Candidate, Candidates};
use crate::config::LocalityConfig;
use crate::random::mix;

/// Which backend serves which target, as far as an engine remembers: a table of sets of four, in each of which the one
/// that was not asked for longest is forgotten.
#[derive(Debug)]
pub(crate) struct Assignments {
    config: LocalityConfig,
    sets: Box<[[Assignment; WAYS]]>,
    /// Choices so far.
    clock: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Assignment {
    target: u64,
    slot: u32,
    generation: u32,
    /// When it was asked for last; zero: there is none.
    used: u64,
}

const WAYS: usize = 4;

impl Assignments {
    pub(crate) fn new(config: LocalityConfig) -> Assignments {
        let sets = (config.targets as usize / WAYS).max(1);
        Assignments { config, sets: vec![[Assignment::default(); WAYS]; sets].into(), clock: 0 }
    }

    pub(crate) fn config(&self) -> &LocalityConfig {
        &self.config
    }

    /// The candidate for a target, which it keeps until that is overloaded or gone. `generation` is that of a slot.
    /// `None` if there are no candidates.
    pub(crate) fn choose<'a>(
        &mut self,
        candidates: &'a Candidates,
        target: u64,
        generation: impl Fn(u32) -> u32,
    ) -> Option<&'a Candidate> {
        self.clock += 1;
        let set_number = mix(target) % self.sets.len() as u64;
        let set = &mut self.sets[set_number as usize];
        let known = set.iter().position(|a| a.used != 0 && a.target == target && a.generation == generation(a.slot));
        let loads = Loads::new(candidates.as_slice());
        let assigned = known.and_then(|at| candidates.of_slot(set[at].slot));
        let chosen = match assigned {
            Some(candidate) if !loads.must_move(candidate, candidates.as_slice(), &self.config) => candidate,
            _ => least_loaded(candidates.as_slice(), target)?,
        };
        // The backend of a target may be absent for this request only, which was there already and failed; then the
        // target moves all the same: it is likely to fail again.
        let oldest = (0..WAYS).min_by_key(|&at| set[at].used).unwrap_or(0);
        set[known.unwrap_or(oldest)] =
            Assignment { target, slot: chosen.slot, generation: generation(chosen.slot), used: self.clock };
        Some(chosen)
    }
}

/// The one with the fewest requests for its weight. Engines have tables of their own; that the target's hash decides
/// among equals lets them mostly agree.
pub(crate) fn least_loaded(candidates: &[Candidate], target: u64) -> Option<&Candidate> {
    let compare = |a: &Candidate, b: &Candidate| {
        let scaled = |load: u64, weight: u64| u128::from(load) * u128::from(weight);
        scaled(a.active, b.weight).cmp(&scaled(b.active, a.weight))
    };
    let least = candidates.iter().min_by(|a, b| compare(a, b))?;
    by_hash(candidates.iter().filter(|candidate| compare(candidate, least).is_eq()), target)
}

/// Compares loads with thresholds, which are meant for a backend of mean weight.
struct Loads {
    weights: u128,
    count: u128,
}

impl Loads {
    fn new(candidates: &[Candidate]) -> Loads {
        let weights = candidates.iter().map(|candidate| u128::from(candidate.weight)).sum();
        Loads { weights, count: candidates.len() as u128 }
    }

    fn exceeds(&self, candidate: &Candidate, threshold: u64) -> bool {
        self.load(candidate) > u128::from(threshold) * self.unit(candidate)
    }

    /// Load and threshold, both multiplied so that nothing is divided.
    fn load(&self, candidate: &Candidate) -> u128 {
        u128::from(candidate.active).saturating_mul(self.weights)
    }

    fn unit(&self, candidate: &Candidate) -> u128 {
        u128::from(candidate.weight) * self.count
    }

    /// Whether a target leaves its backend (the condition of Figure 2).
    fn must_move(&self, from: &Candidate, candidates: &[Candidate], config: &LocalityConfig) -> bool {
        let (low, high) = (u64::from(config.low), u64::from(config.high));
        let has_room = |candidate: &Candidate| self.load(candidate) < u128::from(low) * self.unit(candidate);
        let is_far_over = self.load(from) >= u128::from(high * 2) * self.unit(from);
        is_far_over || self.exceeds(from, high) && candidates.iter().any(has_room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(loads: &[u64]) -> Candidates {
        let mut candidates = Candidates::default();
        candidates.clear(loads.len());
        for (slot, &active) in (0..).zip(loads) {
            let candidate =
                Candidate { slot, weight: 1024, in_flight: 0, active, latency: 0, key: mix(u64::from(slot) + 1) };
            candidates.push(candidate);
        }
        candidates
    }

    fn assignments(targets: u32) -> Assignments {
        Assignments::new(LocalityConfig { low: 10, high: 20, targets })
    }

    fn chosen(assignments: &mut Assignments, loads: &[u64], target: u64) -> u32 {
        assignments.choose(&candidates(loads), target, |_| 0).unwrap().slot
    }

    #[test]
    fn a_target_stays_until_its_backend_is_overloaded() {
        let mut assignments = assignments(64);
        assert_eq!(chosen(&mut assignments, &[5, 0, 5], 7), 1, "the least loaded");
        assert_eq!(chosen(&mut assignments, &[5, 20, 5], 7), 1, "busy, and not over the high threshold");
        assert_eq!(chosen(&mut assignments, &[15, 39, 12], 7), 1, "over it, and nobody has room");
        assert_eq!(chosen(&mut assignments, &[15, 21, 9], 7), 2, "somebody has room");
        assert_eq!(chosen(&mut assignments, &[0, 0, 20], 7), 2, "there it stays");
        assert_eq!(chosen(&mut assignments, &[30, 31, 40], 7), 0, "twice over, it moves in any case");
    }

    #[test]
    fn a_target_of_a_backend_that_is_gone_moves() {
        let mut assignments = assignments(64);
        assert_eq!(chosen(&mut assignments, &[1, 1, 0], 7), 2);
        assert_eq!(chosen(&mut assignments, &[1, 0], 7), 1);
        assert_eq!(chosen(&mut assignments, &[0, 1, 0], 7), 1);
        let other = assignments.choose(&candidates(&[0, 1]), 7, |_| 1).unwrap().slot;
        assert_eq!(other, 0, "another backend is in the slot");
    }

    #[test]
    fn targets_beyond_the_table_are_forgotten_the_oldest_first() {
        let mut assignments = assignments(4);
        for target in 0..4 {
            assert_eq!(chosen(&mut assignments, &[0, 1], target), 0);
        }
        chosen(&mut assignments, &[1, 0], 0);
        assert_eq!(chosen(&mut assignments, &[1, 0], 9), 1, "a fifth");
        assert_eq!(chosen(&mut assignments, &[1, 0], 0), 0, "was asked for lately");
        assert_eq!(chosen(&mut assignments, &[1, 0], 1), 1, "was forgotten");
    }
}
