//! Reads a request head from the input, where it lies.

use std::ops::Range;

use memchr::memchr;

use super::error::RequestError;
use super::field::FieldLine;
use super::framing::Framing;
use super::head::RequestHead;
use super::host;
use super::method::Method;
use super::octet::{control_fault, is_token, trimmed};
use super::span::Span;
use super::target::Target;

/// Bounds on a request head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Octets of the whole head, with what precedes and ends it: 431 beyond them. At most 4 GiB.
    pub head: usize,
    /// Fields: 431 beyond them.
    pub fields: usize,
    /// Octets of the request target: 414 beyond them. RFC 9112 §3 wants at least 8000.
    pub target: usize,
    /// Empty lines that are skipped before a request line: 400 beyond them (RFC 9112 §2.2).
    pub blank_lines: u8,
    /// Whether methods that are not known here are parsed, as [`Method::Other`], for another server to
    /// answer; 501 if not.
    pub extension_methods: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { head: 32 << 10, fields: 100, target: 8 << 10, blank_lines: 2, extension_methods: false }
    }
}

impl Limits {
    fn longest_method(&self) -> usize {
        if self.extension_methods { Method::LONGEST_EXTENSION } else { Method::LONGEST }
    }

    #[cold]
    fn extension(&self, line: &[u8]) -> Option<(Method, usize)> {
        self.extension_methods.then(|| Method::extension(line)).flatten()
    }
}

/// How far a parser has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// The head is not all there.
    Incomplete,
    /// The head is parsed. It is this many octets long, counted from the start of the input.
    Complete(usize),
}

/// Parses one request head, in as many steps as its octets take to arrive. No octet is searched for
/// the end of its line twice, no complete line is looked at again, and a fault is reported as soon as
/// its line is complete.
#[derive(Clone, Debug, Default)]
pub struct RequestParser {
    head: RequestHead,
    framing: Framing,
    /// Where the current line starts.
    line: usize,
    /// Up to where no LF was found.
    scanned: usize,
    fields: usize,
    blank_lines: u8,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Stage {
    #[default]
    RequestLine,
    Fields,
    Complete,
}

/// `HTTP/1.1` with the space before it.
const VERSION: usize = 9;

impl RequestParser {
    /// Whether anything of a request has come; complete empty lines do not count.
    #[inline]
    pub fn is_started(&self) -> bool {
        self.stage != Stage::RequestLine || self.scanned > self.line
    }

    /// Parses as far as `input` goes: everything from the head's first octet on. A later call must
    /// show the same octets again, with more behind them.
    ///
    /// # Errors
    /// What is wrong with the request. The parser is of no more use then, but for what its head says
    /// about the part before the fault.
    pub fn advance(&mut self, input: &[u8], limits: &Limits) -> Result<Progress, RequestError> {
        while self.stage != Stage::Complete {
            let Some(line) = self.next_line(input, limits)? else { return Ok(Progress::Incomplete) };
            match self.stage {
                Stage::RequestLine if line.is_empty() => self.blank_line(limits)?,
                Stage::RequestLine => self.request_line(input, line, limits)?,
                _ if line.is_empty() => self.end()?,
                _ => self.field(input, line, limits)?,
            }
        }
        Ok(Progress::Complete(self.line))
    }

    /// What was parsed.
    #[inline]
    pub fn head(&self) -> &RequestHead {
        &self.head
    }

    /// The next line without its CRLF, if all of it is there.
    #[inline]
    fn next_line(&mut self, input: &[u8], limits: &Limits) -> Result<Option<Range<usize>>, RequestError> {
        let start = self.line;
        let Some(found) = memchr(b'\n', input.get(self.scanned..).unwrap_or_default()) else {
            self.scanned = self.scanned.max(input.len());
            return self.check_part(input.get(start..).unwrap_or_default(), limits).map(|()| None);
        };
        let line_feed = self.scanned + found;
        let line = &input[start..line_feed];
        if self.is_too_long(line, limits) {
            return Err(self.too_long(line, limits));
        }
        if line.last() != Some(&b'\r') {
            return Err(self.bare_line_feed(line));
        }
        self.line = line_feed + 1;
        self.scanned = line_feed + 1;
        Ok(Some(start..line_feed - 1))
    }

    fn blank_line(&mut self, limits: &Limits) -> Result<(), RequestError> {
        if self.blank_lines == limits.blank_lines {
            return Err(RequestError::BlankLines);
        }
        self.blank_lines += 1;
        Ok(())
    }

