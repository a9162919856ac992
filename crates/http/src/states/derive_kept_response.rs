//! *Derive cached response*, of what came from a backend.

use std::rc::Rc;
use std::sync::Arc;

use afpa_cache::{Object, ResidentBody, View};
use afpa_caching::{Fields, Handled, RequestDirectives, Reuse};
use afpa_engine::{Context, Outcome, Wake};

use super::derive_remote_response::refresh_in_background;
use super::respond::{Answered, Derivation};
use crate::access_log::CacheOutcome;
use crate::kept::Kept;
use crate::module::{Global, Http, Request};
use crate::remote::purge::Purges;
use crate::remote::{Presented, key};
use crate::syntax::{Body, Method, fields};
use crate::table::{HIT, MISS, PENDING, REFUSED};

/// What a worker found, under which key.
type Looked = (Vec<u8>, Option<Arc<Object<Kept>>>);

/// What the cache says of a request.
enum Found {
    /// An object, as good as it is.
    Object(Arc<Object<Kept>>),
    /// A part of what is asked for, which may be all of it that is asked for. Why there is no object.
    Part(Arc<Object<Kept>>, Handled),
    /// There are others that differ in what the request says.
    OtherVariants,
    Nothing,
    /// Somebody is changing the store: a worker has to look.
    Busy,
}

/// The key was made when the route was chosen. A fresh object answers as a file's does; of one that is not, it is
/// remembered that the cache has it.
pub(super) fn derive_kept_response(cx: &mut Context<'_, Http>) -> Outcome {
    let Some(policy) = policy(cx.request) else { return miss(cx, None, Handled::Bypass) };
    let head = cx.request.parser.head();
    let is_kept = match head.method() {
        Method::Get => true,
        Method::Head => answers_head(cx.request, policy),
        _ => false,
    };
    if !is_kept {
        return miss(cx, None, Handled::Method);
    }
    // What a body says of the request is in no key.
    if head.body() != Body::None {
        return miss(cx, None, Handled::Bypass);
    }
    if cx.wake != Wake::Continued {
        // A worker looks, and other requests have made keys of theirs meanwhile.
        let Some(looked) = cx.completion::<Looked>() else { return PENDING };
        let Some((key, found)) = looked else {
            cx.request.refuse(500);
            return REFUSED;
        };
        cx.global.key = key;
        if let Some(object) = found {
            cx.global.view.admit(object);
        }
    }
    let length = cx.global.key.len();
    if let Some(outcome) = answer_plainly(cx) {
        return outcome;
    }
    cx.global.key.truncate(length);
    let found = find(cx);
    let directives = directives(cx, policy);
    match found {
        Found::Object(object) => weigh(cx, object, directives),
        Found::Part(object, why) => match answer_with_part(cx, &object, &directives) {
            Some(outcome) => outcome,
            None if directives.only_if_cached => unavailable(cx),
            None => miss(cx, None, why),
        },
        Found::OtherVariants if directives.only_if_cached => unavailable(cx),
        Found::Nothing if directives.only_if_cached => unavailable(cx),
        Found::OtherVariants => miss(cx, None, Handled::VaryMiss),
        Found::Nothing => miss(cx, None, Handled::UriMiss),
        Found::Busy => look_on_a_worker(cx),
    }
}

/// The hit path: the object is in this engine's view, it is fresh, and the request asks for nothing special.
fn answer_plainly(cx: &mut Context<'_, Http>) -> Option<Outcome> {
    let octets = cx.request.head(cx.input.unread());
    let (head, persistence) = (cx.request.parser.head(), cx.request.persistence());
    if head.has_cache_control() || head.has_pragma() {
        return None;
    }
    let Global { view, clock, key, scratch, nonce, relaying, .. } = &mut *cx.global;
    let relay = &relaying.as_ref()?.relay.relay;
    let seconds = clock.seconds();
    let mut resident = view.get(key)?;
    let Kept::Remote(details) = &**resident.object.details() else { return None };
    // The comparison with purges comes first: it is what makes a response out of date.
    if relay.shared.purges.is_hit(key, details) || !details.is_plainly_fresh(seconds) {
        return None;
    }
    if let Some(coding) = details.best_coding(head.accepts()) {
        key::append_coding(coding, key);
        resident = view.get(key)?;
    }
    let Kept::Remote(details) = &**resident.object.details() else { return None };
    let presented = Presented {
        details,
        seconds,
        name: &relay.name,
        handled: Handled::Hit,
        forward_status: None,
        collapsed: false,
        outcome: CacheOutcome::Hit,
    };
    let derivation =
        Derivation { head, octets, persistence, clock, nonce: *nonce, scratch, added: &[], output: &mut cx.output };
    let answered = derivation.respond(&resident.body, &presented);
    cx.request.answered(answered);
    Some(HIT)
}

