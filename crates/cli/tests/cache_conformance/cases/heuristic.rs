//! Lifetimes that nobody gave (RFC 9111 §4.2.2): guessed from Last-Modified, for statuses that allow it (RFC 9110
//! §15.1).

use crate::case::{
    Case, Exchange, Source, Source::Cache, Source::Origin, at, cached, check, get, optimal, prepare, required,
};

const BODY: &str = "what was found";
const DAY: i64 = 86_400;

pub(crate) fn cases() -> Vec<Case> {
    let reusable = [
        (200, "OK"),
        (203, "Non-Authoritative Information"),
        (204, "No Content"),
        (404, "Not Found"),
        (405, "Method Not Allowed"),
        (410, "Gone"),
        (414, "URI Too Long"),
        (501, "Not Implemented"),
    ];
    let others = [
        (201, "Created"),
        (202, "Accepted"),
        (403, "Forbidden"),
        (502, "Bad Gateway"),
        (503, "Service Unavailable"),
        (504, "Gateway Timeout"),
        (599, "Unknown"),
    ];
    let ages = [5, 10, 30, 60, 300, 600, 1200, 1800, 3600, DAY / 2, DAY];
    let reusable = reusable.map(|status| optimal(format!("heuristic-{}-cached", status.0), asked_twice(status, Cache)));
    let others =
        others.map(|status| required(format!("heuristic-{}-not_cached", status.0), asked_twice(status, Origin)));
    reusable.into_iter().chain(others).chain([public()]).chain(ages.map(modified)).collect()
}

fn answered((status, reason): (u16, &'static str), exchange: Exchange) -> Exchange {
    let exchange = exchange.status(status, reason);
    if status == 204 { exchange } else { exchange.body(BODY) }
}

fn asked_twice(status: (u16, &'static str), source: Source) -> [Exchange; 2] {
    let first = answered(status, prepare()).answers("Last-Modified", at(-DAY)).answers("Date", at(0));
    [first, answered(status, get().from(source))]
}

/// `public` allows it for any status (RFC 9111 §5.2.2.9).
fn public() -> Case {
    let [first, second] = asked_twice((599, "Unknown"), Cache);
    optimal("heuristic-599-cached", [first.answers("Cache-Control", "public"), second])
}

/// How long ago must it be, to be fresh after 3 s?
fn modified(age: i64) -> Case {
    let first = prepare().answers("Last-Modified", at(-age)).answers("Date", at(0)).pausing();
    check(format!("heuristic-delta-{age}"), [first, cached()])
}
