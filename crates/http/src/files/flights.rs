//! One fill per path at a time.

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, PoisonError};

/// The paths that are being filled. A second worker that wants one of them waits for the first and
/// then finds the object in the store, so that a crowd that misses together reads the file once.
///
/// Bounded by the number of workers: each is in at most one flight.
#[derive(Default)]
pub(super) struct Flights {
    paths: Mutex<HashSet<Box<[u8]>>>,
    landed: Condvar,
}

/// The right to fill one path, given up when dropped.
pub(super) struct Flight<'a> {
    flights: &'a Flights,
    path: &'a [u8],
}

impl Flights {
    /// Waits until nobody else fills `path`.
    pub(super) fn enter<'a>(&'a self, path: &'a [u8]) -> Flight<'a> {
        let mut paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        while paths.contains(path) {
            paths = self.landed.wait(paths).unwrap_or_else(PoisonError::into_inner);
        }
        paths.insert(path.into());
        Flight { flights: self, path }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.flights.paths.lock().unwrap_or_else(PoisonError::into_inner).remove(self.path);
        self.flights.landed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    #[test]
    fn a_path_is_filled_by_one_at_a_time() {
        let (flights, inside, total) = (Flights::default(), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let _flight = flights.enter(b"/same");
                        assert_eq!(inside.fetch_add(1, SeqCst), 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, SeqCst);
                        total.fetch_add(1, SeqCst);
                    }
                });
            }
        });
        assert_eq!(total.into_inner(), 800);
        assert!(flights.paths.lock().unwrap().is_empty());
        let _one = flights.enter(b"/one");
        let _other = flights.enter(b"/other");
    }
}
