//! *Derive uncached response*: makes a cache object of a file, on a worker (AFPA §3.2).

use std::sync::Arc;

use afpa_engine::{Context, Outcome, Wake};

use super::keep_head;
use super::respond::Derivation;
use crate::access_log::CacheOutcome;
use crate::files::{FillOutcome, RequestKey, fill};
use crate::module::{Answer, Http};
use crate::table::{DIRECT, PENDING, READY, REFUSED};

/// Starts the worker, then waits for what it found. Files are opened and read there, never here.
pub fn derive_uncached_response(cx: &mut Context<'_, Http>) -> Outcome {
    if cx.wake == Wake::Continued {
        return start(cx);
    }
    match cx.completion::<FillOutcome>() {
        None => PENDING,
        Some(None) => {
            cx.request.refuse(500);
            REFUSED
        }
        Some(Some(outcome)) => finish(cx, outcome),
    }
}

fn start(cx: &mut Context<'_, Http>) -> Outcome {
    keep_head(cx);
    cx.request.outcome = Some(CacheOutcome::Miss);
    let settings = &cx.global.settings;
    let (site, cache, key) = (settings.site.clone(), settings.cache.clone(), cx.global.key.clone());
    let job = move || match RequestKey::decode(&key) {
        Some(key) => fill(&site, &cache, key),
        None => FillOutcome::Error(crate::files::FileError::NotFound),
    };
    // The header's deadline is over; the worker's queue and the file system bound the rest.
    cx.arm(afpa_engine::Time::NEVER);
    match cx.spawn(job) {
        Ok(()) => PENDING,
        Err(_) => {
            cx.request.refuse(503);
            REFUSED
        }
    }
}

fn finish(cx: &mut Context<'_, Http>, outcome: FillOutcome) -> Outcome {
    match outcome {
        FillOutcome::Object(object) => {
            let resident = cx.global.view.admit(object);
            let octets = cx.request.kept_head.as_slice();
            let answered = Derivation {
                head: cx.request.parser.head(),
                octets,
                persistence: cx.request.persistence(),
                clock: &cx.global.clock,
                scratch: &mut cx.global.scratch,
                output: &mut cx.output,
            }
            .respond(resident);
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
