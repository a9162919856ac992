//! What is known of an exchange with an origin.

use crate::fields::Fields;

/// A request as it was sent to the origin, or would be.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// As it was written: methods are case-sensitive.
    pub method: &'a [u8],
    /// The absolute URI that is asked for, as the cache's keys have it.
    pub uri: &'a [u8],
    /// The client's fields.
    pub fields: Fields<'a>,
}

/// The head of a response, as it arrived.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// The status code.
    pub status: u16,
    /// All fields, those between two hops included.
    pub fields: Fields<'a>,
}

/// When the exchange took place, by the cache's clock, in seconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// When the request was sent.
    pub requested: u64,
    /// When the head of the response had arrived.
    pub received: u64,
}

/// Whether a method changes nothing (RFC 9110 §9.2.1, the registry of methods). One that is unknown might.
pub fn is_safe(method: &[u8]) -> bool {
    const SAFE: [&[u8]; 9] =
        [b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PROPFIND", b"REPORT", b"SEARCH", b"QUERY", b"PRI"];
    SAFE.contains(&method)
}
