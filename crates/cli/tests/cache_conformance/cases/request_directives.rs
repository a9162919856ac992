//! What requests say about caching (RFC 9111 §5.2.1, §5.4). A cache in front of an origin may well ignore it.

use super::{becoming_stale, fresh, then};
use crate::case::{
    Case, Exchange, Source, Source::Cache, Source::CacheByDate, Source::CacheByTag, Source::Origin, at, check, get,
    prepare,
};

pub(crate) fn cases() -> Vec<Case> {
    directives().into_iter().chain(pragma()).collect()
}

fn asking(directives: &'static str, source: Source) -> Exchange {
    get().asks("Cache-Control", directives).from(source)
}

fn directives() -> Vec<Case> {
    let response = |directives: &str| prepare().answers("Cache-Control", directives);
    let dated = response("max-age=3600").answers("Last-Modified", at(-10_000)).answers("Date", at(0));
    let tagged = response("max-age=3600").answers("ETag", "\"this one\"");
    let aged = |lifetime, age| response(lifetime).answers("Age", age);
    let cases = [
        ("ma0", fresh(), asking("max-age=0", Origin)),
        ("ma1", fresh(), asking("max-age=1", Origin)),
        ("magreaterage", fresh().answers("Age", "1800"), asking("max-age=600", Origin)),
        ("max-stale-age", aged("max-age=1500", "2000"), asking("max-stale=1000", Cache)),
        ("min-fresh", response("max-age=1500"), asking("min-fresh=2000", Origin)),
        ("min-fresh-age", aged("max-age=1500", "1000"), asking("min-fresh=1000", Origin)),
        ("no-cache", response("max-age=3600"), asking("no-cache", Origin)),
        ("no-cache-lm", dated, asking("no-cache", CacheByDate)),
        ("no-cache-etag", tagged, asking("no-cache", CacheByTag)),
        ("no-store", fresh(), asking("no-store", Origin)),
    ];
    let case = |(name, first, second)| check(format!("ccreq-{name}"), [first, second]).needs("freshness-max-age");
    let mut cases: Vec<_> = cases.map(case).into();
    let stale = [becoming_stale(), asking("max-stale=1000", Cache)];
    cases.push(check("ccreq-max-stale", stale).needs("freshness-max-age-stale"));
    let only = asking("only-if-cached", Source::Anywhere).expects_status(504).expects_any_body();
    cases.push(check("ccreq-oic", [only]));
    cases
}

fn pragma() -> Vec<Case> {
    let asking = |value: &'static str| [fresh(), get().asks("Pragma", value).from(Cache)];
    let answered = |value| prepare().answers("Cache-Control", "max-age=3600").answers("Pragma", value);
    let guessed = prepare().answers("Date", at(0)).answers("Last-Modified", at(-10_000)).answers("Pragma", "no-cache");
    let cases = [
        check("pragma-request-no-cache", asking("no-cache")),
        check("pragma-request-extension", asking("never-seen")),
        check("pragma-response-no-cache", then(answered("no-cache"), Cache)),
        check("pragma-response-extension", then(answered("never-seen"), Cache)),
    ];
    let guessed = check("pragma-response-no-cache-heuristic", then(guessed, Cache)).needs("heuristic-200-cached");
    cases.map(|case| case.needs("freshness-max-age")).into_iter().chain([guessed]).collect()
}
