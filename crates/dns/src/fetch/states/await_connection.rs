//! *Await connection*: a backend that does not even refuse a connection is none to wait for.

use afpa_engine::{Context, Outcome, Wake};

use crate::fetch::table::{HANDED_ON, PENDING, SET_BACK};
use crate::fetch::{Fetch, Task};
use crate::stats::BackendEvent;
use crate::upstream::{End, Setback};

/// Whatever opens a connection watches over it until it is open. The kernel itself would try for minutes.
pub(crate) fn await_connection(cx: &mut Context<'_, Fetch>) -> Outcome {
    match cx.wake {
        Wake::Notified => HANDED_ON,
        Wake::Expired => give_up(cx),
        _ => PENDING,
    }
}

fn give_up(cx: &mut Context<'_, Fetch>) -> Outcome {
    let now = cx.now();
    let task = cx.global.shared.borrow_mut().end(cx.connection.opened);
    let (flight, attempt) = match task {
        Some(Task::Ask(flight, attempt)) => (flight, attempt),
        Some(Task::Check(attempt)) => {
            let change = cx.global.shared.borrow_mut().pools.checked(attempt.backend, false, now);
            cx.global.note(attempt.backend, change);
            return HANDED_ON;
        }
        _ => return HANDED_ON,
    };
    let change = {
        let mut shared = cx.global.shared.borrow_mut();
        shared.flights.set_back(flight, Setback::Silence);
        shared.pools.ended(attempt.backend, End::TimedOut, now)
    };
    cx.global.count(attempt.backend, BackendEvent::TimedOut, change);
    SET_BACK
}
