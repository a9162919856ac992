//! A hashed timer wheel, coarse and lazy.
//!
//! A connection has one deadline. Moving it later costs nothing: the wheel is told of a deadline
//! only when it is the first, or comes earlier than the one it knows; when an entry comes up too
//! early, its owner answers with the deadline that holds now. So a request on a persistent
//! connection, which moves a deadline each time, never touches the wheel.

use std::time::Duration;

use crate::seam::{ConnectionId, Owner, Time};

/// The wheel's resolution. A timer fires at most this much late.
pub const TICK: Duration = Duration::from_millis(50);
const TICK_NANOS: u64 = TICK.as_nanos() as u64;
/// 1,024 ticks are 51 s; what lies further ahead goes round again.
const SLOTS: usize = 1024;

/// One entry: look at `connection` when `due` comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The connection.
    pub connection: ConnectionId,
    /// The module that owns it.
    pub owner: Owner,
    /// When.
    pub due: Time,
}

/// Deadlines by time.
pub struct TimerWheel {
    slots: Box<[Vec<Entry>]>,
    /// The first tick that has not been looked at.
    next_tick: u64,
    entries: usize,
}

impl TimerWheel {
    /// An empty wheel that starts at `now`.
    pub fn new(now: Time) -> TimerWheel {
        TimerWheel { slots: (0..SLOTS).map(|_| Vec::new()).collect(), next_tick: now.0 / TICK_NANOS, entries: 0 }
    }

    /// Adds an entry.
    pub fn insert(&mut self, entry: Entry) {
        let tick = entry.due.0.div_ceil(TICK_NANOS).max(self.next_tick);
        self.slots[tick as usize % SLOTS].push(entry);
        self.entries += 1;
    }

    /// How long until [`TimerWheel::expired`] may have something; `None` if the wheel is empty.
    pub fn wait(&self, now: Time) -> Option<Duration> {
        (self.entries > 0).then(|| Time(self.next_tick * TICK_NANOS).since(now))
    }

    /// Whether [`TimerWheel::expired`] has a tick to look at.
    #[inline]
    pub fn is_due(&self, now: Time) -> bool {
        now.0 / TICK_NANOS >= self.next_tick
    }

    /// Moves the entries that are due at `now` to `due`.
    pub fn expired(&mut self, now: Time, due: &mut Vec<Entry>) {
        let last = now.0 / TICK_NANOS;
        // After a long sleep, one round sees every slot.
        self.next_tick = self.next_tick.max((last + 1).saturating_sub(SLOTS as u64));
        while self.next_tick <= last {
            let slot = &mut self.slots[self.next_tick as usize % SLOTS];
            let before = due.len();
            slot.retain(|entry| {
                let later = entry.due > now;
                if !later {
                    due.push(*entry);
                }
                later
            });
            if slot.is_empty() && slot.capacity() > 64 {
                *slot = Vec::new();
            }
            self.entries -= due.len() - before;
            self.next_tick += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seam::TransportId;

    fn entry(index: u32, due_ms: u64) -> Entry {
        let connection = ConnectionId::new(TransportId(0), index, 1);
        Entry { connection, owner: Owner(0), due: Time(due_ms * 1_000_000) }
    }

    fn fired(wheel: &mut TimerWheel, at_ms: u64) -> Vec<u32> {
        let mut due = Vec::new();
        wheel.expired(Time(at_ms * 1_000_000), &mut due);
        let mut indexes: Vec<u32> = due.iter().map(|e| e.connection.index()).collect();
        indexes.sort();
        indexes
    }

    #[test]
    fn never_early_and_at_most_a_tick_late() {
        let mut wheel = TimerWheel::new(Time(0));
        for i in 0..2000 {
            wheel.insert(entry(i, i as u64 * 7));
        }
        let mut seen = 0;
        for at in (0..15_000).step_by(10) {
            for index in fired(&mut wheel, at) {
                let due = index as u64 * 7;
                assert!(due <= at && at - due <= 60, "{due} fired at {at}");
                seen += 1;
            }
        }
        assert_eq!(seen, 2000);
        assert_eq!(wheel.wait(Time(0)), None);
    }

    #[test]
    fn further_than_one_round_waits_its_turn() {
        let mut wheel = TimerWheel::new(Time(0));
        wheel.insert(entry(1, 120_000));
        assert!(fired(&mut wheel, 60_000).is_empty());
        assert!(fired(&mut wheel, 119_900).is_empty());
        assert_eq!(fired(&mut wheel, 120_050), [1]);
    }

    #[test]
    fn a_long_sleep_loses_nothing() {
        let mut wheel = TimerWheel::new(Time(0));
        wheel.insert(entry(1, 10));
        wheel.insert(entry(2, 30_000));
        assert_eq!(fired(&mut wheel, 10_000_000), [1, 2]);
    }

    #[test]
    fn an_entry_in_the_past_fires_at_the_next_look() {
        let mut wheel = TimerWheel::new(Time(5_000_000_000));
        wheel.insert(entry(1, 10));
        assert_eq!(fired(&mut wheel, 5_100), [1]);
    }
}
