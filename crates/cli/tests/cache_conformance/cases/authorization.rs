//! Responses to requests with Authorization (RFC 9111 §3.5).

use super::then;
use crate::case::{Case, Exchange, Source::Cache, Source::Origin, at, optimal, prepare, required};

pub(crate) fn cases() -> Vec<Case> {
    let id = "other-authorization";
    let allowed = [
        ("public", "max-age=3600, public"),
        ("must-revalidate", "max-age=3600, must-revalidate"),
        ("smaxage", "s-maxage=3600"),
    ];
    let allowed =
        allowed.map(|(name, directives)| optimal(format!("{id}-{name}"), then(authorized(directives), Cache)));
    let plain = required(id, then(authorized("max-age=100000"), Origin)).needs("freshness-max-age");
    [plain].into_iter().chain(allowed.map(|case| case.needs(id))).collect()
}

fn authorized(directives: &str) -> Exchange {
    let first = prepare().asks("Authorization", "FOO").forwards("Authorization", "FOO");
    first.answers("Cache-Control", directives).answers("Date", at(0)).pausing()
}
