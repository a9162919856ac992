//! Lifetimes that Expires gives (RFC 9111 §4.2.1, §5.3), and how dates are parsed (RFC 9110 §5.6.7): what is no date
//! is a date in the past.

use super::then;
use crate::case::{Case, Exchange, Source::Cache, Source::Origin, at, optimal, prepare, required};

pub(crate) fn cases() -> Vec<Case> {
    let all = [lifetimes(), dates(), no_dates()].into_iter().flatten();
    let first = ["freshness-expires-future", "freshness-expires-present"];
    let need = |case: Case| {
        let need = if first.contains(&case.id.as_str()) { "freshness-none" } else { "freshness-expires-future" };
        case.needs(need)
    };
    all.map(need).collect()
}

fn expiring(seconds: i64) -> Exchange {
    prepare().answers("Expires", at(seconds))
}

fn lifetimes() -> Vec<Case> {
    const MONTH: i64 = 30 * 86_400;
    let now = |response: Exchange| response.answers("Date", at(0));
    let aged =
        |date, expires, age| prepare().answers("Date", at(date)).answers("Expires", at(expires)).answers("Age", age);
    let invalid = prepare().answers_loosely("Expires", "0");
    let undated = prepare().answers_loosely("Date", "foo").answers("Expires", at(10));
    vec![
        optimal("freshness-expires-future", then(now(expiring(MONTH)).pausing(), Cache)),
        required("freshness-expires-past", then(now(expiring(-MONTH)).pausing(), Origin)),
        required("freshness-expires-present", then(now(expiring(0)), Origin)),
        // The lifetime is the difference of two dates of the origin's, whatever our clock says.
        required("freshness-expires-old-date", then(expiring(300).answers("Date", at(400)).pausing(), Origin)),
        required("freshness-expires-invalid", then(now(invalid).pausing(), Origin)),
        optimal("freshness-expires-invalid-date", then(undated, Cache)),
        required("freshness-expires-age-slow-date", then(aged(-10, 10, "25"), Origin)),
        required("freshness-expires-age-fast-date", then(aged(10, 20, "15"), Origin)),
    ]
}

fn written(lines: &[&str]) -> Exchange {
    let response = lines.iter().fold(prepare(), |response, line| response.answers_loosely("Expires", *line));
    response.answers("Date", at(0))
}

fn dates() -> Vec<Case> {
    let cases = [
        ("32bit", "Tue, 19 Jan 2038 14:14:08 GMT"),
        ("far-future", "Sun, 21 Nov 2286 04:46:39 GMT"),
        ("rfc850", "Thursday, 18-Aug-50 02:01:18 GMT"),
        // It was no Thursday: a recipient does not check.
        ("ansi-c", "Thu Aug  8 02:01:18 2050"),
        ("wrong-case-weekday", "THU, 18 Aug 2050 02:01:18 GMT"),
        ("wrong-case-month", "Thu, 18 AUG 2050 02:01:18 GMT"),
        ("wrong-case-tz", "Thu, 18 Aug 2050 02:01:18 gMT"),
    ];
    let case = |(name, date)| optimal(format!("freshness-expires-{name}"), then(written(&[date]).pausing(), Cache));
    cases.map(case).into()
}

fn no_dates() -> Vec<Case> {
    let pausing = [
        ("utc", "Thu, 18 Aug 2050 02:01:18 UTC"),
        ("aest", "Thu, 18 Aug 2050 02:01:18 AEST"),
        ("2-digit-year", "Thu, 18 Aug 50 02:01:18 GMT"),
        ("no-comma", "Thu 18 Aug 2050 02:01:18 GMT"),
    ];
    let at_once: [(&str, &[&str]); 5] = [
        ("multiple-spaces", &["Thu, 18  Aug  2050 02:01:18 GMT"]),
        ("date-dashes", &["Thu, 18-Aug-2050 02:01:18 GMT"]),
        ("time-periods", &["Thu, 18 Aug 2050 02.01.18 GMT"]),
        ("1-digit-hour", &["Thu, 18 Aug 2050 2:01:18 GMT"]),
        ("multiple-lines", &["Thu, 18 Aug 2050 2:01:18 GMT", "Thu, 18 Aug 2050 2:01:19 GMT"]),
    ];
    let case = |name, response| required(format!("freshness-expires-invalid-{name}"), then(response, Origin));
    let pausing = pausing.map(|(name, date)| case(name, written(&[date]).pausing()));
    pausing.into_iter().chain(at_once.map(|(name, lines)| case(name, written(lines)))).collect()
}
