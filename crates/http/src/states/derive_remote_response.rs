//! *Derive remote response* (AFPA §3.2): asks a backend, and passes on what it answers, as it comes.

use std::sync::Arc;

use afpa_cache::Object;
use afpa_caching::{CacheStatus, Fields, Handled, conditional};
use afpa_engine::{Context, Outcome, Time, Wake};

use super::derive_kept_response::answer;
use super::remote_request::{Options, Refused, outgoing};
use super::respond::Answered;
use super::send_response::{RATE_INTERVAL, send};
use super::{keep_head, remote_body};
use crate::access_log::CacheOutcome;
use crate::fetch::FetchError;
use crate::fetch::flight::{End, Next, ReaderId};
use crate::fetch::flights::Joined;
use crate::fetch::upload::Upload;
use crate::kept::Kept;
use crate::module::{Global, Http};
use crate::remote::{Framing, RemoteHead, RemoteRequest, key};
use crate::syntax::chunk::chunk_head;
use crate::syntax::{Body, BodyReader, FieldLines, Method, fields, response};
use crate::table::{BLOCKED, CUT_OFF, PENDING, READY, REFUSED, SENT, SWITCHED};

/// Runs at every event of the client's connection until its answer is sent.
pub fn derive_remote_response(cx: &mut Context<'_, Http>) -> Outcome {
    if cx.request.remote.is_none()
        && let Err(Refused(status)) = begin(cx, false)
    {
        return refuse(cx, status);
    }
    if cx.wake == Wake::Expired
        && let Some(outcome) = expired(cx)
    {
        return outcome;
    }
    if let Err(status) = remote_body::read(cx) {
        let has_begun = cx.request.remote.as_ref().is_some_and(|remote| remote.framing.is_some());
        leave(cx);
        if has_begun {
            // Another response within this one would be taken for a part of it.
            return CUT_OFF;
        }
        cx.request.refuse_and_close(status);
        return REFUSED;
    }
    let outcome = pass_on(cx);
    if outcome == PENDING {
        let deadline = cx.request.remote.as_ref().map_or(Time::NEVER, |remote| remote.next_deadline());
        let resumes = cx.request.admission.resumes;
        cx.arm(deadline.min(resumes));
    }
    outcome
}

