//! Counts and logs an answered request, and decides what the connection does next.

use afpa_engine::{Context, Outcome};

use crate::access_log::{CacheOutcome, Entry};
use crate::module::{Drain, Http, Request};
use crate::syntax::{Body, ChunkedDecoder};
use crate::table::{BODY_LEFT, LAST, LAST_UNREAD, PERSISTENT};

/// Everything has been given to TCP; what is left is bookkeeping.
pub fn complete_request(cx: &mut Context<'_, Http>) -> Outcome {
    let started = cx.request.started;
    cx.record_latency(started);
    let outcome = cx.request.outcome.unwrap_or(CacheOutcome::None);
    cx.global.stats.answered(cx.request.status, outcome, cx.request.payload);
    if cx.global.log.is_some() {
        log(cx, outcome);
    }
    next(cx)
}

fn next(cx: &mut Context<'_, Http>) -> Outcome {
    if cx.request.kept_head.is_empty() && cx.input.is_present() {
        cx.input.consume(cx.request.head_length);
    }
    let (persistent, body) = (cx.request.persistent, cx.request.parser.head().body());
    // The parser and the kept head keep their memory only while a connection is busy.
    *cx.request = Request::default();
    cx.connection.answered = cx.connection.answered.saturating_add(1);
    cx.connection.header_deadline = false;
    let left = match body {
        Body::None | Body::Length(0) => Drain::None,
        Body::Length(length) => Drain::Length(length),
        Body::Chunked => Drain::Chunked { decoder: ChunkedDecoder::default(), read: 0 },
    };
    match left {
        Drain::None if persistent => PERSISTENT,
        Drain::None if cx.finished() || cx.input.is_present() && cx.input.unread().is_empty() => LAST,
        Drain::Length(length) if persistent && length <= cx.global.settings.body_drain => {
            cx.request.drain = left;
            BODY_LEFT
        }
        Drain::Chunked { .. } if persistent => {
            cx.request.drain = left;
            BODY_LEFT
        }
        _ => LAST_UNREAD,
    }
}
