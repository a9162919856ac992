//! `afpa-bench smoke`: a moment of load against a server on this machine, which must not fail once.

use crate::command::Running;
use crate::compare::{self, Scenario};
use crate::fileset;
use crate::howl::{self, Documents};
use crate::interrupt;
use crate::load::{LoadArgs, LoadReport};
use crate::origin::{Counts, Server as Origin};
use crate::peers::{PEERS, PORT};
use crate::server::Server;
use crate::topology::{self, Cable, Topology};
use crate::units;
use crate::web;
use anyhow::{Context, Result, bail};
use clap::{Args, CommandFactory, FromArgMatches};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fs, thread};

/// How long the server may take until it listens.
const START: Duration = Duration::from_secs(10);
/// How long a cache is filled, and how many connections then ask it.
const PRIMING: Duration = Duration::from_millis(100);
const CONNECTIONS: u32 = 16;

/// Loads a server over loopback for a moment and fails unless every request was answered as it
/// should be, also through its cache if it can `accelerate`. Needs no privileges; as root it also loads, over a virtual cable, the server on its own TCP
/// with a client on that TCP.
#[derive(Args, Clone, Debug)]
pub(crate) struct SmokeArgs {
    /// The server's program, run as: PROGRAM serve DIR --listen ADDRESS --log off, and PROGRAM accelerate URL ... [default: a built-in one]
    #[arg(long, value_name = "PROGRAM")]
    server: Option<PathBuf>,
    /// How long each kind of load lasts
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = units::positive_span)]
    duration: Duration,
}

impl SmokeArgs {
    /// Runs it.
    ///
    /// # Errors
    /// The server does not come up, answers nothing, or fails to answer something.
    pub(crate) fn run(&self) -> Result<()> {
        match &self.server {
            Some(program) => self.load_program(program),
            None => {
                let listener = howl::listen((Ipv4Addr::LOCALHOST, 0).into())?;
                let address = listener.local_addr().context("cannot listen on loopback")?;
                let documents = Documents::one(&fileset::webstone_path(1024), &[b'x'; 1024]);
                // It ends with this program.
                thread::spawn(move || howl::serve(&listener, &documents));
                self.check("built-in, a connection per request", address, &["--per-request", "--connections", "4"])?;
                self.load_web()
            }
        }
    }

    /// The simple web server, as `offload` loads it on kernel sockets.
    fn load_web(&self) -> Result<()> {
        let root = Root::create()?;
        fileset::write_synthetic(&root.0)?;
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let address = address.context("cannot listen on loopback")?;
        let server = web::WebArgs::new(root.0.clone(), address);
        // It ends with this program.
        thread::spawn(move || server.run());
        let ready = interrupt::wait_for(START, || Ok(TcpStream::connect(address).ok()))?;
        ready.with_context(|| format!("the web server does not listen on {address}"))?;
        for (name, arguments) in [
            ("web, HTTP/1.0", &["--synthetic", "--per-request", "--http10", "--connections", "8"][..]),
            ("web, bursts", &["--synthetic", "--per-connection", "6", "--burst", "3", "--connections", "8"]),
        ] {
            let report = measure(&format!("http://{address}/"), self.duration, arguments.iter())?;
            judge(&report).with_context(|| name.to_owned())?;
            println!("{name}: {} requests, no errors", report.requests);
        }
        Ok(())
    }

    fn load_program(&self, program: &Path) -> Result<()> {
        let root = Root::create()?;
        let (server, address) = start(program, &["serve", &root.0.to_string_lossy()])?;
        for (name, arguments) in [
            ("persistent", &["--connections", "16"][..]),
            ("pipelined", &["--connections", "4", "--pipeline", "8"]),
            ("a connection per request", &["--connections", "16", "--per-request"]),
            ("open loop", &["--connections", "16", "--rate", "500"]),
        ] {
            self.check(name, address, arguments)?;
        }
        drop(server);
        self.load_direct(program, &root.0)?;
        self.load_accelerator(program)
    }

    /// The server as a cache in front of an origin.
    fn load_accelerator(&self, program: &Path) -> Result<()> {
        let help = Command::new(program).args(["accelerate", "--help"]).output();
        if !help.is_ok_and(|help| help.status.success()) {
            println!("accelerator: skipped, as {} cannot accelerate", program.display());
            return Ok(());
        }
        let origin = Origin::listen((Ipv4Addr::LOCALHOST, 0).into(), None, Duration::ZERO)?;
        let behind = origin.address().context("cannot listen on loopback")?;
        // It ends with this program.
        thread::spawn(move || origin.run());
        let (_server, address) = start(program, &["accelerate", &format!("http://{behind}")])?;
        [Scenario::ProxyHit1K, Scenario::ProxyMiss1K]
            .into_iter()
            .try_for_each(|scenario| self.check_accelerator(scenario, address, behind))
    }

    fn check_accelerator(&self, scenario: Scenario, address: SocketAddr, origin: SocketAddr) -> Result<()> {
        let name = scenario.name();
        let url = format!("http://{address}/{}", scenario.path());
        let arguments = scenario.arguments(CONNECTIONS, 0);
        let load = |duration: Duration| measure(&url, duration, arguments.iter());
        // What may be kept is kept from now on.
        load(PRIMING).with_context(|| name.clone())?;
        let before = Counts::ask(origin)?;
        let report = load(self.duration).with_context(|| name.clone())?;
        judge(&report).and_then(|()| compare::judge(scenario, &report, &Counts::ask(origin)?.since(&before)))?;
        println!("{name}: {} requests, no errors", report.requests);
        Ok(())
    }

