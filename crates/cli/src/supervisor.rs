//! The main thread's work while engines run: signals, reloads, the admin server, the end.

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;

use crate::access_log::{AccessLog, Destination};
use crate::admin::AdminServer;
use crate::config::{self, Config, Interface};
use crate::signals::{Request, Signals};
use crate::stats::Source;
use crate::systemd;
use crate::units::ListenAddress;
use crate::upgrade::{Attempt, Handed, Predecessor, Program, Role, Successor};

/// The running engines, as the main thread drives them.
pub trait Engines: Source + 'static {
    /// Goes over to what `config` says about the site, the cache and the limits: everything or nothing.
    ///
    /// # Errors
    /// Why it cannot, in a sentence; everything is as before.
    fn apply(&self, config: &Config) -> Result<(), String>;

    /// Accepts no more connections, finishes what is in flight within `grace`, then lets each engine
    /// end. May be called again with less.
    fn stop(&self, grace: Duration);

    /// As [`Engines::stop`] when a successor has the sockets: who is connected may ask once more within `patience`.
    fn retire(&self, patience: Duration, grace: Duration);

    /// How the sockets that clients come to are used, and duplicates of them.
    ///
    /// # Errors
    /// They cannot be handed over: a sentence.
    fn hand_over(&self) -> Result<(Interface, Vec<Handed>), String>;

    /// Whether files of sockets are removed at the end: not when they are another server's as well.
    fn own_files(&self, are_ours: bool);

    /// Looks again whether clients wait, whom another server did not take.
    fn look_again(&self);
}

/// An engine's thread has ended.
#[derive(Debug)]
pub struct EngineEnd {
    /// Its CPU.
    pub cpu: usize,
    /// Whether it ended because it was told to; otherwise what went wrong.
    pub outcome: Result<(), String>,
}

/// Where the configuration came from, and comes from on a reload.
#[derive(Debug)]
pub enum Origin {
    /// The command line: it does not change, but DIR is opened anew.
    Flags,
    /// This file.
    File(PathBuf),
}

/// Everything that runs.
pub struct Supervisor<E> {
    /// The engines.
    pub engines: Arc<E>,
    /// How many of them there are.
    pub engine_count: usize,
    /// Where each reports its end.
    pub ends: UnboundedReceiver<EngineEnd>,
    /// The signals.
    pub signals: Signals,
    /// The configuration in use.
    pub config: Config,
    /// Where it came from.
    pub origin: Origin,
    /// The access log, unless it is off.
    pub log: Option<AccessLog>,
    /// The admin server, unless it is off.
    pub admin: Option<AdminServer>,
    /// What the service manager shows.
    pub status: String,
    /// What is started on SIGUSR2.
    pub program: Program,
    /// The server that this one takes over from.
    pub predecessor: Option<Predecessor>,
}

/// Why a server ends in order.
enum End {
    /// It was told to.
    Stopped,
    /// Another serves.
    Succeeded(Successor),
}

/// Why the server did not end in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// An engine failed: a server with a part of its engines is worse than none.
    Engine {
        /// Its CPU.
        cpu: usize,
        /// What went wrong.
        reason: String,
    },
    /// A second signal asked to end at once.
    Interrupted,
    /// Engines did not end within the grace period.
    Stuck {
        /// How many.
        engines: usize,
    },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Engine { cpu, reason } => write!(f, "the engine on CPU {cpu} failed: {reason}"),
            Failure::Interrupted => f.write_str("ended at once by a second signal; requests in flight were cut off"),
            Failure::Stuck { engines } => write!(f, "{engines} engines did not end within the grace period"),
        }
    }
}

impl<E: Engines> Supervisor<E> {
    /// Runs until the server ends.
    ///
    /// # Errors
    /// It did not end in order.
    pub async fn run(&mut self) -> Result<(), Failure> {
        let admin_socket = self.admin.as_ref().and_then(|admin| admin.duplicate().ok());
        let admin = self.admin.take().map(|admin| tokio::spawn(admin.serve()));
        match self.predecessor.take() {
            // The predecessor has said who is ready.
            Some(predecessor) => _ = tokio::spawn(attend(predecessor, self.engines.clone())),
            None => systemd::ready(&self.status),
        }
        let result = match self.serve(admin_socket).await {
            Ok(End::Stopped) => {
                self.stop();
                self.finish().await
            }
            Ok(End::Succeeded(successor)) => {
                admin.inspect(JoinHandle::abort);
                self.retire(successor);
                self.finish().await
            }
            Err(failure) => Err(failure),
        };
        // Whatever happened, what was logged is written.
        if let Some(log) = self.log.take() {
            log.stop();
        }
        result
    }

