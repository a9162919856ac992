//! The round-trip time and the retransmission timeout (RFC 6298).

use std::time::Duration;

use crate::time::Time;

/// The timeout before anything is measured (§2.1).
const INITIAL: Duration = Duration::from_secs(1);
/// The same, if the SYN's timer expired (§5.7).
const INITIAL_AFTER_LOST_SYN: Duration = Duration::from_secs(3);
/// No sample counts for more, in microseconds: a minute.
const MAX_SAMPLE: u32 = 60_000_000;
/// The minimum is that of between one and two of these, in seconds: together the five minutes for which a path is taken
/// to stay as it is.
const MIN_WINDOW: u32 = 150;
/// Further doublings change nothing.
const MAX_BACK_OFF: u8 = 16;

/// An estimator of the round-trip time.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Rtt {
    /// In eighths of microseconds; zero before the first sample.
    smoothed: u32,
    /// In quarters of microseconds.
    variation: u32,
    /// The minimum in microseconds since `min_since`, and that of the window before.
    min: u32,
    min_before: u32,
    /// In seconds.
    min_since: u32,
    back_off: u8,
    syn_was_lost: bool,
}

impl Rtt {
    /// Takes a measurement, which by Karn's rule (§3) is of a segment that was sent once, or known by its timestamp.
    /// The back-off ends.
    pub(crate) fn sample(&mut self, round_trip: Duration, now: Time) {
        let sample = u32::try_from(round_trip.as_nanos().div_ceil(1000)).unwrap_or(MAX_SAMPLE).clamp(1, MAX_SAMPLE);
        self.back_off = 0;
        self.sample_min(sample, now);
        if self.smoothed == 0 {
            // §2.2: the smoothed value is the sample, the variation half of it.
            self.smoothed = sample * 8;
            self.variation = sample * 2;
            return;
        }
        // §2.3, in this order: the variation by a quarter of its error, the smoothed value by an eighth.
        let error = (self.smoothed / 8).abs_diff(sample);
        self.variation = self.variation - self.variation / 4 + error;
        self.smoothed = (self.smoothed - self.smoothed / 8 + sample).max(1);
    }

    /// The smoothed round-trip time.
    pub(crate) fn smoothed(&self) -> Option<Duration> {
        (self.smoothed > 0).then(|| Duration::from_nanos(u64::from(self.smoothed) * 125))
    }

    /// Its variation; zero before the first sample.
    pub(crate) fn variation(&self) -> Duration {
        Duration::from_nanos(u64::from(self.variation) * 250)
    }

    /// The shortest round trip of the last minutes.
    pub(crate) fn min(&self) -> Option<Duration> {
        (self.smoothed > 0).then(|| Duration::from_micros(self.min.min(self.min_before).into()))
    }

    /// The retransmission timeout, backed off, between `min` and `max` (§2.4, §2.5). `min` is on top of the round trip,
    /// as the granularity of §2.3 is: on a long steady path a delayed acknowledgment would else come too late.
    pub(crate) fn timeout(&self, min: Duration, max: Duration) -> Duration {
        let timeout = match self.smoothed() {
            Some(smoothed) => smoothed + Duration::from_micros(self.variation.into()).max(min),
            None if self.syn_was_lost => INITIAL_AFTER_LOST_SYN,
            None => INITIAL,
        };
        timeout.max(min).saturating_mul(1 << self.back_off).min(max)
    }

    /// A timeout passed: the next one is twice as long (§5.5).
    pub(crate) fn back_off(&mut self) {
        self.back_off = (self.back_off + 1).min(MAX_BACK_OFF);
    }

    /// Something was acknowledged, though nothing could be measured.
    pub(crate) fn reset_back_off(&mut self) {
        self.back_off = 0;
    }

    /// The handshake is over, and its SYN had to be sent again (§5.7).
    pub(crate) fn syn_was_lost(&mut self) {
        self.syn_was_lost = true;
        self.back_off = 0;
    }

