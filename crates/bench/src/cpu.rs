//! How busy a core was, from /proc/stat: the cost of a server is all that its core did, kernel
//! threads and interrupts included.

use crate::interrupt;
use anyhow::{Context, Result};
use std::fs;
use std::time::Duration;

/// /proc/stat counts in units of USER_HZ, which is 100 on every Linux architecture with Rust's
/// standard library. Measure at least 3 seconds: a tick is then 0.3 %.
const TICK: Duration = Duration::from_millis(10);

/// A core is quiet if it was busy for at most `NOISE` of `WINDOW`.
const WINDOW: Duration = Duration::from_millis(250);
const NOISE: Duration = Duration::from_millis(20);

/// What a core had done since the system started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct CoreTimes {
    busy_ticks: u64,
    /// Of those, the ones in interrupts.
    interrupt_ticks: u64,
}

impl CoreTimes {
    /// Reads the counters of `core`.
    ///
    /// # Errors
    /// There is no such core, or no /proc.
    pub(crate) fn read(core: usize) -> Result<CoreTimes> {
        let text = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
        parse(&text, core).with_context(|| format!("/proc/stat says nothing of CPU {core}"))
    }

    /// How long the core was busy since `earlier`.
    pub(crate) fn busy_since(self, earlier: CoreTimes) -> Duration {
        ticks(self.busy_ticks.saturating_sub(earlier.busy_ticks))
    }

    /// How long it was in interrupts since `earlier`, the kernel's deferred ones included.
    pub(crate) fn interrupted_since(self, earlier: CoreTimes) -> Duration {
        ticks(self.interrupt_ticks.saturating_sub(earlier.interrupt_ticks))
    }
}

/// The time that so many of /proc's units of time are.
fn ticks(count: u64) -> Duration {
    TICK * count.min(u64::from(u32::MAX)) as u32
}

/// Waits until the `cores` have nothing to do, because what else they do would be counted as the
/// server's cost. Returns whether that came within `limit`.
///
/// # Errors
/// Interrupted, or there is no such core.
pub(crate) fn wait_until_quiet(cores: &[usize], limit: Duration) -> Result<bool> {
    let read = || cores.iter().map(|core| CoreTimes::read(*core)).collect::<Result<Vec<_>>>();
    let quiet = interrupt::wait_for(limit, || {
        let before = read()?;
        interrupt::sleep(WINDOW)?;
        let busy = read()?.iter().zip(&before).map(|(now, before)| now.busy_since(*before)).max();
        Ok((busy.unwrap_or_default() <= NOISE).then_some(()))
    })?;
    Ok(quiet.is_some())
}

/// Busy is user + nice + system + irq + softirq. Idle and iowait are not; stolen time is another
/// machine's; guest time is already in user.
fn parse(stat: &str, core: usize) -> Option<CoreTimes> {
    let name = format!("cpu{core}");
    let mut fields =
        stat.lines().map(str::split_ascii_whitespace).find_map(|mut words| (words.next()? == name).then_some(words))?;
    let mut next = || fields.next()?.parse::<u64>().ok();
    let (user, nice, system, _idle, _iowait, irq, softirq) =
        (next()?, next()?, next()?, next()?, next()?, next()?, next()?);
    Some(CoreTimes { busy_ticks: user + nice + system + irq + softirq, interrupt_ticks: irq + softirq })
}

#[cfg(test)]
mod tests {
    use super::*;

    impl CoreTimes {
        /// A core that was busy for so many ticks.
        pub(crate) fn example(busy_ticks: u64) -> CoreTimes {
            CoreTimes { busy_ticks, interrupt_ticks: 0 }
        }
    }

    const STAT: &str =
        "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 1 2 4 100 200 8 16 300 50 60\ncpu10 5 0 0 0 0 0 0 0 0 0\nintr 1 2\n";

    #[test]
    fn idle_iowait_steal_and_guest_are_not_busy() {
        assert_eq!(parse(STAT, 0), Some(CoreTimes { busy_ticks: 31, interrupt_ticks: 24 }));
        assert_eq!(parse(STAT, 10), Some(CoreTimes { busy_ticks: 5, interrupt_ticks: 0 }));
    }

    #[test]
    fn cores_that_are_not_there_are_not_made_up() {
        assert_eq!(parse(STAT, 1), None);
        assert_eq!(parse("cpu0 1 2 x\n", 0), None);
        assert_eq!(parse("", 0), None);
    }

    #[test]
    fn ticks_are_hundredths_of_a_second() {
        let (a, b) =
            (CoreTimes { busy_ticks: 5, interrupt_ticks: 1 }, CoreTimes { busy_ticks: 105, interrupt_ticks: 3 });
        assert_eq!((b.busy_since(a), a.busy_since(b)), (Duration::from_secs(1), Duration::ZERO));
        assert_eq!(b.interrupted_since(a), Duration::from_millis(20));
    }

    #[test]
    fn this_machine_has_a_core_0() {
        assert!(CoreTimes::read(0).is_ok() && CoreTimes::read(1 << 20).is_err());
    }
}
