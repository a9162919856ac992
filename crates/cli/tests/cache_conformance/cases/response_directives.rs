//! Directives of responses that are not about lifetimes (RFC 9111 §5.2.2).

use super::then;
use crate::case::{
    Case, Exchange, Expected, Source::Cache, Source::CacheByTag, Source::Origin, at, cached, check, optimal, prepare,
    required,
};

pub(crate) fn cases() -> Vec<Case> {
    let others = [shared_and_unstored(), unvalidated(), revalidated()];
    others.into_iter().flatten().collect()
}

fn controlled(directives: &str) -> Exchange {
    prepare().answers("Cache-Control", directives)
}

/// Fresh by all accounts.
fn lasting(directives: &str) -> Exchange {
    controlled(directives).answers("Expires", at(10_000)).answers("Date", at(0))
}

fn shared_and_unstored() -> Vec<Case> {
    let replaced = |directives: &str| {
        let newer = controlled(directives).answers("Date", at(0)).answers("A", "2").pausing();
        [lasting("max-age=10000").answers("A", "1").pausing(), newer, cached().expects("A", "1")]
    };
    let id = "cc-resp-no-store";
    vec![
        required("cc-resp-private-shared", then(controlled("private, max-age=3600"), Origin)),
        required(id, then(controlled("no-store"), Origin)),
        required("cc-resp-no-store-case-insensitive", then(controlled("No-StOrE"), Origin)).needs(id),
        required("cc-resp-no-store-fresh", then(lasting("max-age=10000, no-store"), Origin)).needs(id),
        required("cc-resp-no-store-old-new", replaced("no-store")).needs(id),
        required("cc-resp-no-store-old-max-age", replaced("no-store, max-age=0")).needs(id),
    ]
}

/// `no-cache`: stored, but not reused before it is validated.
fn unvalidated() -> Vec<Case> {
    let id = "cc-resp-no-cache";
    let revalidated = "cc-resp-no-cache-revalidate";
    let tagged = |response: Exchange| response.answers("ETag", "\"abcd\"");
    // With an argument, it is about these fields alone.
    let listing = |names: &'static [&'static str], kept: (&'static str, &'static str)| {
        let first = controlled(&format!("no-cache=\"{}\"", names.join(", ")));
        let first = names.iter().zip(["1", "2"]).fold(first, |first, (name, value)| first.answers(*name, value));
        let first = first.answers(kept.0, kept.1).answers("Cache-Control", "max-age=3600").answers("Date", at(0));
        let second = cached().expects(kept.0, kept.1);
        let second = names.iter().fold(second, |second, name| second.expects_field(*name, Expected::Missing));
        [first.pausing(), second]
    };
    let listed = "headers-omit-headers-listed-in-Cache-Control-no-cache";
    vec![
        required(id, then(lasting("max-age=10000, no-cache"), Origin)),
        required("cc-resp-no-cache-case-insensitive", then(lasting("max-age=10000, No-CaChE"), Origin)).needs(id),
        optimal(revalidated, then(tagged(controlled("no-cache")), CacheByTag)).needs(id),
        optimal("cc-resp-no-cache-revalidate-fresh", then(tagged(lasting("max-age=10000, no-cache")), CacheByTag))
            .needs(id),
        check(format!("{listed}-single"), listing(&["a"], ("b", "2"))).needs(revalidated),
        check(listed, listing(&["a", "b"], ("c", "3"))).needs(revalidated),
    ]
}

fn revalidated() -> Vec<Case> {
    let tagged = |directives: &str| controlled(directives).answers("ETag", "\"abcd\"");
    let soon_stale = || tagged("max-age=2, must-revalidate");
    let twice = then(soon_stale().from(Cache).pausing(), CacheByTag);
    vec![
        optimal("cc-resp-must-revalidate-fresh", then(tagged("max-age=10000, must-revalidate"), Cache))
            .needs("freshness-none"),
        required("cc-resp-must-revalidate-stale", [vec![soon_stale()], twice.into()].concat()).needs("freshness-none"),
    ]
}
