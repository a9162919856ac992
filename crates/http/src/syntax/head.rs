//! A parsed request head.

use super::encoding::AcceptEncoding;
use super::error::RequestError;
use super::framing::Body;
use super::host;
use super::method::Method;
use super::octet::trimmed;
use super::span::Span;
use super::target::{self, Scheme, Target, TargetForm};
use crate::files::Codings;

/// What a request head says, as places in it. Holds no reference, so that it can be kept with the
/// connection; the methods that want `octets` want the octets from which it was parsed, as far as
/// [`Progress::Complete`](super::Progress::Complete) counted them.
///
/// Meaningful once the parser has said `Complete`. Before, and after an error, it says what was read
/// so far, for the log.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    pub(super) method: Method,
    pub(super) method_text: Span,
    pub(super) target: Target,
    pub(super) http_1_0: bool,
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) expects_continue: bool,
    pub(super) authorization: bool,
    pub(super) cookie: bool,
    pub(super) pragma: bool,
    pub(super) cache_control: bool,
    pub(super) priority: bool,
    pub(super) connection_upgrade: bool,
    pub(super) accept_encoding: AcceptEncoding,
    pub(super) body: Body,
    pub(super) host: Span,
    pub(super) if_match: Span,
    pub(super) if_none_match: Span,
    pub(super) if_modified_since: Span,
    pub(super) if_unmodified_since: Span,
    pub(super) if_range: Span,
    pub(super) range: Span,
    pub(super) user_agent: Span,
    pub(super) referer: Span,
    pub(super) upgrade: Span,
}

impl RequestHead {
    /// The method.
    #[inline]
    pub fn method(&self) -> Method {
        self.method
    }

