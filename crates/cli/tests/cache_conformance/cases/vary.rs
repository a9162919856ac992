//! Responses that were selected by fields of their requests (RFC 9111 §4.1, RFC 9110 §12.5.5).

use crate::case::{
    Case, Exchange, Source, Source::Cache, Source::Origin, at, cached, get, not_cached, optimal, prepare, required,
};

pub(crate) fn cases() -> Vec<Case> {
    [one_field(), several_fields(), normalised(), stars()].into_iter().flatten().collect()
}

/// Fields of a request.
type Asked = &'static [(&'static str, &'static str)];

fn asking(exchange: Exchange, fields: Asked) -> Exchange {
    fields.iter().fold(exchange, |exchange, (name, value)| exchange.asks(name, *value))
}

/// A fresh response to these fields; what it varies on must arrive, if it is one name.
fn varying(fields: Asked, vary: &[&str]) -> Exchange {
    let response = asking(prepare(), fields).answers("Cache-Control", "max-age=5000");
    let response = response.answers("Last-Modified", at(-3000)).answers("Date", at(0));
    let is_checked = vary == ["Foo"] || vary == ["Accept-Language"];
    vary.iter().fold(response, |response, line| response.answering("Vary", *line, is_checked))
}

/// A response that varies on Foo and was asked for with `first`; where it comes from when asked for with `second`.
fn on_foo(first: Asked, second: Asked, source: Source) -> [Exchange; 2] {
    [varying(first, &["Foo"]), asking(get().from(source), second)]
}

fn one_field() -> Vec<Case> {
    const ONE: Asked = &[("Foo", "1")];
    const TWO: Asked = &[("Foo", "2")];
    let [first_other, second_other]: [Asked; 2] = [&[("Foo", "1"), ("Other", "2")], &[("Foo", "1"), ("Other", "3")]];
    // A second variant does not take the place of the first.
    let variants = [
        varying(ONE, &["Foo"]).body("the first"),
        varying(TWO, &["Foo"]).body("the second").from(Origin),
        asking(cached(), ONE).body("the first"),
    ];
    let cases = [
        required("vary-no-match", on_foo(ONE, TWO, Origin)),
        required("vary-omit-stored", on_foo(&[], ONE, Origin)),
        required("vary-omit", on_foo(ONE, &[], Origin)),
        optimal("vary-cache-key", on_foo(first_other, second_other, Cache)),
    ];
    let match_itself = optimal("vary-match", on_foo(ONE, ONE, Cache)).needs("freshness-max-age");
    let variants = optimal("vary-invalidate", variants);
    [match_itself].into_iter().chain(cases.into_iter().chain([variants]).map(|case| case.needs("vary-match"))).collect()
}

fn several_fields() -> Vec<Case> {
    const TWO: Asked = &[("Foo", "1"), ("Bar", "abc")];
    const THREE: Asked = &[("Foo", "1"), ("Bar", "abc"), ("Baz", "789")];
    const WITHOUT: Asked = &[("Foo", "1"), ("Baz", "789")];
    let two = |second: Asked, source| [varying(TWO, &["Foo, Bar"]), asking(get().from(source), second)];
    let three =
        |first: Asked, second: Asked, source| [varying(first, &["Foo, Bar, Baz"]), asking(get().from(source), second)];
    vec![
        optimal("vary-2-match", two(TWO, Cache)).needs("vary-match"),
        required("vary-2-no-match", two(&[("Foo", "2"), ("Bar", "abc")], Origin)).needs("vary-2-match"),
        required("vary-2-match-omit", two(&[], Origin)).needs("vary-2-match"),
        optimal("vary-3-match", three(THREE, THREE, Cache)).needs("vary-2-match"),
        required("vary-3-no-match", three(THREE, &[("Foo", "2"), ("Bar", "abc"), ("Baz", "789")], Origin))
            .needs("vary-3-match"),
        required("vary-3-order", three(THREE, &[("Foo", "1"), ("Baz", "789"), ("Bar", "abcde")], Origin))
            .needs("vary-3-match"),
        // Missing then and missing now is a match.
        optimal("vary-3-omit", three(WITHOUT, WITHOUT, Cache)).needs("vary-3-match"),
    ]
}

/// Values that mean the same may be taken for the same.
fn normalised() -> Vec<Case> {
    let languages = |value: &'static str| {
        let first = varying(&[("Accept-Language", "en, de")], &["Accept-Language"]);
        [first, cached().asks("Accept-Language", value)]
    };
    let [german, either] = languages("fr;q=0.5, de;q=1.0");
    let cases = [
        ("combine", on_foo(&[("Foo", "1, 2")], &[("Foo", "1"), ("Foo", "2")], Cache)),
        ("lang-order", languages("de, en")),
        ("lang-case", languages("eN, De")),
        ("lang-space", languages(" en ,   de")),
        ("lang-select", [german.answers("Content-Language", "de"), either]),
        ("space", on_foo(&[("Foo", "1,2")], &[("Foo", " 1, 2 ")], Cache)),
    ];
    let case = |(name, exchanges)| optimal(format!("vary-normalise-{name}"), exchanges).needs("vary-match");
    cases.map(case).into()
}

/// A star anywhere: no request ever matches.
fn stars() -> Vec<Case> {
    const ASKED: Asked = &[("Foo", "1"), ("Baz", "789")];
    let again = || asking(not_cached(), ASKED);
    let cases: [(&str, &[&str]); 7] = [
        ("star", &["*"]),
        ("star-star", &["*, *"]),
        ("star-star-lines", &["*", "*"]),
        ("empty-star", &[", *"]),
        ("empty-star-lines", &["", "*"]),
        ("star-foo", &["*, Foo"]),
        ("foo-star", &["Foo, *"]),
    ];
    let plain = varying(ASKED, &[]).answers("Vary", "*");
    let case =
        |(name, lines)| required(format!("vary-syntax-{name}"), [varying(ASKED, lines), again()]).needs("vary-match");
    [required("vary-star", [plain, again()])].into_iter().chain(cases.map(case)).collect()
}
