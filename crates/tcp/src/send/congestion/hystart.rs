//! HyStart++ (RFC 9406): slow start ends when round trips grow longer, not only when segments are lost.

use std::time::Duration;

/// A round with fewer measurements says nothing (§4.3's N_RTT_SAMPLE).
const SAMPLES: u8 = 8;
/// By how much longer a round trip has to be: an eighth, within these bounds (§4.3), in microseconds.
const DIVISOR: u32 = 8;
const LEAST: u32 = 4_000;
const MOST: u32 = 16_000;
/// Conservative slow start grows by so much less (CSS_GROWTH_DIVISOR), for so many rounds (CSS_ROUNDS).
const GROWTH_DIVISOR: u32 = 4;
const ROUNDS: u8 = 5;

/// Of a round trip that is not known.
const UNKNOWN: u32 = u32::MAX;

/// How the round trips of the first slow start develop. Those of the later ones are not looked at: they end where the first
/// loss was (§4.3).
#[derive(Clone, Copy, Debug)]
pub(crate) struct HyStart {
    /// The shortest round trip of this round, in microseconds.
    current: u32,
    /// That of the round before; in conservative slow start that of the round which began it.
    reference: u32,
    /// Measurements of this round.
    samples: u8,
    /// In conservative slow start, its rounds that are over.
    conservative: Option<u8>,
}

impl Default for HyStart {
    fn default() -> HyStart {
        HyStart { current: UNKNOWN, reference: UNKNOWN, samples: 0, conservative: None }
    }
}

impl HyStart {
    /// A round is over. True if slow start is, too.
    pub(crate) fn round_ended(&mut self) -> bool {
        let current = std::mem::replace(&mut self.current, UNKNOWN);
        self.samples = 0;
        match &mut self.conservative {
            None => {
                self.reference = current;
                false
            }
            Some(rounds) => {
                *rounds += 1;
                *rounds >= ROUNDS
            }
        }
    }

    /// A round trip was measured.
    pub(crate) fn sampled(&mut self, round_trip: Duration) {
        let sample = u32::try_from(round_trip.as_micros()).unwrap_or(UNKNOWN - 1);
        self.current = self.current.min(sample);
        self.samples = self.samples.saturating_add(1);
        if self.samples < SAMPLES || self.reference == UNKNOWN {
            return;
        }
        if self.conservative.is_none() {
            let longer = (self.reference / DIVISOR).clamp(LEAST, MOST);
            if self.current >= self.reference.saturating_add(longer) {
                (self.conservative, self.reference) = (Some(0), self.current);
            }
        } else if self.current < self.reference {
            // It was no queue that grew, so slow start goes on.
            (self.conservative, self.reference) = (None, UNKNOWN);
        }
    }

    /// What is left of a growth of so many octets.
    pub(crate) fn growth(&self, octets: u32) -> u32 {
        if self.conservative.is_some() { octets / GROWTH_DIVISOR } else { octets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A round of so many equal samples, and whether slow start is over with the next.
    fn round(start: &mut HyStart, samples: u32, milliseconds: u64) -> bool {
        (0..samples).for_each(|_| start.sampled(Duration::from_millis(milliseconds)));
        start.round_ended()
    }

    fn is_conservative(start: &HyStart) -> bool {
        start.growth(1000) == 250
    }

    #[test]
    fn it_is_small() {
        assert!(size_of::<HyStart>() <= 12);
    }

    #[test]
    fn a_round_trip_longer_by_an_eighth_within_bounds_makes_slow_start_conservative() {
        let cases = [
            // before, samples, then, conservative
            (40, 8, 44, false),
            (40, 8, 45, true),
            (40, 7, 100, false),
            (1, 8, 4, false),
            (1, 8, 5, true),
            (400, 8, 415, false),
            (400, 8, 416, true),
        ];
        for (before, samples, then, expected) in cases {
            let mut start = HyStart::default();
            assert!(!round(&mut start, 1, before));
            (0..samples).for_each(|_| start.sampled(Duration::from_millis(then)));
            assert_eq!(is_conservative(&start), expected, "{before} ms, then {samples} of {then} ms");
        }
    }

    #[test]
    fn one_short_round_trip_in_a_round_is_enough_to_go_on() {
        let mut start = HyStart::default();
        round(&mut start, 10, 40);
        start.sampled(Duration::from_millis(41));
        assert!(!round(&mut start, 20, 90));
        assert!(!is_conservative(&start));
    }

    #[test]
    fn after_five_conservative_rounds_slow_start_is_over() {
        let mut start = HyStart::default();
        round(&mut start, 10, 40);
        let over: Vec<_> = (0..6).map(|_| round(&mut start, 10, 60)).collect();
        // The round in which it became conservative counts.
        assert_eq!(over, [false, false, false, false, true, true]);
    }

    #[test]
    fn a_round_trip_that_becomes_shorter_again_was_no_queue() {
        let mut start = HyStart::default();
        round(&mut start, 10, 40);
        round(&mut start, 10, 60);
        assert!(is_conservative(&start));
        (0..8).for_each(|_| start.sampled(Duration::from_millis(59)));
        assert!(!is_conservative(&start));
        assert!(!round(&mut start, 10, 59));
        assert!(!round(&mut start, 10, 62), "compared with 59 ms now");
        assert!(!is_conservative(&start));
        round(&mut start, 10, 80);
        assert!(is_conservative(&start));
    }
}
