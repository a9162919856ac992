//! `afpa-bench compare`: us, the installed peers and the baselines on equal terms: the same cores,
//! the same topology, the same run, interleaved.

pub(crate) mod chart;
mod curves;
mod proxied;
mod scenario;
mod summary;
pub(crate) mod table;

use crate::affinity;
use crate::command;
use crate::cpu;
use crate::fileset::{self, SpecWeb96};
use crate::interrupt::{self, Interrupted};
use crate::load::{DEFAULT_DIRECTORIES, Io, LoadReport, Process, Stack};
use crate::peers::{PORT, Peer};
use crate::server::Server;
use crate::topology::{Cable, SERVER, Topology};
use crate::units;
use anyhow::{Context, Result, bail};
use clap::Args;
pub(crate) use proxied::judge;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
pub(crate) use scenario::Scenario;
use scenario::{MANY, Role};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
pub(crate) use summary::median;
#[cfg(test)]
pub(crate) use summary::tests;
use summary::{Comparison, Sample, Settings};

/// What stands for every variant.
const ALL: &str = "all";

/// Descriptors that a program needs besides its connections.
const SPARE_DESCRIPTORS: u64 = 500;

/// How long a server is loaded before it is measured.
const WARM_UP: Duration = Duration::from_secs(1);

/// Compares servers on one core: requests per second, what a request costs the core, memory and latency.
///
/// Builds two network namespaces, runs the servers in turns on CPU 0 and the load on CPU 1, and
/// removes everything again. Needs root, two CPUs, ip, ethtool, sysctl and taskset.
#[derive(Args, Clone, Debug)]
pub(crate) struct CompareArgs {
    /// What the servers are [default: what the scenarios want, else serve]
    #[arg(long, value_enum)]
    role: Option<Role>,
    /// Compare with these servers only [default: all that are installed]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    peers: Vec<String>,
    /// Add these variants of ours, or `all`: what a part of the design is worth
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    variant: Vec<String>,
    /// Run these scenarios only [default: all of the role but those that are named by-size-...]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_enum)]
    scenario: Vec<Scenario>,
    /// How often each server has its turn
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// How long each measurement takes, after one second of warm-up
    #[arg(long, alias = "seconds", value_name = "DURATION", default_value = "4s", value_parser = units::positive_span)]
    duration: Duration,
    /// Connections, where the scenario does not say [default: 64, and 256 of a direct client]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: Option<u32>,
    /// Whose TCP the load generator uses: a client on sockets saturates before a server on frames does
    #[arg(long, value_enum, default_value_t = Stack::Sockets)]
    client: Stack,
    /// The largest packet on the cable, in octets
    #[arg(long, value_name = "N", default_value_t = 1500, value_parser = clap::value_parser!(u16).range(1280..=9000))]
    mtu: u16,
    /// Directories of the SPECweb96 file set, 5 MB each
    #[arg(long, value_name = "N", default_value_t = DEFAULT_DIRECTORIES, value_parser = clap::value_parser!(u32).range(1..=1000))]
    directories: u32,
    /// Congestion control of both ends; any kernel lets a namespace choose reno
    #[arg(long, value_name = "NAME", default_value = "reno")]
    congestion: String,
    /// Give each end of the cable a queue of N packets, as devices have: when the cable is full, senders wait;
    /// without a queue, packets are lost
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    queue: Option<u32>,
    /// Let large segments cross the cable whole (TSO), as they would reach a network interface that cuts them. A client
    /// on sockets is then received on the sender's CPU
    #[arg(long)]
    offloads: bool,
    /// How long a measurement waits for other programs to be done
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = units::span)]
    patience: Duration,
    /// The kernel's interface that a client on sockets uses [default: the better one for each scenario]
    #[arg(long, value_enum)]
    io: Option<Io>,
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

impl CompareArgs {
    /// Runs the comparison and prints it. A server that fails is reported, and the others go on.
    ///
    /// # Errors
    /// The topology cannot be built, an output not be written, or a signal came.
    pub(crate) fn run(&self) -> Result<()> {
        self.check_scenarios()?;
        let afpa = self.afpa_path()?;
        let peers = self.choose_peers(&afpa)?;
        let topology = Topology::build(self.cable())?;
        allow_descriptors(self.descriptors())?;
        affinity::pin(None, topology.client.core)?;
        let root = topology.directory().join("documents");
        if self.role() == Role::Serve {
            fileset::write_webstone(&root)?;
            SpecWeb96 { directories: self.directories }.write(&root)?;
        }
        let turn = Turn { args: self, topology: &topology, root: &root, afpa: &afpa };
        let mut comparison = Comparison::new(self.settings());
        for round in 0..self.rounds {
            // Each round begins with another server, so that none always follows the same one.
            for place in 0..peers.len() {
                let peer = peers[(place + round as usize) % peers.len()];
                eprintln!("round {} of {}: {}", round + 1, self.rounds, peer.name);
                turn.take(peer, round, &mut comparison)?;
            }
        }
        drop(topology);
        self.publish(&comparison)
    }