    /// The server and the client on frames, at the ends of a cable.
    fn load_direct(&self, program: &Path, root: &Path) -> Result<()> {
        if !rustix::process::geteuid().is_root() {
            println!("direct: skipped, as network namespaces need root");
            return Ok(());
        }
        let topology = Topology::build(Cable { congestion: "reno", mtu: 9000, queue: None, offloads: false })?;
        let peer = PEERS.iter().find(|peer| peer.name == "afpa-direct").context("no such server")?;
        let _server = Server::start(&topology, peer, root, program)?;
        let url = format!("http://{}:{PORT}/", topology::SERVER);
        for (name, arguments) in [
            ("direct, persistent", &["--size", "1KiB", "--connections", "16"][..]),
            ("direct, large", &["--size", "1MiB", "--connections", "2"]),
            ("direct, a connection per request", &["--size", "1KiB", "--connections", "16", "--per-request"]),
        ] {
            // Another program, because this one stays in its own namespace.
            let mut command = topology.client.command(env::current_exe().context("cannot find this program")?);
            command.args(["load", &url, "--transport", "direct", "--interface", &topology.client.device]);
            command.args(["--json", "-", "--warmup", "0s", "--duration", &self.duration.as_secs_f64().to_string()]);
            let output = command.args(arguments).output().context("cannot start the load generator")?;
            if !output.status.success() {
                bail!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim());
            }
            let report: LoadReport = serde_json::from_slice(&output.stdout).context("the load generator's report")?;
            judge(&report).with_context(|| name.to_owned())?;
            println!("{name}: {} requests, no errors", report.requests);
        }
        Ok(())
    }

    fn check(&self, name: &str, address: SocketAddr, arguments: &[&str]) -> Result<()> {
        let arguments = ["--size", "1KiB"].iter().chain(arguments);
        let report = measure(&format!("http://{address}/"), self.duration, arguments)?;
        judge(&report).with_context(|| name.to_owned())?;
        println!("{name}: {} requests, no errors", report.requests);
        Ok(())
    }
}

/// Runs `program` with these arguments and an address of loopback, until it listens there.
fn start(program: &Path, arguments: &[&str]) -> Result<(Running, SocketAddr)> {
    // The port is free now; if somebody takes it before the server does, the server says so.
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    let address = address.context("cannot listen on loopback")?;
    let mut command = Command::new(program);
    command.args(arguments).args(["--listen", &address.to_string(), "--log", "off"]);
    let mut server = Running::start(&mut command)?;
    let ready = interrupt::wait_for(START, || match server.ended()? {
        Some(status) => bail!("{} ended at once: {status}", program.display()),
        None => Ok(TcpStream::connect(address).ok()),
    })?;
    drop(ready.with_context(|| format!("{} does not listen on {address}", program.display()))?);
    Ok((server, address))
}

/// Loads in this process.
fn measure(url: &str, duration: Duration, arguments: impl Iterator<Item: AsRef<str>>) -> Result<LoadReport> {
    let duration = duration.as_secs_f64().to_string();
    let common = ["load", url, "--warmup", "0s", "--duration", &duration].map(str::to_owned);
    let all = common.into_iter().chain(arguments.map(|argument| argument.as_ref().to_owned()));
    let matches = LoadCommand::command().try_get_matches_from(all)?;
    Ok(LoadCommand::from_arg_matches(&matches)?.load.measure()?.0)
}

/// The options of `load`, as a command of their own.
#[derive(clap::Parser)]
struct LoadCommand {
    #[command(flatten)]
    load: LoadArgs,
}

fn judge(report: &LoadReport) -> Result<()> {
    if report.errors.total() > 0 || report.requests == 0 {
        bail!(
            "{} requests were answered, and not all as they should be: {:?}, first: {}",
            report.requests,
            report.errors,
            report.first_error.as_deref().unwrap_or("-")
        );
    }
    Ok(())
}

/// A document root of its own, removed when dropped.
struct Root(PathBuf);

impl Root {
    fn create() -> Result<Root> {
        let path = env::temp_dir().join(format!("afpa-smoke-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        let root = Root(path);
        fileset::write_webstone(&root.0)?;
        Ok(root)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    fn smoke() -> SmokeArgs {
        SmokeArgs { server: None, duration: Duration::from_millis(300) }
    }

    #[test]
    fn the_built_in_server_passes() {
        smoke().run().unwrap();
    }

    #[test]
    fn a_server_that_answers_wrongly_does_not() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for client in listener.incoming() {
                let mut client = client.unwrap();
                let _ = client.read(&mut [0; 1024]);
                let _ = client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc");
            }
        });
        let error = smoke().check("wrong", address, &["--connections", "1"]).unwrap_err();
        assert!(format!("{error:#}").contains("length: "), "{error:#}");
    }

    #[test]
    fn what_passes_everything_on_is_no_cache() {
        let origin = Origin::listen((Ipv4Addr::LOCALHOST, 0).into(), None, Duration::ZERO).unwrap();
        let address = origin.address().unwrap();
        thread::spawn(move || origin.run());
        smoke().check_accelerator(Scenario::ProxyMiss1K, address, address).unwrap();
        let error = smoke().check_accelerator(Scenario::ProxyHit1K, address, address).unwrap_err();
        assert!(error.to_string().contains("the origin was asked"), "{error:#}");
    }

    #[test]
    fn a_program_that_does_not_serve_is_named() {
        let server = Some(PathBuf::from("/bin/false"));
        let error = SmokeArgs { server, duration: Duration::from_millis(300) }.run().unwrap_err();
        assert!(error.to_string().contains("/bin/false ended at once"), "{error:#}");
    }
}
