//! *Derive cached response*: answers from this engine's view of the cache.

use afpa_engine::{Context, Outcome};

use super::Envelope;
use crate::cache::{Freshness, Image, KeyFlags, Kind, Request, key};
use crate::fetch::cache_subnet;
use crate::message::{Header, Query};
use crate::module::{Carrier, Dns, Global};
use crate::query_log::Outcome as LogOutcome;
use crate::table::{HIT, MISS};

/// One hash, one probe, one copy: nothing on this way allocates or locks. An answer near its end is asked for again
/// meanwhile, and one behind it is given for as long as the operator allows (RFC 8767).
pub(crate) fn derive_cached_response(cx: &mut Context<'_, Dns>) -> Outcome {
    let input = cx.input.unread();
    if answer(cx, input) { HIT } else { MISS }
}

/// Answers the query in `input`, or the one that was kept, if the view has what it asks for. Whether it has.
pub(super) fn answer(cx: &mut Context<'_, Dns>, input: &[u8]) -> bool {
    let now = cx.now();
    let Some((query, pool)) = cx.request.query(input).zip(cx.request.pool) else { return false };
    let Some(question) = query.question else { return false };
    let Global { settings, shared, reply, options, driver, key: name, .. } = &mut *cx.global;
    let mut shared = shared.borrow_mut();
    // What is for the client's subnet comes before what is for everybody (RFC 7871 §7.3.3).
    let subnet = shared.subnet(pool, &query);
    let subnets = [subnet.as_ref().map(cache_subnet), None];
    let first = usize::from(subnet.is_none());
    let resident = subnets[first..].iter().find_map(|subnet| {
        key(&question, KeyFlags::of(&query), subnet.as_ref(), name);
        shared.view.get(name).cloned()
    });
    let Some(resident) = resident else { return false };
    let details = **resident.object.details();
    let scope = subnet.and_then(|_| details.subnet_scope());
    let envelope = Envelope::of(&query, cx.connection, scope, cx.request, settings, options);
    let image = Image::of(&resident.object);
    let served = image.serve(&request(&query, &envelope, settings.udp_size, options), now, reply);
    let outcome = match served.freshness {
        Freshness::Expired => return false,
        Freshness::Stale => LogOutcome::Stale,
        Freshness::Fresh => LogOutcome::Hit,
    };
    // What is for everybody must not hide what is for a subnet.
    let is_for_all = subnet.is_none() && cx.connection.carrier == Carrier::Datagram;
    if let Some(driver) = driver.as_mut().filter(|_| is_for_all) {
        driver.cached(&query, &image, now);
    }
    let is_wanted = served.wants_refresh && details.kind() != Kind::Failure;
    let errand = if is_wanted { shared.refresh_of(pool, &query) } else { None };
    drop(shared);
    cx.request.outcome = cx.request.outcome.or(Some(outcome));
    cx.request.rcode = Header::read(reply).unwrap_or_default().rcode();
    if let Some(errand) = errand {
        let fetcher = cx.global.fetcher;
        cx.open(errand.open, fetcher, errand.tag);
    }
    true
}

/// How an image is to be served to whoever sent `query`.
pub(super) fn request<'a>(query: &'a Query<'a>, envelope: &Envelope, udp_size: u16, options: &'a [u8]) -> Request<'a> {
    Request { query, limit: envelope.limit, udp_size, options }
}
