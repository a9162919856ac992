//! A request's head: where its parts are, and what they say.

use super::accept_encoding::AcceptEncoding;
use super::error::RequestError;
use super::field::{Field, fields};
use super::method::Method;
use super::target::{self, TargetForm};
use crate::files::Codings;

/// A parsed request head without its octets: it knows where each part lies, counted from the head's
/// first octet. The caller keeps the octets, and passes the same ones to each accessor; with others the
/// answers are wrong or empty, but nothing panics.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    pub(super) method: Method,
    pub(super) form: TargetForm,
    pub(super) is_http_1_0: bool,
    pub(super) seen: Seen,
    pub(super) body: Body,
    pub(super) accept_encoding: AcceptEncoding,
    pub(super) method_text: Span,
    pub(super) target: Span,
    pub(super) authority: Span,
    pub(super) path: Span,
    pub(super) fields: Span,
    pub(super) host: Span,
    pub(super) if_match: Span,
    pub(super) if_none_match: Span,
    pub(super) if_modified_since: Span,
    pub(super) if_unmodified_since: Span,
    pub(super) if_range: Span,
    pub(super) range: Span,
    pub(super) referer: Span,
    pub(super) user_agent: Span,
}

/// How the content after a head is framed (RFC 9112 §6.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Body {
    /// There is none.
    #[default]
    None,
    /// So many octets.
    Length(u64),
    /// In chunks: see [`ChunkedDecoder`](super::ChunkedDecoder).
    Chunked,
}

impl RequestHead {
    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The method as it was sent.
    pub fn method_text<'a>(&self, octets: &'a [u8]) -> &'a [u8] {
        self.method_text.of(octets)
    }

    /// The request target as it was sent (RFC 9112 §3.2).
    pub fn target<'a>(&self, octets: &'a [u8]) -> &'a [u8] {
        self.target.of(octets)
    }

    /// Which of the four forms the target has.
    pub fn target_form(&self) -> TargetForm {
        self.form
    }

    /// Whether the target is the server itself and not a resource: `*`.
    pub fn is_asterisk(&self) -> bool {
        self.form == TargetForm::Asterisk
    }

    /// Whether the version is 1.0; it is 1.1 otherwise, which 1.2 and later are taken for.
    pub fn is_http_1_0(&self) -> bool {
        self.is_http_1_0
    }

    /// Whether the client wants the connection to stay (RFC 9112 §9.3). After Transfer-Encoding in
    /// HTTP/1.0 it must not stay, whatever the client wants (RFC 9112 §6.1).
    pub fn is_persistent(&self) -> bool {
        let wanted = !self.seen.has(Seen::CLOSE) && (!self.is_http_1_0 || self.seen.has(Seen::KEEP_ALIVE));
        wanted && !(self.is_http_1_0 && self.body == Body::Chunked)
    }

    /// The content codings that the client accepts.
    pub fn accepts(&self) -> Codings {
        self.accept_encoding.codings()
    }

    /// How the content is framed.
    pub fn body(&self) -> Body {
        self.body
    }

    /// Whether the client waits for `100 Continue` before it sends the content. HTTP/1.0 clients never
    /// do (RFC 9110 §10.1.1).
    pub fn expects_continue(&self) -> bool {
        self.seen.has(Seen::CONTINUE) && !self.is_http_1_0
    }

    /// Whether the client sent credentials.
    pub fn has_authorization(&self) -> bool {
        self.seen.has(Seen::AUTHORIZATION)
    }

    /// The host and port that the request is for: the target's authority if it has one, else Host
    /// (RFC 9112 §3.2.2). `None` in HTTP/1.0 without Host. See [`host::name`](super::host::name).
    pub fn host<'a>(&self, octets: &'a [u8]) -> Option<&'a [u8]> {
        self.authority.get(octets).or_else(|| self.host.get(octets))
    }

    /// The target's path: decoded, normalised, with a slash at its beginning and without the query.
    /// Borrowed from `octets` if it was sent like that, else made in `scratch`. It has no NUL, no empty
    /// segment, no `.` and no `..`. Empty for `*` and for CONNECT.
    pub fn path<'a>(&self, octets: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<&'a [u8], RequestError> {
        match (self.form, self.path.of(octets)) {
            (TargetForm::Asterisk | TargetForm::Authority, _) => Ok(b""),
            (_, raw) => target::normalise(target::split_query(raw).0, scratch),
        }
    }

    /// What stands behind the target's first `?`, as it was sent.
    pub fn query<'a>(&self, octets: &'a [u8]) -> Option<&'a [u8]> {
        target::split_query(self.path.of(octets)).1
    }

    /// Referer as it was sent.
    pub fn referer<'a>(&self, octets: &'a [u8]) -> Option<&'a [u8]> {
        self.referer.get(octets)
    }

    /// User-Agent as it was sent.
    pub fn user_agent<'a>(&self, octets: &'a [u8]) -> Option<&'a [u8]> {
        self.user_agent.get(octets)
    }

    /// Whether any of If-Match, If-None-Match, If-Modified-Since and If-Unmodified-Since is there.
    pub fn has_preconditions(&self) -> bool {
        self.seen.has(Seen::PRECONDITION)
    }

    /// Whether Range is there.
    pub fn has_range(&self) -> bool {
        self.range.is_present()
    }

    /// The values of If-Match; `None` without the field. A list may be spread over several lines.
    pub fn if_match<'a>(&self, octets: &'a [u8]) -> Option<impl Iterator<Item = &'a [u8]> + use<'a>> {
        self.if_match.get(octets).map(|first| self.spread(octets, first, Seen::IF_MATCH_AGAIN, Field::IfMatch))
    }

    /// The values of If-None-Match; `None` without the field.
    pub fn if_none_match<'a>(&self, octets: &'a [u8]) -> Option<impl Iterator<Item = &'a [u8]> + use<'a>> {
        self.if_none_match.get(octets).map(|first| self.spread(octets, first, Seen::IF_NONE_MATCH_AGAIN, Field::IfNoneMatch))
    }

    /// If-Modified-Since; `None` too if it is there more than once (RFC 9110 §13.1.3).
    pub fn if_modified_since<'a>(&self, octets: &'a [u8]) -> Option<&'a [u8]> {
        self.single(octets, self.if_modified_since, Seen::IF_MODIFIED_SINCE_AGAIN)
    }

    /// If-Unmodified-Since; `None` too if it is there more than once (RFC 9110 §13.1.4).
    pub fn if_unmodified_since<'a>(&self, octets: &'a [u8]) -> Option<&'a [u8]> {
        self.single(octets, self.if_unmodified_since, Seen::IF_UNMODIFIED_SINCE_AGAIN)
    }

    /// If-Range.
    pub fn if_range<'a>(&self, octets: &'a [u8]) -> Option<&'a [u8]> {
        self.if_range.get(octets)
    }

    /// Range; `None` too if it or If-Range is there more than once: a server may ignore Range, and
    /// must not guess which one was meant (RFC 9110 §14.2).
    pub fn range<'a>(&self, octets: &'a [u8]) -> Option<&'a [u8]> {
        self.single(octets, self.range, Seen::RANGE_AGAIN)
    }

    /// The name and the value of every field, in the order in which they were sent.
    pub fn fields<'a>(&self, octets: &'a [u8]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        fields(self.fields.of(octets))
    }

    fn single<'a>(&self, octets: &'a [u8], span: Span, again: Seen) -> Option<&'a [u8]> {
        if self.seen.has(again) { None } else { span.get(octets) }
    }

    /// `first`, or the values of all the lines of `field` if there are several.
    fn spread<'a>(
        &self,
        octets: &'a [u8],
        first: &'a [u8],
        again: Seen,
        field: Field,
    ) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (one, lines) = if self.seen.has(again) { (None, self.fields.of(octets)) } else { (Some(first), &[][..]) };
        let several = fields(lines).filter(move |(name, _)| Field::from_name(name) == Some(field));
        one.into_iter().chain(several.map(|(_, value)| value))
    }
}

