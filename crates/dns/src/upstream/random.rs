//! Numbers that nobody outside can foresee.

use std::hash::{BuildHasher, RandomState};

/// A generator: a keyed hash (SipHash) of a counter, its key from the system. One for each engine.
///
/// IDs, letter cases and ports must be as hard to guess as their bits allow (RFC 5452 §9.2), so a plain
/// generator, which shows its state by its numbers, will not do.
#[derive(Clone, Debug, Default)]
pub struct Random {
    key: RandomState,
    counter: u64,
}

impl Random {
    /// A generator with a key of its own.
    pub fn new() -> Random {
        Random::default()
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.counter = self.counter.wrapping_add(1);
        self.key.hash_one(self.counter)
    }
}
