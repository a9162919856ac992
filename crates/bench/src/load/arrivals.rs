//! The fixed schedule of an open loop: request *i* is due at start + *i* ÷ rate, whatever became of
//! those before it. Latency counts from there, so a server that stalls cannot hide the requests
//! that it kept from being sent (coordinated omission).

use afpa_engine::seam::Time;
use std::time::Duration;

/// The schedule, and how far it has been followed.
#[derive(Debug)]
pub(crate) struct Arrivals {
    start: Time,
    /// Nanoseconds between two arrivals.
    interval: f64,
    next: u64,
}

impl Arrivals {
    /// `rate` arrivals per second, the first at `start`.
    ///
    /// # Panics
    /// Unless `rate` is positive and finite.
    pub(crate) fn new(start: Time, rate: f64) -> Arrivals {
        assert!(rate.is_finite() && rate > 0.0);
        Arrivals { start, interval: 1e9 / rate, next: 0 }
    }

    /// When the next arrival is due.
    pub(crate) fn next_due(&self) -> Time {
        self.due_at(self.next)
    }

    /// Takes the next arrival if it is due, and says when it was due.
    pub(crate) fn take(&mut self, now: Time) -> Option<Time> {
        let due = self.next_due();
        (due <= now).then(|| {
            self.next += 1;
            due
        })
    }

    /// How long until the next arrival; zero if it is due.
    pub(crate) fn wait(&self, now: Time) -> Duration {
        self.next_due().since(now)
    }

    /// The arrivals that were due by `now` and nobody took.
    pub(crate) fn overdue(&self, now: Time) -> impl Iterator<Item = Time> + '_ {
        (self.next..).map(|index| self.due_at(index)).take_while(move |due| *due <= now)
    }

    /// Computed from the index, not by adding up, so that rounding does not drift.
    fn due_at(&self, index: u64) -> Time {
        Time(self.start.0 + (index as f64 * self.interval) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_does_not_depend_on_when_it_is_followed() {
        let mut arrivals = Arrivals::new(Time(1_000), 1e6);
        assert_eq!(arrivals.take(Time(999)), None);
        assert_eq!(arrivals.wait(Time(400)), Duration::from_nanos(600));
        assert_eq!(arrivals.take(Time(1_000)), Some(Time(1_000)));
        // A stall of 3 us: the arrivals of that time keep their due times.
        let late: Vec<_> = std::iter::from_fn(|| arrivals.take(Time(4_000))).collect();
        assert_eq!(late, [Time(2_000), Time(3_000), Time(4_000)]);
        assert_eq!(arrivals.wait(Time(4_100)), Duration::from_nanos(900));
    }

    #[test]
    fn a_rate_that_divides_badly_does_not_drift() {
        let mut arrivals = Arrivals::new(Time(0), 30_000.0);
        let count = std::iter::from_fn(|| arrivals.take(Time(10_000_000_000 - 1))).count();
        assert_eq!(count, 300_000);
    }

    #[test]
    fn overdue_arrivals_are_those_not_taken() {
        let mut arrivals = Arrivals::new(Time(0), 1e9);
        arrivals.take(Time(5));
        assert_eq!(arrivals.overdue(Time(3)).collect::<Vec<_>>(), [Time(1), Time(2), Time(3)]);
    }
}
