//! One fetch per key at a time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::flight::{Flight, ReaderId, Seat};
use crate::remote::purge::Purges;

/// The flights that others may join, by the key of what they fetch; and the keys of which it is known that they are
/// not for all. Shared by the engines; only misses take its lock.
#[derive(Default)]
pub(crate) struct Flights {
    table: Mutex<Table>,
    /// Octets of bodies that are held for readers.
    held: Arc<AtomicU64>,
}

#[derive(Default)]
struct Table {
    by_key: HashMap<Box<[u8]>, Arc<Flight>>,
    /// Keys whose answers were for one alone, with the second until which that is believed: those who ask for them
    /// do not wait for each other.
    apart: HashMap<Box<[u8]>, u64>,
}

/// Keys that are remembered as not for all. Beyond it, old ones go.
const MOST_APART: usize = 16_384;
/// Seconds for which a key is.
const APART_FOR: u64 = 120;

/// What somebody who misses is to do.
pub(crate) enum Joined {
    /// Fetch it: he is the flight's first reader.
    First(Arc<Flight>),
    /// Read what is being fetched.
    Other(Arc<Flight>, ReaderId),
}

impl Flights {
    /// Octets of bodies that are held for readers.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Relaxed)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.table().by_key.len()
    }

    /// A flight that nobody else joins.
    pub(crate) fn alone(&self, reader: Option<Seat>) -> Arc<Flight> {
        Flight::new(reader, false, self.held.clone(), 0)
    }

    /// A flight that nobody else joins, and whose answer may be kept.
    pub(crate) fn apart(&self, reader: Seat) -> Arc<Flight> {
        Flight::new(Some(reader), true, self.held.clone(), 0)
    }

    /// Whether somebody fetches `key` who may be joined.
    pub(crate) fn is_under_way(&self, key: &[u8]) -> bool {
        self.table().by_key.contains_key(key)
    }

    /// Joins whoever fetches `key`, or becomes the one who does. `now` in seconds. Who asks after a purge does not get
    /// what was asked for before.
    pub(crate) fn join(&self, key: &[u8], seat: Seat, now: u64, purges: &Purges) -> Joined {
        let mut table = self.table();
        if let Some(flight) = table.by_key.get(key)
            && !purges.may_be_about(key, flight.purges)
            && let Some(reader) = flight.join(seat.clone())
        {
            return Joined::Other(flight.clone(), reader);
        }
        let is_apart = table.apart.get(key).is_some_and(|&until| now < until);
        let flight = Flight::new(Some(seat), true, self.held.clone(), purges.count());
        if !is_apart {
            table.by_key.insert(key.into(), flight.clone());
        }
        Joined::First(flight)
    }

    /// A flight for `key` without a reader, unless there is one.
    pub(crate) fn refresh(&self, key: &[u8], purges: &Purges) -> Option<Arc<Flight>> {
        let mut table = self.table();
        if table.by_key.contains_key(key) {
            return None;
        }
        let flight = Flight::new(None, true, self.held.clone(), purges.count());
        table.by_key.insert(key.into(), flight.clone());
        Some(flight)
    }

    /// Nobody joins `flight` any more.
    pub(crate) fn remove(&self, key: &[u8], flight: &Arc<Flight>) {
        let mut table = self.table();
        if table.by_key.get(key).is_some_and(|other| Arc::ptr_eq(other, flight)) {
            table.by_key.remove(key);
        }
    }

    /// What came for `key` was not for all. `now` in seconds.
    pub(crate) fn set_apart(&self, key: &[u8], now: u64) {
        let mut table = self.table();
        if table.apart.len() >= MOST_APART {
            table.apart.retain(|_, until| now < *until);
            if table.apart.len() >= MOST_APART {
                table.apart.clear();
            }
        }
        let until = now.saturating_add(APART_FOR);
        match table.apart.get_mut(key) {
            Some(known) => *known = until,
            None => _ = table.apart.insert(key.into(), until),
        }
    }

    /// What comes for `key` is for all, as far as is known.
    pub(crate) fn unite(&self, key: &[u8]) {
        let mut table = self.table();
        if !table.apart.is_empty() {
            table.apart.remove(key);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
