//! *Await answer*: looks at what arrives, until it is the answer or the time is up.

use std::rc::Rc;

use afpa_engine::{Context, Outcome, Time, Wake};

use crate::cache::Prepared;
use crate::fetch::table::{ANSWERED, CHECKED, PENDING, SET_BACK};
use crate::fetch::{Fetch, Task};
use crate::message::Rcode;
use crate::stats::BackendEvent;
use crate::upstream::{Attempt, End, FlightId, Matched, Mismatch, Received, Setback, Verdict};

/// What does not match everything that was sent is not seen (RFC 5452 §9.1): waiting goes on.
pub(crate) fn await_answer(cx: &mut Context<'_, Fetch>) -> Outcome {
    match cx.wake {
        Wake::Expired => silence(cx, End::TimedOut),
        Wake::Received => received(cx),
        // The backend has closed; what it sent before that is shown first.
        Wake::Finished if cx.input.unread().is_empty() => silence(cx, End::Refused),
        _ => PENDING,
    }
}

fn received(cx: &mut Context<'_, Fetch>) -> Outcome {
    let is_over_tcp = cx.request.expected.as_ref().is_some_and(|expected| expected.is_over_tcp());
    loop {
        let input = cx.input.unread();
        let message = if is_over_tcp {
            let frame = input.split_first_chunk::<2>();
            let whole = frame.and_then(|(length, rest)| rest.get(..usize::from(u16::from_be_bytes(*length))));
            let Some(message) = whole else {
                return if cx.finished() { silence(cx, End::Refused) } else { PENDING };
            };
            cx.input.consume(2 + message.len());
            message
        } else {
            cx.input.consume(input.len());
            input
        };
        match look_at(cx, message) {
            Some(outcome) => return outcome,
            None if is_over_tcp => {}
            None => return PENDING,
        }
    }
}

fn silence(cx: &mut Context<'_, Fetch>, end: End) -> Outcome {
    let now = cx.now();
    cx.global.shared.borrow_mut().end(cx.connection.tag);
    match cx.connection.task {
        Some(Task::Ask(flight, attempt)) => {
            let mut shared = cx.global.shared.borrow_mut();
            let change = shared.pools.ended(attempt.backend, end, now);
            shared.flights.set_back(flight, Setback::Silence);
            drop(shared);
            let event = if end == End::TimedOut { BackendEvent::TimedOut } else { BackendEvent::Unreachable };
            cx.global.count(attempt.backend, event, change);
            SET_BACK
        }
        Some(Task::Check(attempt)) => checked(cx, attempt, false),
        // Nothing else asks.
        _ => CHECKED,
    }
}

fn checked(cx: &mut Context<'_, Fetch>, attempt: Attempt, is_passed: bool) -> Outcome {
    let now = cx.now();
    let mut shared = cx.global.shared.borrow_mut();
    shared.end(cx.connection.tag);
    let change = shared.pools.checked(attempt.backend, is_passed, now);
    drop(shared);
    cx.global.note(attempt.backend, change);
    CHECKED
}

/// `None`: it is not the answer.
fn look_at(cx: &mut Context<'_, Fetch>, message: &[u8]) -> Option<Outcome> {
    let now = cx.now();
    let (attempt, flight) = match cx.connection.task {
        Some(Task::Ask(flight, attempt)) => (attempt, Some(flight)),
        Some(Task::Check(attempt)) => (attempt, None),
        _ => return None,
    };
    let expected = cx.request.expected.as_mut()?;
    let matched = match expected.receive(message) {
        Received::Matched(matched) => matched,
        Received::Discarded(mismatch) => {
            mismatched(cx, attempt, mismatch);
            return None;
        }
        Received::AskOverTcp(mismatch) => {
            mismatched(cx, attempt, mismatch);
            // Of a check: whoever answers all but the letters works, and whoever floods does not.
            let is_odd = matches!(mismatch, Mismatch::LetterCase | Mismatch::CookieMissing);
            let Some(flight) = flight else { return Some(checked(cx, attempt, is_odd)) };
            let mut shared = cx.global.shared.borrow_mut();
            shared.end(cx.connection.tag);
            shared.pools.ended(attempt.backend, End::Abandoned, now);
            shared.flights.set_back(flight, Setback::NeedsTcp);
            return Some(SET_BACK);
        }
    };
    if let Some(backend) = cx.global.shared.borrow_mut().pools.backend_mut(attempt.backend) {
        backend.learn(expected, &matched, now);
    }
    Some(match flight {
        Some(flight) => answered(cx, flight, attempt, &matched, message),
        None => checked(cx, attempt, matched.verdict.passes_check()),
    })
}

fn mismatched(cx: &mut Context<'_, Fetch>, attempt: Attempt, mismatch: Mismatch) {
    let now = cx.now();
    if let Some(backend) = cx.global.shared.borrow_mut().pools.backend_mut(attempt.backend) {
        backend.mismatched(mismatch, now);
    }
    cx.global.count(attempt.backend, BackendEvent::Mismatched, None);
}

fn answered(
    cx: &mut Context<'_, Fetch>,
    flight: FlightId,
    attempt: Attempt,
    matched: &Matched<'_>,
    message: &[u8],
) -> Outcome {
    let now = cx.now();
    let end = End::Answered(matched.verdict, now.since(cx.request.asked_at));
    let shared = cx.global.shared.clone();
    let mut shared = shared.borrow_mut();
    shared.end(cx.connection.tag);
    let change = shared.pools.ended(attempt.backend, end, now);
    let prepared = match matched.verdict {
        Verdict::Answer => Prepared::of(message, &shared.policy, now).ok(),
        _ => None,
    };
    let (event, setback) = match (matched.verdict, prepared) {
        (Verdict::Answer, Some(prepared)) => {
            cx.request.is_of_subnet = matched.scope.is_some_and(|scope| scope > 0);
            cx.request.answer = Some(Rc::new(prepared));
            (BackendEvent::Answered, None)
        }
        // It matched, and says what no answer says: as good as none.
        (Verdict::Answer, None) => (BackendEvent::Failed, Some(Setback::Failed(Rcode::SERVFAIL))),
        (Verdict::Truncated, _) => (BackendEvent::Truncated, Some(Setback::NeedsTcp)),
        (Verdict::WithoutEdns, _) => (BackendEvent::Failed, Some(Setback::WithoutEdns)),
        (Verdict::BadCookie, _) => (BackendEvent::Failed, Some(Setback::BadCookie)),
        (Verdict::Failed(rcode), _) => (BackendEvent::Failed, Some(Setback::Failed(rcode))),
    };
    if let Some(setback) = setback {
        shared.flights.set_back(flight, setback);
    }
    drop(shared);
    cx.arm(Time::NEVER);
    cx.global.count(attempt.backend, event, change);
    if setback.is_none() { ANSWERED } else { SET_BACK }
}
