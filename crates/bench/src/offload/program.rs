//! The servers that use the TCP servers: applications.

use super::configuration::{Configuration, Placement};
use super::eager::Eager;
use crate::affinity;
use crate::command;
use crate::peers::{BACKEND_PORT, PORT, Places};
use crate::topology::{self, Topology};
use anyhow::{Context, Result};
use clap::ValueEnum;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A web server.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, ValueEnum)]
pub(super) enum Program {
    /// `afpa-bench web`, unmodified on either side: with a TCP server under `afpa offload`
    Simple,
    /// The same server written for MemNet: where there is a TCP server, its sends wait until they are the server's
    MemnetSync,
    /// The same, and its sends are jobs
    MemnetAsync,
    /// nginx, unmodified on either side
    Nginx,
}

impl Program {
    /// Why it cannot take part, if it cannot.
    pub(super) fn lack(self) -> Option<&'static str> {
        match self {
            Program::Nginx if command::find("nginx").is_none() => Some("nginx is not installed"),
            _ => None,
        }
    }

    /// Whether it can run there: a job sends only where the TCP server does.
    pub(super) fn fits(self, configuration: Configuration) -> bool {
        self != Program::MemnetAsync || !configuration.only_receives()
    }

    /// The command that runs it.
    ///
    /// # Errors
    /// It is not there, or its configuration cannot be written.
    pub(super) fn command(self, setting: &Setting<'_>, placement: &Placement) -> Result<Command> {
        let threads = placement.application.len();
        let words = match self {
            Program::Simple | Program::MemnetSync | Program::MemnetAsync => self.simple(setting, threads)?,
            Program::Nginx => self.nginx(setting, threads)?,
        };
        let end = &setting.topology.server;
        let words = match setting.configuration {
            Configuration::Kernel { .. } => words,
            Configuration::Dedicated(_) if self.is_written_for_it() => words,
            Configuration::Dedicated(_) => {
                let offload = [setting.afpa.into(), "offload".into(), "--socket".into(), setting.socket().into()];
                offload.into_iter().chain(["--".into()]).chain(words).collect()
            }
        };
        let mut command = end.command_among(&placement.application, &words[0]);
        command.args(&words[1..]);
        Ok(command)
    }

    fn simple(self, setting: &Setting<'_>, threads: usize) -> Result<Vec<OsString>> {
        let this = std::env::current_exe().context("cannot find this program")?;
        let listen = format!("{}:{PORT}", topology::SERVER);
        let mut words = vec![this.into(), "web".into(), setting.documents.into()];
        words.extend(["--listen".into(), listen.into(), "--threads".into(), threads.to_string().into()]);
        let sockets = match (self, setting.configuration) {
            (Program::MemnetSync, Configuration::Dedicated(_)) => "memnet-sync",
            (Program::MemnetAsync, Configuration::Dedicated(_)) => "memnet-async",
            _ => return Ok(words),
        };
        words.extend(["--sockets".into(), sockets.into(), "--tcp-server".into(), setting.socket().into()]);
        Ok(words)
    }

    /// Whether it needs no `afpa offload`.
    fn is_written_for_it(self) -> bool {
        matches!(self, Program::MemnetSync | Program::MemnetAsync)
    }

    fn nginx(self, setting: &Setting<'_>, workers: usize) -> Result<Vec<OsString>> {
        let Setting { topology, documents: root, run, .. } = *setting;
        let address = topology::SERVER.to_string();
        let (device, congestion) = (&topology.server.device, &topology.congestion);
        let places = Places { root, run, address: &address, device, congestion, port: PORT, backend: BACKEND_PORT };
        let text = include_str!("../../peers/nginx.conf");
        let text = text.replace("worker_processes 1;", &format!("worker_processes {workers};"));
        let file = run.join("nginx.conf");
        fs::write(&file, places.fill(&text)).with_context(|| format!("cannot write {}", file.display()))?;
        let nginx = command::find("nginx").context("nginx is not installed")?;
        let mut words = vec![nginx.into(), "-p".into(), run.into()];
        words.extend(["-e".into(), "stderr".into(), "-c".into(), file.into()]);
        Ok(words)
    }
}

/// Where things are, for one configuration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting<'a> {
    pub(super) topology: &'a Topology,
    pub(super) configuration: Configuration,
    /// The files that are asked for.
    pub(super) documents: &'a Path,
    /// Our server's program.
    pub(super) afpa: &'a Path,
    /// A directory for what runs.
    pub(super) run: &'a Path,
}

impl Setting<'_> {
    /// Where the TCP server listens for applications.
    pub(super) fn socket(&self) -> PathBuf {
        self.run.join("tcp-server")
    }

    /// The command that runs the TCP server, if the configuration has one.
    pub(super) fn tcp_server(&self, placement: &Placement) -> Option<Command> {
        let Configuration::Dedicated(dedicated) = self.configuration else { return None };
        let end = &self.topology.server;
        let mut command = end.command_among(&placement.tcp_server, self.afpa);
        command.args(["tcp-server", "--cores", &affinity::list(&placement.tcp_server)]);
        if dedicated.provider == "direct" {
            command.args(["--interface", &end.device]);
        }
        command.args(["--provider", dedicated.provider, "--notify", dedicated.notify, "--offload", dedicated.offload]);
        if let Some(Eager { accept, receive }) = dedicated.eager {
            command.args(["--eager-accept", &accept.to_string(), "--eager-receive", &receive.to_string()]);
        }
        command.arg("--socket").arg(self.socket());
        Some(command)
    }
}
