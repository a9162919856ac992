//! *Derive miss response*: joins those who wait for the same answer, or is the first of them.

use afpa_engine::{Context, Outcome};

use super::octets;
use crate::fetch::Joined;
use crate::message::{ExtendedError, Rcode};
use crate::module::{Carrier, Connection, Dns};
use crate::query_log::Outcome as LogOutcome;
use crate::stats::Restraint;
use crate::table::{DERIVE_MISS_RESPONSE, DETACHED, PENDING, REFUSED};

/// Backends are asked once, however many wait. A stream does not: its request goes on by itself, so that the answer to
/// the next can overtake it (RFC 7766 §6.2.1.1).
pub(crate) fn derive_miss_response(cx: &mut Context<'_, Dns>) -> Outcome {
    if cx.request.kept.is_empty() {
        cx.request.kept = octets(cx).to_vec();
    }
    if cx.connection.carrier == Carrier::Stream && cx.connection.parent.is_none() {
        return detach(cx);
    }
    let (notice, patience) = (cx.notice(), cx.global.settings.limits.patience);
    let shared = cx.global.shared.clone();
    let joined = match cx.request.query(&[]).zip(cx.request.pool) {
        Some((query, pool)) => shared.borrow_mut().join(pool, &query, cx.connection.client, notice),
        None => Joined::Full,
    };
    match joined {
        Joined::Full => {
            cx.global.stats.restrained(Restraint::TooManyWaiting);
            cx.request.outcome = Some(LogOutcome::Failed);
            cx.request.refuse(Rcode::SERVFAIL, Some(ExtendedError::NOT_READY));
            return REFUSED;
        }
        Joined::Waiting(ticket) => cx.request.ticket = Some((ticket, notice)),
        Joined::First(ticket, attempt) => {
            cx.request.ticket = Some((ticket, notice));
            let fetcher = cx.global.fetcher;
            cx.open(attempt.open, fetcher, attempt.tag);
        }
    }
    cx.request.outcome = Some(LogOutcome::Miss);
    cx.arm_after(patience);
    PENDING
}

fn detach(cx: &mut Context<'_, Dns>) -> Outcome {
    cx.input.consume(cx.request.end);
    let connection = Connection {
        carrier: Carrier::Stream,
        client: cx.connection.client,
        parent: Some(cx.notice()),
        pending: cx.connection.pending.another(),
        reading: false,
        proxied: true,
        stalled: false,
    };
    cx.detach(connection, DERIVE_MISS_RESPONSE);
    DETACHED
}
