//! What a comparison of DNS servers found: every sample, medians over the rounds, ratios to our server.

use super::load::Load;
use super::scenario::Scenario;
use crate::compare::table::Table;
use crate::compare::{kernel, median};
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;

/// The version of the JSON form; it changes when a field's name or meaning does.
const SCHEMA: &str = "afpa-bench/dns/1";
/// The server that the others are compared with.
const OURS: &str = "afpa";

/// How a comparison was run.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) scenarios: Vec<Scenario>,
    pub(super) rounds: u32,
    pub(super) duration: Duration,
    pub(super) clients: u32,
    pub(super) outstanding: u32,
}

/// One measurement.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) server: &'static str,
    pub(super) scenario: Scenario,
    pub(super) round: u32,
    /// The server's memory in octets, right after.
    pub(super) memory: u64,
    /// Whether other programs were at rest: otherwise their work is in the cost.
    pub(super) quiet: bool,
    pub(super) load: Load,
}

/// A measurement that failed.
#[derive(Clone, Debug)]
struct Failure {
    server: &'static str,
    scenario: Scenario,
    round: u32,
    reason: String,
}

/// Everything that was measured.
#[derive(Debug)]
pub(super) struct Comparison {
    pub(super) settings: Settings,
    samples: Vec<Sample>,
    failures: Vec<Failure>,
}

/// The medians of one server in one scenario.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Row {
    pub(super) server: &'static str,
    pub(super) queries_per_second: f64,
    /// Busy time of the server's core per answer, in microseconds.
    pub(super) cpu_us_per_query: f64,
    /// See [`Load::own_us_per_query`].
    own_us_per_query: f64,
    core_busy_share: f64,
    lost_share: f64,
    /// Not a number if the client does not wait for answers.
    mean_us: f64,
    response_octets: f64,
    memory: f64,
    /// Wrong answers, summed over the rounds.
    errors: u64,
    /// Rounds in which other programs were busy.
    disturbed: usize,
}

impl Comparison {
    pub(super) fn new(settings: Settings) -> Comparison {
        Comparison { settings, samples: Vec::new(), failures: Vec::new() }
    }

    pub(super) fn add(&mut self, sample: Sample) {
        self.samples.push(sample);
    }

    /// Notes that a measurement failed, and says so at once.
    pub(super) fn failed(&mut self, server: &'static str, scenario: Scenario, round: u32, error: &anyhow::Error) {
        let reason = format!("{error:#}");
        eprintln!("  {}: {reason}", scenario.name());
        self.failures.push(Failure { server, scenario, round, reason });
    }

    /// What was not as it should be, if anything: a failure, a question without an answer, or a wrong answer.
    pub(super) fn complaint(&self) -> Option<String> {
        let failure = self.failures.first().map(|failure| format!("{}: {}", failure.scenario.name(), failure.reason));
        let unclean = || {
            let Sample { scenario, load, .. } = self.samples.iter().find(|sample| !sample.load.is_clean())?;
            let Load { sent, answered, errors, .. } = load;
            Some(format!("{}: {sent} questions, {answered} answers, {errors} of them wrong", scenario.name()))
        };
        failure.or_else(unclean)
    }

    /// The medians of every server that was measured in `scenario`, in the order of first turns.
    pub(super) fn rows(&self, scenario: Scenario) -> Vec<Row> {
        let mut servers: Vec<_> = Vec::new();
        for sample in self.samples.iter().filter(|sample| sample.scenario == scenario) {
            if !servers.contains(&sample.server) {
                servers.push(sample.server);
            }
        }
        servers.into_iter().map(|server| self.row(scenario, server)).collect()
    }

