//! Why a response could not be had from a backend.

/// What went wrong, and whose fault it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FetchError {
    /// No backend of the pool can be asked now: all are down, or as busy as they may be.
    Unavailable,
    /// It cannot be connected to, or closed or reset the connection before it answered.
    Unreachable,
    /// It did not answer in time.
    TimedOut,
    /// What it sent is no HTTP, or not one response.
    Malformed,
    /// It ended before its own framing said so, or stalled amid its body.
    CutOff,
    /// The client's request body could not be had.
    RequestCutOff,
    /// Nobody waits for it any more.
    Abandoned,
}

impl FetchError {
    /// The status that a client gets for it (RFC 9110 §15.6), if its response has not begun.
    pub fn status(self) -> u16 {
        match self {
            FetchError::Unavailable | FetchError::Abandoned => 503,
            FetchError::TimedOut => 504,
            FetchError::Unreachable | FetchError::Malformed | FetchError::CutOff => 502,
            FetchError::RequestCutOff => 408,
        }
    }

    /// A word for Cache-Status's `detail` and the log.
    pub fn word(self) -> &'static str {
        match self {
            FetchError::Unavailable => "no-backend",
            FetchError::Unreachable => "unreachable",
            FetchError::TimedOut => "timed-out",
            FetchError::Malformed => "malformed",
            FetchError::CutOff => "cut-off",
            FetchError::RequestCutOff => "request-cut-off",
            FetchError::Abandoned => "abandoned",
        }
    }

    /// Whether another backend may be asked instead, as far as the failure goes.
    pub fn may_retry(self) -> bool {
        matches!(self, FetchError::Unreachable | FetchError::TimedOut | FetchError::Malformed | FetchError::CutOff)
    }
}
