//! Shared memory under loom: every operation is a place where another thread may come in between, loads may see old
//! values as far as their order allows, and a thread may die before any operation.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use afpa_channel::{Geometry, Memory, Region, Word};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU8, AtomicU32, fence};

loom::thread_local! {
    /// Operations until the thread dies.
    static LIFE: Cell<u32> = Cell::new(u32::MAX);
}

/// The calling thread dies after so many operations: what it does from then on has no effect.
pub(crate) fn live_for(operations: u32) {
    LIFE.with(|life| life.set(operations));
}

/// Whether it has not died.
pub(crate) fn is_alive() -> bool {
    LIFE.with(|life| life.get() > 0)
}

fn lives() -> bool {
    LIFE.with(|life| match life.get() {
        u32::MAX => true,
        0 => false,
        left => {
            life.set(left - 1);
            true
        }
    })
}

/// Only what a model touches is there, since loom follows every atomic.
pub(crate) struct LoomMemory {
    words: BTreeMap<usize, LoomWord>,
    octets: BTreeMap<usize, AtomicU8>,
}

pub(crate) struct LoomWord(AtomicU32);

impl LoomMemory {
    pub(crate) fn new(words: impl IntoIterator<Item = usize>, octets: std::ops::Range<usize>) -> LoomMemory {
        let words = words.into_iter().map(|at| (at, LoomWord(AtomicU32::new(0)))).collect();
        LoomMemory { words, octets: octets.map(|at| (at, AtomicU8::new(0))).collect() }
    }
}

impl Memory for LoomMemory {
    type Word = LoomWord;

    fn word(&self, offset: usize) -> &LoomWord {
        &self.words[&offset]
    }

    fn read(&self, offset: usize, into: &mut [u8]) {
        for (at, octet) in (offset..).zip(into) {
            *octet = self.octets[&at].load(Ordering::Relaxed);
        }
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        for (at, octet) in (offset..).zip(bytes) {
            if lives() {
                self.octets[&at].store(*octet, Ordering::Relaxed);
            }
        }
    }

    fn fence(&self) {
        fence(Ordering::SeqCst);
    }
}

impl Word for LoomWord {
    fn load(&self, order: Ordering) -> u32 {
        self.0.load(order)
    }

    fn store(&self, value: u32, order: Ordering) {
        if lives() {
            self.0.store(value, order);
        }
    }

    fn swap(&self, value: u32, order: Ordering) -> u32 {
        if lives() { self.0.swap(value, order) } else { 0 }
    }

    fn fetch_or(&self, bits: u32, order: Ordering) -> u32 {
        if lives() { self.0.fetch_or(bits, order) } else { 0 }
    }

    fn fetch_and(&self, bits: u32, order: Ordering) -> u32 {
        if lives() { self.0.fetch_and(bits, order) } else { 0 }
    }

    fn compare_exchange(&self, current: u32, new: u32) -> Result<u32, u32> {
        if lives() { self.0.compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire) } else { Ok(current) }
    }
}

/// A region of 32 slots, one engine, `queues` queues and two processes, of which the header is there and `words`.
pub(crate) fn region(queues: u32, words: impl Fn(Geometry) -> Vec<usize>) -> Arc<Region<LoomMemory>> {
    let geometry = Geometry::new(32, 1, queues, 2, 4096).unwrap();
    let header = (0..28).step_by(4);
    Arc::new(Region::format(LoomMemory::new(header.chain(words(geometry)), 0..0), geometry))
}

/// Runs a model. So many preemptions find what these models can show, and the rest would take minutes.
pub(crate) fn model(preemptions: usize, run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(run);
}
