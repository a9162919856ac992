//! S3-FIFO by octets: a small queue that most objects leave without ever being used again, a main
//! queue for the others, and the ghosts of what the small queue dropped (Yang et al., SOSP 2023).
//!
//! A loop over a large cold set passes through the small queue and leaves the main one alone.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::ghosts::Ghosts;

/// The small queue's part of the capacity.
const SMALL_PART: u64 = 10;
/// An object leaves the small queue for the main one when it was used more often than this.
const ONE_HIT: u8 = 1;
const NONE: u32 = u32::MAX;
/// Lists shorter than this are not worth cutting.
pub(crate) const LEAST_SLOTS: usize = 256;

/// Reads and lowers what the engines count.
pub(crate) trait Uses {
    /// How often the object in `slot` was used lately.
    fn get(&self, slot: u32) -> u8;
    /// Counts one use less.
    fn lower(&self, slot: u32);
    /// Forgets the uses.
    fn clear(&self, slot: u32);
}

/// The order in which objects are evicted. Gives every object its slot.
pub(crate) struct Eviction {
    nodes: Vec<Node>,
    /// Free slots, the lowest first, so that the list can be cut short when objects become fewer. May
    /// name slots that were cut off or taken since.
    free: BinaryHeap<Reverse<u32>>,
    small: Queue,
    main: Queue,
    ghosts: Ghosts,
    small_target: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Free,
    Small,
    Main,
}

struct Node {
    place: Place,
    newer: u32,
    older: u32,
    weight: u64,
    hash: u64,
}

struct Queue {
    newest: u32,
    oldest: u32,
    weight: u64,
    len: usize,
}

impl Eviction {
    pub(crate) fn new(capacity: u64) -> Eviction {
        Eviction {
            nodes: Vec::new(),
            free: BinaryHeap::new(),
            small: Queue::EMPTY,
            main: Queue::EMPTY,
            ghosts: Ghosts::default(),
            small_target: capacity / SMALL_PART,
        }
    }

    /// What the order takes on the heap for each object: a node, doubled while the list grows, a free
    /// slot's number, and a ghost.
    pub(crate) const fn overhead() -> u64 {
        (2 * size_of::<Node>() + 2 * size_of::<u32>()) as u64 + Ghosts::overhead()
    }

    /// Takes in an object; its slot, and whether its ghost was remembered.
    pub(crate) fn insert(&mut self, hash: u64, weight: u64) -> (u32, bool) {
        let remembered = self.ghosts.take(hash);
        let place = if remembered { Place::Main } else { Place::Small };
        let node = Node { place: Place::Free, newer: NONE, older: NONE, weight, hash };
        let slot = match self.free_slot() {
            Some(slot) => {
                self.nodes[slot as usize] = node;
                slot
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() as u32 - 1
            }
        };
        self.link(slot, place);
        (slot, remembered)
    }

    /// The object that should go to make room for `incoming` octets, after moving those that should
    /// stay. The caller removes it with [`Eviction::evict`].
    pub(crate) fn victim(&mut self, incoming: u64, uses: &impl Uses) -> Option<u32> {
        // Each round moves an object or lowers a count, so this ends even if engines keep counting.
        for _ in 0..4 * (self.small.len + self.main.len) {
            let small_first = self.small.weight + incoming > self.small_target || self.main.len == 0;
            if small_first && self.small.len > 0 {
                let slot = self.small.oldest;
                if uses.get(slot) <= ONE_HIT {
                    return Some(slot);
                }
                uses.clear(slot);
                self.unlink(slot);
                self.link(slot, Place::Main);
            } else {
                let slot = self.main.oldest;
                if uses.get(slot) == 0 {
                    return Some(slot);
                }
                uses.lower(slot);
                self.unlink(slot);
                self.link(slot, Place::Main);
            }
        }
        [self.main.oldest, self.small.oldest].into_iter().find(|&slot| slot != NONE)
    }

    /// Removes a victim; what the small queue drops leaves a ghost.
    pub(crate) fn evict(&mut self, slot: u32) {
        let Node { place, hash, .. } = self.nodes[slot as usize];
        if place == Place::Small {
            self.ghosts.add(hash, self.len());
        }
        self.remove(slot);
    }

    /// Removes an object that was not evicted.
    pub(crate) fn remove(&mut self, slot: u32) {
        self.unlink(slot);
        self.free.push(Reverse(slot));
        while self.nodes.last().is_some_and(|node| node.place == Place::Free) {
            self.nodes.pop();
        }
        if self.nodes.capacity() > 4 * self.nodes.len().max(LEAST_SLOTS) {
            let slots = self.nodes.len();
            self.nodes.shrink_to(2 * slots);
            self.free.retain(|&Reverse(slot)| (slot as usize) < slots);
            self.free.shrink_to(2 * slots);
        }
    }

    /// All slots are below this.
    pub(crate) fn slots(&self) -> usize {
        self.nodes.len()
    }

    /// How many objects there are.
    pub(crate) fn len(&self) -> usize {
        self.small.len + self.main.len
    }

    fn free_slot(&mut self) -> Option<u32> {
        std::iter::from_fn(|| self.free.pop())
            .map(|Reverse(slot)| slot)
            .find(|&slot| self.nodes.get(slot as usize).is_some_and(|node| node.place == Place::Free))
    }

