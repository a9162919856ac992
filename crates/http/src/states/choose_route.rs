//! *Choose route*: which site, and what of it, a request is for.

use afpa_engine::{Context, Outcome};
use afpa_routing::{Captures, Fields, RequestView, Route, Target};

use super::client::client;
use crate::module::{Answer, Global, Http, Request};
use crate::remote::{Routed, key};
use crate::syntax::forward::passed_through;
use crate::syntax::target::normalise;
use crate::syntax::{Body, FieldSection, Method, TargetForm, fields};
use crate::table::{CHUNKED, CLASSED, DEFERRED, DIRECT, FILES, REFUSED, REMOTE};

/// Routes see the host in lower case and the path in its one form. For what a cache may hold, the key is made here.
pub fn choose_route(cx: &mut Context<'_, Http>) -> Outcome {
    let has_classes = cx.global.relaying.as_ref().is_some_and(|relaying| relaying.quality.is_some());
    let client = has_classes.then(|| client(cx));
    let octets = cx.request.head(cx.input.unread());
    let head = cx.request.parser.head();
    let Global { relaying, key, scratch, .. } = &mut *cx.global;
    let Some(relaying) = relaying else { return FILES };
    let mut lowered = Vec::new();
    let host = head.host_name(octets, &mut lowered).unwrap_or_default();
    let path = match head.target_form() {
        TargetForm::Authority => &b""[..],
        TargetForm::Asterisk => b"*",
        _ => match head.path(octets, scratch) {
            Ok(path) => path,
            Err(error) => {
                let status = error.status();
                return refuse(cx, status);
            }
        },
    };
    let query = head.query(octets);
    if relaying.top_keys.is_due() {
        let mark = if query.is_some() { &b"?"[..] } else { b"" };
        relaying.top_keys.count(&[host, path, mark, query.unwrap_or_default()]);
    }
    let lines = Lines(fields(octets));
    let view = RequestView { method: head.method_text(octets), host, path, query, fields: &lines };
    let Some(routed) = Routed::of(&relaying.relay, &view, &mut relaying.captures) else {
        // RFC 9110 §9.3.6: nobody is tunnelled to unless a route says so.
        let status = if head.method() == Method::Connect { 405 } else { 404 };
        cx.request.refuse_and_close(status);
        return REFUSED;
    };
    let route = routed.route();
    let quality = relaying.quality.as_mut();
    let class = quality.zip(client).map(|(quality, client)| quality.class_of(route, &view, client));
    match &route.target {
        Target::Files(number) => match rewritten(route, &view, &mut relaying.captures) {
            Ok(path) => (cx.request.site, cx.request.rewritten) = (*number as u16, path),
            Err(status) => return refuse(cx, status),
        },
        Target::Deferred(_) => {}
        Target::Pool(_) => {
            if is_a_loop(fields(octets), &relaying.relay.relay.name) {
                cx.request.refuse_and_close(508);
                return REFUSED;
            }
            if route.caching.is_some() {
                key::start(key);
                route.key.append(host, path, view.query, &lines, key);
                let sent = head.path_as_sent(octets);
                if !sent.is_empty() && sent != path && route.rewrite.is_empty() {
                    key::append_form(sent, key);
                }
            }
        }
        Target::Redirect { .. } => {
            let mut location = Vec::new();
            let status = route.redirect(&view, &relaying.captures, &mut location).unwrap_or(302);
            cx.request.answer = Answer::RedirectTo(status, location);
        }
        Target::Respond { status, content_type, body } => {
            cx.request.answer = Answer::Fixed(*status, content_type.clone(), body.clone());
        }
    }
    cx.request.routed = Some(routed);
    cx.request.admission.class = class;
    let (body, waits) = (head.body(), head.expects_continue());
    if !cx.request.is_for_others() {
        let readable = match body {
            Body::None | Body::Length(0) => true,
            // Files have it read before they answer.
            Body::Chunked => way(cx.request) != DIRECT,
            Body::Length(length) => length <= cx.global.settings.body_drain,
        };
        cx.request.persistent &= readable && (!waits || body == Body::None);
    }
    if has_classes { CLASSED } else { way(cx.request) }
}

/// What follows from the route.
pub(super) fn way(request: &Request) -> Outcome {
    let head = request.parser.head();
    match request.routed.as_ref().map(|routed| &routed.route().target) {
        Some(Target::Pool(_)) => REMOTE,
        Some(Target::Deferred(_)) => DEFERRED,
        Some(Target::Redirect { .. } | Target::Respond { .. }) => DIRECT,
        Some(Target::Files(_)) | None if head.body() == Body::Chunked && !head.expects_continue() => CHUNKED,
        Some(Target::Files(_)) | None => FILES,
    }
}

/// What follows as a body is not waited for.
fn refuse(cx: &mut Context<'_, Http>, status: u16) -> Outcome {
    match cx.request.parser.head().body() {
        Body::None => cx.request.refuse(status),
        _ => cx.request.refuse_and_close(status),
    }
    REFUSED
}

/// The path of files that the route makes of a request's, if it does.
fn rewritten(route: &Route, view: &RequestView<'_>, captures: &mut Captures) -> Result<Option<Vec<u8>>, u16> {
    if route.rewrite.is_empty() {
        return Ok(None);
    }
    let (mut written, mut scratch) = (Vec::new(), Vec::new());
    route.rewrite.target(view, captures, &mut written).map_err(|_| 400u16)?;
    let end = written.iter().position(|&octet| octet == b'?').unwrap_or(written.len());
    let path = normalise(&written[..end], &mut scratch).map_err(|error| error.status())?;
    Ok(Some(path.to_vec()))
}

/// Whether a request has come through here too often (RFC 9110 §7.6.3).
fn is_a_loop(fields: FieldSection<'_>, name: &str) -> bool {
    const MOST_PASSAGES: usize = 4;
    passed_through(fields, name) > MOST_PASSAGES
}

/// A request's fields, as routes look at them.
pub(crate) struct Lines<'a>(pub(crate) FieldSection<'a>);

impl Fields for Lines<'_> {
    fn each_value<'a>(&'a self, name: &str, visit: &mut dyn FnMut(&'a [u8]) -> bool) {
        for (_, value) in self.0.clone().filter(|(own, _)| own.eq_ignore_ascii_case(name.as_bytes())) {
            if visit(value) {
                return;
            }
        }
    }
}
