//! Requests that wait, in the order of their arrival and by urgency.

use crate::priority::URGENCIES;

/// Each how manieth request that leaves a queue is the one that waits longest, however little its urgency.
const OLDEST_EVERY: u8 = 8;
/// No entry.
const NONE: u32 = u32::MAX;
/// The lists that an entry is in: those of its urgency, and of its queue's arrivals.
const BY_URGENCY: usize = 0;
const BY_ARRIVAL: usize = 1;

/// A place among those that wait. It is worth nothing once the request has left it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ticket {
    index: u32,
    generation: u32,
}

/// All that wait, in whichever queue. It grows to the most that ever waited, and is not allocated for each.
pub(crate) struct Waiting<T> {
    entries: Vec<Entry<T>>,
    free: u32,
}

struct Entry<T> {
    item: Option<T>,
    generation: u32,
    queue: u8,
    urgency: u8,
    expires: u64,
    /// Before and behind it in each list. The first of those behind is also the list of what is free.
    before: [u32; 2],
    behind: [u32; 2],
}

/// One queue.
pub(crate) struct Queue {
    urgencies: [List; URGENCIES],
    /// Bit per urgency that has somebody.
    occupied: u8,
    arrivals: List,
    length: u32,
    since_oldest: u8,
}

#[derive(Clone, Copy)]
struct List {
    first: u32,
    last: u32,
}

impl<T> Waiting<T> {
    pub(crate) fn new() -> Waiting<T> {
        Waiting { entries: Vec::new(), free: NONE }
    }

    /// Puts `item` at the end of `queue`, which is the `number`th of them.
    pub(crate) fn push(&mut self, queue: &mut Queue, number: usize, item: T, urgency: u8, expires: u64) -> Ticket {
        let urgency = urgency.min(URGENCIES as u8 - 1);
        let index = self.vacant();
        let entry = &mut self.entries[index as usize];
        let ticket = Ticket { index, generation: entry.generation };
        (entry.item, entry.queue, entry.urgency, entry.expires) = (Some(item), number as u8, urgency, expires);
        self.link::<BY_URGENCY>(&mut queue.urgencies[usize::from(urgency)], index);
        self.link::<BY_ARRIVAL>(&mut queue.arrivals, index);
        queue.occupied |= 1 << urgency;
        queue.length += 1;
        ticket
    }

    /// Takes out who is next: the most urgent, of these the first to come; now and then the oldest of all.
    pub(crate) fn pop(&mut self, queue: &mut Queue) -> Option<T> {
        let oldest = queue.arrivals.first;
        let urgent = queue.urgencies.get(queue.occupied.trailing_zeros() as usize)?.first;
        queue.since_oldest += 1;
        let index = if queue.since_oldest >= OLDEST_EVERY { oldest } else { urgent };
        if index == oldest {
            queue.since_oldest = 0;
        }
        self.remove(queue, index)
    }

    /// When the oldest may wait no longer.
    pub(crate) fn expires(&self, queue: &Queue) -> Option<u64> {
        self.entries.get(queue.arrivals.first as usize).map(|entry| entry.expires)
    }

    /// Takes out the oldest.
    pub(crate) fn pop_oldest(&mut self, queue: &mut Queue) -> Option<T> {
        self.remove(queue, queue.arrivals.first)
    }

    /// The number of the queue in which `ticket` is still good.
    pub(crate) fn queue_of(&self, ticket: Ticket) -> Option<usize> {
        let entry = self.entries.get(ticket.index as usize)?;
        (entry.generation == ticket.generation && entry.item.is_some()).then_some(usize::from(entry.queue))
    }

    /// Takes out the one with `ticket`, of which [`queue_of`](Self::queue_of) has said that it is in `queue`.
    pub(crate) fn take(&mut self, queue: &mut Queue, ticket: Ticket) -> Option<T> {
        self.remove(queue, ticket.index)
    }

    fn remove(&mut self, queue: &mut Queue, index: u32) -> Option<T> {
        let entry = self.entries.get_mut(index as usize)?;
        let item = entry.item.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        let urgency = usize::from(entry.urgency);
        self.unlink::<BY_URGENCY>(&mut queue.urgencies[urgency], index);
        self.unlink::<BY_ARRIVAL>(&mut queue.arrivals, index);
        if queue.urgencies[urgency].first == NONE {
            queue.occupied &= !(1 << urgency);
        }
        queue.length -= 1;
        self.entries[index as usize].behind[0] = self.free;
        self.free = index;
        Some(item)
    }

    /// An entry that nothing is in.
    fn vacant(&mut self) -> u32 {
        if let Some(entry) = self.entries.get(self.free as usize) {
            return std::mem::replace(&mut self.free, entry.behind[0]);
        }
        // At most 64 queues of 2^20: it never gets near NONE.
        let index = self.entries.len() as u32;
        let ends = [NONE; 2];
        self.entries.push(Entry {
            item: None,
            generation: 0,
            queue: 0,
            urgency: 0,
            expires: 0,
            before: ends,
            behind: ends,
        });
        index
    }

    fn link<const KIND: usize>(&mut self, list: &mut List, index: u32) {
        let entry = &mut self.entries[index as usize];
        (entry.before[KIND], entry.behind[KIND]) = (list.last, NONE);
        match self.entries.get_mut(list.last as usize) {
            Some(last) => last.behind[KIND] = index,
            None => list.first = index,
        }
        list.last = index;
    }

    fn unlink<const KIND: usize>(&mut self, list: &mut List, index: u32) {
        let entry = &self.entries[index as usize];
        let (before, behind) = (entry.before[KIND], entry.behind[KIND]);
        match self.entries.get_mut(before as usize) {
            Some(entry) => entry.behind[KIND] = behind,
            None => list.first = behind,
        }
        match self.entries.get_mut(behind as usize) {
            Some(entry) => entry.before[KIND] = before,
            None => list.last = before,
        }
    }
}

impl Queue {
    pub(crate) fn new() -> Queue {
        let empty = List { first: NONE, last: NONE };
        Queue { urgencies: [empty; URGENCIES], occupied: 0, arrivals: empty, length: 0, since_oldest: 0 }
    }

    pub(crate) fn len(&self) -> u32 {
        self.length
    }
}
