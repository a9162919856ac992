//! The request parser: one pass over a head that is there, resumable when it is not.

use super::error::RequestError;
use super::field::Field;
use super::framing::Framing;
use super::host;
use super::limits::Limits;
use super::method::Method;
use super::octets::{members, target_end, token_end, trim, trim_start, value_end};
use super::request::{RequestHead, Seen, Span};
use super::target::Target;

/// Reads one request's head from input that may arrive in any pieces.
///
/// A line that is complete is never looked at again, and of an incomplete one only what is new, until
/// its end is there. A fault is reported with the line that has it, not with the head's end.
#[derive(Clone, Debug, Default)]
pub struct RequestParser {
    head: RequestHead,
    phase: Phase,
    framing: Framing,
    empty_lines: u8,
    fields: u32,
    fields_start: u32,
    /// Where the line starts that is not parsed yet.
    line: u32,
    /// Up to where that line is known to have no end.
    searched: u32,
}

/// How far a parser came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// The head's end is not there yet.
    Incomplete,
    /// The head is complete and has so many octets, counted from the input's first.
    Complete(usize),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Phase {
    #[default]
    Fresh,
    RequestLine,
    Fields,
    Complete,
}

/// Why a line was not read.
enum Stop {
    /// Its end is not there yet.
    Short,
    Fault(RequestError),
}

impl From<RequestError> for Stop {
    fn from(error: RequestError) -> Stop {
        Stop::Fault(error)
    }
}

/// How many empty lines before a request line are ignored; RFC 9112 §2.2 asks for at least one.
const EMPTY_LINES: u8 = 2;

/// What a request line may have besides its target.
const LINE: usize = Limits::LINE / 2;

impl RequestParser {
    /// Whether a request's first octet was seen. Empty lines before it do not count.
    pub fn is_started(&self) -> bool {
        self.phase != Phase::Fresh
    }

    /// Goes on with `input`: all octets of this request that have arrived, those of earlier calls
    /// included, and whatever follows them. Once complete it stays complete.
    ///
    /// # Errors
    ///
    /// The client's fault. The connection is of no use then: where the request ends is unknown.
    pub fn advance(&mut self, input: &[u8], limits: &Limits) -> Result<Progress, RequestError> {
        while self.phase != Phase::Complete {
            let line = input.get(self.line as usize..).unwrap_or_default();
            let read = if self.is_worth_reading(input) { self.read_line(line, limits) } else { Err(Stop::Short) };
            match read {
                Ok(length) => {
                    self.line += length as u32;
                    self.searched = self.line;
                }
                Err(Stop::Fault(error)) => return Err(error),
                Err(Stop::Short) => {
                    self.check_unfinished(line, limits)?;
                    self.searched = input.len() as u32;
                    return Ok(Progress::Incomplete);
                }
            }
        }
        Ok(Progress::Complete(self.line as usize))
    }

    /// What was parsed. Meaningful once [`RequestParser::advance`] has said `Complete`.
    pub fn head(&self) -> &RequestHead {
        &self.head
    }

    /// A line is read when it is new, and later only when its end has come.
    fn is_worth_reading(&self, input: &[u8]) -> bool {
        let new = input.get(self.searched as usize..).unwrap_or_default();
        if self.searched == self.line { !new.is_empty() } else { new.contains(&b'\n') }
    }

    /// Whether the end of `line` can still come within the limits.
    fn check_unfinished(&self, line: &[u8], limits: &Limits) -> Result<(), RequestError> {
        match self.phase {
            Phase::Fields if line != b"\r" => self.check_size(line.len(), limits),
            // RFC 9112 §3: a method longer than any that the server implements, or a target longer
            // than it wants to parse.
            Phase::RequestLine if line.len() > LINE && token_end(&line[..=LINE]) > LINE => {
                Err(RequestError::UnknownMethod)
            }
            Phase::RequestLine if line.len() > LINE + limits.target() => Err(RequestError::TargetTooLong),
            _ => Ok(()),
        }
    }

    /// Whether the fields stay within the limit with a line of `length` octets.
    fn check_size(&self, length: usize, limits: &Limits) -> Result<(), RequestError> {
        let size = (self.line - self.fields_start) as usize + length;
        if size > limits.header_size() { Err(RequestError::FieldsTooLarge) } else { Ok(()) }
    }

