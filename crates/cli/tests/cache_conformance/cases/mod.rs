//! The cases, by topic.

mod age;
mod authorization;
mod conditional;
mod expires;
mod fields;
mod freshness;
mod heuristic;
mod interim;
mod invalidation;
mod other;
mod partial;
mod request_directives;
mod response_directives;
mod stale;
mod status;
mod targeted;
mod update;
mod vary;

use crate::case::{Case, Exchange, Source, at, get, prepare};

pub(crate) fn all() -> Vec<Case> {
    let topics = [
        freshness::cases(),
        age::cases(),
        expires::cases(),
        response_directives::cases(),
        stale::cases(),
        heuristic::cases(),
        status::cases(),
        request_directives::cases(),
        vary::cases(),
        conditional::cases(),
        fields::cases(),
        update::cases(),
        invalidation::cases(),
        partial::cases(),
        authorization::cases(),
        other::cases(),
        targeted::cases(),
        interim::cases(),
    ];
    topics.into_iter().flatten().collect()
}

/// A response that stays fresh.
fn fresh() -> Exchange {
    prepare().answers("Cache-Control", "max-age=100000").answers("Date", at(0)).pausing()
}

/// A response that is stale once the client has paused.
fn becoming_stale() -> Exchange {
    prepare().answers("Cache-Control", "max-age=2").answers("Date", at(0)).answers("Marker", "1").pausing()
}

/// A response that is stale as it comes.
fn stale() -> Exchange {
    let response = prepare().answers("Expires", at(-5000)).answers("Last-Modified", at(-100_000));
    response.answers("Date", at(0)).pausing()
}

/// A response, and where the next one must come from.
fn then(first: Exchange, source: Source) -> [Exchange; 2] {
    [first, get().from(source)]
}