    fn row(&self, scenario: Scenario, server: &'static str) -> Row {
        let samples: Vec<_> =
            self.samples.iter().filter(|sample| sample.scenario == scenario && sample.server == server).collect();
        let median_of = |value: fn(&Sample) -> f64| median(samples.iter().map(|sample| value(sample)).collect());
        Row {
            server,
            queries_per_second: median_of(|sample| sample.load.queries_per_second),
            cpu_us_per_query: median_of(|sample| sample.load.cpu_us_per_query),
            own_us_per_query: median_of(|sample| sample.load.own_us_per_query),
            core_busy_share: median_of(|sample| sample.load.core_busy_share),
            lost_share: median_of(|sample| sample.load.lost_share),
            mean_us: median_of(|sample| sample.load.mean_us.unwrap_or(f64::NAN)),
            response_octets: median_of(|sample| sample.load.response_octets),
            memory: median_of(|sample| sample.memory as f64),
            errors: samples.iter().map(|sample| sample.load.errors).sum(),
            disturbed: samples.iter().filter(|sample| !sample.quiet).count(),
        }
    }

    /// The JSON form:
    ///
    /// - `schema`, `kernel`, `settings` (`rounds`, `seconds`, `clients`, `outstanding`);
    /// - `scenarios`: for each its `name`, `title` and `servers`, the medians over the rounds (`queries_per_second`,
    ///   `cpu_us_per_query`, `own_us_per_query` (what the server's threads and the one that receives for it did),
    ///   `core_busy_share` and `lost_share` 0 to 1, `mean_us` (null: the client does not wait), `response_octets`,
    ///   `memory_bytes`, `errors`, and `disturbed`, the rounds in which other programs were busy) and, if ours took
    ///   part, `rate_ratio` and `cost_ratio` to ours;
    /// - `samples`: every measurement, and whether it was `quiet` before;
    /// - `failures`: measurements that could not be made, with the `reason`.
    pub(super) fn to_json(&self) -> Value {
        let Settings { scenarios, rounds, duration, clients, outstanding } = &self.settings;
        json!({
            "schema": SCHEMA,
            "kernel": kernel(),
            "settings": {
                "rounds": rounds, "seconds": duration.as_secs_f64(), "clients": clients, "outstanding": outstanding,
            },
            "scenarios": scenarios.iter().map(|scenario| json!({
                "name": scenario.name(),
                "title": scenario.title(),
                "servers": self.rows_as_json(*scenario),
            })).collect::<Vec<_>>(),
            "samples": self.samples.iter().map(|sample| json!({
                "server": sample.server, "scenario": sample.scenario.name(), "round": sample.round,
                "memory_bytes": sample.memory, "quiet": sample.quiet, "load": sample.load,
            })).collect::<Vec<_>>(),
            "failures": self.failures.iter().map(|failure| json!({
                "server": failure.server, "scenario": failure.scenario.name(), "round": failure.round,
                "reason": failure.reason,
            })).collect::<Vec<_>>(),
        })
    }

    fn rows_as_json(&self, scenario: Scenario) -> Vec<Value> {
        let rows = self.rows(scenario);
        let ours = rows.iter().find(|row| row.server == OURS);
        let as_json = |row: &Row| {
            let mut value = json!({
                "server": row.server, "queries_per_second": row.queries_per_second,
                "cpu_us_per_query": row.cpu_us_per_query, "own_us_per_query": row.own_us_per_query,
                "core_busy_share": row.core_busy_share,
                "lost_share": row.lost_share, "mean_us": row.mean_us, "response_octets": row.response_octets,
                "memory_bytes": row.memory, "errors": row.errors, "disturbed": row.disturbed,
            });
            if let Some(ours) = ours {
                value["rate_ratio"] = (row.queries_per_second / ours.queries_per_second).into();
                value["cost_ratio"] = (row.cpu_us_per_query / ours.cpu_us_per_query).into();
            }
            value
        };
        rows.iter().map(as_json).collect()
    }
}

