//! *Complete request*: counts and logs the query, and makes room for the next.

use afpa_engine::{Context, Outcome};

use super::derive_request::protocol;
use crate::message::{Opcode, flag};
use crate::module::{Carrier, Dns, Global, Request};
use crate::query_log::{Outcome as LogOutcome, QueryFlags, Record};
use crate::table::{LAST, PERSISTENT};

/// A datagram has one request, and so has what was detached from a stream, which is told.
pub(crate) fn complete_request(cx: &mut Context<'_, Dns>) -> Outcome {
    count(cx);
    if let Some(parent) = cx.connection.parent {
        cx.notify(parent);
        return LAST;
    }
    if cx.connection.carrier == Carrier::Datagram {
        return LAST;
    }
    cx.input.consume(cx.request.end);
    *cx.request = Request::default();
    PERSISTENT
}

fn count(cx: &mut Context<'_, Dns>) {
    let started = cx.request.started;
    cx.record_latency(started);
    let input = cx.input.unread();
    let now = cx.now();
    let Global { stats, log, wall, .. } = &mut *cx.global;
    let request = &*cx.request;
    let rcode = (request.sent > 0).then_some(request.rcode);
    let outcome = request.outcome.unwrap_or(LogOutcome::Server);
    stats.ended(outcome, rcode, request.sent);
    let (Some(log), Some(client)) = (log, cx.connection.client) else { return };
    let query = request.query(input).filter(|query| query.header.opcode() == Opcode::QUERY);
    let flags = query.map_or(QueryFlags::default(), |query| {
        QueryFlags::default()
            .with(QueryFlags::RECURSION, query.header.has(flag::RD))
            .with(QueryFlags::DNSSEC, query.dnssec_ok())
            .with(QueryFlags::CHECKING_DISABLED, query.header.has(flag::CD))
            .with(QueryFlags::COOKIE, request.proven && cx.connection.carrier == Carrier::Datagram)
            .with(QueryFlags::EDNS, query.edns.is_some())
    });
    let latency_micros = now.since(request.started).as_micros() as u64;
    log.push(&Record {
        unix_micros: wall.micros(now).saturating_sub(latency_micros),
        client: client.ip(),
        client_port: client.port(),
        protocol: protocol(cx.connection.carrier),
        question: query.and_then(|query| query.question),
        flags,
        rcode: request.rcode,
        outcome,
        answer_octets: request.sent as u32,
        latency_micros: latency_micros.try_into().unwrap_or(u32::MAX),
        backend: request.backend,
    });
}
