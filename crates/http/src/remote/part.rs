//! Parts of a representation in the cache (RFC 9111 §3.3): one lies beside the place of the whole, grows where others meet it
//! (§3.4), and becomes the whole when nothing is missing.

use std::sync::Arc;

use afpa_cache::Object;
use afpa_caching::{Partial, Stored};

use super::details::Effect;
use super::key;
use super::relay::Relay;
use super::store::{self, Kind};
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
    /// Of a part that came, which is as long as it says it is, and what lies at its `place`. None if it is not.
    pub(super) fn of(
        relay: &Relay,
        policy: usize,
        place: &[u8],
        stored: &Stored,
        came: Vec<Arc<[u8]>>,
    ) -> Option<United> {
        let partial = stored.partial?;
        if store::length(&came) != partial.length() {
            return None;
        }
        let alone = United { partial, content: came };
        let Some((had, object)) = meeting(relay, place, stored) else { return Some(alone) };
        let union = Partial { first: partial.first.min(had.first), last: partial.last.max(had.last), ..partial };
        if !relay.may_hold(policy, union.length()) {
            return Some(alone);
        }
        // The newer octets count; they are the same, if the origin's entity tags are worth anything.
        let kept = Kind::Was(object).pieces().collect::<Vec<_>>().concat();
        let before = partial.first.saturating_sub(had.first) as usize;
        let after = had.last.saturating_sub(partial.last) as usize;
        let mut content = vec![Arc::from(&kept[..before])];
        content.extend(alone.content);
        content.push(Arc::from(&kept[kept.len() - after..]));
        Some(United { partial: union, content })
    }

    /// Whether nothing is missing.
    pub(super) fn is_whole(&self) -> bool {
        self.partial.complete == Some(self.partial.length())
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

/// The part at this place, if it can be put together with one that came: it is of the same representation, as a strong entity
/// tag says (RFC 9110 §15.3.7.3), it is not out of date, and no octet is missing between them.
fn meeting(relay: &Relay, place: &[u8], stored: &Stored) -> Option<(Partial, Arc<Object<Kept>>)> {
    let object = relay.cache.lookup(place)?;
    let Kept::Remote(details) = &**object.details() else { return None };
    let (came, had) = (stored.partial?, details.stored.partial?);
    let tag = stored.validators.strong_tag()?;
    let is_same = details.stored.validators.strong_tag() == Some(tag) && had.complete == came.complete;
    let meets = came.first <= had.octets().end && had.first <= came.octets().end;
    let is_good = !relay.shared.purges.is_hit(place, details) && !details.has(Effect::Outdates);
    (is_same && meets && is_good).then(|| (had, object.clone()))
}
