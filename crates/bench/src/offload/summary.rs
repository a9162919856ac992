//! What an evaluation of TCP servers found: every sample, medians over the rounds, ratios to kernel sockets on one core,
//! or to the smallest of a sweep.

use super::accounts::{self, Cost, Costs};
use super::configuration::{BASELINE, Configuration, Dedicated};
use super::eager::Eager;
use super::program::Program;
use super::workload::{Workload, name_of};
use crate::compare::table::Table;
use crate::compare::{kernel, median};
use crate::load::{LoadReport, Stack};
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;

/// The version of the JSON form; it changes when a field's name or meaning does.
const SCHEMA: &str = "afpa-bench/offload/1";
/// How much of the roles' cores others may use before a figure is marked.
pub(super) const DISTURBED: f64 = 0.05;

/// How an evaluation was run.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) configurations: Vec<Configuration>,
    /// With what the others are compared.
    pub(super) base: Configuration,
    pub(super) programs: Vec<Program>,
    pub(super) workloads: Vec<Workload>,
    pub(super) rounds: u32,
    pub(super) duration: Duration,
    pub(super) connections: u32,
    /// Whose TCP the client uses.
    pub(super) client: Stack,
    pub(super) directories: u32,
    /// Octets of a request, if it is made longer than it is.
    pub(super) request_size: Option<u64>,
    /// The largest packet on the cable, in octets.
    pub(super) mtu: u16,
    /// Packets that the queue at each end of the cable holds, if there is one.
    pub(super) queue: Option<u32>,
    /// How many CPUs the machine has.
    pub(super) cores: usize,
}

/// How fast a load asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pace {
    /// As fast as it is answered: for throughput.
    Saturating,
    /// At a rate that all can answer: for what a request costs.
    Fixed,
}

/// One measurement.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) configuration: Configuration,
    pub(super) program: Program,
    pub(super) workload: Workload,
    pub(super) pace: Pace,
    /// Requests per second that were asked for, at a fixed rate.
    pub(super) rate: Option<f64>,
    pub(super) round: u32,
    /// Whether other programs were at rest before.
    pub(super) quiet: bool,
    pub(super) load: LoadReport,
    pub(super) costs: Costs,
}

/// A measurement that failed.
#[derive(Clone, Debug)]
struct Failure {
    configuration: Configuration,
    program: Program,
    workload: Workload,
    /// None while rates were looked for.
    round: Option<u32>,
    reason: String,
}

/// Everything that was measured.
#[derive(Debug)]
pub(super) struct Evaluation {
    pub(super) settings: Settings,
    samples: Vec<Sample>,
    failures: Vec<Failure>,
}

/// The medians of a configuration with one program and workload.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Row {
    pub(super) configuration: Configuration,
    /// What was answered of a load without a rate.
    pub(super) requests_per_second: f64,
    /// That, for each second of CPU that the server's side used, idle polling included.
    pub(super) requests_per_cpu_second: f64,
    /// What a request costs at the fixed rate: the application, the TCP server, and both. Each is a median of its own,
    /// so that the sum need not be that of the others.
    pub(super) application_us: f64,
    pub(super) tcp_server_us: f64,
    pub(super) server_us: f64,
    /// What it is made up of, again medians.
    pub(super) application: Cost,
    pub(super) tcp_server: Cost,
    /// The 99th percentile of latency at the fixed rate.
    pub(super) p99_us: f64,
    /// The largest share of their cores that others used in any round.
    pub(super) others_share: f64,
    /// Requests that failed, and at the fixed rate were not answered in time, summed over the rounds.
    pub(super) errors: u64,
    pub(super) unfinished: u64,
}

impl Evaluation {
    pub(super) fn new(settings: Settings) -> Evaluation {
        Evaluation { settings, samples: Vec::new(), failures: Vec::new() }
    }

    pub(super) fn add(&mut self, sample: Sample) {
        self.samples.push(sample);
    }