/// Joins whoever fetches the same, or has it fetched. `alone`: nobody else's answer will do.
fn begin(cx: &mut Context<'_, Http>, alone: bool) -> Result<(), Refused> {
    keep_head(cx);
    let Some(routed) = cx.request.routed.clone() else { return Err(Refused(500)) };
    let Some(relaying) = &cx.global.relaying else { return Err(Refused(500)) };
    let shared = relaying.shared.clone();
    let (relay, seconds) = (routed.relay.relay.clone(), cx.global.clock.seconds());
    let (stale, why) = cx.request.missed.take().unwrap_or((None, Handled::Bypass));
    let head = cx.request.parser.head();
    let (method, body) = (head.method(), head.body());
    let lines: FieldLines<'_> = fields(&cx.request.kept_head).collect();
    let asked = Fields(&lines);
    let policy = routed.route().caching.map(|number| &relay.policies[number]);
    let directives = policy.map(|policy| policy.semantics.request_directives(asked)).unwrap_or_default();
    let tunnels = routed.route().upgrade && head.upgrade(&cx.request.kept_head).is_some();
    // A condition that only the origin can judge is left to it, and its answer to the one who asked; and so is a range of what
    // the cache has, but may not use.
    let has_range = head.has_range();
    let is_part = has_range && stale.is_none() && !head.has_preconditions() && !asked.has(b"if-range");
    let keeps = policy.is_some_and(|policy| policy.keeps)
        && method == Method::Get
        && body == Body::None
        && (!has_range || is_part)
        && !conditional::is_for_the_origin(asked)
        && !tunnels
        && !matches!(why, Handled::Bypass | Handled::Method);
    drop(lines);
    let key = if policy.is_some() { cx.global.key.clone() } else { Vec::new() };
    let seat = shared.borrow().seat(cx.notice());
    let collapses =
        keeps && !is_part && !alone && !directives.no_store && policy.is_some_and(|policy| policy.collapses);
    let flights = &relay.shared.flights;
    let (flight, reader, is_first) = match collapses {
        true => match flights.join(&key, seat, seconds, &relay.shared.purges) {
            Joined::First(flight) => (flight, ReaderId::default(), true),
            Joined::Other(flight, reader) => (flight, reader, false),
        },
        false if keeps => (flights.apart(seat), ReaderId::default(), true),
        false => (flights.alone(Some(seat)), ReaderId::default(), true),
    };
    let has_upload = body != Body::None || tunnels || method == Method::Connect;
    let upload = has_upload.then(|| Upload::new(cx.notice()));
    let waits = head.expects_continue() && body != Body::None;
    let now = cx.now();
    let mut remote = RemoteRequest {
        flight,
        reader,
        outgoing: None,
        upload: upload.clone(),
        body: (body != Body::None).then(|| BodyReader::new(body)),
        body_room: routed.route().limits.body.unwrap_or(u64::MAX),
        key: key.clone(),
        stale: stale.clone(),
        directives,
        why,
        is_collapsed: !is_first,
        hedge_at: Time::NEVER,
        continue_at: if waits { now.after(remote_body::CONTINUE_AFTER) } else { Time::NEVER },
        deadline: Time::NEVER,
        rate_at: Time::NEVER,
        framing: None,
        is_within_chunk: false,
        is_over: false,
    };
    cx.request.is_body_read = body == Body::None;
    if is_first {
        let options = Options { keeps, is_part, validates: stale.filter(|_| keeps), key };
        let out = match outgoing(cx, &routed, upload, options) {
            Ok(out) => std::rc::Rc::new(out),
            Err(refused) => {
                if collapses {
                    flights.remove(&remote.key, &remote.flight);
                }
                remote.flight.end(End::Failed(FetchError::Abandoned), &mut cx.desk(), shared.borrow().engine);
                return Err(refused);
            }
        };
        let total = routed.route().limits.total_timeout.unwrap_or(out.times.total);
        if !total.is_zero() {
            remote.deadline = now.after(total);
        }
        let hedge_after = shared.borrow_mut().fetch(&remote.flight, &out, &mut cx.desk());
        remote.hedge_at = hedge_after.map_or(Time::NEVER, |after| now.after(after));
        remote.outgoing = Some(out);
    }
    cx.request.remote = Some(Box::new(remote));
    if !is_first {
        give_back_permit(cx);
    }
    Ok(())
}

/// Another request has the backend asked.
fn give_back_permit(cx: &mut Context<'_, Http>) {
    let now = cx.now().0;
    if let Some(quality) = cx.global.quality() {
        quality.give_back_permit(&mut cx.request.admission, now);
        super::tell_called(cx);
    }
}

/// Whether somebody fetches what the request may share.
pub(super) fn may_join(cx: &Context<'_, Http>) -> bool {
    let (Some(routed), Some((_, why))) = (&cx.request.routed, &cx.request.missed) else { return false };
    let relay = &routed.relay.relay;
    let policy = routed.route().caching.map(|number| &relay.policies[number]);
    let collapses = policy.is_some_and(|policy| policy.keeps && policy.collapses);
    let head = cx.request.parser.head();
    collapses
        && head.method() == Method::Get
        && head.body() == Body::None
        && !head.has_range()
        && !head.has_cache_control()
        && !matches!(why, Handled::Bypass | Handled::Method)
        && relay.shared.flights.is_under_way(&cx.global.key)
}

/// Passes on whatever there is, as far as TCP takes it.
fn pass_on(cx: &mut Context<'_, Http>) -> Outcome {
    let Some(engine) = engine(cx) else { return CUT_OFF };
    loop {
        if cx.output.is_sending() {
            match send(cx) {
                BLOCKED if is_stalled(cx) => {
                    cx.global.stats.too_slow.increment();
                    return CUT_OFF;
                }
                BLOCKED => return PENDING,
                CUT_OFF => return CUT_OFF,
                _ => {}
            }
        }
        let Some(remote) = &mut cx.request.remote else { return READY };
        if remote.is_over {
            return finish(cx);
        }
        if remote.framing.is_some() && cx.output.space() == 0 {
            // Something to be woken by when there is room.
            cx.output.respond_bytes(Vec::new());
            continue;
        }
        // From here on it waits for the backend, if for anybody.
        remote.rate_at = Time::NEVER;
        let (flight, reader) = (remote.flight.clone(), remote.reader);
        let next = flight.next(reader, &mut cx.desk(), engine);
        let outcome = match next {
            Next::Wait => return PENDING,
            Next::Interim(octets) => interim(cx, &octets),
            Next::Head(head) => head_came(cx, &head),
            Next::Chunk(octets) => chunk_came(cx, octets),
            Next::End(end) => ended(cx, end),
        };
        if let Some(outcome) = outcome {
            return outcome;
        }
    }
}

