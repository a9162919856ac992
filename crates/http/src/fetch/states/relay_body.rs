//! *Relay body*: hands the response's body, as it comes, to those who wait for it.

use std::sync::Arc;

use afpa_engine::{Context, Outcome, Wake};
use smallvec::SmallVec;

use super::send_request::send_body;
use super::{consume, fail};
use crate::fetch::FetchError;
use crate::fetch::flight::End;
use crate::fetch::module::Fetch;
use crate::fetch::outgoing::Outgoing;
use crate::fetch::table::{COMPLETE, FAILED, PENDING};
use crate::remote::trailer_lines;

/// Reads as far as the flight has room for. A body that does not end as its framing says is cut off, for all who
/// read it.
pub(crate) fn relay_body(cx: &mut Context<'_, Fetch>) -> Outcome {
    let Some(job) = &cx.request.job else { return FAILED };
    let (flight, attempt, outgoing) = (job.flight.clone(), job.attempt, job.outgoing.clone());
    let times = outgoing.times;
    if !flight.wants(attempt) {
        return fail(cx, FetchError::Abandoned);
    }
    let has_room = flight.has_room();
    if cx.wake == Wake::Expired {
        // It is not the backend's fault that nobody takes it.
        if has_room {
            return fail(cx, FetchError::CutOff);
        }
        cx.arm_after(times.between_bytes);
    }
    // A backend may answer before it has read the request (RFC 9112 §9.3); what is left of that is lost with it.
    if send_body(cx).is_err() {
        return fail(cx, FetchError::RequestCutOff);
    }
    if !has_room {
        return PENDING;
    }
    let Some(mut reader) = cx.request.reader.take() else { return FAILED };
    if reader.is_complete() {
        return complete(cx, &reader);
    }
    let unread = cx.input.unread();
    let mut pieces = SmallVec::<[&[u8]; 4]>::new();
    let progress = reader.advance(unread, |piece| pieces.push(piece));
    let Ok((count, is_done)) = progress else { return fail(cx, FetchError::CutOff) };
    // Most bodies come in one piece, which is copied once.
    let octets: Option<Arc<[u8]>> = match &pieces[..] {
        [] => None,
        [one] => Some(Arc::from(*one)),
        several => Some(Arc::from(several.concat())),
    };
    if cx.input.is_present() {
        consume(cx, count);
    }
    let engine = cx.global.shared.borrow().engine;
    if let Some(octets) = octets {
        cx.arm_after(times.between_bytes);
        flight.push(octets, &mut cx.desk(), engine);
        if flight.keeps() && !may_hold(&outgoing, flight.received()) {
            flight.keep_no_more();
        }
    }
    if is_done {
        return complete(cx, &reader);
    }
    if cx.input.is_present() && cx.finished() {
        if !reader.peer_finished() {
            return fail(cx, FetchError::CutOff);
        }
        cx.request.is_persistent = false;
        return complete(cx, &reader);
    }
    cx.request.reader = Some(reader);
    PENDING
}

/// Under the configuration with which the request began: after a reload, other policies may have their numbers.
fn may_hold(outgoing: &Outgoing, received: u64) -> bool {
    let relay = &outgoing.routed.relay.relay;
    outgoing.keeping.as_ref().is_some_and(|keeping| relay.may_hold(keeping.policy, received))
}

fn complete(cx: &mut Context<'_, Fetch>, reader: &crate::syntax::BodyReader) -> Outcome {
    let engine = cx.global.shared.borrow().engine;
    let validates = cx.request.head.as_ref().is_some_and(|head| head.validates);
    if let (Some(job), false) = (&cx.request.job, validates) {
        let trailers = trailer_lines(reader.trailers());
        let flight = job.flight.clone();
        flight.end(End::Complete(trailers), &mut cx.desk(), engine);
    }
    // What comes behind a response is the answer to nothing (RFC 9112 §9.2), and must not become one.
    if cx.input.is_present() && !cx.input.unread().is_empty() {
        cx.request.is_persistent = false;
    }
    cx.request.is_over = true;
    cx.arm(afpa_engine::Time::NEVER);
    COMPLETE
}
