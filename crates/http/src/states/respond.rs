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
use crate::syntax::response::{self, Boundary};
use crate::syntax::{Method, RequestHead};

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
    /// What no writer of files can foresee.
    pub(super) nonce: u64,
    pub(super) scratch: &'a mut Vec<u8>,
    pub(super) output: &'a mut Output<'o>,
}

impl Derivation<'_, '_> {
    /// Answers GET or HEAD for `resident`.
    #[inline]
    pub(super) fn respond(self, resident: &Resident<Details>) -> Answered {
        if self.head.has_preconditions() || self.head.has_range() {
            return self.respond_conditionally(resident);
        }
        self.whole(resident)
    }

    /// RFC 9110 §13.2.2: preconditions first, then the range.
    #[cold]
    fn respond_conditionally(self, resident: &Resident<Details>) -> Answered {
        let details = resident.object.details();
        let validators =
            Validators { etag: details.etag.as_bytes(), last_modified: details.last_modified.map(|date| date.seconds) };
        match conditional::evaluate(self.head, self.octets, &validators) {
            Evaluation::NotModified => return self.not_modified(details),
            Evaluation::PreconditionFailed => return self.refused(412, details),
            Evaluation::Proceed => {}
        }
        match range::wanted(self.head, self.octets, &validators, details.content_length) {
            Ranges::Whole => self.whole(resident),
            Ranges::Unsatisfiable => self.refused(416, details),
            Ranges::One(range) => self.part(resident, range),
            Ranges::Several(ranges) => self.parts(resident, &ranges),
        }
    }

    fn whole(self, resident: &Resident<Details>) -> Answered {
        let body = &resident.body;
        let end = if self.head.method() == Method::Head { body.head_len() } else { body.len() };
        self.output.send(self.clock.ok(self.persistence));
        self.output.respond(body.clone(), 0, end);
        Answered { status: 200, payload: end - body.head_len(), outcome: level(resident.object.details()) }
    }

    /// RFC 9110 §15.4.5: what a 200 would say that a cache may need to update.
    fn not_modified(mut self, details: &Details) -> Answered {
        self.start(304);
        self.validators(details);
        response::end(self.scratch);
        self.output.send(self.scratch);
        Answered { status: 304, payload: 0, outcome: CacheOutcome::Revalidated }
    }

    /// 412 or 416: a short answer without a page.
    fn refused(mut self, status: u16, details: &Details) -> Answered {
        self.start(status);
        if status == 416 {
            response::content_range_unsatisfied(self.scratch, details.content_length);
        }
        response::field_number(self.scratch, "Content-Length", 0);
        response::end(self.scratch);
        self.output.send(self.scratch);
        Answered { status, payload: 0, outcome: CacheOutcome::None }
    }

    /// RFC 9110 §15.3.7.1.
    fn part(mut self, resident: &Resident<Details>, range: Range<u64>) -> Answered {
        let details = resident.object.details();
        let payload = range.end - range.start;
        self.start(206);
        response::field_number(self.scratch, "Content-Length", payload);
        response::field(self.scratch, "Content-Type", details.content_type.as_bytes());
        response::content_range(self.scratch, &range, details.content_length);
        self.validators(details);
        response::end(self.scratch);
        self.output.send(self.scratch);
        self.payload(&resident.body, range);
        Answered { status: 206, payload, outcome: level(details) }
    }

    /// RFC 9110 §15.3.7.2: a multipart/byteranges body.
    fn parts(mut self, resident: &Resident<Details>, ranges: &[Range<u64>]) -> Answered {
        let details = resident.object.details();
        let boundary = Boundary::new(self.nonce);
        let opening = |range: &Range<u64>| {
            let mut part = Vec::new();
            boundary.part(&mut part, &details.content_type, range, details.content_length);
            part
        };
        let openings: Vec<Vec<u8>> = ranges.iter().map(opening).collect();
        let mut closing = Vec::new();
        boundary.close(&mut closing);
        let octets: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        let payload = octets + openings.iter().map(|part| part.len() as u64).sum::<u64>() + closing.len() as u64;
        self.start(206);
        response::field_number(self.scratch, "Content-Length", payload);
        response::field(self.scratch, "Content-Type", boundary.content_type());
        self.validators(details);
        response::end(self.scratch);
        self.output.send(self.scratch);
        for (opening, range) in openings.into_iter().zip(ranges) {
            self.output.respond_bytes(opening);
            self.payload(&resident.body, range.clone());
        }
        self.output.respond_bytes(closing);
        Answered { status: 206, payload, outcome: level(details) }
    }

    fn payload(&mut self, body: &Rc<ResidentBody>, range: Range<u64>) {
        let start = body.head_len();
        self.output.respond(body.clone(), start + range.start, start + range.end);
    }

    fn start(&mut self, status: u16) {
        start(self.scratch, status, self.clock, self.persistence);
    }

    /// The fields that every successful answer for a representation carries, besides its length and type.
    fn validators(&mut self, details: &Details) {
        response::field(self.scratch, "ETag", details.etag.as_bytes());
        if let Some(date) = &details.last_modified {
            response::field(self.scratch, "Last-Modified", date.text);
        }
        if let Some(value) = &details.cache_control {
            response::field(self.scratch, "Cache-Control", value.as_bytes());
        }
        if let Some(token) = details.coding.token() {
            response::field(self.scratch, "Content-Encoding", token.as_bytes());
        }
        if details.varies {
            response::field(self.scratch, "Vary", b"Accept-Encoding");
        }
    }
}

/// The level of the cache that a payload comes from (AFPA §3.4).
fn level(details: &Details) -> CacheOutcome {
    if details.witness.is_some() { CacheOutcome::File } else { CacheOutcome::Hit }
}

/// A head's first lines: status, Server, Date, Connection.
pub(super) fn start(out: &mut Vec<u8>, status: u16, clock: &Clock, persistence: Persistence) {
    out.clear();
    response::status_line(out, status);
    response::field(out, "Server", b"afpa");
    out.extend_from_slice(clock.date());
    out.extend_from_slice(persistence.field());
}
