//! Who waits, in the order in which they came.

use std::collections::BTreeSet;
use std::fmt;

/// A bounded queue whose members may give up. Each operation takes the same time however long it is, or the logarithm.
pub struct Waiting<T> {
    places: Vec<Place<T>>,
    /// Those who wait, by deadline.
    deadlines: BTreeSet<(u64, u32)>,
    first: u32,
    last: u32,
    free: u32,
    limit: usize,
}

/// Names someone who waits in one [`Waiting`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct WaitHandle {
    place: u32,
    generation: u32,
}

struct Place<T> {
    /// `None` if the place is free; then `next` is the next free one.
    waiter: Option<T>,
    deadline: u64,
    generation: u32,
    before: u32,
    next: u32,
}

const NONE: u32 = u32::MAX;

impl<T> Waiting<T> {
    /// An empty queue for at most `limit`.
    pub fn new(limit: usize) -> Waiting<T> {
        let limit = limit.min(NONE as usize);
        Waiting { places: Vec::new(), deadlines: BTreeSet::new(), first: NONE, last: NONE, free: NONE, limit }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.deadlines.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.deadlines.is_empty()
    }

    /// Whether nobody else may wait.
    pub fn is_full(&self) -> bool {
        self.deadlines.len() >= self.limit
    }

    /// Changes how many may wait. Who waits already stays.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit.min(NONE as usize);
    }

    /// Appends to the queue.
    ///
    /// # Errors
    /// It is full: the waiter comes back.
    pub fn push(&mut self, waiter: T, deadline: u64) -> Result<WaitHandle, T> {
        if self.is_full() {
            return Err(waiter);
        }
        if self.free == NONE {
            self.free = self.places.len() as u32;
            self.places.push(Place { waiter: None, deadline: 0, generation: 0, before: NONE, next: NONE });
        }
        let at = self.free;
        let place = &mut self.places[at as usize];
        self.free = place.next;
        let generation = place.generation.wrapping_add(1);
        *place = Place { waiter: Some(waiter), deadline, generation, before: self.last, next: NONE };
        match self.last {
            NONE => self.first = at,
            last => self.places[last as usize].next = at,
        }
        self.last = at;
        self.deadlines.insert((deadline, at));
        Ok(WaitHandle { place: at, generation })
    }

    /// Takes out who came first, whatever the deadline: first take out those whose it has passed, with
    /// [`Waiting::expired`].
    pub fn pop(&mut self) -> Option<T> {
        self.take(self.first)
    }

    /// Who came first.
    pub fn front(&self) -> Option<&T> {
        self.places.get(self.first as usize)?.waiter.as_ref()
    }

    /// Takes out someone who gives up; `None` if they do not wait any more.
    pub fn remove(&mut self, handle: WaitHandle) -> Option<T> {
        let place = self.places.get(handle.place as usize)?;
        if place.generation == handle.generation { self.take(handle.place) } else { None }
    }

    /// Takes out one whose deadline is at or before `now`, the earliest first.
    pub fn expired(&mut self, now: u64) -> Option<T> {
        let &(deadline, at) = self.deadlines.first()?;
        if deadline <= now { self.take(at) } else { None }
    }

    /// When [`Waiting::expired`] has something next.
    pub fn next_deadline(&self) -> Option<u64> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    fn take(&mut self, at: u32) -> Option<T> {
        let place = self.places.get_mut(at as usize)?;
        let waiter = place.waiter.take()?;
        let (deadline, before, next) = (place.deadline, place.before, place.next);
        place.next = self.free;
        self.free = at;
        self.deadlines.remove(&(deadline, at));
        match before {
            NONE => self.first = next,
            before => self.places[before as usize].next = next,
        }
        match next {
            NONE => self.last = before,
            next => self.places[next as usize].before = before,
        }
        Some(waiter)
    }
}

impl<T> fmt::Debug for Waiting<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("len", &self.len()).field("limit", &self.limit).finish_non_exhaustive()
    }
}
