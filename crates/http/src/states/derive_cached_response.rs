//! *Derive cached response*: looks the request up in this engine's view of the cache.

use afpa_engine::{Context, Outcome};

use super::respond::respond;
use crate::access_log::CacheOutcome;
use crate::files::RequestKey;
use crate::module::{Answer, Http};
use crate::syntax::{Method, TargetForm};
use crate::table::{DIRECT, HIT, MISS, REFUSED};

/// A hit is answered here and now; nothing on this way allocates, locks, or touches the payload.
pub fn derive_cached_response(cx: &mut Context<'_, Http>) -> Outcome {
    let head = cx.request.parser.head();
    let octets = cx.request.head(cx.input.unread());
    match head.method() {
        Method::Get | Method::Head => {}
        Method::Options => {
            cx.request.answer = Answer::Options;
            return DIRECT;
        }
        _ => {
            // RFC 9110 §15.5.6: known, but not for this resource.
            cx.request.refuse(405);
            return REFUSED;
        }
    }
    let global = &mut *cx.global;
    let path = match head.path(octets, &mut global.scratch) {
        Ok(path) => path,
        Err(error) => {
            cx.request.refuse(error.status());
            return REFUSED;
        }
    };
    RequestKey { accepts: head.accepts(), path }.encode(&mut global.key);
    match global.view.get(&global.key) {
        Some(resident) => {
            let found = (resident.object().details().clone(), resident.body().clone());
            respond(cx, found);
            HIT
        }
        None => MISS,
    }
}
