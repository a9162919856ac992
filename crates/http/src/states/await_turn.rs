//! *Await turn*: what the cache does not hold has to wait until a backend or a worker can be asked, the important first.

use afpa_classes::Priority;
use afpa_engine::{Context, Outcome, Time, Wake};

use super::derive_miss_response::miss;
use super::keep_head;
use crate::module::Http;
use crate::quality::{Arrival, Called};
use crate::syntax::fields;
use crate::table::{REFUSED, TURN, WAITS};

/// Hits never come here. Who waited looks into the cache again: somebody else may have had the answer fetched meanwhile.
pub fn await_turn(cx: &mut Context<'_, Http>) -> Outcome {
    if !cx.request.admission.is_waiting() {
        return arrive(cx);
    }
    if cx.wake == Wake::Expired {
        let now = cx.now().0;
        if let Some(quality) = cx.global.quality() {
            quality.call(now);
        }
        super::tell_called(cx);
    }
    let called = cx.global.quality().and_then(|quality| quality.called(&mut cx.request.admission));
    let Some((called, seat)) = called else { return WAITS };
    cx.global.key.clone_from(&seat.key);
    match called {
        Called::Go => {
            cx.arm(Time::NEVER);
            TURN
        }
        Called::Refuse(refusal) => {
            cx.request.turn_away(&refusal);
            REFUSED
        }
        Called::Anew => arrive(cx),
    }
}

fn arrive(cx: &mut Context<'_, Http>) -> Outcome {
    let (notice, now) = (cx.notice(), cx.now().0);
    let priority = priority(cx);
    if super::derive_remote_response::may_join(cx) {
        return miss(cx.request);
    }
    let crate::module::Global { relaying, key, .. } = &mut *cx.global;
    let quality = relaying.as_mut().and_then(|relaying| relaying.quality.as_mut());
    let Some(quality) = quality else { return miss(cx.request) };
    match quality.arrive(&mut cx.request.admission, notice, key, priority, now) {
        Arrival::Go => miss(cx.request),
        Arrival::Wait(until) => {
            keep_head(cx);
            cx.arm(Time(until));
            WAITS
        }
        Arrival::Refuse(refusal) => {
            cx.request.turn_away(&refusal);
            REFUSED
        }
    }
}

/// What the client says of its own requests (RFC 9218 §5).
fn priority(cx: &mut Context<'_, Http>) -> Priority {
    if !cx.request.parser.head().has_priority() {
        return Priority::default();
    }
    let lines = fields(cx.request.head(cx.input.unread()));
    Priority::parse(lines.filter(|(name, _)| name.eq_ignore_ascii_case(b"priority")).map(|(_, value)| value))
}
