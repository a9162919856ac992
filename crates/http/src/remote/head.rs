//! The head of a backend's response, judged once, when it arrives.

use std::sync::Arc;

use afpa_caching::{Fields, NotStored, OtherRepresentation, Request, Response, Stored, Times};

use afpa_routing::FieldChange;

use crate::fetch::outgoing::{Keeping, Outgoing};
use crate::kept::Kept;
use crate::syntax::forward::end_to_end;
use crate::syntax::{FieldLines, ResponseBody, ResponseHead, fields, response};

/// What clients and the cache need of it.
pub(crate) struct RemoteHead {
    pub(crate) status: u16,
    /// The field lines that every client gets: those between two hops, lengths, Age and Cache-Status are not among them.
    pub(crate) lines: Vec<u8>,
    /// Field lines for the client who asked first alone.
    pub(crate) for_first: Vec<u8>,
    /// What caches nearer to the origin said of it.
    pub(crate) cache_status: Vec<u8>,
    /// The content's length, where it is known in advance.
    pub(crate) length: Option<u64>,
    /// It has content, if only none.
    pub(crate) has_content: bool,
    /// Its age when it arrived, if it had one; in seconds.
    pub(crate) age: Option<u64>,
    /// It has no date of its own.
    pub(crate) lacks_date: bool,
    /// The protocol that is switched to.
    pub(crate) upgrade: Option<Vec<u8>>,
    /// What the cache makes of it; `None` if it is not asked.
    pub(crate) verdict: Option<Result<Stored, NotStored>>,
    /// The key of the request's variant, if responses vary.
    pub(crate) variant: Option<Vec<u8>>,
    /// It says that the object which was asked about is still good.
    pub(crate) validates: bool,
    /// It says that of another one: it has to be asked for without conditions.
    pub(crate) is_beside_the_point: bool,
    /// The status that the backend sent.
    pub(crate) sent_status: u16,
}

impl RemoteHead {
    /// Of a response to `outgoing` that arrived at `received`, in seconds since the epoch.
    pub(crate) fn new(
        outgoing: &Outgoing,
        head: &ResponseHead,
        octets: &[u8],
        framing: ResponseBody,
        received: u64,
    ) -> RemoteHead {
        let pairs: FieldLines<'_> = head.fields(octets).collect();
        let edits = &outgoing.routed.route().response_fields;
        let mut remote = RemoteHead::plain(head.status(), &pairs, framing, edits);
        remote.upgrade = head.upgrade(octets).map(<[u8]>::to_vec);
        let Some(keeping) = &outgoing.keeping else { return remote };
        let times = Times { requested: keeping.requested_at, received };
        let asked: FieldLines<'_> = fields(&keeping.octets).collect();
        // Only answers to POST are compared with their URI, and those are not kept.
        let request = Request { method: outgoing.method.name().as_bytes(), uri: b"", fields: Fields(&asked) };
        // Those under which the request began: after a reload others may have their numbers.
        let policy = &outgoing.routed.relay.relay.policies[keeping.policy];
        if head.status() == 304
            && let Some(Kept::Remote(validated)) = keeping.validates.as_ref().map(|object| &**object.details())
        {
            let lines = validated.lines();
            match validated.stored.refresh(&policy.semantics, &request, Fields(&lines), Fields(&pairs), times) {
                Ok(refreshed) => {
                    remote = RemoteHead::plain(validated.stored.status, &refreshed.fields, framing, edits);
                    remote.validates = true;
                    remote.sent_status = 304;
                    remote.length = Some(validated.length);
                    remote.verdict = Some(refreshed.stored);
                }
                Err(OtherRepresentation) => remote.is_beside_the_point = true,
            }
        } else {
            let response = Response { status: head.status(), fields: Fields(&pairs) };
            remote.verdict = Some(match policy.semantics.store(&request, &response, times) {
                // A part that nobody asked for, or of which it is not known how much of the whole it is.
                Ok(stored) if stored.partial.is_some_and(|part| !keeping.is_part || part.complete.is_none()) => {
                    Err(NotStored::Partial)
                }
                // Whoever asks for all of it is to get no 416.
                Ok(stored) if stored.status == 416 => Err(NotStored::Partial),
                verdict => verdict,
            });
        }
        remote.vary(keeping, Fields(&asked));
        if let Some(Ok(stored)) = &remote.verdict {
            remote.age = Some(stored.age(received)).filter(|_| remote.age.is_some());
        }
        remote
    }

