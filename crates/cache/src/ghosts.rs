//! The hashes of objects that were evicted without having been used: one that comes back so soon was
//! evicted too early.

use std::collections::VecDeque;

use hashbrown::HashTable;

/// Ghosts that are kept however few objects there are.
const LEAST: usize = 64;

/// Remembers as many hashes as the cache has objects, the latest ones.
#[derive(Default)]
pub(crate) struct Ghosts {
    /// In order of eviction; `number` tells a ghost from a later one of the same hash.
    order: VecDeque<Ghost>,
    table: HashTable<Ghost>,
    next: u32,
}

#[derive(Clone, Copy)]
struct Ghost {
    hash: u64,
    number: u32,
}

impl Ghosts {
    /// What a ghost takes on the heap, in a list and a table that both may be half empty.
    pub(crate) const fn overhead() -> u64 {
        (4 * size_of::<Ghost>()) as u64
    }

    /// Remembers `hash`, and forgets the oldest beyond `objects`.
    pub(crate) fn add(&mut self, hash: u64, objects: usize) {
        self.take(hash);
        let ghost = Ghost { hash, number: self.next };
        self.next = self.next.wrapping_add(1);
        self.order.push_back(ghost);
        self.table.insert_unique(hash, ghost, |ghost| ghost.hash);
        while self.order.len() > objects.max(LEAST) {
            if let Some(oldest) = self.order.pop_front()
                && let Ok(entry) = self.table.find_entry(oldest.hash, |ghost| ghost.number == oldest.number)
            {
                entry.remove();
            }
        }
    }

    /// Forgets `hash`; whether it was remembered.
    pub(crate) fn take(&mut self, hash: u64) -> bool {
        let entry = self.table.find_entry(hash, |ghost| ghost.hash == hash);
        entry.map(|entry| entry.remove()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered_once() {
        let mut ghosts = Ghosts::default();
        for hash in 0..200 {
            ghosts.add(hash, 100);
        }
        assert!(!ghosts.take(99));
        assert!(ghosts.take(100));
        assert!(!ghosts.take(100));
        assert!(ghosts.take(199));
    }

    #[test]
    fn a_hash_that_is_evicted_again_and_again_fills_nothing() {
        let mut ghosts = Ghosts::default();
        for _ in 0..10_000 {
            ghosts.add(1, 100);
        }
        assert!(ghosts.order.len() <= 100 && ghosts.table.len() == 1);
    }
}