    fn publish(&self, comparison: &Comparison) -> Result<()> {
        print!("{comparison}");
        if let Some(path) = &self.json {
            let text = serde_json::to_string_pretty(&comparison.to_json())? + "\n";
            fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        if let Some(path) = &self.svg {
            let picture = chart::draw(comparison)?;
            fs::write(path, picture).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    fn role(&self) -> Role {
        self.role.or(self.scenario.first().map(|scenario| scenario.role())).unwrap_or(Role::Serve)
    }

    fn check_scenarios(&self) -> Result<()> {
        let role = self.role();
        match self.scenario.iter().find(|scenario| scenario.role() != role) {
            Some(other) => bail!("--scenario {}: not one of the role {}", other.name(), role.name()),
            None => Ok(()),
        }
    }

    /// The scenarios that were asked for, in their own order, each once.
    fn scenarios(&self) -> Vec<Scenario> {
        let asked = |scenario: &Scenario| match self.scenario.is_empty() {
            true => scenario.role() == self.role() && !scenario.is_by_size(),
            false => self.scenario.contains(scenario),
        };
        Scenario::all().iter().copied().filter(asked).collect()
    }

    fn descriptors(&self) -> u64 {
        let most = self.scenarios().into_iter().map(|scenario| scenario.connections(self.connections())).max();
        u64::from(most.unwrap_or(0)) + SPARE_DESCRIPTORS
    }

    fn connections(&self) -> u32 {
        self.connections.unwrap_or(match self.client {
            Stack::Sockets => 64,
            Stack::Direct => 256,
        })
    }

    fn cable(&self) -> Cable<'_> {
        Cable { congestion: &self.congestion, mtu: self.mtu, queue: self.queue, offloads: self.offloads }
    }

    fn settings(&self) -> Settings {
        Settings {
            scenarios: self.scenarios(),
            role: self.role(),
            rounds: self.rounds,
            duration: self.duration,
            connections: self.connections(),
            client: self.client,
            mtu: self.mtu,
            queue: self.queue,
            offloads: self.offloads,
            directories: self.directories,
            congestion: self.congestion.clone(),
        }
    }

    fn afpa_path(&self) -> Result<PathBuf> {
        match &self.afpa {
            Some(path) => path.canonicalize().with_context(|| format!("no server at {}", path.display())),
            None => Ok(std::env::current_exe().context("cannot find this program")?.with_file_name("afpa")),
        }
    }

    /// The servers that were asked for, or all that are there; ours is always among them.
    fn choose_peers(&self, afpa: &Path) -> Result<Vec<&'static Peer>> {
        let named = |name: &str| self.peers.iter().chain(&self.variant).any(|asked| asked == name);
        let all_variants = self.variant == [ALL];
        let servers = self.role().servers();
        known("--peers", &self.peers, servers, |_| true)?;
        if !all_variants {
            known("--variant", &self.variant, servers, |peer| peer.is_variant)?;
        }
        let mut chosen = Vec::new();
        for peer in servers {
            let unless_named = if peer.is_variant { all_variants } else { self.peers.is_empty() };
            match peer.path(afpa) {
                Some(_) if named(peer.name) || unless_named || peer.name == "afpa" => chosen.push(peer),
                None if named(peer.name) => bail!("{} is not installed", peer.name),
                None if unless_named => eprintln!("{} is not there and left out", peer.name),
                _ => {}
            }
        }
        Ok(chosen)
    }
}

/// Each of `names` is that of a server that `suits`.
fn known(option: &str, names: &[String], servers: &[Peer], suits: impl Fn(&Peer) -> bool) -> Result<()> {
    let choices: Vec<_> = servers.iter().filter(|peer| suits(peer)).map(|peer| peer.name).collect();
    match names.iter().find(|name| !choices.contains(&name.as_str())) {
        Some(unknown) => bail!("{option} {unknown}: not one of {}", choices.join(", ")),
        None => Ok(()),
    }
}

/// What a server's turn needs.
struct Turn<'a> {
    args: &'a CompareArgs,
    topology: &'a Topology,
    root: &'a Path,
    afpa: &'a Path,
}

