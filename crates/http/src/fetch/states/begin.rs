//! *Begin*: what the connection was opened for.

use afpa_engine::{Context, Outcome};

use crate::fetch::KEEPER;
use crate::fetch::module::Fetch;
use crate::fetch::table::{REQUEST, STALE, WATCH};

/// A tag says it. One that nobody knows took too long to open.
pub(crate) fn begin(cx: &mut Context<'_, Fetch>) -> Outcome {
    let notice = cx.notice();
    if cx.connection.tag == KEEPER {
        cx.global.shared.borrow_mut().keeper_is(notice);
        return WATCH;
    }
    let Some((job, place)) = cx.global.shared.borrow_mut().opened(cx.connection.tag) else { return STALE };
    cx.connection.notice = Some(notice);
    (cx.connection.place, cx.connection.counts_for) = (Some(place), Some(place));
    cx.request.job = Some(job);
    REQUEST
}
