//! What becomes of the requests of a class.

use afpa_engine::stats::Counter;

/// On one engine. One writer: the engine. Read by anyone.
#[derive(Default, Debug)]
#[repr(align(128))]
pub struct ClassStats {
    /// Requests that came.
    pub requests: Counter,
    /// Of these, those that were refused.
    pub refused: Counter,
    /// Requests that wait for their turn: a gauge.
    pub waiting: Counter,
    /// Requests in progress, with those that wait: a gauge.
    pub running: Counter,
}

/// Of a class on all engines.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClassTotals {
    /// Its name.
    pub name: String,
    /// As an operator says it: higher ones go first.
    pub priority: u8,
    /// Its share among those of its priority.
    pub weight: u32,
    /// Requests that came.
    pub requests: u64,
    /// Of these, those that were refused.
    pub refused: u64,
    /// Requests that wait for their turn.
    pub waiting: u64,
    /// Requests in progress, with those that wait.
    pub running: u64,
}

/// One more of a gauge.
pub(super) fn up(gauge: &Counter) {
    gauge.increment();
}

/// One less of a gauge.
pub(super) fn down(gauge: &Counter) {
    gauge.set(gauge.get().saturating_sub(1));
}
