//! How keys are hashed: once for the store and every view.

use std::hash::BuildHasher;

use foldhash::quality::RandomState;

/// Seeded at random for each cache, so that nobody outside can choose keys that collide.
#[derive(Clone, Default)]
pub(crate) struct KeyHasher(RandomState);

impl KeyHasher {
    #[inline]
    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        self.0.hash_one(key)
    }
}
