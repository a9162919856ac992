//! Boxes that are used again.

/// What can be made like new.
pub(crate) trait Reset: Default {
    /// Makes this equal to its default; memory that it owns may stay with it.
    fn reset(&mut self);
}

/// Boxes that nobody uses at the moment, so that the steady state allocates nothing. At most a stated
/// number is kept; what is given beyond that is freed.
pub(crate) struct Pool<T> {
    free: Vec<Box<T>>,
    bound: usize,
}

impl<T: Reset> Pool<T> {
    /// Keeps at most `bound` boxes.
    pub(crate) fn new(bound: usize) -> Pool<T> {
        Pool { free: Vec::new(), bound }
    }

    /// A box with the default in it.
    pub(crate) fn take(&mut self) -> Box<T> {
        self.free.pop().unwrap_or_default()
    }

    /// Resets `used`, and keeps it if there is room.
    pub(crate) fn give(&mut self, mut used: Box<T>) {
        if self.free.len() < self.bound {
            used.reset();
            self.free.push(used);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Notes(Vec<u8>);

    impl Reset for Notes {
        fn reset(&mut self) {
            self.0.clear();
        }
    }

    #[test]
    fn what_was_given_is_taken_like_new_with_its_memory() {
        let mut pool = Pool::<Notes>::new(1);
        let mut notes = pool.take();
        notes.0.extend_from_slice(b"left over");
        let capacity = notes.0.capacity();
        pool.give(notes);
        let again = pool.take();
        assert_eq!((again.0.len(), again.0.capacity()), (0, capacity));
        assert_eq!(pool.take().0.capacity(), 0, "there was but one");
    }

    #[test]
    fn no_more_than_the_bound_is_kept() {
        let mut pool = Pool::<Notes>::new(2);
        let taken: Vec<_> = (0..5).map(|_| pool.take()).collect();
        taken.into_iter().for_each(|notes| pool.give(notes));
        assert_eq!(pool.free.len(), 2);
    }
}
