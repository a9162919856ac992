//! How a response gets into the cache: on a worker, when all of it has come.

use std::io::Write;
use std::sync::Arc;

use afpa_cache::{Body, Object};

use super::compression;
use super::details::Details;
use super::head::RemoteHead;
use super::part::{self, United};
use super::relay::Relay;
use crate::fetch::flight::Flight;
use crate::fetch::outgoing::Keeping;
use crate::files::Codings;
use crate::kept::Kept;
use crate::syntax::response;

/// The object, if there is room for it.
pub(crate) type Done = Option<Arc<Object<Kept>>>;

/// Where the content comes from.
pub(crate) enum Kind {
    /// The flight brought it.
    Came(Vec<Arc<[u8]>>),
    /// The object that was validated has it.
    Was(Arc<Object<Kept>>),
}

impl Kind {
    /// `None` if nothing is to be stored.
    pub(crate) fn of(keeping: &Keeping, head: &RemoteHead, flight: &Flight) -> Option<Kind> {
        if head.validates {
            return keeping.validates.clone().map(Kind::Was);
        }
        head.stored().filter(|_| flight.keeps())?;
        Some(Kind::Came(flight.chunks()))
    }

    fn length(&self) -> u64 {
        match self {
            Kind::Came(chunks) => length(chunks),
            Kind::Was(object) => object.body().payload_len(),
        }
    }

    pub(super) fn pieces(&self) -> Box<dyn Iterator<Item = &[u8]> + '_> {
        match self {
            Kind::Came(chunks) => Box::new(chunks.iter().map(|chunk| &chunk[..])),
            Kind::Was(object) => {
                let mut head = object.body().head_len();
                Box::new(object.body().fragments().iter().map(move |extent| {
                    let octets: &[u8] = extent;
                    let start = head.min(octets.len() as u64);
                    head -= start;
                    &octets[start as usize..]
                }))
            }
        }
    }
}

/// Stores a response under `key`, and beside it, if it varies, that it does. `since`: the purges before it was asked for; after
/// another one it is not stored, since it may be what that one was about.
pub(crate) fn store(relay: &Relay, key: &[u8], head: &RemoteHead, mut kind: Kind, policy: usize, since: u64) -> Done {
    let mut stored = match (&head.verdict, &kind) {
        (Some(Ok(stored)), _) => stored.clone(),
        // It answers those who wait, and is kept no longer.
        (Some(Err(_)), Kind::Was(object)) => {
            let Kept::Remote(details) = &**object.details() else { return None };
            details.invalidate();
            return Some(object.clone());
        }
        _ => return None,
    };
    let mut lines = head.kept_lines(&stored);
    let purges = relay.shared.purges.count();
    let (names, own_key) = (stored.vary.clone(), head.variant.as_deref().unwrap_or(key));
    let mut place = None;
    if stored.partial.is_some()
        && let Kind::Came(came) = kind
    {
        let beside = part::place(own_key);
        let united = United::of(relay, policy, &beside, &stored, came)?;
        if united.is_whole() {
            (stored.status, stored.partial, lines) = (200, None, part::as_whole(&lines));
            relay.cache.purge(&beside);
        } else {
            (stored.partial, place) = (Some(united.partial), Some(beside));
        }
        kind = Kind::Came(united.content);
    }
    let own_key = place.as_deref().unwrap_or(own_key);
    let length = kind.length();
    let compresses = relay.policies.get(policy).is_some_and(|policy| policy.compresses)
        && compression::applies(&stored, &lines, length);
    let mut alternates = Codings::NONE;
    if compresses {
        let whole = kind.pieces().collect::<Vec<_>>().concat();
        if names.is_empty() {
            compression::append_vary(&mut lines);
        }
        alternates = compression::store_alternates(relay, own_key, &stored, &lines, &whole, &head.cache_status, since);
    }
    let body = fill(relay, &lines, length, kind.pieces())?;
    let details = Details { alternates, ..Details::new(stored, lines, length, &head.cache_status, since) };
    if !names.is_empty() {
        mark_variants(relay, key, names);
    }
    let object = relay.cache.insert(own_key, body, Arc::new(Kept::Remote(Arc::new(details))));
    let Kept::Remote(details) = &**object.details() else { return None };
    if purges != since && relay.shared.purges.is_hit(own_key, details) {
        relay.cache.purge(own_key);
    }
    Some(object)
}

/// Octets of what came.
pub(super) fn length(chunks: &[Arc<[u8]>]) -> u64 {
    chunks.iter().map(|chunk| chunk.len() as u64).sum()
}

/// Says of a key that its answers vary by `names`.
fn mark_variants(relay: &Relay, key: &[u8], names: Box<[Box<[u8]>]>) {
    if let Some(object) = relay.cache.lookup(key)
        && let Kept::Varies(known) = &**object.details()
        && known[..] == names[..]
    {
        return;
    }
    if let Some(body) = fill(relay, b"", 0, std::iter::empty()) {
        relay.cache.insert(key, body, Arc::new(Kept::Varies(names)));
    }
}

/// The immutable head, which ends with the length and an empty line, and the content.
pub(super) fn fill<'a>(
    relay: &Relay,
    lines: &[u8],
    length: u64,
    content: impl Iterator<Item = &'a [u8]>,
) -> Option<Arc<Body>> {
    let mut filling = relay.cache.fill(&immutable_head(lines, length), length).ok()?;
    for octets in content {
        filling.write_all(octets).ok()?;
    }
    Some(filling.finish())
}

/// Without the status line, which is of the mutable head.
fn immutable_head(lines: &[u8], length: u64) -> Vec<u8> {
    let fields = lines.iter().position(|&octet| octet == b'\n').map_or(&[][..], |end| &lines[end + 1..]);
    let mut head = fields.to_vec();
    if !lines.is_empty() && !lines.starts_with(b"HTTP/1.1 204") {
        response::field_number(&mut head, "Content-Length", length);
    }
    response::end(&mut head);
    head
}
