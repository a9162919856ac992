//! *Await request*: an idle connection.

use afpa_engine::{Context, Outcome, Time, Wake};

use super::end;
use crate::fetch::module::Fetch;
use crate::fetch::table::{ENDED, IDLE, REQUEST};

/// Takes up the next request, or ends: after a while, when the backend closes, or when it speaks unasked, which no
/// later request may take for its answer (RFC 9112 §9.2).
pub(crate) fn await_request(cx: &mut Context<'_, Fetch>) -> Outcome {
    let notice = cx.notice();
    let has_ended = cx.finished()
        || cx.draining()
        || cx.wake == Wake::Expired
        || cx.input.is_present() && !cx.input.unread().is_empty();
    if has_ended {
        return retire(cx);
    }
    match cx.global.shared.borrow_mut().assignment(notice) {
        Some(job) => cx.request.job = Some(job),
        None => return IDLE,
    }
    cx.arm(Time::NEVER);
    REQUEST
}

/// Whatever was just assigned to it goes elsewhere, for nothing of it was sent.
fn retire(cx: &mut Context<'_, Fetch>) -> Outcome {
    let notice = cx.notice();
    let shared = cx.global.shared.clone();
    let assigned = shared.borrow_mut().assignment(notice);
    if let Some(place) = cx.connection.place {
        let mut shared = shared.borrow_mut();
        shared.retire(notice, place);
        if let Some(job) = assigned {
            shared.reassign(job, place, &mut cx.desk());
        }
    }
    end(cx);
    ENDED
}
