//! Counts and logs an answered request, and decides what the connection does next.

use afpa_engine::seam::Address;
use afpa_engine::{Context, Outcome};

use crate::access_log::{CacheOutcome, Entry};
use crate::module::{Http, Request};
use crate::syntax::Body;
use crate::table::{BODY_LEFT, LAST, LAST_UNREAD, PERSISTENT};

/// Everything has been given to TCP; what is left is bookkeeping.
pub fn complete_request(cx: &mut Context<'_, Http>) -> Outcome {
    count(cx);
    next(cx)
}

pub(super) fn count(cx: &mut Context<'_, Http>) {
    let started = cx.request.started;
    cx.record_latency(started);
    let outcome = cx.request.outcome.unwrap_or(CacheOutcome::None);
    cx.global.stats.answered(cx.request.status, outcome, cx.request.payload);
    if cx.global.log.is_some() {
        log(cx, outcome);
    }
}

fn next(cx: &mut Context<'_, Http>) -> Outcome {
    let Request { persistent, refusal, .. } = *cx.request;
    let persistent = persistent && !cx.request.has_unread_chunks();
    let body = if cx.request.is_body_read { Body::None } else { cx.request.parser.head().body() };
    if cx.request.kept_head.is_empty() && cx.input.is_present() {
        cx.input.consume(cx.request.head_length);
    }
    if cx.request.admission.class.is_some() {
        give_back(cx);
    }
    cx.request.reset();
    cx.connection.answered = cx.connection.answered.saturating_add(1);
    cx.connection.header_deadline = false;
    if !persistent {
        // What the peer sends behind its last request would turn our FIN into a reset.
        let sends = refusal.is_some_and(|refusal| refusal.closes) || body != Body::None;
        let sent = cx.input.is_present() && !cx.input.unread().is_empty();
        return if sends || sent { LAST_UNREAD } else { LAST };
    }
    match body {
        Body::Length(length) if length > 0 => {
            cx.request.body_left = length;
            BODY_LEFT
        }
        _ => PERSISTENT,
    }
}

/// What it was given is others' from now on.
fn give_back(cx: &mut Context<'_, Http>) {
    let now = cx.now().0;
    if let Some(quality) = cx.global.quality() {
        quality.end(&mut cx.request.admission, now);
        super::tell_called(cx);
    }
}

/// One record into the log's ring. Nothing waits, and nothing is allocated.
fn log(cx: &mut Context<'_, Http>, outcome: CacheOutcome) {
    let now = cx.now();
    let output = &cx.output;
    let peer = *cx.connection.peer.get_or_insert_with(|| match output.peer() {
        Some(Address::Inet(address)) => Some(address),
        _ => None,
    });
    let peer = cx.request.client.or(peer.map(|address| address.ip()));
    let octets = cx.request.head(cx.input.unread());
    let (head, request) = (cx.request.parser.head(), &cx.request);
    let entry = Entry {
        unix_micros: cx.global.clock.unix_micros(request.started),
        peer,
        method: head.method_text(octets),
        target: head.target(octets),
        minor_version: u8::from(!head.is_http_1_0()),
        status: request.status,
        body_octets: request.payload,
        duration_micros: now.since(request.started).as_micros() as u64,
        outcome,
        referer: head.referer(octets),
        user_agent: head.user_agent(octets),
    };
    if let Some(recorder) = &mut cx.global.log {
        recorder.push(&entry);
    }
}