/// Looks into the view, then into the store, and once more under the variant's key.
fn find(cx: &mut Context<'_, Http>) -> Found {
    let octets = cx.request.head(cx.input.unread());
    let head = cx.request.parser.head();
    let may_be_part = head.has_range() && !head.has_preconditions();
    let Global { view, key, relaying, .. } = &mut *cx.global;
    let Some(relaying) = relaying else { return Found::Nothing };
    let purges = &relaying.relay.relay.shared.purges;
    let primary = key.len();
    let mut has_others = false;
    let found = loop {
        let object = match look_up(view, key) {
            None => break Found::Busy,
            Some(None) if may_be_part => break part(view, purges, key, has_others),
            Some(None) => break if has_others { Found::OtherVariants } else { Found::Nothing },
            Some(Some(object)) => object,
        };
        match &**object.details() {
            Kept::Varies(names) if !has_others => {
                has_others = true;
                let lines: Vec<_> = fields(octets).collect();
                if !key::append_variant(names, Fields(&lines), key) {
                    break Found::OtherVariants;
                }
            }
            Kept::Remote(details) if !purges.is_hit(key, details) => break Found::Object(object),
            _ => break Found::Nothing,
        }
    };
    // What is fetched goes by the key without the variant.
    key.truncate(primary);
    found
}

/// Looks for a part of what is not there as a whole. The key becomes the part's.
fn part(view: &mut View<Kept>, purges: &Purges, key: &mut Vec<u8>, has_others: bool) -> Found {
    let (nothing, why) = match has_others {
        true => (Found::OtherVariants, Handled::VaryMiss),
        false => (Found::Nothing, Handled::UriMiss),
    };
    key::append_part(key);
    let object = match look_up(view, key) {
        None => return Found::Busy,
        Some(None) => return nothing,
        Some(Some(object)) => object,
    };
    let is_good = matches!(&**object.details(), Kept::Remote(details) if !purges.is_hit(key, details));
    if is_good { Found::Part(object, why) } else { nothing }
}

/// Looks into the view, then into the store. `None`: somebody is changing that.
fn look_up(view: &mut View<Kept>, key: &[u8]) -> Option<Option<Arc<Object<Kept>>>> {
    if let Some(resident) = view.get(key) {
        return Some(Some(resident.object.clone()));
    }
    let found = view.cache().try_lookup(key)?;
    Some(found.map(|object| view.admit(object).object.clone()))
}

/// Answers from a part that is fresh, if it has all that is asked for.
fn answer_with_part(
    cx: &mut Context<'_, Http>,
    object: &Arc<Object<Kept>>,
    directives: &RequestDirectives,
) -> Option<Outcome> {
    let Kept::Remote(details) = &**object.details() else { return None };
    let seconds = cx.global.clock.seconds();
    let had = details.stored.partial?;
    if !matches!(details.reuse(directives, seconds), Reuse::Fresh | Reuse::Stale) {
        return None;
    }
    derive(cx, object, Handled::Hit, None, false, CacheOutcome::Hit, |derivation, body, of| {
        derivation.respond_with_part(body, of, had.octets())
    })
}

fn weigh(cx: &mut Context<'_, Http>, object: Arc<Object<Kept>>, directives: RequestDirectives) -> Outcome {
    let Kept::Remote(details) = &**object.details() else { return MISS };
    let seconds = cx.global.clock.seconds();
    match details.reuse(&directives, seconds) {
        Reuse::Fresh | Reuse::Stale => answer(cx, &object, Handled::Hit, None, false, CacheOutcome::Hit),
        Reuse::StaleWhileRevalidate => {
            refresh_in_background(cx, &object);
            answer(cx, &object, Handled::Hit, None, false, CacheOutcome::Hit)
        }
        Reuse::Validate(why) => miss(cx, Some(object), why.into()),
        Reuse::Unavailable => unavailable(cx),
    }
}

