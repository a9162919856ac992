//! What a comparison found: every sample, medians over the rounds, ratios to our server.

use super::kernel;
use super::scenario::{Role, Scenario};
use super::table::Table;
use crate::load::{LoadReport, Stack};
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;

/// The version of the JSON form; it changes when a field's name or meaning does.
const SCHEMA: &str = "afpa-bench/compare/1";
/// The server that the others are compared with.
const OURS: &str = "afpa";

/// How a comparison was run.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) scenarios: Vec<Scenario>,
    pub(super) role: Role,
    pub(super) rounds: u32,
    pub(super) duration: Duration,
    pub(super) connections: u32,
    /// Whose TCP the load generator used.
    pub(super) client: Stack,
    /// The largest packet on the cable, in octets.
    pub(super) mtu: u16,
    /// Packets that the queue at each end of the cable holds, if there is one.
    pub(super) queue: Option<u32>,
    /// Whether large segments crossed the cable whole (TSO).
    pub(super) offloads: bool,
    pub(super) directories: u32,
    pub(super) congestion: String,
}

/// One measurement.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) server: &'static str,
    pub(super) scenario: Scenario,
    pub(super) round: u32,
    /// The server's memory in octets; in [`Scenario::Idle10K`] what each connection adds.
    pub(super) memory: u64,
    pub(super) load: LoadReport,
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
    pub(super) requests_per_second: f64,
    /// Busy time of the server's core per request, in microseconds.
    pub(super) cpu_us_per_request: f64,
    /// How much of the time the server's core was busy.
    pub(super) core_busy_share: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    /// See [`Sample::memory`].
    pub(super) memory: f64,
    /// Failed requests, summed over the rounds.
    pub(super) errors: u64,
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
            requests_per_second: median_of(|sample| sample.load.requests_per_second),
            cpu_us_per_request: median_of(|sample| sample.load.cpu_us_per_request.unwrap_or(f64::NAN)),
            core_busy_share: median_of(|sample| sample.load.core_busy_share.unwrap_or(f64::NAN)),
            p50_us: median_of(|sample| sample.load.latency_us.p50),
            p99_us: median_of(|sample| sample.load.latency_us.p99),
            memory: median_of(|sample| sample.memory as f64),
            errors: samples.iter().map(|sample| sample.load.errors.total()).sum(),
        }
    }

    /// The JSON form:
    ///
    /// - `schema`, `kernel`, `settings` (`role`, `rounds`, `seconds`, `connections`, `client`, `mtu`, `queue` (null: none),
    ///   `offloads`, `directories`, `congestion`);
    /// - `scenarios`: for each its `name`, `title` and `servers`, the medians over the rounds
    ///   (`requests_per_second`, `cpu_us_per_request`, `core_busy_share` 0 to 1, `p50_us`, `p99_us`,
    ///   `memory_bytes`, `errors`) and, if ours took part, `rate_ratio` and `cost_ratio` to ours;
    /// - `samples`: every measurement with the load generator's whole report;
    /// - `failures`: measurements that could not be made, with the `reason`.
    ///
    /// `memory_bytes` is the server's proportional set size; in `idle-10k` what each idle
    /// connection adds to it, and there are no costs per request.
    pub(super) fn to_json(&self) -> Value {
        let Settings {
            scenarios,
            role,
            rounds,
            duration,
            connections,
            client,
            mtu,
            queue,
            offloads,
            directories,
            congestion,
        } = &self.settings;
        json!({
            "schema": SCHEMA,
            "kernel": kernel(),
            "settings": {
                "role": role.name(), "rounds": rounds, "seconds": duration.as_secs_f64(), "connections": connections,
                "client": client.name(), "mtu": mtu, "queue": queue, "offloads": offloads, "directories": directories,
                "congestion": congestion,
            },
            "scenarios": scenarios.iter().map(|scenario| json!({
                "name": scenario.name(),
                "title": scenario.title(),
                "servers": self.rows_as_json(*scenario),
            })).collect::<Vec<_>>(),
            "samples": self.samples.iter().map(|sample| json!({
                "server": sample.server, "scenario": sample.scenario.name(), "round": sample.round,
                "memory_bytes": sample.memory, "load": sample.load,
            })).collect::<Vec<_>>(),
            "failures": self.failures.iter().map(|failure| json!({
                "server": failure.server, "scenario": failure.scenario.name(), "round": failure.round,
                "reason": failure.reason,
            })).collect::<Vec<_>>(),
        })
    }

    fn rows_as_json(&self, scenario: Scenario) -> Vec<Value> {
        let rows = self.rows(scenario);
        let ours = rows.iter().find(|row| row.server == OURS).copied();
        let with_ratios = |row: &Row| {
            let mut value = json!({
                "server": row.server, "p50_us": row.p50_us, "p99_us": row.p99_us,
                "memory_bytes": row.memory, "errors": row.errors,
            });
            if scenario != Scenario::Idle10K {
                value["requests_per_second"] = row.requests_per_second.into();
                value["cpu_us_per_request"] = row.cpu_us_per_request.into();
                value["core_busy_share"] = row.core_busy_share.into();
                if let Some(ours) = ours {
                    value["rate_ratio"] = (row.requests_per_second / ours.requests_per_second).into();
                    value["cost_ratio"] = (row.cpu_us_per_request / ours.cpu_us_per_request).into();
                }
            }
            value
        };
        rows.iter().map(with_ratios).collect()
    }
}