    /// Notes that a measurement failed, and says so at once.
    pub(super) fn failed(
        &mut self,
        configuration: Configuration,
        program: Program,
        workload: Workload,
        round: Option<u32>,
        error: &anyhow::Error,
    ) {
        let reason = format!("{error:#}");
        eprintln!("  {}: {reason}", workload.name());
        self.failures.push(Failure { configuration, program, workload, round, reason });
    }

    /// The first thing that was not as it should be, if there was any.
    pub(super) fn complaint(&self) -> Option<String> {
        let wrong = self.samples.iter().find(|sample| sample.load.errors.total() > 0);
        let wrong = wrong.map(|sample| format!("{}: {:?}", sample.workload.name(), sample.load.first_error));
        let nothing = self.samples.is_empty().then(|| "nothing was measured".to_owned());
        self.failures.first().map(|failure| failure.reason.clone()).or(wrong).or(nothing)
    }

    /// Each program with each workload, as far as they were measured.
    pub(super) fn scenarios(&self) -> Vec<(Program, Workload)> {
        let Settings { programs, workloads, .. } = &self.settings;
        let all = workloads.iter().flat_map(|workload| programs.iter().map(|program| (*program, *workload)));
        all.filter(|(program, workload)| self.of(*program, *workload).next().is_some()).collect()
    }

    fn of(&self, program: Program, workload: Workload) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| sample.program == program && sample.workload == workload)
    }

    /// The medians of every configuration with that program and workload, in the order of figures.
    pub(super) fn rows(&self, program: Program, workload: Workload) -> Vec<Row> {
        let all = self.settings.configurations.iter();
        all.filter_map(|configuration| self.row(*configuration, program, workload)).collect()
    }

    fn row(&self, configuration: Configuration, program: Program, workload: Workload) -> Option<Row> {
        let samples: Vec<_> =
            self.of(program, workload).filter(|sample| sample.configuration == configuration).collect();
        let at = |pace| samples.iter().copied().filter(move |sample| sample.pace == pace);
        let median_at = |pace, value: fn(&Sample) -> f64| median(at(pace).map(value).collect());
        let cost = |role: fn(&Costs) -> Cost| {
            let part =
                |part: fn(Cost) -> f64| median(at(Pace::Fixed).map(|sample| part(role(&sample.costs))).collect());
            Cost {
                user_us: part(|cost| cost.user_us),
                system_us: part(|cost| cost.system_us),
                receiving_us: part(|cost| cost.receiving_us),
                interrupts_us: part(|cost| cost.interrupts_us),
            }
        };
        (!samples.is_empty()).then(|| Row {
            configuration,
            requests_per_second: median_at(Pace::Saturating, |sample| sample.load.requests_per_second),
            requests_per_cpu_second: median_at(Pace::Saturating, |sample| 1e6 / sample.costs.server_us()),
            application_us: median_at(Pace::Fixed, |sample| sample.costs.application.total_us()),
            tcp_server_us: median_at(Pace::Fixed, |sample| sample.costs.tcp_server.total_us()),
            application: cost(|costs| costs.application),
            tcp_server: cost(|costs| costs.tcp_server),
            server_us: median_at(Pace::Fixed, |sample| sample.costs.server_us()),
            p99_us: median_at(Pace::Fixed, |sample| sample.load.latency_us.p99),
            others_share: samples.iter().map(|sample| sample.costs.others_share).fold(0.0, f64::max),
            errors: samples.iter().map(|sample| sample.load.errors.total()).sum(),
            unfinished: at(Pace::Fixed).map(|sample| sample.load.unfinished).sum(),
        })
    }

    /// The rate at which costs were measured.
    fn rate(&self, program: Program, workload: Workload) -> Option<f64> {
        self.of(program, workload).find_map(|sample| sample.rate)
    }

    /// The JSON form; the README says what the fields are.
    pub(super) fn to_json(&self) -> Value {
        let Settings { rounds, duration, connections, client, directories, mtu, queue, cores, .. } = &self.settings;
        json!({
            "schema": SCHEMA,
            "kernel": kernel(),
            "settings": {
                "rounds": rounds, "seconds": duration.as_secs_f64(), "connections": connections, "client": client.name(), "mtu": mtu,
                "queue": queue, "directories": directories, "cores": cores, "request_size": self.settings.request_size,
                "base": self.settings.base.name(),
                "interrupts_are_apart": accounts::interrupts_are_apart(),
            },
            "scenarios": self.scenarios().into_iter().map(|(program, workload)| json!({
                "program": name_of(program),
                "trace": name_of(workload.trace),
                "protocol": name_of(workload.protocol),
                "rate": self.rate(program, workload),
                "configurations": rows_as_json(&self.rows(program, workload), self.settings.base),
            })).collect::<Vec<_>>(),
            "samples": self.samples.iter().map(|sample| json!({
                "configuration": sample.configuration.name(), "program": name_of(sample.program),
                "trace": name_of(sample.workload.trace), "protocol": name_of(sample.workload.protocol),
                "rate": sample.rate, "round": sample.round, "quiet": sample.quiet,
                "load": sample.load, "cpu_us_per_request": sample.costs,
            })).collect::<Vec<_>>(),
            "failures": self.failures.iter().map(|failure| json!({
                "configuration": failure.configuration.name(), "program": name_of(failure.program),
                "trace": name_of(failure.workload.trace), "protocol": name_of(failure.workload.protocol),
                "round": failure.round, "reason": failure.reason,
            })).collect::<Vec<_>>(),
        })
    }
}

