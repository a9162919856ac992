//! The arena: hands out extents, and takes their ranges back.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::param::page_size;

use super::MAX_EXTENT;
use super::allocator::{Allocator, PAGE, Place, Purpose};
use super::extent::{ExtentMut, Range};
use super::mapping::{BLOCK, Mapping};

/// Lent ranges that one `allocate` punches beyond what it needs: a purge of everything is paid for by
/// many allocations, not by one.
const PUNCHES: usize = 8;

/// One mapping of pinned memory. See the [module](super).
pub struct Arena {
    mapping: Mapping,
    capacity: u64,
    /// Octets of other files behind it, in the same range of addresses ([`Pool`](super::Pool)).
    behind: u64,
    in_use: AtomicU64,
    /// A [`Lending`].
    lending: AtomicU8,
    state: Mutex<State>,
    /// Ranges that were dropped and wait for `allocate` to take them back. Held for a push or a swap,
    /// so that dropping an extent on an engine never waits for a worker's system calls.
    returned: Mutex<Vec<Returned>>,
}

/// What an arena holds, in octets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ArenaStats {
    /// The most that can be handed out.
    pub capacity: u64,
    /// Handed out and not dropped, rounding included.
    pub in_use: u64,
    /// Faulted in.
    pub committed: u64,
    /// Locked in memory, as far as RLIMIT_MEMLOCK allows.
    pub locked: u64,
    /// In huge pages.
    pub huge: u64,
}

/// The arena's pages were lent to the kernel, and may be punched at any time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AlreadyLent;

/// Whether pages are lent to the kernel or registered with a device. The first use decides for ever:
/// a page that a device knows must never be punched.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lending {
    Undecided = 0,
    Allowed = 1,
    Refused = 2,
}

struct State {
    allocator: Allocator,
    /// Lent ranges, as offset and octets, that cannot be used before they are punched.
    to_punch: Vec<(u64, u32)>,
    residence: Residence,
}

/// What is in memory, in octets. Blocks are faulted in once, in the order of their place, and a block
/// that is in memory keeps its pages: nothing is made huge later.
#[derive(Default)]
struct Residence {
    committed: u64,
    locked: u64,
    huge: u64,
    /// The limit on locked memory was reached; no need to ask again.
    lock_refused: bool,
    /// What lies behind is in memory, too.
    has_behind: bool,
}

struct Returned {
    offset: u64,
    size: u32,
    lent: bool,
}

impl Arena {
    /// Reserves an arena of `capacity` octets, rounded down to whole pages of 64 KiB, at least one.
    /// No memory is used yet.
    ///
    /// # Errors
    /// The system refused the file or the mapping.
    pub fn new(capacity: u64) -> io::Result<Arc<Arena>> {
        Arena::before(&[], 0, capacity)
    }

    /// An arena with `size` octets of each of these files behind it: a multiple of the largest pages that there are.
    pub(super) fn before(files: &[OwnedFd], size: usize, capacity: u64) -> io::Result<Arc<Arena>> {
        let too_large =
            || io::Error::new(io::ErrorKind::InvalidInput, "the arena's capacity exceeds the address space");
        let pages = u32::try_from((capacity / u64::from(PAGE)).max(1)).map_err(|_| too_large())?;
        let capacity = u64::from(pages) * u64::from(PAGE);
        let mapping = Mapping::new(usize::try_from(capacity).map_err(|_| too_large())?, files, size)?;
        Ok(Arc::new(Arena {
            mapping,
            capacity,
            behind: (files.len() * size) as u64,
            in_use: AtomicU64::new(0),
            lending: AtomicU8::new(Lending::Undecided as u8),
            state: Mutex::new(State {
                allocator: Allocator::new(pages),
                to_punch: Vec::new(),
                residence: Residence::default(),
            }),
            returned: Mutex::new(Vec::new()),
        }))
    }

