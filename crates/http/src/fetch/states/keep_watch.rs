//! *Keep watch*: gives up connections that take too long to open, and requests that wait too long for one.

use afpa_engine::{Context, Outcome, Time, Wake};

use crate::fetch::module::Fetch;
use crate::fetch::table::{ENDED, PENDING};

/// One for each engine, for as long as it runs.
pub(crate) fn keep_watch(cx: &mut Context<'_, Fetch>) -> Outcome {
    if cx.wake == Wake::Draining || cx.draining() {
        return ENDED;
    }
    let shared = cx.global.shared.clone();
    let next = shared.borrow_mut().keep_watch(&mut cx.desk());
    cx.arm(next.unwrap_or(Time::NEVER));
    PENDING
}
