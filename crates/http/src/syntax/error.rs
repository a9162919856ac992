//! What a client can do wrong.

use std::fmt;

/// A request that breaks a rule of HTTP, or a limit of ours. Always the client's fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequestError {
    /// More empty lines before the request line than are tolerated (RFC 9112 §2.2).
    BlankLines,
    /// A line that ends in LF without CR (RFC 9112 §2.2).
    BareLineFeed,
    /// A CR that no LF follows (RFC 9112 §2.2).
    BareCarriageReturn,
    /// A NUL octet (RFC 9110 §5.5).
    Nul,
    /// Another control character where none may be (RFC 9110 §5.5).
    ControlCharacter,
    /// The parts of the request line are not separated by exactly one space (RFC 9112 §3).
    RequestLineSpaces,
    /// A request line that is not method, target and version (RFC 9112 §3).
    RequestLine,
    /// A method that is none of those that HTTP servers know (RFC 9110 §15.6.2).
    UnknownMethod,
    /// A request target longer than the limit (RFC 9110 §15.5.15).
    TargetTooLong,
    /// A request target in none of the four forms, or not in a form for its method (RFC 9112 §3.2).
    Target,
    /// A version that is not written as a version (RFC 9112 §2.3).
    Version,
    /// A version of HTTP that is not spoken here (RFC 9110 §15.6.6).
    UnsupportedVersion,
    /// A head longer than the limit (RFC 6585 §5).
    HeadTooLarge,
    /// More fields than the limit (RFC 6585 §5).
    TooManyFields,
    /// A field line that continues the one before it, or a first one that starts with white space
    /// (RFC 9112 §5.2, §2.2).
    FoldedField,
    /// White space between a field's name and its colon (RFC 9112 §5.1).
    SpaceBeforeColon,
    /// A field line without a colon (RFC 9112 §5).
    MissingColon,
    /// A field name that is empty or not a token (RFC 9110 §5.1).
    FieldName,
    /// HTTP/1.1 without Host (RFC 9112 §3.2).
    MissingHost,
    /// More than one Host (RFC 9112 §3.2).
    RepeatedHost,
    /// A Host that is not a host with an optional port (RFC 9112 §3.2).
    Host,
    /// A Content-Length that is not a decimal number, or does not fit 64 bits (RFC 9110 §8.6).
    ContentLength,
    /// Content-Lengths that disagree (RFC 9112 §6.3).
    ConflictingContentLength,
    /// Content-Length together with Transfer-Encoding (RFC 9112 §6.1).
    ContentLengthWithTransferEncoding,
    /// A Transfer-Encoding that is not a list of codings (RFC 9112 §6.1).
    TransferEncoding,
    /// A Transfer-Encoding whose last coding is not chunked, or that has it twice (RFC 9112 §6.3).
    ChunkedNotLast,
    /// A transfer coding that is not understood (RFC 9112 §6.1).
    UnknownTransferCoding,
    /// Transfer-Encoding in HTTP/1.0 (RFC 9112 §6.1).
    TransferEncodingInHttp10,
    /// An expectation other than 100-continue (RFC 9110 §10.1.1).
    UnknownExpectation,
    /// A percent sign in the path that two hexadecimal digits do not follow (RFC 3986 §2.1).
    PercentEncoding,
    /// An encoded NUL in the path.
    NulInPath,
    /// An encoded slash in the path: it would be part of a name, and no file's name has one.
    EncodedSlash,
    /// A chunk whose size is not hexadecimal digits and nothing else (RFC 9112 §7.1).
    ChunkSize,
    /// A chunk whose size does not fit 64 bits (RFC 9112 §7.1).
    ChunkSizeOverflow,
    /// Chunk data that CRLF does not follow, or a chunk's line that it does not end (RFC 9112 §7.1).
    ChunkEnd,
    /// A chunk extension with a control character, or more of them than are tolerated (RFC 9112 §7.1.1).
    ChunkExtension,
    /// A trailer section that is not made of field lines (RFC 9112 §7.1.2).
    Trailer,
    /// A trailer section longer than is tolerated (RFC 9112 §7.1.2).
    TrailerTooLarge,
    /// More options in Connection than are tolerated, in a request that is passed on (RFC 9110 §7.6.1).
    TooManyConnectionOptions,
}

