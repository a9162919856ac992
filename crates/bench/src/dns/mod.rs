//! `afpa-bench dns`: us and the installed DNS servers on equal terms: the same cores, the same topology, the same
//! zone, interleaved.

mod chart;
mod load;
mod peers;
mod saturation;
mod scenario;
mod server;
mod summary;
mod zone;

use crate::affinity;
use crate::command;
use crate::compare::unless_interrupted;
use crate::cpu;
use crate::topology::{Cable, SERVER, Topology};
use crate::units;
use anyhow::{Context, Result, bail};
use clap::Args;
use load::{Client, Load};
use peers::{BACKEND, PEERS, Peer};
use scenario::{Role, Scenario};
use server::{PORT, Server, Setting};
use std::fs;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::time::Duration;
use summary::{Comparison, Sample, Settings};

/// What every comparison needs besides what the topology does.
const TOOLS: [&str; 2] = ["dnsperf", "dig"];
const SATURATING: &str = "kxdpgun";
/// How long each scenario is run to see that it works.
const MOMENT: Duration = Duration::from_secs(1);

/// Compares DNS servers on one core: queries per second, and what a query costs the core.
///
/// Builds two network namespaces, runs the servers in turns on CPU 0 and the load on CPU 1, and removes everything
/// again. Every server's answers are compared with the zone before it is measured, and all questions have been asked
/// once. Needs root, two CPUs, ip, ethtool, sysctl, taskset, dnsperf and dig; caches need nsd behind them, and the
/// saturated scenarios kxdpgun.
#[derive(Args, Clone, Debug)]
pub(crate) struct DnsArgs {
    /// Compare with these servers only [default: all that are installed]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    peers: Vec<String>,
    /// Run these scenarios only [default: all]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_enum)]
    scenario: Vec<Scenario>,
    /// How often each server has its turn
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// How long each measurement takes
    #[arg(long, value_name = "DURATION", default_value = "4s", value_parser = units::positive_span)]
    duration: Duration,
    /// Sockets of the client, and connections over TCP
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=256))]
    clients: u32,
    /// Questions that are under way, of all clients together
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    outstanding: u32,
    /// How long a measurement waits for other programs to be done; 0 does not look for them
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = units::span)]
    patience: Duration,
    /// Our server's program [default: afpa, beside this one]
    #[arg(long, value_name = "PATH")]
    afpa: Option<PathBuf>,
    /// Run our server alone for a second in each scenario whose client waits for answers, and fail unless all are
    /// right; says so and ends well if something that this needs is not there
    #[arg(long, conflicts_with_all = ["peers", "scenario", "rounds", "duration", "json", "svg"])]
    smoke: bool,
    /// Write everything that was measured as JSON to FILE
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw bar charts to FILE
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