/// Whether the client took less than the minimum rate over the last interval, all of which it had something to take.
fn is_stalled(cx: &mut Context<'_, Http>) -> bool {
    if cx.request.admission.resumes != Time::NEVER {
        // Its class has used up its bandwidth: it is not the client that is waited for.
        if let Some(remote) = &mut cx.request.remote {
            remote.rate_at = Time::NEVER;
        }
        return false;
    }
    let least = cx.global.settings.min_rate * RATE_INTERVAL.as_secs();
    let (now, delivered) = (cx.now(), cx.delivered());
    let Some(remote) = cx.request.remote.as_mut().filter(|_| least > 0) else { return false };
    let is_first = remote.rate_at == Time::NEVER;
    if !is_first && now < remote.rate_at {
        return false;
    }
    let mark = cx.request.rate_mark.replace(delivered).unwrap_or_default();
    remote.rate_at = now.after(RATE_INTERVAL);
    !is_first && delivered < mark.saturating_add(least)
}

/// RFC 9110 §15.2: a client of HTTP/1.0 would take it for the answer.
fn interim(cx: &mut Context<'_, Http>, octets: &[u8]) -> Option<Outcome> {
    if !cx.request.parser.head().is_http_1_0() {
        cx.output.send(octets);
    }
    if octets.starts_with(b"HTTP/1.1 100")
        && let Some(remote) = &mut cx.request.remote
    {
        remote.continue_at = Time::NEVER;
    }
    None
}

/// Decides what the client gets, now that it is known what the backend says.
fn head_came(cx: &mut Context<'_, Http>, head: &Arc<RemoteHead>) -> Option<Outcome> {
    if matches!(head.status, 500 | 502..=504)
        && let Some(outcome) = serve_stale(cx, Some(head.status))
    {
        return Some(outcome);
    }
    let remote = cx.request.remote.as_ref()?;
    if head.is_beside_the_point || remote.is_collapsed && !serves(cx, head) {
        return begin_anew(cx);
    }
    if is_not_modified(cx, head) {
        return Some(not_modified(cx, head));
    }
    invalidate(cx, head);
    if head.status == 101 || cx.request.parser.head().method() == Method::Connect && head.status < 300 {
        return Some(switch(cx, head));
    }
    // Nothing is a tunnel: what would have been its input is the next request.
    let is_unread = !cx.request.is_body_read;
    if let Some(upload) = cx.request.remote.as_ref()?.upload.clone().filter(|_| !is_unread) {
        upload.borrow_mut().finish(&mut cx.desk());
    }
    if is_unread || cx.leaving() {
        cx.request.persistent = false;
    }
    write_head(cx, head);
    None
}

/// Whether an answer that another asked for is one to this request as well (RFC 9111 §4).
fn serves(cx: &Context<'_, Http>, head: &RemoteHead) -> bool {
    let Some(stored) = head.stored().filter(|_| head.may_be_shared()) else { return false };
    is_variant(cx, &stored.vary, head.variant.as_deref())
}

/// The answer is for others: this client's request goes on by itself.
fn begin_anew(cx: &mut Context<'_, Http>) -> Option<Outcome> {
    let remote = leave(cx)?;
    let why = remote.why;
    cx.global.key.clear();
    cx.global.key.extend_from_slice(&remote.key);
    cx.request.missed = Some((None, why));
    match begin(cx, true) {
        Ok(()) => None,
        Err(Refused(status)) => Some(refuse(cx, status)),
    }
}

/// What the cache has answers although it is stale, since the backend has trouble (RFC 5861 §4, RFC 9111 §4.2.4).
fn serve_stale(cx: &mut Context<'_, Http>, status: Option<u16>) -> Option<Outcome> {
    let remote = cx.request.remote.as_ref()?;
    let object = remote.stale.clone()?;
    let Kept::Remote(details) = &**object.details() else { return None };
    if !details.on_error(&remote.directives, cx.global.clock.seconds()) {
        return None;
    }
    let (why, collapsed) = (remote.why, remote.is_collapsed);
    leave(cx);
    answer(cx, &object, why, status, collapsed, CacheOutcome::Stale);
    Some(READY)
}

