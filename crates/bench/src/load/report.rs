//! What a load reports: JSON for programs, a table for people.

use super::tally::{Errors, Tally};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// The result of a load. As JSON, the fields have these names and units.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct LoadReport {
    /// How long was measured.
    pub(crate) seconds: f64,
    /// Requests that were answered as they should be.
    pub(crate) requests: u64,
    /// Those per second.
    pub(crate) requests_per_second: f64,
    /// Octets that came, heads included.
    pub(crate) bytes: u64,
    /// Connections that were opened, the warm-up included.
    pub(crate) connections_opened: u64,
    /// Connections that were open at the end.
    pub(crate) connections_open: u64,
    /// Requests that were due and had no answer at the end (open loop only).
    pub(crate) unfinished: u64,
    /// What went wrong, the warm-up included.
    pub(crate) errors: Errors,
    /// The first thing that went wrong, in words; null if nothing did.
    pub(crate) first_error: Option<String>,
    /// Latency, from the moment a request was due to the end of its answer.
    pub(crate) latency_us: Latency,
    /// Busy time of the watched core ÷ requests; null if no core was watched.
    pub(crate) cpu_us_per_request: Option<f64>,
    /// How much of the time the watched core was busy; null if no core was watched.
    pub(crate) core_busy_share: Option<f64>,
    /// What the client's own TCP lost and sent again, the warm-up included; null with the kernel's.
    pub(crate) losses: Option<Losses>,
}

/// What a client on frames lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Losses {
    /// Frames that arrived and were dropped because the client was too slow.
    pub(crate) frames: u64,
    /// Segments that it sent again.
    pub(crate) retransmissions: u64,
}

/// Latencies in microseconds.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) min: f64,
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

impl LoadReport {
    /// The report of `tally` over `elapsed`, with the watched core's busy time.
    pub(crate) fn new(tally: &Tally, elapsed: Duration, open: usize, busy: Option<Duration>) -> LoadReport {
        let seconds = elapsed.as_secs_f64();
        LoadReport {
            seconds,
            requests: tally.requests,
            requests_per_second: tally.requests as f64 / seconds,
            bytes: tally.bytes,
            connections_opened: tally.connections,
            connections_open: open as u64,
            unfinished: tally.unfinished,
            errors: tally.errors,
            first_error: tally.first_error.clone(),
            latency_us: Latency::of(&tally.latencies),
            cpu_us_per_request: busy.map(|busy| busy.as_secs_f64() * 1e6 / tally.requests.max(1) as f64),
            core_busy_share: busy.map(|busy| busy.as_secs_f64() / seconds),
            losses: None,
        }
    }
}

impl Latency {
    /// Of a histogram in nanoseconds.
    pub(crate) fn of(nanoseconds: &Histogram<u64>) -> Latency {
        let at = |quantile| nanoseconds.value_at_quantile(quantile) as f64 / 1e3;
        Latency {
            min: if nanoseconds.is_empty() { 0.0 } else { nanoseconds.min() as f64 / 1e3 },
            mean: nanoseconds.mean() / 1e3,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: nanoseconds.max() as f64 / 1e3,
        }
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Latency { min, mean, p50, p90, p99, p999, max } = self.latency_us;
        let rate = self.bytes as f64 / self.seconds / 1e6;
        writeln!(f, "requests    {} in {:.2} s", self.requests, self.seconds)?;
        writeln!(f, "throughput  {:.0} requests/s, {rate:.1} MB/s", self.requests_per_second)?;
        writeln!(f, "connections {} opened, {} open at the end", self.connections_opened, self.connections_open)?;
        if let (Some(cost), Some(share)) = (self.cpu_us_per_request, self.core_busy_share) {
            writeln!(f, "core        {cost:.2} us per request, busy {:.0} %", share * 100.0)?;
        }
        writeln!(f, "latency     us: min {min:.0}, mean {mean:.0}, max {max:.0}")?;
        writeln!(f, "            us: 50% {p50:.0}, 90% {p90:.0}, 99% {p99:.0}, 99.9% {p999:.0}")?;
        if self.unfinished > 0 {
            writeln!(f, "unfinished  {} requests were due and unanswered at the end", self.unfinished)?;
        }
        if let Some(Losses { frames, retransmissions }) = self.losses {
            writeln!(f, "own TCP     {frames} frames lost here, {retransmissions} segments sent again")?;
        }
        let Errors { connect, reset, closed, timeout, status, length, malformed } = self.errors;
        match self.errors.total() {
            0 => write!(f, "errors      none"),
            total => write!(
                f,
                "errors      {total}: connect {connect}, reset {reset}, closed early {closed}, timeout {timeout}, \
                 status {status}, length {length}, malformed {malformed}"
            ),
        }?;
        self.first_error.iter().try_for_each(|first| write!(f, "\n            first: {first}"))
    }
}

/// The latencies as lines of a bar chart, one per power of two that occurs.
pub(crate) fn distribution(nanoseconds: &Histogram<u64>) -> String {
    let mut text = String::new();
    let total = nanoseconds.len().max(1);
    for step in nanoseconds.iter_log(1_000, 2.0) {
        let share = step.count_since_last_iteration() as f64 / total as f64;
        if step.count_since_last_iteration() > 0 {
            let up_to = step.value_iterated_to() as f64 / 1e3;
            let bar = "#".repeat((share * 50.0).round() as usize);
            text.push_str(&format!("  up to {up_to:>10.0} us {:>6.2} % {bar}\n", share * 100.0));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use afpa_engine::seam::Time;

    fn report() -> LoadReport {
        let mut tally = Tally::new();
        tally.begin(Time(0));
        (1..=100).for_each(|i| tally.answered(Time(0), Time(i * 100_000)));
        LoadReport::new(&tally, Duration::from_secs(2), 3, Some(Duration::from_millis(500)))
    }

    #[test]
    fn rates_and_costs_are_per_second_and_per_request() {
        let report = report();
        assert_eq!((report.requests_per_second, report.core_busy_share), (50.0, Some(0.25)));
        assert_eq!(report.cpu_us_per_request, Some(5000.0));
        assert!((report.latency_us.p50 - 5000.0).abs() < 10.0);
    }

    #[test]
    fn the_json_form_keeps_its_names() {
        let value = serde_json::to_value(report()).unwrap();
        let object = value.as_object().unwrap();
        let mut names: Vec<_> = object.keys().map(String::as_str).collect();
        names.sort_unstable();
        let expected = "bytes connections_open connections_opened core_busy_share cpu_us_per_request errors first_error latency_us losses \
                        requests requests_per_second seconds unfinished";
        assert_eq!(names.join(" "), expected);
        assert_eq!(value["latency_us"].as_object().unwrap().len(), 7);
        assert_eq!(value["errors"].as_object().unwrap().len(), 7);
        assert_eq!(serde_json::from_value::<LoadReport>(value).unwrap(), report());
    }

    #[test]
    fn people_read_every_kind_of_error() {
        let mut report = report();
        assert!(report.to_string().contains("errors      none"));
        report.errors.length = 2;
        assert!(report.to_string().contains("errors      2:") && report.to_string().contains("length 2"));
    }
}
