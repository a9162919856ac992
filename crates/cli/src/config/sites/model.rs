//! The model.

use std::path::PathBuf;
use std::sync::Arc;

use afpa_routing::{Conditions, FieldChange, HostPattern, KeyParts, Limits, PathCondition, Rewrite, Template};

/// Hosts, and what becomes of requests to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// What it is called in logs and statistics. By default, its first host.
    pub name: String,
    /// Its hosts; all that no other site has, if none is named.
    pub hosts: Vec<HostPattern>,
    /// Its routes.
    pub routes: Vec<Route>,
}

/// Which requests, and what becomes of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// What it is called in logs and statistics. By default, its path and its target in words.
    pub name: Option<String>,
    /// The paths that it is for.
    pub path: PathCondition,
    /// What else it asks of a request.
    pub conditions: Conditions,
    /// What a backend is asked for.
    pub rewrite: Rewrite,
    /// Changes to what is sent to a backend.
    pub request_fields: Vec<FieldChange>,
    /// Changes to what is sent to a client.
    pub response_fields: Vec<FieldChange>,
    /// Where a request goes.
    pub target: Target,
    /// How responses are kept.
    pub caching: Caching,
    /// What a response depends on. Its space is empty: the router has a name for it.
    pub key: KeyParts,
    /// Whether a connection may become another protocol's.
    pub upgrade: bool,
    /// Whether it takes CONNECT.
    pub connect: bool,
    /// What a request may cost.
    pub limits: Limits,
    /// The class of its requests, whatever else would say.
    pub class: Option<String>,
}

impl Route {
    /// Every request goes there.
    pub fn to(target: Target) -> Route {
        Route {
            name: None,
            path: PathCondition::Any,
            conditions: Conditions::default(),
            rewrite: Rewrite::default(),
            request_fields: Vec::new(),
            response_fields: Vec::new(),
            target,
            caching: Caching::Default,
            key: KeyParts::default(),
            upgrade: false,
            connect: false,
            limits: Limits::default(),
            class: None,
        }
    }
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To a pool, by its name.
    Pool(String),
    /// To the files of a directory.
    Files(PathBuf),
    /// To a program at a Unix socket, which answers later.
    Deferred(PathBuf),
    /// Somewhere else.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// Where.
        to: Template,
    },
    /// This answer.
    Respond {
        /// 200 to 599.
        status: u16,
        /// The value of its Content-Type field; none if empty.
        content_type: String,
        /// Its content.
        body: Arc<[u8]>,
    },
}

/// How responses are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caching {
    /// They are not: `off`.
    Off,
    /// As the section `[accelerate]` says: `default`.
    Default,
    /// As a section `[[accelerate.policies]]` says, by its name.
    Policy(String),
}
