//! *Ask backend*: sends a question, under a new ID and in letters of a new case.

use afpa_engine::{Context, Outcome, Time};

use crate::fetch::module::Global;
use crate::fetch::table::{SENT, SET_BACK, STALE};
use crate::fetch::{Fetch, Task};
use crate::stats::BackendEvent;
use crate::upstream::{Ask, Attempt, End, Setback, build_query};

/// The conversation is open, or the connection. What an answer must have is kept with it.
pub(crate) fn ask_backend(cx: &mut Context<'_, Fetch>) -> Outcome {
    let shared = cx.global.shared.borrow();
    let asked = match cx.connection.task {
        Some(Task::Ask(flight, attempt)) => shared.flights.ask(flight).cloned().zip(Some(attempt)),
        Some(Task::Check(attempt)) => {
            shared.pools.get(attempt.backend.pool).map(|pool| pool.check()).zip(Some(attempt))
        }
        _ => None,
    };
    drop(shared);
    match asked.and_then(|(ask, attempt)| send(cx, &ask, &attempt)) {
        Some(()) => SENT,
        None => give_up(cx),
    }
}

/// `None` if the backend is none any more.
fn send(cx: &mut Context<'_, Fetch>, ask: &Ask, attempt: &Attempt) -> Option<()> {
    let now = cx.now();
    let shared = cx.global.shared.clone();
    let Global { query, stats, .. } = &mut *cx.global;
    let mut shared = shared.borrow_mut();
    let shared = &mut *shared;
    let number = shared.number(attempt.backend);
    let random = &mut || shared.random.next_u64();
    let pool = shared.pools.get(attempt.backend.pool)?;
    let expected = build_query(ask, pool, attempt, now, random, query)?;
    if matches!(cx.connection.task, Some(Task::Ask(..))) {
        stats.backend(number, BackendEvent::Asked);
    }
    cx.request.expected = Some(expected);
    cx.request.asked_at = now;
    cx.request.purges = shared.view.cache().purges();
    cx.output.send(query);
    cx.arm_after(attempt.timeout);
    Some(())
}

/// A reload took the backend away. Those who wait are not left waiting.
fn give_up(cx: &mut Context<'_, Fetch>) -> Outcome {
    let now = cx.now();
    cx.arm(Time::NEVER);
    let mut shared = cx.global.shared.borrow_mut();
    shared.end(cx.connection.tag);
    let Some(Task::Ask(flight, attempt)) = cx.connection.task else { return STALE };
    shared.pools.ended(attempt.backend, End::Abandoned, now);
    shared.flights.set_back(flight, Setback::Silence);
    SET_BACK
}
