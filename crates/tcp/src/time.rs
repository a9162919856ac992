//! Time, as an argument.

use std::time::Duration;

/// Nanoseconds on a monotonic clock. This crate never reads one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Time(pub u64);

impl Time {
    /// A deadline that never comes.
    pub const NEVER: Time = Time(u64::MAX);

    /// This moment plus `duration`, saturating at [`Time::NEVER`].
    pub const fn after(self, duration: Duration) -> Time {
        Time(self.0.saturating_add(duration.as_nanos() as u64))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub const fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}
