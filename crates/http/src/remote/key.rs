//! The cache's keys for what comes from backends.
//!
//! A key is an octet that no key of a file starts with, and the parts that the route adds: by them an object is found that
//! answers every request for its URI, or one that only says by which fields of the request the answers differ. Those
//! lie under the same key, a zero octet, and the values of these fields in one form (RFC 9111 §4.1). An object that was
//! compressed when it was stored lies under the key of the one that it was made of, an octet of one, and its coding.

use afpa_caching::{Fields, vary};

use crate::files::Coding;

/// No mask of codings has this value: see [`RequestKey`](crate::files::RequestKey).
const REMOTE: u8 = 0xff;

/// Whether a key is of something that came from a backend.
pub fn is_remote(key: &[u8]) -> bool {
    key.first() == Some(&REMOTE)
}

/// Starts a key in `into`; the route's parts follow.
pub fn start(into: &mut Vec<u8>) {
    into.clear();
    into.push(REMOTE);
}

/// The parts of a key that a route added.
pub fn parts(key: &[u8]) -> &[u8] {
    key.get(1..).unwrap_or_default()
}

/// Appends what tells an object in another coding from the object itself.
pub(crate) fn append_coding(coding: Coding, key: &mut Vec<u8>) {
    key.extend_from_slice(&[1, coding as u8]);
}

/// Appends what tells apart the answers that differ by the fields `names`. `false`: it would be too long, and the
/// answer is not stored.
pub fn append_variant(names: &[Box<[u8]>], fields: Fields<'_>, key: &mut Vec<u8>) -> bool {
    let start = key.len();
    key.push(0);
    let appended = vary::append_key(names.iter().map(|name| &name[..]), fields, key).is_ok();
    if !appended {
        key.truncate(start);
    }
    appended
}
