//! What the operator decides about keeping.

use std::time::Duration;

/// How long answers are kept. Fractions of seconds are not looked at: TTLs have none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Lower TTLs are raised to this, zero included; the upper bounds come first. Default: 0 s, so that what a zone
    /// says holds, and what has no TTL is not kept.
    pub min_ttl: Duration,
    /// Higher TTLs are lowered to this. Default: one day.
    pub max_ttl: Duration,
    /// The same for negative answers (RFC 2308 §5) and referrals. Default: one hour.
    pub max_negative_ttl: Duration,
    /// How long a failure is kept, at least 1 s and at most 5 min (RFC 9520 §3.2); a failure that follows one is kept
    /// twice as long. Default: 5 s.
    pub failure_ttl: Duration,
    /// How long after its end an answer may be served if no backend has a better one. Default: 0 s, not at all; RFC 8767
    /// §5 suggests one to three days.
    pub stale: Duration,
    /// The TTL that it is served with then. Default: 30 s (RFC 8767 §4).
    pub stale_ttl: Duration,
    /// In the last so many percent of its life, a hit makes an answer be asked for again. Default: 10; 0 for not at
    /// all.
    pub prefetch_percent: u8,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            min_ttl: Duration::ZERO,
            max_ttl: Duration::from_secs(24 * 60 * 60),
            max_negative_ttl: Duration::from_secs(60 * 60),
            failure_ttl: Duration::from_secs(5),
            stale: Duration::ZERO,
            stale_ttl: Duration::from_secs(30),
            prefetch_percent: 10,
        }
    }
}

/// Whole seconds of `duration`, as a TTL: its top bit is never set (RFC 2181 §8).
pub(super) fn seconds(duration: Duration) -> u32 {
    duration.as_secs().min(i32::MAX as u64) as u32
}
