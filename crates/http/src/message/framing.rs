//! Where a request's content ends (RFC 9112 §6.3). Whatever two readers could understand differently is
//! refused: RFC 9112 §11.2.

use super::error::RequestError;
use super::octets::{decimal, is_token, members, trim};
use super::request::Body;

/// What Content-Length and Transfer-Encoding have said so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Framing {
    length: Option<u64>,
    chunked: bool,
}

impl Framing {
    /// Takes the value of Content-Length. The same number twice counts once (RFC 9110 §8.6).
    pub(super) fn add_length(&mut self, value: &[u8]) -> Result<(), RequestError> {
        if self.chunked {
            return Err(RequestError::LengthWithCoding);
        }
        for number in value.split(|&octet| octet == b',') {
            let number = decimal(trim(number)).ok_or(RequestError::LengthMalformed)?;
            if self.length.replace(number).is_some_and(|before| before != number) {
                return Err(RequestError::LengthConflict);
            }
        }
        Ok(())
    }

    /// Takes the value of Transfer-Encoding. `chunked` must come last, once, and without parameters
    /// (RFC 9112 §7.1); the server knows no other coding.
    pub(super) fn add_coding(&mut self, value: &[u8]) -> Result<(), RequestError> {
        if self.length.is_some() {
            return Err(RequestError::LengthWithCoding);
        }
        let mut unknown = false;
        let mut count = 0;
        for coding in members(value) {
            if self.chunked {
                return Err(RequestError::CodingOrder);
            }
            self.chunked = coding.eq_ignore_ascii_case(b"chunked");
            unknown |= !self.chunked;
            if !is_coding(coding) {
                return Err(RequestError::CodingOrder);
            }
            count += 1;
        }
        match (count, unknown) {
            (0, _) => Err(RequestError::CodingOrder),
            (_, true) => Err(RequestError::CodingUnknown),
            (_, false) => Ok(()),
        }
    }

    pub(super) fn body(self) -> Body {
        match self.length {
            _ if self.chunked => Body::Chunked,
            Some(length) => Body::Length(length),
            None => Body::None,
        }
    }
}

/// A token, with or without parameters; `chunked` has none.
fn is_coding(coding: &[u8]) -> bool {
    match coding.iter().position(|&octet| octet == b';') {
        Some(at) => is_token(trim(&coding[..at])) && !trim(&coding[..at]).eq_ignore_ascii_case(b"chunked"),
        None => is_token(coding),
    }
}