    /// The method as it was sent; empty if none was read, and also if it is not known here.
    pub fn method_text<'a>(&self, octets: &'a [u8]) -> &'a [u8] {
        self.method_text.of(octets)
    }

    /// The request target as it was sent; empty if none was read.
    pub fn target<'a>(&self, octets: &'a [u8]) -> &'a [u8] {
        self.target.whole.of(octets)
    }

    /// The target's form.
    #[inline]
    pub fn target_form(&self) -> TargetForm {
        self.target.form
    }

    /// The path: decoded, normalised, without the query. It lies in `octets` if it was sent like
    /// that, and else in `scratch`. See [`target::normalise`].
    ///
    /// # Errors
    /// Those of [`target::normalise`], and [`RequestError::Target`] for a target without a path.
    #[inline]
    pub fn path<'a>(&self, octets: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<&'a [u8], RequestError> {
        let path = self.target.path.of(octets);
        if self.target.canonical {
            return Ok(path);
        }
        match self.target.form {
            TargetForm::Origin | TargetForm::Absolute => target::rewrite(path, scratch),
            TargetForm::Authority | TargetForm::Asterisk => Err(RequestError::Target),
        }
    }

    /// What follows the path's question mark, as it was sent.
    pub fn query<'a>(&self, octets: &'a [u8]) -> Option<&'a [u8]> {
        self.target.query.get(octets)
    }

    /// The host with its port, as it was sent; that of the target, if it names one, and else that of
    /// the Host field (RFC 9112 §3.2.2). Empty if HTTP/1.0 sent neither.
    pub fn host<'a>(&self, octets: &'a [u8]) -> &'a [u8] {
        if self.target.authority.is_present() { self.target.authority.of(octets) } else { self.host.of(octets) }
    }

    /// The host alone, in lower case and without the port, to choose by. It lies in `octets` if it was
    /// sent like that, and else in `scratch`. `None` if HTTP/1.0 sent none.
    pub fn host_name<'a>(&self, octets: &'a [u8], scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        let host = host::parse(self.host(octets))?.host;
        if !host.iter().any(u8::is_ascii_uppercase) {
            return Some(host);
        }
        host::lower_case(host, scratch);
        Some(scratch)
    }

    /// The scheme that a target in absolute form names. It is what the client says, not how it came.
    pub fn scheme(&self) -> Option<Scheme> {
        self.target.scheme()
    }

    /// The path as it was sent; empty if the target has none.
    #[inline]
    pub fn path_as_sent<'a>(&self, octets: &'a [u8]) -> &'a [u8] {
        self.target.path.of(octets)
    }

    /// The target as it is sent to an origin server (RFC 9112 §3.2.1, §3.2.4): path and query as they
    /// were sent, or `*`. It lies in `octets` unless an absolute URI has no path; then it is in `scratch`.
    /// `None` for CONNECT.
    pub fn origin_form<'a>(&self, octets: &'a [u8], scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        let (path, query) = (self.target.path, self.target.query);
        match self.target.form {
            TargetForm::Authority => None,
            TargetForm::Asterisk => Some(b"*"),
            _ if path.of(octets).is_empty() => {
                scratch.clear();
                scratch.push(b'/');
                if let Some(query) = query.get(octets) {
                    scratch.push(b'?');
                    scratch.extend_from_slice(query);
                }
                Some(scratch)
            }
            _ if query.is_present() => Some(path.through(query).of(octets)),
            _ => Some(path.of(octets)),
        }
    }

    /// Whether the request is HTTP/1.0.
    #[inline]
    pub fn is_http_1_0(&self) -> bool {
        self.http_1_0
    }

    /// Whether the client wants to go on with the connection (RFC 9112 §9.3).
    #[inline]
    pub fn is_persistent(&self) -> bool {
        !self.close && (self.keep_alive || !self.http_1_0)
    }

    /// The codings that the client accepts.
    #[inline]
    pub fn accepts(&self) -> Codings {
        self.accept_encoding.codings()
    }

    /// What follows the head.
    #[inline]
    pub fn body(&self) -> Body {
        self.body
    }

    /// Whether the client waits for 100 before it sends the body (RFC 9110 §10.1.1).
    pub fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// Whether there is an Authorization field.
    pub fn has_authorization(&self) -> bool {
        self.authorization
    }

    /// Whether there is a Cookie field.
    pub fn has_cookie(&self) -> bool {
        self.cookie
    }

    /// Whether there is a Cache-Control field.
    #[inline]
    pub fn has_cache_control(&self) -> bool {
        self.cache_control
    }

    /// Whether there is a Pragma field.
    #[inline]
    pub fn has_pragma(&self) -> bool {
        self.pragma
    }

    /// Whether there is a Priority field (RFC 9218 §5).
    pub fn has_priority(&self) -> bool {
        self.priority
    }

    /// The values of Upgrade, if the client asks for it as RFC 9110 §7.8 has it: with the connection option,
    /// and not in HTTP/1.0, where it is to be ignored.
    pub fn upgrade<'a>(&self, octets: &'a [u8]) -> Option<FieldValues<'a>> {
        let asked = self.connection_upgrade && !self.http_1_0;
        FieldValues::new("upgrade", self.upgrade, octets).filter(|_| asked)
    }

    /// Whether [`evaluate`](super::conditional::evaluate) has something to evaluate.
    #[inline]
    pub fn has_preconditions(&self) -> bool {
        self.if_match.is_present()
            | self.if_none_match.is_present()
            | self.if_modified_since.is_present()
            | self.if_unmodified_since.is_present()
    }

    /// Whether a range is asked for. Only GET can (RFC 9110 §14.2).
    #[inline]
    pub fn has_range(&self) -> bool {
        self.range.is_present() && self.method == Method::Get
    }

    /// The values of If-Match.
    pub fn if_match<'a>(&self, octets: &'a [u8]) -> Option<FieldValues<'a>> {
        FieldValues::new("if-match", self.if_match, octets)
    }

    /// The values of If-None-Match.
    pub fn if_none_match<'a>(&self, octets: &'a [u8]) -> Option<FieldValues<'a>> {
        FieldValues::new("if-none-match", self.if_none_match, octets)
    }

    /// If-Modified-Since; not a date if it was repeated (RFC 9110 §13.1.3).
    pub fn if_modified_since<'a>(&self, octets: &'a [u8]) -> Option<&'a [u8]> {
        self.if_modified_since.get(octets)
    }

    /// If-Unmodified-Since; not a date if it was repeated (RFC 9110 §13.1.4).
    pub fn if_unmodified_since<'a>(&self, octets: &'a [u8]) -> Option<&'a [u8]> {
        self.if_unmodified_since.get(octets)
    }

    /// If-Range; not a validator if it was repeated.
    pub fn if_range<'a>(&self, octets: &'a [u8]) -> Option<&'a [u8]> {
        self.if_range.get(octets)
    }

    /// Range; not a set of ranges if it was repeated.
    pub fn range<'a>(&self, octets: &'a [u8]) -> Option<&'a [u8]> {
        self.range.get(octets)
    }

    /// The first User-Agent, or empty.
    pub fn user_agent<'a>(&self, octets: &'a [u8]) -> &'a [u8] {
        self.user_agent.of(octets)
    }

    /// The first Referer, or empty.
    pub fn referer<'a>(&self, octets: &'a [u8]) -> &'a [u8] {
        self.referer.of(octets)
    }
}

/// The values of a list field, one for each of its lines (RFC 9110 §5.3).
///
/// A parser that holds no reference and allocates nothing cannot list the lines of a repeated field.
/// So the span of such a field reaches from its first value to its last, and the lines between are
/// looked through again here.
#[derive(Clone, Debug)]
pub struct FieldValues<'a> {
    name: &'static str,
    /// Starts with a value.
    rest: Option<&'a [u8]>,
}

impl<'a> FieldValues<'a> {
    fn new(name: &'static str, span: Span, octets: &'a [u8]) -> Option<FieldValues<'a>> {
        span.get(octets).map(|rest| FieldValues { name, rest: Some(rest) })
    }
}

impl<'a> Iterator for FieldValues<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (value, mut rest) = split_line(self.rest.take()?);
        while let Some(lines) = rest {
            let name = lines.get(..self.name.len()).unwrap_or_default();
            if name.eq_ignore_ascii_case(self.name.as_bytes()) && lines.get(name.len()) == Some(&b':') {
                self.rest = Some(&lines[name.len() + 1..]);
                break;
            }
            rest = split_line(lines).1;
        }
        Some(trimmed(value))
    }
}

/// The line that `octets` starts with, and what follows its CRLF.
fn split_line(octets: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'\n', octets) {
        Some(end) => (&octets[..end.saturating_sub(1)], Some(&octets[end + 1..])),
        None => (octets, None),
    }
}
