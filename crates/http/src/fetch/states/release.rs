//! *Release*: gives the connection back after a response.

use afpa_balancing::{FailureKind, Outcome as Judged};
use afpa_engine::{Context, Outcome};

use super::end;
use crate::fetch::module::{Fetch, Request};
use crate::fetch::shared::Free;
use crate::fetch::table::{IDLE, LAST, REQUEST};

/// It is used again if the backend keeps it, all of the request was sent, and nothing came behind the response.
pub(crate) fn release(cx: &mut Context<'_, Fetch>) -> Outcome {
    let shared = cx.global.shared.clone();
    let (now, notice) = (cx.now(), cx.notice());
    let Request { job, head, is_sent, is_persistent, was_sent, .. } = std::mem::take(cx.request);
    // A PROXY header named one client: the connection is for no other.
    let is_for_one = job.as_ref().is_some_and(|job| !job.outgoing.preamble.is_empty());
    let Some(place) = cx.connection.place else { return LAST };
    if let Some(job) = job {
        job.outgoing.close(&job.flight);
        let judged = match head {
            Some(head) if head.status >= 500 => Some(Judged::Failure(FailureKind::Status(head.status))),
            Some(_) => Some(Judged::Success),
            None => None,
        };
        match judged {
            Some(judged) => shared.borrow_mut().ended(&job, place, judged, now),
            None => shared.borrow_mut().abandoned(&job, place, &mut cx.desk()),
        }
    }
    // A request that nobody wanted was not sent at all.
    let is_clean = !is_for_one && (!was_sent || is_sent && is_persistent);
    let has_more = cx.input.is_present() && !cx.input.unread().is_empty();
    let may_go_on = is_clean && !has_more && !cx.finished() && !cx.draining();
    let free = if may_go_on {
        shared.borrow_mut().release(notice, place, cx.connection.requests, &mut cx.desk())
    } else {
        None
    };
    match free {
        Some(Free::Job(job)) => {
            cx.request.job = Some(job);
            REQUEST
        }
        Some(Free::Idle(patience)) => {
            cx.arm_after(patience);
            IDLE
        }
        None => {
            end(cx);
            LAST
        }
    }
}
