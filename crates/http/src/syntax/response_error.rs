//! What a backend can do wrong.

use std::fmt;

use super::error::RequestError;

/// A response that breaks a rule of HTTP, or a limit of ours. Always the backend's fault: the client is told
/// 502 (RFC 9110 §15.6.3), and the connection to the backend is of no more use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResponseError {
    /// What came does not start as HTTP does: HTTP/0.9, TLS, or another protocol (RFC 9112 §4).
    NotHttp,
    /// A version of HTTP that is not spoken here (RFC 9112 §2.3).
    UnsupportedVersion,
    /// A status line that is not version, status and reason (RFC 9112 §4).
    StatusLine,
    /// A status that is not three digits, or not in 100 to 599 (RFC 9110 §15).
    Status,
    /// A line that ends in LF without CR (RFC 9112 §2.2).
    BareLineFeed,
    /// A CR that no LF follows (RFC 9112 §2.2).
    BareCarriageReturn,
    /// A NUL octet (RFC 9110 §5.5).
    Nul,
    /// Another control character where none may be (RFC 9110 §5.5).
    ControlCharacter,
    /// A head longer than the limit.
    HeadTooLarge,
    /// More fields than the limit.
    TooManyFields,
    /// A field line that starts with white space. RFC 9112 §5.2 lets a proxy unfold it or refuse it.
    FoldedField,
    /// White space between a field's name and its colon. RFC 9112 §5.1 has a proxy remove it; a backend that
    /// sends it is not one to guess about.
    SpaceBeforeColon,
    /// A field line without a colon (RFC 9112 §5).
    MissingColon,
    /// A field name that is empty or not a token (RFC 9110 §5.1).
    FieldName,
    /// A Content-Length that is not one decimal number, or does not fit 64 bits (RFC 9110 §8.6).
    ContentLength,
    /// More than one Content-Length, be they equal (RFC 9112 §6.3).
    RepeatedContentLength,
    /// Content-Length together with Transfer-Encoding (RFC 9112 §6.3).
    ContentLengthWithTransferEncoding,
    /// A Transfer-Encoding that is not exactly one chunked (RFC 9112 §6.1).
    TransferEncoding,
    /// Transfer-Encoding in HTTP/1.0 (RFC 9112 §6.1).
    TransferEncodingInHttp10,
    /// Content announced with a status that has none (RFC 9112 §6.1, RFC 9110 §8.6).
    UnexpectedContent,
    /// A 101 that does not say to what, or a switch that was not asked for (RFC 9110 §7.8).
    Upgrade,
    /// A chunk that is malformed (RFC 9112 §7.1).
    Chunk,
    /// A trailer section that is malformed (RFC 9112 §7.1.2).
    Trailer,
    /// A trailer section longer than is tolerated (RFC 9112 §7.1.2).
    TrailerTooLarge,
    /// More options in Connection than are tolerated (RFC 9110 §7.6.1).
    TooManyConnectionOptions,
    /// The connection ended before the response did (RFC 9112 §8).
    Incomplete,
}

impl ResponseError {
    /// The status that tells the client.
    pub const fn status(self) -> u16 {
        502
    }