    /// An extent of `len` octets with arbitrary contents, or `None` if there is no room for it or the
    /// system has no memory. May fault memory in: not for engines.
    ///
    /// # Panics
    /// Unless `len` is within `1..=MAX_EXTENT`.
    pub fn allocate(self: &Arc<Self>, len: usize) -> Option<ExtentMut> {
        assert!((1..=MAX_EXTENT).contains(&len), "an extent has 1 to {MAX_EXTENT} octets");
        let mut state = lock(&self.state);
        self.collect(&mut state);
        self.punch(&mut state, PUNCHES);
        let place = loop {
            if let Some(place) = self.place(&mut state, len as u32) {
                break place;
            }
            if !self.punch(&mut state, 1) {
                return None;
            }
        };
        drop(state);
        self.in_use.fetch_add(u64::from(place.size), Ordering::Relaxed);
        let base = self.mapping.base();
        // SAFETY: the allocator gives places within the mapping only.
        let start = unsafe { base.add(place.offset as usize) };
        // SAFETY: the place is ours alone until the range is dropped: the allocator never hands out a
        // place twice, and it was faulted in.
        Some(unsafe { ExtentMut::new(Range::new(self.clone(), start, place), len as u32) })
    }

    /// Refuses from now on to lend pages: what a transport asks for that registers the arena with a
    /// device, which must never see a page punched.
    ///
    /// # Errors
    /// Pages were lent already.
    pub fn register(&self) -> Result<(), AlreadyLent> {
        if self.decide(Lending::Refused) { Ok(()) } else { Err(AlreadyLent) }
    }

    /// Registers the arena, faults all of it in, and keeps its pages where they are from now on: what a
    /// device needs that knows memory by its pages. Takes about a second per GiB: not for engines.
    ///
    /// # Errors
    /// Pages were lent already, or there is no memory.
    pub(crate) fn fix(&self) -> io::Result<()> {
        self.register().map_err(|lent| io::Error::new(io::ErrorKind::ResourceBusy, lent))?;
        let residence = &mut lock(&self.state).residence;
        while residence.committed < self.capacity {
            let start = residence.committed as usize;
            let len = ((self.capacity - residence.committed) as usize).min(BLOCK);
            // No page of a registered arena is ever punched, so that huge pages suit any block.
            self.commit(residence, start, len, true)?;
        }
        if !residence.has_behind && self.behind > 0 {
            self.mapping.populate(self.capacity as usize, self.behind as usize)?;
            residence.has_behind = true;
        }
        Ok(())
    }

    /// The octets handed out and not dropped, rounding included.
    pub fn in_use(&self) -> u64 {
        self.in_use.load(Ordering::Relaxed)
    }

    /// The most octets that can be handed out.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// What the arena holds now.
    pub fn stats(&self) -> ArenaStats {
        let state = lock(&self.state);
        ArenaStats {
            capacity: self.capacity,
            in_use: self.in_use(),
            committed: state.residence.committed,
            locked: state.residence.locked,
            huge: state.residence.huge,
        }
    }

    /// Octets from where the arena begins to the end of what lies behind it.
    pub(crate) fn span(&self) -> u64 {
        self.capacity + self.behind
    }

