//! Load from dnsperf: a fixed number of questions is under way, and the next is sent when one is answered.

use super::server::PORT;
use crate::command::Running;
use crate::cpu::CoreTimes;
use crate::topology::{SERVER, Topology};
use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long a program may take beyond the time for which it was told to load.
const SLACK: Duration = Duration::from_secs(20);
/// How often questions are asked before measuring, until a pass loses none: a lost answer may not be in the cache.
const PASSES: u32 = 3;

/// What was measured.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub(super) struct Load {
    pub(super) seconds: f64,
    pub(super) sent: u64,
    pub(super) answered: u64,
    /// Answers other than NOERROR and NXDOMAIN.
    pub(super) errors: u64,
    pub(super) queries_per_second: f64,
    /// How many of the questions were not answered, 0 to 1.
    pub(super) lost_share: f64,
    /// The mean size of an answer's message in octets.
    pub(super) response_octets: f64,
    /// The mean time to an answer, if the client waits for answers.
    pub(super) mean_us: Option<f64>,
    /// Busy time of the server's core per answer, in microseconds.
    pub(super) cpu_us_per_query: f64,
    /// Of that, what the server's threads and the one that receives for it account for: without interrupts, and
    /// without other programs that are busy on the core.
    pub(super) own_us_per_query: f64,
    /// How much of the time the server's core was busy.
    pub(super) core_busy_share: f64,
}

/// What the server's core did.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Cost {
    /// All of it.
    pub(super) busy: Duration,
    /// What the threads of the server's end did.
    pub(super) own: Duration,
}

/// What a load generator says.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Counts {
    pub(super) seconds: f64,
    pub(super) sent: u64,
    pub(super) answered: u64,
    /// Answers of the two codes that the zone gives.
    pub(super) expected: u64,
    pub(super) response_octets: f64,
    pub(super) mean_us: Option<f64>,
}

impl Load {
    /// Whether every question was answered as it should be.
    pub(super) fn is_clean(&self) -> bool {
        self.answered > 0 && self.answered == self.sent && self.errors == 0
    }

    /// # Errors
    /// Nothing was answered: there is no cost per answer.
    pub(super) fn unless_silent(self) -> Result<Load> {
        match self.answered {
            0 => bail!("no question was answered"),
            _ => Ok(self),
        }
    }

    /// From what a load generator counted, and what the server's core did meanwhile.
    pub(super) fn new(counts: Counts, cost: Cost) -> Load {
        let Counts { seconds, sent, answered, expected, response_octets, mean_us } = counts;
        let busy = cost.busy.as_secs_f64();
        Load {
            seconds,
            sent,
            answered,
            errors: answered.saturating_sub(expected),
            queries_per_second: answered as f64 / seconds,
            lost_share: sent.saturating_sub(answered) as f64 / (sent as f64).max(1.0),
            response_octets,
            mean_us,
            cpu_us_per_query: busy * 1e6 / answered as f64,
            own_us_per_query: cost.own.as_secs_f64() * 1e6 / answered as f64,
            core_busy_share: (busy / seconds).min(1.0),
        }
    }
}

/// How dnsperf asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client<'t> {
    pub(super) topology: &'t Topology,
    /// The file of questions.
    pub(super) questions: &'t Path,
    /// Sockets, and connections over TCP.
    pub(super) clients: u32,
    /// Questions that are under way.
    pub(super) outstanding: u32,
}

impl Client<'_> {
    /// Asks every question, so that a cache has all answers.
    ///
    /// # Errors
    /// dnsperf failed, or nothing was answered.
    pub(super) fn warm(&self) -> Result<()> {
        let mut load = self.load(false, &["-n", "1"], SLACK)?;
        for _ in 1..PASSES {
            if load.is_clean() {
                return Ok(());
            }
            load = self.load(false, &["-n", "1"], SLACK)?;
        }
        load.unless_silent().map(drop)
    }

    /// Loads the server for `duration`.
    ///
    /// # Errors
    /// dnsperf failed, or nothing was answered.
    pub(super) fn measure(&self, over_tcp: bool, duration: Duration) -> Result<Load> {
        self.load(over_tcp, &["-l", &duration.as_secs_f64().to_string()], duration + SLACK)?.unless_silent()
    }

    fn load(&self, over_tcp: bool, limits: &[&str], limit: Duration) -> Result<Load> {
        let mut command = self.topology.client.command("dnsperf");
        command.args(["-s", &SERVER.to_string(), "-p", &PORT.to_string(), "-d"]).arg(self.questions);
        command.args(["-m", if over_tcp { "tcp" } else { "udp" }, "-T", "1", "-t", "1"]);
        command.args(["-c", &self.clients.to_string(), "-q", &self.outstanding.to_string()]).args(limits);
        let (text, cost) = watch(self.topology, command, limit)?;
        let counts = parse(&text).with_context(|| format!("dnsperf said: {}", text.trim()))?;
        Ok(Load::new(counts, cost))
    }
}

