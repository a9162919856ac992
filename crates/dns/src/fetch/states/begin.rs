//! *Begin*: what something was opened for.

use afpa_engine::{Context, Outcome};

use crate::fetch::table::{ASK, CHOOSE, MISSED, STALE, WATCH};
use crate::fetch::{Fetch, Task};

/// A tag says it. One that nobody knows was given up before it was open.
pub(crate) fn begin(cx: &mut Context<'_, Fetch>) -> Outcome {
    if cx.connection.tag == crate::fetch::WATCH {
        return WATCH;
    }
    let watcher = cx.global.shared.borrow_mut().watcher(cx.connection.tag);
    if let Some(watcher) = watcher {
        cx.notify(watcher);
    }
    cx.connection.task = cx.global.shared.borrow_mut().begin(cx.connection.tag);
    match cx.connection.task {
        None => STALE,
        Some(Task::Start(_)) => MISSED,
        Some(Task::Retry(_) | Task::Connect(_)) => CHOOSE,
        Some(Task::Ask(..) | Task::Check(_)) => ASK,
    }
}