/// As text in Markdown, which can be pasted into a document.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { rounds, duration, connections, client, mtu, queue, offloads, congestion, .. } = &self.settings;
        let queue = queue.map_or("no queue".to_owned(), |packets| format!("queues of {packets}"));
        let queue = if *offloads { queue + ", TSO" } else { queue };
        let load = if self.settings.role == Role::Accelerate { "origin and load" } else { "load" };
        writeln!(
            f,
            "Medians of {rounds} rounds of {duration:?}; {congestion}; MTU {mtu}, {queue}; server on CPU 0, {load} on CPU 1 \
             (client on {}, {connections} connections); Linux {}.",
            client.name(),
            kernel()
        )?;
        for scenario in &self.settings.scenarios {
            writeln!(f, "\n**{}**: {}\n", scenario.name(), scenario.title())?;
            let rows = self.rows(*scenario);
            let table = if *scenario == Scenario::Idle10K { idle_table(&rows) } else { active_table(&rows) };
            write!(f, "{table}")?;
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

fn active_table(rows: &[Row]) -> Table {
    let ours = rows.iter().find(|row| row.server == OURS);
    let ratio = |row: &Row, value: fn(&Row) -> f64| {
        ours.map_or("-".to_owned(), |ours| format!("{:.2}", value(row) / value(ours)))
    };
    let mut table = Table::new(&[
        "server",
        "requests/s",
        "x afpa",
        "CPU us/request",
        "x afpa",
        "busy %",
        "p50 us",
        "p99 us",
        "memory MiB",
        "errors",
    ]);
    for row in rows {
        table.add([
            row.server.to_owned(),
            format!("{:.0}", row.requests_per_second),
            ratio(row, |row| row.requests_per_second),
            format!("{:.2}", row.cpu_us_per_request),
            ratio(row, |row| row.cpu_us_per_request),
            format!("{:.0}", row.core_busy_share * 100.0),
            format!("{:.0}", row.p50_us),
            format!("{:.0}", row.p99_us),
            format!("{:.1}", row.memory / f64::from(1 << 20)),
            row.errors.to_string(),
        ]);
    }
    table
}

fn idle_table(rows: &[Row]) -> Table {
    let mut table = Table::new(&["server", "octets per connection", "errors"]);
    rows.iter()
        .for_each(|row| table.add([row.server.to_owned(), format!("{:.0}", row.memory), row.errors.to_string()]));
    table
}

/// The middle value, or the mean of the two middle ones; not a number if there is none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[odd / 2],
        even => (values[even / 2 - 1] + values[even / 2]) / 2.0,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Two servers, three rounds; the second costs twice the first.
    pub(in super::super) fn example() -> Comparison {
        let scenarios = vec![Scenario::Persistent1K, Scenario::Idle10K];
        let settings = Settings {
            scenarios,
            role: Role::Serve,
            rounds: 3,
            duration: Duration::from_secs(4),
            connections: 64,
            client: Stack::Direct,
            mtu: 9000,
            queue: Some(1000),
            offloads: false,
            directories: 2,
            congestion: "cubic".into(),
        };
        let mut comparison = Comparison::new(settings);
        for (server, factor) in [("afpa", 1.0), ("nginx", 2.0)] {
            for (round, rate) in [(0, 100.0), (1, 900.0), (2, 200.0)] {
                let load = report(rate / factor, 10.0 * factor);
                comparison.add(Sample { server, scenario: Scenario::Persistent1K, round, memory: 1 << 20, load });
            }
        }
        comparison
    }

    /// A load of 400 requests.
    pub(crate) fn report(requests_per_second: f64, cpu_us_per_request: f64) -> LoadReport {
        serde_json::from_value(json!({
                    "seconds": 4.0, "requests": 400, "requests_per_second": requests_per_second, "bytes": 1,
                    "connections_opened": 64, "connections_open": 64, "unfinished": 0,
                    "errors": { "connect": 1, "reset": 0, "closed": 0, "timeout": 0, "status": 0, "length": 0, "malformed": 0 }, "first_error": null,
                    "latency_us": { "min": 1.0, "mean": 2.0, "p50": 2.0, "p90": 3.0, "p99": 4.0, "p999": 5.0, "max": 6.0 },
                    "cpu_us_per_request": cpu_us_per_request, "core_busy_share": 0.5,
                }))
                .unwrap()
    }

    impl Comparison {
        /// Counts the samples of `scenario` as those of `other`, too.
        pub(in super::super) fn repeat(&mut self, scenario: Scenario, other: Scenario) {
            let samples = self.samples.iter().filter(|sample| sample.scenario == scenario);
            let repeated: Vec<_> = samples.map(|sample| Sample { scenario: other, ..sample.clone() }).collect();
            self.samples.extend(repeated);
        }
    }

    #[test]
    fn medians_and_ratios_are_over_the_rounds() {
        let rows = example().rows(Scenario::Persistent1K);
        assert_eq!(rows.iter().map(|row| row.requests_per_second).collect::<Vec<_>>(), [200.0, 100.0]);
        assert_eq!((rows[1].cpu_us_per_request, rows[1].errors), (20.0, 3));
        assert_eq!((median(vec![4.0, 1.0]), median(vec![3.0, 1.0, 2.0])), (2.5, 2.0));
    }

    #[test]
    fn the_json_form_has_its_shape() {
        let mut comparison = example();
        comparison.failed("varnish", Scenario::Idle10K, 1, &anyhow::anyhow!("no"));
        let value = comparison.to_json();
        assert_eq!(value["schema"], SCHEMA);
        let nginx = &value["scenarios"][0]["servers"][1];
        assert_eq!(
            (&nginx["server"], &nginx["cost_ratio"], &nginx["rate_ratio"]),
            (&json!("nginx"), &json!(2.0), &json!(0.5))
        );
        assert_eq!(value["samples"].as_array().unwrap().len(), 6);
        assert_eq!(value["samples"][0]["load"]["requests"], 400);
        assert_eq!(
            value["failures"][0],
            json!({ "server": "varnish", "scenario": "idle-10k", "round": 1, "reason": "no" })
        );
    }

    #[test]
    fn the_table_names_servers_scenarios_and_failures() {
        let mut comparison = example();
        comparison.failed("varnish", Scenario::Idle10K, 0, &anyhow::anyhow!("not today"));
        let text = comparison.to_string();
        for part in [
            "MTU 9000, queues of 1000;",
            "client on direct, 64 conn",
            "**persistent-1k**: 1 KiB",
            "| nginx ",
            " 2.00 |",
            "idle-10k",
            "varnish, idle-10k, round 1: not today",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }
}
