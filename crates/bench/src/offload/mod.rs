//! `afpa-bench offload`: what offloading TCP is worth, as the TCP Servers paper measured it on multiprocessors (§5.1,
//! §5.2). Roles on a topology: an application, a TCP server on cores of its own, a client.

mod accounts;
mod bed;
mod chart;
mod configuration;
mod eager;
mod program;
mod summary;
mod turns;
mod workload;

use crate::affinity;
use crate::compare::allow_descriptors;
use crate::fileset::{self, SpecWeb96};
use crate::load::{DEFAULT_DIRECTORIES, Stack, positive};
use crate::topology::{Cable, Topology};
use crate::units;
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use configuration::{BASELINE, Configuration};
use program::Program;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use summary::{Evaluation, Settings};
use turns::Turns;
use workload::{Protocol, Trace, Workload};

/// Descriptors that a program needs besides its connections.
const SPARE_DESCRIPTORS: u64 = 500;
/// What `--quick` and `--smoke` measure for, and how long a rate is looked for.
const MOMENT: Duration = Duration::from_secs(1);
/// What is swept over unless another is named.
const SWEPT: &str = "dedicated-1:send+receive:adaptive:kernel";
/// The longest request, in octets: all programs take it.
const LONGEST_REQUEST: u64 = 7 * 1024;

/// Evaluates TCP servers: throughput, and what a request costs the application and the TCP server.
///
/// Builds two network namespaces and runs each configuration in turns: kernel sockets on one core and on two, and a TCP
/// server on cores of its own (1 or 2) that takes over receiving, or sending too; polls, sleeps or adapts; on the
/// kernel's TCP or our own. A configuration for which there are too few CPUs is named and left out. Needs root, two
/// CPUs, ip, ethtool, sysctl and taskset.
#[derive(Args, Clone, Debug)]
pub(crate) struct OffloadArgs {
    /// Run these only, by name or by parts of names: kernel-1, dedicated-1:poll, direct [default: all]. What they are
    /// compared with, kernel-1, takes part in any case
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    configurations: Vec<String>,
    /// Compare one configuration with itself, as it accepts so many connections ahead of its application, for each of
    /// these and of --eager-receive [default of a sweep: 1,2,8,64; the configuration:
    /// dedicated-1:send+receive:adaptive:kernel]
    #[arg(long, value_name = "N,...", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=65_536))]
    eager_accept: Vec<u32>,
    /// The same for octets of a connection that are received ahead [default of a sweep: 64,4KiB,16KiB,64KiB]
    #[arg(long, value_name = "SIZE,...", value_delimiter = ',', value_parser = units::size)]
    eager_receive: Vec<u64>,
    /// Make each request so long, at most 7KiB: with three in a burst, more comes than a small --eager-receive takes
    #[arg(long, value_name = "SIZE", value_parser = request_size)]
    request_size: Option<u64>,
    /// Run these programs only [default: all that are installed]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_enum)]
    programs: Vec<Program>,
    /// Ask for these only [default: all]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_enum)]
    traces: Vec<Trace>,
    /// Ask in these ways only [default: all]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_enum)]
    protocols: Vec<Protocol>,
    /// How often each configuration has its turn [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// How long each measurement takes, after a second of warm-up [default: 4s]
    #[arg(long, value_name = "DURATION", value_parser = units::positive_span)]
    duration: Option<Duration>,
    /// Connections of the client at once
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// Requests per second at which costs are measured [default: a third of what kernel-1 answers at first]
    #[arg(long, value_name = "R", value_parser = positive)]
    rate: Option<f64>,
    /// Directories of the SPECweb96 file set, 5 MB each
    #[arg(long, value_name = "N", default_value_t = DEFAULT_DIRECTORIES, value_parser = clap::value_parser!(u32).range(1..=1000))]
    directories: u32,
    /// Whose TCP the client uses: one on sockets is at its limit before a server on frames is
    #[arg(long, value_enum, default_value_t = Stack::Sockets)]
    client: Stack,
    /// The largest packet on the cable, in octets
    #[arg(long, value_name = "N", default_value_t = 1500, value_parser = clap::value_parser!(u16).range(1280..=9000))]
    mtu: u16,
    /// Give each end of the cable a queue of N packets, as devices have
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    queue: Option<u32>,
    /// How long a measurement waits for other programs to be done; 0 does not look for them
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = units::span)]
    patience: Duration,
    /// Measure again, up to N times, when other programs used more than 5 % of the roles' cores; the least disturbed
    /// measurement counts [default: 2, and 0 with --quick]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100))]
    retries: Option<u32>,
    /// One round of a second each, of the synthetic trace unless --traces says otherwise
    #[arg(long)]
    quick: bool,
    /// Run kernel-1 with the simple server for a moment, and fail unless all is answered; says so and ends well if
    /// something that this needs is not there
    #[arg(long, conflicts_with_all = ["configurations", "programs", "rounds", "duration", "quick", "json", "svg"])]
    smoke: bool,
    /// Our server's program [default: afpa, beside this one]
    #[arg(long, value_name = "PATH")]
    afpa: Option<PathBuf>,
    /// Write everything that was measured as JSON to FILE
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw bar charts to FILE
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

