//! An entry point for fuzzing: any octets in, a panic only if a promise is broken.

use crate::conditional;
use crate::date;
use crate::fields::Fields;
use crate::freshness::Reuse;
use crate::invalidation;
use crate::message::{Request, Response, Times};
use crate::policy::Policy;
use crate::status::{CacheStatus, Handled};
use crate::stored::Stored;
use crate::vary;

/// The cache's clock.
const NOW: u64 = 1_800_000_000;
/// Lines beyond these are not looked at.
const MOST_LINES: usize = 64;

/// Reads `data` as three blocks of field lines, parted by empty ones: a request, the response to it, and a 304 to its
/// validation; in front of them a line with the status. Handles all as a cache would.
///
/// # Panics
/// If a response is stored that must not be, or is used for longer than is allowed.
pub fn exchange(data: &[u8]) {
    let mut blocks = data.split(|&octet| octet == b'\n');
    let status = blocks.next().and_then(|line| std::str::from_utf8(line).ok()?.parse().ok()).unwrap_or(200);
    let [request, response, not_modified] = std::array::from_fn(|_| block(&mut blocks));
    let uri = b"https://example.com/a/b?c";
    let request = Request { method: b"GET", uri, fields: Fields(&request) };
    let response = Response { status, fields: Fields(&response) };
    let times = Times { requested: NOW - 1, received: NOW };
    let policy = Policy::default();
    for uri in invalidation::targets(&Request { method: b"POST", ..request }, &response) {
        assert!(uri.starts_with(b"https://example.com/"), "another origin");
    }
    let Ok(stored) = policy.store(&request, &response, times) else { return };
    check_stored(&policy, &request, &response, &stored);
    let kept: Vec<_> = response.fields.0.iter().filter(|(n, v)| stored.omitted.keeps(n, v)).copied().collect();
    let Ok(refreshed) = stored.refresh(&policy, &request, Fields(&kept), Fields(&not_modified), times) else { return };
    if let Ok(again) = &refreshed.stored {
        let response = Response { status, fields: Fields(&refreshed.fields) };
        check_stored(&policy, &request, &response, again);
    }
}

fn block<'a>(lines: &mut impl Iterator<Item = &'a [u8]>) -> Vec<(&'a [u8], &'a [u8])> {
    let lines = lines.take_while(|line| !line.is_empty()).take(MOST_LINES);
    lines.filter_map(|line| line.iter().position(|&o| o == b':').map(|at| (&line[..at], &line[at + 1..]))).collect()
}

fn check_stored(policy: &Policy, request: &Request<'_>, response: &Response<'_>, stored: &Stored) {
    let directives = policy.response_directives(response.fields);
    assert!(!directives.private && (!directives.no_store || directives.must_understand));
    assert!(response.fields.members(b"vary").all(|name| name != b"*"));
    assert!(stored.vary.is_sorted() && stored.vary.len() <= crate::MOST_VARY);
    assert!(!stored.omitted.keeps(b"Connection", b""));
    assert_eq!(conditional::validation_fields(stored).count() == 0, stored.validators.is_empty());
    let asked = policy.request_directives(request.fields);
    for now in [0, NOW, NOW + 1, NOW + 100_000, u64::MAX] {
        let reuse = stored.reuse(&asked, now);
        assert!(reuse != Reuse::Fresh || stored.ttl(now) > 0 && !directives.no_cache);
        assert!(!stored.freshness.is_plainly_fresh(now) || stored.ttl(now) > 0 && !directives.no_cache);
        if stored.ttl(now) <= 0 && (directives.must_revalidate || directives.no_cache) {
            assert!(matches!(reuse, Reuse::Validate(_) | Reuse::Unavailable), "{reuse:?}");
            assert!(!stored.on_error(&asked, now));
        }
        let mut status = Vec::new();
        let ttl = Some(stored.ttl(now));
        CacheStatus { ttl, ..CacheStatus::new(&policy.name, Handled::Hit) }.append(&mut status);
    }
    conditional::is_not_modified(stored, request.fields);
    let mut key = Vec::new();
    if vary::append_key(stored.vary.iter().map(|name| &**name), request.fields, &mut key).is_ok() {
        assert!(key.len() <= vary::LONGEST_KEY);
    }
}

/// Reads `data` as a date.
///
/// # Panics
/// If it is beyond the year 9999.
pub fn date(data: &[u8]) {
    assert!(date::parse(data).is_none_or(|seconds| seconds <= 253_402_300_799));
}
