//! What an application has passed to the server under a number: queues' doorbells, registered memory, files.

use std::sync::{PoisonError, RwLock};

/// Things by their numbers.
pub(crate) struct Numbered<T> {
    entries: RwLock<Vec<Option<T>>>,
    most: usize,
}

impl<T: Clone> Numbered<T> {
    pub(crate) fn new(most: usize) -> Numbered<T> {
        Numbered { entries: RwLock::new(Vec::new()), most }
    }

    /// Gives the thing the lowest number that is free, if there are not too many.
    pub(crate) fn add(&self, thing: T) -> Option<u32> {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let place = entries.iter().position(Option::is_none).unwrap_or(entries.len());
        if place >= self.most {
            return None;
        }
        if place == entries.len() {
            entries.push(None);
        }
        entries[place] = Some(thing);
        Some(place as u32)
    }

    pub(crate) fn remove(&self, number: u32) -> Option<T> {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.get_mut(number as usize)?.take()
    }

    pub(crate) fn get(&self, number: u32) -> Option<T> {
        self.with(number, T::clone)
    }

    /// Looks at one without copying it.
    pub(crate) fn with<R>(&self, number: u32, f: impl FnOnce(&T) -> R) -> Option<R> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.get(number as usize)?.as_ref().map(f)
    }

    /// Sums something up.
    pub(crate) fn sum(&self, of: impl Fn(&T) -> u64) -> u64 {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.iter().flatten().map(of).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_used_again_and_bounded() {
        let things = Numbered::new(2);
        assert_eq!((things.add(7), things.add(8), things.add(9)), (Some(0), Some(1), None));
        assert_eq!((things.remove(0), things.remove(0), things.remove(5)), (Some(7), None, None));
        assert_eq!((things.add(9), things.get(0), things.get(77)), (Some(0), Some(9), None));
        assert_eq!(things.remove(1), Some(8));
        assert_eq!((things.get(1), things.sum(|thing| *thing)), (None, 9));
    }
}
