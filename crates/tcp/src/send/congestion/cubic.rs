//! CUBIC (RFC 9438): a window that grows by the time since its last reduction, not by the round trip.

use std::time::Duration;

use crate::send::congestion::new_reno;
use crate::time::Time;

/// The cubic function's steepness, in segments per cubed second (§5).
const C: f32 = 0.4;
/// What remains of the window after a loss (§4.6).
const BETA: f32 = 0.7;
/// The growth per window of acknowledgments, in segments, that makes the estimate fair to Reno (§4.3).
const ALPHA: f32 = 3.0 * (1.0 - BETA) / (1.0 + BETA);

/// The state of CUBIC; windows in octets. What grows by less than an octet at a time is not added up in `f32`, which
/// has no place for that in a large window.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Cubic {
    /// The plateau of the curve (`W_max`); zero if the next curve begins at its plateau.
    plateau: f32,
    /// The window before the last reduction (`cwnd_prior`).
    prior: f32,
    /// What Reno's window would be (`W_est`); zero if no curve is being followed.
    reno: u32,
    /// When the curve reaches the plateau: its beginning plus `K`, in milliseconds, wrapping.
    inflection: u32,
    /// Octets by which the window has not grown yet, at most a segment.
    rest: f32,
}

impl Cubic {
    /// By how much the window grows for `octets` acknowledged in congestion avoidance. `credit` carries those that have
    /// not added a segment to the estimate of Reno's window.
    pub(crate) fn growth(
        &mut self,
        credit: &mut u32,
        octets: u32,
        window: u32,
        mss: u32,
        now: Time,
        smoothed: Duration,
    ) -> u32 {
        let (cwnd, segment, acknowledged) = (window as f32, mss.max(1) as f32, octets as f32);
        if self.reno == 0 {
            self.begin(window, segment, now);
        }
        let alpha = if self.reno as f32 >= self.prior { 1.0 } else { ALPHA };
        self.reno = self.reno.saturating_add(new_reno::growth(credit, (acknowledged * alpha) as u32, window, mss));
        let elapsed = seconds_between(self.inflection, now);
        let wanted = if self.at(elapsed, segment) < self.reno as f32 {
            // The Reno-friendly region (§4.3).
            self.reno.saturating_sub(window) as f32
        } else {
            let target = self.at(elapsed + smoothed.as_secs_f32(), segment).clamp(cwnd, 1.5 * cwnd);
            (target - cwnd) * (acknowledged / cwnd)
        };
        // Half a window per round trip is the most (§4.2); no acknowledgment is worth more than what it acknowledges,
        // or than a segment.
        self.rest += wanted;
        let whole = (self.rest as u32).min(octets.max(mss));
        self.rest = (self.rest - whole as f32).clamp(0.0, segment);
        whole
    }

    /// A loss: notes where, and returns the threshold (§4.6, §4.7).
    pub(crate) fn reduced(&mut self, window: u32, in_flight: u32) -> u32 {
        let cwnd = window as f32;
        // A flow that loses below its last plateau makes room for others (fast convergence).
        self.plateau = if cwnd < self.plateau { cwnd * (1.0 + BETA) / 2.0 } else { cwnd };
        self.prior = cwnd;
        self.pause();
        (in_flight as f32 * BETA) as u32
    }

    /// After a timeout the next curve begins at its plateau (§4.8).
    pub(crate) fn timed_out(&mut self) {
        self.plateau = 0.0;
        self.pause();
    }

    /// Time that passes does not count (§5.8): the curve begins again where the window then is.
    pub(crate) fn pause(&mut self) {
        self.reno = 0;
        self.rest = 0.0;
    }

    /// A curve begins (§4.2).
    fn begin(&mut self, window: u32, segment: f32, now: Time) {
        let cwnd = window as f32;
        self.reno = window;
        self.plateau = self.plateau.max(cwnd);
        let k = ((self.plateau - cwnd) / segment / C).cbrt();
        self.inflection = milliseconds(now).wrapping_add((k * 1000.0) as u32);
    }

    /// The curve, so many seconds after its inflection.
    fn at(&self, seconds: f32, segment: f32) -> f32 {
        C * segment * seconds * seconds * seconds + self.plateau
    }
}

fn milliseconds(now: Time) -> u32 {
    (now.0 / 1_000_000) as u32
}

fn seconds_between(earlier: u32, now: Time) -> f32 {
    milliseconds(now).wrapping_sub(earlier) as i32 as f32 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1000;

    /// The window after so many milliseconds of full use at a round trip of 100 ms.
    fn after(cubic: &mut Cubic, mut window: u32, from: u64, milliseconds: u64) -> u32 {
        let mut credit = 0;
        for round in from / 100..(from + milliseconds) / 100 {
            let now = Time(round * 100_000_000);
            let mut left = window;
            while left > 0 {
                let octets = left.min(2 * MSS);
                window += cubic.growth(&mut credit, octets, window, MSS, now, Duration::from_millis(100));
                left -= octets;
            }
        }
        window
    }

    #[test]
    fn the_window_follows_the_curve_back_to_the_plateau_and_beyond() {
        let mut cubic = Cubic::default();
        assert_eq!(cubic.reduced(1_000_000, 1_000_000), 700_000);
        // K = cbrt(300 / 0.4) = 9.086 s; W(t) = 0.4 (t - K)^3 + 1000 segments.
        let samples = [(2_000, 858), (4_000, 947), (8_000, 999), (9_000, 1000), (12_000, 1010), (15_000, 1083)];
        let (mut window, mut at) = (700_000, 0);
        for (milliseconds, segments) in samples {
            window = after(&mut cubic, window, at, milliseconds - at);
            at = milliseconds;
            let expected = segments * MSS;
            assert!(window.abs_diff(expected) < expected / 50, "{milliseconds} ms: {window}, not {expected}");
        }
    }

    #[test]
    fn a_small_window_grows_as_renos_does() {
        let mut cubic = Cubic::default();
        assert_eq!(cubic.reduced(20_000, 20_000), 14_000);
        // In 10 round trips of 100 ms Reno-friendly growth gives 10 * 0.53 segments; the curve would give 2.6 at most.
        let window = after(&mut cubic, 14_000, 0, 1_000);
        assert!(window.abs_diff(19_300) < 500, "{window}");
        // Beyond the window of before it is a segment for each.
        let window = after(&mut cubic, window, 1_000, 1_000);
        assert!(window.abs_diff(28_700) < 1_500, "{window}");
    }

    #[test]
    fn a_loss_below_the_plateau_lowers_it_further() {
        let mut cubic = Cubic::default();
        cubic.reduced(1_000_000, 1_000_000);
        cubic.reduced(800_000, 800_000);
        assert_eq!(cubic.plateau, 680_000.0);
        cubic.reduced(700_000, 700_000);
        assert_eq!(cubic.plateau, 700_000.0);
    }

    #[test]
    fn after_a_timeout_the_curve_is_convex_from_where_it_begins() {
        let mut cubic = Cubic::default();
        cubic.reduced(1_000_000, 1_000_000);
        cubic.timed_out();
        let window = after(&mut cubic, 700_000, 0, 1_000);
        assert!((700_000..712_000).contains(&window), "{window}");
    }
    /// Windows that `f32` does not hold to the octet grow all the same.
    #[test]
    fn a_huge_window_grows() {
        let mut cubic = Cubic::default();
        cubic.reduced(900_000_000, 900_000_000);
        let window = after(&mut cubic, 630_000_000, 0, 300);
        // Of K, 87.7 s, 0.3 s have passed.
        assert!((632_000_000..634_000_000).contains(&window), "{window}");
    }
}
