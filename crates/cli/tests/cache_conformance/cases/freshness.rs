//! Lifetimes that Cache-Control gives (RFC 9111 §4.2.1, §5.2.2.1, §5.2.2.10), and how it is parsed (§5.2, RFC 9110
//! §5.6).

use super::{becoming_stale, then};
use crate::case::{Case, Exchange, Source::Cache, Source::Origin, at, check, optimal, prepare, required};

pub(crate) fn cases() -> Vec<Case> {
    [lifetimes(), shared_lifetimes(), repeated(), unusual()].into_iter().flatten().collect()
}

/// A response whose Cache-Control arrives as it was.
fn controlled(directives: &str) -> Exchange {
    prepare().answers("Cache-Control", directives).pausing()
}

fn lifetimes() -> Vec<Case> {
    let dated = |directives| controlled(directives).answers("Date", at(0));
    let one_hour = "max-age=3600";
    vec![
        // It may be reused (RFC 9111 §4.2.2), but then most of the other cases say nothing.
        check("freshness-none", then(prepare().pausing(), Origin)),
        optimal("freshness-max-age", then(controlled(one_hour), Cache)).needs("freshness-none"),
        required("freshness-max-age-stale", then(becoming_stale(), Origin)).needs("freshness-max-age"),
        required("freshness-max-age-0", then(controlled("max-age=0"), Origin)).needs("freshness-none"),
        // Numbers above 2^31 count as that (RFC 9111 §1.2.2).
        optimal("freshness-max-age-max-minus-1", then(controlled("max-age=2147483647"), Cache)).needs("freshness-none"),
        optimal("freshness-max-age-max", then(controlled("max-age=2147483648"), Cache)).needs("freshness-none"),
        optimal("freshness-max-age-max-plus-1", then(controlled("max-age=2147483649"), Cache)).needs("freshness-none"),
        optimal("freshness-max-age-max-plus", then(controlled("max-age=99999999999"), Cache)).needs("freshness-none"),
        required("freshness-max-age-age", then(dated(one_hour).answers("Age", "7200"), Origin))
            .needs("freshness-max-age"),
        check("freshness-max-age-date", then(controlled(one_hour).answers("Date", at(-7200)), Origin))
            .needs("freshness-max-age"),
        optimal("freshness-max-age-expires", then(dated(one_hour).answers("Expires", at(-7200)), Cache))
            .needs("freshness-max-age"),
        optimal("freshness-max-age-expires-invalid", then(dated(one_hour).answers_loosely("Expires", "0"), Cache))
            .needs("freshness-max-age"),
        required("freshness-max-age-0-expires", then(dated("max-age=0").answers("Expires", at(3600)), Origin))
            .needs("freshness-none"),
        optimal("freshness-max-age-extension", then(controlled("foobar, max-age=3600"), Cache))
            .needs("freshness-max-age"),
        optimal("freshness-max-age-case-insenstive", then(controlled("MaX-aGe=3600"), Cache))
            .needs("freshness-max-age"),
        required("freshness-max-age-negative", then(controlled("max-age=-3600"), Origin)).needs("freshness-none"),
    ]
}

fn shared_lifetimes() -> Vec<Case> {
    let expired = prepare().answers("Expires", at(-10)).answers("Cache-Control", "max-age=0, s-maxage=3600").pausing();
    let lines = controlled("max-age=3600").answers("Cache-Control", "s-maxage=1");
    let longer = "freshness-max-age-s-maxage-shared-longer";
    let shorter = "freshness-max-age-s-maxage-shared-shorter";
    let cases = [
        required(longer, then(controlled("max-age=3600, s-maxage=1"), Origin)),
        required(format!("{longer}-reversed"), then(controlled("s-maxage=1, max-age=3600"), Origin)),
        required(format!("{longer}-multiple"), then(lines, Origin)),
        optimal(shorter, then(controlled("max-age=1, s-maxage=3600"), Cache)),
        optimal(format!("{shorter}-expires"), then(expired, Cache)),
    ];
    let alone = required("freshness-s-maxage-shared", then(controlled("s-maxage=3600"), Cache)).needs("freshness-none");
    std::iter::once(alone).chain(cases.map(|case| case.needs("freshness-s-maxage-shared"))).collect()
}

/// What a proxy may tidy up on the way.
fn loosely(lines: &[&str]) -> Exchange {
    lines.iter().fold(prepare().pausing(), |response, line| response.answers_loosely("Cache-Control", *line))
}

/// The same directive twice: RFC 9111 §4.2.1 lets the first count, or none.
fn repeated() -> Vec<Case> {
    let cases: [(&str, &[&str]); 4] = [
        ("fresh-stale-sameline", &["max-age=1800, max-age=1"]),
        ("fresh-stale-sepline", &["max-age=1800", "max-age=1"]),
        ("stale-fresh-sameline", &["max-age=1, max-age=1800"]),
        ("stale-fresh-sepline", &["max-age=1", "max-age=1800"]),
    ];
    let case = |(name, lines)| check(format!("freshness-max-age-two-{name}"), then(loosely(lines), Cache));
    cases.map(case).map(|case| case.needs("freshness-none")).into()
}

fn unusual() -> Vec<Case> {
    let response = |line| loosely(&[line]);
    let quoted = [
        check("freshness-max-age-quoted", then(response("max-age=\"3600\""), Cache)),
        // Within a quoted string nothing is a directive.
        required("freshness-max-age-ignore-quoted", then(response("extension=\"max-age=3600\", max-age=1"), Origin)),
        required(
            "freshness-max-age-ignore-quoted-rev",
            then(response("max-age=1, extension=\"max-age=3600\""), Origin),
        ),
    ];
    let others = [
        check("freshness-max-age-space-before-equals", then(response("max-age =3600"), Origin)),
        check("freshness-max-age-space-after-equals", then(response("max-age= 3600"), Origin)),
        required("freshness-max-age-leading-zero", then(response("max-age=003600"), Cache)),
        required("freshness-max-age-single-quoted", then(response("max-age='3600'"), Origin)),
        check("freshness-max-age-decimal-zero", then(response("max-age=3600.0"), Cache)),
        check("freshness-max-age-decimal-five", then(response("max-age=3600.5"), Cache)),
        check("freshness-max-age-a100", then(response("max-age=a3600"), Cache)),
        check("freshness-max-age-100a", then(response("max-age=3600a"), Cache)),
    ];
    let quoted = quoted.map(|case| case.needs("freshness-max-age"));
    quoted.into_iter().chain(others.map(|case| case.needs("freshness-none"))).collect()
}
