//! What becomes of a request.

use std::sync::Arc;
use std::time::Duration;

use crate::conditions::{Conditions, Failure};
use crate::field_change::FieldChange;
use crate::key::KeyParts;
use crate::path::PathCondition;
use crate::pattern::Captures;
use crate::request::RequestView;
use crate::rewrite::Rewrite;
use crate::template::{Template, Values};

/// Which requests, and what becomes of them. Numbers are places in lists of whoever made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// What it is called in logs and statistics; no other route of its site is called so, unless it is empty.
    pub name: String,
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
    /// Which cache policy holds; nothing is cached if absent.
    pub caching: Option<usize>,
    /// What a response depends on.
    pub key: KeyParts,
    /// Whether a connection may become another protocol's (RFC 9110 §7.8).
    pub upgrade: bool,
    /// Whether it takes CONNECT, which otherwise no route does (RFC 9110 §9.3.6).
    pub connect: bool,
    /// What a request may cost.
    pub limits: Limits,
    /// The class of its requests, whatever else would say.
    pub class: Option<usize>,
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Files.
    Files(usize),
    /// A pool of backends.
    Pool(usize),
    /// Another program, which answers later.
    Deferred(usize),
    /// Somewhere else.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// Where: with `$host`, `$path`, `$query`, and groups of the route's regular expression.
        location: Template,
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

/// What a request may cost; what is absent has the server's own limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// The longest request body, in octets: 413 beyond it.
    pub body: Option<u64>,
    /// From the request's head to the end of the response.
    pub total_timeout: Option<Duration>,
    /// From asking a backend to the head of its response, each time.
    pub try_timeout: Option<Duration>,
}

impl Route {
    /// Requests with this path go to this target, and nothing else.
    pub fn new(path: PathCondition, target: Target) -> Route {
        Route {
            name: String::new(),
            path,
            conditions: Conditions::default(),
            rewrite: Rewrite::default(),
            request_fields: Vec::new(),
            response_fields: Vec::new(),
            target,
            caching: None,
            key: KeyParts::default(),
            upgrade: false,
            connect: false,
            limits: Limits::default(),
            class: None,
        }
    }

    /// If it redirects, appends the location and returns the status. `captures` are those of the match.
    pub fn redirect(&self, request: &RequestView<'_>, captures: &Captures, into: &mut Vec<u8>) -> Option<u16> {
        let Target::Redirect { status, location } = &self.target else { return None };
        let groups = (captures, request.path);
        location.expand(Values { host: request.host, path: request.path, query: request.query, groups }, into);
        Some(*status)
    }

    /// What keeps it from taking a request with a path that it is for.
    pub(crate) fn refusal(&self, request: &RequestView<'_>, scratch: &mut Vec<u8>) -> Option<Refusal<'_>> {
        if request.method == b"CONNECT" && !self.connect {
            return Some(Refusal::Connect);
        }
        self.conditions.first_failure(request, scratch).map(Refusal::Condition)
    }
}

/// Why a route does not take a request with a path that it is for.
pub(crate) enum Refusal<'a> {
    Connect,
    Condition(Failure<'a>),
}