    /// Until told to stop, or another serves.
    async fn serve(&mut self, admin: Option<OwnedFd>) -> Result<End, Failure> {
        let mut attempt = None;
        loop {
            tokio::select! {
                request = self.signals.next() => match request {
                    Request::Stop => {
                        abandon(attempt).await;
                        return Ok(End::Stopped);
                    }
                    Request::Reload => self.reload(),
                    Request::Reopen => self.log.iter().for_each(AccessLog::reopen),
                    Request::Upgrade if attempt.is_some() => tracing::warn!("a new server is being started already"),
                    Request::Upgrade => attempt = self.upgrade(admin.as_ref()),
                },
                outcome = outcome(&mut attempt) => {
                    attempt = None;
                    match outcome {
                        Ok(successor) => return Ok(End::Succeeded(successor)),
                        Err(reason) => tracing::error!("no upgrade, this server serves on: {reason}"),
                    }
                }
                Some(end) = self.ends.recv() => return Err(failure(end)),
            }
        }
    }

    /// Starts what shall take over.
    fn upgrade(&self, admin: Option<&OwnedFd>) -> Option<Attempt> {
        let start = || {
            let (io, mut handed) = self.engines.hand_over()?;
            handed.extend(self.hand_over_admin(admin)?);
            Attempt::start(&self.program, io, handed)
        };
        match start() {
            Ok(attempt) => {
                tracing::info!("a new server is being started: {}", self.program.path.display());
                Some(attempt)
            }
            Err(reason) => {
                tracing::error!("no upgrade, this server serves on: {reason}");
                None
            }
        }
    }

    fn hand_over_admin(&self, socket: Option<&OwnedFd>) -> Result<Option<Handed>, String> {
        let Some((socket, admin)) = socket.zip(self.config.admin.as_ref()) else { return Ok(None) };
        let socket = socket.try_clone().map_err(|error| format!("the admin server cannot be handed over: {error}"))?;
        // Doors are counted from the other end.
        Ok(Some(Handed { role: Role::Admin, door: u16::MAX, asked: ListenAddress::Inet(admin.listen), socket }))
    }

    fn stop(&self) {
        let grace = self.config.limits.grace_period;
        tracing::info!("stopping: requests in flight have {grace} to finish");
        systemd::stopping("finishing requests in flight");
        self.engines.stop(grace.0);
    }

    fn retire(&self, successor: Successor) {
        let Successor { process, line, channel } = successor;
        let grace = self.config.limits.grace_period;
        systemd::succeeded(process, &line);
        self.engines.own_files(false);
        // Half of the time is for clients who are about to ask, the other half for the answers.
        self.engines.retire(grace.0 / 2, grace.0);
        // Said when it is so: who reads it may rely on it.
        tracing::info!("process {process} serves now; requests in flight have {grace} to finish");
        // The successor learns by this that we accept no more.
        drop(channel);
    }

    /// Until the last engine's end.
    async fn finish(&mut self) -> Result<(), Failure> {
        // Engines keep their own deadline; beyond this one they are stuck.
        const MARGIN: Duration = Duration::from_secs(2);
        let grace = self.config.limits.grace_period.0;
        let deadline = tokio::time::sleep(grace + MARGIN);
        tokio::pin!(deadline);
        let mut running = self.engine_count;
        while running > 0 {
            tokio::select! {
                Some(end) = self.ends.recv() => match end.outcome {
                    Ok(()) => running -= 1,
                    Err(_) => return Err(failure(end)),
                },
                request = self.signals.next() => if request == Request::Stop {
                    return Err(Failure::Interrupted);
                },
                () = &mut deadline => return Err(Failure::Stuck { engines: running }),
            }
        }
        tracing::info!("stopped");
        Ok(())
    }

    fn reload(&mut self) {
        systemd::reloading();
        match self.read_again().and_then(|config| self.take(config)) {
            Ok(()) => tracing::info!("the configuration was read again and is in use"),
            Err(reasons) => {
                for reason in &reasons {
                    tracing::error!("{reason}");
                }
                tracing::error!(
                    "the new configuration is refused ({} errors); the old one stays in use",
                    reasons.len()
                );
            }
        }
        systemd::ready(&self.status);
    }

    fn read_again(&self) -> Result<Config, Vec<String>> {
        match &self.origin {
            Origin::File(path) => config::load(path).map_err(|errors| errors.iter().map(ToString::to_string).collect()),
            Origin::Flags => Ok(self.config.clone()),
        }
    }

    /// Everything that can fail happens before anything changes.
    fn take(&mut self, new: Config) -> Result<(), Vec<String>> {
        let mut merged = self.config.clone();
        let unchangeable = merged.adopt(new);
        let one = |reason: String| vec![reason];
        let destination = match &self.log {
            Some(_) => Some(Destination::open(&merged.log).map_err(|error| one(error.to_string()))?),
            None => None,
        };
        self.engines.apply(&merged).map_err(one)?;
        if let Some((log, destination)) = self.log.as_ref().zip(destination) {
            log.replace(destination);
        }
        if !unchangeable.is_empty() {
            tracing::warn!("these settings have changed and need a restart: {}", unchangeable.join(", "));
        }
        self.config = merged;
        Ok(())
    }
}

/// What came of an attempt; waits for ever if there is none.
async fn outcome(attempt: &mut Option<Attempt>) -> Result<Successor, String> {
    match attempt {
        Some(attempt) => attempt.outcome().await,
        None => std::future::pending().await,
    }
}