fn rows_as_json(rows: &[Row], base: Configuration) -> Vec<Value> {
    let with_ratios = |row: &Row| {
        let mut value = json!({
            "configuration": row.configuration.name(),
            "requests_per_second": row.requests_per_second,
            "requests_per_cpu_second": row.requests_per_cpu_second,
            "application_us": row.application_us, "tcp_server_us": row.tcp_server_us, "server_us": row.server_us,
            "application_parts": row.application, "tcp_server_parts": row.tcp_server, "p99_us": row.p99_us, "others_share": row.others_share,
            "errors": row.errors, "unfinished": row.unfinished,
        });
        if let Configuration::Dedicated(Dedicated { eager: Some(Eager { accept, receive }), .. }) = row.configuration {
            (value["eager_accept"], value["eager_receive"]) = (accept.into(), receive.into());
        }
        if let Some(base) = rows.iter().find(|row| row.configuration == base) {
            value["rate_ratio"] = (row.requests_per_second / base.requests_per_second).into();
            value["application_ratio"] = (row.application_us / base.application_us).into();
            value["cost_ratio"] = (row.server_us / base.server_us).into();
            value["cpu_second_ratio"] = (row.requests_per_cpu_second / base.requests_per_cpu_second).into();
        }
        value
    };
    rows.iter().map(with_ratios).collect()
}

/// As text in Markdown, which can be pasted into a document.
impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { rounds, duration, connections, client, mtu, queue, cores, .. } = &self.settings;
        let queue = queue.map_or("no queue".to_owned(), |packets| format!("queues of {packets}"));
        writeln!(
            f,
            "Medians of {rounds} rounds of {duration:?}; reno; MTU {mtu}, {queue}; {cores} CPUs, application from CPU 0, \
             client on CPU {} ({connections} connections, {}); Linux {}.",
            cores.saturating_sub(1),
            client.name(),
            kernel()
        )?;
        if let Some(swept) = self.settings.base.swept() {
            let length =
                self.settings.request_size.map_or(String::new(), |size| format!("; requests of {size} octets"));
            writeln!(f, "{swept}, by what it accepts and receives ahead of the application{length}.")?;
        }
        for (program, workload) in self.scenarios() {
            let rate =
                self.rate(program, workload).map_or(String::new(), |rate| format!("; costs at {rate:.0} requests/s"));
            writeln!(f, "\n**{}, {}**: {}{rate}\n", name_of(program), workload.name(), workload.title())?;
            write!(f, "{}", table(&self.rows(program, workload), self.settings.base))?;
        }
        if self.samples.iter().any(|sample| sample.costs.others_share > DISTURBED) {
            writeln!(f, "\n`*`: in some round, other programs used more than 5 % of the roles' cores.")?;
        }
        if !self.failures.is_empty() {
            writeln!(f, "\nFailed:\n")?;
        }
        for Failure { configuration, program, workload, round, reason } in &self.failures {
            let round = round.map_or("finding rates".to_owned(), |round| format!("round {}", round + 1));
            writeln!(f, "- {}, {}, {}, {round}: {reason}", configuration.name(), name_of(*program), workload.name())?;
        }
        Ok(())
    }
}