    /// The part that has nothing to do with the cache.
    fn plain(status: u16, pairs: &[(&[u8], &[u8])], framing: ResponseBody, edits: &[FieldChange]) -> RemoteHead {
        let mut lines = Vec::with_capacity(pairs.iter().map(|(name, value)| name.len() + value.len() + 4).sum());
        let (mut cache_status, mut age, mut lacks_date) = (Vec::new(), None, true);
        // With too many options in Connection, none of the fields is believed.
        for (name, value) in end_to_end(pairs.iter().copied()).into_iter().flatten() {
            let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
            if is("cache-status") {
                if !cache_status.is_empty() {
                    cache_status.extend_from_slice(b", ");
                }
                cache_status.extend_from_slice(value);
            } else if is("age") {
                age = age.or_else(|| first_number(value));
            } else if !is("content-length") && !edits.iter().any(|edit| replaces(edit, name)) {
                lacks_date &= !is("date");
                response::field_octets(&mut lines, name, value);
            }
        }
        for edit in edits {
            if let Some(value) = edit.value() {
                response::field(&mut lines, edit.name(), value);
            }
        }
        let (length, has_content) = match framing {
            ResponseBody::Length(length) => (Some(length), true),
            ResponseBody::None => (declared_length(pairs), false),
            ResponseBody::Chunked | ResponseBody::UntilClose => (None, true),
        };
        RemoteHead {
            status,
            lines,
            for_first: Vec::new(),
            cache_status,
            length,
            has_content,
            age,
            lacks_date,
            upgrade: None,
            verdict: None,
            variant: None,
            validates: false,
            is_beside_the_point: false,
            sent_status: status,
        }
    }

    fn vary(&mut self, keeping: &Keeping, asked: Fields<'_>) {
        let Some(Ok(stored)) = &self.verdict else { return };
        if stored.vary.is_empty() {
            return;
        }
        let mut key = keeping.key.clone();
        if super::key::append_variant(&stored.vary, asked, &mut key) {
            self.variant = Some(key);
        } else {
            self.verdict = Some(Err(NotStored::Vary));
        }
    }

    /// What is to be stored of it.
    pub(crate) fn stored(&self) -> Option<&Stored> {
        self.verdict.as_ref()?.as_ref().ok()
    }

    /// Whether others than the one who asked may get it (RFC 9111 §4), without asking for themselves.
    pub(crate) fn may_be_shared(&self) -> bool {
        self.stored().is_some_and(|stored| {
            !stored.freshness.always_validate && stored.freshness.fresh_until > stored.freshness.born
        })
    }

    /// Its lines as a head's, with a status line.
    pub(crate) fn kept_lines(&self, stored: &Stored) -> Vec<u8> {
        let mut head = Vec::with_capacity(self.lines.len() + 80);
        response::status_line(&mut head, self.status);
        let start = head.len();
        head.extend_from_slice(&self.lines);
        if stored.lacks_date {
            response::field(&mut head, "Date", crate::syntax::date::imf_fixdate(stored.date));
        }
        let all = head.split_off(0);
        for (name, value) in fields(&all) {
            if head.is_empty() {
                head.extend_from_slice(&all[..start]);
            }
            if stored.omitted.keeps(name, value) {
                response::field_octets(&mut head, name, value);
            }
        }
        if head.is_empty() {
            head.extend_from_slice(&all[..start]);
        }
        head
    }
}

/// An interim response as it is passed on (RFC 9110 §15.2).
pub(crate) fn interim(head: &ResponseHead, octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    response::status_line(&mut out, head.status());
    for (name, value) in end_to_end(head.fields(octets)).into_iter().flatten() {
        response::field_octets(&mut out, name, value);
    }
    response::end(&mut out);
    out
}

/// Whether a change takes the place of what a backend sent.
fn replaces(edit: &FieldChange, name: &[u8]) -> bool {
    !matches!(edit, FieldChange::Add { .. }) && name.eq_ignore_ascii_case(edit.name().as_bytes())
}

/// Trailer fields as they are passed on, if there are any.
pub(crate) fn trailer_lines<'a>(trailers: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Option<Arc<[u8]>> {
    let mut lines = Vec::new();
    for (name, value) in trailers {
        response::field_octets(&mut lines, name, value);
    }
    (!lines.is_empty()).then(|| lines.into())
}

/// A length that is announced without content: of a response to HEAD.
fn declared_length(pairs: &[(&[u8], &[u8])]) -> Option<u64> {
    let (_, value) = pairs.iter().find(|(name, _)| name.eq_ignore_ascii_case(b"content-length"))?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// The first member of Age, if it is a number (RFC 9111 §5.1).
fn first_number(value: &[u8]) -> Option<u64> {
    let first = value.split(|&octet| octet == b',').next()?;
    let text = std::str::from_utf8(first).ok()?.trim();
    if text.bytes().all(|octet| octet.is_ascii_digit()) { text.parse().ok() } else { None }
}
