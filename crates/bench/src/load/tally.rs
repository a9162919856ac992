//! What a load counts: answers, octets, latencies, and every way to fail.

use afpa_engine::seam::Time;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The longest latency that is told apart, in nanoseconds; longer ones count as this.
const MAX_LATENCY: u64 = 100_000_000_000;

/// The counts of one load. Nothing but errors counts before [`Tally::begin`].
pub(crate) struct Tally {
    begun: Option<Time>,
    /// Answers that were as they should be.
    pub(crate) requests: u64,
    /// Octets of those and other responses, heads included.
    pub(crate) bytes: u64,
    /// Connections that were opened, from the start.
    pub(crate) connections: u64,
    /// Requests that were due and had no answer when the load ended.
    pub(crate) unfinished: u64,
    /// What went wrong, from the start.
    pub(crate) errors: Errors,
    /// The first failure, in words.
    pub(crate) first_error: Option<String>,
    /// Latencies in nanoseconds.
    pub(crate) latencies: Histogram<u64>,
}

/// Requests that failed, by what went wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Errors {
    /// The connection could not be opened.
    pub(crate) connect: u64,
    /// The server reset the connection.
    pub(crate) reset: u64,
    /// The server closed the connection before it had answered.
    pub(crate) closed: u64,
    /// No octet came for too long.
    pub(crate) timeout: u64,
    /// The answer's status was not 200.
    pub(crate) status: u64,
    /// The body did not have the length that it should have.
    pub(crate) length: u64,
    /// The response was not well-formed, or nobody had asked for it.
    pub(crate) malformed: u64,
}

impl Errors {
    /// All of them.
    pub(crate) fn total(&self) -> u64 {
        let Errors { connect, reset, closed, timeout, status, length, malformed } = self;
        connect + reset + closed + timeout + status + length + malformed
    }
}

impl Tally {
    /// Counts nothing but errors yet.
    pub(crate) fn new() -> Tally {
        let latencies = Histogram::new_with_bounds(1_000, MAX_LATENCY, 3).expect("the bounds are valid");
        Tally {
            first_error: None,
            begun: None,
            requests: 0,
            bytes: 0,
            connections: 0,
            unfinished: 0,
            errors: Errors::default(),
            latencies,
        }
    }

    /// The warm-up is over: what is answered, or is due, from now on counts.
    pub(crate) fn begin(&mut self, now: Time) {
        self.begun = Some(now);
    }

    /// Octets came.
    pub(crate) fn received(&mut self, octets: u64) {
        if self.begun.is_some() {
            self.bytes += octets;
        }
    }

    /// A request that was due at `due` was answered at `now`.
    pub(crate) fn answered(&mut self, due: Time, now: Time) {
        if self.begun.is_some() {
            self.requests += 1;
            self.latencies.saturating_record(now.since(due).as_nanos() as u64);
        }
    }

    /// Keeps the first failure's description.
    pub(crate) fn explain(&mut self, describe: impl FnOnce() -> String) {
        if self.first_error.is_none() {
            self.first_error = Some(describe());
        }
    }

    /// A request that was due at `due` was not answered by `now`, the end.
    pub(crate) fn unfinished(&mut self, due: Time, now: Time) {
        if self.begun.is_some() {
            self.unfinished += 1;
            self.latencies.saturating_record(now.since(due).as_nanos() as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warm_up_does_not_count() {
        let mut tally = Tally::new();
        tally.answered(Time(0), Time(5_000));
        tally.received(10);
        assert_eq!((tally.requests, tally.bytes, tally.latencies.len()), (0, 0, 0));
        tally.begin(Time(6_000));
        tally.answered(Time(5_000), Time(8_000));
        tally.received(10);
        assert_eq!((tally.requests, tally.bytes, tally.latencies.max() / 1_000), (1, 10, 3));
    }

    #[test]
    fn a_request_that_never_ends_counts_with_its_age() {
        let mut tally = Tally::new();
        tally.begin(Time(0));
        tally.answered(Time(0), Time(1_000));
        tally.unfinished(Time(0), Time(u64::MAX));
        assert_eq!((tally.requests, tally.unfinished), (1, 1));
        assert!(tally.latencies.max() >= MAX_LATENCY);
    }

    #[test]
    fn the_total_of_errors_is_their_sum() {
        let errors = Errors { connect: 1, reset: 2, closed: 3, timeout: 4, status: 5, length: 6, malformed: 7 };
        assert_eq!(errors.total(), 28);
    }
}
