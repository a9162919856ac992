//! Reads and drops the rest of a request body, so that the connection can be used again.

use afpa_engine::{Context, Outcome, Wake};

use crate::module::{Drain, Http, Request};
use crate::table::{COMPLETE, INCOMPLETE, LAST, LAST_UNREAD};

/// Within a bound of octets and of time: beyond either the connection ends.
pub fn drain_request(cx: &mut Context<'_, Http>) -> Outcome {
    if cx.wake == Wake::Expired {
        cx.global.stats.too_slow.increment();
        return LAST_UNREAD;
    }
    if !cx.connection.header_deadline {
        cx.connection.header_deadline = true;
        let limit = cx.global.settings.header_timeout;
        cx.arm_after(limit);
    }
    let unread = cx.input.unread();
    if unread.is_empty() && cx.input.is_present() && cx.finished() {
        return LAST;
    }
    let limit = cx.global.settings.body_drain;
    let (consumed, done) = match &mut cx.request.drain {
        Drain::None => (0, true),
        Drain::Length(left) => {
            let count = (unread.len() as u64).min(*left);
            *left -= count;
            (count as usize, *left == 0)
        }
        Drain::Chunked { decoder, read } => match decoder.advance(unread) {
            Ok((count, done)) => {
                *read += count as u64;
                if *read > limit {
                    return LAST_UNREAD;
                }
                (count, done)
            }
            // The answer has been sent already; what follows is not understood.
            Err(_) => return LAST_UNREAD,
        },
    };
    if cx.input.is_present() {
        cx.input.consume(consumed);
    }
    if !done {
        return INCOMPLETE;
    }
    *cx.request = Request::default();
    cx.connection.header_deadline = false;
    COMPLETE
}
