//! Derives the response to a request from a cached object: the whole of it, a part, its head, or the
//! news that nothing changed. Needs the object's details only, never its file.

use std::ops::Range;
use std::rc::Rc;

use afpa_cache::ResidentBody;
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
        match (self.persistent && !self.has_unread_chunks(), self.parser.head().is_http_1_0()) {
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
    /// Field lines that the route adds.
    pub(super) added: &'a [u8],
    pub(super) output: &'a mut Output<'o>,
}

/// What a response is derived of: an object's details, wherever the object came from.
pub(crate) trait Representation {
    /// What preconditions are compared with.
    fn validators(&self) -> Validators<'_>;
    /// Octets of the payload.
    fn content_length(&self) -> u64;
    /// Content-Type's value; empty if there is none.
    fn content_type(&self) -> &[u8];
    /// Whether a part of it may be asked for, and conditions are about it (RFC 9110 §13.2.1, §14.2).
    fn is_selected(&self) -> bool {
        true
    }
    /// The status of a whole response.
    fn status(&self) -> u16 {
        200
    }
    /// Replaces `out` by the status line and the fields that change from one response to the next.
    fn start(&self, out: &mut Vec<u8>, status: u16, clock: &Clock, persistence: Persistence);
    /// Sends the mutable head of a whole response.
    fn send_mutable_head(
        &self,
        scratch: &mut Vec<u8>,
        clock: &Clock,
        persistence: Persistence,
        output: &mut Output<'_>,
    );
    /// Appends the fields of a 304 or a 206, save those that say which octets follow.
    fn fields(&self, out: &mut Vec<u8>, status: u16);
    /// The level of the cache that a payload comes from (AFPA §3.4).
    fn level(&self) -> CacheOutcome;
}

impl Representation for Details {
    #[inline]
    fn validators(&self) -> Validators<'_> {
        Validators { etag: self.etag.as_bytes(), last_modified: self.last_modified.map(|date| date.seconds) }
    }

    #[inline]
    fn content_length(&self) -> u64 {
        self.content_length
    }

    fn content_type(&self) -> &[u8] {
        self.content_type.as_bytes()
    }

    fn start(&self, out: &mut Vec<u8>, status: u16, clock: &Clock, persistence: Persistence) {
        start(out, status, clock, persistence);
    }

    #[inline]
    fn send_mutable_head(&self, _: &mut Vec<u8>, clock: &Clock, persistence: Persistence, output: &mut Output<'_>) {
        output.send(clock.ok(persistence));
    }

    fn fields(&self, out: &mut Vec<u8>, status: u16) {
        if status == 206 {
            response::field(out, "Content-Type", self.content_type.as_bytes());
        }
        self.validator_fields(out);
    }

    #[inline]
    fn level(&self) -> CacheOutcome {
        if self.witness.is_some() { CacheOutcome::File } else { CacheOutcome::Hit }
    }
}

impl Derivation<'_, '_> {
    /// Answers GET or HEAD with a representation of which `body` is the head and the payload.
    #[inline]
    pub(super) fn respond(self, body: &Rc<ResidentBody>, of: &impl Representation) -> Answered {
        if (self.head.has_preconditions() || self.head.has_range()) && of.is_selected() {
            return self.respond_conditionally(body, of);
        }
        self.whole(body, of)
    }

    /// RFC 9110 §13.2.2: preconditions first, then the range.
    #[cold]
    fn respond_conditionally(self, body: &Rc<ResidentBody>, of: &impl Representation) -> Answered {
        let validators = of.validators();
        match conditional::evaluate(self.head, self.octets, &validators) {
            Evaluation::NotModified => return self.not_modified(of),
            Evaluation::PreconditionFailed => return self.refused(412, of),
            Evaluation::Proceed => {}
        }
        match range::wanted(self.head, self.octets, &validators, of.content_length()) {
            Ranges::Whole => self.whole(body, of),
            Ranges::Unsatisfiable => self.refused(416, of),
            Ranges::One(range) => self.part(body, of, range, 0),
            Ranges::Several(ranges) => self.parts(body, of, &ranges),
        }
    }

    /// Answers a request for a range from a body that has only the octets `had` of a representation. `None` if they are not
    /// all that is asked for; preconditions are not looked at.
    pub(super) fn respond_with_part(
        self,
        body: &Rc<ResidentBody>,
        of: &impl Representation,
        had: Range<u64>,
    ) -> Option<Answered> {
        match range::wanted(self.head, self.octets, &of.validators(), of.content_length()) {
            Ranges::One(range) if had.start <= range.start && range.end <= had.end => {
                Some(self.part(body, of, range, had.start))
            }
            _ => None,
        }
    }

