//! Which version of a file it is, as far as the file system can tell.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{Stat, fstat};

/// Identifies one version of one file.
///
/// Every write, truncation, rename and permission change moves `changed`, which unlike `modified`
/// nobody can set back. Two versions can share a stamp only if both came to be within one tick of the
/// file system's clock; a stamp is trusted once that is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// The device that the file is on.
    pub device: u64,
    /// The file's number there.
    pub inode: u64,
    /// Octets.
    pub size: u64,
    /// When the contents last changed, as the owner tells it: nanoseconds since the epoch.
    pub modified: i64,
    /// When anything about the file last changed, as the kernel saw it: nanoseconds since the epoch.
    pub changed: i64,
}

/// The coarsest tick with which a local file system stamps changes, twice over: the kernel's
/// slowest timer is 10 ms.
pub(super) const GRANULARITY: Duration = Duration::from_millis(20);

/// After this long, a file system that counts in seconds (or in pairs of them) has moved on, too.
pub(super) const COARSE_GRANULARITY: Duration = Duration::from_millis(2100);

impl Stamp {
    /// The stamp of an open file.
    ///
    /// # Errors
    /// As fstat(2).
    pub fn of(file: impl AsFd) -> io::Result<Stamp> {
        Ok(Stamp::from_stat(&fstat(file)?))
    }

    #[allow(clippy::unnecessary_cast)] // the fields' types differ between architectures
    pub(super) fn from_stat(stat: &Stat) -> Stamp {
        Stamp {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            size: stat.st_size as u64,
            modified: nanoseconds(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            changed: nanoseconds(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        }
    }

    /// Whether a later change is sure to give another stamp: the last one lies further back than
    /// the clock's tick. A change in the future says nothing, and does not settle by waiting.
    pub(super) fn is_settled(&self, now: SystemTime, granularity: Duration) -> bool {
        let age = since_epoch(now) - self.changed;
        !(0..granularity.as_nanos() as i64).contains(&age)
    }
}

pub(super) fn since_epoch(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_nanos()).unwrap_or(i64::MAX),
    }
}

fn nanoseconds(seconds: i64, fraction: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_recent_past_is_unsettled() {
        let now = UNIX_EPOCH + Duration::from_secs(1000);
        let at =
            |changed: Duration| Stamp { device: 1, inode: 1, size: 0, modified: 0, changed: changed.as_nanos() as i64 };
        assert!(at(Duration::from_secs(999)).is_settled(now, GRANULARITY));
        assert!(!at(Duration::from_millis(999_990)).is_settled(now, GRANULARITY));
        assert!(!at(Duration::from_secs(999)).is_settled(now, COARSE_GRANULARITY));
        assert!(at(Duration::from_secs(1001)).is_settled(now, GRANULARITY));
    }
}
