//! Reads a backend's response head from the input, where it lies.

use std::ops::Range;

use memchr::memchr;

use super::field::FieldLine;
use super::field_section::{FieldSection, fields, tokens};
use super::framing::decimal;
use super::method::Method;
use super::octet::control_fault;
use super::request::Progress;
use super::response_error::ResponseError;
use super::response_framing::ResponseBody;
use super::span::Span;

/// Bounds on a response head. Reaching one is the backend's fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResponseLimits {
    /// Octets of the whole head, with what ends it. At most 4 GiB.
    pub head: usize,
    /// Fields.
    pub fields: usize,
}

impl Default for ResponseLimits {
    fn default() -> ResponseLimits {
        ResponseLimits { head: 64 << 10, fields: 200 }
    }
}

/// Parses one response head, in as many steps as its octets take to arrive, as
/// [`RequestParser`](super::RequestParser) does for requests. Nothing is forgiven that another reader
/// could take otherwise: no bare LF, no folded line, no white space before a colon, no empty line before
/// the status line.
#[derive(Clone, Debug, Default)]
pub struct ResponseParser {
    head: ResponseHead,
    /// Where the current line starts.
    line: usize,
    /// Up to where no LF was found.
    scanned: usize,
    fields: usize,
    is_complete: bool,
}

/// What a response head says. Holds no reference; the methods that want `octets` want those from which it
/// was parsed, as far as [`Progress::Complete`] counted them.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    status: u16,
    http_1_0: bool,
    close: bool,
    keep_alive: bool,
    connection_upgrade: bool,
    names_protocol: bool,
    chunked: bool,
    content_length: Option<u64>,
    reason: Span,
    upgrade: Span,
}

/// How every status line starts that is read here; the minor version follows.
const START: &[u8] = b"HTTP/1.";

impl ResponseParser {
    /// Whether anything of a response has come.
    pub fn is_started(&self) -> bool {
        self.scanned > 0
    }

    /// Parses as far as `input` goes: everything from the head's first octet on. A later call must
    /// show the same octets again, with more behind them.
    ///
    /// # Errors
    /// What is wrong with the response. The parser is of no more use then.
    pub fn advance(&mut self, input: &[u8], limits: &ResponseLimits) -> Result<Progress, ResponseError> {
        while !self.is_complete {
            let Some(line) = self.next_line(input, limits)? else { return Ok(Progress::Incomplete) };
            match line.start {
                0 => self.head.status_line(&input[line])?,
                _ if line.is_empty() => self.end()?,
                _ => self.field(input, line, limits)?,
            }
        }
        Ok(Progress::Complete(self.line))
    }

    /// What was parsed; meaningful once the parser has said [`Progress::Complete`].
    pub fn head(&self) -> &ResponseHead {
        &self.head
    }

    /// The next line without its CRLF, if all of it is there.
    fn next_line(&mut self, input: &[u8], limits: &ResponseLimits) -> Result<Option<Range<usize>>, ResponseError> {
        let start = self.line;
        let found = memchr(b'\n', input.get(self.scanned..).unwrap_or_default()).map(|found| self.scanned + found);
        let line = input.get(start..found.unwrap_or(input.len())).unwrap_or_default();
        if start == 0 {
            check_start(line, found.is_some())?;
        }
        if start + line.len() >= limits.head.min(u32::MAX as usize) {
            return Err(ResponseError::HeadTooLarge);
        }
        let Some(line_feed) = found else {
            self.scanned = self.scanned.max(input.len());
            return Ok(None);
        };
        if line.last() != Some(&b'\r') {
            return Err(ResponseError::BareLineFeed);
        }
        self.line = line_feed + 1;
        self.scanned = line_feed + 1;
        Ok(Some(start..line_feed - 1))
    }

    fn field(&mut self, input: &[u8], line: Range<usize>, limits: &ResponseLimits) -> Result<(), ResponseError> {
        self.fields += 1;
        if self.fields > limits.fields {
            return Err(ResponseError::TooManyFields);
        }
        let text = &input[line.clone()];
        let FieldLine { name, value } = FieldLine::parse(text)?;
        let span = Span::new(line.start + value.start..line.start + value.end);
        self.head.known_field(&text[..name], &text[value], span)
    }

    /// The empty line: what only the whole head can tell.
    fn end(&mut self) -> Result<(), ResponseError> {
        self.is_complete = true;
        // RFC 9110 §15.2.2, §7.8: a 101 says to what, and says it of this connection.
        let switches = self.head.names_protocol && self.head.connection_upgrade && !self.head.http_1_0;
        if self.head.status == 101 && !switches { Err(ResponseError::Upgrade) } else { Ok(()) }
    }
}

