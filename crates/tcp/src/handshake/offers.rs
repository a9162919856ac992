//! Which SYNs were answered with a cookie of late.

use std::time::Duration;

use afpa_wire::sequence::Sequence;

use crate::time::Time;

/// So long after a cookie, data without a valid one may belong to its handshake.
pub(crate) const UNCERTAIN: Duration = Duration::from_secs(10);
/// A newer offer takes the place of an older one.
const PLACES: usize = 4096;

/// Remembers, for a few seconds and by a hash, to whom cookies were sent. Only the first segment of a connection shows a
/// cookie's number. If it is overtaken by the second, that is not to be reset, as it is when the connection was never offered,
/// but dropped: it comes again. It acknowledges the cookie, so nobody else is spared the reset. In a flood the memory is too
/// short, and the reset is sent.
pub(crate) struct Offers {
    places: Vec<Offer>,
}

#[derive(Clone, Copy, Default)]
struct Offer {
    /// Part of the hash.
    tag: u32,
    /// In milliseconds.
    at: u32,
    /// The sequence number that was sent.
    cookie: Sequence,
}

impl Offers {
    pub(crate) fn new() -> Offers {
        Offers { places: vec![Offer::default(); PLACES] }
    }

    /// A cookie was sent.
    pub(crate) fn note(&mut self, now: Time, hash: u64, cookie: Sequence) {
        self.places[place(hash)] = Offer { tag: tag(hash), at: milliseconds(now), cookie };
    }

    /// The connection exists, or the offer is of no use any more.
    pub(crate) fn forget(&mut self, hash: u64) {
        if self.places[place(hash)].tag == tag(hash) {
            self.places[place(hash)] = Offer::default();
        }
    }

    /// Whether that cookie was sent of late.
    pub(crate) fn is_recent(&self, now: Time, hash: u64, cookie: Sequence) -> bool {
        let offer = self.places[place(hash)];
        let age = milliseconds(now).wrapping_sub(offer.at);
        offer.tag == tag(hash) && offer.cookie == cookie && u128::from(age) < UNCERTAIN.as_millis()
    }
}

fn place(hash: u64) -> usize {
    hash as usize % PLACES
}

/// Never zero, which is an empty place.
fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32 | 1
}

fn milliseconds(now: Time) -> u32 {
    (now.0 / 1_000_000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_is_remembered_for_a_while() {
        let (now, hash) = (Time(5_000_000_000), 0x1234_5678_9abc_def0);
        let cookie = Sequence(77);
        let mut offers = Offers::new();
        assert!(!offers.is_recent(now, hash, cookie));
        offers.note(now, hash, cookie);
        assert!(offers.is_recent(now, hash, cookie));
        assert!(!offers.is_recent(now, hash, cookie + 1));
        assert!(!offers.is_recent(now, hash ^ 1 << 63, cookie));
        assert!(!offers.is_recent(now.after(UNCERTAIN), hash, cookie));
        offers.forget(hash);
        assert!(!offers.is_recent(now, hash, cookie));
    }
}
