//! By lot, and by a hash of request and backend.

use crate::candidates::Candidate;
use crate::random::{Random, mix};

/// Draws one, a heavier one more often. `None` if there is none.
pub(crate) fn by_lot<'a>(
    candidates: impl Iterator<Item = &'a Candidate> + Clone,
    random: &mut Random,
) -> Option<&'a Candidate> {
    let total: u64 = candidates.clone().map(|candidate| candidate.weight).sum();
    let mut drawn = random.below(total);
    let mut candidates = candidates;
    candidates.find(|candidate| {
        let is_it = drawn < candidate.weight;
        drawn = drawn.saturating_sub(candidate.weight);
        is_it
    })
}

/// Each candidate draws a number from its weight and a hash of request and name; the highest wins (rendezvous
/// hashing). So a request moves only if its winner goes, or a new one wins. `None` if there is none.
pub(crate) fn by_hash<'a>(candidates: impl Iterator<Item = &'a Candidate>, hash: u64) -> Option<&'a Candidate> {
    let score = |candidate: &Candidate| {
        let hash = mix(hash ^ candidate.key);
        // In (0, 1): 53 bits and a half.
        let unit = ((hash >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        candidate.weight as f64 / -unit.ln()
    };
    let scored = candidates.map(|candidate| (candidate, score(candidate)));
    scored.max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(candidate, _)| candidate)
}
