//! Methods that change things: what is stored is no longer true (RFC 9111 §4.4), or there is something new to store.

use super::fresh;
use crate::case::{Case, Exchange, Value, at, cached, check, not_cached, optimal, prepare, required};

pub(crate) fn cases() -> Vec<Case> {
    ["POST", "PUT", "DELETE", "M-SEARCH"].into_iter().flat_map(invalidated).chain([stored()]).collect()
}

fn invalidated(method: &'static str) -> [Case; 4] {
    let changing = || prepare().method(method).sends("abc");
    let id = format!("invalidate-{method}");
    let failing = changing().status(500, "Internal Server Error");
    [
        required(&*id, [fresh(), changing(), not_cached()]).needs("freshness-max-age"),
        optimal(format!("{id}-failed"), [fresh(), failing, cached()]).needs(&*id),
        check(format!("{id}-location"), elsewhere(changing(), "/location_target")).needs(&*id),
        check(format!("{id}-cl"), elsewhere(changing(), "/content_location_target")).needs(&*id),
    ]
}

/// The response names two other resources of the same origin; one of them is stored.
fn elsewhere(changing: Exchange, target: &str) -> [Exchange; 3] {
    let lasting = |exchange: Exchange| {
        let exchange = exchange.below(target).answers("Cache-Control", "max-age=100000");
        exchange.answers("Last-Modified", at(0)).answers("Date", at(0))
    };
    let changing = changing.answers("Location", Value::Here("/location_target"));
    let changing = changing.answers("Content-Location", Value::Here("/content_location_target"));
    [lasting(prepare()), changing, lasting(not_cached())]
}

/// A response to POST that says of itself that it is what GET would get (RFC 9110 §9.3.3).
fn stored() -> Case {
    let first = prepare().method("POST").sends("12345").asks("Content-Type", "text/plain");
    let first = first.answers("Cache-Control", "max-age=3600").answers("Content-Location", Value::Here(""));
    optimal("method-POST", [first.answers("Date", at(0)).pausing(), cached()])
}
