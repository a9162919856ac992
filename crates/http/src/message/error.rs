//! What a client can do wrong in a request.

use std::fmt;

/// A fault in a request. The client is at fault in every case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum RequestError {
    /// The request line is not `method SP target SP version` (RFC 9112 §3).
    RequestLine,
    /// The method is a token that the server does not know (RFC 9110 §9.1).
    UnknownMethod,
    /// The target has none of the four forms, or not the one that its method needs (RFC 9112 §3.2).
    Target,
    /// The target is longer than the limit (RFC 9112 §3).
    TargetTooLong,
    /// The major version is not 1 (RFC 9110 §15.6.6).
    Version,
    /// A line ends in LF without CR.
    BareLineFeed,
    /// A CR is not followed by LF (RFC 9112 §2.2).
    BareCarriageReturn,
    /// A field's value has a NUL or another control octet (RFC 9110 §5.5).
    ControlOctet,
    /// A field line starts with white space: obsolete folding, or a line before the first field
    /// (RFC 9112 §2.2, §5.2).
    Folding,
    /// There is white space between a field's name and the colon (RFC 9112 §5.1).
    SpaceBeforeColon,
    /// A field's name is empty, is not a token, or has no colon after it (RFC 9112 §5).
    FieldName,
    /// The fields have more octets than the limit (RFC 6585 §5).
    FieldsTooLarge,
    /// There are more fields than the limit (RFC 6585 §5).
    TooManyFields,
    /// HTTP/1.1 without Host (RFC 9112 §3.2).
    HostMissing,
    /// Host more than once (RFC 9112 §3.2).
    HostRepeated,
    /// Host, or the target's authority, is no `host [":" port]` (RFC 9112 §3.2).
    HostMalformed,
    /// Content-Length is not a decimal number that fits 64 bits (RFC 9112 §6.3).
    LengthMalformed,
    /// Content-Length has different values (RFC 9112 §6.3).
    LengthConflict,
    /// Content-Length together with Transfer-Encoding (RFC 9112 §6.1).
    LengthWithCoding,
    /// Transfer-Encoding has something after `chunked`, or is malformed (RFC 9112 §6.3).
    CodingOrder,
    /// Transfer-Encoding has a coding that the server does not know (RFC 9112 §6.1).
    CodingUnknown,
    /// Expect has an expectation that the server does not know (RFC 9110 §10.1.1).
    Expectation,
    /// A chunk's size is not hexadecimal digits only, or does not fit 64 bits (RFC 9112 §7.1).
    ChunkSize,
    /// A chunk's line or data does not end in CRLF, or has a control octet (RFC 9112 §7.1).
    ChunkFraming,
    /// A chunk's extensions are longer than the limit (RFC 9112 §7.1.1).
    ChunkExtension,
    /// The trailer section is longer than the limit or malformed (RFC 9112 §7.1.2).
    Trailer,
    /// The path has a `%` without two hexadecimal digits (RFC 3986 §2.1).
    PathEncoding,
    /// The path has a NUL.
    PathNul,
    /// The path leads above its root.
    PathAboveRoot,
    /// The path has an encoded slash. No file can have that name, and to take it for a separator
    /// would let it past whoever compared the path before.
    PathSlash,
}

impl RequestError {
    /// The response's status: the one place where a fault becomes what goes on the wire.
    pub const fn status(self) -> u16 {
        use RequestError::*;
        match self {
            PathSlash => 404,
            TargetTooLong => 414,
            Expectation => 417,
            FieldsTooLarge | TooManyFields => 431,
            UnknownMethod | CodingUnknown => 501,
            Version => 505,
            RequestLine | Target | BareLineFeed | BareCarriageReturn | ControlOctet | Folding | SpaceBeforeColon
            | FieldName | HostMissing | HostRepeated | HostMalformed | LengthMalformed | LengthConflict
            | LengthWithCoding | CodingOrder | ChunkSize | ChunkFraming | ChunkExtension | Trailer | PathEncoding
            | PathNul | PathAboveRoot => 400,
        }
    }

    /// Whether the connection must close: it does unless the request's end is known all the same.
    pub const fn closes(self) -> bool {
        use RequestError::*;
        !matches!(self, PathEncoding | PathNul | PathAboveRoot | PathSlash)
    }

    const fn text(self) -> &'static str {
        use RequestError::*;
        match self {
            RequestLine => "the client's request line is malformed",
            UnknownMethod => "the client's method is not known here",
            Target => "the client's request target is malformed or does not fit its method",
            TargetTooLong => "the client's request target is too long",
            Version => "the client speaks another major version of HTTP",
            BareLineFeed => "the client ended a line with LF alone",
            BareCarriageReturn => "the client sent CR without LF",
            ControlOctet => "the client sent a control octet in a field",
            Folding => "the client sent a field line that starts with white space",
            SpaceBeforeColon => "the client sent white space before a field's colon",
            FieldName => "the client sent a malformed field name",
            FieldsTooLarge => "the client's fields are too large",
            TooManyFields => "the client sent too many fields",
            HostMissing => "the client sent no Host",
            HostRepeated => "the client sent Host more than once",
            HostMalformed => "the client's Host or authority is malformed",
            LengthMalformed => "the client's Content-Length is malformed",
            LengthConflict => "the client sent different values of Content-Length",
            LengthWithCoding => "the client sent Content-Length with Transfer-Encoding",
            CodingOrder => "the client's Transfer-Encoding is malformed or does not end in chunked",
            CodingUnknown => "the client's Transfer-Encoding is not known here",
            Expectation => "the client's Expect is not known here",
            ChunkSize => "the client's chunk size is malformed",
            ChunkFraming => "the client's chunk does not end where it must",
            ChunkExtension => "the client's chunk extensions are too long",
            Trailer => "the client's trailer section is too long or malformed",
            PathEncoding => "the client's path has a malformed percent-encoding",
            PathNul => "the client's path has a NUL",
            PathAboveRoot => "the client's path leads above its root",
            PathSlash => "the client's path has an encoded slash",
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for RequestError {}
