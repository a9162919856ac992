//! What is well written and still cannot work.

use std::collections::HashSet;

use super::{Accelerate, Policy};
use crate::config::problems::{Problem, size_within, span_within};
use crate::units::{Size, Span};

/// A year: RFC 9110's writers used to ask that nothing is kept for longer.
const YEAR: Span = Span::seconds(31_536_000);
const HOUR: Span = Span::seconds(3600);

/// Everything that contradicts itself or lies outside its bounds. Looks at nothing but `accelerate`.
pub(in crate::config) fn problems(accelerate: &Accelerate, found: &mut Vec<Problem>) {
    let is_token = |octet: u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet);
    if accelerate.name.is_empty() || !accelerate.name.bytes().all(is_token) {
        let message = format!("expected letters, digits and hyphens, found {:?}", accelerate.name);
        found.push(Problem::new("accelerate.name", message));
    }
    let of_all = policy("accelerate.", &accelerate.policy);
    let mut names = HashSet::from(["", "off", "default"]);
    for (i, named) in accelerate.policies.iter().enumerate() {
        if !names.insert(&named.name) {
            let message = format!("expected a name that nothing else has, found {:?}", named.name);
            found.push(Problem::new(format!("accelerate.policies[{i}].name"), message));
        }
        let prefix = format!("accelerate.policies[{i}].");
        // What it has from the first one is said there.
        let is_own = |problem: &Problem| {
            let key = problem.key.replace(&prefix, "accelerate.");
            !of_all.iter().any(|other| other.key == key && other.message == problem.message)
        };
        found.extend(policy(&prefix, named).into_iter().filter(is_own));
    }
    found.extend(of_all);
    let timeouts = &accelerate.timeouts;
    for (key, span) in [
        ("connect", timeouts.connect),
        ("first-byte", timeouts.first_byte),
        ("between-bytes", timeouts.between_bytes),
        ("total", timeouts.total),
    ] {
        span_within(format!("accelerate.timeouts.{key}"), span, Span::seconds(0), Span::seconds(86_400), found);
    }
    if timeouts.connect == Span::seconds(0) {
        let message = "expected a duration from 1ms to 1d, found 0s; a connection that nobody accepts has no end";
        found.push(Problem::new("accelerate.timeouts.connect", message));
    }
    size_within("accelerate.response.head".into(), accelerate.response.head, Size::kib(4), Size::mib(1), found);
}

fn policy(prefix: &str, policy: &Policy) -> Vec<Problem> {
    let mut found = Vec::new();
    for (key, span) in [
        ("heuristic-most", policy.heuristic_most),
        ("default-lifetime", policy.default_lifetime),
        ("stale-while-revalidate", policy.stale_while_revalidate),
        ("stale-if-error", policy.stale_if_error),
    ] {
        span_within(format!("{prefix}{key}"), span, Span::seconds(0), YEAR, &mut found);
    }
    let mut statuses = HashSet::new();
    for (status, span) in &policy.negative {
        let key = format!("{prefix}negative.{status}");
        if !(400..=599).contains(status) || !statuses.insert(status) {
            let message = format!("expected the status of an error, from 400 to 599, found {status}");
            found.push(Problem::new(key, message));
        } else {
            span_within(key, *span, Span::seconds(0), HOUR, &mut found);
        }
    }
    size_within(format!("{prefix}max-object"), policy.max_object, Size::kib(4), Size(1 << 40), &mut found);
    for (i, method) in policy.methods.iter().enumerate() {
        // RFC 9110 §9.2.3: POST is cacheable only where it says so, which nobody does.
        if !matches!(method.as_str(), "GET" | "HEAD") {
            let message = format!("expected GET or HEAD, found {method:?}");
            found.push(Problem::new(format!("{prefix}methods[{i}]"), message));
        }
    }
    found
}
