//! Other programs: run to the end with their complaints kept, or started and surely stopped.

use crate::interrupt;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;
use std::{env, io, thread};

/// How long a program may take to stop before it is killed.
const GRACE: Duration = Duration::from_secs(3);

/// Runs `program` to its end and returns what it printed.
///
/// # Errors
/// It cannot be started, or failed; its complaint is the error.
pub(crate) fn output<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> Result<String> {
    let mut command = Command::new(program);
    // In a group of its own, so that an interrupt from the terminal does not cut cleaning up short.
    command.args(arguments).stdin(Stdio::null()).process_group(0);
    let output = command.output().with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        let arguments: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {}: {}", arguments.join(" "), complaint.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Where `program` lies, in PATH or in the directories of system programs.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(system).map(|directory| directory.join(program)).find(|path| path.is_file())
}

/// A program that runs in a process group of its own, all of which is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
}

impl Running {
    /// Starts `command`.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn start(command: &mut Command) -> Result<Running> {
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::null()).process_group(0).spawn();
        Ok(Running { child: child.with_context(|| format!("cannot start {program}"))? })
    }

    /// Its process id, which is also its group's.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its exit status, if it has ended.
    ///
    /// # Errors
    /// The system does not say.
    pub(crate) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits until it ends.
    ///
    /// # Errors
    /// Interrupted, or it took longer than `limit`.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        interrupt::wait_for(limit, || Ok(self.child.try_wait()?))?
            .with_context(|| format!("did not end within {limit:?}"))
    }

    /// What it prints, where that is piped; once only.
    pub(crate) fn outputs(&mut self) -> Option<(ChildStdout, ChildStderr)> {
        self.child.stdout.take().zip(self.child.stderr.take())
    }

    fn signal(&self, signal: Signal) {
        if let Ok(id) = i32::try_from(self.child.id())
            && let Some(group) = Pid::from_raw(id)
        {
            // It may have ended meanwhile.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::TERM);
        for _ in 0..GRACE.as_millis() / 10 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        // Also what the leader left behind: the group outlives it.
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_failure_carries_the_programs_complaint() {
        let error = output("sh", ["-c", "echo sorry >&2; exit 3"]).unwrap_err().to_string();
        assert!(error.ends_with("sorry"), "{error}");
        assert_eq!(output("echo", ["x"]).unwrap(), "x\n");
        assert!(output::<&str>("/nowhere/program", []).unwrap_err().to_string().contains("/nowhere/program"));
    }

    #[test]
    fn dropping_ends_the_whole_group() {
        let script = "trap '' TERM; sleep 1000 & echo $! > \"$0\"; wait; wait";
        let file = env::temp_dir().join(format!("afpa-group-test-{}", std::process::id()));
        let running = Running::start(Command::new("sh").args(["-c", script]).arg(&file)).unwrap();
        let read = || Ok(std::fs::read_to_string(&file).ok().filter(|text| text.ends_with('\n')));
        let sleeper = interrupt::wait_for(Duration::from_secs(5), read).unwrap().unwrap();
        let alive = |id: &str| Path::new("/proc").join(id.trim()).join("exe").exists();
        assert!(alive(&sleeper));
        drop(running);
        std::fs::remove_file(&file).unwrap();
        let gone = interrupt::wait_for(Duration::from_secs(5), || Ok((!alive(&sleeper)).then_some(()))).unwrap();
        assert!(gone.is_some());
    }
}
