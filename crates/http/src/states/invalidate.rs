//! RFC 9111 §4.4: what an unsafe request makes out of date.

use afpa_caching::{Fields, Request, Response, invalidation};
use afpa_engine::Context;

use super::choose_route::Lines;
use crate::module::{Global, Http};
use crate::remote::purge::{Purge, Target};
use crate::remote::{RemoteHead, Routed, key};
use crate::syntax::fields;
use crate::syntax::target::normalise;

/// The request's own target, and what Location and Content-Location name on the same host.
pub(super) fn invalidate(cx: &mut Context<'_, Http>, remote: &RemoteHead) {
    let octets = &cx.request.kept_head[..];
    let head = cx.request.parser.head();
    let mut scratch = Vec::new();
    let Some(target) = head.origin_form(octets, &mut scratch) else { return };
    let own = [b"http://", head.host(octets), target].concat();
    let request = Request { method: head.method_text(octets), uri: &own, fields: Fields(&[]) };
    let status_line = [b"HTTP/1.1 200 OK\r\n", &remote.lines[..]].concat();
    let lines: Vec<_> = fields(&status_line).collect();
    let response = Response { status: remote.sent_status, fields: Fields(&lines) };
    let targets = invalidation::targets(&request, &response);
    let Global { relaying, key: made, .. } = &mut *cx.global;
    let Some(relaying) = relaying else { return };
    let asked = Lines(fields(octets));
    for target in targets {
        let Some(Parts { host, path, query }) = Parts::of(&target) else { continue };
        // Keys have the path in its one form.
        let Ok(path) = normalise(path, &mut scratch) else { continue };
        let view = afpa_routing::RequestView { method: b"GET", host, path, query, fields: &asked };
        let Some(routed) = Routed::of(&relaying.relay, &view, &mut relaying.captures) else { continue };
        if routed.route().caching.is_none() {
            continue;
        }
        key::start(made);
        routed.route().key.append(host, path, query, &asked, made);
        let purge = Purge { target: Target::Key(made.as_slice().into()), is_soft: true };
        relaying.relay.relay.shared.purges.enter(purge);
    }
}

/// An absolute URI, as routes look at it.
struct Parts<'a> {
    /// Without the port.
    host: &'a [u8],
    path: &'a [u8],
    query: Option<&'a [u8]>,
}

impl<'a> Parts<'a> {
    fn of(uri: &'a [u8]) -> Option<Parts<'a>> {
        let rest = uri.strip_prefix(b"http://")?;
        let end = rest.iter().position(|&octet| matches!(octet, b'/' | b'?')).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let host = match authority.iter().rposition(|&octet| octet == b':') {
            Some(colon) if !authority[colon..].contains(&b']') => &authority[..colon],
            _ => authority,
        };
        let (path, query) = match target.iter().position(|&octet| octet == b'?') {
            Some(mark) => (&target[..mark], Some(&target[mark + 1..])),
            None => (target, None),
        };
        Some(Parts { host, path, query })
    }
}
