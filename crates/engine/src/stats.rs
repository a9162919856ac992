//! Counters that one thread writes and any thread reads.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::table::{MAX_OUTCOMES, MAX_STATES};

/// A count with one writer. Adding is a plain load and store: no lock prefix, no cross-core traffic.
#[derive(Default, Debug)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the owning thread may call this; a second writer would lose counts.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Adds one. See [`Counter::add`].
    #[inline]
    pub fn increment(&self) {
        self.add(1);
    }

    /// Replaces the value: for gauges. See [`Counter::add`].
    #[inline]
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// The count, perhaps a moment old.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What one engine counts, whatever its modules are. Aligned so that two engines share no cache line.
#[derive(Default, Debug)]
#[repr(align(128))]
pub struct EngineStats {
    /// Passes of the loop.
    pub passes: Counter,
    /// Connections accepted or opened.
    pub connected: Counter,
    /// Connections alive: a gauge.
    pub open: Counter,
    /// Octets received.
    pub received_octets: Counter,
    /// Octets that TCP has taken over.
    pub sent_octets: Counter,
    /// Connections that the peer reset.
    pub resets: Counter,
    /// Connections that TCP gave up on.
    pub timeouts: Counter,
    /// Timers that fired.
    pub timers: Counter,
    /// Jobs that workers completed.
    pub completions: Counter,
    /// Jobs refused because the workers' queue was full.
    pub refused_jobs: Counter,
}

/// What one module counts on one engine.
#[derive(Debug)]
pub struct ModuleStats {
    /// The module's name.
    pub name: &'static str,
    transitions: Box<[[Counter; MAX_OUTCOMES]; MAX_STATES]>,
    /// From the moment a request was read to the moment TCP took its last octet, in nanoseconds.
    pub latency: Histogram,
    /// Outcomes that a state function returned without declaring them: a fault of the module.
    pub violations: Counter,
}

impl ModuleStats {
    /// All zero.
    pub fn new(name: &'static str) -> ModuleStats {
        ModuleStats { name, transitions: Box::default(), latency: Histogram::default(), violations: Counter::default() }
    }

    /// How often `outcome` (by number) followed from `state` (by number).
    #[inline]
    pub fn transition(&self, state: u8, outcome: u8) -> &Counter {
        &self.transitions[state as usize][outcome as usize]
    }
}

/// Buckets of a [`Histogram`].
pub const BUCKETS: usize = 64 * SUB_BUCKETS;
const SUB_BUCKETS: usize = 8;
const SUB_BITS: u32 = SUB_BUCKETS.trailing_zeros();

/// A log-linear histogram: eight buckets to each power of two, so a value is known to 12.5 %.
#[derive(Debug)]
pub struct Histogram {
    buckets: Box<[Counter]>,
    sum: Counter,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { buckets: (0..BUCKETS).map(|_| Counter::default()).collect(), sum: Counter::default() }
    }
}

impl Histogram {
    /// Counts one value. Only the owning thread may call this.
    #[inline]
    pub fn record(&self, value: u64) {
        self.buckets[bucket_of(value)].increment();
        self.sum.add(value);
    }

    /// The sum of all values.
    pub fn sum(&self) -> u64 {
        self.sum.get()
    }

    /// For each bucket that is not empty: the largest value it may hold, and its count.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.buckets.iter().enumerate().map(|(i, c)| (upper_bound(i), c.get())).filter(|&(_, count)| count > 0)
    }
}

fn bucket_of(value: u64) -> usize {
    if value < SUB_BUCKETS as u64 {
        return value as usize;
    }
    let octave = 63 - value.leading_zeros();
    let sub = (value >> (octave - SUB_BITS)) as usize & (SUB_BUCKETS - 1);
    (octave - SUB_BITS + 1) as usize * SUB_BUCKETS + sub
}

fn upper_bound(bucket: usize) -> u64 {
    let (octave, sub) = (bucket / SUB_BUCKETS, bucket % SUB_BUCKETS);
    if octave == 0 {
        return sub as u64;
    }
    let width = 1u64 << (octave - 1);
    ((SUB_BUCKETS + sub) as u64).wrapping_mul(width).wrapping_add(width - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_lies_in_a_bucket_whose_bound_is_close() {
        for value in (0..70_000).chain([u64::MAX, u64::MAX / 2, 1 << 40, (1 << 40) + 12345]) {
            let bound = upper_bound(bucket_of(value));
            assert!(bound >= value, "{value} above {bound}");
            assert!(bound - value <= value / 8, "{value} far below {bound}");
        }
    }

    #[test]
    fn buckets_are_counted_and_summed() {
        let h = Histogram::default();
        h.record(3);
        h.record(3);
        h.record(1_000_000);
        assert_eq!(h.buckets().map(|(_, n)| n).sum::<u64>(), 3);
        assert_eq!(h.sum(), 1_000_006);
    }
}
