//! What is known of a backend, on all engines together.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

use crate::config::BackendAddress;

/// How an attempt ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// With a response of a status below 500.
    Success,
    /// Without a response, or with one that says that the backend cannot answer.
    Failure(FailureKind),
    /// We no longer wait, for a reason that is not the backend's: the client went away, a hedge was faster.
    Abandoned,
}

/// What went wrong with an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailureKind {
    /// No connection: nothing of the request was sent.
    Connect,
    /// Not answered in time.
    Timeout,
    /// The connection ended before the response did.
    Reset,
    /// The response is none.
    Malformed,
    /// A response of this status, 500 or above.
    Status(u16),
}

/// A change that an operator wants to know of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HealthChange {
    /// Checks passed, as often in a row as it takes.
    Up,
    /// Checks failed, as often in a row as it takes.
    Down,
}

/// What a backend was asked and did, on all engines, since it is known. Numbers that were read at one moment need not
/// fit each other to the last one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BackendCounters {
    /// Requests in flight.
    pub active: u64,
    /// Attempts.
    pub requests: u64,
    /// Of these, failed ones, answers of status 500 and above included.
    pub failures: u64,
    /// Octets sent there.
    pub sent: u64,
    /// Octets received from there.
    pub received: u64,
    /// Checks passed.
    pub checks_passed: u64,
    /// Checks failed.
    pub checks_failed: u64,
    /// Times that it was ejected.
    pub ejections: u64,
}

/// A backend, shared by all engines. Each value is read and written on its own, without an order among them: what is
/// read may be a moment old, and decisions allow for that.
#[derive(Debug)]
pub struct BackendState {
    name: String,
    address: BackendAddress,
    down: AtomicBool,
    passed_in_a_row: AtomicU32,
    failed_in_a_row: AtomicU32,
    /// When it came up or into its pool; zero: it was there from the start.
    returned: AtomicU64,
    ejected_until: AtomicU64,
    /// How often it was ejected lately.
    times_ejected: AtomicU32,
    failures_in_a_row: AtomicU32,
    latency: AtomicU64,
    interval: Interval,
    counters: Counters,
}

/// What ended since backends were last compared.
#[derive(Debug, Default)]
struct Interval {
    ended: AtomicU64,
    failures: AtomicU64,
    latency: AtomicU64,
}

#[derive(Debug, Default)]
struct Counters {
    active: AtomicU64,
    requests: AtomicU64,
    failures: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    checks_passed: AtomicU64,
    checks_failed: AtomicU64,
    ejections: AtomicU64,
}

/// What a backend did in an interval.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Performance {
    pub(crate) ended: u64,
    pub(crate) failures: u64,
    pub(crate) latency: u64,
}

/// The part of its share, in percent, with which a slow start begins.
const SLOW_START_PERCENT: u128 = 10;
/// What a weight is multiplied with, so that a part of it is a whole number.
pub(crate) const WEIGHT_SCALE: u64 = 1024;

impl BackendState {
    /// A backend of which nothing is known: it counts as healthy. `returned` is when its slow start begins; zero: it
    /// has none.
    pub fn new(name: &str, address: BackendAddress, returned: u64) -> BackendState {
        BackendState {
            name: name.to_owned(),
            address,
            down: AtomicBool::new(false),
            passed_in_a_row: AtomicU32::new(0),
            failed_in_a_row: AtomicU32::new(0),
            returned: AtomicU64::new(returned),
            ejected_until: AtomicU64::new(0),
            times_ejected: AtomicU32::new(0),
            failures_in_a_row: AtomicU32::new(0),
            latency: AtomicU64::new(0),
            interval: Interval::default(),
            counters: Counters::default(),
        }
    }

