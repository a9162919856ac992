//! *Derive uncached response*: makes a cache object of a file, on a worker (AFPA §3.2).

use std::sync::Arc;

use afpa_cache::{Cache, Resident};
use afpa_engine::{Context, Outcome, Time, Wake};

use super::keep_head;
use super::respond::Derivation;
use crate::access_log::CacheOutcome;
use crate::files::{FileError, FillOutcome, RequestKey, fill};
use crate::kept::Kept;
use crate::module::{Answer, Global, Http};
use crate::table::{DIRECT, PENDING, READY, REFUSED};

/// Starts the worker, then waits for what it found. Files are opened and read there, never here.
pub fn derive_uncached_response(cx: &mut Context<'_, Http>) -> Outcome {
    if cx.wake == Wake::Continued {
        return start(cx);
    }
    match cx.completion::<(FillOutcome, Arc<Cache<Kept>>)>() {
        None => PENDING,
        Some(None) => {
            cx.request.refuse(500);
            REFUSED
        }
        Some(Some((outcome, cache))) => finish(cx, outcome, &cache),
    }
}

fn start(cx: &mut Context<'_, Http>) -> Outcome {
    keep_head(cx);
    cx.request.outcome = Some(CacheOutcome::Miss);
    let settings = &cx.global.settings;
    let (sites, cache, key) = (settings.clone(), settings.cache.clone(), cx.global.key.clone());
    let job = move || {
        let outcome = match RequestKey::decode(&key) {
            Some(key) => match sites.sites.get(usize::from(key.site)) {
                Some(site) => fill(site, &cache, key),
                None => FillOutcome::Error(FileError::NotFound),
            },
            None => FillOutcome::Error(FileError::NotFound),
        };
        (outcome, cache)
    };
    // The header's deadline is over; the worker's queue and the file system bound the rest.
    cx.arm(Time::NEVER);
    match cx.spawn(job) {
        Ok(()) => PENDING,
        Err(_) => {
            cx.request.refuse(503);
            REFUSED
        }
    }
}

fn finish(cx: &mut Context<'_, Http>, outcome: FillOutcome, cache: &Arc<Cache<Kept>>) -> Outcome {
    match outcome {
        FillOutcome::Object(object) => {
            let persistence = cx.request.persistence();
            let Global { view, clock, scratch, nonce, .. } = &mut *cx.global;
            // After a reload the view may be another cache's, which would never hear of a change to
            // this object: then it is sent, and not kept.
            let transient;
            let resident = if Arc::ptr_eq(cache, view.cache()) {
                view.admit(object)
            } else {
                let body = view.hold(object.body().clone());
                transient = Resident { object, body };
                &transient
            };
            let (head, octets) = (cx.request.parser.head(), cx.request.kept_head.as_slice());
            let added = cx.request.routed.as_ref().map_or(&[][..], |routed| routed.added());
            let derivation =
                Derivation { head, octets, persistence, clock, nonce: *nonce, scratch, added, output: &mut cx.output };
            let Kept::File(details) = &**resident.object.details() else {
                cx.request.refuse(500);
                return REFUSED;
            };
            let answered = derivation.respond(&resident.body, &**details);
            cx.request.answered(answered);
            READY
        }
        FillOutcome::Redirect { location } => {
            cx.request.answer = Answer::Redirect(location);
            DIRECT
        }
        FillOutcome::Listing(page) => {
            cx.request.answer = Answer::Page(page);
            DIRECT
        }
        FillOutcome::Error(error) => {
            cx.request.outcome = None;
            cx.request.refuse(error.status());
            REFUSED
        }
    }
}
