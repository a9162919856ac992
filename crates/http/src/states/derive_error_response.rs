//! Answers what cannot be served.

use afpa_caching::CacheStatus;
use afpa_engine::{Context, Outcome};

use super::respond::{Answered, start};
use crate::access_log::CacheOutcome;
use crate::module::{Global, Http, Refusal};
use crate::remote::append_member;
use crate::syntax::Method;
use crate::syntax::response::{self, ALLOW, PAGE_TYPE};
use crate::table::READY;

/// A short page, and what the status calls for beside it.
pub fn derive_error_response(cx: &mut Context<'_, Http>) -> Outcome {
    let refusal = cx.request.refusal.unwrap_or(Refusal { status: 500, closes: true, retry_after: 0 });
    if refusal.closes {
        cx.request.persistent = false;
    }
    let Refusal { status, retry_after, .. } = refusal;
    let persistence = cx.request.persistence();
    let page = response::error_page(status);
    let Global { clock, scratch, relaying, .. } = &mut *cx.global;
    start(scratch, status, clock, persistence);
    response::field_number(scratch, "Content-Length", page.len() as u64);
    response::field(scratch, "Content-Type", PAGE_TYPE);
    if status == 405 {
        response::field(scratch, "Allow", ALLOW);
    }
    if let (Some((handled, detail)), Some(relaying)) = (cx.request.note, relaying) {
        let mut member = CacheStatus::new(&relaying.relay.relay.name, handled);
        member.detail = detail;
        scratch.extend_from_slice(b"Cache-Status: ");
        append_member(&member, scratch);
        scratch.extend_from_slice(b"\r\n");
    }
    if retry_after > 0 {
        response::field_number(scratch, "Retry-After", u64::from(retry_after));
    }
    response::end(scratch);
    // RFC 9110 §9.3.2: the answer to HEAD has no content, whatever the status.
    let payload = if cx.request.parser.head().method() == Method::Head { &[][..] } else { page.as_bytes() };
    scratch.extend_from_slice(payload);
    cx.output.send(scratch);
    cx.request.outcome = None;
    cx.request.answered(Answered { status, payload: payload.len() as u64, outcome: CacheOutcome::None });
    READY
}
