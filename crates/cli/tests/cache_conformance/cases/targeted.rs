//! CDN-Cache-Control, which is for caches such as ours, and stands in for Cache-Control and Expires (RFC 9213).

use super::then;
use crate::case::{
    Case, Exchange, Expected, Source, Source::Cache, Source::Origin, at, check, get, optimal, prepare, required,
};

pub(crate) fn cases() -> Vec<Case> {
    [lifetimes(), against_others(), directives(), shown()].into_iter().flatten().collect()
}

/// What is targeted may be used up on the way.
fn targeted(exchange: Exchange, directives: &str) -> Exchange {
    exchange.answers_loosely("CDN-Cache-Control", directives)
}

fn alone(directives: &str) -> Exchange {
    targeted(prepare(), directives).pausing()
}

fn lifetimes() -> Vec<Case> {
    let id = "cdn-max-age";
    let short = |directives| targeted(prepare().answers("Cache-Control", "max-age=1"), directives).pausing();
    let aged = targeted(prepare().answers("Date", at(0)), "max-age=3600").answers("Age", "7200").pausing();
    let cases = [
        required("cdn-max-age-age", then(aged, Origin)),
        check("cdn-max-age-space-before-equals", then(short("max-age =100"), Origin)),
        check("cdn-max-age-space-after-equals", then(short("max-age= 100"), Origin)),
        required("cdn-max-age-0", then(alone("max-age=0"), Origin)),
        optimal("cdn-max-age-extension", then(alone("foobar, max-age=3600"), Cache)),
        check("cdn-max-age-case-insensitive", then(alone("MaX-aGe=3600"), Cache)),
    ];
    let first = [
        optimal(id, then(alone("max-age=3600"), Cache)),
        optimal("cdn-max-age-max", then(alone("max-age=2147483648"), Cache)),
        optimal("cdn-max-age-max-plus", then(alone("max-age=99999999999"), Cache)),
    ];
    first.map(|case| case.needs("freshness-none")).into_iter().chain(cases.map(|case| case.needs(id))).collect()
}

fn against_others() -> Vec<Case> {
    let now = |response: Exchange| response.answers("Date", at(0));
    let controlled = |directives, target| targeted(prepare().answers("Cache-Control", directives), target).pausing();
    let invalid = alone("max-age=3600").answers_loosely("Expires", "0");
    let cases = [
        optimal("cdn-max-age-expires", then(now(alone("max-age=3600").answers("Expires", at(-10_000))), Cache)),
        optimal("cdn-max-age-cc-max-age-invalid-expires", then(now(invalid), Cache)),
        required("cdn-max-age-0-expires", then(now(alone("max-age=0").answers("Expires", at(10_000))), Origin)),
        optimal("cdn-max-age-short-cc-max-age", then(controlled("max-age=1", "max-age=3600"), Cache)),
        required("cdn-max-age-long-cc-max-age", then(controlled("max-age=3600", "max-age=1"), Origin)),
    ];
    cases.map(|case| case.needs("cdn-max-age")).into()
}

fn directives() -> Vec<Case> {
    let lasting = |response: Exchange| response.answers("Expires", at(10_000)).answers("Date", at(0));
    let seen = |directive: &str| {
        lasting(prepare().answers("CDN-Cache-Control", directive).answers("Cache-Control", "max-age=10000"))
    };
    let unstored = lasting(targeted(prepare().answers("Cache-Control", "max-age=10000"), "no-store")).pausing();
    let stored = targeted(prepare().answers("Cache-Control", "no-store"), "max-age=10000").pausing();
    // What is no dictionary (RFC 9651), or has a member of another type, does not count at all.
    let void = |directives: &str| alone(directives).answers("Cache-Control", "no-store");
    vec![
        required("cdn-private", then(seen("private"), Origin)),
        required("cdn-no-cache", then(seen("no-cache"), Origin)),
        required("cdn-no-store-cc-fresh", then(unstored, Origin)).needs("freshness-none"),
        required("cdn-fresh-cc-nostore", then(stored, Cache)).needs("freshness-none"),
        required("cdn-cc-invalid-sh-type-unknown", then(void("max-age=10000, &&&&&"), Origin)).needs("cdn-max-age"),
        required("cdn-cc-invalid-sh-type-wrong", then(void("max-age=\"10000\""), Origin)).needs("cdn-max-age"),
    ]
}

/// What clients see of it.
fn shown() -> Vec<Case> {
    let passed_on = targeted(get().answers("Cache-Control", "max-age=10000"), "foo");
    let passed_on = passed_on.answers("Expires", at(10_000)).answers("Date", at(0));
    let exceeding = |expires: Option<i64>| {
        let first = prepare().answers("Cache-Control", "max-age=1");
        let first = expires.into_iter().fold(first, |first, seconds| first.answers("Expires", at(seconds)));
        first.answers("CDN-Cache-Control", "max-age=10000").answers("Date", at(0)).pausing()
    };
    let any = || get().from(Source::Anywhere);
    let cases = [
        check("cdn-remove-age-exceed", [exceeding(None), any().expects_field("Age", Expected::Present)]),
        check("cdn-date-update-exceed", [exceeding(None), any().expects("Date", at(0))]),
        check("cdn-expires-update-exceed", [exceeding(Some(1)), any().expects("Expires", at(1))]),
    ];
    let passed_on = check("cdn-remove-header", [passed_on.expects("CDN-Cache-Control", "foo")]);
    [passed_on].into_iter().chain(cases.map(|case| case.needs("cdn-max-age"))).collect()
}
