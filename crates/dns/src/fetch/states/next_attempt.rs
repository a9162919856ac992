//! *Next attempt*: chooses whom to ask next, until attempts or time are used up.

use afpa_engine::{Context, Outcome, Time};

use crate::fetch::Fetch;
use crate::fetch::table::{GAVE_UP, HANDED_ON, STALE};
use crate::upstream::NextAttempt;

/// Each attempt has a conversation of its own, and so a port of its own; this one ends.
pub(crate) fn next_attempt(cx: &mut Context<'_, Fetch>) -> Outcome {
    let now = cx.now();
    cx.arm(Time::NEVER);
    let Some(flight) = cx.connection.flight() else { return STALE };
    let errand = {
        let mut shared = cx.global.shared.borrow_mut();
        let shared = &mut *shared;
        let random = &mut || shared.random.next_u64();
        match shared.flights.next_attempt(flight, &mut shared.pools, now, random) {
            None => return STALE,
            Some(NextAttempt::GiveUp(failure)) => {
                cx.request.failure = Some(failure);
                return GAVE_UP;
            }
            Some(NextAttempt::Ask(attempt)) => shared.ask(flight, attempt),
        }
    };
    // Pools that a reload took away: the next attempt finds none.
    let Some(errand) = errand else { return STALE };
    let owner = cx.notice().owner();
    cx.open(errand.open, owner, errand.tag);
    HANDED_ON
}
