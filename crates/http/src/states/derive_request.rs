//! *Derive request*: reads a request head from the input, where it arrived.

use afpa_engine::{Context, Outcome, Wake};

use super::proxy_header::{Header, read_header};
use crate::module::Http;
use crate::syntax::{Body, Progress};
use crate::table::{CHUNKED, COMPLETE, IDLE_END, INCOMPLETE, REFUSED, ROUTED};

/// Parses as far as the input goes.
pub fn derive_request(cx: &mut Context<'_, Http>) -> Outcome {
    let started = cx.request.parser.is_started();
    if cx.wake == Wake::Expired {
        return expired(cx, started);
    }
    if cx.connection.awaits_header && !cx.input.unread().is_empty() {
        match read_header(cx) {
            Header::Passed => {}
            Header::Incomplete => return wait_for_more(cx, true),
            Header::Malformed => return IDLE_END,
        }
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
            complete(cx)
        }
        Ok(Progress::Incomplete) => wait_for_more(cx, true),
        Err(error) => {
            // For the log: what was read up to the fault. Nothing behind it is looked at again.
            cx.request.head_length = unread.len();
            cx.request.refuse_and_close(error.status());
            REFUSED
        }
    }
}

/// The head is all there. Decides whether the connection can go on after this request, so that the
/// answer can say if it cannot (RFC 9112 §9.6).
fn complete(cx: &mut Context<'_, Http>) -> Outcome {
    let head = cx.request.parser.head();
    let (body, waits) = (head.body(), head.expects_continue());
    if cx.global.relaying.is_some() {
        // What becomes of the body is the route's to say.
        cx.request.persistent = head.is_persistent() && !cx.leaving();
        return ROUTED;
    }
    let readable = match body {
        Body::None | Body::Length(0) => true,
        // A client that waits for 100 may send its body or not: the next request cannot be told.
        _ if waits => false,
        Body::Length(length) => length <= cx.global.settings.body_drain,
        Body::Chunked => true,
    };
    cx.request.persistent = head.is_persistent() && readable && !cx.leaving();
    if body == Body::Chunked && !waits { CHUNKED } else { COMPLETE }
}

/// The head's deadline is absolute: a client that sends an octet now and then does not move it. The
/// idle deadline, before the first octet, is another.
fn wait_for_more(cx: &mut Context<'_, Http>, started: bool) -> Outcome {
    if cx.input.is_present() && cx.finished() {
        return IDLE_END;
    }
    if cx.draining() && !started {
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
