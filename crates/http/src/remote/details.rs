//! What the module remembers of a response that came from a backend.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use afpa_caching::{CacheStatus, Handled, Reuse, Stored};
use afpa_engine::module::Output;

use crate::access_log::CacheOutcome;
use crate::clock::{Clock, Persistence};
use crate::files::{Coding, Codings};
use crate::states::Representation;
use crate::syntax::conditional::Validators;
use crate::syntax::{fields, response};

/// Everything that answers a request from a stored response, and that says whether it may.
pub struct Details {
    /// What RFC 9111 makes of it.
    pub stored: Stored,
    /// Its status line and fields as they are sent, without those that are made for each response: an empty line
    /// does not end it.
    pub(crate) head: Box<[u8]>,
    /// Octets of its content.
    pub(crate) length: u64,
    /// What caches nearer to the origin said of it.
    pub(crate) cache_status: Box<[u8]>,
    /// The codings in which it lies beside itself, under keys of their own.
    pub(crate) alternates: Codings,
    /// The last purge that it was compared with.
    pub(super) judged: AtomicU64,
    /// The most that a purge did to it: an [`Effect`], or zero.
    pub(super) effect: AtomicU8,
}

/// What a purge makes of what it is about. Later ones are more than earlier ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Effect {
    /// It is out of date: it may be validated, and answers where the backend fails as long as it would have.
    Outdates = 1,
    /// It may be validated, and answers nothing without that (RFC 9111 §4.4).
    Invalidates = 2,
    /// It is gone.
    Removes = 3,
}

impl Details {
    /// For a response that was stored after `purges` purges.
    pub(crate) fn new(stored: Stored, head: Vec<u8>, length: u64, cache_status: &[u8], purges: u64) -> Details {
        Details {
            stored,
            head: head.into(),
            length,
            cache_status: cache_status.into(),
            alternates: Codings::NONE,
            judged: AtomicU64::new(purges),
            effect: AtomicU8::new(0),
        }
    }

    /// The best coding in which a client that `accepts` so much gets it.
    #[inline]
    pub(crate) fn best_coding(&self, accepts: Codings) -> Option<Coding> {
        if self.alternates == Codings::NONE {
            return None;
        }
        let is_good = |coding: &Coding| self.alternates.contains(*coding) && accepts.contains(*coding);
        Coding::BY_PREFERENCE.into_iter().find(is_good)
    }

    /// Whether a request without directives of its own is answered with it, and nothing else need be looked at.
    #[inline]
    pub(crate) fn is_plainly_fresh(&self, seconds: u64) -> bool {
        self.stored.freshness.is_plainly_fresh(seconds) && self.effect.load(Relaxed) == 0
    }

    /// Whether and how it answers a request with these directives.
    pub(crate) fn reuse(&self, directives: &afpa_caching::RequestDirectives, seconds: u64) -> Reuse {
        if self.effect.load(Relaxed) == 0 {
            return self.stored.reuse(directives, seconds);
        }
        if directives.only_if_cached { Reuse::Unavailable } else { Reuse::Validate(afpa_caching::Why::Stale) }
    }

    /// Whether it may answer although the backend fails.
    pub(crate) fn on_error(&self, directives: &afpa_caching::RequestDirectives, seconds: u64) -> bool {
        !self.has(Effect::Invalidates) && self.stored.on_error(directives, seconds)
    }

    /// It is out of date from now on (RFC 9111 §4.4).
    pub(crate) fn invalidate(&self) {
        self.suffer(Effect::Invalidates);
    }

    /// Whether a purge did this to it, or more.
    #[inline]
    pub(super) fn has(&self, effect: Effect) -> bool {
        self.effect.load(Relaxed) >= effect as u8
    }

    /// A purge does this to it.
    pub(super) fn suffer(&self, effect: Effect) {
        self.effect.fetch_max(effect as u8, Relaxed);
    }

    /// Its field lines.
    pub(crate) fn lines(&self) -> Vec<(&[u8], &[u8])> {
        fields(&self.head).collect()
    }
}

/// A stored response as it answers one request.
pub(crate) struct Presented<'a> {
    pub(crate) details: &'a Details,
    /// Seconds since the epoch.
    pub(crate) seconds: u64,
    /// The cache's name.
    pub(crate) name: &'a str,
    pub(crate) handled: Handled,
    /// The status of the backend's answer, if it was asked.
    pub(crate) forward_status: Option<u16>,
    pub(crate) collapsed: bool,
    /// How the access log calls it.
    pub(crate) outcome: CacheOutcome,
}

impl Presented<'_> {
    /// Age (RFC 9111 §5.1), and Cache-Status (RFC 9211).
    fn own_fields(&self, out: &mut Vec<u8>) {
        let Details { stored, cache_status, .. } = self.details;
        response::field_number(out, "Age", stored.age(self.seconds));
        out.extend_from_slice(b"Cache-Status: ");
        if !cache_status.is_empty() {
            out.extend_from_slice(cache_status);
            out.extend_from_slice(b", ");
        }
        let mut member = CacheStatus::new(self.name, self.handled);
        member.forward_status = self.forward_status;
        member.stored = self.forward_status.is_some();
        member.collapsed = self.collapsed;
        member.ttl = Some(stored.ttl(self.seconds));
        append_member(&member, out);
        out.extend_from_slice(b"\r\n");
    }
}

/// A member of a list that something precedes.
pub(crate) fn append_member(member: &CacheStatus<'_>, out: &mut Vec<u8>) {
    // It separates itself from what is in the list already; here that has been done.
    let start = out.len();
    member.append(out);
    if out[start..].starts_with(b", ") {
        out.drain(start..start + 2);
    }
}

impl Representation for Presented<'_> {
    fn validators(&self) -> Validators<'_> {
        let validators = &self.details.stored.validators;
        Validators {
            etag: validators.etag.as_deref().unwrap_or_default(),
            last_modified: validators.last_modified.as_ref().map(|modified| modified.seconds),
        }
    }

    fn content_length(&self) -> u64 {
        // That of the whole, of which this may be a part.
        self.details.stored.partial.and_then(|part| part.complete).unwrap_or(self.details.length)
    }

    fn content_type(&self) -> &[u8] {
        fields(&self.details.head).first("content-type").unwrap_or_default()
    }

    fn is_selected(&self) -> bool {
        self.details.stored.status == 200
    }

    fn status(&self) -> u16 {
        self.details.stored.status
    }

    fn start(&self, out: &mut Vec<u8>, status: u16, _: &Clock, persistence: Persistence) {
        out.clear();
        response::status_line(out, status);
        self.own_fields(out);
        out.extend_from_slice(persistence.field());
    }

    fn send_mutable_head(&self, out: &mut Vec<u8>, clock: &Clock, persistence: Persistence, output: &mut Output<'_>) {
        self.start(out, self.details.stored.status, clock, persistence);
        output.send(out);
    }

    /// RFC 9110 §15.4.5: what caches need to update theirs. RFC 9110 §15.3.7: what the whole would have.
    fn fields(&self, out: &mut Vec<u8>, status: u16) {
        for (name, value) in fields(&self.details.head) {
            let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
            let of_length = is("content-length") || is("content-range");
            let of_304 = ["cache-control", "content-location", "date", "etag", "expires", "last-modified", "vary"];
            let is_sent = match status {
                304 => of_304.iter().any(|known| is(known)) || is("cdn-cache-control") || is("set-cookie"),
                _ => !of_length,
            };
            if is_sent {
                response::field_octets(out, name, value);
            }
        }
    }

    fn level(&self) -> CacheOutcome {
        self.outcome
    }
}
