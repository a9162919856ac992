//! *Look up*: engines have views of their own, and the store knows what any of them has fetched.

use std::sync::Arc;

use afpa_cache::Object;
use afpa_engine::{Context, Outcome, Wake};

use super::notify;
use crate::cache::{Details, Freshness};
use crate::fetch::Fetch;
use crate::fetch::table::{CHOOSE, FOUND, PENDING};

/// The store has a lock: a worker asks it. What it finds comes into this engine's view, where those who wait look again.
pub(crate) fn look_up(cx: &mut Context<'_, Fetch>) -> Outcome {
    if cx.wake == Wake::Continued {
        return start(cx);
    }
    let Some(found) = cx.completion::<Option<Arc<Object<Details>>>>() else { return PENDING };
    let now = cx.now();
    let Some(object) = found.flatten().filter(|object| object.details().freshness(now) == Freshness::Fresh) else {
        return CHOOSE;
    };
    let Some(flight) = cx.connection.flight() else { return CHOOSE };
    let waiters = {
        let mut shared = cx.global.shared.borrow_mut();
        shared.view.admit(object);
        shared.land(flight, None)
    };
    notify(cx, waiters);
    FOUND
}

fn start(cx: &mut Context<'_, Fetch>) -> Outcome {
    let (key, cache) = {
        let shared = cx.global.shared.borrow();
        let key: Option<Arc<[u8]>> = cx.connection.flight().and_then(|flight| shared.flights.key(flight).cloned());
        (key, shared.view.cache().clone())
    };
    let Some(key) = key else { return CHOOSE };
    // Workers that are busy are no reason not to ask a backend.
    if cx.spawn(move || cache.lookup(&key)).is_ok() { PENDING } else { CHOOSE }
}
