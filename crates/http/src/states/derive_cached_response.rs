//! *Derive cached response*: looks the request up in this engine's view of the cache.

use afpa_engine::{Context, Outcome};

use super::derive_kept_response::derive_kept_response;
use super::respond::Derivation;
use crate::files::RequestKey;
use crate::kept::Kept;
use crate::module::{Answer, Global, Http};
use crate::syntax::Method;
use crate::table::{DIRECT, HIT, MISS, REFUSED};

/// A hit is answered here and now; nothing on this way allocates, locks, or touches the payload.
pub fn derive_cached_response(cx: &mut Context<'_, Http>) -> Outcome {
    if cx.request.is_for_others() {
        return derive_kept_response(cx);
    }
    match cx.request.parser.head().method() {
        Method::Get | Method::Head => {}
        Method::Options => {
            cx.request.answer = Answer::Options;
            return DIRECT;
        }
        // RFC 9110 §15.5.6: known, but not for files.
        _ => return refuse(cx, 405),
    }
    let octets = cx.request.head(cx.input.unread());
    let (head, persistence) = (cx.request.parser.head(), cx.request.persistence());
    let Global { view, clock, key, scratch, nonce, .. } = &mut *cx.global;
    let path = match &cx.request.rewritten {
        None => match head.path(octets, scratch) {
            Ok(path) => path,
            Err(error) => return refuse(cx, error.status()),
        },
        Some(path) => path,
    };
    RequestKey { site: cx.request.site, accepts: head.accepts(), path }.encode(key);
    let Some(resident) = view.get(key) else { return MISS };
    let Kept::File(details) = &**resident.object.details() else { return MISS };
    let added = cx.request.routed.as_ref().map_or(&[][..], |routed| routed.added());
    let derivation =
        Derivation { head, octets, persistence, clock, nonce: *nonce, scratch, added, output: &mut cx.output };
    let answered = derivation.respond(&resident.body, &**details);
    cx.request.answered(answered);
    HIT
}

fn refuse(cx: &mut Context<'_, Http>, status: u16) -> Outcome {
    cx.request.refuse(status);
    REFUSED
}
