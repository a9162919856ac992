//! *Send engine*: sends what was derived, and cuts off a peer that does not take it.

use std::time::Duration;

use afpa_engine::send_engine::send_engine;
use afpa_engine::{Context, Outcome, Wake};

use super::keep_head;
use crate::module::Http;
use crate::table::{BLOCKED, CUT_OFF, SENT};

/// How often the rate of a blocked transfer is looked at.
pub(super) const RATE_INTERVAL: Duration = Duration::from_secs(5);

/// Runs the platform's send engine until TCP has everything.
pub fn send_response(cx: &mut Context<'_, Http>) -> Outcome {
    let outcome = send_engine(cx, SENT, BLOCKED, CUT_OFF);
    if outcome == BLOCKED {
        keep_head(cx);
        if is_too_slow(cx) {
            cx.global.stats.too_slow.increment();
            return CUT_OFF;
        }
    }
    outcome
}

/// Whether the peer took less than the minimum rate over the last interval. Counted is what reached
/// the peer, not what the kernel holds for it.
fn is_too_slow(cx: &mut Context<'_, Http>) -> bool {
    let least = cx.global.settings.min_rate * RATE_INTERVAL.as_secs();
    let due = cx.wake == Wake::Expired;
    match cx.request.rate_mark {
        Some(_) if !due => return false,
        Some(mark) if cx.delivered() < mark.saturating_add(least) => return true,
        _ => {}
    }
    if least > 0 {
        cx.request.rate_mark = Some(cx.delivered());
        cx.arm_after(RATE_INTERVAL);
    }
    false
}
