//! What is asked for most of late, in a fixed amount of memory.

/// How many keys an engine counts.
const PLACES: usize = 256;
/// Octets of a key that are kept.
const LONGEST: usize = 192;
/// One request in so many is looked at, on the average.
const GAP: u64 = 16;
/// After so many requests that were looked at, what was before counts half.
const HALF_LIFE: u32 = 16_384;

/// Counts the keys that are in demand (Metwally, Agrawal, El Abbadi, *Efficient Computation of Frequent and Top-k Elements
/// in Data Streams*, 2005): a key that is not known takes the place of the one that is asked for least, and its weight, so that
/// what is asked for more than once in 256 times is never missed. Of all requests only some are looked at.
pub(crate) struct TopKeys {
    /// Requests until one is looked at.
    left: u64,
    /// What gaps are drawn from: even ones would see only some of requests that come in a round.
    random: u64,
    looked_at: u32,
    hashes: Box<[u64; PLACES]>,
    /// How much each was in demand of late.
    weights: Box<[u64; PLACES]>,
    /// Requests for each, as far as that is known, since it has its place.
    requests: Box<[u64; PLACES]>,
    /// The keys, which have their memory from the start.
    keys: Vec<Vec<u8>>,
}

/// A key, and how often it was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopKey {
    /// Host, path and query.
    pub key: Box<[u8]>,
    /// Requests for it: an estimate, of all since it is among those that are asked for.
    pub requests: u64,
    /// How much it is asked for of late, compared with others.
    pub weight: u64,
}

impl Default for TopKeys {
    fn default() -> TopKeys {
        TopKeys {
            left: 1,
            random: 0x9e37_79b9_7f4a_7c15,
            looked_at: 0,
            hashes: Box::new([0; PLACES]),
            weights: Box::new([0; PLACES]),
            requests: Box::new([0; PLACES]),
            keys: (0..PLACES).map(|_| Vec::with_capacity(LONGEST)).collect(),
        }
    }
}

impl TopKeys {
    /// Whether this request is to be [counted](TopKeys::count).
    #[inline]
    pub(crate) fn is_due(&mut self) -> bool {
        self.left -= 1;
        self.left == 0
    }

    /// Counts a request for what `parts` are together, and decides which is the next to be counted. Allocates nothing.
    #[cold]
    pub(crate) fn count(&mut self, parts: &[&[u8]]) {
        self.left = self.gap();
        self.looked_at += 1;
        if self.looked_at == HALF_LIFE {
            self.looked_at = 0;
            self.weights.iter_mut().for_each(|weight| *weight /= 2);
        }
        let hash = hash(parts);
        let known = self.hashes.iter().position(|&own| own == hash).filter(|&place| self.weights[place] > 0);
        let place = known.unwrap_or_else(|| self.replace(hash, parts));
        self.weights[place] += GAP;
        self.requests[place] += GAP;
    }

    /// All that are counted, in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = TopKey> {
        let places = (0..PLACES).filter(|&place| self.weights[place] > 0);
        places.map(|place| TopKey {
            key: self.keys[place].as_slice().into(),
            requests: self.requests[place],
            weight: self.weights[place],
        })
    }

    /// The place of the one that is asked for least becomes another's.
    fn replace(&mut self, hash: u64, parts: &[&[u8]]) -> usize {
        let least = (0..PLACES).min_by_key(|&place| self.weights[place]).unwrap_or(0);
        self.hashes[least] = hash;
        self.requests[least] = 0;
        let key = &mut self.keys[least];
        key.clear();
        for part in parts {
            let room = LONGEST - key.len();
            key.extend_from_slice(&part[..part.len().min(room)]);
        }
        least
    }

    /// 1 to 31, so 16 on the average (Marsaglia, *Xorshift RNGs*, 2003).
    fn gap(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        1 + self.random % (2 * GAP - 1)
    }
}

/// FNV-1a: who chooses keys so that they meet spoils nothing but what an operator is told about his own.
fn hash(parts: &[&[u8]]) -> u64 {
    let octets = parts.iter().copied().flatten();
    octets.fold(0xcbf2_9ce4_8422_2325, |hash, octet| (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(top: &mut TopKeys, key: &str) {
        if top.is_due() {
            top.count(&[b"host", key.as_bytes()]);
        }
    }

    fn sorted(top: &TopKeys) -> Vec<TopKey> {
        let mut all: Vec<_> = top.all().collect();
        all.sort_by_key(|key| std::cmp::Reverse(key.weight));
        all
    }

    #[test]
    fn what_is_in_demand_is_found_among_many_that_are_not() {
        let mut top = TopKeys::default();
        for round in 0..100_000 {
            // A round of 16 hides nothing from gaps that vary.
            match round % 16 {
                0..4 => ask(&mut top, "/first"),
                4..6 => ask(&mut top, "/second"),
                _ => ask(&mut top, &format!("/{round}")),
            }
        }
        let found = sorted(&top);
        assert_eq!((&*found[0].key, &*found[1].key), (&b"host/first"[..], &b"host/second"[..]));
        for (key, expected) in [(&found[0], 25_000), (&found[1], 12_500)] {
            assert!(key.requests.abs_diff(expected) < expected / 5, "{} of {expected}", key.requests);
        }
        assert_eq!(found.len(), PLACES);
    }

    #[test]
    fn what_was_in_demand_gives_way() {
        let mut top = TopKeys::default();
        let requests = u64::from(HALF_LIFE) * GAP;
        (0..2 * requests).for_each(|_| ask(&mut top, "/old"));
        (0..2 * requests).for_each(|_| ask(&mut top, "/new"));
        let found = sorted(&top);
        assert_eq!(&*found[0].key, b"host/new");
        assert!(found[1].requests > requests, "what is counted is not forgotten: {}", found[1].requests);
    }

    #[test]
    fn a_long_key_is_cut() {
        let mut top = TopKeys::default();
        top.count(&[&[b'h'; LONGEST - 2], b"/abc", b"?d"]);
        let key = top.all().next().unwrap();
        assert_eq!((key.key.len(), key.requests), (LONGEST, GAP));
        assert!(key.key.ends_with(b"h/a"));
    }
}
