//! The state functions of a backend's connection, one file each.

pub(super) mod await_request;
pub(super) mod begin;
pub(super) mod keep_watch;
pub(super) mod read_head;
pub(super) mod relay_body;
pub(super) mod release;
pub(super) mod send_request;
pub(super) mod store_response;
pub(super) mod tunnel;

use afpa_engine::{Context, Outcome};

use super::error::FetchError;
use super::module::{Connection, Fetch, Request};
use super::table::FAILED;

/// Ends the attempt, and with it the connection; another may be made elsewhere.
fn fail(cx: &mut Context<'_, Fetch>, error: FetchError) -> Outcome {
    let shared = cx.global.shared.clone();
    let was_sent = cx.request.was_sent;
    let is_worn = error == FetchError::Unreachable && was_closed_before(cx.connection, cx.request);
    if let (Some(job), Some(place)) = (cx.request.job.take(), cx.connection.place) {
        let mut shared = shared.borrow_mut();
        let left = if is_worn { shared.again_afresh(job, place, &mut cx.desk()) } else { Err(job) };
        if let Err(job) = left {
            shared.failed(job, place, error, was_sent, &mut cx.desk());
        }
    }
    end(cx);
    FAILED
}

/// Sends octets, and counts them.
fn send(cx: &mut Context<'_, Fetch>, octets: &[u8]) {
    cx.output.send(octets);
    cx.connection.transferred(octets.len() as u64, 0, &cx.global.shared);
}

/// Takes octets that were read, and counts them.
fn consume(cx: &mut Context<'_, Fetch>, count: usize) {
    cx.input.consume(count);
    cx.connection.transferred(0, count as u64, &cx.global.shared);
}

/// Whether the end of a connection says nothing of the request that was last sent on it.
pub(super) fn was_closed_before(connection: &Connection, request: &Request) -> bool {
    connection.requests > 1 && request.was_sent && !request.parser.is_started() && request.head.is_none()
}

/// Counts the end of the connection, once.
fn end(cx: &mut Context<'_, Fetch>) {
    let shared = cx.global.shared.clone();
    cx.connection.count(&shared.borrow());
    if let Some(place) = cx.connection.place.take() {
        shared.borrow_mut().disconnected(place, &mut cx.desk());
    }
}