/// Answers with a stored object.
pub(super) fn answer(
    cx: &mut Context<'_, Http>,
    object: &Arc<Object<Kept>>,
    handled: Handled,
    forward_status: Option<u16>,
    collapsed: bool,
    outcome: CacheOutcome,
) -> Outcome {
    let coded = in_best_coding(cx, object);
    let object = coded.as_ref().unwrap_or(object);
    let derived = derive(cx, object, handled, forward_status, collapsed, outcome, |derivation, body, of| {
        Some(derivation.respond(body, of))
    });
    derived.unwrap_or(MISS)
}

/// Has a response derived of a stored object. `None`: there is none, or it was not stored for a backend.
fn derive(
    cx: &mut Context<'_, Http>,
    object: &Arc<Object<Kept>>,
    handled: Handled,
    forward_status: Option<u16>,
    collapsed: bool,
    outcome: CacheOutcome,
    respond: impl FnOnce(Derivation<'_, '_>, &Rc<ResidentBody>, &Presented<'_>) -> Option<Answered>,
) -> Option<Outcome> {
    let Kept::Remote(details) = &**object.details() else { return None };
    let octets = cx.request.head(cx.input.unread());
    let (head, persistence) = (cx.request.parser.head(), cx.request.persistence());
    let Global { view, clock, scratch, nonce, relaying, .. } = &mut *cx.global;
    let name = relaying.as_ref().map_or("", |relaying| &relaying.relay.relay.name);
    let seconds = clock.seconds();
    let presented = Presented { details, seconds, name, handled, forward_status, collapsed, outcome };
    let body = view.hold(object.body().clone());
    let derivation =
        Derivation { head, octets, persistence, clock, nonce: *nonce, scratch, added: &[], output: &mut cx.output };
    let answered = respond(derivation, &body, &presented)?;
    cx.request.answered(answered);
    Some(HIT)
}

/// The object as the client likes it best, if it lies in the cache so.
fn in_best_coding(cx: &mut Context<'_, Http>, object: &Object<Kept>) -> Option<Arc<Object<Kept>>> {
    let Kept::Remote(details) = &**object.details() else { return None };
    let coding = details.best_coding(cx.request.parser.head().accepts())?;
    let mut key = object.key().to_vec();
    key::append_coding(coding, &mut key);
    look_up(&mut cx.global.view, &key).flatten()
}

/// RFC 9111 §5.2.1.7.
fn unavailable(cx: &mut Context<'_, Http>) -> Outcome {
    cx.request.note = Some((Handled::Miss, Some("only-if-cached")));
    cx.request.refuse(504);
    REFUSED
}

fn miss(cx: &mut Context<'_, Http>, stale: Option<Arc<Object<Kept>>>, why: Handled) -> Outcome {
    cx.request.missed = Some((stale, why));
    MISS
}

fn look_on_a_worker(cx: &mut Context<'_, Http>) -> Outcome {
    super::keep_head(cx);
    let (cache, key) = (cx.global.view.cache().clone(), cx.global.key.clone());
    let look = move || -> Looked {
        let found = cache.lookup(&key);
        (key, found)
    };
    match cx.spawn(look) {
        Ok(()) => PENDING,
        Err(_) => {
            cx.request.refuse(503);
            REFUSED
        }
    }
}

/// The number of the cache policy that holds for a request.
fn policy(request: &Request) -> Option<usize> {
    request.routed.as_ref()?.route().caching
}

fn answers_head(request: &Request, policy: usize) -> bool {
    request.routed.as_ref().is_some_and(|routed| routed.relay.relay.policies[policy].answers_head)
}

/// What the client asks of caches.
fn directives(cx: &mut Context<'_, Http>, policy: usize) -> RequestDirectives {
    let octets = cx.request.head(cx.input.unread());
    let head = cx.request.parser.head();
    if !head.has_cache_control() && !head.has_pragma() {
        return RequestDirectives::default();
    }
    let lines: Vec<_> = fields(octets).collect();
    match &cx.request.routed {
        Some(routed) => routed.relay.relay.policies[policy].semantics.request_directives(Fields(&lines)),
        None => RequestDirectives::default(),
    }
}
