//! What one epoll instance is interested in, without input or output: which interests are to be looked at, and what
//! becomes of them when they are.

use std::collections::VecDeque;
use std::os::fd::RawFd;

use libc::{EPOLLERR, EPOLLET, EPOLLEXCLUSIVE, EPOLLHUP, EPOLLONESHOT, EPOLLRDHUP};
use rustix::io::Errno;

use crate::table::{Entry, Kind};

/// What is always told.
const ALWAYS: u32 = (EPOLLERR | EPOLLHUP) as u32;

/// An interest in one descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Interest {
    pub(crate) descriptor: RawFd,
    /// What the descriptor was; `None` if it is the kernel's, which then has the interest as well.
    pub(crate) entry: Option<Entry>,
    /// Events, and how they are told.
    pub(crate) events: u32,
    pub(crate) data: u64,
    /// To be looked at.
    queued: bool,
    /// The kernel tells when its socket has room.
    watched: bool,
    /// What it has told besides: the ends of the connection.
    ends: u32,
    /// Told once, and not to be told before it is changed.
    spent: bool,
    /// Tells its place's uses apart.
    stamp: u32,
    /// The next interest in the same slot, plus one.
    next: u32,
    /// What was seen when it was last told: an edge is a difference from that.
    seen: Option<(u32, u64)>,
}

/// What a look at a descriptor has shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Look {
    /// It is not what it was.
    Gone,
    /// Its events, and a number that is another whenever something has come or gone.
    Events(u32, u64),
}

/// The interests of an epoll instance.
#[derive(Default)]
pub(crate) struct Interests {
    places: Vec<Option<Interest>>,
    free: Vec<u32>,
    stamp: u32,
    /// By descriptor: its place, plus one.
    descriptors: Vec<u32>,
    /// By application and slot: the place of the first interest in it, plus one.
    slots: Vec<Vec<u32>>,
    /// Places to be looked at, each with its stamp.
    ready: VecDeque<(u32, u32)>,
    kernel: usize,
    offloaded: usize,
    nested: usize,
    watched: usize,
}

impl Interest {
    /// `EPOLLEXCLUSIVE`.
    pub(crate) fn is_exclusive(&self) -> bool {
        self.events & EPOLLEXCLUSIVE as u32 != 0
    }
}