    #[inline]
    fn whole(self, body: &Rc<ResidentBody>, of: &impl Representation) -> Answered {
        let end = if self.head.method() == Method::Head { body.head_len() } else { body.len() };
        of.send_mutable_head(self.scratch, self.clock, self.persistence, self.output);
        if !self.added.is_empty() {
            self.output.send(self.added);
        }
        self.output.respond(body.clone(), 0, end);
        Answered { status: of.status(), payload: end - body.head_len(), outcome: of.level() }
    }

    /// RFC 9110 §15.4.5: what a 200 would say that a cache may need to update.
    fn not_modified(mut self, of: &impl Representation) -> Answered {
        self.start(304, of);
        of.fields(self.scratch, 304);
        response::end(self.scratch);
        self.output.send(self.scratch);
        Answered { status: 304, payload: 0, outcome: CacheOutcome::Revalidated }
    }

    /// 412 or 416: a short answer without a page.
    fn refused(mut self, status: u16, of: &impl Representation) -> Answered {
        self.start(status, of);
        if status == 416 {
            response::content_range_unsatisfied(self.scratch, of.content_length());
        }
        response::field_number(self.scratch, "Content-Length", 0);
        response::end(self.scratch);
        self.output.send(self.scratch);
        Answered { status, payload: 0, outcome: CacheOutcome::None }
    }

    /// RFC 9110 §15.3.7.1. The body begins with octet `first` of the representation.
    fn part(mut self, body: &Rc<ResidentBody>, of: &impl Representation, range: Range<u64>, first: u64) -> Answered {
        let payload = range.end - range.start;
        self.start(206, of);
        response::field_number(self.scratch, "Content-Length", payload);
        response::content_range(self.scratch, &range, of.content_length());
        of.fields(self.scratch, 206);
        response::end(self.scratch);
        self.output.send(self.scratch);
        self.payload(body, range.start - first..range.end - first);
        Answered { status: 206, payload, outcome: of.level() }
    }

    /// RFC 9110 §15.3.7.2: a multipart/byteranges body.
    fn parts(mut self, body: &Rc<ResidentBody>, of: &impl Representation, ranges: &[Range<u64>]) -> Answered {
        let boundary = Boundary::new(self.nonce);
        let opening = |range: &Range<u64>| {
            let mut part = Vec::new();
            boundary.part(&mut part, of.content_type(), range, of.content_length());
            part
        };
        let openings: Vec<Vec<u8>> = ranges.iter().map(opening).collect();
        let mut closing = Vec::new();
        boundary.close(&mut closing);
        let octets: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        let payload = octets + openings.iter().map(|part| part.len() as u64).sum::<u64>() + closing.len() as u64;
        self.start(206, of);
        response::field_number(self.scratch, "Content-Length", payload);
        response::field(self.scratch, "Content-Type", boundary.content_type());
        // As for a 304: the type is the whole's.
        of.fields(self.scratch, 304);
        response::end(self.scratch);
        self.output.send(self.scratch);
        for (opening, range) in openings.into_iter().zip(ranges) {
            self.output.respond_bytes(opening);
            self.payload(body, range.clone());
        }
        self.output.respond_bytes(closing);
        Answered { status: 206, payload, outcome: of.level() }
    }

    fn payload(&mut self, body: &Rc<ResidentBody>, range: Range<u64>) {
        let start = body.head_len();
        self.output.respond(body.clone(), start + range.start, start + range.end);
    }

    fn start(&mut self, status: u16, of: &impl Representation) {
        of.start(self.scratch, status, self.clock, self.persistence);
        self.scratch.extend_from_slice(self.added);
    }
}

impl Details {
    /// The fields that every successful answer for a representation carries, besides its length and type.
    fn validator_fields(&self, out: &mut Vec<u8>) {
        response::field(out, "ETag", self.etag.as_bytes());
        if let Some(date) = &self.last_modified {
            response::field(out, "Last-Modified", date.text);
        }
        if let Some(value) = &self.cache_control {
            response::field(out, "Cache-Control", value.as_bytes());
        }
        if let Some(token) = self.coding.token() {
            response::field(out, "Content-Encoding", token.as_bytes());
        }
        if self.varies {
            response::field(out, "Vary", b"Accept-Encoding");
        }
    }
}

/// A head's first lines: status, Server, Date, Connection.
pub(super) fn start(out: &mut Vec<u8>, status: u16, clock: &Clock, persistence: Persistence) {
    out.clear();
    response::status_line(out, status);
    response::field(out, "Server", b"afpa");
    out.extend_from_slice(clock.date());
    out.extend_from_slice(persistence.field());
}
