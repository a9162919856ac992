//! *Derive remote response*: waits for a backend's answer (AFPA §3.2).

use afpa_engine::{Context, Outcome, Wake};

use super::Envelope;
use super::derive_cached_response::request;
use crate::cache::Kind;
use crate::fetch::Landed;
use crate::message::{ExtendedError, Header, Rcode};
use crate::module::{Dns, Global};
use crate::query_log::Outcome as LogOutcome;
use crate::table::{PENDING, READY, REFUSED};

/// Who waits is notified when the answer is there, or when there will be none, which is an answer too. Patience ends
/// before that only if backends take longer than a client waits.
pub(crate) fn derive_remote_response(cx: &mut Context<'_, Dns>) -> Outcome {
    match cx.wake {
        Wake::Notified => answer(cx),
        Wake::Expired => {
            cx.request.outcome = Some(LogOutcome::Failed);
            cx.request.refuse(Rcode::SERVFAIL, Some(ExtendedError::NO_REACHABLE_AUTHORITY));
            REFUSED
        }
        _ => PENDING,
    }
}

fn answer(cx: &mut Context<'_, Dns>) -> Outcome {
    let now = cx.now();
    let notice = cx.notice();
    let Global { settings, shared, reply, options, .. } = &mut *cx.global;
    let landed = shared.borrow_mut().take(notice);
    let Some(Landed { answer: landed, backend }) = landed else {
        // Another engine had it, and it is in this one's view by now.
        return if super::derive_cached_response::answer(cx, &[]) { READY } else { PENDING };
    };
    cx.request.ticket = None;
    let Some((query, pool)) = cx.request.query(&[]).zip(cx.request.pool) else { return REFUSED };
    let scope = shared.borrow().subnet(pool, &query).and_then(|_| landed.details().subnet_scope());
    let envelope = Envelope::of(&query, cx.connection, scope, cx.request, settings, options);
    // Whatever its lifetime, those who waited for it get it.
    landed.image().serve(&request(&query, &envelope, settings.udp_size, options), now, reply);
    cx.request.rcode = Header::read(reply).unwrap_or_default().rcode();
    cx.request.backend = backend;
    if landed.details().kind() == Kind::Failure {
        cx.request.outcome = Some(LogOutcome::Failed);
    }
    READY
}