fn table(rows: &[Row], base: Configuration) -> Table {
    let ratio_to = format!("x {}", if base == BASELINE { "kernel-1" } else { "smallest" });
    let base = rows.iter().find(|row| row.configuration == base);
    let ratio = |row: &Row, value: fn(&Row) -> f64| {
        base.map_or("-".to_owned(), |base| format!("{:.2}", value(row) / value(base)))
    };
    let mut table = Table::new(&[
        "configuration",
        "requests/s",
        &ratio_to,
        "application us",
        &ratio_to,
        "TCP server us",
        "sum us",
        &ratio_to,
        "requests/CPU s",
        &ratio_to,
        "p99 us",
        "unfinished",
        "errors",
    ]);
    for row in rows {
        let mark = if row.others_share > DISTURBED { " *" } else { "" };
        table.add([
            row.configuration.label() + mark,
            format!("{:.0}", row.requests_per_second),
            ratio(row, |row| row.requests_per_second),
            format!("{:.2}", row.application_us),
            ratio(row, |row| row.application_us),
            format!("{:.2}", row.tcp_server_us),
            format!("{:.2}", row.server_us),
            ratio(row, |row| row.server_us),
            format!("{:.0}", row.requests_per_cpu_second),
            ratio(row, |row| row.requests_per_cpu_second),
            format!("{:.0}", row.p99_us),
            row.unfinished.to_string(),
            row.errors.to_string(),
        ]);
    }
    table
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::accounts::tests::example as costs;
    use super::super::workload::{Protocol, Trace};
    use super::*;
    use crate::compare::tests::report;

    const WORKLOAD: Workload = Workload { trace: Trace::Synthetic, protocol: Protocol::Http10 };

    /// Two configurations, three rounds; the second answers half as much and has a TCP server.
    pub(in super::super) fn example() -> Evaluation {
        let dedicated = Configuration::all()[2];
        let settings = Settings {
            configurations: vec![BASELINE, dedicated],
            base: BASELINE,
            request_size: None,
            programs: vec![Program::Simple, Program::Nginx],
            workloads: vec![WORKLOAD],
            rounds: 3,
            duration: Duration::from_secs(4),
            connections: 64,
            directories: 20,
            client: Stack::Sockets,
            mtu: 1500,
            queue: None,
            cores: 2,
        };
        let mut evaluation = Evaluation::new(settings);
        for (configuration, factor, tcp_server_us) in [(BASELINE, 1.0, 0.0), (dedicated, 2.0, 10.0)] {
            for (round, rate) in [(0, 100.0), (1, 900.0), (2, 200.0)] {
                for (pace, asked) in [(Pace::Saturating, None), (Pace::Fixed, Some(50.0))] {
                    let (program, workload, quiet) = (Program::Simple, WORKLOAD, true);
                    let (load, costs) = (report(rate / factor, 1.0), costs(tcp_server_us));
                    let rate = asked;
                    evaluation.add(Sample { configuration, program, workload, pace, rate, round, quiet, load, costs });
                }
            }
        }
        evaluation
    }

    #[test]
    fn medians_are_over_the_rounds_and_of_the_right_pace() {
        let mut evaluation = example();
        let fast = Sample { load: report(1e6, 1.0), ..evaluation.samples[1].clone() };
        (0..9).for_each(|_| evaluation.add(fast.clone()));
        let rows = evaluation.rows(Program::Simple, WORKLOAD);
        let rates: Vec<_> = rows.iter().map(|row| row.requests_per_second).collect();
        assert_eq!(rates, [200.0, 100.0], "what was asked for at a fixed rate is no throughput");
        assert_eq!((rows[0].application_us, rows[0].tcp_server_us, rows[0].server_us), (10.0, 0.0, 10.0));
        assert_eq!((rows[1].tcp_server_us, rows[1].server_us, rows[1].requests_per_cpu_second), (10.0, 20.0, 50_000.0));
        assert!(evaluation.rows(Program::Nginx, WORKLOAD).is_empty());
        assert_eq!(evaluation.scenarios(), [(Program::Simple, WORKLOAD)]);
    }

    #[test]
    fn the_json_form_has_its_shape() {
        let mut evaluation = example();
        evaluation.failed(BASELINE, Program::Nginx, WORKLOAD, None, &anyhow::anyhow!("no"));
        let value = evaluation.to_json();
        assert_eq!((&value["schema"], &value["settings"]["cores"]), (&json!(SCHEMA), &json!(2)));
        let dedicated = &value["scenarios"][0]["configurations"][1];
        assert_eq!(dedicated["configuration"], "dedicated-1:receive:interrupt:kernel");
        for (field, expected) in
            [("rate_ratio", 0.5), ("cost_ratio", 2.0), ("application_ratio", 1.0), ("cpu_second_ratio", 0.5)]
        {
            assert_eq!(dedicated[field], json!(expected), "{field}");
        }
        assert_eq!(dedicated["application_parts"]["receiving_us"], json!(3.0));
        assert_eq!(value["samples"].as_array().unwrap().len(), 12);
        assert_eq!(value["samples"][0]["cpu_us_per_request"]["client"]["user_us"], json!(1.0));
        assert_eq!((&value["failures"][0]["round"], &value["failures"][0]["reason"]), (&Value::Null, &json!("no")));
    }

    #[test]
    fn a_sweep_is_compared_with_its_smallest() {
        let Configuration::Dedicated(base) = Configuration::all()[2] else { panic!("no TCP server") };
        let configurations = super::super::eager::sweep(base, &[1, 8], &[4096]);
        let mut evaluation = example();
        let sample = evaluation.samples[0].clone();
        evaluation.settings = Settings { base: configurations[0], configurations, ..evaluation.settings };
        for (configuration, rate) in evaluation.settings.configurations.clone().into_iter().zip([100.0, 150.0]) {
            evaluation.add(Sample { configuration, load: report(rate, 1.0), ..sample.clone() });
        }
        let text = evaluation.to_string();
        for part in [
            "dedicated-1:receive:interrupt:kernel, by what it accepts and receives ahead",
            "x smallest",
            "| accept 1, receive 4KiB |",
            "|        150 |       1.50 |",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        let larger = &evaluation.to_json()["scenarios"][0]["configurations"][1];
        assert_eq!(
            (&larger["eager_accept"], &larger["eager_receive"], &larger["rate_ratio"]),
            (&8.into(), &4096.into(), &1.5.into())
        );
    }

    #[test]
    fn the_table_names_configurations_and_failures() {
        let mut evaluation = example();
        evaluation.failed(BASELINE, Program::Nginx, WORKLOAD, Some(1), &anyhow::anyhow!("not today"));
        let text = evaluation.to_string();
        for part in [
            "**simple, synthetic, http-1.0**: 128 files of 16 KiB",
            "costs at 50 requests/s",
            "| kernel-1 ",
            "| dedicated-1:receive:interrupt:kernel |",
            "- kernel-1, nginx, synthetic, http-1.0, round 2: not today",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert!(!text.contains("`*`"));
        let costs = Costs { others_share: 0.2, ..costs(0.0) };
        evaluation.add(Sample { costs, ..evaluation.samples[0].clone() });
        assert!(evaluation.to_string().contains("| kernel-1 * ") && evaluation.to_string().contains("`*`"));
    }

    #[test]
    fn what_is_wrong_is_complained_of() {
        let mut evaluation = Evaluation::new(example().settings);
        assert_eq!(evaluation.complaint().unwrap(), "nothing was measured");
        let mut sample = example().samples[0].clone();
        sample.load.errors = Default::default();
        evaluation.add(sample);
        assert_eq!(evaluation.complaint(), None);
        evaluation.failed(BASELINE, Program::Simple, WORKLOAD, None, &anyhow::anyhow!("no"));
        assert_eq!(evaluation.complaint().unwrap(), "no");
    }
}