    fn queue(&mut self, place: Place) -> &mut Queue {
        if place == Place::Small { &mut self.small } else { &mut self.main }
    }

    fn link(&mut self, slot: u32, place: Place) {
        let weight = self.nodes[slot as usize].weight;
        let queue = self.queue(place);
        let older = std::mem::replace(&mut queue.newest, slot);
        queue.weight += weight;
        queue.len += 1;
        if older == NONE {
            queue.oldest = slot;
        } else {
            self.nodes[older as usize].newer = slot;
        }
        let node = &mut self.nodes[slot as usize];
        (node.place, node.newer, node.older) = (place, NONE, older);
    }

    fn unlink(&mut self, slot: u32) {
        let Node { place, newer, older, weight, .. } = self.nodes[slot as usize];
        debug_assert!(place != Place::Free, "removed twice");
        if newer != NONE {
            self.nodes[newer as usize].older = older;
        }
        if older != NONE {
            self.nodes[older as usize].newer = newer;
        }
        let queue = self.queue(place);
        queue.weight -= weight;
        queue.len -= 1;
        if newer == NONE {
            queue.newest = older;
        }
        if older == NONE {
            queue.oldest = newer;
        }
        self.nodes[slot as usize].place = Place::Free;
    }
}

impl Queue {
    const EMPTY: Queue = Queue { newest: NONE, oldest: NONE, weight: 0, len: 0 };
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Counts(RefCell<HashMap<u32, u8>>);

    impl Counts {
        fn note(&self, slot: u32) {
            let mut counts = self.0.borrow_mut();
            let count = counts.entry(slot).or_default();
            *count = (*count + 1).min(3);
        }
    }

    impl Uses for Counts {
        fn get(&self, slot: u32) -> u8 {
            self.0.borrow().get(&slot).copied().unwrap_or(0)
        }

        fn lower(&self, slot: u32) {
            if let Some(count) = self.0.borrow_mut().get_mut(&slot) {
                *count = count.saturating_sub(1);
            }
        }

        fn clear(&self, slot: u32) {
            self.0.borrow_mut().remove(&slot);
        }
    }

    /// A cache of numbers under test: each weighs one.
    struct Simulated {
        capacity: usize,
        order: Eviction,
        uses: Counts,
        slots: HashMap<u64, u32>,
        keys: HashMap<u32, u64>,
    }

    impl Simulated {
        fn new(capacity: usize) -> Simulated {
            let order = Eviction::new(capacity as u64);
            Simulated { capacity, order, uses: Counts::default(), slots: HashMap::new(), keys: HashMap::new() }
        }

        /// Whether the request was a hit.
        fn request(&mut self, key: u64) -> bool {
            if let Some(&slot) = self.slots.get(&key) {
                self.uses.note(slot);
                return true;
            }
            while self.slots.len() >= self.capacity {
                let victim = self.order.victim(1, &self.uses).expect("something to evict");
                self.order.evict(victim);
                let key = self.keys.remove(&victim).expect("a victim that is in");
                self.slots.remove(&key);
            }
            let (slot, _) = self.order.insert(key, 1);
            self.uses.clear(slot);
            self.slots.insert(key, slot);
            self.keys.insert(slot, key);
            false
        }
    }

    #[test]
    fn a_scan_does_not_push_out_the_hot_set() {
        let mut cache = Simulated::new(1000);
        let hot = 0..500u64;
        for _ in 0..5 {
            hot.clone().for_each(|key| {
                cache.request(key);
            });
        }
        // Three times round a cold set ten times the cache's size, the hot set asked for now and then.
        for step in 0..30_000u64 {
            cache.request(1_000_000 + step % 10_000);
            if step % 4 == 0 {
                cache.request(step / 4 % 500);
            }
        }
        let hits = hot.filter(|key| cache.slots.contains_key(key)).count();
        assert!(hits >= 490, "{hits} of 500 hot objects are left");
    }

    #[test]
    fn what_comes_back_soon_goes_to_the_main_queue() {
        let mut order = Eviction::new(100);
        let uses = Counts::default();
        let (slot, remembered) = order.insert(7, 1);
        assert!(!remembered);
        assert_eq!(order.victim(100, &uses), Some(slot));
        order.evict(slot);
        assert!(order.insert(7, 1).1);
        assert_eq!((order.main.len, order.small.len), (1, 0));
    }

    proptest! {
        #[test]
        fn the_order_loses_nothing(capacity in 1..40usize, requests in prop::collection::vec(0..80u64, 1..600)) {
            let mut cache = Simulated::new(capacity);
            for key in requests {
                cache.request(key);
                prop_assert!(cache.slots.contains_key(&key));
                prop_assert!(cache.slots.len() <= capacity);
                prop_assert_eq!(cache.order.len(), cache.slots.len());
                prop_assert_eq!(cache.order.small.weight + cache.order.main.weight, cache.slots.len() as u64);
            }
            let mut left = cache.slots.len();
            while let Some(victim) = cache.order.victim(1, &cache.uses) {
                cache.order.evict(victim);
                left -= 1;
            }
            prop_assert_eq!((left, cache.order.slots()), (0, 0));
        }
    }
}