/// Ends a successor, because this server was told to end.
async fn abandon(attempt: Option<Attempt>) {
    let Some(mut attempt) = attempt else { return };
    attempt.give_up();
    if let Ok(successor) = attempt.outcome().await {
        successor.stop();
    }
}

/// Takes whoever the predecessor was told of and did not accept. The kernel tells one server of a client, and that may
/// have been the one that was about to stop.
async fn attend<E: Engines>(predecessor: Predecessor, engines: Arc<E>) {
    const OFTEN: Duration = Duration::from_millis(100);
    /// After it has stopped, for what was on its way.
    const AFTERWARDS: usize = 10;
    let mut left = AFTERWARDS;
    while left > 0 {
        tokio::time::sleep(OFTEN).await;
        left -= usize::from(predecessor.is_done());
        engines.look_again();
    }
}

fn failure(end: EngineEnd) -> Failure {
    Failure::Engine {
        cpu: end.cpu,
        reason: end.outcome.err().unwrap_or_else(|| "it ended without being told to".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LogFormat;
    use crate::stats::{Purge, Purged, Snapshot};
    use rustix::process::{Signal, getpid, kill_process};
    use std::sync::Mutex;
    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

    /// Engines that end when told to, or never.
    struct Fake {
        ends: UnboundedSender<EngineEnd>,
        obedient: bool,
        applied: Mutex<Vec<Config>>,
    }

    impl Source for Fake {
        fn snapshot(&self) -> Snapshot {
            Snapshot::default()
        }
        fn purge(&self, _: &Purge) -> Purged {
            Purged::default()
        }
        fn is_draining(&self) -> bool {
            false
        }
    }

    impl Engines for Fake {
        fn apply(&self, config: &Config) -> Result<(), String> {
            self.applied.lock().unwrap().push(config.clone());
            Ok(())
        }
        fn retire(&self, _: Duration, grace: Duration) {
            self.stop(grace);
        }
        fn hand_over(&self) -> Result<(Interface, Vec<Handed>), String> {
            Err("these have no sockets".into())
        }
        fn own_files(&self, _: bool) {}
        fn look_again(&self) {}
        fn stop(&self, _: Duration) {
            if self.obedient {
                for cpu in [0, 1] {
                    self.ends.send(EngineEnd { cpu, outcome: Ok(()) }).unwrap();
                }
            }
        }
    }

    fn supervisor(obedient: bool, origin: Origin) -> Supervisor<Fake> {
        let (sender, ends) = unbounded_channel();
        let mut config = Config::default();
        config.site.root = "/srv".into();
        config.limits.grace_period.0 = Duration::ZERO;
        Supervisor {
            engines: Arc::new(Fake { ends: sender, obedient, applied: Mutex::default() }),
            engine_count: 2,
            ends,
            signals: Signals::listen().unwrap(),
            config,
            origin,
            log: None,
            admin: None,
            status: String::new(),
            program: Program::default(),
            predecessor: None,
        }
    }

    /// Signals reach every listener of the process, so tests that send them take turns.
    static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

    #[tokio::test]
    async fn a_signal_ends_it_in_order() {
        let _turn = TURN.lock().await;
        let mut server = supervisor(true, Origin::Flags);
        kill_process(getpid(), Signal::TERM).unwrap();
        assert_eq!(server.run().await, Ok(()));
    }

    #[tokio::test]
    async fn engines_that_do_not_end_are_reported() {
        let _turn = TURN.lock().await;
        tokio::time::pause();
        let mut server = supervisor(false, Origin::Flags);
        kill_process(getpid(), Signal::INT).unwrap();
        assert_eq!(server.run().await, Err(Failure::Stuck { engines: 2 }));
    }

    #[tokio::test]
    async fn an_engine_that_fails_ends_the_server() {
        let _turn = TURN.lock().await;
        let mut server = supervisor(true, Origin::Flags);
        let broken = EngineEnd { cpu: 1, outcome: Err("the ring is gone".into()) };
        server.engines.ends.send(broken).unwrap();
        let failure = server.run().await.unwrap_err();
        assert_eq!(failure.to_string(), "the engine on CPU 1 failed: the ring is gone");
    }

    #[test]
    fn a_bad_configuration_changes_nothing_and_a_good_one_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("afpa.toml");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _guard = runtime.enter();
        let mut server = supervisor(true, Origin::File(path.clone()));
        let before = server.config.clone();

        std::fs::write(&path, "[site]\nroot = '/nonexistent'\nlisting = 1\n").unwrap();
        server.reload();
        assert_eq!(server.config, before);
        assert!(server.engines.applied.lock().unwrap().is_empty());

        std::fs::write(&path, format!("io = 'epoll'\n[site]\nroot = {:?}\n[log]\nformat = 'json'\n", dir.path()))
            .unwrap();
        server.reload();
        assert_eq!(server.config.site.root, dir.path());
        assert_eq!((server.config.io, server.config.log.format), (before.io, LogFormat::Off), "these need a restart");
        assert_eq!(server.engines.applied.lock().unwrap().len(), 1);
    }
}