/// As text in Markdown, which can be pasted into a document.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { scenarios, rounds, duration, clients, outstanding } = &self.settings;
        writeln!(
            f,
            "Medians of {rounds} rounds of {duration:?}; server on CPU 0, load on CPU 1 (dnsperf, {clients} sockets, \
             {outstanding} questions under way; saturated: kxdpgun, at the rate with the most answers); Linux {}.",
            kernel()
        )?;
        for scenario in scenarios {
            let rows = self.rows(*scenario);
            write!(f, "\n**{}**: {}\n\n{}", scenario.name(), scenario.title(), table(&rows))?;
        }
        if !self.failures.is_empty() {
            writeln!(f, "\nFailed:\n")?;
        }
        for Failure { server, scenario, round, reason } in &self.failures {
            writeln!(f, "- {server}, {}, round {}: {reason}", scenario.name(), round + 1)?;
        }
        Ok(())
    }
}

fn table(rows: &[Row]) -> Table {
    let ours = rows.iter().find(|row| row.server == OURS);
    let ratio = |row: &Row, value: fn(&Row) -> f64| {
        ours.map_or("-".to_owned(), |ours| format!("{:.2}", value(row) / value(ours)))
    };
    let mut table = Table::new(&[
        "server",
        "queries/s",
        "x afpa",
        "CPU us/query",
        "x afpa",
        "own us",
        "busy %",
        "lost %",
        "mean us",
        "octets/answer",
        "memory MiB",
        "errors",
        "disturbed",
    ]);
    for row in rows {
        table.add([
            row.server.to_owned(),
            format!("{:.0}", row.queries_per_second),
            ratio(row, |row| row.queries_per_second),
            format!("{:.2}", row.cpu_us_per_query),
            ratio(row, |row| row.cpu_us_per_query),
            format!("{:.2}", row.own_us_per_query),
            format!("{:.0}", row.core_busy_share * 100.0),
            format!("{:.2}", row.lost_share * 100.0),
            if row.mean_us.is_finite() { format!("{:.0}", row.mean_us) } else { "-".to_owned() },
            format!("{:.0}", row.response_octets),
            format!("{:.1}", row.memory / f64::from(1 << 20)),
            row.errors.to_string(),
            row.disturbed.to_string(),
        ]);
    }
    table
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::load::tests::example as load;
    use super::*;

    /// Two servers, three rounds; the second costs twice the first.
    pub(in super::super) fn example() -> Comparison {
        let scenarios = vec![Scenario::Cached, Scenario::Authoritative];
        let duration = Duration::from_secs(4);
        let mut comparison =
            Comparison::new(Settings { scenarios, rounds: 3, duration, clients: 16, outstanding: 100 });
        for (server, factor) in [("afpa", 1), ("unbound", 2)] {
            for (round, rate) in [(0, 100), (1, 900), (2, 200)] {
                let load = load(rate / factor, 10.0 * factor as f64);
                comparison.add(Sample {
                    server,
                    scenario: Scenario::Cached,
                    round,
                    memory: 1 << 20,
                    quiet: round > 0,
                    load,
                });
            }
        }
        comparison
    }

    #[test]
    fn medians_and_ratios_are_over_the_rounds() {
        let value = example().to_json();
        assert_eq!(value["schema"], SCHEMA);
        let unbound = &value["scenarios"][0]["servers"][1];
        assert_eq!((&unbound["server"], &unbound["queries_per_second"]), (&json!("unbound"), &json!(100.0)));
        assert_eq!((&unbound["rate_ratio"], &unbound["cost_ratio"]), (&json!(0.5), &json!(2.0)));
        assert_eq!((&unbound["disturbed"], value["samples"].as_array().unwrap().len()), (&json!(1), 6));
    }

    #[test]
    fn the_table_names_servers_scenarios_and_failures() {
        let mut comparison = example();
        assert_eq!(comparison.complaint(), None);
        comparison.failed("nsd", Scenario::Authoritative, 0, &anyhow::anyhow!("not today"));
        let text = comparison.to_string();
        for part in ["**cached**: Answers", "| unbound ", " 2.00 |", "nsd, authoritative, round 1: not today"] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert_eq!(comparison.complaint().unwrap(), "authoritative: not today");
    }
}