    /// Reads the line that `line` begins with. Returns its length with its end.
    fn read_line(&mut self, line: &[u8], limits: &Limits) -> Result<usize, Stop> {
        let is_empty = matches!(line, [b'\r' | b'\n', ..]);
        match self.phase {
            Phase::Fields if is_empty => self.finish(line),
            Phase::Fields => self.read_field(line, limits),
            Phase::Fresh if is_empty => self.skip_empty_line(line),
            _ => {
                self.phase = Phase::RequestLine;
                self.read_request_line(line, limits)
            }
        }
    }

    fn skip_empty_line(&mut self, line: &[u8]) -> Result<usize, Stop> {
        let length = line_end(line)?;
        self.empty_lines += 1;
        if self.empty_lines > EMPTY_LINES { Err(RequestError::RequestLine)? } else { Ok(length) }
    }

    /// RFC 9112 §3: `method SP request-target SP HTTP-version`, with one space each.
    fn read_request_line(&mut self, line: &[u8], limits: &Limits) -> Result<usize, Stop> {
        let method_end = word_end(line, token_end)?;
        let target_start = method_end + 1;
        let target_end = target_start + word_end(&line[target_start..], target_end)?;
        if target_end - target_start > limits.target() {
            Err(RequestError::TargetTooLong)?;
        }
        self.head.is_http_1_0 = read_version(&line[target_end + 1..])? == 0;
        let (method, target) = (&line[..method_end], &line[target_start..target_end]);
        self.head.method = Method::from_token(method).ok_or(RequestError::UnknownMethod)?;
        let parts = Target::parse(self.head.method, target)?;
        let start = self.line as usize;
        let span = |part: &std::ops::Range<usize>| Span::new(start + target_start + part.start, part.len());
        self.head.form = parts.form;
        self.head.authority = parts.authority.as_ref().map(span).unwrap_or_default();
        self.head.path = span(&parts.path);
        self.head.method_text = Span::new(start, method_end);
        self.head.target = Span::new(start + target_start, target.len());
        let length = target_end + 1 + VERSION.len();
        self.fields_start = (start + length) as u32;
        self.phase = Phase::Fields;
        Ok(length)
    }

    /// RFC 9112 §5: `field-name ":" OWS field-value OWS`.
    fn read_field(&mut self, line: &[u8], limits: &Limits) -> Result<usize, Stop> {
        let name_end = token_end(line);
        if name_end == 0 || line.get(name_end) != Some(&b':') {
            return Err(name_fault(line, name_end));
        }
        let value_start = name_end + 1;
        let value_end = value_start + value_end(&line[value_start..]);
        let length = value_end + line_end(&line[value_end..])?;
        self.fields += 1;
        if self.fields as usize > limits.headers {
            Err(RequestError::TooManyFields)?;
        }
        self.check_size(length, limits)?;
        if let Some(field) = Field::from_name(&line[..name_end]) {
            let value = trim_start(&line[value_start..value_end]);
            let start = self.line as usize + value_end - value.len();
            let value = trim(value);
            self.take(field, value, Span::new(start, value.len()))?;
        }
        Ok(length)
    }

    /// Takes note of a field that the server reads.
    fn take(&mut self, field: Field, value: &[u8], span: Span) -> Result<(), RequestError> {
        let head = &mut self.head;
        match field {
            Field::Host => return self.take_host(value, span),
            Field::ContentLength => return self.framing.add_length(value),
            Field::TransferEncoding => return self.framing.add_coding(value),
            Field::Expect => return self.take_expectations(value),
            Field::Connection => self.take_connection(value),
            Field::AcceptEncoding => head.accept_encoding.add(value),
            Field::Authorization => head.seen.add(Seen::AUTHORIZATION),
            Field::UserAgent => _ = head.user_agent.set(span),
            Field::Referer => _ = head.referer.set(span),
            Field::Range => head.range.set_once(span, &mut head.seen, Seen::RANGE_AGAIN),
            Field::IfRange => head.if_range.set_once(span, &mut head.seen, Seen::RANGE_AGAIN),
            Field::IfMatch => {
                head.seen.add(Seen::PRECONDITION);
                head.if_match.set_once(span, &mut head.seen, Seen::IF_MATCH_AGAIN);
            }
            Field::IfNoneMatch => {
                head.seen.add(Seen::PRECONDITION);
                head.if_none_match.set_once(span, &mut head.seen, Seen::IF_NONE_MATCH_AGAIN);
            }
            Field::IfModifiedSince => {
                head.seen.add(Seen::PRECONDITION);
                head.if_modified_since.set_once(span, &mut head.seen, Seen::IF_MODIFIED_SINCE_AGAIN);
            }
            Field::IfUnmodifiedSince => {
                head.seen.add(Seen::PRECONDITION);
                head.if_unmodified_since.set_once(span, &mut head.seen, Seen::IF_UNMODIFIED_SINCE_AGAIN);
            }
        }
        Ok(())
    }