impl ResponseHead {
    /// The status, in 100 to 599.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether another response to the same request follows (RFC 9110 §15.2). A 101 is not of them: what
    /// follows it is not HTTP.
    pub fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// The reason phrase as it was sent; mostly nobody's business (RFC 9112 §4).
    pub fn reason<'a>(&self, octets: &'a [u8]) -> &'a [u8] {
        self.reason.of(octets)
    }

    /// Whether the response is HTTP/1.0.
    pub fn is_http_1_0(&self) -> bool {
        self.http_1_0
    }

    /// All field lines.
    pub fn fields<'a>(&self, octets: &'a [u8]) -> FieldSection<'a> {
        fields(octets)
    }

    /// Whether the backend lets the connection be used again once the response is complete (RFC 9112
    /// §9.3). A body that is [`ResponseBody::UntilClose`] ends it in any case, and so does a 101.
    pub fn is_persistent(&self) -> bool {
        !self.close && (self.keep_alive || !self.http_1_0)
    }

    /// Content-Length: for an answer to HEAD or a 304, what the content of a GET would have been.
    pub fn content_length(&self) -> Option<u64> {
        self.content_length
    }

    /// The first protocol of a 101's Upgrade. Whether it is one that was asked for is the caller's to see to.
    pub fn upgrade<'a>(&self, octets: &'a [u8]) -> Option<&'a [u8]> {
        self.upgrade.get(octets).filter(|_| self.status == 101).and_then(|value| tokens(value).next())
    }

    /// What follows the head of an answer to `method` (RFC 9112 §6.3).
    ///
    /// # Errors
    /// [`ResponseError::UnexpectedContent`] for a 1xx or 204 that announces content: whoever believes it
    /// and whoever does not see two different responses.
    pub fn framing(&self, method: Method) -> Result<ResponseBody, ResponseError> {
        let announced = self.chunked || self.content_length.is_some_and(|length| length > 0);
        match self.status {
            // RFC 9112 §6.1, RFC 9110 §8.6. A length of zero is common, and nobody can mistake it.
            100..=199 | 204 if announced => Err(ResponseError::UnexpectedContent),
            100..=199 | 204 | 304 => Ok(ResponseBody::None),
            _ if method == Method::Head => Ok(ResponseBody::None),
            // RFC 9110 §9.3.6: framing fields are ignored.
            200..=299 if method == Method::Connect => Ok(ResponseBody::None),
            _ if self.chunked => Ok(ResponseBody::Chunked),
            _ => Ok(self.content_length.map_or(ResponseBody::UntilClose, ResponseBody::Length)),
        }
    }

    /// RFC 9112 §4: version, status and reason. The reason and the space before it may be missing, as some
    /// send it.
    fn status_line(&mut self, line: &[u8]) -> Result<(), ResponseError> {
        let Some((&[minor, b' '], rest)) = line.get(START.len()..).unwrap_or_default().split_first_chunk() else {
            return Err(control_fault(line).map_or(ResponseError::StatusLine, ResponseError::from));
        };
        if !minor.is_ascii_digit() {
            return Err(ResponseError::StatusLine);
        }
        let digits = rest.iter().position(|&octet| octet == b' ').unwrap_or(rest.len());
        if let Some(fault) = control_fault(line) {
            return Err(fault.into());
        }
        match rest[..digits] {
            [hundreds @ b'1'..=b'5', tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => {
                self.status =
                    [hundreds, tens, ones].iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
            }
            _ => return Err(ResponseError::Status),
        }
        self.http_1_0 = minor == b'0';
        let reason = START.len() + 2 + digits + 1;
        self.reason = Span::new(reason.min(line.len())..line.len());
        Ok(())
    }

    fn known_field(&mut self, name: &[u8], value: &[u8], span: Span) -> Result<(), ResponseError> {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match name.len() {
            7 if is("upgrade") && !self.names_protocol => {
                self.upgrade = span;
                self.names_protocol = tokens(value).next().is_some();
            }
            10 if is("connection") => self.connection(value),
            14 if is("content-length") => return self.set_content_length(value),
            17 if is("transfer-encoding") => return self.transfer_encoding(value),
            _ => {}
        }
        Ok(())
    }

    fn connection(&mut self, value: &[u8]) {
        for option in tokens(value) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            self.connection_upgrade |= option.eq_ignore_ascii_case(b"upgrade");
        }
    }

    /// RFC 9112 §6.3: one number. A list of equal ones could be taken for it, but only by whoever is sure
    /// that everyone else does.
    fn set_content_length(&mut self, value: &[u8]) -> Result<(), ResponseError> {
        if self.content_length.is_some() || value.contains(&b',') {
            return Err(ResponseError::RepeatedContentLength);
        }
        self.content_length = Some(decimal(value).ok_or(ResponseError::ContentLength)?);
        self.check_framing()
    }

    /// RFC 9112 §6.1: exactly chunked. No other coding was asked for: TE is not sent with one.
    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), ResponseError> {
        if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(ResponseError::TransferEncoding);
        }
        self.chunked = true;
        self.check_framing()
    }

    fn check_framing(&self) -> Result<(), ResponseError> {
        if self.chunked && self.http_1_0 {
            return Err(ResponseError::TransferEncodingInHttp10);
        }
        if self.chunked && self.content_length.is_some() {
            return Err(ResponseError::ContentLengthWithTransferEncoding);
        }
        Ok(())
    }
}

/// Whether a status line can start with `line`, of which more may come unless `is_whole`.
fn check_start(line: &[u8], is_whole: bool) -> Result<(), ResponseError> {
    match line.iter().zip(START).position(|(octet, expected)| octet != expected) {
        // A number behind the slash that is not ours.
        Some(at) if at == 5 && line[at].is_ascii_digit() => Err(ResponseError::UnsupportedVersion),
        Some(_) => Err(ResponseError::NotHttp),
        None if is_whole && line.len() < START.len() => Err(ResponseError::NotHttp),
        None => Ok(()),
    }
}