    /// RFC 9112 §3: method, target and version, with single spaces between.
    #[inline]
    fn request_line(&mut self, input: &[u8], line: Range<usize>, limits: &Limits) -> Result<(), RequestError> {
        let text = &input[line.clone()];
        let method = Method::of_line(text).or_else(|| limits.extension(text));
        let (Some((method, length)), [.., b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'0'..=b'9']) =
            (method, text)
        else {
            return Err(request_line_fault(text));
        };
        let start = line.start + length + 1;
        // Equal if there is nothing between the two spaces; less if there is one space.
        let end = line.end - VERSION;
        if start >= end {
            return Err(request_line_fault(text));
        }
        if end - start > limits.target {
            return Err(RequestError::TargetTooLong);
        }
        self.head.method = method;
        self.head.method_text = Span::new(line.start..start - 1);
        self.head.http_1_0 = *minor == b'0';
        self.head.target =
            Target::parse(method, input, start, end).map_err(|fault| target_fault(&input[start..end], fault))?;
        self.stage = Stage::Fields;
        Ok(())
    }

    #[inline]
    fn field(&mut self, input: &[u8], line: Range<usize>, limits: &Limits) -> Result<(), RequestError> {
        self.fields += 1;
        if self.fields > limits.fields {
            return Err(RequestError::TooManyFields);
        }
        let text = &input[line.clone()];
        let FieldLine { name, value } = FieldLine::parse(text)?;
        let span = Span::new(line.start + value.start..line.start + value.end);
        self.known_field(&text[..name], &text[value], span)
    }

    /// Remembers the fields that mean something here. The length of a name tells most others apart.
    #[inline]
    fn known_field(&mut self, name: &[u8], value: &[u8], span: Span) -> Result<(), RequestError> {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let head = &mut self.head;
        match name.len() {
            4 if is("host") => return self.host(value, span),
            5 if is("range") => extend(&mut head.range, span),
            6 if is("cookie") => head.cookie = true,
            6 if is("expect") => return self.expect(value),
            6 if is("pragma") => head.pragma = true,
            7 if is("referer") => keep_first(&mut head.referer, span),
            7 if is("upgrade") => extend(&mut head.upgrade, span),
            8 if is("if-match") => extend(&mut head.if_match, span),
            8 if is("if-range") => extend(&mut head.if_range, span),
            8 if is("priority") => head.priority = true,
            10 if is("connection") => self.connection(value),
            10 if is("user-agent") => keep_first(&mut head.user_agent, span),
            13 if is("if-none-match") => extend(&mut head.if_none_match, span),
            13 if is("cache-control") => head.cache_control = true,
            13 if is("authorization") => head.authorization = true,
            14 if is("content-length") => return self.framing.content_length(value),
            15 if is("accept-encoding") => head.accept_encoding.add(value),
            17 if is("transfer-encoding") => return self.framing.transfer_encoding(value, head.http_1_0),
            17 if is("if-modified-since") => extend(&mut head.if_modified_since, span),
            19 if is("if-unmodified-since") => extend(&mut head.if_unmodified_since, span),
            _ => {}
        }
        Ok(())
    }

    /// RFC 9112 §3.2: exactly one, and valid, even where the target names the host.
    fn host(&mut self, value: &[u8], span: Span) -> Result<(), RequestError> {
        if self.head.host.is_present() {
            return Err(RequestError::RepeatedHost);
        }
        if !host::is_valid(value) {
            return Err(RequestError::Host);
        }
        self.head.host = span;
        Ok(())
    }

    /// RFC 9110 §10.1.1: the only expectation there is, which HTTP/1.0 cannot have.
    fn expect(&mut self, value: &[u8]) -> Result<(), RequestError> {
        let known = |element: &[u8]| trimmed(element).eq_ignore_ascii_case(b"100-continue");
        if !value.split(|&octet| octet == b',').all(known) {
            return Err(RequestError::UnknownExpectation);
        }
        self.head.expects_continue = !self.head.http_1_0;
        Ok(())
    }

    fn connection(&mut self, value: &[u8]) {
        for option in value.split(|&octet| octet == b',').map(trimmed) {
            self.head.close |= option.eq_ignore_ascii_case(b"close");
            self.head.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            self.head.connection_upgrade |= option.eq_ignore_ascii_case(b"upgrade");
        }
    }

    /// The empty line: what only the whole head can tell.
    #[inline]
    fn end(&mut self) -> Result<(), RequestError> {
        if !self.head.host.is_present() && !self.head.http_1_0 {
            return Err(RequestError::MissingHost);
        }
        self.head.body = self.framing.body()?;
        self.stage = Stage::Complete;
        Ok(())
    }

