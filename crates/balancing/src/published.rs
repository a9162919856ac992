//! A value that one thread changes and others look at.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Arc, Mutex, PoisonError};

/// The latest of some values, with the number of times that it changed.
///
/// A reader keeps the value that it has and its generation. To see whether there is a newer one costs one load.
#[derive(Debug)]
pub struct Published<T> {
    generation: AtomicU64,
    latest: Mutex<Arc<T>>,
}

impl<T> Published<T> {
    /// Publishes the first value, as generation 1.
    pub fn new(first: Arc<T>) -> Published<T> {
        Published { generation: AtomicU64::new(1), latest: Mutex::new(first) }
    }

    /// Publishes the next value.
    pub fn publish(&self, next: Arc<T>) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        *latest = next;
        self.generation.fetch_add(1, Release);
    }

    /// The latest value's generation.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.generation.load(Acquire)
    }

    /// The latest value.
    pub fn latest(&self) -> Arc<T> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The latest value, if it is not of the generation that the caller has `seen`, which is then moved on.
    #[inline]
    pub fn newer(&self, seen: &mut u64) -> Option<Arc<T>> {
        if self.generation() == *seen {
            return None;
        }
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: value and generation are of each other.
        *seen = self.generation();
        Some(latest.clone())
    }
}

impl<T: Default> Default for Published<T> {
    fn default() -> Published<T> {
        Published::new(Arc::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_sees_each_change_once() {
        let published = Published::new(Arc::new('a'));
        let mut seen = 0;
        assert_eq!(published.newer(&mut seen).as_deref(), Some(&'a'));
        assert_eq!(published.newer(&mut seen), None);
        published.publish(Arc::new('b'));
        published.publish(Arc::new('c'));
        assert_eq!(published.newer(&mut seen).as_deref(), Some(&'c'));
        assert_eq!(published.newer(&mut seen), None);
        assert_eq!(*published.latest(), 'c');
    }
}
