//! A cache object: what a key stands for.

use std::fmt;
use std::mem::size_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::body::Body;
use crate::ledger::Charge;

/// A key, the body that answers it, and what the module wants to remember of it.
pub struct Object<D> {
    hash: u64,
    key: Box<[u8]>,
    body: Arc<Body>,
    details: Arc<D>,
    slot: u32,
    /// The store has let go of it: nobody may start to use it.
    dead: AtomicBool,
    /// A bit for each view that may hold it.
    viewers: AtomicU64,
    charge: Charge,
}

impl<D> Object<D> {
    pub(crate) fn new(hash: u64, key: &[u8], body: Arc<Body>, details: Arc<D>, slot: u32, charge: Charge) -> Object<D> {
        Object {
            hash,
            key: key.into(),
            body,
            details,
            slot,
            dead: AtomicBool::new(false),
            viewers: AtomicU64::new(0),
            charge,
        }
    }

    /// An object that the store never held.
    pub(crate) fn stillborn(hash: u64, key: &[u8], body: Arc<Body>, details: Arc<D>, charge: Charge) -> Object<D> {
        Object { dead: AtomicBool::new(true), ..Object::new(hash, key, body, details, u32::MAX, charge) }
    }

    /// The key.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The body.
    pub fn body(&self) -> &Arc<Body> {
        &self.body
    }

    /// What the module remembers.
    pub fn details(&self) -> &Arc<D> {
        &self.details
    }

    /// Whether it was purged, replaced or evicted. A response that has begun may be completed.
    #[inline]
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    #[inline]
    pub(crate) fn slot(&self) -> u32 {
        self.slot
    }

    /// Says that a view is about to hold the object; whether it may. Against [`Object::kill`], one of
    /// the two sees what the other wrote: either the view sees the object dead, or the store sees the
    /// view.
    pub(crate) fn enter(&self, view: u64) -> bool {
        self.viewers.fetch_or(view, Ordering::SeqCst);
        !self.dead.load(Ordering::SeqCst)
    }

    /// Marks the object dead; the views that may hold it, as bits.
    pub(crate) fn kill(&self) -> u64 {
        self.dead.store(true, Ordering::SeqCst);
        self.charge.set_leaving(true);
        self.viewers.load(Ordering::SeqCst)
    }

    /// What an object with a key of `key` octets takes on the heap, beside its body. What `D` itself
    /// has on the heap is not known here and not counted.
    pub(crate) fn overhead(key: usize) -> u64 {
        let counts = 2 * size_of::<usize>();
        (2 * counts + size_of::<Object<D>>() + size_of::<D>() + key) as u64
    }
}

impl<D> fmt::Debug for Object<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object")
            .field("key", &String::from_utf8_lossy(&self.key))
            .field("body", &self.body)
            .field("dead", &self.is_dead())
            .finish_non_exhaustive()
    }
}
