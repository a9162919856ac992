//! Parts of a representation in the cache (RFC 9111 §3.3): one lies beside the place of the whole, grows where others meet it
//! (§3.4), and becomes the whole when nothing is missing.

use std::sync::Arc;

use afpa_cache::Object;
use afpa_caching::{Partial, Stored};

use super::details::{Details, Effect};
use super::key;
use super::relay::Relay;
use super::store::Kind;
use crate::kept::Kept;
use crate::syntax::{fields, response};

/// What a part that came makes together with the one that the cache has.
pub(super) struct United {
    /// The octets that there are now.
    pub(super) partial: Partial,
    /// What they are.
    pub(super) content: Vec<Arc<[u8]>>,
}

impl United {
    /// Of a part that came, which is as long as it says it is, and what lies beside the place of `own_key`. None if it is not.
    pub(super) fn of(
        relay: &Relay,
        policy: usize,
        own_key: &[u8],
        stored: &Stored,
        came: Vec<Arc<[u8]>>,
    ) -> Option<United> {
        let partial = stored.partial?;
        if length(&came) != partial.last - partial.first + 1 {
            return None;
        }
        let alone = United { partial, content: came };
        let Some(had) = meeting(relay, own_key, stored) else { return Some(alone) };
        let Kept::Remote(details) = &**had.object.details() else { return Some(alone) };
        let union = Partial {
            first: partial.first.min(had.partial.first),
            last: partial.last.max(had.partial.last),
            complete: partial.complete,
        };
        if details.length != had.partial.last - had.partial.first + 1
            || !relay.may_hold(policy, union.last - union.first + 1)
        {
            return Some(alone);
        }
        // The newer octets count; they are the same, if the origin's entity tags are worth anything.
        let kept = Kind::Was(had.object.clone()).pieces().collect::<Vec<_>>().concat();
        let before = partial.first.saturating_sub(had.partial.first) as usize;
        let after = had.partial.last.saturating_sub(partial.last) as usize;
        let mut content = vec![Arc::from(&kept[..before])];
        content.extend(alone.content);
        content.push(Arc::from(&kept[kept.len() - after..]));
        Some(United { partial: union, content })
    }

    /// Whether nothing is missing.
    pub(super) fn is_whole(&self) -> bool {
        self.partial.first == 0 && self.partial.complete == Some(self.partial.last + 1)
    }
}

/// The key beside `own_key` under which a part lies.
pub(super) fn place(own_key: &[u8]) -> Vec<u8> {
    let mut place = own_key.to_vec();
    key::append_part(&mut place);
    place
}

/// The head of a whole, of that of a part (RFC 9111 §3.4).
pub(super) fn as_whole(lines: &[u8]) -> Vec<u8> {
    let mut head = Vec::with_capacity(lines.len());
    response::status_line(&mut head, 200);
    for (name, value) in fields(lines).filter(|(name, _)| !name.eq_ignore_ascii_case(b"content-range")) {
        response::field_octets(&mut head, name, value);
    }
    head
}

struct Had {
    object: Arc<Object<Kept>>,
    partial: Partial,
}

/// The part that the cache has, if it can be put together with one that came: it is of the same representation, as a strong entity
/// tag says (RFC 9110 §15.3.7.3), it is not out of date, and no octet is missing between them.
fn meeting(relay: &Relay, own_key: &[u8], stored: &Stored) -> Option<Had> {
    let place = place(own_key);
    let object = relay.cache.lookup(&place)?;
    let Kept::Remote(details) = &**object.details() else { return None };
    let details: &Details = details;
    let (came, partial) = (stored.partial?, details.stored.partial?);
    let tag = stored.validators.etag.as_deref().filter(|tag| tag.starts_with(b"\""))?;
    let is_same = details.stored.validators.etag.as_deref() == Some(tag) && partial.complete == came.complete;
    let meets = came.first <= partial.last + 1 && partial.first <= came.last + 1;
    let is_good = !relay.shared.purges.is_hit(&place, details) && !details.has(Effect::Outdates);
    (is_same && meets && is_good).then(|| Had { object: object.clone(), partial })
}

fn length(content: &[Arc<[u8]>]) -> u64 {
    content.iter().map(|piece| piece.len() as u64).sum()
}