    /// A short word for logs, and for what Cache-Status has as detail (RFC 9211 §2.8): a token.
    pub const fn word(self) -> &'static str {
        match self {
            ResponseError::NotHttp => "not-http",
            ResponseError::UnsupportedVersion => "version",
            ResponseError::StatusLine => "status-line",
            ResponseError::Status => "status",
            ResponseError::BareLineFeed => "bare-lf",
            ResponseError::BareCarriageReturn => "bare-cr",
            ResponseError::Nul => "nul",
            ResponseError::ControlCharacter => "control-character",
            ResponseError::HeadTooLarge => "head-too-large",
            ResponseError::TooManyFields => "too-many-fields",
            ResponseError::FoldedField => "folded-field",
            ResponseError::SpaceBeforeColon => "space-before-colon",
            ResponseError::MissingColon => "no-colon",
            ResponseError::FieldName => "field-name",
            ResponseError::ContentLength => "content-length",
            ResponseError::RepeatedContentLength => "content-length-repeated",
            ResponseError::ContentLengthWithTransferEncoding => "framing-conflict",
            ResponseError::TransferEncoding => "transfer-encoding",
            ResponseError::TransferEncodingInHttp10 => "transfer-encoding-in-1.0",
            ResponseError::UnexpectedContent => "unexpected-content",
            ResponseError::Upgrade => "upgrade",
            ResponseError::Chunk => "chunk",
            ResponseError::Trailer => "trailer",
            ResponseError::TrailerTooLarge => "trailer-too-large",
            ResponseError::TooManyConnectionOptions => "connection-options",
            ResponseError::Incomplete => "incomplete",
        }
    }

    const fn text(self) -> &'static str {
        match self {
            ResponseError::NotHttp => "something that is not HTTP/1",
            ResponseError::UnsupportedVersion => "a version of HTTP that was not asked for",
            ResponseError::StatusLine => "a malformed status line",
            ResponseError::Status => "a status that is not in 100 to 599",
            ResponseError::BareLineFeed => "a line that ends without a carriage return",
            ResponseError::BareCarriageReturn => "a carriage return without a line feed",
            ResponseError::Nul => "a NUL octet in the head",
            ResponseError::ControlCharacter => "a control character in the head",
            ResponseError::HeadTooLarge => "a response head that is too large",
            ResponseError::TooManyFields => "too many fields",
            ResponseError::FoldedField => "a field line that starts with white space",
            ResponseError::SpaceBeforeColon => "a field name with white space before its colon",
            ResponseError::MissingColon => "a field line without a colon",
            ResponseError::FieldName => "a malformed field name",
            ResponseError::ContentLength => "a malformed Content-Length",
            ResponseError::RepeatedContentLength => "more than one Content-Length",
            ResponseError::ContentLengthWithTransferEncoding => "both Content-Length and Transfer-Encoding",
            ResponseError::TransferEncoding => "a Transfer-Encoding that is not exactly chunked",
            ResponseError::TransferEncodingInHttp10 => "Transfer-Encoding in HTTP/1.0",
            ResponseError::UnexpectedContent => "content with a status that has none",
            ResponseError::Upgrade => "a switch of protocols that is malformed or was not asked for",
            ResponseError::Chunk => "a malformed chunk",
            ResponseError::Trailer => "a malformed trailer section",
            ResponseError::TrailerTooLarge => "a trailer section that is too large",
            ResponseError::TooManyConnectionOptions => "too many options in Connection",
            ResponseError::Incomplete => "only a part of its response",
        }
    }
}

/// The same fault, made by the backend: what the parts that both directions share find.
impl From<RequestError> for ResponseError {
    fn from(fault: RequestError) -> ResponseError {
        match fault {
            RequestError::BareLineFeed => ResponseError::BareLineFeed,
            RequestError::BareCarriageReturn => ResponseError::BareCarriageReturn,
            RequestError::Nul => ResponseError::Nul,
            RequestError::HeadTooLarge => ResponseError::HeadTooLarge,
            RequestError::TooManyFields => ResponseError::TooManyFields,
            RequestError::FoldedField => ResponseError::FoldedField,
            RequestError::SpaceBeforeColon => ResponseError::SpaceBeforeColon,
            RequestError::MissingColon => ResponseError::MissingColon,
            RequestError::FieldName => ResponseError::FieldName,
            RequestError::Trailer => ResponseError::Trailer,
            RequestError::TrailerTooLarge => ResponseError::TrailerTooLarge,
            RequestError::TooManyConnectionOptions => ResponseError::TooManyConnectionOptions,
            RequestError::ChunkSize
            | RequestError::ChunkSizeOverflow
            | RequestError::ChunkEnd
            | RequestError::ChunkExtension => ResponseError::Chunk,
            _ => ResponseError::ControlCharacter,
        }
    }
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the backend sent {}", self.text())
    }
}

impl std::error::Error for ResponseError {}
