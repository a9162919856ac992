//! *Read head*: the response's, after any number of interim ones.

use std::sync::Arc;

use afpa_engine::{Context, Outcome, Time, Wake};

use super::send_request::send_body;
use super::{consume, end, fail};
use crate::fetch::FetchError;
use crate::fetch::module::Fetch;
use crate::fetch::table::{FAILED, HEAD, PENDING, SWITCHED};
use crate::remote::{RemoteHead, interim};
use crate::syntax::{BodyReader, Progress, response};

/// What is no response is the backend's fault, and nobody else's: the attempt fails.
pub(crate) fn read_head(cx: &mut Context<'_, Fetch>) -> Outcome {
    let is_wanted = cx.request.job.as_ref().is_some_and(|job| job.flight.wants(job.attempt));
    if !is_wanted {
        return fail(cx, FetchError::Abandoned);
    }
    if cx.wake == Wake::Expired {
        let error = if waits_for_client(cx) { FetchError::RequestCutOff } else { FetchError::TimedOut };
        return fail(cx, error);
    }
    match send_body(cx) {
        // Only when it has all of the request it is the backend's turn.
        Ok(true) => {
            let patience = cx.request.job.as_ref().map(|job| job.outgoing.times.first_byte);
            cx.arm(patience.map_or(Time::NEVER, |patience| cx.now().after(patience)));
        }
        Ok(false) => {}
        Err(error) => return fail(cx, error),
    }
    loop {
        let unread = cx.input.unread();
        let limits = cx.global.relay.limits;
        match cx.request.parser.advance(unread, &limits) {
            Ok(Progress::Complete(length)) => match take(cx, unread, length) {
                Ok(Some(outcome)) => return outcome,
                Ok(None) => {}
                Err(error) => return fail(cx, error),
            },
            Ok(Progress::Incomplete) if cx.finished() && cx.input.is_present() => {
                return fail(cx, FetchError::Unreachable);
            }
            Ok(Progress::Incomplete) => return PENDING,
            Err(_) => return fail(cx, FetchError::Malformed),
        }
    }
}

/// Whether it is the client who has not sent all of the request: no fault of the backend's.
fn waits_for_client(cx: &Context<'_, Fetch>) -> bool {
    let upload = cx.request.job.as_ref().and_then(|job| job.outgoing.upload.as_ref());
    !cx.request.is_sent && upload.is_some_and(|upload| upload.borrow().is_empty())
}

/// Takes a whole head. `None`: it was an interim one, and another follows.
fn take(cx: &mut Context<'_, Fetch>, unread: &[u8], length: usize) -> Result<Option<Outcome>, FetchError> {
    let octets = &unread[..length];
    let parser = std::mem::take(&mut cx.request.parser);
    let head = parser.head();
    let Some(job) = &cx.request.job else { return Ok(Some(FAILED)) };
    let (flight, outgoing, attempt) = (job.flight.clone(), job.outgoing.clone(), job.attempt);
    let shared = cx.global.shared.clone();
    let (engine, seat) = (shared.borrow().engine, shared.borrow().seat(cx.notice()));
    consume(cx, length);
    let status = head.status();
    if (100..200).contains(&status) && status != 101 {
        let passes = flight.interim(&interim(head, octets), &mut cx.desk(), engine);
        return if passes { Ok(None) } else { Err(FetchError::Malformed) };
    }
    let framing = head.framing(outgoing.method).map_err(|_| FetchError::Malformed)?;
    if status == 101 && !outgoing.upgrades {
        return Err(FetchError::Malformed);
    }
    let elsewhere =
        cx.request.job.as_ref().is_some_and(|job| shared.borrow_mut().may_try_elsewhere(job, status, cx.now()));
    if elsewhere {
        return Ok(Some(try_elsewhere(cx, status)));
    }
    if !flight.claim(attempt, seat, &mut cx.desk(), engine) {
        return Err(FetchError::Abandoned);
    }
    let mut remote = RemoteHead::new(&outgoing, head, octets, framing, cx.global.seconds.get());
    let place = cx.connection.place;
    if let Some(cookie) = place.and_then(|place| shared.borrow().cookie(place, outgoing.sticky.as_deref())) {
        response::field(&mut remote.for_first, "Set-Cookie", cookie);
    }
    let remote = Arc::new(remote);
    cx.request.is_persistent = head.is_persistent();
    cx.request.reader = Some(BodyReader::new(framing));
    cx.request.head = Some(remote.clone());
    // Those who wait for a validated object get that, not the news that it is valid.
    if !remote.validates {
        flight.begin(remote.clone(), &mut cx.desk(), engine);
    }
    cx.arm_after(outgoing.times.between_bytes);
    Ok(Some(if status == 101 { SWITCHED } else { HEAD }))
}

/// The response is not passed on, and the connection ends with it.
fn try_elsewhere(cx: &mut Context<'_, Fetch>, status: u16) -> Outcome {
    let shared = cx.global.shared.clone();
    if let (Some(job), Some(place)) = (cx.request.job.take(), cx.connection.place) {
        shared.borrow_mut().try_elsewhere(job, place, status, &mut cx.desk());
    }
    end(cx);
    FAILED
}
