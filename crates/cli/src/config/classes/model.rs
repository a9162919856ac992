//! The model and its defaults.

use afpa_dns::protect::Network;
use afpa_routing::{Conditions, HostPattern, PathCondition};

use crate::units::{Size, Span};

/// Requests that are served before others, or less of them. All conditions must hold; the first class whose do has a
/// request. Without any, it is for those that routes send to it.
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
    /// The most requests at the same time over all engines: 503 beyond it; 0 allows any.
    pub concurrency: u32,
    /// Octets each second to all of its clients together; 0 allows any.
    pub bandwidth: Size,
    /// Who asks.
    pub clients: Vec<Network>,
    /// For which hosts.
    pub hosts: Vec<HostPattern>,
    /// For which paths.
    pub path: PathCondition,
    /// Methods, and what is asked of header fields, cookies and the query.
    pub conditions: Conditions,
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
            clients: Vec::new(),
            hosts: Vec::new(),
            path: PathCondition::Any,
            conditions: Conditions::default(),
        }
    }
}

/// What is done when there is too much to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overload {
    /// How long requests may have waited before that is too much; zero: they are never refused for that reason.
    pub target_delay: Span,
    /// For how long it must have been too much.
    pub interval: Span,
    /// Requests each second from one client: 429 beyond it; 0 allows any.
    pub client_requests: u32,
    /// The most connections from one client: closed beyond it; 0 allows any.
    pub client_connections: u32,
}

impl Default for Overload {
    fn default() -> Overload {
        Overload {
            target_delay: Span::milliseconds(5),
            interval: Span::milliseconds(100),
            client_requests: 0,
            client_connections: 0,
        }
    }
}
