//! The roles at work: a TCP server, if the configuration has one, and an application on it.

use super::accounts::{self, Accounts, Costs};
use super::configuration::{Configuration, Placement};
use super::program::{Program, Setting};
use super::workload::Workload;
use crate::command::Running;
use crate::cpu::CoreTimes;
use crate::interrupt;
use crate::load::{LoadReport, Process, Stack};
use crate::peers::PORT;
use crate::topology::SERVER;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a program may take until it can be used.
const START: Duration = Duration::from_secs(10);
/// How long a load runs before it counts, and how long its costs are counted after it has begun to, and before it ends:
/// the clocks of two programs do not start together.
pub(super) const WARM_UP: Duration = Duration::from_secs(1);
const MARGIN: Duration = Duration::from_millis(200);
/// A load that only asks whether there are answers.
const GLIMPSE: Duration = Duration::from_millis(50);
/// Octets of a request with an empty header line for padding, about.
const UNPADDED: u64 = 120;

/// Programs that run, stopped when dropped.
#[derive(Debug)]
pub(super) struct Bed<'a> {
    setting: Setting<'a>,
    placement: Placement,
    // The application is stopped before what it stands on.
    application: Running,
    tcp_server: Option<Running>,
}

/// How a load asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) workload: Workload,
    pub(super) client: Stack,
    pub(super) connections: u32,
    pub(super) directories: u32,
    /// Octets of a request, if it is made longer than it is.
    pub(super) request_size: Option<u64>,
    /// Requests per second; as many as are answered, without.
    pub(super) rate: Option<f64>,
    pub(super) duration: Duration,
}

