//! The places of a backend with a capacity: who is served, and who waits.

use std::collections::VecDeque;

/// The most that can wait; more are turned away.
const MAX_WAITING: usize = 65_536;

/// Places for requests, of which `T` names one.
#[derive(Debug)]
pub(super) struct Places<T> {
    limit: Option<usize>,
    taken: usize,
    waiting: VecDeque<T>,
    /// The most that were taken at once.
    pub(super) taken_most: usize,
    /// The most that waited.
    pub(super) waiting_most: usize,
}

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Admission {
    /// It has a place.
    Served,
    /// It comes out of [`Places::give_back`] in its turn.
    Waits,
    /// There are too many.
    TurnedAway,
}

impl<T> Places<T> {
    /// `limit` places, or as many as are wanted.
    pub(super) fn new(limit: Option<usize>) -> Places<T> {
        Places { limit, taken: 0, waiting: VecDeque::new(), taken_most: 0, waiting_most: 0 }
    }

    /// `request` wants a place.
    pub(super) fn ask(&mut self, request: T) -> Admission {
        if self.limit.is_none_or(|limit| self.taken < limit) {
            self.taken += 1;
            self.taken_most = self.taken_most.max(self.taken);
            return Admission::Served;
        }
        if self.waiting.len() >= MAX_WAITING {
            return Admission::TurnedAway;
        }
        self.waiting.push_back(request);
        self.waiting_most = self.waiting_most.max(self.waiting.len());
        Admission::Waits
    }

    /// A place is free again; the request that has waited longest has it now, unless it `is_gone`.
    pub(super) fn give_back(&mut self, is_gone: impl Fn(&T) -> bool) -> Option<T> {
        while let Some(next) = self.waiting.pop_front() {
            if !is_gone(&next) {
                return Some(next);
            }
        }
        self.taken -= 1;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_goes_to_the_one_that_has_waited_longest_and_is_still_there() {
        let mut places = Places::new(Some(1));
        let asked: Vec<_> = (0..4).map(|request| places.ask(request)).collect();
        assert_eq!(asked, [Admission::Served, Admission::Waits, Admission::Waits, Admission::Waits]);
        assert_eq!(places.give_back(|request| *request == 1), Some(2));
        assert_eq!(places.give_back(|_| false), Some(3));
        assert_eq!(places.give_back(|_| false), None);
        assert_eq!(places.ask(4), Admission::Served);
        assert_eq!((places.taken_most, places.waiting_most), (1, 3));
    }

    #[test]
    fn without_a_limit_nobody_waits_and_beyond_the_bound_nobody_may() {
        let mut free = Places::new(None);
        assert!((0..100_000).all(|request| free.ask(request) == Admission::Served));
        let mut busy = Places::new(Some(1));
        let last = (0..MAX_WAITING + 2).map(|request| busy.ask(request)).last();
        assert_eq!(last, Some(Admission::TurnedAway));
    }
}
