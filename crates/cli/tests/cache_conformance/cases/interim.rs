//! Interim responses: passed on, and never stored (RFC 9110 §15.2, RFC 9111 §3, RFC 8297).

use crate::case::{Case, Exchange, Expected, at, cached, get, optimal, required};

const LINK: (&str, &str) = ("link", "</styles.css>; rel=preload; as=style");
const OWN: (&str, &str) = ("x-my-header", "test");

pub(crate) fn cases() -> Vec<Case> {
    let none = Exchange { expected_interim: Some(Vec::new()), ..cached() };
    let without = |exchange: Exchange| exchange.expects_field(OWN.0, Expected::Missing);
    vec![
        optimal("interim-102", [preceded(102, &[]), cached()]),
        optimal("interim-103", [preceded(103, &[LINK, OWN]), cached()]),
        required("interim-not-cached", [preceded(103, &[LINK]), none]),
        optimal("interim-no-header-reuse", [preceded(103, &[LINK, OWN]), cached()].map(without)),
    ]
}

/// A fresh response with an interim one before it.
fn preceded(status: u16, fields: &[(&'static str, &'static str)]) -> Exchange {
    let response = get().interim(status, fields).expects_interim().answers("Cache-Control", "max-age=100000");
    response.answers("Date", at(0)).pausing()
}
