//! What is known of other servers that answer.

use serde::Serialize;

/// Backends that answer the same.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// Requests that wait for a connection, on all engines.
    pub waiting: u64,
    /// The backends, in the order of the configuration.
    pub backends: Vec<Backend>,
}

/// A backend, as all engines together know it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Backend {
    /// Its name: the address as it is configured, and where it is a host's, the one that was found.
    pub name: String,
    /// Where it is.
    pub address: String,
    /// Whether checks say that it works. One that is not checked does.
    pub healthy: bool,
    /// Whether it is left alone because of how it answered.
    pub ejected: bool,
    /// Whether it gets only what already belongs to it.
    pub draining: bool,
    /// Its share.
    pub weight: u32,
    /// Requests in flight.
    pub active: u64,
    /// Requests that were tried.
    pub requests: u64,
    /// Of these, those that failed, answers of status 500 and above included.
    pub failures: u64,
    /// Octets sent to it.
    pub sent_octets: u64,
    /// Octets received from it.
    pub received_octets: u64,
    /// A mean of the latest latencies, in microseconds; 0: nothing was answered yet.
    pub latency_us: f64,
    /// Checks passed.
    pub checks_passed: u64,
    /// Checks failed.
    pub checks_failed: u64,
    /// Times that it was ejected.
    pub ejections: u64,
}

/// A class of requests.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// Higher ones go first.
    pub priority: u8,
    /// Its share among those of its priority.
    pub weight: u32,
    /// Requests that came.
    pub requests: u64,
    /// Of these, those that were refused.
    pub refused: u64,
    /// Requests that wait for their turn.
    pub waiting: u64,
    /// Requests in progress, with those that wait.
    pub running: u64,
}

/// What is asked for often of late.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Key {
    /// Host, path and query.
    pub key: String,
    /// An estimate of the requests for it, since it is asked for often.
    pub requests: u64,
}

/// What is under way between backends, the cache and clients.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Relay {
    /// Responses under way that others may join.
    pub flights: u64,
    /// Octets of responses under way that are held for those who read them.
    pub held_octets: u64,
    /// Purges of what came from backends, and unsafe requests that made something out of date.
    pub purges: u64,
    /// Of these, those that not everything in the cache was compared with.
    pub purges_unswept: u64,
    /// Objects that comparing took out or found to be out of date; requests find others first.
    pub swept_objects: u64,
}