impl<'a> Bed<'a> {
    /// Starts everything and waits until a client is answered.
    ///
    /// # Errors
    /// A program did not come up, or does not answer as it should: the error holds what it said.
    pub(super) fn start(setting: Setting<'a>, placement: Placement, program: Program, probe: Load) -> Result<Bed<'a>> {
        setting.topology.server.receive_on(placement.receiving())?;
        let log = |name: &str| setting.run.join(format!("{name}.log"));
        let tcp_server = match setting.tcp_server(&placement) {
            Some(command) => Some(start_tcp_server(command, &log("tcp-server"), &setting.socket())?),
            None => None,
        };
        let application = start(program.command(&setting, &placement)?, &log("application"))?;
        let mut bed = Bed { setting, placement, application, tcp_server };
        bed.wait_for_answers(probe).with_context(|| said(&log("application")))?;
        Ok(bed)
    }

    /// Loads the application; returns what the client saw, and what the roles used for it.
    ///
    /// # Errors
    /// The load generator failed, a program ended, or a signal came.
    pub(super) fn measure(&mut self, load: Load) -> Result<(LoadReport, Costs)> {
        let duration = load.duration;
        let process = self.start_load(Load { duration: duration + 2 * MARGIN, ..load }, WARM_UP)?;
        interrupt::sleep(WARM_UP + MARGIN)?;
        let before = self.accounts(&process)?;
        interrupt::sleep(duration)?;
        let after = self.accounts(&process)?;
        let report = process.finish()?;
        self.check()?;
        if report.requests == 0 {
            bail!("no request was answered as it should be: {}", report.first_error.as_deref().unwrap_or("silence"));
        }
        let costs = Costs::between(&before, &after, report.requests_per_second);
        Ok((report, costs))
    }

    /// The cores that have nothing to do between two loads: all but those of a TCP server that may be polling.
    pub(super) fn idle_cores(&self) -> Vec<usize> {
        let Placement { tcp_server, .. } = &self.placement;
        let polls = matches!(self.setting.configuration, Configuration::Dedicated(it) if it.notify != "interrupt");
        self.placement.cores().into_iter().filter(|core| !(polls && tcp_server.contains(core))).collect()
    }

    fn accounts(&self, client: &Process) -> Result<Accounts> {
        let Placement { application, tcp_server, client: core } = &self.placement;
        let own = |cores: &[usize], others: &[usize]| -> Vec<usize> {
            cores.iter().filter(|one| **one != *core && !others.contains(one)).copied().collect()
        };
        let receiving = self.setting.topology.server.receiving_time();
        let mut served = accounts::account_of(self.application.id());
        let mut serving = self.tcp_server.as_ref().map(|it| accounts::account_of(it.id())).unwrap_or_default();
        // What arrives for the server's end is received for whoever does TCP's work.
        let receiver = if self.tcp_server.is_some() { &mut serving } else { &mut served };
        *receiver = receiver.with_receiving(receiving);
        let client = accounts::account_of(client.id()).with_receiving(self.setting.topology.client.receiving_time());
        Ok(Accounts {
            at: Instant::now(),
            application: served.with_interrupts(&own(application, tcp_server))?,
            tcp_server: serving.with_interrupts(&own(tcp_server, application))?,
            client,
            cores: self.placement.cores().into_iter().map(CoreTimes::read).collect::<Result<_>>()?,
        })
    }

    fn start_load(&self, load: Load, warm_up: Duration) -> Result<Process> {
        let Load { workload, client: stack, connections, directories, request_size, rate, duration } = load;
        let this = std::env::current_exe().context("cannot find this program")?;
        let client = &self.setting.topology.client;
        let mut command = client.command_on(self.placement.client, this);
        command.arg("load").arg(format!("http://{SERVER}:{PORT}/")).args(workload.arguments(directories));
        command.args(["--connections", &connections.to_string(), "--json", "-", "--hopeless", "--timeout", "3s"]);
        if stack == Stack::Direct {
            command.args(["--transport", stack.name(), "--interface", &client.device]);
        }
        if let Some(size) = request_size {
            command.args(["--header", &format!("Padding: {}", "x".repeat(size.saturating_sub(UNPADDED) as usize))]);
        }
        if let Some(rate) = rate {
            command.args(["--rate", &rate.to_string()]);
        }
        let seconds = |span: Duration| span.as_secs_f64().to_string();
        command.args(["--warmup", &seconds(warm_up), "--duration", &seconds(duration)]);
        Process::start(&mut command, warm_up + duration + Duration::from_secs(20))
    }

    fn wait_for_answers(&mut self, probe: Load) -> Result<()> {
        let mut complaint = String::new();
        let answered = interrupt::wait_for(START, || {
            self.check()?;
            let glimpse = Load { connections: 1, rate: None, duration: GLIMPSE, ..probe };
            let report = self.start_load(glimpse, Duration::ZERO)?.finish()?;
            complaint = report.first_error.unwrap_or_default();
            Ok((report.requests > 0 && report.errors.total() == 0).then_some(()))
        })?;
        answered.with_context(|| format!("no answers as they should be after {START:?}: {complaint}"))
    }

    /// # Errors
    /// A program has ended.
    fn check(&mut self) -> Result<()> {
        let tcp_server = self.tcp_server.as_mut().map(|it| ("the TCP server", "tcp-server.log", it));
        for (name, log, program) in
            [("the application", "application.log", &mut self.application)].into_iter().chain(tcp_server)
        {
            if let Some(status) = program.ended()? {
                bail!("{name} ended ({status}): {}", said(&self.setting.run.join(log)));
            }
        }
        Ok(())
    }
}

fn start_tcp_server(command: Command, log: &Path, socket: &Path) -> Result<Running> {
    let mut running = start(command, log)?;
    let ready = interrupt::wait_for(START, || match running.ended()? {
        Some(status) => bail!("the TCP server ended at once ({status}): {}", said(log)),
        None => Ok(socket.exists().then_some(())),
    })?;
    ready.with_context(|| format!("the TCP server made no {} within {START:?}: {}", socket.display(), said(log)))?;
    Ok(running)
}

/// Starts `command` with its output in the file `log`.
fn start(mut command: Command, log: &Path) -> Result<Running> {
    let output = fs::File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
    let errors = output.try_clone().context("cannot share the log")?;
    Running::start(command.stdout(Stdio::from(output)).stderr(Stdio::from(errors)))
}

fn said(log: &Path) -> String {
    fs::read_to_string(log).unwrap_or_default().trim().to_owned()
}

/// A directory for one turn, removed when dropped.
#[derive(Debug)]
pub(super) struct RunDirectory(PathBuf);

impl RunDirectory {
    /// # Errors
    /// The file system refused.
    pub(super) fn create(path: PathBuf) -> Result<RunDirectory> {
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(RunDirectory(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