/// RFC 9111 §4.3.2: the client has what came.
fn is_not_modified(cx: &Context<'_, Http>, head: &RemoteHead) -> bool {
    let request = cx.request.parser.head();
    let Some(stored) = head.stored().filter(|_| request.has_preconditions()) else { return false };
    let is_ours = cx
        .request
        .remote
        .as_ref()
        .is_some_and(|remote| remote.outgoing.as_ref().is_none_or(|out| out.keeping.is_some()));
    let lines: FieldLines<'_> = fields(&cx.request.kept_head).collect();
    is_ours && head.status == 200 && conditional::is_not_modified(stored, Fields(&lines))
}

fn not_modified(cx: &mut Context<'_, Http>, head: &RemoteHead) -> Outcome {
    let remote = leave(cx);
    begin_head(cx, 304, head, remote.as_deref());
    let scratch = &mut cx.global.scratch;
    scratch.extend_from_slice(&head.lines);
    response::end(scratch);
    cx.output.send(scratch);
    cx.request.answered(Answered { status: 304, payload: 0, outcome: CacheOutcome::Miss });
    READY
}

/// RFC 9111 §4.4: an unsafe request that succeeded makes out of date what the cache has of its targets.
fn invalidate(cx: &mut Context<'_, Http>, head: &RemoteHead) {
    let method = cx.request.parser.head().method();
    if method.is_safe() || !(200..400).contains(&head.sent_status) {
        return;
    }
    super::invalidate::invalidate(cx, head);
}

/// Sends the head.
fn write_head(cx: &mut Context<'_, Http>, head: &RemoteHead) {
    let request = cx.request.parser.head();
    let (method, is_old) = (request.method(), request.is_http_1_0());
    let framing = match head.length {
        _ if !head.has_content => Framing::Counted,
        Some(_) => Framing::Counted,
        None if is_old => Framing::UntilClose,
        None => Framing::Chunked,
    };
    if framing == Framing::UntilClose {
        cx.request.persistent = false;
    }
    let remote = cx.request.remote.take();
    begin_head(cx, head.status, head, remote.as_deref());
    let Global { scratch, .. } = &mut *cx.global;
    scratch.extend_from_slice(&head.lines);
    match (framing, head.length) {
        // RFC 9110 §8.6.
        _ if head.status == 204 => {}
        (Framing::Chunked, _) => response::field(scratch, "Transfer-Encoding", "chunked"),
        (_, Some(length)) if head.has_content || method == Method::Head => {
            response::field_number(scratch, "Content-Length", length);
        }
        _ => {}
    }
    response::end(scratch);
    cx.output.send(scratch);
    let outcome = match &remote {
        Some(remote) if remote.key.is_empty() => CacheOutcome::Pass,
        Some(remote) if remote.is_collapsed => CacheOutcome::Collapsed,
        _ => CacheOutcome::Miss,
    };
    cx.request.answered(Answered { status: head.status, payload: 0, outcome });
    cx.request.remote = remote.map(|mut remote| {
        remote.framing = Some(framing);
        remote
    });
}

/// The status line, and the fields that are this response's own.
fn begin_head(cx: &mut Context<'_, Http>, status: u16, head: &RemoteHead, remote: Option<&RemoteRequest>) {
    let persistence = cx.request.persistence();
    let Global { scratch, clock, relaying, .. } = &mut *cx.global;
    scratch.clear();
    response::status_line(scratch, status);
    if head.lacks_date && status >= 200 {
        scratch.extend_from_slice(clock.date());
    }
    // Who asked gets the cookie that keeps it with its backend; others have their own.
    if remote.is_some_and(|remote| !remote.is_collapsed) {
        scratch.extend_from_slice(&head.for_first);
    }
    if let Some(age) = head.age {
        response::field_number(scratch, "Age", age);
    }
    let name = relaying.as_ref().map_or("", |relaying| &relaying.relay.relay.name);
    scratch.extend_from_slice(b"Cache-Status: ");
    if !head.cache_status.is_empty() {
        scratch.extend_from_slice(&head.cache_status);
        scratch.extend_from_slice(b", ");
    }
    let mut member = CacheStatus::new(name, remote.map_or(Handled::Bypass, |remote| remote.why));
    member.forward_status = (head.sent_status != status).then_some(head.sent_status);
    member.collapsed = remote.is_some_and(|remote| remote.is_collapsed);
    member.stored = head.stored().is_some();
    member.ttl = head.stored().map(|stored| stored.ttl(clock.seconds()));
    member.detail = match &head.verdict {
        Some(Err(reason)) => Some(reason.word()),
        _ => None,
    };
    crate::remote::append_member(&member, scratch);
    scratch.extend_from_slice(b"\r\n");
    scratch.extend_from_slice(persistence.field());
}

