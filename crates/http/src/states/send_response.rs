//! *Send engine*: sends what was derived, and cuts off a peer that does not take it.

use std::time::Duration;

use afpa_engine::send_engine::{Progress, send_engine, send_up_to};
use afpa_engine::{Context, Outcome, Time, Wake};

use super::keep_head;
use crate::module::Http;
use crate::quality::Room;
use crate::table::{BLOCKED, CUT_OFF, SENT};

/// How often the rate of a blocked transfer is looked at.
pub(super) const RATE_INTERVAL: Duration = Duration::from_secs(5);

/// Runs the platform's send engine until TCP has everything.
pub fn send_response(cx: &mut Context<'_, Http>) -> Outcome {
    let outcome = send(cx);
    if outcome == BLOCKED {
        keep_head(cx);
        if is_too_slow(cx) {
            cx.global.stats.too_slow.increment();
            return CUT_OFF;
        }
    }
    outcome
}

/// Runs the platform's send engine, as far as the bandwidth of the request's class goes.
pub(super) fn send(cx: &mut Context<'_, Http>) -> Outcome {
    if cx.request.admission.is_paced() { pace(cx) } else { send_engine(cx, SENT, BLOCKED, CUT_OFF) }
}

/// Piece by piece, until TCP has enough or the class has sent what it may: then a timer goes on with it.
fn pace(cx: &mut Context<'_, Http>) -> Outcome {
    let now = cx.now();
    cx.request.admission.resumes = Time::NEVER;
    loop {
        let room = cx.global.quality().map_or(Room::Any, |quality| quality.room(&mut cx.request.admission, now.0));
        let most = match room {
            Room::Any => u64::MAX,
            Room::Octets(most) => most,
            Room::Later(wait) => {
                let resumes = Time(now.0.saturating_add(wait));
                (cx.request.admission.resumes, cx.request.rate_mark) = (resumes, None);
                cx.arm(resumes);
                return BLOCKED;
            }
        };
        let (progress, given) = send_up_to(cx, most);
        if let Some(quality) = cx.global.quality() {
            quality.sent(&cx.request.admission, given, now.0);
        }
        match progress {
            Progress::Sent => return SENT,
            Progress::Failed => return CUT_OFF,
            Progress::Blocked if given < most => return BLOCKED,
            Progress::Blocked => {}
        }
    }
}

/// Whether the peer took less than the minimum rate over the last interval. Counted is what reached
/// the peer, not what the kernel holds for it.
fn is_too_slow(cx: &mut Context<'_, Http>) -> bool {
    if cx.request.admission.resumes != Time::NEVER {
        // It is not the peer that is waited for.
        return false;
    }
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