impl Turn<'_> {
    /// Starts the server, runs every scenario that suits it, and stops it.
    fn take(&self, peer: &Peer, round: u32, comparison: &mut Comparison) -> Result<()> {
        let scenarios: Vec<_> =
            self.args.scenarios().into_iter().filter(|scenario| scenario.suits(peer.abilities)).collect();
        let server = match Server::start(self.topology, peer, self.root, self.afpa) {
            Ok(server) => server,
            Err(error) => {
                unless_interrupted(&error)?;
                scenarios.iter().for_each(|scenario| comparison.failed(peer.name, *scenario, round, &error));
                return Ok(());
            }
        };
        for scenario in scenarios {
            let cores = [self.topology.server.core, self.topology.client.core];
            if !cpu::wait_until_quiet(&cores, self.args.patience)? {
                eprintln!("  {}: measured although other programs are busy", scenario.name());
            }
            let measured = match scenario {
                Scenario::Idle10K => self.measure_idle(&server),
                _ if scenario.role() == Role::Accelerate => proxied::measure(self, &server, scenario),
                _ => self.measure(&server, scenario),
            };
            match measured {
                Ok((load, memory)) => comparison.add(Sample { server: peer.name, scenario, round, memory, load }),
                Err(error) => {
                    unless_interrupted(&error)?;
                    comparison.failed(peer.name, scenario, round, &error);
                }
            }
        }
        Ok(())
    }

    /// Loads the server; its memory is what it has right after.
    fn measure(&self, server: &Server<'_>, scenario: Scenario) -> Result<(LoadReport, u64)> {
        let load = self.start_load(scenario, WARM_UP, self.args.duration)?.finish()?;
        Ok((load, server.memory()?))
    }

    /// Holds idle connections; the memory is what each adds to the server's.
    fn measure_idle(&self, server: &Server<'_>) -> Result<(LoadReport, u64)> {
        // What a server needs for its first requests is not the connections' cost.
        self.start_load(Scenario::Persistent1K, Duration::ZERO, WARM_UP)?.finish()?;
        interrupt::sleep(Duration::from_millis(500))?;
        let before = server.memory()?;
        let (opening, holding) = (Duration::from_secs(4), Duration::from_secs(3));
        let load = self.start_load(Scenario::Idle10K, opening, holding)?;
        interrupt::sleep(opening + Duration::from_secs(1))?;
        let during = server.memory()?;
        let report = load.finish()?;
        if report.connections_open < u64::from(MANY) {
            bail!("only {} of {MANY} connections could be held open", report.connections_open);
        }
        Ok((report, during.saturating_sub(before) / u64::from(MANY)))
    }

    fn start_load(&self, scenario: Scenario, warmup: Duration, duration: Duration) -> Result<Process> {
        let mut command = self.topology.client.command(std::env::current_exe().context("cannot find this program")?);
        command.arg("load").arg(format!("http://{SERVER}:{PORT}/{}", scenario.path()));
        command.args(scenario.arguments(self.args.connections(), self.args.directories));
        match self.args.client {
            Stack::Sockets => command.args(["--io", self.args.io.unwrap_or(scenario.io()).name()]),
            Stack::Direct => {
                command.args(["--transport", self.args.client.name(), "--interface", &self.topology.client.device])
            }
        };
        command.args(["--json", "-", "--watch-core", &self.topology.server.core.to_string()]);
        let seconds = |span: Duration| span.as_secs_f64().to_string();
        command.args(["--warmup", &seconds(warmup), "--duration", &seconds(duration)]);
        Process::start(&mut command, warmup + duration + Duration::from_secs(30))
    }
}

/// Errors of a server or a load are kept and the comparison goes on; a signal ends it.
pub(crate) fn unless_interrupted(error: &anyhow::Error) -> Result<()> {
    match error.is::<Interrupted>() {
        true => Err(Interrupted.into()),
        false => Ok(()),
    }
}

/// Raises the limit of descriptors as far as it goes; the servers and the load inherit it.
pub(crate) fn allow_descriptors(needed: u64) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).context("cannot raise the limit of open files")?;
    match limit.maximum {
        Some(maximum) if maximum < needed => {
            bail!(
                "{needed} open files are needed and {maximum} are allowed: raise it (ulimit -Hn) or choose other scenarios"
            )
        }
        _ => Ok(()),
    }
}

/// The kernel's release, for the record.
pub(crate) fn kernel() -> String {
    command::output("uname", ["-r"]).map(|text| text.trim().to_owned()).unwrap_or_default()
}
