//! Reads a chunked body ahead of the answer, because only its octets tell whether and where it ends.

use afpa_engine::{Context, Outcome, Wake};

use super::keep_head;
use crate::module::Http;
use crate::table::{COMPLETE, IDLE_END, INCOMPLETE, REFUSED};

/// Drops the body as it comes. One that is malformed (RFC 9112 §7.1), too long or too slow is what
/// the request is answered for, and nothing behind it is believed.
pub fn check_body(cx: &mut Context<'_, Http>) -> Outcome {
    if cx.wake == Wake::Expired {
        cx.global.stats.too_slow.increment();
        return refuse(cx, 408);
    }
    keep_head(cx);
    if !cx.connection.header_deadline {
        cx.connection.header_deadline = true;
        let limit = cx.global.settings.header_timeout;
        cx.arm_after(limit);
    }
    let unread = cx.input.unread();
    if !cx.input.is_present() {
        return INCOMPLETE;
    }
    if unread.is_empty() && cx.finished() {
        return IDLE_END;
    }
    let (count, done) = match cx.request.chunks.advance(unread) {
        Ok(progress) => progress,
        Err(error) => return refuse(cx, error.status()),
    };
    cx.input.consume(count);
    cx.request.chunk_octets += count as u64;
    // RFC 9110 §15.5.14.
    if cx.request.chunk_octets > cx.global.settings.body_drain {
        return refuse(cx, 413);
    }
    cx.request.is_body_read = done;
    if done { COMPLETE } else { INCOMPLETE }
}

fn refuse(cx: &mut Context<'_, Http>, status: u16) -> Outcome {
    cx.request.refuse_and_close(status);
    REFUSED
}