impl DnsArgs {
    /// Runs the comparison and prints it. A server that fails is reported, and the others go on.
    ///
    /// # Errors
    /// A tool is missing, the topology cannot be built, an output not be written, or a signal came.
    pub(crate) fn run(&self) -> Result<()> {
        let afpa = self.afpa_path()?;
        if self.smoke {
            return self.smoke(&afpa);
        }
        if let Some(tool) = missing_tool() {
            bail!("{tool} is not installed");
        }
        let peers = self.choose_peers(&afpa)?;
        let comparison = self.compare(&afpa, &peers, self.settings(&afpa))?;
        print!("{comparison}");
        if let Some(path) = &self.json {
            let text = serde_json::to_string_pretty(&comparison.to_json())? + "\n";
            fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        if let Some(path) = &self.svg {
            let picture = chart::draw(&comparison)?;
            fs::write(path, picture).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    /// A moment with our server alone.
    fn smoke(&self, afpa: &Path) -> Result<()> {
        let ours = Peer::by_name("afpa").context("no such server")?;
        let missing = match (rustix::process::geteuid().is_root(), missing_tool(), ours.path(afpa)) {
            (false, _, _) => Some("network namespaces need root".to_owned()),
            (_, Some(tool), _) => Some(format!("{tool} is not installed")),
            (_, _, Err(reason)) => Some(reason),
            _ => None,
        };
        if let Some(reason) = missing {
            println!("dns: skipped, as {reason}");
            return Ok(());
        }
        let mut settings = Settings { rounds: 1, duration: MOMENT, ..self.settings(afpa) };
        settings.scenarios.retain(|scenario| !scenario.saturates());
        // What a query costs is not of interest here.
        let hasty = DnsArgs { patience: Duration::ZERO, ..self.clone() };
        let comparison = hasty.compare(afpa, &[ours], settings)?;
        if let Some(complaint) = comparison.complaint() {
            bail!("{complaint}");
        }
        for scenario in &comparison.settings.scenarios {
            println!("dns, {}: all answers as they should be", scenario.name());
        }
        Ok(())
    }

    fn compare(&self, afpa: &Path, peers: &[&'static Peer], settings: Settings) -> Result<Comparison> {
        let topology = Topology::build(Cable { congestion: "reno", mtu: 1500, queue: None, offloads: false })?;
        affinity::pin(None, topology.client.core)?;
        let (zone, questions) = (topology.directory().join("zone"), topology.directory().join("questions"));
        for (path, text) in [(&zone, zone::file()), (&questions, zone::questions())] {
            fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        let setting = Setting { topology: &topology, zone: &zone, afpa };
        let has_caches = settings.scenarios.iter().any(|scenario| scenario.role() == Role::Cache)
            && peers.iter().any(|peer| peer.arguments(Role::Cache).is_some());
        let _backend = has_caches.then(|| Server::start_backend(setting)).transpose()?;
        let Settings { clients, outstanding, .. } = settings;
        let client = Client { topology: &topology, questions: &questions, clients, outstanding };
        let turn = Turn { patience: self.patience, setting, client };
        let mut comparison = Comparison::new(settings);
        for round in 0..comparison.settings.rounds {
            // Each round begins with another server, so that none always follows the same one.
            for place in 0..peers.len() {
                let peer = peers[(place + round as usize) % peers.len()];
                for role in [Role::Cache, Role::Authority] {
                    turn.take(peer, role, round, &mut comparison)?;
                }
            }
        }
        Ok(comparison)
    }

    fn settings(&self, afpa: &Path) -> Settings {
        let DnsArgs { rounds, duration, clients, outstanding, .. } = *self;
        Settings { scenarios: self.scenarios(afpa), rounds, duration, clients, outstanding }
    }

    /// The scenarios that were asked for, in their own order, each once, but for those that need what is not there.
    fn scenarios(&self, afpa: &Path) -> Vec<Scenario> {
        let backend = Peer::by_name(BACKEND).is_some_and(|backend| backend.path(afpa).is_ok());
        let saturating = command::find(SATURATING).is_some();
        let mut scenarios = Vec::new();
        for scenario in Scenario::all().iter().filter(|one| self.scenario.is_empty() || self.scenario.contains(one)) {
            if scenario.role() == Role::Cache && !backend {
                eprintln!("{} is left out: {BACKEND}, to stand behind a cache, is not installed", scenario.name());
            } else if scenario.saturates() && !saturating {
                eprintln!("{} is left out: {SATURATING} is not installed", scenario.name());
            } else {
                scenarios.push(*scenario);
            }
        }
        scenarios
    }

    fn afpa_path(&self) -> Result<PathBuf> {
        match &self.afpa {
            Some(path) => path.canonicalize().with_context(|| format!("no server at {}", path.display())),
            None => Ok(std::env::current_exe().context("cannot find this program")?.with_file_name("afpa")),
        }
    }

    /// The servers that were asked for, or all that are there; ours is always among them, if it can.
    fn choose_peers(&self, afpa: &Path) -> Result<Vec<&'static Peer>> {
        if let Some(unknown) = self.peers.iter().find(|name| Peer::by_name(name).is_none()) {
            let choices: Vec<_> = PEERS.iter().map(|peer| peer.name).collect();
            bail!("--peers {unknown}: not one of {}", choices.join(", "));
        }
        let mut chosen = Vec::new();
        for peer in PEERS {
            let is_named = self.peers.iter().any(|name| name == peer.name);
            let is_wanted = is_named || self.peers.is_empty() || peer.name == "afpa";
            match peer.path(afpa) {
                Ok(_) if is_wanted => chosen.push(peer),
                Err(reason) if is_named => bail!("{}: {reason}", peer.name),
                Err(reason) if is_wanted => eprintln!("{} is left out: {reason}", peer.name),
                _ => {}
            }
        }
        Ok(chosen)
    }
}

fn missing_tool() -> Option<&'static str> {
    TOOLS.into_iter().find(|tool| command::find(tool).is_none())
}

/// What a server's turn needs.
struct Turn<'a> {
    patience: Duration,
    setting: Setting<'a>,
    client: Client<'a>,
}

impl Turn<'_> {
    /// Starts the server, has it answer everything once, runs every scenario of its role, and stops it.
    fn take(&self, peer: &Peer, role: Role, round: u32, comparison: &mut Comparison) -> Result<()> {
        let all = comparison.settings.scenarios.iter().copied();
        let fits = |scenario: &Scenario| scenario.role() == role && (scenario.saturates() || !peer.only_saturated);
        let scenarios: Vec<_> = all.filter(fits).collect();
        if scenarios.is_empty() || peer.arguments(role).is_none() {
            return Ok(());
        }
        eprintln!("round {} of {}: {}", round + 1, comparison.settings.rounds, peer.name);
        let started = Server::start(self.setting, peer, role).and_then(|server| self.client.warm().map(|()| server));
        let server = match started {
            Ok(server) => server,
            Err(error) => {
                unless_interrupted(&error)?;
                scenarios.iter().for_each(|scenario| comparison.failed(peer.name, *scenario, round, &error));
                return Ok(());
            }
        };
        for scenario in scenarios {
            match self.measure(&server, scenario, comparison.settings.duration) {
                Ok((load, memory, quiet)) => {
                    comparison.add(Sample { server: peer.name, scenario, round, memory, quiet, load });
                }
                Err(error) => {
                    unless_interrupted(&error)?;
                    comparison.failed(peer.name, scenario, round, &error);
                }
            }
        }
        Ok(())
    }

    /// What was measured, the server's memory right after, and whether other programs were at rest before.
    fn measure(&self, server: &Server<'_>, scenario: Scenario, duration: Duration) -> Result<(Load, u64, bool)> {
        let topology = self.setting.topology;
        server::verify(topology, SocketAddrV4::new(SERVER, PORT), scenario.is_tcp())?;
        let cores = [topology.server.core, topology.client.core];
        let quiet = !self.patience.is_zero() && cpu::wait_until_quiet(&cores, self.patience)?;
        if !quiet && !self.patience.is_zero() {
            eprintln!("  {}: measured although other programs are busy", scenario.name());
        }
        let load = match scenario.saturates() {
            true => saturation::measure(topology, self.client.questions, duration)?,
            false => self.client.measure(scenario.is_tcp(), duration)?,
        };
        Ok((load, server.memory()?, quiet))
    }
}