fn chunk_came(cx: &mut Context<'_, Http>, octets: Arc<[u8]>) -> Option<Outcome> {
    let remote = cx.request.remote.as_mut()?;
    cx.request.payload += octets.len() as u64;
    if cx.request.parser.head().method() == Method::Head {
        return None;
    }
    if remote.framing == Some(Framing::Chunked) {
        let scratch = &mut cx.global.scratch;
        scratch.clear();
        if std::mem::replace(&mut remote.is_within_chunk, true) {
            scratch.extend_from_slice(b"\r\n");
        }
        chunk_head(scratch, octets.len() as u64);
        cx.output.send(scratch);
    }
    if octets.len() <= cx.output.space() && !cx.request.admission.is_paced() {
        cx.output.send(&octets);
    } else {
        cx.output.respond_shared(octets);
    }
    None
}

fn ended(cx: &mut Context<'_, Http>, end: End) -> Option<Outcome> {
    match end {
        End::Complete(trailers) => {
            let remote = cx.request.remote.as_mut()?;
            if remote.framing == Some(Framing::Chunked) {
                let scratch = &mut cx.global.scratch;
                scratch.clear();
                if remote.is_within_chunk {
                    scratch.extend_from_slice(b"\r\n");
                }
                scratch.extend_from_slice(b"0\r\n");
                scratch.extend_from_slice(trailers.as_deref().unwrap_or_default());
                scratch.extend_from_slice(b"\r\n");
                cx.output.send(scratch);
            }
            remote.is_over = true;
            None
        }
        End::Object(object) => validated(cx, &object),
        // Who was waited for has left, and so it was given up just when this client came.
        End::Failed(FetchError::Abandoned) if has_not_begun(cx) => begin_anew(cx),
        End::Failed(error) => Some(failed(cx, error)),
    }
}

fn has_not_begun(cx: &Context<'_, Http>) -> bool {
    cx.request.remote.as_ref().is_some_and(|remote| remote.is_collapsed && remote.framing.is_none())
}

/// The backend says that the object is still good, or a new one has taken its place.
fn validated(cx: &mut Context<'_, Http>, object: &Arc<Object<Kept>>) -> Option<Outcome> {
    let remote = cx.request.remote.as_ref()?;
    let (why, collapsed) = (remote.why, remote.is_collapsed);
    if collapsed && !is_for(cx, object) {
        return begin_anew(cx);
    }
    leave(cx);
    // After a reload the view may be another cache's, and after a purge the object may be dead already.
    let routed = cx.request.routed.as_ref();
    let is_ours = routed.is_some_and(|routed| Arc::ptr_eq(&routed.relay.relay.cache, cx.global.view.cache()));
    if is_ours && !object.is_dead() {
        cx.global.view.admit(object.clone());
    }
    answer(cx, object, why, Some(304), collapsed, CacheOutcome::Validated);
    Some(READY)
}

/// Whether an object is the request's variant.
fn is_for(cx: &Context<'_, Http>, object: &Object<Kept>) -> bool {
    let Kept::Remote(details) = &**object.details() else { return false };
    is_variant(cx, &details.stored.vary, Some(object.key()))
}

/// Whether of answers that differ by the fields `names`, the request's is the one under the key `variant`.
fn is_variant(cx: &Context<'_, Http>, names: &[Box<[u8]>], variant: Option<&[u8]>) -> bool {
    if names.is_empty() {
        return true;
    }
    let Some(remote) = &cx.request.remote else { return false };
    let lines: FieldLines<'_> = fields(&cx.request.kept_head).collect();
    let mut own = remote.key.clone();
    key::append_variant(names, Fields(&lines), &mut own) && variant == Some(&own[..])
}

