//! Deadlines of many connections.

use crate::time::Time;

/// A hierarchical timer wheel (Varghese and Lauck's scheme 7): 8 levels of 64 slots, ticks of 2^20 ns
/// (1.05 ms). A level's slot spans a whole turn of the level below, so 8 levels cover all of [`Time`].
///
/// Each key has at most one entry, so an owner's entry needs no memory but its node. Setting and cancelling
/// are O(1); an entry moves down at most once per level until it is due. Time may jump: the work then is that
/// of the entries on the way, not of the ticks. An owner whose deadline moved away may leave its entry, and set it
/// again when it comes too early. Memory is 24 octets for each key up to the largest that was ever set.
pub(crate) struct TimerWheel {
    /// By key.
    nodes: Vec<Node>,
    /// The tick up to which entries have been made ready. An entry waits at the level of the highest
    /// digit (of 6 bits) in which its tick differs from this, in the slot that this digit says; so within a
    /// level, and from one to the next, what lies further up is due later.
    current: u64,
    /// The latest tick at which entries were asked for.
    asked: u64,
    /// For each level, the slots that hold something.
    occupied: [u64; LEVELS],
    /// For each slot, and last for those whose time has come ([`READY`]), the first of its entries.
    first: [u32; READY as usize + 1],
}

/// One deadline.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    /// Whose it is.
    pub(crate) key: u32,
    /// When. Comes back rounded up to the tick with which it came.
    pub(crate) due: Time,
}

/// 24 octets.
#[derive(Clone, Copy)]
struct Node {
    /// The tick in which it comes.
    tick: u64,
    /// The neighbours in its list.
    previous: u32,
    next: u32,
    /// The list: a slot, [`READY`], or [`NOWHERE`] if the key has no entry.
    list: u16,
}

const LEVELS: usize = 8;
const SLOTS: usize = 64;
const DIGIT: u32 = SLOTS.trailing_zeros();
const TICK_BITS: u32 = 20;
const NONE: u32 = u32::MAX;
/// The list of the entries whose time has come.
const READY: u16 = (LEVELS * SLOTS) as u16;
const NOWHERE: u16 = READY + 1;
const UNSET: Node = Node { tick: 0, previous: NONE, next: NONE, list: NOWHERE };

impl TimerWheel {
    /// An empty one, at `now`.
    pub(crate) fn new(now: Time) -> TimerWheel {
        TimerWheel {
            nodes: Vec::new(),
            current: now.0 >> TICK_BITS,
            asked: now.0 >> TICK_BITS,
            occupied: [0; LEVELS],
            first: [NONE; READY as usize + 1],
        }
    }

    /// Adds an entry, instead of the one that the key had. It never comes before it is due, nor in the tick in
    /// which `pop` was last called: what is due already comes with the next, so an owner who puts everything back
    /// does not loop.
    pub(crate) fn set(&mut self, entry: Entry) {
        self.cancel(entry.key);
        let index = entry.key as usize;
        if index >= self.nodes.len() {
            self.nodes.resize(index + 1, UNSET);
        }
        self.nodes[index].tick = entry.due.0.div_ceil(1 << TICK_BITS).max(self.asked + 1);
        self.place(entry.key);
    }

    /// Removes the entry of a key, if it has one.
    pub(crate) fn cancel(&mut self, key: u32) {
        let Some(node) = self.nodes.get_mut(key as usize).filter(|node| node.list != NOWHERE) else { return };
        let Node { previous, next, list, .. } = std::mem::replace(node, UNSET);
        if let Some(node) = self.nodes.get_mut(next as usize) {
            node.previous = previous;
        }
        if let Some(node) = self.nodes.get_mut(previous as usize) {
            node.next = next;
            return;
        }
        self.first[list as usize] = next;
        if next == NONE && list != READY {
            self.occupied[list as usize / SLOTS] &= !(1 << (list as usize % SLOTS));
        }
    }

