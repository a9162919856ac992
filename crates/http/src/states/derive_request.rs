//! *Derive request*: reads a request head from the input, where it arrived.

use afpa_engine::{Context, Outcome, Wake};

use crate::module::Http;
use crate::syntax::Progress;
use crate::table::{COMPLETE, IDLE_END, INCOMPLETE, REFUSED};

/// Parses as far as the input goes.
pub fn derive_request(cx: &mut Context<'_, Http>) -> Outcome {
    let started = cx.request.parser.is_started();
    if cx.wake == Wake::Expired {
        return expired(cx, started);
    }
    let unread = cx.input.unread();
    if unread.is_empty() {
        return wait_for_more(cx, started);
    }
    if !started {
        cx.request.started = cx.now();
    }
    match cx.request.parser.advance(unread, &cx.global.settings.limits) {
        Ok(Progress::Complete(length)) => {
            cx.request.head_length = length;
            let keeps = cx.request.parser.head().is_persistent();
            cx.request.persistent = keeps && !cx.draining();
            COMPLETE
        }
        Ok(Progress::Incomplete) => wait_for_more(cx, true),
        Err(error) => {
            cx.request.refuse_and_close(error.status());
            REFUSED
        }
    }
}

/// The head's deadline is absolute: a client that sends an octet now and then does not move it. The
/// idle deadline, before the first octet, is another.
fn wait_for_more(cx: &mut Context<'_, Http>, started: bool) -> Outcome {
    if cx.input.is_present() && cx.finished() {
        return IDLE_END;
    }
    if cx.draining() && !started && cx.connection.answered > 0 {
        return IDLE_END;
    }
    let settings = &cx.global.settings;
    if started || cx.connection.answered == 0 {
        let timeout = settings.header_timeout;
        if !cx.connection.header_deadline {
            cx.connection.header_deadline = true;
            cx.arm_after(timeout);
        }
    } else {
        let timeout = settings.idle_timeout;
        cx.arm_after(timeout);
    }
    INCOMPLETE
}

fn expired(cx: &mut Context<'_, Http>, started: bool) -> Outcome {
    if !started && cx.connection.answered > 0 {
        return IDLE_END;
    }
    // RFC 9110 §15.5.9.
    cx.request.refuse_and_close(408);
    REFUSED
}
