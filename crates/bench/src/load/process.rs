//! `afpa-bench load` as another program: on a CPU, or in a namespace, of its own.

use super::LoadReport;
use crate::command::Running;
use anyhow::{Context, Result, bail};
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A load generator at work.
#[derive(Debug)]
pub(crate) struct Process {
    running: Running,
    /// When it must have ended.
    limit: Duration,
}

impl Process {
    /// Starts `command`, which is a load with `--json -`; it must have ended after `limit`.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn start(command: &mut Command, limit: Duration) -> Result<Process> {
        let running = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
        Ok(Process { running, limit })
    }

    /// Its process group.
    pub(crate) fn id(&self) -> u32 {
        self.running.id()
    }

    /// Waits for its report. What it prints fits a pipe's buffer.
    ///
    /// # Errors
    /// It failed, took too long, or a signal came.
    pub(crate) fn finish(mut self) -> Result<LoadReport> {
        let status = self.running.wait(self.limit).context("the load generator")?;
        let (mut report, mut complaint) = (String::new(), String::new());
        if let Some((stdout, stderr)) = self.running.outputs() {
            stdout.take(1 << 20).read_to_string(&mut report).context("the load generator's report")?;
            stderr.take(1 << 20).read_to_string(&mut complaint).context("the load generator's complaint")?;
        }
        if !status.success() {
            bail!("{}", complaint.trim());
        }
        serde_json::from_str(&report).context("the load generator's report")
    }
}
