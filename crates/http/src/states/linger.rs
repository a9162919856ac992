//! The lingering close of RFC 9112 §9.6: our FIN leaves, and what still comes is dropped until the
//! peer's FIN. Closing at once would reset the connection, and could destroy our answer on its way.

use std::time::Duration;

use afpa_engine::{Context, Outcome, Wake};

use crate::module::Http;
use crate::table::{INCOMPLETE, LAST};

/// How long, and how many octets, a connection lingers at most.
const LINGER_TIME: Duration = Duration::from_secs(2);
const LINGER_OCTETS: u64 = 1024 * 1024;

/// Drops input until the peer has finished, or a bound is reached.
pub fn linger(cx: &mut Context<'_, Http>) -> Outcome {
    if cx.connection.lingered == 0 {
        cx.output.finish();
        cx.arm_after(LINGER_TIME);
        cx.connection.lingered = 1;
    } else if cx.wake == Wake::Expired {
        return LAST;
    }
    let count = cx.input.unread().len();
    if cx.input.is_present() {
        cx.input.consume(count);
    }
    cx.connection.lingered += count as u64;
    if cx.finished() || cx.connection.lingered > LINGER_OCTETS { LAST } else { INCOMPLETE }
}
