//! What the cache's memory ceiling counts: the arena's ranges, and everything that is kept about them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use afpa_platform::memory::Arena;

/// The sum of all charges, against one ceiling.
pub(crate) struct Ledger {
    arena: Arc<Arena>,
    capacity: u64,
    /// Octets beside the arena, and reservations in it.
    overhead: AtomicU64,
    /// Octets of what the store has let go of and engines have not: they will be free soon.
    leaving: AtomicU64,
}

/// A part of the ceiling, taken until it is dropped.
pub(crate) struct Charge {
    ledger: Arc<Ledger>,
    /// Octets that this charge counts.
    overhead: u64,
    /// Octets that the arena counts, and that go when the owner of this charge goes.
    extents: u64,
    leaving: AtomicBool,
}

impl Ledger {
    pub(crate) fn new(arena: Arc<Arena>, capacity: u64) -> Arc<Ledger> {
        Arc::new(Ledger { arena, capacity, overhead: AtomicU64::new(0), leaving: AtomicU64::new(0) })
    }

    /// Octets in use.
    pub(crate) fn used(&self) -> u64 {
        // In this order: what moves from a reservation to the arena meanwhile is counted twice, not
        // missed.
        let overhead = self.overhead.load(Ordering::Acquire);
        overhead + self.arena.in_use()
    }

    /// Octets that will be in use once engines have let go of what the store has let go of.
    pub(crate) fn expected(&self) -> u64 {
        self.used().saturating_sub(self.leaving.load(Ordering::Relaxed))
    }

    /// Charges `overhead` if the ceiling allows. Callers hold the store's lock: two of them must not
    /// both take what is left.
    pub(crate) fn charge(self: &Arc<Self>, overhead: u64) -> Option<Charge> {
        (self.used() + overhead <= self.capacity).then(|| self.charge_anyway(overhead))
    }

    /// Charges `overhead` whether or not the ceiling allows.
    pub(crate) fn charge_anyway(self: &Arc<Self>, overhead: u64) -> Charge {
        self.overhead.fetch_add(overhead, Ordering::Relaxed);
        Charge { ledger: self.clone(), overhead, extents: 0, leaving: AtomicBool::new(false) }
    }
}

impl Charge {
    /// `octets` reserved by this charge were allocated, and are the arena's to count now.
    pub(crate) fn allocated(&mut self, octets: u64) {
        let reserved = octets.min(self.overhead);
        self.ledger.overhead.fetch_sub(reserved, Ordering::Release);
        self.overhead -= reserved;
        self.extents += octets;
    }

    /// Octets, wherever they are counted.
    pub(crate) fn weight(&self) -> u64 {
        self.overhead + self.extents
    }

    /// Says whether the owner has been let go of. Callers hold the store's lock.
    pub(crate) fn set_leaving(&self, leaving: bool) {
        match (self.leaving.swap(leaving, Ordering::Relaxed), leaving) {
            (false, true) => self.ledger.leaving.fetch_add(self.weight(), Ordering::Relaxed),
            (true, false) => self.ledger.leaving.fetch_sub(self.weight(), Ordering::Relaxed),
            _ => 0,
        };
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if *self.leaving.get_mut() {
            self.ledger.leaving.fetch_sub(self.weight(), Ordering::Relaxed);
        }
        self.ledger.overhead.fetch_sub(self.overhead, Ordering::Relaxed);
    }
}