impl Interests {
    /// The interest in a descriptor.
    pub(crate) fn get(&self, descriptor: RawFd) -> Option<&Interest> {
        self.places[self.place(descriptor)?].as_ref()
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Interest> {
        self.places.iter().flatten()
    }

    /// How many descriptors are the kernel's, as far as is known: it does not say when it forgets one.
    pub(crate) fn kernel(&self) -> usize {
        self.kernel
    }

    /// How many are not.
    pub(crate) fn offloaded(&self) -> usize {
        self.offloaded
    }

    /// Whether some wait to be looked at.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether some are in instances of epoll, which nobody tells of.
    pub(crate) fn has_nested(&self) -> bool {
        self.nested > 0
    }

    /// `EPOLL_CTL_ADD`. What there was of a descriptor that is another by now is forgotten.
    pub(crate) fn add(&mut self, descriptor: RawFd, entry: Option<Entry>, events: u32, data: u64) -> Result<(), Errno> {
        match self.get(descriptor) {
            Some(interest) if interest.entry == entry && entry.is_some() => return Err(Errno::EXIST),
            Some(_) => drop(self.remove(descriptor)),
            None => {}
        }
        self.stamp = self.stamp.wrapping_add(1);
        let interest = Interest {
            descriptor,
            entry,
            events,
            data,
            queued: false,
            watched: false,
            ends: 0,
            spent: false,
            stamp: self.stamp,
            next: 0,
            seen: None,
        };
        let at = match self.free.pop() {
            Some(at) => at as usize,
            None => {
                self.places.push(None);
                self.places.len() - 1
            }
        };
        self.places[at] = Some(interest);
        *grown(&mut self.descriptors, descriptor as usize) = at as u32 + 1;
        match entry {
            Some(Entry { kind: Kind::Epoll, .. }) => {
                self.offloaded += 1;
                self.nested += 1;
                self.queue(at);
            }
            Some(entry) => {
                self.offloaded += 1;
                let head = self.head(entry);
                let before = std::mem::replace(head, at as u32 + 1);
                self.places[at].as_mut().expect("just put there").next = before;
                self.queue(at);
            }
            None => self.kernel += 1,
        }
        Ok(())
    }

    /// `EPOLL_CTL_MOD`.
    pub(crate) fn modify(&mut self, descriptor: RawFd, events: u32, data: u64) -> Result<(), Errno> {
        let at = self.place(descriptor).ok_or(Errno::NOENT)?;
        let interest = self.places[at].as_mut().ok_or(Errno::NOENT)?;
        (interest.events, interest.data, interest.spent, interest.seen) = (events, data, false, None);
        if interest.entry.is_some() {
            self.queue(at);
        }
        Ok(())
    }

    /// `EPOLL_CTL_DEL`. Returns what it was.
    pub(crate) fn remove(&mut self, descriptor: RawFd) -> Result<Interest, Errno> {
        let at = self.place(descriptor).ok_or(Errno::NOENT)?;
        self.descriptors[descriptor as usize] = 0;
        let interest = self.places[at].take().ok_or(Errno::NOENT)?;
        self.free.push(at as u32);
        self.watched -= usize::from(interest.watched);
        match interest.entry {
            Some(Entry { kind: Kind::Epoll, .. }) => {
                self.offloaded -= 1;
                self.nested -= 1;
            }
            Some(entry) => {
                self.offloaded -= 1;
                self.unchain(entry, at, interest.next);
            }
            None => self.kernel -= 1,
        }
        Ok(interest)
    }

    /// Whether any interest is in the entry's slot.
    pub(crate) fn has_slot(&mut self, entry: Entry) -> bool {
        *self.head(entry) != 0
    }

    /// Something has happened on a slot: who is interested in it is to be looked at. Returns whether anybody is.
    pub(crate) fn notice(&mut self, application: u8, slot: u32) -> bool {
        let head = self.slots.get(usize::from(application)).and_then(|slots| slots.get(slot as usize));
        let mut next = head.copied().unwrap_or(0);
        let found = next != 0;
        while let Some(at) = next.checked_sub(1) {
            self.queue(at as usize);
            next = self.places[at as usize].map_or(0, |interest| interest.next);
        }
        found
    }

    /// Says whether the kernel tells of room on a descriptor; returns whether it did before, and what it tells by.
    pub(crate) fn watch(&mut self, descriptor: RawFd, on: bool) -> (bool, u64) {
        let interest = self.place(descriptor).and_then(|at| self.places[at].as_mut());
        let Some(interest) = interest else { return (false, 0) };
        let before = std::mem::replace(&mut interest.watched, on);
        self.watched = self.watched + usize::from(on) - usize::from(before);
        (before, u64::from(interest.stamp) << 32 | u64::from(descriptor as u32))
    }

    /// Whether the kernel tells of room on some of them.
    pub(crate) fn has_watched(&self) -> bool {
        self.watched > 0
    }

    /// The kernel has told of room, which is an edge; or of an end, of which the server tells as well: for that there is to
    /// be one edge, and not two.
    pub(crate) fn notice_room(&mut self, mark: u64, events: u32) {
        let Some(at) = self.place(mark as u32 as RawFd) else { return };
        if let Some(interest) = self.places[at].as_mut().filter(|interest| interest.stamp == (mark >> 32) as u32) {
            let ends = events & (ALWAYS | EPOLLRDHUP as u32);
            let is_end = ends & !interest.ends != 0;
            interest.ends |= ends;
            if !is_end {
                interest.seen = None;
            }
            self.queue(at);
        }
    }

    /// Something may have happened in the instances of epoll.
    pub(crate) fn notice_nested(&mut self) {
        for at in 0..self.places.len() {
            if self.places[at].is_some_and(|interest| interest.entry.is_some_and(|entry| entry.kind == Kind::Epoll)) {
                self.queue(at);
            }
        }
    }

    /// Something may have happened on all slots of an application.
    pub(crate) fn notice_all(&mut self, application: u8) {
        for at in 0..self.places.len() {
            if self.places[at].is_some_and(|interest| {
                interest.entry.is_some_and(|entry| entry.is_socket() && entry.application == application)
            }) {
                self.queue(at);
            }
        }
    }

    /// Looks, once, at those that are to be looked at, and tells `each` of at most `limit`: events and data. What is
    /// level-triggered is looked at again the next time; what is edge-triggered, when something happens; what is to be
    /// told once, when it has been changed.
    pub(crate) fn collect(
        &mut self,
        limit: usize,
        mut look: impl FnMut(&Interest) -> Look,
        mut each: impl FnMut(u32, u64),
    ) -> usize {
        let mut told = 0;
        for _ in 0..self.ready.len() {
            if told == limit {
                break;
            }
            let Some((at, stamp)) = self.ready.pop_front() else { break };
            let Some(interest) = self.places[at as usize].as_mut().filter(|interest| interest.stamp == stamp) else {
                continue;
            };
            interest.queued = false;
            if interest.spent {
                continue;
            }
            let Look::Events(all, number) = look(interest) else {
                let descriptor = interest.descriptor;
                let _ = self.remove(descriptor);
                continue;
            };
            let events = all & (interest.events | ALWAYS);
            let is_edge = interest.events & EPOLLET as u32 != 0;
            if events == 0 || (is_edge && interest.seen == Some((all, number))) {
                continue;
            }
            interest.seen = Some((all, number));
            each(events, interest.data);
            told += 1;
            if interest.events & EPOLLONESHOT as u32 != 0 {
                interest.spent = true;
            } else if !is_edge {
                self.queue(at as usize);
            }
        }
        told
    }

    fn place(&self, descriptor: RawFd) -> Option<usize> {
        let at = self.descriptors.get(usize::try_from(descriptor).ok()?)?.checked_sub(1)?;
        Some(at as usize)
    }

    fn queue(&mut self, at: usize) {
        if let Some(interest) = self.places[at].as_mut().filter(|interest| !interest.queued) {
            interest.queued = true;
            self.ready.push_back((at as u32, interest.stamp));
        }
    }

    fn head(&mut self, entry: Entry) -> &mut u32 {
        let application = usize::from(entry.application);
        if self.slots.len() <= application {
            self.slots.resize_with(application + 1, Vec::new);
        }
        grown(&mut self.slots[application], entry.number.into())
    }

    fn unchain(&mut self, entry: Entry, at: usize, next: u32) {
        let head = self.head(entry);
        if *head == at as u32 + 1 {
            *head = next;
            return;
        }
        let mut before = *head;
        while let Some(interest) = before.checked_sub(1).and_then(|at| self.places[at as usize].as_mut()) {
            if interest.next == at as u32 + 1 {
                interest.next = next;
                return;
            }
            before = interest.next;
        }
    }
}

fn grown(words: &mut Vec<u32>, at: usize) -> &mut u32 {
    if words.len() <= at {
        words.resize((at + 1).next_power_of_two().max(64), 0);
    }
    &mut words[at]
}

#[cfg(test)]
mod tests {
    use super::*;

