//! Which CPU a thread runs on, other threads included (a kernel thread that polls a device).

use anyhow::{Context, Result};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

/// Lets `thread` (`None`: this one) run on `core` only.
///
/// # Errors
/// There is no such core or thread, or it is not ours to move.
pub(crate) fn pin(thread: Option<Pid>, core: usize) -> Result<()> {
    confine(thread, &[core])
}

/// Lets `thread` run on these cores only.
///
/// # Errors
/// As for [`pin`].
pub(crate) fn confine(thread: Option<Pid>, cores: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    cores.iter().filter(|core| **core < CpuSet::MAX_CPU).for_each(|core| set.set(*core));
    sched_setaffinity(thread, &set).with_context(|| format!("cannot run on CPU {}", list(cores)))
}

/// The cores as taskset and our server have them: `0,1`.
pub(crate) fn list(cores: &[usize]) -> String {
    cores.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}
