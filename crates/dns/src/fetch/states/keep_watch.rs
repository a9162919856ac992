//! *Keep watch*: asks backends from time to time whether they work.

use std::time::Duration;

use afpa_engine::{Context, Outcome, Time, Wake};

use crate::fetch::Fetch;
use crate::fetch::table::{ENDED, PENDING};

/// With nothing to check, it looks again after a while: pools come with a reload.
const IDLE: Duration = Duration::from_secs(5);

/// One for each engine, for as long as it runs.
pub(crate) fn keep_watch(cx: &mut Context<'_, Fetch>) -> Outcome {
    if cx.wake == Wake::Draining || cx.draining() {
        return ENDED;
    }
    let now = cx.now();
    let (errands, next) = {
        let mut shared = cx.global.shared.borrow_mut();
        let shared = &mut *shared;
        let mut checks = Vec::new();
        shared.pools.due(now, &mut || shared.random.next_u64(), &mut checks);
        let errands: Vec<_> = checks.into_iter().filter_map(|attempt| shared.start_check(attempt)).collect();
        (errands, shared.pools.next_check())
    };
    let owner = cx.notice().owner();
    for errand in errands {
        cx.open(errand.open, owner, errand.tag);
    }
    let soonest = Time(now.0 + 1_000_000);
    cx.arm(next.max(soonest).min(now.after(IDLE)));
    PENDING
}