    /// Its name; unique in its pool.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    pub fn address(&self) -> &BackendAddress {
        &self.address
    }

    /// Whether checks say that it works. A backend that was never checked does.
    #[inline]
    pub fn is_healthy(&self) -> bool {
        !self.down.load(Relaxed)
    }

    /// Whether its traffic showed that it is worse than others.
    #[inline]
    pub fn is_ejected(&self, now: u64) -> bool {
        now < self.ejected_until.load(Relaxed)
    }

    /// Until when it is ejected, or was the last time; zero: it never was.
    pub fn ejected_until(&self) -> u64 {
        self.ejected_until.load(Relaxed)
    }

    /// Whether it works, by all that is known.
    #[inline]
    pub fn is_usable(&self, now: u64) -> bool {
        self.is_healthy() && !self.is_ejected(now)
    }

    /// A mean of the latest latencies, in nanoseconds, each new one an eighth of it; zero: nothing was answered yet.
    #[inline]
    pub fn latency(&self) -> u64 {
        self.latency.load(Relaxed)
    }

    /// Requests in flight, on all engines.
    #[inline]
    pub fn active(&self) -> u64 {
        self.counters.active.load(Relaxed)
    }

    /// Its counters.
    pub fn counters(&self) -> BackendCounters {
        let Counters { active, requests, failures, sent, received, checks_passed, checks_failed, ejections } =
            &self.counters;
        BackendCounters {
            active: active.load(Relaxed),
            requests: requests.load(Relaxed),
            failures: failures.load(Relaxed),
            sent: sent.load(Relaxed),
            received: received.load(Relaxed),
            checks_passed: checks_passed.load(Relaxed),
            checks_failed: checks_failed.load(Relaxed),
            ejections: ejections.load(Relaxed),
        }
    }

    /// `weight` as far as a slow start of `slow_start_ns` lets it count at `now`, times [`WEIGHT_SCALE`]; at least 1.
    #[inline]
    pub(crate) fn weight(&self, weight: u32, slow_start_ns: u64, now: u64) -> u64 {
        let full = u64::from(weight) * WEIGHT_SCALE;
        // What was ejected starts slowly too.
        let since = self.returned.load(Relaxed).max(self.ejected_until.load(Relaxed));
        let elapsed = now.saturating_sub(since);
        if since == 0 || elapsed >= slow_start_ns {
            return full;
        }
        let percent = (u128::from(elapsed) * 100 / u128::from(slow_start_ns)).max(SLOW_START_PERCENT);
        (u128::from(full) * percent / 100).max(1) as u64
    }

    /// A check ended. `rise` passed ones in a row bring a backend up, `fall` failed ones down. Only one task checks a
    /// backend.
    pub fn checked(&self, passed: bool, rise: u32, fall: u32, now: u64) -> Option<HealthChange> {
        let (counter, streak, other, limit) = match passed {
            true => (&self.counters.checks_passed, &self.passed_in_a_row, &self.failed_in_a_row, rise),
            false => (&self.counters.checks_failed, &self.failed_in_a_row, &self.passed_in_a_row, fall),
        };
        counter.fetch_add(1, Relaxed);
        other.store(0, Relaxed);
        let in_a_row = streak.load(Relaxed).saturating_add(1);
        streak.store(in_a_row, Relaxed);
        let changes = self.is_healthy() != passed && in_a_row >= limit;
        if !changes {
            return None;
        }
        if passed {
            self.returned.store(now.max(1), Relaxed);
            self.failures_in_a_row.store(0, Relaxed);
        }
        self.down.store(!passed, Relaxed);
        Some(if passed { HealthChange::Up } else { HealthChange::Down })
    }

    /// Nobody checks it any more: what checks found does not hold for ever.
    pub fn unchecked(&self) {
        self.passed_in_a_row.store(0, Relaxed);
        self.failed_in_a_row.store(0, Relaxed);
        self.down.store(false, Relaxed);
    }

    pub(crate) fn began(&self) {
        self.counters.active.fetch_add(1, Relaxed);
        self.counters.requests.fetch_add(1, Relaxed);
    }

    /// Counts the end of an attempt. Returns how many failed in a row.
    pub(crate) fn ended(&self, outcome: Outcome, latency_ns: u64, server_errors: bool) -> u32 {
        self.withdrawn(1);
        let (failed, answered) = match outcome {
            Outcome::Abandoned => return 0,
            Outcome::Success => (false, true),
            Outcome::Failure(FailureKind::Status(_)) => (server_errors, true),
            Outcome::Failure(_) => (true, false),
        };
        if outcome != Outcome::Success {
            self.counters.failures.fetch_add(1, Relaxed);
        }
        self.interval.ended.fetch_add(1, Relaxed);
        self.interval.latency.fetch_add(latency_ns, Relaxed);
        if answered {
            self.learn_latency(latency_ns);
        }
        if failed {
            self.interval.failures.fetch_add(1, Relaxed);
            return self.failures_in_a_row.fetch_add(1, Relaxed).saturating_add(1);
        }
        // Mostly it is zero, and then engines do not write to what others read.
        if self.failures_in_a_row.load(Relaxed) != 0 {
            self.failures_in_a_row.store(0, Relaxed);
        }
        0
    }

    /// Attempts that are no longer in flight, however they ended.
    pub(crate) fn withdrawn(&self, attempts: u64) {
        let less = |active: u64| Some(active.saturating_sub(attempts));
        let _ = self.counters.active.fetch_update(Relaxed, Relaxed, less);
    }

    /// Counts octets that went there and came from there.
    pub fn transferred(&self, sent: u64, received: u64) {
        self.counters.sent.fetch_add(sent, Relaxed);
        self.counters.received.fetch_add(received, Relaxed);
    }

    /// Two engines that write at once leave one of two means that are equally good.
    fn learn_latency(&self, latency_ns: u64) {
        let old = self.latency.load(Relaxed);
        let new = if old == 0 { latency_ns } else { old - old / 8 + latency_ns / 8 };
        self.latency.store(new.max(1), Relaxed);
    }

    /// What it did since this was last asked.
    pub(crate) fn take_performance(&self) -> Performance {
        let Interval { ended, failures, latency } = &self.interval;
        let ended = ended.swap(0, Relaxed);
        let latency = latency.swap(0, Relaxed).checked_div(ended).unwrap_or(0);
        Performance { ended, failures: failures.swap(0, Relaxed).min(ended), latency }
    }

    /// Ejects it, longer each time. Returns until when.
    pub(crate) fn eject(&self, base_ns: u64, max_ns: u64, now: u64) -> u64 {
        let times = self.times_ejected.fetch_add(1, Relaxed).saturating_add(1);
        let until = now.saturating_add(base_ns.saturating_mul(u64::from(times)).min(max_ns));
        self.failures_in_a_row.store(0, Relaxed);
        self.counters.ejections.fetch_add(1, Relaxed);
        self.ejected_until.store(until, Relaxed);
        until
    }

    /// An interval passed without an ejection: the next one will be shorter.
    pub(crate) fn forgive(&self) {
        let _ = self.times_ejected.fetch_update(Relaxed, Relaxed, |times| times.checked_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> BackendState {
        BackendState::new("a", BackendAddress::Inet("192.0.2.1:80".parse().unwrap()), 0)
    }

    #[test]
    fn checks_bring_it_down_and_up_when_enough_agree() {
        let state = state();
        let steps = [
            (false, None, true),
            (false, None, true),
            (true, None, true),
            (false, None, true),
            (false, None, true),
            (false, Some(HealthChange::Down), false),
            (false, None, false),
            (true, None, false),
            (false, None, false),
            (true, None, false),
            (true, Some(HealthChange::Up), true),
        ];
        for (step, (passed, change, healthy)) in steps.into_iter().enumerate() {
            assert_eq!(state.checked(passed, 2, 3, 10), change, "step {step}");
            assert_eq!(state.is_healthy(), healthy, "step {step}");
        }
        assert_eq!((state.counters().checks_passed, state.counters().checks_failed), (4, 7));
    }

    #[test]
    fn a_slow_start_grows_to_the_whole_weight() {
        let state = state();
        assert_eq!(state.weight(2, 1000, 0), 2 * WEIGHT_SCALE, "from the start it has all of it");
        state.checked(false, 1, 1, 50);
        state.checked(true, 1, 1, 100);
        let weights = [100, 150, 200, 600, 1099, 1100, 5000].map(|now| state.weight(100, 1000, now) / WEIGHT_SCALE);
        assert_eq!(weights, [10, 10, 10, 50, 99, 100, 100]);
        assert_eq!(state.weight(100, 0, 100), 100 * WEIGHT_SCALE, "without a slow start");
        let until = state.eject(500, 500, 2000);
        assert_eq!(state.weight(100, 1000, until + 500), 50 * WEIGHT_SCALE, "after an ejection");
    }

    #[test]
    fn ejections_last_longer_each_time_up_to_the_most() {
        let state = state();
        assert_eq!(state.eject(100, 250, 0), 100);
        assert!(state.is_ejected(99) && !state.is_ejected(100));
        assert_eq!(state.eject(100, 250, 1000), 1200);
        assert_eq!(state.eject(100, 250, 2000), 2250);
        state.forgive();
        state.forgive();
        state.forgive();
        state.forgive();
        assert_eq!(state.eject(100, 250, 3000), 3100);
        assert_eq!(state.counters().ejections, 4);
    }

    #[test]
    fn outcomes_are_counted_for_what_they_are() {
        let state = state();
        let failure = |kind| Outcome::Failure(kind);
        let steps = [
            (Outcome::Success, true, 0),
            (failure(FailureKind::Connect), true, 1),
            (failure(FailureKind::Status(503)), true, 2),
            (Outcome::Abandoned, true, 0),
            (failure(FailureKind::Timeout), true, 3),
            (failure(FailureKind::Status(503)), false, 0),
            (failure(FailureKind::Reset), false, 1),
        ];
        for (outcome, server_errors, in_a_row) in steps {
            state.began();
            assert_eq!(state.ended(outcome, 800, server_errors), in_a_row, "{outcome:?}");
        }
        let counters = state.counters();
        assert_eq!((counters.active, counters.requests, counters.failures), (0, 7, 5));
        assert_eq!(state.latency(), 800);
        let performance = state.take_performance();
        assert_eq!((performance.ended, performance.failures, performance.latency), (6, 4, 800));
        assert_eq!(state.take_performance().ended, 0);
    }
}