    /// Where the arena begins.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.mapping.base()
    }

    /// Where `start`, an address in the arena, lies in the file.
    pub(super) fn offset_of(&self, start: NonNull<u8>) -> u64 {
        (start.addr().get() - self.mapping.base().addr().get()) as u64
    }

    /// Whether pages may be lent to the kernel.
    pub(super) fn may_lend(&self) -> bool {
        self.mapping.is_plain() && self.decide(Lending::Allowed)
    }

    /// Takes a dropped range back. Called on any thread; makes no system call.
    pub(super) fn give_back(&self, offset: u64, size: u32, lent: bool) {
        self.in_use.fetch_sub(u64::from(size), Ordering::Relaxed);
        lock(&self.returned).push(Returned { offset, size, lent });
    }

    fn decide(&self, wanted: Lending) -> bool {
        if self.lending.load(Ordering::Acquire) == wanted as u8 {
            return true;
        }
        let undecided = Lending::Undecided as u8;
        match self.lending.compare_exchange(undecided, wanted as u8, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(decided) => decided == wanted as u8,
        }
    }

    fn collect(&self, state: &mut State) {
        let returned = std::mem::take(&mut *lock(&self.returned));
        for Returned { offset, size, lent } in returned {
            if lent {
                state.to_punch.push((offset, size));
            } else {
                state.allocator.release(offset, size);
            }
        }
    }

    /// Punches up to `count` lent ranges and makes them free; false if there was none, or the system
    /// refused: the range is tried again by a later `allocate`.
    fn punch(&self, state: &mut State, count: usize) -> bool {
        let mut done = false;
        for _ in 0..count {
            let Some(&(offset, size)) = state.to_punch.last() else { break };
            let (start, len) = (offset as usize, size as usize);
            // SAFETY: the extent that had these pages to itself is gone, and the allocator has not
            // handed them out again.
            let punched = unsafe { self.mapping.punch(start, len) };
            if punched.and_then(|()| self.mapping.populate(start, len)).is_err() {
                break;
            }
            state.to_punch.pop();
            state.allocator.release(offset, size);
            done = true;
        }
        done
    }

    fn place(&self, state: &mut State, len: u32) -> Option<Place> {
        let State { allocator, residence, .. } = state;
        let mut place = allocator.allocate(len, &mut |block, pages, purpose| {
            let (start, len) = (block as usize * BLOCK, pages as usize * PAGE as usize);
            (start as u64) < residence.committed
                || self.commit(residence, start, len, purpose == Purpose::Sharing).is_ok()
        })?;
        // Some kernels have larger pages than the allocator thinks of.
        let page = page_size();
        place.lendable &= (place.size as usize).is_multiple_of(page) && (place.offset as usize).is_multiple_of(page);
        Some(place)
    }

    /// Faults a block in, the first that is not yet, makes it a huge page if that suits it, and locks it.
    fn commit(&self, residence: &mut Residence, start: usize, len: usize, huge: bool) -> io::Result<()> {
        self.mapping.populate(start, len)?;
        residence.committed += len as u64;
        if huge && len == BLOCK && self.mapping.make_huge(start) {
            residence.huge += len as u64;
        }
        residence.lock_refused = residence.lock_refused || self.mapping.lock(start, len).is_err();
        if !residence.lock_refused {
            residence.locked += len as u64;
        }
        Ok(())
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena").field("capacity", &self.capacity).field("in_use", &self.in_use()).finish()
    }
}

impl fmt::Display for AlreadyLent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pages of the arena were already lent to the kernel")
    }
}

impl std::error::Error for AlreadyLent {}

/// A panic of another thread leaves these locks' contents whole: nothing under them can panic midway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_is_never_exceeded_and_comes_back() {
        let arena = Arena::new(1 << 20).expect("an arena");
        for _ in 0..3 {
            let mut extents = Vec::new();
            while let Some(extent) = arena.allocate(10_000) {
                extents.push(extent);
            }
            assert!(extents.len() > 90, "{} extents of 10,000 octets in 1 MiB", extents.len());
            assert!(arena.in_use() <= arena.capacity());
            drop(extents);
            assert_eq!(arena.in_use(), 0);
        }
    }

    #[test]
    fn memory_is_faulted_in_as_it_is_used() {
        let arena = Arena::new(64 << 20).expect("an arena");
        assert_eq!(arena.stats().committed, 0);
        let _extent = arena.allocate(1).expect("room");
        let stats = arena.stats();
        assert_eq!(stats.committed, 2 << 20);
        assert!(stats.locked <= stats.committed && stats.huge <= stats.committed);
        assert_eq!(stats.in_use, 64);
    }

    #[test]
    fn a_fixed_arena_is_in_memory_as_a_whole() {
        let arena = Arena::new(5 << 20).expect("an arena");
        let _before = arena.allocate(MAX_EXTENT).expect("room");
        for _ in 0..2 {
            arena.fix().expect("nothing was lent");
            assert_eq!(arena.stats().committed, arena.capacity());
        }
        let mut extents = Vec::new();
        while let Some(extent) = arena.allocate(MAX_EXTENT) {
            extents.push(extent);
        }
        assert_eq!(extents.len(), 79, "80 pages, one of them taken");
        assert_eq!(arena.stats().committed, arena.capacity());
    }

    #[test]
    fn a_registered_arena_never_lends_and_a_lent_one_is_never_registered() {
        let arena = Arena::new(1 << 20).expect("an arena");
        assert_eq!(arena.register(), Ok(()));
        assert!(!arena.may_lend());
        assert_eq!(arena.register(), Ok(()));

        let arena = Arena::new(1 << 20).expect("an arena");
        assert!(arena.may_lend());
        assert!(arena.fix().is_err());
        assert_eq!(arena.register(), Err(AlreadyLent));
    }
}
