//! What an operator decides about a cache.

use crate::directives::{RequestDirectives, ResponseDirectives};
use crate::fields::Fields;

/// What an operator decides. Times are in seconds. The default does what RFC 9111 allows without being told to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The cache's name in Cache-Status.
    pub name: Box<str>,
    /// Targeted fields, the most wanted one first (RFC 9213 §2.2).
    pub targeted_fields: Vec<Box<[u8]>>,
    /// For how much of the time since its last modification a response without a lifetime is fresh (RFC 9111 §4.2.2).
    pub heuristic_percent: u32,
    /// The longest lifetime that is guessed so.
    pub heuristic_most: u32,
    /// The lifetime of a response that gives none, where it can be stored without (RFC 9110 §15.1) and none can be guessed.
    pub default_lifetime: u32,
    /// Lifetimes of responses with these statuses that give none themselves; they come before what is guessed.
    pub lifetimes_by_status: Vec<(u16, u32)>,
    /// For how long a stale response may be served while it is validated, if it says nothing of that.
    pub stale_while_revalidate: u32,
    /// For how long a stale response may be served when the origin fails, if it says nothing of that.
    pub stale_if_error: u32,
    /// A client's `no-cache`, `no-store`, `max-age` and `min-fresh` do not make the cache ask the origin.
    pub ignores_demands: bool,
    /// Whether a response that sets a cookie may be stored.
    pub cookies: Cookies,
    /// The response to a POST is stored as one to a GET, where it says that it is one (RFC 9110 §9.3.3).
    pub stores_post: bool,
    /// No response is fresh for longer after it was received.
    pub longest_lifetime: u32,
}

/// Which responses with Set-Cookie may be stored. The field is stored with them: whoever gets one gets the cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cookies {
    /// None.
    Never,
    /// Those that say `public` and give a lifetime.
    Public,
    /// Those that give a lifetime: what RFC 9111 §7.3 leaves to origins.
    #[default]
    Explicit,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            name: "afpa".into(),
            targeted_fields: vec![b"CDN-Cache-Control".as_slice().into()],
            heuristic_percent: 10,
            heuristic_most: 86_400,
            default_lifetime: 0,
            lifetimes_by_status: Vec::new(),
            stale_while_revalidate: 0,
            stale_if_error: 0,
            ignores_demands: false,
            cookies: Cookies::default(),
            stores_post: false,
            longest_lifetime: 365 * 86_400,
        }
    }
}

impl Policy {
    /// A request's directives, as far as the operator heeds them.
    pub fn request_directives(&self, fields: Fields<'_>) -> RequestDirectives {
        let directives = RequestDirectives::parse(fields);
        if self.ignores_demands { directives.without_demands() } else { directives }
    }

    /// A response's directives for this cache.
    pub fn response_directives<'a>(&self, fields: Fields<'a>) -> ResponseDirectives<'a> {
        ResponseDirectives::parse(fields, &self.targeted_fields)
    }
}
