//! `afpa accelerate` as a shared cache: what RFC 9111 and its kin require, what an operator hopes for, and what it is
//! good to know.
//!
//! The cases are those of the public suite of cache tests (<https://cache-tests.fyi>) that concern a shared cache, by
//! the same ids, so that results can be compared with those that are published. Here they run against an origin and
//! with a client that see and say every octet. Three things are stricter for it: a field that must not be stored is
//! looked for in what the cache answers (`headers-store-*`), a field on two lines is sent so
//! (`vary-normalise-combine`), and a tag has the same octets in both directions
//! (`conditional-etag-strong-respond-obs-text`).
//!
//! Another cache is judged by hand: it listens somewhere, with an origin that is not there yet, and
//!
//! ```text
//! AFPA_CONFORMANCE_PROXY=http://127.0.0.1:8002 AFPA_CONFORMANCE_ORIGIN=127.0.0.1:8000 \
//!     cargo test -p afpa --test cache_conformance another_cache -- --ignored --nocapture
//! ```

mod case;
mod cases;
mod client;
mod date;
mod judge;
mod known_failures;
mod message;
mod origin;
mod proxy;
mod report;
mod run;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use case::{Exchange, Kind, Source};
use known_failures::KNOWN_FAILURES;
use origin::Origin;
use proxy::Proxy;
use report::Report;

/// How many cases of each kind the public suite has for shared caches.
const REQUIRED: usize = 160;
const OPTIMAL: usize = 105;
const CHECKS: usize = 100;
/// How many of them must pass, whatever is known to fail.
const REQUIRED_PASSES: usize = 152;
const OPTIMAL_PASSES: usize = 80;

#[test]
fn responses_are_stored_and_reused_as_a_shared_cache_should() {
    let origin = Origin::start("127.0.0.1:0".parse().unwrap());
    let proxy = Proxy::start(origin.address);
    let cases = cases::all();
    let results = run::run(&cases, &origin, proxy.address);
    let report = Report::of(&cases, &results);
    report.print();
    let failures = report.failures();
    let known: BTreeMap<_, _> = KNOWN_FAILURES.iter().copied().collect();
    let unknown: Vec<_> = failures.iter().filter(|(id, _)| !known.contains_key(*id)).collect();
    assert!(unknown.is_empty(), "cases that fail, and should not: {unknown:#?}");
    let better: Vec<_> = known.keys().filter(|id| !failures.contains_key(*id)).collect();
    assert!(better.is_empty(), "cases that pass, and are known to fail: {better:#?}");
    assert!(report.count(Kind::Required, true) >= REQUIRED_PASSES);
    assert!(report.count(Kind::Optimal, true) >= OPTIMAL_PASSES);
}

#[test]
fn the_cases_are_those_of_the_public_suite_in_number_and_each_leads_to_others_that_exist() {
    let cases = cases::all();
    let count = |kind| cases.iter().filter(|case| case.kind == kind).count();
    assert_eq!([Kind::Required, Kind::Optimal, Kind::Check].map(count), [REQUIRED, OPTIMAL, CHECKS]);
    let ids: BTreeSet<_> = cases.iter().map(|case| case.id.as_str()).collect();
    assert_eq!(ids.len(), cases.len(), "ids are unique");
    // A case may be needed only by cases that do not lead back to it.
    let mut settled = HashSet::new();
    loop {
        let before = settled.len();
        let ready = cases.iter().filter(|case| case.needs.iter().all(|id| settled.contains(id.as_str())));
        let ready: Vec<_> = ready.map(|case| case.id.as_str()).collect();
        settled.extend(ready);
        if settled.len() == before {
            break;
        }
    }
    let unsettled: Vec<_> = ids.iter().filter(|id| !settled.contains(*id)).collect();
    assert!(unsettled.is_empty(), "{unsettled:?} need what does not exist, or each other");
    for (id, reason) in KNOWN_FAILURES {
        assert!(ids.contains(id) && !reason.is_empty(), "{id} fails for no reason");
    }
}

/// The judge is judged: where there is no cache, what needs one fails, and what forbids one passes.
#[test]
fn without_a_cache_everything_comes_from_the_origin() {
    let origin = Origin::start("127.0.0.1:0".parse().unwrap());
    let cases = cases::all();
    let results = run::run(&cases, &origin, origin.address);
    for (case, result) in cases.iter().zip(&results) {
        let needs_cache = case.exchanges.iter().any(needs_cache);
        assert!(!needs_cache || result.is_err(), "{} passes without a cache", case.id);
        let forbids_cache = !needs_cache && case.exchanges.iter().any(|exchange| exchange.source == Source::Origin);
        assert!(!forbids_cache || result.is_ok(), "{}: {result:?}", case.id);
    }
}

fn needs_cache(exchange: &Exchange) -> bool {
    match exchange.source {
        Source::Anywhere | Source::Origin => false,
        Source::Cache => true,
        // A condition of the client's own does as well.
        Source::CacheByTag | Source::CacheByDate => {
            !exchange.request_fields.iter().any(|(name, _)| name.starts_with("If-"))
        }
    }
}

#[test]
#[ignore = "by hand, with another cache"]
fn another_cache() {
    let variable = |name| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let proxy = variable("AFPA_CONFORMANCE_PROXY");
    let proxy = proxy.trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
    let origin = Origin::start(variable("AFPA_CONFORMANCE_ORIGIN").parse().unwrap());
    let cases = cases::all();
    let results = run::run(&cases, &origin, proxy);
    Report::of(&cases, &results).print();
}