/// Runs a load generator to its end: what it said, and what the server's core did meanwhile. As the core has nothing
/// else to do, that is the cost of all that was asked.
///
/// # Errors
/// It failed; its complaint is the error.
pub(super) fn watch(topology: &Topology, mut command: Command, limit: Duration) -> Result<(String, Cost)> {
    // A file takes as many complaints as there may be.
    let path = topology.directory().join("load");
    let output = fs::File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    let errors = output.try_clone().context("cannot share the log")?;
    let (before, own_before) = (CoreTimes::read(topology.server.core)?, topology.server.run_time()?);
    let mut running = Running::start(command.stdout(Stdio::from(output)).stderr(Stdio::from(errors)))?;
    let status = running.wait(limit).context("the load generator")?;
    let busy = CoreTimes::read(topology.server.core)?.busy_since(before);
    let own = topology.server.run_time()?.saturating_sub(own_before);
    let text = String::from_utf8_lossy(&fs::read(&path).context("the load generator's report")?).into_owned();
    if !status.success() {
        bail!("the load generator: {}", text.trim());
    }
    Ok((text, Cost { busy, own }))
}

fn parse(text: &str) -> Option<Counts> {
    let field = |name: &str| text.lines().find_map(|line| line.trim_start().strip_prefix(name)).map(str::trim);
    let first = |name: &str| field(name)?.split_ascii_whitespace().next()?.parse::<f64>().ok();
    // "request 38, response 58"
    let size = field("Average packet size:").and_then(|text| text.rsplit(' ').next()?.parse().ok());
    Some(Counts {
        seconds: first("Run time (s):")?,
        sent: first("Queries sent:")? as u64,
        answered: first("Queries completed:")? as u64,
        expected: field("Response codes:").map_or(0, expected),
        response_octets: size.unwrap_or_default(),
        mean_us: first("Average Latency (s):").map(|seconds| seconds * 1e6),
    })
}

/// Of "NOERROR 95 (95.00%), NXDOMAIN 4 (4.00%), SERVFAIL 1 (1.00%)" the answers that the zone gives.
fn expected(codes: &str) -> u64 {
    let counts = codes.split(", ").filter_map(|code| {
        let mut words = code.split(' ');
        matches!(words.next()?, "NOERROR" | "NXDOMAIN").then(|| words.next()?.parse::<u64>().ok())?
    });
    counts.sum()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const REPORT: &str = "DNS Performance Testing Tool\n\n[Status] Testing complete (time limit)\n\nStatistics:\n\n\
        \x20 Queries sent:         200\n  Queries completed:    190 (95.00%)\n  Queries lost:         10 (5.00%)\n\n\
        \x20 Response codes:       NOERROR 150 (78.95%), SERVFAIL 3 (1.58%), NXDOMAIN 37 (19.47%)\n\
        \x20 Average packet size:  request 38, response 58\n  Run time (s):         2.000000\n\
        \x20 Queries per second:   95.0\n\n  Average Latency (s):  0.000125 (min 0.000036, max 0.023825)\n\
        Connection Statistics:\n\n  Average Latency (s):  0.5 (min 0.000735, max 0.001903)\n";

    #[test]
    fn what_dnsperf_prints_is_understood() {
        let counts = parse(REPORT).unwrap();
        let expected = Counts {
            seconds: 2.0,
            sent: 200,
            answered: 190,
            expected: 187,
            response_octets: 58.0,
            mean_us: Some(125.0),
        };
        assert_eq!(counts, expected);
        assert_eq!(parse("Error: no such file\n"), None);
    }

    #[test]
    fn costs_are_busy_time_by_answers() {
        let cost = Cost { busy: Duration::from_millis(1900), own: Duration::from_millis(950) };
        let load = Load::new(parse(REPORT).unwrap(), cost);
        assert_eq!((load.queries_per_second, load.lost_share, load.errors), (95.0, 0.05, 3));
        assert_eq!((load.cpu_us_per_query, load.own_us_per_query, load.core_busy_share), (10_000.0, 5_000.0, 0.95));
        assert!(!load.is_clean());
    }

    /// A load with so many answers in a second, all as they should be.
    pub(in super::super) fn example(answered: u64, cost_us: f64) -> Load {
        let (seconds, response_octets, mean_us) = (1.0, 58.0, Some(500.0));
        let counts = Counts { seconds, sent: answered, answered, expected: answered, response_octets, mean_us };
        let busy = Duration::from_secs_f64(cost_us * answered as f64 / 1e6);
        Load::new(counts, Cost { busy, own: busy })
    }
}
