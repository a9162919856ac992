//! *Ask backend*: sends a question, under a new ID and in letters of a new case.

use afpa_engine::{Context, Outcome};

use crate::fetch::module::Global;
use crate::fetch::table::{SENT, STALE};
use crate::fetch::{Fetch, Task};
use crate::stats::BackendEvent;
use crate::upstream::build_query;

/// The conversation is open, or the connection. What an answer must have is kept with it.
pub(crate) fn ask_backend(cx: &mut Context<'_, Fetch>) -> Outcome {
    let now = cx.now();
    let Global { shared, query, stats } = &mut *cx.global;
    let shared = shared.clone();
    let mut shared = shared.borrow_mut();
    let (ask, attempt) = match cx.connection.task {
        Some(Task::Ask(flight, attempt)) => (shared.flights.ask(flight).cloned(), attempt),
        Some(Task::Check(attempt)) => (shared.pools.get(attempt.backend.pool).map(|pool| pool.check()), attempt),
        _ => return STALE,
    };
    let shared = &mut *shared;
    let number = shared.number(attempt.backend);
    let random = &mut || shared.random.next_u64();
    let (Some(ask), Some(pool)) = (ask, shared.pools.get(attempt.backend.pool)) else { return STALE };
    let Some(expected) = build_query(&ask, pool, &attempt, now, random, query) else { return STALE };
    if matches!(cx.connection.task, Some(Task::Ask(..))) {
        stats.backend(number, BackendEvent::Asked);
    }
    cx.request.expected = Some(expected);
    cx.request.asked_at = now;
    cx.request.purges = shared.view.cache().purges();
    cx.output.send(query);
    cx.arm_after(attempt.timeout);
    SENT
}
