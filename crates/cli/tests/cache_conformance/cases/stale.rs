//! Stale responses, and when they are used nevertheless (RFC 9111 §4.2.4, RFC 5861).

use super::{becoming_stale, stale, then};
use crate::case::{Case, Exchange, Expected, Source::Cache, cached, check, get, optimal, prepare, required};
use crate::origin::{ANSWERED, COUNT};

pub(crate) fn cases() -> Vec<Case> {
    let failing = || cached().status(503, "Service Unavailable").expects_status(200);
    let tolerant = || prepare().answers("Cache-Control", "max-age=2, stale-if-error=60").pausing();
    let warned = || cached().cut_off().expects_field("Warning", Expected::Present);
    let need = "freshness-max-age-stale";
    let mut cases = vec![
        check("stale-close", [becoming_stale(), cached().cut_off()]).needs(need),
        check("stale-503", [becoming_stale(), failing()]).needs(need),
        optimal("stale-while-revalidate", then(revalidating(3600), Cache)).needs(need),
        required("stale-while-revalidate-window", window()).needs("stale-while-revalidate"),
        check("stale-sie-close", [tolerant(), cached().cut_off()]).needs(need),
        check("stale-sie-503", [tolerant(), failing()]).needs(need),
        check("stale-warning-stored", [stale(), warned()]).needs("stale-close"),
        check("stale-warning-become", [becoming_stale(), warned()]).needs("stale-close"),
    ];
    // What forbids it (RFC 9111 §4.2.4).
    cases.extend(["must-revalidate", "proxy-revalidate", "no-cache", "s-maxage=2"].map(forbidden));
    cases
}

/// Stale after a second, and then revalidated while it is used.
fn revalidating(seconds: u32) -> Exchange {
    let directives = format!("max-age=1, stale-while-revalidate={seconds}");
    prepare().answers("Cache-Control", directives).answers("ETag", "\"abc\"").pausing()
}

/// Once the time is over, the client waits for the origin.
fn window() -> [Exchange; 3] {
    let newer = prepare().from(Cache).answers_loosely("Cache-Control", "no-cache").answers_loosely("ETag", "\"def\"");
    [revalidating(4), newer.pausing(), get().expects(ANSWERED, "3")]
}

fn forbidden(directive: &str) -> Case {
    let first = prepare().answers("Cache-Control", format!("max-age=2, {directive}")).pausing();
    let second = get().cut_off().expects_any_status().expects_any_body();
    required(format!("stale-close-{directive}"), [first, second.expects_field(COUNT, Expected::Missing)])
        .needs("stale-close")
}
