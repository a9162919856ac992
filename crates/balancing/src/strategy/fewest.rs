//! By requests in flight.

use std::cmp::Ordering;

use super::lot::by_lot;
use crate::candidates::Candidate;
use crate::random::Random;

/// The one with the fewest requests in flight for its weight; among equals one is drawn.
pub(crate) fn fewest_requests<'a>(candidates: &'a [Candidate], random: &mut Random) -> Option<&'a Candidate> {
    let least = candidates.iter().min_by(|a, b| compare(a, b, false))?;
    by_lot(candidates.iter().filter(|candidate| compare(candidate, least, false).is_eq()), random)
}

/// Of two that are drawn the less loaded one (Mitzenmacher, *The Power of Two Choices*, 2001), which, with `latency`,
/// is the one that is likely to answer first.
pub(crate) fn two_choices<'a>(
    candidates: &'a [Candidate],
    random: &mut Random,
    latency: bool,
) -> Option<&'a Candidate> {
    let first = by_lot(candidates.iter(), random)?;
    let Some(second) = by_lot(candidates.iter().filter(|other| other.slot != first.slot), random) else {
        return Some(first);
    };
    // A heavier one is drawn more often already; loads are compared as they are for the weight.
    Some(if compare(second, first, latency).is_lt() { second } else { first })
}

/// Compares what loads would be with one more request: so an idle heavy one comes before an idle light one.
fn compare(a: &Candidate, b: &Candidate, latency: bool) -> Ordering {
    // One that has not answered yet is not known to be fast: it would be sent everything until it has.
    let latency = latency && a.latency > 0 && b.latency > 0;
    let load = |candidate: &Candidate| {
        let requests = u128::from(candidate.active) + 1;
        if latency { requests * u128::from(candidate.latency) } else { requests }
    };
    // a/b < c/d without a division; a latency counts up to a day, so nothing overflows for any load that fits here.
    let scaled = |load: u128, weight: u64| load.saturating_mul(u128::from(weight));
    scaled(load(a), b.weight).cmp(&scaled(load(b), a.weight))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(loads: &[(u64, u64, u64)]) -> Vec<Candidate> {
        let candidate = |(slot, &(weight, active, latency))| Candidate {
            slot: slot as u32,
            weight,
            in_flight: 0,
            active,
            latency,
            key: 0,
        };
        loads.iter().enumerate().map(candidate).collect()
    }

    #[test]
    fn the_fewest_requests_for_the_weight() {
        let mut random = Random::new(1);
        let mut of = |loads: &[(u64, u64, u64)]| fewest_requests(&candidates(loads), &mut random).map(|c| c.slot);
        assert_eq!(of(&[(1, 3, 0), (1, 2, 0), (1, 9, 0)]), Some(1));
        assert_eq!(of(&[(1, 3, 0), (4, 8, 0), (1, 9, 0)]), Some(1), "nine of four are fewer than four of one");
        assert_eq!(of(&[(1, 0, 0), (2, 0, 0)]), Some(1), "idle, the heavier one");
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn of_two_the_less_loaded_or_the_faster() {
        let mut random = Random::new(7);
        for _ in 0..100 {
            let loaded = candidates(&[(1, 9, 10), (1, 2, 1000)]);
            assert_eq!(two_choices(&loaded, &mut random, false).map(|c| c.slot), Some(1));
            assert_eq!(two_choices(&loaded, &mut random, true).map(|c| c.slot), Some(0));
            let unknown = candidates(&[(1, 9, 0), (1, 2, 1000)]);
            assert_eq!(two_choices(&unknown, &mut random, true).map(|c| c.slot), Some(1));
        }
        assert_eq!(two_choices(&candidates(&[(1, 9, 1)]), &mut random, false).map(|c| c.slot), Some(0));
        assert!(two_choices(&[], &mut random, false).is_none());
    }
}