    const IN: u32 = libc::EPOLLIN as u32;
    const OUT: u32 = libc::EPOLLOUT as u32;
    const EDGE: u32 = EPOLLET as u32;
    const ONCE: u32 = EPOLLONESHOT as u32;

    fn entry(number: u16) -> Entry {
        Entry { kind: Kind::Stream, application: 0, number, generation: 1 }
    }

    /// What is told if all descriptors have these events.
    fn told(interests: &mut Interests, events: u32) -> Vec<(u32, u64)> {
        let mut told = Vec::new();
        interests.collect(16, |_| Look::Events(events, 0), |events, data| told.push((events, data)));
        told
    }

    /// As above, after something has come.
    fn told_anew(interests: &mut Interests, events: u32, number: u64) -> Vec<(u32, u64)> {
        let mut told = Vec::new();
        interests.notice(0, 2);
        interests.collect(16, |_| Look::Events(events, number), |events, data| told.push((events, data)));
        told
    }

    fn one(events: u32) -> Interests {
        let mut interests = Interests::default();
        interests.add(5, Some(entry(2)), events, 50).unwrap();
        interests
    }

    #[test]
    fn a_level_is_told_as_long_as_it_lasts() {
        let mut interests = one(IN);
        assert_eq!(told(&mut interests, IN | OUT), [(IN, 50)]);
        assert_eq!(told(&mut interests, IN), [(IN, 50)]);
        assert_eq!(told(&mut interests, OUT), []);
        // Nothing has happened since: it is not even looked at.
        assert_eq!(told(&mut interests, IN), []);
        interests.notice(0, 2);
        assert_eq!(told(&mut interests, IN), [(IN, 50)]);
    }

    #[test]
    fn an_edge_is_told_once_for_each_thing_that_comes() {
        let mut interests = one(IN | EDGE);
        assert_eq!(told(&mut interests, IN), [(IN, 50)]);
        assert_eq!(told(&mut interests, IN), []);
        assert_eq!(told_anew(&mut interests, IN, 1), [(IN, 50)]);
        assert_eq!(told(&mut interests, IN), []);
        // A notice of nothing, then one of an event that was not asked for: the peer's end, in which octets are asked for.
        assert_eq!(told_anew(&mut interests, IN, 1), []);
        assert_eq!(told_anew(&mut interests, IN | libc::EPOLLRDHUP as u32, 1), [(IN, 50)]);
    }

