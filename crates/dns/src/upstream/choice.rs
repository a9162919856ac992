//! Which backend of a pool is asked.

use super::backend::Backend;
use crate::message::Name;

/// How a pool chooses among the backends that may be asked. Each way respects weights.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Balance {
    /// The one with the fewest unanswered questions; among equals one is drawn.
    #[default]
    LeastOutstanding,
    /// The same one for the same name, whichever engine asks: backends' caches do not repeat each other. Without a
    /// backend its names spread over the others, and no other name moves (rendezvous hashing).
    Hash,
    /// One after another, a heavier one more often, its turns spread (smooth weighted round robin).
    RoundRobin,
}

/// The backends of a pool by number, as bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct BackendSet(u128);

impl BackendSet {
    pub(crate) fn insert(&mut self, index: usize) {
        self.0 |= 1 << index;
    }

    pub(crate) fn has(self, index: usize) -> bool {
        self.0 >> index & 1 == 1
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn of(count: usize, is_in: impl Fn(usize) -> bool) -> BackendSet {
        let mut set = BackendSet::default();
        (0..count).filter(|&index| is_in(index)).for_each(|index| set.insert(index));
        set
    }
}

/// Chooses for a question about `name`, after `tried` were asked without success, `last` the latest of them. `None`
/// only if there are no backends.
pub(super) fn choose(
    balance: Balance,
    backends: &mut [Backend],
    name: Name<'_>,
    tried: BackendSet,
    last: Option<usize>,
    random: &mut impl FnMut() -> u64,
) -> Option<usize> {
    let candidates = candidates(backends, tried, last);
    match balance {
        Balance::LeastOutstanding => least_outstanding(backends, candidates, random),
        Balance::Hash => rendezvous(backends, candidates, hash(name)),
        Balance::RoundRobin => next_in_round(backends, candidates),
    }
}

/// Those that work and were not tried; else those that work, the latest last; and only if none works, the others.
fn candidates(backends: &[Backend], tried: BackendSet, last: Option<usize>) -> BackendSet {
    let works = |index: usize| backends[index].health.is_usable();
    let some_work = (0..backends.len()).any(works);
    let may = |index: usize| works(index) || !some_work;
    let set = |is_in: &dyn Fn(usize) -> bool| BackendSet::of(backends.len(), |index| may(index) && is_in(index));
    [set(&|index| !tried.has(index)), set(&|index| Some(index) != last)]
        .into_iter()
        .find(|set| !set.is_empty())
        .unwrap_or_else(|| set(&|_| true))
}

fn least_outstanding(backends: &[Backend], candidates: BackendSet, random: &mut impl FnMut() -> u64) -> Option<usize> {
    let load = |index: usize| (u64::from(backends[index].counters.outstanding), weight(&backends[index]));
    // a/b < c/d without a division.
    let is_less = |(a, b): (u64, u64), (c, d): (u64, u64)| a * d < c * b;
    let members = || (0..backends.len()).filter(|&index| candidates.has(index));
    let least = members().map(load).reduce(|least, other| if is_less(other, least) { other } else { least })?;
    let equals = || members().filter(|&index| !is_less(least, load(index)));
    let total: u64 = equals().map(|index| weight(&backends[index])).sum();
    let mut drawn = random().checked_rem(total)?;
    equals().find(|&index| {
        let weight = weight(&backends[index]);
        let is_it = drawn < weight;
        drawn = drawn.wrapping_sub(weight);
        is_it
    })
}

/// Each candidate's standing grows by its weight; the highest is next and falls by the sum of all.
fn next_in_round(backends: &mut [Backend], candidates: BackendSet) -> Option<usize> {
    let (mut total, mut next) = (0, None);
    for index in (0..backends.len()).filter(|&index| candidates.has(index)) {
        let weight = weight(&backends[index]) as i64;
        total += weight;
        backends[index].standing += weight;
        if next.is_none_or(|next: usize| backends[index].standing > backends[next].standing) {
            next = Some(index);
        }
    }
    backends[next?].standing -= total;
    next
}

/// Each backend draws a number for the name, from its weight and a hash of both; the highest wins. So a name
/// moves only if its winner goes, or a new one wins.
fn rendezvous(backends: &[Backend], candidates: BackendSet, name: u64) -> Option<usize> {
    let score = |index: usize| {
        let hash = mix(name ^ backends[index].place);
        // In (0, 1): 53 bits and a half.
        let unit = ((hash >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        weight(&backends[index]) as f64 / -unit.ln()
    };
    let members = (0..backends.len()).filter(|&index| candidates.has(index));
    members.map(|index| (index, score(index))).max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(index, _)| index)
}

fn weight(backend: &Backend) -> u64 {
    u64::from(backend.config().weight)
}

/// A hash of `name` in lower case, the same on every engine and machine.
fn hash(name: Name<'_>) -> u64 {
    place(name.as_wire())
}

/// FNV-1a over `octets` in lower case.
pub(super) fn place(octets: &[u8]) -> u64 {
    let step = |hash: u64, octet: &u8| (hash ^ u64::from(octet.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3);
    mix(octets.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

/// Spreads each bit over all (the last steps of SplitMix64).
fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ hash >> 31
}