    /// When to call [`TimerWheel::pop`] again; at most a tick after the earliest entry is due. It may be
    /// before, when entries have to move down a level: then `pop` has none, and this is later.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        if self.first[READY as usize] != NONE {
            return Some(start_of(self.current));
        }
        self.next_slot().map(|(_, _, start)| start_of(start))
    }

    /// One entry that is due at `now`, in no order. Call it until there is none.
    pub(crate) fn pop(&mut self, now: Time) -> Option<Entry> {
        if self.first[READY as usize] == NONE {
            self.asked = self.asked.max(now.0 >> TICK_BITS);
            self.advance(self.asked);
        }
        let key = self.first[READY as usize];
        let tick = self.nodes.get(key as usize)?.tick;
        self.cancel(key);
        Some(Entry { key, due: start_of(tick) })
    }

    /// Moves on to the tick `now`, or to the first before it at which something is due.
    fn advance(&mut self, now: u64) {
        while self.first[READY as usize] == NONE {
            let Some((level, slot, start)) = self.next_slot().filter(|&(_, _, start)| start <= now) else {
                self.current = now;
                return;
            };
            self.current = start;
            self.occupied[level] &= !(1 << slot);
            let mut key = std::mem::replace(&mut self.first[level * SLOTS + slot], NONE);
            while let Some(node) = self.nodes.get(key as usize) {
                let next = node.next;
                if node.tick <= now {
                    self.link(key, READY);
                } else {
                    self.place(key);
                }
                key = next;
            }
        }
    }

    /// The first slot that holds something, by level, place and first tick. What is in a higher level is due later
    /// than all of a lower one.
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        let level = self.occupied.iter().position(|&slots| slots != 0)?;
        let slot = self.occupied[level].trailing_zeros();
        let shift = level as u32 * DIGIT;
        let above = self.current >> shift >> DIGIT << DIGIT << shift;
        Some((level, slot as usize, above | u64::from(slot) << shift))
    }

    /// Puts an entry that is in no list into the slot that its tick has as seen from `current`.
    fn place(&mut self, key: u32) {
        let Some(node) = self.nodes.get(key as usize) else { return };
        // At least one bit differs, since all before `current` was asked for; and ticks have at most 45.
        let digits = u64::BITS - (node.tick ^ self.current).leading_zeros();
        let level = (digits.saturating_sub(1) / DIGIT) as usize;
        let slot = (node.tick >> (level as u32 * DIGIT)) as usize % SLOTS;
        self.occupied[level] |= 1 << slot;
        self.link(key, (level * SLOTS + slot) as u16);
    }

    /// Makes an entry that is in no list the first of one.
    fn link(&mut self, key: u32, list: u16) {
        let next = std::mem::replace(&mut self.first[list as usize], key);
        if let Some(node) = self.nodes.get_mut(next as usize) {
            node.previous = key;
        }
        let node = &mut self.nodes[key as usize];
        (node.previous, node.next, node.list) = (NONE, next, list);
    }
}

