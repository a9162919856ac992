//! *Send request*: the head, and of the body as much as there is and TCP takes.

use afpa_engine::{Context, Outcome};

use super::{fail, send};
use crate::fetch::FetchError;
use crate::fetch::module::Fetch;
use crate::fetch::table::{SENT, STALE};
use crate::fetch::upload::Piece;
use crate::syntax::chunk::{CHUNK_END, chunk_head, last_chunk};

/// Unless nobody waits for an answer any more.
pub(crate) fn send_request(cx: &mut Context<'_, Fetch>) -> Outcome {
    let notice = cx.notice();
    let Some(job) = &cx.request.job else { return STALE };
    if !job.flight.wants(job.attempt) {
        return STALE;
    }
    let outgoing = job.outgoing.clone();
    job.flight.fetched_by(cx.global.shared.borrow().seat(notice));
    if let Some(upload) = &outgoing.upload {
        upload.borrow_mut().restart(notice);
    }
    cx.connection.requests += 1;
    cx.request.was_sent = true;
    if outgoing.preamble.is_empty() {
        send(cx, &outgoing.head.borrow());
    } else {
        send(cx, &[&outgoing.preamble[..], &outgoing.head.borrow()].concat());
    }
    cx.arm_after(outgoing.times.first_byte);
    match send_body(cx) {
        Ok(_) => SENT,
        Err(error) => fail(cx, error),
    }
}

/// Sends on of the request's body. When TCP has enough, or the client has sent no more, it is called again at the
/// connection's next event. Whether there was anything to send.
///
/// # Errors
/// The client does not send the rest.
pub(super) fn send_body(cx: &mut Context<'_, Fetch>) -> Result<bool, FetchError> {
    if cx.request.is_sent {
        return Ok(false);
    }
    let Some(outgoing) = cx.request.job.as_ref().map(|job| job.outgoing.clone()) else { return Ok(false) };
    let Some(upload) = &outgoing.upload else {
        cx.request.is_sent = true;
        return Ok(false);
    };
    let mut has_sent = false;
    while cx.output.space() > 0 {
        let piece = upload.borrow_mut().take(&mut cx.desk());
        match piece {
            Piece::Chunk(octets) if outgoing.is_chunked => {
                let mut framing = Vec::with_capacity(32);
                chunk_head(&mut framing, octets.len() as u64);
                send(cx, &framing);
                send(cx, &octets);
                send(cx, CHUNK_END);
            }
            Piece::Chunk(octets) => send(cx, &octets),
            Piece::Wait => return Ok(has_sent),
            Piece::End => {
                if outgoing.is_chunked {
                    let mut end = Vec::new();
                    last_chunk(&mut end, []);
                    send(cx, &end);
                }
                cx.request.is_sent = true;
                return Ok(true);
            }
            Piece::CutOff => return Err(FetchError::RequestCutOff),
        }
        has_sent = true;
    }
    Ok(has_sent)
}
