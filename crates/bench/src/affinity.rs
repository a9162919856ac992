//! Which CPU a thread runs on, other threads included (a kernel thread that polls a device).

use anyhow::{Context, Result};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

/// Lets `thread` (`None`: this one) run on `core` only.
///
/// # Errors
/// There is no such core or thread, or it is not ours to move.
pub(crate) fn pin(thread: Option<Pid>, core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    if core < CpuSet::MAX_CPU {
        set.set(core);
    }
    sched_setaffinity(thread, &set).with_context(|| format!("cannot run on CPU {core}"))
}