    fn sample_min(&mut self, sample: u32, now: Time) {
        let seconds = (now.0 / 1_000_000_000) as u32;
        if self.smoothed == 0 {
            (self.min, self.min_before, self.min_since) = (sample, sample, seconds);
        } else if seconds.wrapping_sub(self.min_since) >= MIN_WINDOW {
            (self.min, self.min_before, self.min_since) = (sample, self.min, seconds);
        } else {
            self.min = self.min.min(sample);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIN: Duration = Duration::from_millis(200);
    const MAX: Duration = Duration::from_secs(60);

    fn milliseconds(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn seconds(count: u64) -> Time {
        Time(count * 1_000_000_000)
    }

    #[test]
    fn it_is_small() {
        assert!(size_of::<Rtt>() <= 24);
    }

    #[test]
    fn the_timeout_follows_the_samples() {
        let mut rtt = Rtt::default();
        assert_eq!((rtt.smoothed(), rtt.min(), rtt.timeout(MIN, MAX)), (None, None, milliseconds(1000)));
        // R, then SRTT + 4 RTTVAR, worked out by hand.
        let cases = [(400, 400, 1200), (400, 400, 1000), (800, 450, 1300)];
        for (sample, smoothed, timeout) in cases {
            rtt.sample(milliseconds(sample), seconds(1));
            assert_eq!(rtt.smoothed(), Some(milliseconds(smoothed)));
            assert_eq!(rtt.timeout(MIN, MAX), milliseconds(timeout));
        }
        assert_eq!(rtt.min(), Some(milliseconds(400)));
    }

    #[test]
    fn the_timeout_doubles_up_to_its_maximum_and_returns_with_a_sample() {
        let mut rtt = Rtt::default();
        let least = MIN + Duration::from_micros(30);
        rtt.sample(Duration::from_micros(30), seconds(1));
        for doublings in 0..12 {
            assert_eq!(rtt.timeout(MIN, MAX), (least * (1 << doublings)).min(MAX));
            rtt.back_off();
        }
        (0..1000).for_each(|_| rtt.back_off());
        assert_eq!(rtt.timeout(MIN, MAX), MAX);
        rtt.sample(Duration::from_micros(30), seconds(1));
        assert_eq!(rtt.timeout(MIN, MAX), least);
    }

    #[test]
    fn a_lost_syn_makes_the_first_timeout_three_seconds() {
        let mut rtt = Rtt::default();
        rtt.back_off();
        assert_eq!(rtt.timeout(MIN, MAX), milliseconds(2000));
        rtt.syn_was_lost();
        assert_eq!(rtt.timeout(MIN, MAX), milliseconds(3000));
        rtt.sample(milliseconds(10), seconds(1));
        assert_eq!(rtt.timeout(MIN, MAX), MIN + milliseconds(10));
    }

    #[test]
    fn the_minimum_is_forgotten_after_two_windows() {
        let mut rtt = Rtt::default();
        let cases = [(0, 10, 10), (100, 20, 10), (149, 9, 9), (150, 30, 9), (299, 40, 9), (300, 50, 30), (450, 60, 50)];
        for (at, sample, min) in cases {
            rtt.sample(milliseconds(sample), seconds(at));
            assert_eq!(rtt.min(), Some(milliseconds(min)), "at {at} s");
        }
    }

    proptest! {
        #[test]
        fn it_stays_within_what_was_sampled(samples in prop::collection::vec(any::<u64>(), 1..100)) {
            let mut rtt = Rtt::default();
            let (mut least, mut most) = (Duration::MAX, Duration::ZERO);
            for sample in samples {
                let sample = Duration::from_nanos(sample >> (sample % 64));
                let counted = sample.clamp(Duration::from_micros(1), Duration::from_secs(60));
                least = least.min(counted);
                most = most.max(counted + Duration::from_micros(1));
                rtt.sample(sample, seconds(1));
                let smoothed = rtt.smoothed().unwrap();
                prop_assert!(smoothed + Duration::from_micros(1) >= least && smoothed <= most);
                prop_assert!(rtt.min().unwrap() >= least.min(counted) && rtt.timeout(MIN, MAX) >= MIN);
            }
        }
    }
}
