//! *Store answer*: hands an answer to those who wait, and has a worker keep it.

use std::rc::Rc;
use std::sync::Arc;

use afpa_cache::Object;
use afpa_engine::{Context, Outcome};

use super::notify;
use crate::cache::{Details, KeyFlags, NotKept, Prepared, key};
use crate::fetch::module::Request;
use crate::fetch::table::{PENDING, STORED};
use crate::fetch::{Fetch, Landed, Task};
use crate::message::{ExtendedError, Question, Rcode};
use crate::upstream::Ask;

type Kept = Result<Arc<Object<Details>>, NotKept>;

/// Those who wait are not kept waiting for the cache: it has a lock, and may have to make room.
pub(crate) fn store_answer(cx: &mut Context<'_, Fetch>) -> Outcome {
    if !cx.request.is_handed_out {
        return if cx.request.answer.is_none() { hand_out(cx) } else { hand_out_answer(cx) };
    }
    match cx.completion::<Kept>() {
        // Whatever the backend still says, or that it says no more.
        None => return PENDING,
        Some(Some(Ok(object))) => _ = cx.global.shared.borrow_mut().view.admit(object),
        Some(_) => {}
    }
    STORED
}

/// No backend answered: that is remembered for a while, too (RFC 9520 §3.1).
fn hand_out(cx: &mut Context<'_, Fetch>) -> Outcome {
    let now = cx.now();
    let Some((flight, failure)) = cx.connection.flight().zip(cx.request.failure) else { return STORED };
    {
        let shared = cx.global.shared.borrow();
        cx.request.purges = shared.view.cache().purges();
        // What needs an OPT record is between us and backends (RFC 6891 §6.1.3).
        let rcode = if failure.rcode.0 > 0xf { Rcode::SERVFAIL } else { failure.rcode };
        let Some(ask) = shared.flights.ask(flight) else { return STORED };
        let reason = if failure.was_reached { None } else { Some(ExtendedError::NO_REACHABLE_AUTHORITY) };
        let question = question(ask);
        cx.request.answer = Prepared::failure(&question, rcode, reason, &shared.policy, now).ok().map(Rc::new);
    }
    hand_out_answer(cx)
}

fn hand_out_answer(cx: &mut Context<'_, Fetch>) -> Outcome {
    let now = cx.now();
    let Some(flight) = cx.connection.flight() else { return STORED };
    let Request { answer, purges, is_of_subnet, is_handed_out, failure, .. } = &mut *cx.request;
    *is_handed_out = true;
    let (answer, purges, is_of_subnet) = (answer.clone(), *purges, *is_of_subnet);
    let shared = cx.global.shared.clone();
    let mut shared = shared.borrow_mut();
    let name = shared.flights.ask(flight).map(|ask| key_of(ask, is_of_subnet));
    let cache = shared.view.cache().clone();
    let backend = match cx.connection.task {
        Some(Task::Ask(_, attempt)) if failure.is_none() => u16::try_from(shared.number(attempt.backend)).ok(),
        _ => None,
    };
    let landed = answer.clone().map(|answer| Landed { answer, backend });
    let waiters = shared.land(flight, landed.as_ref());
    drop(shared);
    notify(cx, waiters);
    let (Some(answer), Some(name)) = (answer, name) else { return STORED };
    let prepared = Prepared::clone(&answer);
    // Busy workers: the next who asks makes another flight.
    let spawned = cx.spawn(move || -> Kept { prepared.insert(&cache, &name, purges, now) });
    if spawned.is_ok() { PENDING } else { STORED }
}

/// What the answer is kept under: for everybody, unless the backend said that it is for the client's subnet
/// (RFC 7871 §7.3.1).
fn key_of(ask: &Ask, is_of_subnet: bool) -> Vec<u8> {
    let mut name = Vec::new();
    let flags = KeyFlags::new(ask.recursion_desired, ask.checking_disabled, ask.dnssec_ok);
    let subnet = ask.subnet.as_ref().filter(|_| is_of_subnet).map(crate::fetch::cache_subnet);
    key(&question(ask), flags, subnet.as_ref(), &mut name);
    name
}

fn question(ask: &Ask) -> Question<'_> {
    Question { name: ask.name.as_name(), qtype: ask.qtype, qclass: ask.qclass }
}
