//! Queues of waiters in one store: none of them allocates for itself.

/// The end of a queue, and the end of the list of free places.
const NONE: u32 = u32::MAX;
/// The owner of a free place.
const NOBODY: u64 = u64::MAX;

/// The waiters of one flight, in the order in which they came.
#[derive(Debug)]
pub(super) struct Queue {
    first: u32,
    last: u32,
}

impl Default for Queue {
    fn default() -> Queue {
        Queue { first: NONE, last: NONE }
    }
}

/// The places of all queues. Grows to its limit, and reuses what was freed.
#[derive(Debug)]
pub(super) struct Waiters<W> {
    places: Vec<Place<W>>,
    free: u32,
    len: usize,
    limit: usize,
}

#[derive(Clone, Copy, Debug)]
struct Place<W> {
    waiter: W,
    /// Whose queue it is in.
    owner: u64,
    before: u32,
    next: u32,
}

impl<W: Copy + PartialEq> Waiters<W> {
    pub(super) fn new(limit: usize) -> Waiters<W> {
        Waiters { places: Vec::new(), free: NONE, len: 0, limit: limit.min(NONE as usize) }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_full(&self) -> bool {
        self.len >= self.limit
    }

    /// Appends to the queue of `owner`, and returns the place. The caller has seen that there is room.
    pub(super) fn push(&mut self, queue: &mut Queue, owner: u64, waiter: W) -> u32 {
        let place = Place { waiter, owner, before: queue.last, next: NONE };
        let at = match self.free {
            NONE => {
                self.places.push(place);
                (self.places.len() - 1) as u32
            }
            free => {
                self.free = self.places[free as usize].next;
                self.places[free as usize] = place;
                free
            }
        };
        match queue.last {
            NONE => queue.first = at,
            last => self.places[last as usize].next = at,
        }
        queue.last = at;
        self.len += 1;
        at
    }

    /// Takes `waiter` out of the queue of `owner`, if it is at `at` still. Costs the same however long the queue is:
    /// many who wait for the same may give up at once.
    pub(super) fn remove(&mut self, queue: &mut Queue, owner: u64, at: u32, waiter: W) -> bool {
        let Some(&place) = self.places.get(at as usize) else { return false };
        if place.owner != owner || place.waiter != waiter {
            return false;
        }
        match place.before {
            NONE => queue.first = place.next,
            before => self.places[before as usize].next = place.next,
        }
        match place.next {
            NONE => queue.last = place.before,
            next => self.places[next as usize].before = place.before,
        }
        self.release(at);
        true
    }

    /// Moves all of a queue behind what `into` has.
    pub(super) fn drain(&mut self, queue: &mut Queue, into: &mut Vec<W>) {
        let mut at = std::mem::take(queue).first;
        while at != NONE {
            let Place { waiter, next, .. } = self.places[at as usize];
            into.push(waiter);
            self.release(at);
            at = next;
        }
    }

    fn release(&mut self, at: u32) {
        let place = &mut self.places[at as usize];
        (place.owner, place.next) = (NOBODY, self.free);
        self.free = at;
        self.len -= 1;
    }
}
