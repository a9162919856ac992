//! How Age is parsed (RFC 9111 §5.1): a cache goes by the first member of a list, and ignores what is no number.

use super::then;
use crate::case::{Case, Source, Source::Cache, Source::Origin, at, check, prepare, required};

pub(crate) fn cases() -> Vec<Case> {
    let cases: [(&str, &[&str], Source); 12] = [
        ("nonnumeric", &["abc"], Cache),
        ("negative", &["-7200"], Cache),
        ("float", &["7200.0"], Cache),
        ("large-minus-one", &["2147483647"], Origin),
        ("large", &["2147483648"], Origin),
        ("larger", &["2147483649"], Origin),
        ("suffix", &["7200, 0"], Origin),
        ("prefix", &["0, 7200"], Cache),
        ("suffix-twoline", &["7200", "0"], Origin),
        ("prefix-twoline", &["0", "7200"], Cache),
        ("dup-0", &["0, 0"], Cache),
        ("dup-0-twoline", &["0", "0"], Cache),
    ];
    let exchanges = |lifetime, lines: &[&str], source| {
        let response = prepare().answers("Date", at(0)).answers("Cache-Control", lifetime).pausing();
        then(lines.iter().fold(response, |response, line| response.answers_loosely("Age", *line)), source)
    };
    let one_hour = "max-age=3600";
    let required_ones =
        cases.map(|(name, lines, source)| required(format!("age-parse-{name}"), exchanges(one_hour, lines, source)));
    let others = [
        required("age-parse-dup-old", exchanges("max-age=10000", &["3600", "3600"], Cache)),
        check("age-parse-parameter", exchanges(one_hour, &["7200;foo=bar"], Origin)),
        check("age-parse-numeric-parameter", exchanges(one_hour, &["7200;foo=111"], Origin)),
    ];
    required_ones.into_iter().chain(others).map(|case| case.needs("freshness-max-age-age")).collect()
}