    /// Whether a line that starts with `part` and has not ended yet can still become a good one.
    #[cold]
    fn check_part(&self, part: &[u8], limits: &Limits) -> Result<(), RequestError> {
        if self.is_too_long(part, limits) {
            return Err(self.too_long(part, limits));
        }
        if self.stage == Stage::RequestLine && part.first().is_some_and(|&octet| octet != b'\r') {
            return first_octet_fault(part).map_or(Ok(()), Err);
        }
        Ok(())
    }

    /// Whether the head or, sooner, the request line breaks a limit with `line`, which is the current
    /// one without its LF, or what is there of it.
    #[inline]
    fn is_too_long(&self, line: &[u8], limits: &Limits) -> bool {
        let whole = self.line + line.len() >= limits.head.min(u32::MAX as usize);
        let content = line.len() - usize::from(line.last() == Some(&b'\r'));
        whole || self.stage == Stage::RequestLine && content > limits.longest_method() + 1 + limits.target + VERSION
    }

    /// A line that LF ends without CR. What makes it no request line at all is found before its end is.
    #[cold]
    fn bare_line_feed(&self, line: &[u8]) -> RequestError {
        let sooner = first_octet_fault(line).filter(|_| self.stage == Stage::RequestLine);
        sooner.filter(|_| line.first() != Some(&b'\r')).unwrap_or(RequestError::BareLineFeed)
    }

    /// Which limit is broken. Only the line's start matters, so that it is the same however much of it
    /// has come.
    #[cold]
    fn too_long(&self, line: &[u8], limits: &Limits) -> RequestError {
        if self.stage != Stage::RequestLine {
            return RequestError::HeadTooLarge;
        }
        let method = &line[..line.len().min(limits.longest_method() + 1)];
        match first_octet_fault(line) {
            Some(fault) => fault,
            None if method.contains(&b' ') => RequestError::TargetTooLong,
            // RFC 9112 §3: a method longer than any that is known.
            None if method.iter().copied().all(is_token) => RequestError::UnknownMethod,
            None => RequestError::RequestLine,
        }
    }
}

/// Joins the values of a repeated field into one span. Of a list, [`FieldValues`](super::FieldValues)
/// finds the members; of a field that must not be repeated, nothing valid is left.
fn extend(span: &mut Span, value: Span) {
    *span = if span.is_present() { span.through(value) } else { value };
}

fn keep_first(span: &mut Span, value: Span) {
    if !span.is_present() {
        *span = value;
    }
}

/// Says what is wrong with a request line whose first octet is not a method's. It is not a word of
/// HTTP; most often it is a TLS client's at the wrong port.
#[cold]
fn first_octet_fault(line: &[u8]) -> Option<RequestError> {
    let first = line.first().filter(|&&octet| !is_token(octet))?;
    let spaces = matches!(first, b' ' | b'\t').then_some(RequestError::RequestLineSpaces);
    Some(control_fault(&line[..1]).or(spaces).unwrap_or(RequestError::RequestLine))
}

/// Says what is wrong with the shape of a request line.
#[cold]
fn request_line_fault(line: &[u8]) -> RequestError {
    if let Some(fault) = first_octet_fault(line).or_else(|| control_fault(line)) {
        return fault;
    }
    let mut words = line.split(|&octet| octet == b' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return spaces_fault(line);
    };
    if method.is_empty() || target.is_empty() || version.is_empty() {
        return spaces_fault(line);
    }
    if !method.iter().copied().all(is_token) {
        return RequestError::RequestLine;
    }
    match version {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0'..=b'9'] => RequestError::UnknownMethod,
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => RequestError::UnsupportedVersion,
        _ => RequestError::Version,
    }
}

/// RFC 9112 §3 allows no white space but the two spaces; to guess what was meant lets two readers
/// disagree about the target.
fn spaces_fault(line: &[u8]) -> RequestError {
    let spaces = |pair: &[u8]| pair.iter().all(|octet| matches!(octet, b' ' | b'\t'));
    if line.windows(2).any(spaces) || matches!(line.last(), Some(b' ' | b'\t')) {
        RequestError::RequestLineSpaces
    } else {
        RequestError::RequestLine
    }
}

/// Says what is wrong with a target that was not accepted because of `fault`.
#[cold]
fn target_fault(target: &[u8], fault: RequestError) -> RequestError {
    if let Some(control) = control_fault(target) {
        return control;
    }
    match memchr(b' ', target) {
        Some(_) if target.windows(2).any(|pair| pair == b"  ") => RequestError::RequestLineSpaces,
        Some(0) => RequestError::RequestLineSpaces,
        Some(space) if space + 1 == target.len() => RequestError::RequestLineSpaces,
        Some(_) => RequestError::RequestLine,
        None => fault,
    }
}