impl OffloadArgs {
    /// Runs the evaluation and prints it. A configuration that fails is reported, and the others go on.
    ///
    /// # Errors
    /// The topology cannot be built, an output not be written, or a signal came.
    pub(crate) fn run(&self) -> Result<()> {
        let afpa = self.afpa_path()?;
        if self.smoke {
            return self.smoke(&afpa);
        }
        let evaluation = self.evaluate(&afpa, self.settings(self.choose_configurations(&afpa)?)?)?;
        print!("{evaluation}");
        if let Some(path) = &self.json {
            let text = serde_json::to_string_pretty(&evaluation.to_json())? + "\n";
            fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        if let Some(path) = &self.svg {
            let picture = chart::draw(&evaluation)?;
            fs::write(path, picture).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    fn smoke(&self, afpa: &Path) -> Result<()> {
        if !rustix::process::geteuid().is_root() || cores() < 2 {
            println!("offload: skipped, as network namespaces need root, and the roles two CPUs");
            return Ok(());
        }
        let hasty =
            OffloadArgs { patience: Duration::ZERO, quick: true, programs: vec![Program::Simple], ..self.clone() };
        let settings = hasty.settings(vec![BASELINE])?;
        let evaluation = hasty.evaluate(afpa, settings)?;
        if let Some(complaint) = evaluation.complaint() {
            bail!("offload: {complaint}");
        }
        println!("offload, kernel sockets: all requests were answered");
        Ok(())
    }

    fn evaluate(&self, afpa: &Path, settings: Settings) -> Result<Evaluation> {
        let cable = Cable { congestion: "reno", mtu: self.mtu, queue: self.queue, offloads: false };
        let topology = Topology::build(cable)?;
        allow_descriptors(u64::from(self.connections) + SPARE_DESCRIPTORS)?;
        affinity::pin(None, topology.client.core)?;
        let documents = topology.directory().join("documents");
        fileset::write_synthetic(&documents)?;
        if settings.workloads.iter().any(|workload| workload.trace == Trace::SpecWeb96) {
            SpecWeb96 { directories: self.directories }.write(&documents)?;
        }
        let turns = Turns { args: self, topology: &topology, documents: &documents, afpa, cores: settings.cores };
        let mut evaluation = Evaluation::new(settings);
        let rates = turns.rates(&mut evaluation)?;
        let Settings { rounds, configurations, programs, .. } = evaluation.settings.clone();
        for round in 0..rounds {
            // Each round begins with another one, so that none always follows the same one.
            for place in 0..configurations.len() {
                let configuration = configurations[(place + round as usize) % configurations.len()];
                for program in programs.iter().filter(|program| program.fits(configuration)) {
                    eprintln!(
                        "round {} of {rounds}: {}, {}",
                        round + 1,
                        configuration.name(),
                        workload::name_of(*program)
                    );
                    turns.take(configuration, *program, round, &rates, &mut evaluation)?;
                }
            }
        }
        Ok(evaluation)
    }

    fn settings(&self, configurations: Vec<Configuration>) -> Result<Settings> {
        let (rounds, duration) = if self.quick { (1, MOMENT) } else { (3, Duration::from_secs(4)) };
        let traces = match (self.traces.is_empty(), self.quick) {
            (true, true) => &[Trace::Synthetic],
            (true, false) => Trace::value_variants(),
            (false, _) => &self.traces[..],
        };
        let protocols = if self.protocols.is_empty() { Protocol::value_variants() } else { &self.protocols[..] };
        let protocols = |trace| protocols.iter().map(move |protocol| Workload { trace, protocol: *protocol });
        // A sweep has kernel sockets only to find rates.
        let base = configurations.first().copied().unwrap_or(BASELINE);
        Ok(Settings {
            configurations,
            base,
            request_size: self.request_size,
            programs: self.choose_programs()?,
            workloads: traces.iter().flat_map(|trace| protocols(*trace)).collect(),
            rounds: self.rounds.unwrap_or(rounds),
            duration: self.duration.unwrap_or(duration),
            connections: self.connections,
            directories: self.directories,
            client: self.client,
            mtu: self.mtu,
            queue: self.queue,
            cores: cores(),
        })
    }

    /// Those that were asked for and can run here.
    fn choose_configurations(&self, afpa: &Path) -> Result<Vec<Configuration>> {
        if self.eager_accept.is_empty() && self.eager_receive.is_empty() {
            return self.choose_among_all(afpa, &self.configurations);
        }
        let default = [SWEPT.to_owned()];
        let wished = if self.configurations.is_empty() { &default[..] } else { &self.configurations };
        let chosen = self.choose_among_all(afpa, wished)?;
        match chosen.iter().filter(|one| one.has_tcp_server()).collect::<Vec<_>>()[..] {
            [Configuration::Dedicated(base)] => Ok(eager::sweep(*base, &self.eager_accept, &self.eager_receive)),
            [] => bail!("--eager-accept and --eager-receive: no configuration with a TCP server can run here"),
            _ => bail!("--eager-accept and --eager-receive: --configurations has to name one, such as {SWEPT}"),
        }
    }

    fn choose_among_all(&self, afpa: &Path, wished: &[String]) -> Result<Vec<Configuration>> {
        let all = Configuration::all();
        if let Some(unknown) = wished.iter().find(|wish| !all.iter().any(|one| one.is_meant_by(wish))) {
            let names: Vec<_> = all.iter().map(|one| one.name()).collect();
            bail!("--configurations {unknown}: no name or part of one of {}", names.join(", "));
        }
        let is_wanted = |one: &Configuration| {
            *one == BASELINE || wished.is_empty() || wished.iter().any(|wish| one.is_meant_by(wish))
        };
        let tcp_server = lack_of_tcp_server(afpa);
        let (mut chosen, mut left_out) = (Vec::new(), BTreeMap::<_, Vec<_>>::new());
        for one in all.into_iter().filter(is_wanted) {
            let lack = if one == BASELINE { None } else { one.place(cores()).err() };
            match lack.or_else(|| tcp_server.clone().filter(|_| one.has_tcp_server())) {
                Some(lack) => left_out.entry(lack).or_default().push(one.name()),
                None => chosen.push(one),
            }
        }
        for (lack, names) in left_out {
            eprintln!("left out, as {lack}: {}", names.join(", "));
        }
        Ok(chosen)
    }

    fn choose_programs(&self) -> Result<Vec<Program>> {
        let mut chosen = Vec::new();
        for program in Program::value_variants() {
            let is_named = self.programs.contains(program);
            match program.lack() {
                Some(lack) if is_named => bail!("{lack}"),
                Some(lack) if self.programs.is_empty() => eprintln!("left out: {lack}"),
                None if is_named || self.programs.is_empty() => chosen.push(*program),
                _ => {}
            }
        }
        Ok(chosen)
    }

    fn afpa_path(&self) -> Result<PathBuf> {
        match &self.afpa {
            Some(path) => path.canonicalize().with_context(|| format!("no server at {}", path.display())),
            None => Ok(std::env::current_exe().context("cannot find this program")?.with_file_name("afpa")),
        }
    }
}

fn request_size(text: &str) -> Result<u64, String> {
    let size = units::size(text)?;
    if size <= LONGEST_REQUEST { Ok(size) } else { Err(format!("expected at most {LONGEST_REQUEST} octets")) }
}

/// Why our program cannot be a TCP server, if it cannot.
fn lack_of_tcp_server(afpa: &Path) -> Option<String> {
    let help = Command::new(afpa).args(["tcp-server", "--help"]).output();
    let can = help.is_ok_and(|help| help.status.success());
    (!can).then(|| format!("{} cannot be a TCP server", afpa.display()))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: OffloadArgs,
    }

    fn parse(arguments: &[&str]) -> OffloadArgs {
        Cli::try_parse_from(["offload"].iter().chain(arguments)).unwrap().args
    }

    #[test]
    fn quick_is_one_round_of_the_synthetic_trace() {
        let settings = parse(&["--quick", "--programs", "simple"]).settings(vec![BASELINE]).unwrap();
        assert_eq!((settings.rounds, settings.duration, settings.workloads.len()), (1, MOMENT, 2));
        let settings = parse(&["--programs", "simple", "--protocols", "http-1.0"]).settings(vec![BASELINE]).unwrap();
        assert_eq!((settings.rounds, settings.workloads.len()), (3, 2));
    }

    #[test]
    fn a_sweep_is_of_one_configuration_with_a_tcp_server() {
        let choose = |arguments: &[&str]| {
            let chosen = parse(arguments).choose_configurations(Path::new("/nowhere/afpa"));
            chosen.unwrap_err().to_string()
        };
        // Without our program there is no TCP server to be had.
        assert!(choose(&["--eager-accept", "1,2"]).contains("no configuration with a TCP server can run here"));
        let kernel = ["--eager-receive", "1,4KiB", "--configurations", "kernel-2"];
        assert!(choose(&kernel).contains("no configuration with a TCP server"));
        assert!(Cli::try_parse_from(["offload", "--request-size", "8KiB"]).is_err());
    }

    #[test]
    fn what_is_no_part_of_any_name_is_refused() {
        let choose = |wish: &str| parse(&["--configurations", wish]).choose_configurations(Path::new("/nowhere/afpa"));
        assert!(
            choose("dedicated-9").unwrap_err().to_string().contains("dedicated-9: no name or part of one of kernel-1")
        );
        // Without our program there is no TCP server to be had.
        assert_eq!(choose("dedicated-1").unwrap(), [BASELINE]);
    }
}