fn failed(cx: &mut Context<'_, Http>, error: FetchError) -> Outcome {
    if cx.request.remote.as_ref().is_some_and(|remote| remote.framing.is_some()) {
        // It must not look whole.
        return CUT_OFF;
    }
    if let Some(outcome) = serve_stale(cx, None) {
        return outcome;
    }
    let must_validate = cx.request.remote.as_ref().is_some_and(|remote| remote.stale.is_some());
    let remote = leave(cx);
    cx.request.note = remote.map(|remote| (remote.why, Some(error.word())));
    // RFC 9111 §4.2.4, §5.2.2.2: a cache that must validate and cannot says so.
    let status = if must_validate && error == FetchError::Unreachable { 504 } else { error.status() };
    refuse(cx, status)
}

fn expired(cx: &mut Context<'_, Http>) -> Option<Outcome> {
    let now = cx.now();
    let shared = cx.global.relaying.as_ref()?.shared.clone();
    let remote = cx.request.remote.as_mut()?;
    if remote.deadline <= now {
        let has_begun = remote.framing.is_some();
        if has_begun {
            return Some(CUT_OFF);
        }
        return Some(failed(cx, FetchError::TimedOut));
    }
    if remote.hedge_at <= now {
        remote.hedge_at = Time::NEVER;
        let (flight, out) = (remote.flight.clone(), remote.outgoing.clone()?);
        shared.borrow_mut().hedge(&flight, &out, &mut cx.desk());
    }
    let remote = cx.request.remote.as_mut()?;
    if remote.continue_at <= now {
        remote.continue_at = Time::NEVER;
        if remote.framing.is_none() {
            cx.output.send(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
    }
    None
}

/// Everything is with TCP.
fn finish(cx: &mut Context<'_, Http>) -> Outcome {
    leave(cx);
    cx.arm(Time::NEVER);
    SENT
}

fn switch(cx: &mut Context<'_, Http>, head: &RemoteHead) -> Outcome {
    let scratch = &mut cx.global.scratch;
    scratch.clear();
    response::status_line(scratch, head.status);
    scratch.extend_from_slice(&head.lines);
    if let Some(protocol) = &head.upgrade {
        response::field(scratch, "Connection", "upgrade");
        response::field(scratch, "Upgrade", protocol);
    }
    response::end(scratch);
    cx.output.send(scratch);
    cx.request.answered(Answered { status: head.status, payload: 0, outcome: CacheOutcome::Pass });
    cx.request.persistent = false;
    cx.request.is_body_read = true;
    forget_exchange(cx);
    SWITCHED
}

/// A tunnel may stay for hours, and needs nothing of what was asked and answered.
fn forget_exchange(cx: &mut Context<'_, Http>) {
    cx.request.kept_head.shrink_to_fit();
    let Some(remote) = &mut cx.request.remote else { return };
    remote.flight.forget_head();
    (remote.outgoing, remote.key) = (None, Vec::new());
    if let Some(upload) = &remote.upload {
        upload.borrow_mut().keep_nothing();
    }
}

fn refuse(cx: &mut Context<'_, Http>, status: u16) -> Outcome {
    let is_unread = !cx.request.is_body_read && cx.request.parser.head().body() != Body::None;
    if is_unread {
        cx.request.refuse_and_close(status)
    } else {
        cx.request.refuse(status)
    }
    REFUSED
}

/// Gives the flight up, if it has not ended.
fn leave(cx: &mut Context<'_, Http>) -> Option<Box<RemoteRequest>> {
    let engine = engine(cx)?;
    let remote = cx.request.remote.take()?;
    remote.leave(engine, &mut cx.desk());
    Some(remote)
}

fn engine(cx: &Context<'_, Http>) -> Option<u32> {
    cx.global.relaying.as_ref().map(|relaying| relaying.shared.borrow().engine)
}

/// Has a stale object validated while it answers (RFC 5861 §3).
pub(super) fn refresh_in_background(cx: &mut Context<'_, Http>, object: &Arc<Object<Kept>>) {
    keep_head(cx);
    let (Some(routed), Some(relaying)) = (cx.request.routed.clone(), &cx.global.relaying) else { return };
    let shared = relaying.shared.clone();
    let key = cx.global.key.clone();
    let Some(flight) = routed.relay.relay.shared.flights.refresh(&key, &routed.relay.relay.shared.purges) else {
        return;
    };
    let options = Options { keeps: true, is_part: false, validates: Some(object.clone()), key: key.clone() };
    match outgoing(cx, &routed, None, options) {
        Ok(out) => _ = shared.borrow_mut().fetch(&flight, &std::rc::Rc::new(out), &mut cx.desk()),
        Err(_) => routed.relay.relay.shared.flights.remove(&key, &flight),
    }
}
