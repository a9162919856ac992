//! Conditional requests: those of clients, which a cache may answer, and those that a cache makes (RFC 9111 §4.3).

use super::{becoming_stale, fresh};
use crate::case::{
    Case, Exchange, Source::Cache, Source::CacheByDate, Source::CacheByTag, Value, at, check, get, optimal, prepare,
    required,
};

pub(crate) fn cases() -> Vec<Case> {
    [by_date(), by_tag(), odd_tags(), own_conditions(), forwarded()].into_iter().flatten().collect()
}

fn not_modified(exchange: Exchange) -> Exchange {
    exchange.from(Cache).expects_status(304)
}

fn by_date() -> Vec<Case> {
    let modified = |response: Exchange| response.answers("Last-Modified", at(-3000));
    let since = |date| not_modified(get().asks("If-Modified-Since", date));
    let validated = since(at(-3000)).from(CacheByDate);
    let cases = [
        optimal("conditional-lm-fresh", [modified(fresh()), since(at(-3000))]),
        optimal("conditional-lm-fresh-earlier", [modified(fresh()), since(at(-2000))]),
        // Without Last-Modified there is only Date, which is later (RFC 9111 §4.3.2).
        optimal("conditional-lm-fresh-no-lm", [fresh(), since(at(-3000))]),
        optimal("conditional-lm-fresh-rfc850", [modified(fresh()), since(Value::AtInRfc850(-3000))]),
    ];
    let stale = optimal("conditional-lm-stale", [modified(becoming_stale()), validated]);
    cases
        .map(|case| case.needs("freshness-max-age"))
        .into_iter()
        .chain([stale.needs("freshness-max-age-stale")])
        .collect()
}

/// A response with a tag, and a request for anything else.
fn tagged(tag: &str, condition: &'static str) -> [Exchange; 2] {
    [fresh().answers("ETag", tag), not_modified(get().asks("If-None-Match", condition))]
}

fn by_tag() -> Vec<Case> {
    const TAG: &str = "\"abcdef\"";
    let id = "conditional-etag-strong-respond";
    let [first, second] = tagged(TAG, TAG);
    let with_tag = [first, second.expects("ETag", TAG)];
    // By its date alone it would have to be sent.
    let [first, second] =
        [fresh().answers("Last-Modified", at(-5000)).answers("ETag", TAG), tagged(TAG, TAG)[1].clone()];
    let both = [first, second.asks("If-Modified-Since", at(-10_000))];
    vec![
        optimal(id, tagged(TAG, TAG)).needs("freshness-max-age"),
        required("conditional-304-etag", with_tag).needs(id),
        required("conditional-etag-precedence", both).needs(id),
        optimal("conditional-etag-weak-respond", tagged("W/\"abcdef\"", "W/\"abcdef\"")).needs("freshness-max-age"),
        optimal(format!("{id}-multiple-first"), tagged(TAG, "\"abcdef\", \"1234\", \"5678\"")).needs(id),
        optimal(format!("{id}-multiple-second"), tagged(TAG, "\"1234\", \"abcdef\", \"5678\"")).needs(id),
        optimal(format!("{id}-multiple-last"), tagged(TAG, "\"1234\", \"5678\", \"abcdef\"")).needs(id),
    ]
}

/// What is no tag by the grammar (RFC 9110 §8.8.3), and is seen nevertheless.
fn odd_tags() -> Vec<Case> {
    const LATIN: &str = "\"abcdef\u{fc}\"";
    let [first, second] = tagged(LATIN, LATIN);
    let strong = [
        check("conditional-etag-strong-respond-obs-text", [first, second.expects("ETag", LATIN)]),
        check("conditional-etag-quoted-respond-unquoted", tagged("\"abcdef\"", "abcdef")),
        check("conditional-etag-unquoted-respond-unquoted", tagged("abcdef", "abcdef")),
        check("conditional-etag-unquoted-respond-quoted", tagged("abcdef", "\"abcdef\"")),
    ];
    let weak = [
        check("conditional-etag-weak-respond-lowercase", tagged("w/\"abcdef\"", "w/\"abcdef\"")),
        check("conditional-etag-weak-respond-backslash", tagged("W\\\"abcdef\"", "W\\\"abcdef\"")),
        check("conditional-etag-weak-respond-omit-slash", tagged("W\"abcdef\"", "W\"abcdef\"")),
    ];
    let strong = strong.map(|case| case.needs("conditional-etag-strong-respond"));
    strong.into_iter().chain(weak.map(|case| case.needs("conditional-etag-weak-respond"))).collect()
}

fn own_conditions() -> Vec<Case> {
    let generated = |tag: &str, condition| {
        let second = get().forwards("If-None-Match", condition).from(CacheByTag);
        [becoming_stale().answers("ETag", tag), second]
    };
    let varying = |lifetime| {
        let first = prepare().asks("Abc", "123").answers("Expires", at(lifetime)).answers("ETag", "\"abcdef\"");
        first.answers("Date", at(0)).answers("Vary", "Abc").pausing()
    };
    let same = get().asks("Abc", "123").from(CacheByTag).forwards("Abc", "123");
    let other = get().asks("Abc", "456").forwards("If-None-Match", "\"abcdef\"");
    let vary = "conditional-etag-vary-headers";
    let strong = "conditional-etag-strong-generate";
    let weak = "W/\"abcdef\"";
    vec![
        required(vary, [varying(1), same]),
        check("conditional-etag-vary-headers-mismatch", [varying(10_000), other]).needs(vary).needs("vary-no-match"),
        optimal(strong, generated("\"abcdef\"", "\"abcdef\"")).needs("freshness-max-age-stale"),
        optimal("conditional-etag-weak-generate-weak", generated(weak, weak)).needs("freshness-max-age-stale"),
        check("conditional-etag-strong-generate-unquoted", generated("abcdef", "\"abcdef\"")).needs(strong),
    ]
}

/// With nothing stored, a condition is the origin's business.
fn forwarded() -> Vec<Case> {
    let condition =
        |condition: &'static str| [get().asks("If-None-Match", condition).forwards("If-None-Match", "\"abcdef\"")];
    vec![
        check("conditional-etag-forward", condition("\"abcdef\"")),
        check("conditional-etag-forward-unquoted", condition("abcdef")).needs("conditional-etag-forward"),
    ]
}
