//! The cache's keys for what comes from backends.
//!
//! A key is an octet that no key of a file starts with, and the parts that the route adds: by them an object is found that
//! answers every request for its URI, or one that only says by which fields of the request the answers differ. Those
//! lie under the same key, a zero octet, and the values of these fields in one form (RFC 9111 §4.1). An object that was
//! compressed when it was stored lies under the key of the one that it was made of, an octet of one, and its coding; a part of one that
//! the cache has not as a whole, under that one's key and an octet of three.
//!
//! Routes see a path in its one form, decoded and with single slashes. A backend gets it as it was sent, and may take `/a//b`
//! and `/a/b` for two things; so that which was not sent in its one form is a part of the key, behind an octet of two.

use afpa_caching::{Fields, vary};

use crate::files::Coding;

/// No mask of codings has this value: see [`RequestKey`](crate::files::RequestKey).
const REMOTE: u8 = 0xff;
/// No part of a key starts with these.
const VARIANT: u8 = 0;
const CODING: u8 = 1;
const FORM: u8 = 2;
const PART: u8 = 3;

/// Whether a key is of something that came from a backend.
pub fn is_remote(key: &[u8]) -> bool {
    key.first() == Some(&REMOTE)
}

/// Starts a key in `into`; the route's parts follow.
pub fn start(into: &mut Vec<u8>) {
    into.clear();
    into.push(REMOTE);
}

/// Adds a path as it was sent, where that is not its one form.
pub(crate) fn append_form(path: &[u8], key: &mut Vec<u8>) {
    key.push(FORM);
    key.extend_from_slice(path);
}

/// Whether a response under `key` is about what `wanted` is the key of: in any form, variant and coding, whole or in part.
pub(crate) fn is_of(key: &[u8], wanted: &[u8]) -> bool {
    key.strip_prefix(wanted).is_some_and(|rest| matches!(rest.first(), None | Some(&VARIANT | &CODING | &FORM | &PART)))
}

/// The parts of a key that a route added.
pub fn parts(key: &[u8]) -> &[u8] {
    key.get(1..).unwrap_or_default()
}

/// Appends what tells an object in another coding from the object itself.
pub(crate) fn append_coding(coding: Coding, key: &mut Vec<u8>) {
    key.extend_from_slice(&[CODING, coding as u8]);
}

/// Appends what tells a part from the whole.
pub(crate) fn append_part(key: &mut Vec<u8>) {
    key.push(PART);
}

/// Appends what tells apart the answers that differ by the fields `names`. `false`: it would be too long, and the
/// answer is not stored.
pub fn append_variant(names: &[Box<[u8]>], fields: Fields<'_>, key: &mut Vec<u8>) -> bool {
    let start = key.len();
    key.push(VARIANT);
    let appended = vary::append_key(names.iter().map(|name| &name[..]), fields, key).is_ok();
    if !appended {
        key.truncate(start);
    }
    appended
}
