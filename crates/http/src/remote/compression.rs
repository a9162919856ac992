//! Compression when a response is stored: once, on a worker, for all who get it compressed.

use std::sync::Arc;

use afpa_caching::Stored;

use super::details::Details;
use super::relay::Relay;
use super::store::fill;
use crate::files::{Coding, Codings, MAX_COMPRESSED, MIN_COMPRESSED, compress, tag};
use crate::kept::Kept;
use crate::syntax::{content_type, fields, response};

/// What is made: one for nearly every browser, and one for everybody else.
const CODINGS: [Coding; 2] = [Coding::Brotli, Coding::Gzip];

/// Whether a response whose head has these `lines` gains by it, and may be changed (RFC 9110 §7.7).
pub(super) fn applies(stored: &Stored, lines: &[u8], length: u64) -> bool {
    let named = |name: &str| fields(lines).first(name);
    let is_text = named("content-type").and_then(|value| std::str::from_utf8(value).ok());
    stored.status == 200
        && !stored.no_transform
        && (MIN_COMPRESSED..=MAX_COMPRESSED).contains(&length)
        && named("content-encoding").is_none()
        && named("content-range").is_none()
        && is_text.is_some_and(content_type::compressible)
}

/// Stores `contents` in other codings beside the object of `key`. The codings in which it lies there now.
pub(super) fn store_alternates(
    relay: &Relay,
    key: &[u8],
    stored: &Stored,
    lines: &[u8],
    contents: &[u8],
    cache_status: &[u8],
    since: u64,
) -> Codings {
    let mut alternates = Codings::NONE;
    for coding in CODINGS {
        let Some(encoded) = compress(coding, contents) else { continue };
        let mut stored = stored.clone();
        let lines = encoded_lines(&mut stored, lines, coding);
        let length = encoded.len() as u64;
        let Some(body) = fill(relay, &lines, length, std::iter::once(&encoded[..])) else { continue };
        let details = Details::new(stored, lines, length, cache_status, since);
        let mut own_key = key.to_vec();
        super::key::append_coding(coding, &mut own_key);
        relay.cache.insert(&own_key, body, Arc::new(Kept::Remote(Arc::new(details))));
        alternates = alternates.with(coding);
    }
    alternates
}

/// The head of what was encoded: its own coding, and its own entity tag if that is a strong one (RFC 9110 §8.8.3.3).
fn encoded_lines(stored: &mut Stored, lines: &[u8], coding: Coding) -> Vec<u8> {
    let (start, _) = lines.split_at(lines.iter().position(|&octet| octet == b'\n').map_or(0, |end| end + 1));
    let mut head = start.to_vec();
    for (name, value) in fields(lines) {
        if name.eq_ignore_ascii_case(b"etag") && value.starts_with(b"\"") && value.len() > 1 {
            let tag = [&value[..value.len() - 1], b"-", tag(coding).as_bytes(), b"\""].concat();
            response::field_octets(&mut head, name, &tag);
            if stored.validators.etag.is_some() {
                stored.validators.etag = Some(tag.into());
            }
        } else {
            response::field_octets(&mut head, name, value);
        }
    }
    if let Some(token) = coding.token() {
        response::field(&mut head, "Content-Encoding", token);
    }
    head
}

/// Says in a head that the answer depends on what codings a client accepts.
pub(super) fn append_vary(lines: &mut Vec<u8>) {
    response::field(lines, "Vary", "Accept-Encoding");
}
