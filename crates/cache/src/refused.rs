//! Why the cache does not take a body.

use std::fmt;

/// Why a body was not taken into the cache. Neither is anybody's fault: the caller sends the response
/// from a file, or without the cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// The body is larger than `limit` octets.
    TooLarge {
        /// The most octets of head and payload.
        limit: u64,
    },
    /// There is no free memory, and what was evicted is still being sent.
    Full,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::TooLarge { limit } => write!(f, "larger than the {limit} octets that are kept in memory"),
            Refused::Full => f.write_str("the cache's memory is all in use"),
        }
    }
}

impl std::error::Error for Refused {}