/// What a head has, one bit each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Seen(u16);

impl Seen {
    pub(super) const CLOSE: Seen = Seen(1);
    pub(super) const KEEP_ALIVE: Seen = Seen(1 << 1);
    pub(super) const CONTINUE: Seen = Seen(1 << 2);
    pub(super) const AUTHORIZATION: Seen = Seen(1 << 3);
    pub(super) const PRECONDITION: Seen = Seen(1 << 4);
    pub(super) const IF_MATCH_AGAIN: Seen = Seen(1 << 5);
    pub(super) const IF_NONE_MATCH_AGAIN: Seen = Seen(1 << 6);
    pub(super) const IF_MODIFIED_SINCE_AGAIN: Seen = Seen(1 << 7);
    pub(super) const IF_UNMODIFIED_SINCE_AGAIN: Seen = Seen(1 << 8);
    pub(super) const RANGE_AGAIN: Seen = Seen(1 << 9);

    pub(super) fn has(self, other: Seen) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn add(&mut self, other: Seen) {
        self.0 |= other.0;
    }
}

/// Where a part of the head lies. Absent is not the same as empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Span {
    start: u32,
    /// One more than the length; zero if the part is absent.
    length_and_one: u32,
}

impl Span {
    /// `part` lies `start` octets into the head. Both are below [`Limits::LARGEST`](super::Limits).
    pub(super) fn new(start: usize, length: usize) -> Span {
        Span { start: start as u32, length_and_one: length as u32 + 1 }
    }

    /// Takes `other` unless there is something already; whether it did.
    pub(super) fn set(&mut self, other: Span) -> bool {
        let absent = !self.is_present();
        if absent {
            *self = other;
        }
        absent
    }

    /// The same, and notes it as `again` if there was something.
    pub(super) fn set_once(&mut self, other: Span, seen: &mut Seen, again: Seen) {
        if !self.set(other) {
            seen.add(again);
        }
    }

    pub(super) fn is_present(self) -> bool {
        self.length_and_one != 0
    }

    pub(super) fn get(self, octets: &[u8]) -> Option<&[u8]> {
        let length = (self.length_and_one as usize).checked_sub(1)?;
        octets.get(self.start as usize..)?.get(..length)
    }

    pub(super) fn of(self, octets: &[u8]) -> &[u8] {
        self.get(octets).unwrap_or_default()
    }
}
