//! Age and Date of what is reused (RFC 9111 §4, §5.1), keys (§2), cookies, and what looks as if it mattered.

use super::{fresh, then};
use crate::case::{
    Case, Exchange, Expected, Source::Cache, at, cached, check, get, not_cached, optimal, prepare, required,
};

pub(crate) fn cases() -> Vec<Case> {
    [ages_and_dates(), keys(), harmless_fields()].into_iter().flatten().collect()
}

fn ages_and_dates() -> Vec<Case> {
    const MONTH: i64 = 30 * 86_400;
    let expiring = || prepare().answers("Expires", at(MONTH)).answers("Date", at(0)).pausing();
    // The client pauses for 3 s.
    let above = |age| cached().expects_field("Age", Expected::Above(age));
    let slow = get().answers("Cache-Control", "max-age=3600").answers("Date", at(0)).hesitating(5);
    let slow = slow.expects_field("Age", Expected::Above(0));
    let [max_age, expires] = ["freshness-max-age", "freshness-expires-future"];
    vec![
        required("other-age-gen", [fresh(), above(2)]).needs(max_age),
        check("other-age-delay", [slow]),
        required("other-age-update-expires", [expiring().answers("Age", "30"), above(32)]).needs(expires),
        required("other-age-update-max-age", [fresh().answers("Age", "30"), above(32)]).needs(max_age),
        required("other-date-update", [fresh(), cached().expects("Date", at(0))]).needs(max_age),
        required("other-date-update-expires", [expiring(), cached().expects("Date", at(0))]).needs(expires),
        check("other-date-update-expires-update", [expiring(), cached().expects("Expires", at(MONTH))]).needs(expires),
    ]
}

fn keys() -> Vec<Case> {
    let [one, other] = ["?test=one", "?test=another"];
    vec![
        required("query-args-different", [fresh().below(one), not_cached().below(other)]).needs("freshness-max-age"),
        optimal("query-args-same", [fresh().below(one), cached().below(one)]).needs("freshness-max-age"),
    ]
}

fn harmless_fields() -> Vec<Case> {
    let attached = |response: Exchange| response.answers("Content-Disposition", "attachment; filename=example.txt");
    let guessed = attached(prepare().answers("Last-Modified", at(-100_000)).answers("Date", at(0)));
    vec![
        check("other-heuristic-content-disposition-attachment", then(guessed, Cache)).needs("heuristic-200-cached"),
        check("other-fresh-content-disposition-attachment", then(attached(fresh()), Cache)).needs("freshness-max-age"),
        optimal("other-set-cookie", then(fresh().answers("Set-Cookie", "a=b"), Cache)).needs("freshness-max-age"),
        optimal("other-cookie", [fresh(), cached().asks("Cookie", "a=b")]).needs("freshness-max-age"),
    ]
}
