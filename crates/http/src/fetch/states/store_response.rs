//! *Store response*: a worker puts it into the cache.

use afpa_engine::{Context, Outcome, Wake};

use crate::fetch::FetchError;
use crate::fetch::flight::End;
use crate::fetch::module::Fetch;
use crate::fetch::table::{PENDING, STORED};
use crate::remote::store::{self, Kind};

/// Until the cache has it, the flight answers for it. Then nobody joins that any more.
pub(crate) fn store_response(cx: &mut Context<'_, Fetch>) -> Outcome {
    if cx.wake == Wake::Continued {
        return begin(cx);
    }
    if cx.input.is_present() && !cx.input.unread().is_empty() {
        // Nothing was asked since.
        cx.request.is_persistent = false;
    }
    match cx.completion::<store::Done>() {
        None => PENDING,
        Some(done) => finish(cx, done.flatten()),
    }
}

fn begin(cx: &mut Context<'_, Fetch>) -> Outcome {
    let (Some(job), Some(head)) = (&cx.request.job, &cx.request.head) else { return STORED };
    let (flight, outgoing) = (job.flight.clone(), job.outgoing.clone());
    let Some(keeping) = &outgoing.keeping else { return STORED };
    let Some(kind) = Kind::of(keeping, head, &flight) else { return finish(cx, None) };
    // A reload may have other policies by now.
    let (relay, head) = (outgoing.routed.relay.relay.clone(), head.clone());
    let (key, policy, purges) = (keeping.key.clone(), keeping.policy, keeping.purges);
    match cx.spawn(move || store::store(&relay, &key, &head, kind, policy, purges)) {
        Ok(()) => PENDING,
        Err(_) => finish(cx, None),
    }
}

fn finish(cx: &mut Context<'_, Fetch>, done: store::Done) -> Outcome {
    let Some(job) = &cx.request.job else { return STORED };
    let (flight, outgoing) = (job.flight.clone(), job.outgoing.clone());
    let engine = cx.global.shared.borrow().engine;
    let validates = cx.request.head.as_ref().is_some_and(|head| head.validates);
    if validates {
        // It is as good as the backend says, if there is no room for what it says of it.
        let validated = outgoing.keeping.as_ref().and_then(|keeping| keeping.validates.clone());
        let end = done.or(validated).map_or(End::Failed(FetchError::Unavailable), End::Object);
        flight.end(end, &mut cx.desk(), engine);
    }
    outgoing.close(&flight);
    if let Some(keeping) = outgoing.keeping.as_ref().filter(|keeping| !keeping.is_part) {
        let flights = &cx.global.relay.shared.flights;
        match cx.request.head.as_ref().is_some_and(|head| head.may_be_shared() || head.validates) {
            true => flights.unite(&keeping.key),
            false => flights.set_apart(&keeping.key, cx.global.seconds.get()),
        }
    }
    STORED
}
