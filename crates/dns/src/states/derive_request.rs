//! *Derive request*: reads a query where it arrived.

use afpa_engine::{Context, Outcome, Time, Wake};
use afpa_wire::proxy_protocol::{self, Parsed};

use crate::message::{Opcode, Query, Rcode, Unanswerable};
use crate::module::{Carrier, Dns, socket_address};
use crate::protect::CookieStatus;
use crate::query_log::Outcome as LogOutcome;
use crate::query_log::Protocol;
use crate::stats::Restraint;
use crate::table::{COMPLETE, IDLE_END, INCOMPLETE, REFUSED, SILENT, STALLED};

/// Octets of the length in front of a message on a stream (RFC 1035 §4.2.2).
const LENGTH: usize = 2;
/// The shortest message.
const SHORTEST: usize = 12;

/// A datagram is one query, or nothing. A stream has one after another; while too many are unanswered, none is read.
pub(crate) fn derive_request(cx: &mut Context<'_, Dns>) -> Outcome {
    match cx.connection.carrier {
        Carrier::Datagram => datagram(cx),
        Carrier::Stream => stream(cx),
    }
}

fn datagram(cx: &mut Context<'_, Dns>) -> Outcome {
    let input = cx.input.unread();
    let Some(start) = proxy_header(cx, input) else { return silent(cx) };
    // A forged source port that nobody can have: an answer would go nowhere, or to another service.
    if cx.connection.client.is_none_or(|client| client.port() == 0) {
        return silent(cx);
    }
    (cx.request.start, cx.request.end) = (start, input.len());
    read(cx, &input[start..])
}

fn stream(cx: &mut Context<'_, Dns>) -> Outcome {
    if cx.connection.client.is_none() {
        cx.connection.client = Some(socket_address(cx.output.peer()));
    }
    let limits = cx.global.settings.limits;
    let is_idle = cx.connection.pending.count() == 0;
    match cx.wake {
        Wake::Expired if cx.connection.stalled => return STALLED,
        // Whoever dawdles over a question, or asks none, makes room. Answers that are due are waited for.
        Wake::Expired if cx.connection.reading || is_idle => return IDLE_END,
        Wake::Sent if !cx.connection.stalled => return INCOMPLETE,
        _ => {}
    }
    if cx.output.space() == 0 {
        return stall(cx);
    }
    cx.connection.stalled = false;
    if cx.connection.pending.count() >= limits.pipelined {
        // The window closes. An answer notifies.
        cx.arm(Time::NEVER);
        return INCOMPLETE;
    }
    let input = cx.input.unread();
    if !cx.input.is_present() {
        // It is shown in a moment.
        return INCOMPLETE;
    }
    let Some(start) = proxy_header(cx, input) else { return SILENT };
    let input = &input[start..];
    // It comes once: what follows is never shown behind it again.
    cx.input.consume(start);
    let frame = input.split_first_chunk::<LENGTH>().filter(|_| cx.connection.proxied);
    let Some((length, rest)) = frame else { return incomplete(cx, input) };
    let length = usize::from(u16::from_be_bytes(*length));
    if length < SHORTEST {
        return SILENT;
    }
    let Some(message) = rest.get(..length) else { return incomplete(cx, input) };
    cx.connection.reading = false;
    cx.arm(Time::NEVER);
    (cx.request.start, cx.request.end) = (LENGTH, LENGTH + length);
    read(cx, message)
}

/// Whoever takes no answers gets no more of them: until there is room, no question is read.
fn stall(cx: &mut Context<'_, Dns>) -> Outcome {
    let is_progress = cx.wake == Wake::Sent || !cx.connection.stalled;
    (cx.connection.stalled, cx.connection.reading) = (true, false);
    if is_progress {
        cx.arm_after(cx.global.settings.limits.idle_timeout);
    }
    INCOMPLETE
}

fn incomplete(cx: &mut Context<'_, Dns>, input: &[u8]) -> Outcome {
    let limits = cx.global.settings.limits;
    // RFC 7766 §6.2.4: what was asked before FIN is still answered.
    let is_over = cx.finished() || cx.draining() && input.is_empty();
    if is_over && cx.connection.pending.count() == 0 {
        return IDLE_END;
    }
    if input.is_empty() {
        cx.connection.reading = false;
        cx.arm_after(limits.idle_timeout);
    } else if !std::mem::replace(&mut cx.connection.reading, true) {
        cx.arm_after(limits.query_timeout);
    }
    INCOMPLETE
}

/// Reads the PROXY protocol header that some clients send: of a stream once, of each datagram. Returns where what
/// follows starts; `None` if there is none where there must be one.
fn proxy_header(cx: &mut Context<'_, Dns>, input: &[u8]) -> Option<usize> {
    let settings = &cx.global.settings;
    if cx.connection.proxied || settings.proxies.is_empty() {
        cx.connection.proxied = true;
        return Some(0);
    }
    let client = cx.connection.client?;
    if !settings.proxies.contains(client.ip()) {
        cx.connection.proxied = true;
        return Some(0);
    }
    match proxy_protocol::read(input) {
        Ok(Parsed::Whole(header, length)) => {
            cx.connection.proxied = true;
            // LOCAL and UNKNOWN: the proxy speaks for itself.
            cx.connection.client = Some(header.endpoints.map_or(client, |endpoints| endpoints.source));
            Some(length)
        }
        Ok(Parsed::Incomplete) if cx.connection.carrier == Carrier::Stream => Some(0),
        Ok(Parsed::Incomplete) | Err(_) => None,
    }
}

fn read(cx: &mut Context<'_, Dns>, message: &[u8]) -> Outcome {
    cx.request.started = cx.now();
    let (qtype, result) = match Query::read(message) {
        Ok(query) if query.header.opcode() == Opcode::QUERY => (query.question.map(|question| question.qtype), Ok(())),
        Ok(query) => (None, Err((query.header, Rcode::NOTIMP))),
        Err(Unanswerable::Silent) => return silent(cx),
        Err(Unanswerable::Malformed(header, error)) => {
            cx.global.stats.malformed(error);
            (None, Err((header, Rcode::FORMERR)))
        }
        Err(Unanswerable::Opcode(header)) => (None, Err((header, Rcode::NOTIMP))),
        Err(Unanswerable::Version(header)) => (None, Err((header, Rcode::BADVERS))),
    };
    if let Err((header, rcode)) = result {
        let protocol = protocol(cx.connection.carrier);
        cx.global.stats.asked(protocol, qtype, &CookieStatus::Absent, message.len());
        cx.request.malformed = Some(header);
        cx.request.outcome = Some(LogOutcome::Malformed);
        cx.request.refuse(rcode, None);
        return REFUSED;
    }
    COMPLETE
}

fn silent(cx: &mut Context<'_, Dns>) -> Outcome {
    cx.global.stats.restrained(Restraint::NoQuery);
    SILENT
}

pub(crate) fn protocol(carrier: Carrier) -> Protocol {
    match carrier {
        Carrier::Datagram => Protocol::Udp,
        Carrier::Stream => Protocol::Tcp,
    }
}
