//! *Begin*: what something was opened for.

use afpa_engine::{Context, Outcome};

use crate::fetch::table::{ASK, CHOOSE, MISSED, STALE, WATCH};
use crate::fetch::{Fetch, Task};

/// A tag says it. One that nobody knows is of before a reload.
pub(crate) fn begin(cx: &mut Context<'_, Fetch>) -> Outcome {
    if cx.connection.tag == crate::fetch::WATCH {
        return WATCH;
    }
    cx.connection.task = cx.global.shared.borrow_mut().begin(cx.connection.tag);
    match cx.connection.task {
        None => STALE,
        Some(Task::Start(_)) => MISSED,
        Some(Task::Retry(_)) => CHOOSE,
        Some(Task::Ask(..) | Task::Check(_)) => ASK,
    }
}
