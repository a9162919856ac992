//! Derives the response to a request from a cached object: the whole of it, a part, its head, or the
//! news that nothing changed. Needs the object's details only, never its file.

use std::ops::Range;
use std::rc::Rc;

use afpa_cache::{Resident, ResidentBody};
use afpa_engine::module::Output;

use crate::access_log::CacheOutcome;
use crate::clock::{Clock, Persistence};
use crate::files::Details;
use crate::module::Request;
use crate::syntax::conditional::{self, Evaluation, Validators};
use crate::syntax::range::{self, Ranges};
use crate::syntax::{Method, RequestHead, response};

/// What was answered, for counting and logging.
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) payload: u64,
    pub(super) outcome: CacheOutcome,
}

impl Request {
    pub(super) fn answered(&mut self, answered: Answered) {
        self.status = answered.status;
        self.payload = answered.payload;
        self.outcome.get_or_insert(answered.outcome);
    }

    /// What the response's Connection field must say.
    pub(super) fn persistence(&self) -> Persistence {
        match (self.persistent, self.parser.head().is_http_1_0()) {
            (true, false) => Persistence::Default,
            (true, true) => Persistence::KeepAlive,
            (false, _) => Persistence::Close,
        }
    }
}

/// What a response is derived from.
pub(super) struct Derivation<'a, 'o> {
    pub(super) head: &'a RequestHead,
    /// The request's head as it was sent.
    pub(super) octets: &'a [u8],
    pub(super) persistence: Persistence,
    pub(super) clock: &'a Clock,
    pub(super) scratch: &'a mut Vec<u8>,
    pub(super) output: &'a mut Output<'o>,
}

impl Derivation<'_, '_> {
    /// Answers GET or HEAD for `resident`.
    pub(super) fn respond(self, resident: &Resident<Details>) -> Answered {
        let body = resident.body();
        if self.head.has_preconditions() || self.head.has_range() {
            return self.respond_conditionally(resident);
        }
        let end = if self.head.method() == Method::Head { body.head_len() } else { body.len() };
        self.output.send(self.clock.ok(self.persistence));
        self.output.respond(body.clone(), 0, end);
        Answered { status: 200, payload: end - body.head_len(), outcome: outcome_of(resident.object().details()) }
    }

    /// RFC 9110 §13.2.2: preconditions first, then the range.
    fn respond_conditionally(mut self, resident: &Resident<Details>) -> Answered {
        let details = &**resident.object().details();
        let validators =
            Validators { etag: details.etag.as_bytes(), last_modified: details.last_modified.map(|date| date.seconds) };
        match conditional::evaluate(self.head, self.octets, &validators) {
            Evaluation::NotModified => self.not_modified(details),
            Evaluation::PreconditionFailed => self.empty(412, details),
            Evaluation::Proceed => {
                let wanted = range::wanted(self.head, self.octets, &validators, details.content_length);
                match wanted {
                    Ranges::Whole => self.whole(resident),
                    Ranges::Unsatisfiable => self.empty(416, details),
                    Ranges::One(range) => self.partial(resident.body(), details, range),
                    Ranges::Several(ranges) => self.parts(resident.body(), details, &ranges),
                }
            }
        }
    }
}

fn outcome_of(details: &Details) -> CacheOutcome {
    if details.witness.is_some() { CacheOutcome::File } else { CacheOutcome::Hit }
}
