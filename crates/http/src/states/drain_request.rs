//! Reads and drops the rest of a request body, so that the connection can be used again.

use afpa_engine::{Context, Outcome, Wake};

use crate::module::Http;
use crate::table::{COMPLETE, INCOMPLETE, LAST, LAST_UNREAD};

/// Within a bound of time; that of octets was kept when the request was read.
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
    let count = cx.request.body_left.min(unread.len() as u64);
    cx.request.body_left -= count;
    if cx.input.is_present() {
        cx.input.consume(count as usize);
    }
    if cx.request.body_left > 0 {
        return INCOMPLETE;
    }
    cx.request.reset();
    cx.connection.header_deadline = false;
    COMPLETE
}
