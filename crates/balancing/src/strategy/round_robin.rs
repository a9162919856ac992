//! One after another.

use crate::candidates::Candidate;

/// Each candidate's standing grows by its weight; the highest is next and falls by the sum of all. `standings` are by
/// slot. Returns the slot.
pub(crate) fn next_in_round(candidates: &[Candidate], standings: &mut [i64]) -> Option<u32> {
    let mut total = 0;
    let mut next: Option<(u32, i64)> = None;
    for candidate in candidates {
        // A weight is below 2^27, and their sum below 2^37.
        let weight = candidate.weight as i64;
        total += weight;
        let standing = &mut standings[candidate.slot as usize];
        *standing += weight;
        if next.is_none_or(|(_, highest)| *standing > highest) {
            next = Some((candidate.slot, *standing));
        }
    }
    let (slot, _) = next?;
    standings[slot as usize] -= total;
    Some(slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(weights: &[u64]) -> Vec<Candidate> {
        let candidate =
            |(slot, &weight)| Candidate { slot: slot as u32, weight, in_flight: 0, active: 0, latency: 0, key: 0 };
        weights.iter().enumerate().map(candidate).collect()
    }

    #[test]
    fn turns_of_a_heavy_one_are_spread() {
        let (candidates, mut standings) = (candidates(&[5, 1, 1]), [0; 3]);
        let turns: Vec<_> = (0..7).filter_map(|_| next_in_round(&candidates, &mut standings)).collect();
        assert_eq!(turns, [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(standings, [0; 3]);
        assert_eq!(next_in_round(&[], &mut standings), None);
    }
}
