//! That a request is refused, and what its client is told.

/// Why.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reason {
    /// The client asks more often than it may.
    ClientRate,
    /// The client has as much in progress as it may.
    ClientInFlight,
    /// The class is asked more often than it may be.
    ClassRate,
    /// There is no room to wait.
    QueueFull,
    /// It waited as long as it may.
    QueueTimeout,
    /// The engine is overloaded.
    Overload,
}

/// An answer in place of the one that was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// Why, for the log and the counters.
    pub reason: Reason,
    /// Seconds for `Retry-After` (RFC 9110 §10.2.3), from 1 to [`Refusal::MAX_RETRY_AFTER`].
    pub retry_after: u32,
}

impl Refusal {
    /// The most seconds that a client is told to wait: what is refused now says little about an hour later.
    pub const MAX_RETRY_AFTER: u32 = 300;

    /// `wait` in nanoseconds.
    pub(crate) fn new(reason: Reason, wait: u64) -> Refusal {
        let seconds = wait.div_ceil(1_000_000_000).clamp(1, u64::from(Refusal::MAX_RETRY_AFTER));
        Refusal { reason, retry_after: seconds as u32 }
    }

    /// 429 where the fault is that too much was asked (RFC 6585 §4), 503 where it is the server's (RFC 9110 §15.6.4).
    pub fn status(&self) -> u16 {
        match self.reason {
            Reason::ClientRate | Reason::ClientInFlight | Reason::ClassRate => 429,
            Reason::QueueFull | Reason::QueueTimeout | Reason::Overload => 503,
        }
    }
}