    /// RFC 9112 §3.2: more than one Host, or a malformed one, is refused.
    fn take_host(&mut self, value: &[u8], span: Span) -> Result<(), RequestError> {
        if !self.head.host.set(span) {
            return Err(RequestError::HostRepeated);
        }
        if host::is_valid(value) { Ok(()) } else { Err(RequestError::HostMalformed) }
    }

    fn take_expectations(&mut self, value: &[u8]) -> Result<(), RequestError> {
        for expectation in members(value) {
            if !expectation.eq_ignore_ascii_case(b"100-continue") {
                return Err(RequestError::Expectation);
            }
            self.head.seen.add(Seen::CONTINUE);
        }
        Ok(())
    }

    fn take_connection(&mut self, value: &[u8]) {
        for option in members(value) {
            if option.eq_ignore_ascii_case(b"close") {
                self.head.seen.add(Seen::CLOSE);
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.head.seen.add(Seen::KEEP_ALIVE);
            }
        }
    }

    /// The empty line after the fields: what only all of them together can tell.
    fn finish(&mut self, line: &[u8]) -> Result<usize, Stop> {
        let length = line_end(line)?;
        if !self.head.is_http_1_0 && !self.head.host.is_present() {
            Err(RequestError::HostMissing)?;
        }
        self.head.body = self.framing.body();
        let start = self.fields_start as usize;
        self.head.fields = Span::new(start, self.line as usize - start);
        self.phase = Phase::Complete;
        Ok(length)
    }
}

const VERSION: &[u8] = b"HTTP/1.1\r\n";

/// The minor version that `rest` of the request line tells.
fn read_version(rest: &[u8]) -> Result<u8, Stop> {
    match rest {
        // A later minor version is the highest that we speak (RFC 9110 §2.5).
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'0'..=b'9', b'\r', b'\n', ..] => Ok((*minor - b'0').min(1)),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9', b'\r', b'\n', ..] => Err(RequestError::Version)?,
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9', b'\n', ..] => Err(RequestError::BareLineFeed)?,
        _ if rest.contains(&b'\n') => Err(RequestError::RequestLine)?,
        _ => Err(Stop::Short),
    }
}

/// Where the word ends that `line` begins with, and that a space follows.
fn word_end(line: &[u8], end: impl Fn(&[u8]) -> usize) -> Result<usize, Stop> {
    let end = end(line);
    match line.get(end) {
        Some(b' ') if end > 0 => Ok(end),
        Some(_) => Err(RequestError::RequestLine)?,
        None => Err(Stop::Short),
    }
}

/// Why a field line whose token ends at `end` has no name.
fn name_fault(line: &[u8], end: usize) -> Stop {
    // RFC 9112 §2.2, §5.2: white space here is a continued line or worse.
    if matches!(line, [b' ' | b'\t', ..]) {
        return Stop::Fault(RequestError::Folding);
    }
    let rest = &line[end..];
    match trim_start(rest) {
        [] => Stop::Short,
        // RFC 9112 §5.1: readers that differ about this have been used against each other.
        [b':', ..] if end > 0 => Stop::Fault(RequestError::SpaceBeforeColon),
        _ => Stop::Fault(RequestError::FieldName),
    }
}

/// The length of the line end that `rest` begins with: CRLF and nothing else.
fn line_end(rest: &[u8]) -> Result<usize, Stop> {
    match rest {
        [b'\r', b'\n', ..] => Ok(2),
        [] | [b'\r'] => Err(Stop::Short),
        [b'\r', ..] => Err(RequestError::BareCarriageReturn)?,
        [b'\n', ..] => Err(RequestError::BareLineFeed)?,
        _ => Err(RequestError::ControlOctet)?,
    }
}

#[cfg(test)]
mod tests;
