//! What was asked for often lately, in memory of a fixed size.

use afpa_engine::Time;

/// Questions that are counted at a time, at most; a power of two.
const PLACES: usize = 8192;

/// Counts of questions by their hashes, each within the window that is. What is asked for more often keeps its place against
/// what is asked for less, so that a flood of names that nobody asks for twice costs nothing else.
pub(super) struct Hot {
    places: Box<[Place]>,
}

#[derive(Clone, Copy, Default)]
struct Place {
    tag: u32,
    window: u32,
    count: u16,
    /// Enough was done about it in this window.
    is_settled: bool,
}

/// The number of the window that `now` is in: about a second.
pub(super) fn window(now: Time) -> u64 {
    now.0 >> 30
}

impl Hot {
    pub(super) fn new() -> Hot {
        Hot { places: vec![Place::default(); PLACES].into() }
    }

    /// Counts a question; how often it was asked in this window, zero once it is settled.
    #[inline]
    pub(super) fn note(&mut self, hash: u64, now: Time) -> u16 {
        let (place, tag, window) = self.place(hash, now);
        if place.window != window || place.tag != tag && place.count <= 1 {
            *place = Place { tag, window, count: 1, is_settled: false };
            return 1;
        }
        if place.tag != tag {
            place.count -= 1;
            return 0;
        }
        place.count = place.count.saturating_add(1);
        if place.is_settled { 0 } else { place.count }
    }

    /// The question is not to be counted any more in this window.
    pub(super) fn settle(&mut self, hash: u64, now: Time) {
        let (place, tag, window) = self.place(hash, now);
        if place.tag == tag && place.window == window {
            place.is_settled = true;
        }
    }

    #[inline]
    fn place(&mut self, hash: u64, now: Time) -> (&mut Place, u32, u32) {
        (&mut self.places[hash as usize % PLACES], (hash >> 32) as u32, window(now) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1 << 30;

    #[test]
    fn a_question_is_counted_within_a_window_until_it_is_settled() {
        let mut hot = Hot::new();
        let now = Time(5 * SECOND);
        assert_eq!([1, 2, 3], [(); 3].map(|()| hot.note(7, now)));
        hot.settle(7, now);
        assert_eq!(hot.note(7, now), 0);
        assert_eq!(hot.note(7, Time(6 * SECOND)), 1, "in another window it is a new one");
    }

    #[test]
    fn what_is_asked_for_often_keeps_its_place() {
        let mut hot = Hot::new();
        let (now, other) = (Time(5 * SECOND), |number: u64| number << 32 | 7);
        assert_eq!((0..10).map(|_| hot.note(7, now)).last(), Some(10));
        (1..5).for_each(|number| assert_eq!(hot.note(other(number), now), 0));
        assert_eq!(hot.note(7, now), 7);
        (1..8).for_each(|number| assert!(hot.note(other(number), now) <= 1));
        assert_eq!(hot.note(other(9), now), 1, "until it is asked for less");
    }
}
