//! *Next attempt*: chooses whom to ask next, until attempts or time are used up.

use afpa_engine::{Context, Open, Outcome, Time};

use crate::fetch::table::{CONNECTING, GAVE_UP, HANDED_ON};
use crate::fetch::{Errand, Fetch, Task};
use crate::upstream::{Attempt, NextAttempt};

/// Each attempt has a conversation of its own, and so a port of its own; this one ends.
pub(crate) fn next_attempt(cx: &mut Context<'_, Fetch>) -> Outcome {
    let now = cx.now();
    cx.arm(Time::NEVER);
    let Some((errand, attempt)) = choose(cx, now) else { return GAVE_UP };
    let owner = cx.notice().owner();
    let is_connection = matches!(errand.open, Open::Stream(_));
    cx.open(errand.open, owner, errand.tag);
    if !is_connection {
        return HANDED_ON;
    }
    let notice = cx.notice();
    cx.global.shared.borrow_mut().watch(errand.tag, notice);
    cx.connection.opened = errand.tag;
    cx.arm_after(attempt.timeout);
    CONNECTING
}

/// What opens the way to the next backend; `None` if there is no other.
fn choose(cx: &mut Context<'_, Fetch>, now: Time) -> Option<(Errand, Attempt)> {
    let mut shared = cx.global.shared.borrow_mut();
    let shared = &mut *shared;
    if let Some(Task::Connect(attempt)) = cx.connection.task {
        return shared.check(attempt).zip(Some(attempt));
    }
    let flight = cx.connection.flight()?;
    let random = &mut || shared.random.next_u64();
    match shared.flights.next_attempt(flight, &mut shared.pools, now, random)? {
        NextAttempt::Ask(attempt) => shared.ask(flight, attempt).zip(Some(attempt)),
        NextAttempt::GiveUp(failure) => {
            cx.request.failure = Some(failure);
            None
        }
    }
}
