//! *Tunnel*: after 101, octets go both ways, whatever they mean (RFC 9110 §7.8).

use std::sync::Arc;

use afpa_engine::{Context, Outcome, Time, Wake};

use super::send_request::send_body;
use super::{consume, end};
use crate::fetch::FetchError;
use crate::fetch::flight::End;
use crate::fetch::module::Fetch;
use crate::fetch::table::{ENDED, FAILED, PENDING};
use crate::syntax::ResponseParser;

/// The flight carries what the backend sends, the upload what the client sends. Each half ends by itself.
pub(crate) fn tunnel(cx: &mut Context<'_, Fetch>) -> Outcome {
    if cx.wake == Wake::Continued {
        leave_pool(cx);
    }
    let Some(job) = &cx.request.job else { return FAILED };
    let (flight, patience) = (job.flight.clone(), job.outgoing.times.between_bytes);
    let engine = cx.global.shared.borrow().engine;
    // Silence is no fault of a tunnel: the client's side bounds it.
    let is_client_gone = flight.readers() == 0;
    // Its last octets are still on their way, if it went in good order.
    if is_client_gone && (!cx.request.is_over || cx.wake == Wake::Expired) {
        return cut_off(cx, FetchError::Abandoned);
    }
    let was_sent = cx.request.is_sent;
    if send_body(cx).is_err() {
        return cut_off(cx, FetchError::RequestCutOff);
    }
    cx.arm(if is_client_gone { cx.now().after(patience) } else { Time::NEVER });
    if cx.request.is_sent && !was_sent {
        cx.output.finish();
    }
    if flight.has_room() && !cx.request.is_over {
        let unread = cx.input.unread();
        if !unread.is_empty() {
            let octets = Arc::from(unread);
            consume(cx, unread.len());
            flight.push(octets, &mut cx.desk(), engine);
        }
        if cx.finished() && cx.input.is_present() {
            cx.request.is_over = true;
            flight.end(End::Complete(None), &mut cx.desk(), engine);
        }
    }
    if cx.request.is_over && cx.request.is_sent {
        cx.request.job = None;
        end(cx);
        return ENDED;
    }
    PENDING
}

/// A tunnel is neither a request nor one of the connections that requests wait for: clients are bounded elsewhere. It may stay for
/// hours, and needs nothing of what was asked and answered.
fn leave_pool(cx: &mut Context<'_, Fetch>) {
    let shared = cx.global.shared.clone();
    let now = cx.now();
    if let (Some(job), Some(place)) = (&cx.request.job, cx.connection.place) {
        shared.borrow_mut().ended(job, place, afpa_balancing::Outcome::Success, now);
        job.outgoing.head.take();
    }
    cx.request.head = None;
    cx.request.parser = ResponseParser::default();
    end(cx);
}

/// The client's side is cut off as well.
fn cut_off(cx: &mut Context<'_, Fetch>, error: FetchError) -> Outcome {
    let engine = cx.global.shared.borrow().engine;
    if let Some(job) = cx.request.job.take() {
        job.flight.end(End::Failed(error), &mut cx.desk(), engine);
    }
    end(cx);
    FAILED
}
