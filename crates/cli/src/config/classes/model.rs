//! The model and its defaults.

use afpa_http::quality::Rule;

use crate::units::{Size, Span};

/// Requests that are served before others, or less of them. The first class whose rule holds has a request. Without any,
/// it is for those that routes send to it; the one that is called `default` is for all that no rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// Higher ones go first, and are refused last: 0 to 7.
    pub priority: u32,
    /// Its share among those of its priority: 1 to 1000.
    pub weight: u32,
    /// Requests each second over all engines: 429 beyond it; 0 allows any.
    pub rate: u32,
    /// So many may come at once without being too many.
    pub burst: u32,
    /// The most requests that backends and workers are at, at the same time and over all engines: others wait; 0 allows
    /// any.
    pub concurrency: u32,
    /// Octets each second to all of its clients together; 0 allows any.
    pub bandwidth: Size,
    /// Requests of each engine that may wait for their turn: 503 beyond it.
    pub queue: u32,
    /// How long one may wait: 503 beyond it.
    pub queue_timeout: Span,
    /// Which requests.
    pub rule: Rule,
}

impl Class {
    /// The class `name` without conditions, with every default.
    pub fn named(name: &str) -> Class {
        Class {
            name: name.to_owned(),
            priority: 3,
            weight: 1,
            rate: 0,
            burst: 0,
            concurrency: 0,
            bandwidth: Size(0),
            queue: 1024,
            queue_timeout: Span::seconds(5),
            rule: Rule::default(),
        }
    }
}

/// What is done when there is too much to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overload {
    /// How long requests may have waited, for an engine or for their turn, before that is too much; zero: they are never
    /// refused for that reason.
    pub target_delay: Span,
    /// For how long it must have been too much.
    pub interval: Span,
    /// The most requests that backends and workers are at, at the same time and over all engines: others wait for their
    /// turn; 0: as many as there may be connections to backends.
    pub capacity: u32,
    /// Requests each second from one client to one engine: 429 beyond it; 0 allows any.
    pub client_requests: u32,
    /// The most connections from one client to one engine: 429 beyond it; 0 allows any.
    pub client_connections: u32,
}

impl Default for Overload {
    fn default() -> Overload {
        Overload {
            target_delay: Span::milliseconds(5),
            interval: Span::milliseconds(100),
            capacity: 0,
            client_requests: 0,
            client_connections: 0,
        }
    }
}