    #[test]
    fn room_is_an_edge_and_an_end_that_the_server_tells_of_too_is_none_of_its_own() {
        const RDHUP: u32 = libc::EPOLLRDHUP as u32;
        let mut interests = one(OUT | RDHUP | EDGE);
        let (before, mark) = interests.watch(5, true);
        assert!(!before && interests.has_watched());
        assert_eq!(told(&mut interests, OUT), [(OUT, 50)]);
        interests.notice_room(mark, OUT);
        assert_eq!(told(&mut interests, OUT), [(OUT, 50)]);
        // The kernel knows of the end before the server does.
        interests.notice_room(mark, OUT | RDHUP);
        assert_eq!(told(&mut interests, OUT), []);
        assert_eq!(told_anew(&mut interests, OUT | RDHUP, 0), [(OUT | RDHUP, 50)]);
        interests.notice_room(mark, OUT | RDHUP);
        assert_eq!(told(&mut interests, OUT | RDHUP), [(OUT | RDHUP, 50)]);
        // Room on what the descriptor was before is nobody's.
        interests.remove(5).unwrap();
        assert!(!interests.has_watched());
        interests.add(5, Some(entry(2)), OUT | EDGE, 60).unwrap();
        assert_eq!(told(&mut interests, OUT), [(OUT, 60)]);
        interests.notice_room(mark, OUT);
        assert_eq!(told(&mut interests, OUT), []);
    }

    #[test]
    fn once_is_once_until_it_is_changed() {
        for how in [ONCE, ONCE | EDGE] {
            let mut interests = one(IN | how);
            assert_eq!(told(&mut interests, IN), [(IN, 50)]);
            interests.notice(0, 2);
            assert_eq!(told(&mut interests, IN), []);
            interests.modify(5, OUT | how, 51).unwrap();
            assert_eq!(told(&mut interests, IN | OUT), [(OUT, 51)]);
            interests.notice(0, 2);
            assert_eq!(told(&mut interests, IN | OUT), []);
        }
    }

    #[test]
    fn errors_are_told_to_who_did_not_ask() {
        assert_eq!(told(&mut one(0), ALWAYS | IN), [(ALWAYS, 50)]);
    }

    #[test]
    fn what_was_changed_is_looked_at_again() {
        let mut interests = one(IN | EDGE);
        assert_eq!(told(&mut interests, OUT), []);
        interests.modify(5, OUT | EDGE, 50).unwrap();
        assert_eq!(told(&mut interests, OUT), [(OUT, 50)]);
    }

    #[test]
    fn whoever_is_gone_is_forgotten() {
        let mut interests = one(IN);
        assert_eq!(interests.collect(1, |_| Look::Gone, |_, _| unreachable!()), 0);
        assert_eq!((interests.offloaded(), interests.get(5)), (0, None));
        assert!(!interests.notice(0, 2));
        assert_eq!(interests.remove(5), Err(Errno::NOENT));
        assert_eq!(interests.modify(5, IN, 0), Err(Errno::NOENT));
    }

    #[test]
    fn an_interest_can_be_had_once() {
        let mut interests = one(IN);
        assert_eq!(interests.add(5, Some(entry(2)), IN, 0), Err(Errno::EXIST));
        // The descriptor is another by now.
        interests.add(5, Some(entry(3)), IN, 52).unwrap();
        assert!(!interests.notice(0, 2));
        assert_eq!(told(&mut interests, IN), [(IN, 52)]);
        assert_eq!(interests.offloaded(), 1);
    }

    #[test]
    fn duplicates_are_interests_of_their_own() {
        let mut interests = one(IN | EDGE);
        interests.add(6, Some(entry(2)), IN | EDGE, 60).unwrap();
        assert_eq!(told(&mut interests, IN).len(), 2);
        assert_eq!(told_anew(&mut interests, IN, 1).len(), 2);
        interests.remove(5).unwrap();
        assert!(interests.has_slot(entry(2)));
        assert_eq!(told_anew(&mut interests, IN, 2), [(IN, 60)]);
        interests.remove(6).unwrap();
        assert!(!interests.has_slot(entry(2)));
    }

    #[test]
    fn a_place_that_is_used_again_is_told_once() {
        let mut interests = one(IN);
        interests.remove(5).unwrap();
        interests.add(5, Some(entry(2)), IN, 53).unwrap();
        assert_eq!(told(&mut interests, IN), [(IN, 53)]);
    }

    #[test]
    fn those_that_are_ready_take_turns() {
        let mut interests = Interests::default();
        for descriptor in 0..4u16 {
            interests.add(descriptor.into(), Some(entry(descriptor)), IN, descriptor.into()).unwrap();
        }
        let mut seen = Vec::new();
        for _ in 0..4 {
            interests.collect(1, |_| Look::Events(IN, 0), |_, data| seen.push(data));
        }
        assert_eq!(seen, [0, 1, 2, 3]);
    }

    #[test]
    fn the_kernels_are_counted_and_never_told() {
        let mut interests = Interests::default();
        interests.add(7, None, IN, 70).unwrap();
        interests.add(7, None, OUT, 71).unwrap();
        assert_eq!((interests.kernel(), interests.offloaded()), (1, 0));
        assert_eq!(told(&mut interests, IN), []);
        assert_eq!(interests.remove(7).unwrap().data, 71);
        assert_eq!(interests.kernel(), 0);
    }
}