fn start_of(tick: u64) -> Time {
    Time(tick.checked_mul(1 << TICK_BITS).unwrap_or(Time::NEVER.0))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const TICK: u64 = 1 << TICK_BITS;

    fn entry(key: u32, due: Time) -> Entry {
        Entry { key, due }
    }

    fn pop_all(wheel: &mut TimerWheel, now: Time) -> Vec<u32> {
        let mut keys: Vec<_> = std::iter::from_fn(|| wheel.pop(now))
            .map(|entry| {
                assert!(entry.due <= now, "early");
                entry.key
            })
            .collect();
        keys.sort_unstable();
        keys
    }

    /// From nanoseconds to centuries.
    fn spans() -> impl Strategy<Value = u64> {
        (0u32..64, any::<u64>()).prop_map(|(shift, bits)| bits >> shift)
    }

    /// Keys are few, so that most of them have an entry.
    const KEYS: u32 = 40;

    #[derive(Clone, Debug)]
    enum Step {
        Set(u32, u64),
        Cancel(u32),
        Move(u64),
        /// The same, but only one of those that are due is taken, and another cancelled, until all are taken.
        Interrupted(u64, u32),
        Sleep,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let short = 0..200 * TICK;
        let step = prop_oneof![
            4 => (0..KEYS, prop_oneof![spans(), short.clone()]).prop_map(|(key, span)| Step::Set(key, span)),
            1 => (0..KEYS).prop_map(Step::Cancel),
            2 => prop_oneof![1 => spans().prop_map(|span| span >> 8), 8 => short.clone()].prop_map(Step::Move),
            1 => (short, 0..KEYS).prop_map(|(span, key)| Step::Interrupted(span, key)),
            2 => Just(Step::Sleep),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn everything_comes_when_it_is_due_as_in_a_sorted_map(start in 0u64..1 << 50, steps in steps()) {
            let mut now = Time(start);
            let mut wheel = TimerWheel::new(now);
            // The tick in which each key comes.
            let mut model = BTreeMap::<u32, u64>::new();
            for step in steps {
                match step {
                    Step::Set(key, span) => {
                        let due = Time(now.0.saturating_add(span));
                        wheel.set(entry(key, due));
                        // With the next tick at the soonest.
                        let tick = due.0.div_ceil(TICK).max(now.0 / TICK + 1);
                        model.insert(key, tick);
                    }
                    Step::Cancel(key) => {
                        wheel.cancel(key);
                        model.remove(&key);
                    }
                    Step::Move(span) => now = Time(now.0.saturating_add(span)),
                    Step::Interrupted(span, key) => {
                        now = Time(now.0.saturating_add(span));
                        if let Some(taken) = wheel.pop(now) {
                            let tick = model.remove(&taken.key);
                            prop_assert!(tick.is_some_and(|tick| tick <= now.0 / TICK && taken.due == start_of(tick)));
                        }
                        wheel.cancel(key);
                        model.remove(&key);
                    }
                    Step::Sleep => {
                        // Waking up in vain is allowed once per level.
                        let earliest = model.values().min().copied();
                        for _ in 0..LEVELS {
                            let Some(deadline) = wheel.next_deadline() else { break };
                            now = Time(now.0.max(deadline.0));
                            if earliest.is_none_or(|tick| now.0 / TICK >= tick) {
                                break;
                            }
                            prop_assert_eq!(wheel.pop(now), None);
                        }
                        prop_assert_eq!(earliest.is_none(), wheel.next_deadline().is_none());
                        if let Some(tick) = earliest.filter(|&tick| tick < u64::MAX / TICK) {
                            prop_assert!(now.0 / TICK >= tick, "it is not asked for");
                        }
                    }
                }
                let expected: Vec<_> = model.iter().filter(|(_, tick)| **tick <= now.0 / TICK).map(|(key, _)| *key).collect();
                model.retain(|_, tick| *tick > now.0 / TICK);
                prop_assert_eq!(pop_all(&mut wheel, now), expected);
                let deadline = wheel.next_deadline().map(|deadline| deadline.0 / TICK);
                let earliest = model.values().min().copied();
                prop_assert_eq!(deadline.is_some(), earliest.is_some());
                if let (Some(deadline), Some(earliest)) = (deadline, earliest) {
                    prop_assert!(deadline <= earliest && deadline > now.0 / TICK || earliest > u64::MAX / TICK);
                }
            }
        }
    }

    #[test]
    fn an_owner_that_puts_everything_back_is_asked_once_per_tick() {
        let start = Time(0).after(Duration::from_secs(5));
        let mut wheel = TimerWheel::new(start);
        for key in 0..20 {
            wheel.set(entry(key, Time(0).after(Duration::from_secs(key.into()))));
        }
        let mut pop_and_put_back = |now| {
            let popped = std::iter::from_fn(|| wheel.pop(now).inspect(|&entry| wheel.set(entry)));
            (popped.take(100).count(), wheel.next_deadline().unwrap())
        };
        for (later, expected) in [(2, 8), (6, 12), (10, 16), (10_000, 20)] {
            let (count, deadline) = pop_and_put_back(start.after(Duration::from_millis(later * 1000 + 10)));
            assert_eq!(count, expected);
            assert_eq!(pop_and_put_back(deadline).0, expected);
        }
    }

    #[test]
    fn what_moves_or_ends_leaves_nothing_behind() {
        let mut wheel = TimerWheel::new(Time(0));
        let hours = Time(0).after(Duration::from_secs(7200));
        for round in 0..100_000 {
            wheel.set(entry(round % 10, hours));
            wheel.set(entry(round % 10, Time(0).after(Duration::from_millis(200))));
            wheel.cancel(round % 10);
            wheel.cancel(round % 10);
        }
        assert_eq!((wheel.nodes.len(), wheel.next_deadline()), (10, None));
    }

    #[test]
    fn memory_is_used_again() {
        let mut wheel = TimerWheel::new(Time(0));
        for round in 1..100u64 {
            let now = Time(round * 1000 * TICK);
            for key in 0..10 {
                wheel.set(entry(key, Time(now.0 - 500 * TICK + u64::from(key) * TICK)));
            }
            assert_eq!(pop_all(&mut wheel, now).len(), 10);
        }
        assert!(wheel.nodes.len() <= 10);
    }

    #[test]
    fn time_may_stand_still_or_run_back() {
        let mut wheel = TimerWheel::new(Time(1000 * TICK));
        wheel.set(entry(1, Time(1010 * TICK)));
        assert_eq!(wheel.pop(Time(0)), None);
        assert_eq!(wheel.pop(Time(1009 * TICK)), None);
        assert_eq!(pop_all(&mut wheel, Time(1010 * TICK)), [1]);
        wheel.set(entry(2, Time::NEVER));
        assert_eq!(wheel.pop(Time(u64::MAX - 1)), None);
    }
}
