//! What a 304, or a response to HEAD, changes of what is stored (RFC 9111 §3.2, §4.3.4, §4.3.5).

use super::becoming_stale;
use super::fields::{LISTED, Listed, OnUpdate, framed};
use crate::case::{Case, Exchange, Source::CacheByDate, Source::CacheByTag, at, cached, check, get, prepare, required};

/// A field that a 304 leaves out stays.
const KEPT: &str = "304-lm-use-stored-Test-Header";

pub(crate) fn cases() -> Vec<Case> {
    let updated = LISTED.iter().filter(|field| field.on_update != OnUpdate::NotStored).map(updated);
    [kept()].into_iter().chain(updated).chain(by_head()).collect()
}

fn kept() -> Case {
    let modified = "Wed, 01 Jan 2020 00:00:00 GMT";
    let first = prepare().answers("Cache-Control", "max-age=2").answers("Last-Modified", modified);
    let first = first.answers("Date", at(0)).answers("Test-Header", "first-value").pausing();
    let second = get().answers("Last-Modified", modified).answers("Date", at(0)).from(CacheByDate);
    required(KEPT, [first, second.expects("Test-Header", "first-value")])
}

/// The 304 shows it to the client that caused it, and the next hit, too.
fn updated(field: &Listed) -> Case {
    let is_kept = field.on_update == OnUpdate::Forbidden;
    let outcome = if is_kept { field.first } else { field.second };
    let answered = |exchange: Exchange, value: &str| {
        let exchange = exchange.answers("Date", at(0)).answering(field.name, value, !is_kept);
        match field.name {
            "Cache-Control" => exchange,
            _ => exchange.answers("Cache-Control", "max-age=2"),
        }
    };
    let tagged = |exchange: Exchange| match field.name {
        "ETag" => exchange,
        _ => exchange.answers("ETag", "\"this one\""),
    };
    let exchanges = [
        tagged(answered(prepare(), field.first)).pausing(),
        tagged(answered(get(), field.second)).from(CacheByTag).expects(field.name, outcome),
        answered(cached(), outcome).expects(field.name, outcome),
    ];
    let exchanges = exchanges.map(|exchange| framed(field, exchange));
    let id = format!("304-etag-update-response-{}", field.name);
    let case = if field.on_update == OnUpdate::Free { check(id, exchanges) } else { required(id, exchanges) };
    case.needs(KEPT)
}

fn by_head() -> Vec<Case> {
    let head = || get().method("HEAD").forwards_method();
    let renewed = || head().answers("Cache-Control", "max-age=1000");
    let marked = || head().answers("Marker", "2").answers("Cache-Control", "max-age=1000");
    let gone = || marked().status(410, "Gone");
    let through = "head-writethrough";
    let update = "head-200-freshness-update";
    vec![
        check(through, [becoming_stale(), head()]).needs("freshness-max-age-stale"),
        check("head-200-retain", [becoming_stale(), head().expects("Marker", "1")]).needs(through),
        check(update, [becoming_stale(), renewed(), cached()]).needs(through),
        check("head-200-update", [becoming_stale(), marked(), cached().expects("Marker", "2")]).needs(update),
        check("head-410-update", [becoming_stale(), gone(), cached().expects("Marker", "2")]).needs(update),
    ]
}
