//! How a request's body is delimited (RFC 9112 §6): where smuggling starts, so nothing is guessed.

use super::error::RequestError;
use super::octet::{is_token, trimmed};

/// A request's body as its head announces it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Body {
    /// There is none.
    #[default]
    None,
    /// This many octets follow the head.
    Length(u64),
    /// Chunks follow the head, to be read with [`ChunkedDecoder`](super::ChunkedDecoder).
    Chunked,
}

/// What the framing fields of a request have said so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Framing {
    length: Option<u64>,
    transfer: Transfer,
}

/// The transfer codings listed so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Transfer {
    #[default]
    None,
    /// Only codings that are registered and not implemented here.
    Encoded,
    /// As before, then chunked.
    EncodedChunked,
    /// Chunked alone.
    Chunked,
}

impl Framing {
    /// Adds a Content-Length. A list of equal lengths is that length (RFC 9112 §6.3).
    pub(super) fn content_length(&mut self, value: &[u8]) -> Result<(), RequestError> {
        if self.transfer != Transfer::None {
            return Err(RequestError::ContentLengthWithTransferEncoding);
        }
        for element in value.split(|&octet| octet == b',') {
            let length = decimal(trimmed(element)).ok_or(RequestError::ContentLength)?;
            if self.length.is_some_and(|other| other != length) {
                return Err(RequestError::ConflictingContentLength);
            }
            self.length = Some(length);
        }
        Ok(())
    }

    /// Adds a Transfer-Encoding. Several fields are one list (RFC 9110 §5.3).
    pub(super) fn transfer_encoding(&mut self, value: &[u8], http_1_0: bool) -> Result<(), RequestError> {
        // RFC 9112 §6.1: the framing of such a message is faulty.
        if http_1_0 {
            return Err(RequestError::TransferEncodingInHttp10);
        }
        if self.length.is_some() {
            return Err(RequestError::ContentLengthWithTransferEncoding);
        }
        value.split(|&octet| octet == b',').try_for_each(|element| self.transfer_coding(trimmed(element)))
    }

    fn transfer_coding(&mut self, coding: &[u8]) -> Result<(), RequestError> {
        let name = trimmed(coding.split(|&octet| octet == b';').next().unwrap_or_default());
        if name.is_empty() || !name.iter().copied().all(is_token) {
            return Err(RequestError::TransferEncoding);
        }
        let chunked = name.eq_ignore_ascii_case(b"chunked");
        // RFC 9112 §7.1: chunked has no parameters.
        if chunked && name.len() != coding.len() {
            return Err(RequestError::TransferEncoding);
        }
        self.transfer = match (self.transfer, chunked) {
            (Transfer::Chunked | Transfer::EncodedChunked, _) => return Err(RequestError::ChunkedNotLast),
            (Transfer::None, true) => Transfer::Chunked,
            (Transfer::Encoded, true) => Transfer::EncodedChunked,
            (_, false) if is_registered(name) => Transfer::Encoded,
            (_, false) => return Err(RequestError::UnknownTransferCoding),
        };
        Ok(())
    }

    /// The body, when all fields are seen.
    pub(super) fn body(self) -> Result<Body, RequestError> {
        match (self.transfer, self.length) {
            (Transfer::None, None) => Ok(Body::None),
            (Transfer::None, Some(length)) => Ok(Body::Length(length)),
            (Transfer::Chunked, _) => Ok(Body::Chunked),
            // RFC 9112 §6.3: without chunked the end cannot be known.
            (Transfer::Encoded, _) => Err(RequestError::ChunkedNotLast),
            (Transfer::EncodedChunked, _) => Err(RequestError::UnknownTransferCoding),
        }
    }
}

/// The transfer codings of RFC 9112 §7.2 and their other names.
fn is_registered(name: &[u8]) -> bool {
    ["gzip", "x-gzip", "deflate", "compress", "x-compress"]
        .iter()
        .any(|registered| name.eq_ignore_ascii_case(registered.as_bytes()))
}

/// RFC 9110 §8.6: digits and nothing else, and a value that fits.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, &digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}
