//! Any final status may be stored and reused, if its lifetime is explicit (RFC 9111 §3).

use super::{fresh, stale, then};
use crate::case::{Case, Exchange, Source::Cache, Source::Origin, cached, get, not_cached, optimal, prepare, required};

const BODY: &str = "what was found";
const STATUSES: [(u16, &str); 18] = [
    (200, "OK"),
    (203, "Non-Authoritative Information"),
    (204, "No Content"),
    (299, "Whatever"),
    (301, "Moved Permanently"),
    (302, "Found"),
    (303, "See Other"),
    (307, "Temporary Redirect"),
    (308, "Permanent Redirect"),
    (400, "Bad Request"),
    (404, "Not Found"),
    (410, "Gone"),
    (499, "Whatever"),
    (500, "Internal Server Error"),
    (502, "Bad Gateway"),
    (503, "Service Unavailable"),
    (504, "Gateway Timeout"),
    (599, "Whatever"),
];

pub(crate) fn cases() -> Vec<Case> {
    STATUSES.into_iter().flat_map(|(status, reason)| pair(status, reason)).chain(understood()).collect()
}

fn pair(status: u16, reason: &'static str) -> [Case; 2] {
    let answered = |exchange: Exchange| {
        let exchange = exchange.status(status, reason);
        if status == 204 { exchange } else { exchange.body(BODY) }
    };
    let again = if status == 204 { not_cached() } else { not_cached().body(BODY) };
    let id = format!("status-{status}-fresh");
    [
        optimal(&*id, [answered(fresh()), answered(cached())]).needs("freshness-max-age"),
        // The second is answered with 200: it must be seen to come from the origin.
        required(format!("status-{status}-stale"), [answered(stale()), again]).needs(id),
    ]
}

/// `must-understand` overrides `no-store` for a status that the cache knows (RFC 9111 §5.2.2.3).
fn understood() -> [Case; 2] {
    let first = |status, reason| {
        prepare().status(status, reason).answers("Cache-Control", "max-age=3600, no-store, must-understand")
    };
    [
        required("status-599-must-understand", then(first(599, "Whatever"), Origin)).needs("status-599-fresh"),
        optimal("status-200-must-understand", [first(200, "OK"), get().from(Cache)])
            .needs("status-200-fresh")
            .needs("cc-resp-no-store-fresh"),
    ]
}