impl RequestError {
    /// The status that answers it.
    pub const fn status(self) -> u16 {
        match self {
            RequestError::EncodedSlash => 404,
            RequestError::TargetTooLong => 414,
            RequestError::UnknownExpectation => 417,
            RequestError::HeadTooLarge | RequestError::TooManyFields | RequestError::TrailerTooLarge => 431,
            RequestError::UnknownMethod | RequestError::UnknownTransferCoding => 501,
            RequestError::UnsupportedVersion => 505,
            _ => 400,
        }
    }

    /// Whether the connection must close: it must unless the request's end is known, which it is
    /// only for a fault that is found in the path of a complete head.
    pub const fn closes(self) -> bool {
        !matches!(self, RequestError::PercentEncoding | RequestError::NulInPath | RequestError::EncodedSlash)
    }

    const fn text(self) -> &'static str {
        match self {
            RequestError::BlankLines => "too many empty lines before its request",
            RequestError::BareLineFeed => "a line that ends without a carriage return",
            RequestError::BareCarriageReturn => "a carriage return without a line feed",
            RequestError::Nul => "a NUL octet in the head",
            RequestError::ControlCharacter => "a control character in the head",
            RequestError::RequestLineSpaces => "a request line with more white space than single spaces",
            RequestError::RequestLine => "a request line that is not method, target and version",
            RequestError::UnknownMethod => "a method that is not known here",
            RequestError::TargetTooLong => "a request target that is too long",
            RequestError::Target => "a malformed request target",
            RequestError::Version => "a malformed HTTP version",
            RequestError::UnsupportedVersion => "a version of HTTP that is not spoken here",
            RequestError::HeadTooLarge => "a request head that is too large",
            RequestError::TooManyFields => "too many fields",
            RequestError::FoldedField => "a field line that starts with white space",
            RequestError::SpaceBeforeColon => "a field name with white space before its colon",
            RequestError::MissingColon => "a field line without a colon",
            RequestError::FieldName => "a malformed field name",
            RequestError::MissingHost => "no Host",
            RequestError::RepeatedHost => "more than one Host",
            RequestError::Host => "a malformed Host",
            RequestError::ContentLength => "a malformed Content-Length",
            RequestError::ConflictingContentLength => "several Content-Lengths that differ",
            RequestError::ContentLengthWithTransferEncoding => "both Content-Length and Transfer-Encoding",
            RequestError::TransferEncoding => "a malformed Transfer-Encoding",
            RequestError::ChunkedNotLast => "a Transfer-Encoding that does not end in one chunked",
            RequestError::UnknownTransferCoding => "a transfer coding that is not known here",
            RequestError::TransferEncodingInHttp10 => "Transfer-Encoding in HTTP/1.0",
            RequestError::UnknownExpectation => "an expectation that is not known here",
            RequestError::PercentEncoding => "a malformed percent-encoding in the path",
            RequestError::NulInPath => "an encoded NUL in the path",
            RequestError::EncodedSlash => "an encoded slash in the path",
            RequestError::ChunkSize => "a malformed chunk size",
            RequestError::ChunkSizeOverflow => "a chunk size that is too large",
            RequestError::ChunkEnd => "a chunk without the CRLF that ends it",
            RequestError::ChunkExtension => "malformed or too many chunk extensions",
            RequestError::Trailer => "a malformed trailer section",
            RequestError::TrailerTooLarge => "a trailer section that is too large",
            RequestError::TooManyConnectionOptions => "too many options in Connection",
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the client sent {}", self.text())
    }
}

impl std::error::Error for RequestError {}
