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
use super::module::Fetch;
use super::table::FAILED;

/// Ends the attempt, and with it the connection; another may be made elsewhere.
fn fail(cx: &mut Context<'_, Fetch>, error: FetchError) -> Outcome {
    let shared = cx.global.shared.clone();
    let was_sent = cx.request.was_sent;
    if let (Some(job), Some(place)) = (cx.request.job.take(), cx.connection.place) {
        shared.borrow_mut().failed(job, place, error, was_sent, &mut cx.desk());
    }
    end(cx);
    FAILED
}

/// Counts octets that went to the backend and came from it.
fn count(cx: &Context<'_, Fetch>, sent: usize, received: usize) {
    if let Some(place) = cx.connection.place {
        cx.global.shared.borrow().transferred(place, sent as u64, received as u64);
    }
}

/// Counts the end of the connection, once.
fn end(cx: &mut Context<'_, Fetch>) {
    let shared = cx.global.shared.clone();
    if let Some(place) = cx.connection.place.take() {
        shared.borrow_mut().disconnected(place, &mut cx.desk());
    }
}
