//! Which ranges of the arena are free. Pure bookkeeping: it touches no memory but its own.

use std::collections::BTreeSet;

/// Octets in a page, the largest range.
pub(super) const PAGE: u32 = 64 * 1024;
/// Pages in a block, the unit in which memory is faulted in.
pub(super) const BLOCK_PAGES: u32 = 32;

/// Octets in a page of the kernel's, the least that can be lent.
const KERNEL_PAGE: u32 = 4096;
/// Ranges above this consist of the kernel's pages, so that they can be lent.
const LARGEST_SHARING: u32 = 14 * 1024;
/// Ranges above this take a whole page: the rounding stays below an eighth.
const LARGEST_CLASS: u32 = 56 * 1024;
const CLASSES: usize = class_index(LARGEST_CLASS) + 1;
/// The most pages that a slab spans.
const SLAB_PAGES: u32 = 8;
const NO_SLAB: u32 = u32::MAX;

/// What a block is meant for. Either kind takes what the other has no room for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// Ranges that share pages of the kernel's; never lent.
    Sharing,
    /// Ranges of whole pages of the kernel's, which can be lent.
    Lending,
}

/// A range that was handed out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// Its first octet in the arena.
    pub(super) offset: u64,
    /// Its octets, rounding included.
    pub(super) size: u32,
    /// Whether it has its pages for itself, in a block without huge pages.
    pub(super) lendable: bool,
}

/// The free ranges of an arena.
pub(super) struct Allocator {
    /// The pages of the arena; the last block may have fewer than [`BLOCK_PAGES`].
    pages: u32,
    /// The blocks in use so far, in order of their place.
    blocks: Vec<Block>,
    /// For each purpose, the blocks with a free page, lowest first, so that ranges lie side by side.
    open: [BTreeSet<u32>; 2],
    /// The slab that each page of the used blocks belongs to.
    slab_of: Vec<u32>,
    slabs: Vec<Slab>,
    /// Places in `slabs` that are not used.
    vacant: Vec<u32>,
    /// For each class, the slabs with a free slot as (first page, slab): the lowest is filled first,
    /// so that the highest ones become empty.
    partial: [BTreeSet<(u32, u32)>; CLASSES],
}

struct Block {
    purpose: Purpose,
    /// A bit per page, set while it is free.
    free: u32,
}

struct Slab {
    first_page: u32,
    pages: u32,
    size: u32,
    slots: u32,
    used: u32,
    /// A bit per slot, set while it is free.
    free: Box<[u64]>,
}

impl Allocator {
    pub(super) fn new(pages: u32) -> Allocator {
        Allocator {
            pages,
            blocks: Vec::new(),
            open: [BTreeSet::new(), BTreeSet::new()],
            slab_of: Vec::new(),
            slabs: Vec::new(),
            vacant: Vec::new(),
            partial: [const { BTreeSet::new() }; CLASSES],
        }
    }

    /// A free range of at least `len` octets. `commit` is asked before a block is used for the first
    /// time, with the block's number and pages; when it refuses, the block stays unused.
    pub(super) fn allocate(&mut self, len: u32, commit: &mut dyn FnMut(u32, u32, Purpose) -> bool) -> Option<Place> {
        let size = rounded(len);
        if size == PAGE {
            let (page, purpose) = self.take_pages(1, Purpose::Lending, commit)?;
            return Some(Place { offset: offset_of(page), size, lendable: purpose == Purpose::Lending });
        }
        let class = class_index(size);
        if self.partial[class].is_empty() && !self.add_slab(size, commit) {
            return self.allocate_larger(class);
        }
        self.take_slot(class)
    }

    /// Takes back a range that `allocate` gave.
    pub(super) fn release(&mut self, offset: u64, size: u32) {
        let page = (offset / u64::from(PAGE)) as u32;
        if size == PAGE {
            return self.return_pages(page, 1);
        }
        let index = self.slab_of[page as usize];
        let slab = &mut self.slabs[index as usize];
        debug_assert_eq!(slab.size, size);
        let slot = ((offset - offset_of(slab.first_page)) / u64::from(size)) as usize;
        debug_assert!(slab.free[slot / 64] & 1 << (slot % 64) == 0, "released twice");
        slab.free[slot / 64] |= 1 << (slot % 64);
        slab.used -= 1;
        let key = (slab.first_page, index);
        let class = class_index(size);
        if slab.used == 0 {
            let (first, pages) = (slab.first_page, slab.pages);
            self.partial[class].remove(&key);
            self.vacant.push(index);
            self.slab_of[first as usize..(first + pages) as usize].fill(NO_SLAB);
            self.return_pages(first, pages);
        } else if slab.used + 1 == slab.slots {
            self.partial[class].insert(key);
        }
    }

    /// A slot of a larger class than wanted: better than none when every page is taken.
    fn allocate_larger(&mut self, class: usize) -> Option<Place> {
        let larger = (class + 1..CLASSES).find(|&class| !self.partial[class].is_empty())?;
        self.take_slot(larger)
    }

    fn take_slot(&mut self, class: usize) -> Option<Place> {
        let &key = self.partial[class].first()?;
        let slab = &mut self.slabs[key.1 as usize];
        let (word, bits) = slab.free.iter_mut().enumerate().find(|(_, bits)| **bits != 0)?;
        let slot = word as u32 * 64 + bits.trailing_zeros();
        *bits &= *bits - 1;
        slab.used += 1;
        let offset = offset_of(slab.first_page) + u64::from(slot * slab.size);
        let size = slab.size;
        if slab.used == slab.slots {
            self.partial[class].remove(&key);
        }
        let purpose = self.blocks[(slab.first_page / BLOCK_PAGES) as usize].purpose;
        Some(Place { offset, size, lendable: is_lendable(size) && purpose == Purpose::Lending })
    }

    /// Cuts a new slab of slots of `size` octets; a single page if there is no room for more.
    fn add_slab(&mut self, size: u32, commit: &mut dyn FnMut(u32, u32, Purpose) -> bool) -> bool {
        let wanted = slab_pages(size);
        let purpose = if is_lendable(size) { Purpose::Lending } else { Purpose::Sharing };
        let taken = match self.take_pages(wanted, purpose, commit) {
            Some((page, _)) => Some((page, wanted)),
            None if wanted > 1 => self.take_pages(1, purpose, commit).map(|(page, _)| (page, 1)),
            None => None,
        };
        let Some((first_page, pages)) = taken else { return false };
        let slots = pages * PAGE / size;
        let mut free = vec![u64::MAX; slots.div_ceil(64) as usize].into_boxed_slice();
        if !slots.is_multiple_of(64) {
            free[slots as usize / 64] = (1 << (slots % 64)) - 1;
        }
        let slab = Slab { first_page, pages, size, slots, used: 0, free };
        let index = match self.vacant.pop() {
            Some(index) => {
                self.slabs[index as usize] = slab;
                index
            }
            None => {
                self.slabs.push(slab);
                self.slabs.len() as u32 - 1
            }
        };
        self.slab_of[first_page as usize..(first_page + pages) as usize].fill(index);
        self.partial[class_index(size)].insert((first_page, index));
        true
    }

    /// `count` free pages side by side: in a block of this purpose, a new block, or any block.
    fn take_pages(
        &mut self,
        count: u32,
        purpose: Purpose,
        commit: &mut dyn FnMut(u32, u32, Purpose) -> bool,
    ) -> Option<(u32, Purpose)> {
        let other = if purpose == Purpose::Sharing { Purpose::Lending } else { Purpose::Sharing };
        let block = self
            .block_with(count, purpose)
            .or_else(|| self.add_block(count, purpose, commit))
            .or_else(|| self.block_with(count, other))?;
        let state = &mut self.blocks[block as usize];
        let first = run_of(state.free, count)?;
        state.free &= !mask(first, count);
        if state.free == 0 {
            self.open[state.purpose as usize].remove(&block);
        }
        Some((block * BLOCK_PAGES + first, state.purpose))
    }

    fn return_pages(&mut self, page: u32, count: u32) {
        let block = page / BLOCK_PAGES;
        let state = &mut self.blocks[block as usize];
        let pages = mask(page % BLOCK_PAGES, count);
        debug_assert!(state.free & pages == 0, "released twice");
        state.free |= pages;
        self.open[state.purpose as usize].insert(block);
    }

    fn block_with(&self, count: u32, purpose: Purpose) -> Option<u32> {
        let mut blocks = self.open[purpose as usize].iter().copied();
        blocks.find(|&block| run_of(self.blocks[block as usize].free, count).is_some())
    }

    fn add_block(
        &mut self,
        count: u32,
        purpose: Purpose,
        commit: &mut dyn FnMut(u32, u32, Purpose) -> bool,
    ) -> Option<u32> {
        let block = self.blocks.len() as u32;
        let pages = self.pages.saturating_sub(block * BLOCK_PAGES).min(BLOCK_PAGES);
        if pages < count || !commit(block, pages, purpose) {
            return None;
        }
        self.blocks.push(Block { purpose, free: mask(0, pages) });
        self.slab_of.resize(self.slab_of.len() + pages as usize, NO_SLAB);
        self.open[purpose as usize].insert(block);
        Some(block)
    }
}

/// The octets that a range of `len` octets occupies: eight classes to each doubling, in steps of at
/// least 64 octets, and of the kernel's pages where those can be lent.
pub(super) const fn rounded(len: u32) -> u32 {
    if len <= 512 {
        return len.next_multiple_of(64);
    }
    let step = (1 << (len - 1).ilog2()) / 8;
    match len.next_multiple_of(if is_lendable(len) && step < KERNEL_PAGE { KERNEL_PAGE } else { step }) {
        size if size > LARGEST_CLASS => PAGE,
        size => size,
    }
}

const fn is_lendable(size: u32) -> bool {
    size > LARGEST_SHARING
}

/// The place of a class, by its size, among all classes.
const fn class_index(size: u32) -> usize {
    if size <= 512 {
        return size as usize / 64 - 1;
    }
    let doubling = (size - 1).ilog2();
    let steps = (size - (1 << doubling)) / ((1 << doubling) / 8);
    (8 * (doubling - 8) + steps) as usize - 1
}

/// The pages that a slab should span so that at most 1/32 of it is left over.
fn slab_pages(size: u32) -> u32 {
    let left_over = |pages: u32| (pages * PAGE) % size;
    let good = (1..=SLAB_PAGES).find(|&pages| left_over(pages) * 32 <= pages * PAGE);
    good.unwrap_or(SLAB_PAGES)
}

fn offset_of(page: u32) -> u64 {
    u64::from(page) * u64::from(PAGE)
}

/// `count` bits from bit `first` on.
fn mask(first: u32, count: u32) -> u32 {
    (((1u64 << count) - 1) << first) as u32
}

/// The lowest place of `count` set bits side by side.
fn run_of(free: u32, count: u32) -> Option<u32> {
    let runs = (1..count).fold(free, |runs, shift| runs & (free >> shift));
    (runs != 0).then(|| runs.trailing_zeros())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rounding_wastes_at_most_an_eighth_or_less_than_a_page_of_the_kernels() {
        for len in 1..=PAGE {
            let size = rounded(len);
            assert!(size >= len && size <= PAGE);
            let is_little = size - len < 64 || (size - len) * 8 <= size;
            assert!(is_little || (len > LARGEST_SHARING && size - len < KERNEL_PAGE), "{len} takes {size}");
            assert_eq!(rounded(size), size);
        }
    }

    #[test]
    fn each_class_has_a_place_of_its_own() {
        let mut sizes: Vec<u32> = (1..=LARGEST_CLASS).map(rounded).collect();
        sizes.dedup();
        let indices: Vec<usize> = sizes.iter().map(|&size| class_index(size)).collect();
        assert!(indices.is_sorted_by(|a, b| a < b));
        assert_eq!((indices[0], indices.last()), (0, Some(&(CLASSES - 1))));
    }

    #[test]
    fn whole_pages_lie_side_by_side() {
        let mut allocator = Allocator::new(64);
        let offsets: Vec<u64> =
            (0..64).map(|_| allocator.allocate(PAGE, &mut |_, _, _| true).expect("room").offset).collect();
        assert_eq!(offsets, (0..64).map(offset_of).collect::<Vec<_>>());
        assert_eq!(allocator.allocate(PAGE, &mut |_, _, _| true), None);
    }

    #[test]
    fn nothing_in_a_block_that_shares_is_lendable() {
        let mut allocator = Allocator::new(BLOCK_PAGES);
        for len in [100, 20_000, PAGE] {
            assert!(!allocator.allocate(len, &mut |_, _, _| true).expect("room").lendable);
        }
    }

    #[test]
    fn large_ranges_are_lendable_and_small_ones_are_not() {
        let mut allocator = Allocator::new(2 * BLOCK_PAGES);
        for (len, lendable) in [(PAGE, true), (100, false), (LARGEST_SHARING, false), (LARGEST_SHARING + 1, true)] {
            assert_eq!(allocator.allocate(len, &mut |_, _, _| true).expect("room").lendable, lendable, "{len}");
        }
    }

    #[test]
    fn a_refused_block_is_asked_for_again() {
        let mut allocator = Allocator::new(BLOCK_PAGES);
        assert_eq!(allocator.allocate(PAGE, &mut |_, _, _| false), None);
        assert!(allocator.allocate(PAGE, &mut |_, _, _| true).is_some());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Allocate(u32),
        Release(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let len = prop_oneof![1..=600u32, 1..=PAGE, Just(PAGE)];
        let step = prop_oneof![3 => len.prop_map(Step::Allocate), 2 => any::<usize>().prop_map(Step::Release)];
        prop::collection::vec(step, 1..400)
    }

    proptest! {
        #[test]
        fn ranges_never_overlap_and_all_come_back(pages in 1..100u32, steps in steps()) {
            let mut allocator = Allocator::new(pages);
            let mut live: Vec<Place> = Vec::new();
            for step in steps {
                match step {
                    Step::Allocate(len) => {
                        let Some(place) = allocator.allocate(len, &mut |_, _, _| true) else { continue };
                        prop_assert!(place.size >= len);
                        prop_assert!(place.offset + u64::from(place.size) <= offset_of(pages));
                        if place.lendable {
                            let page = u64::from(KERNEL_PAGE);
                            prop_assert_eq!((place.offset % page, u64::from(place.size) % page), (0, 0));
                        }
                        for other in &live {
                            prop_assert!(
                                place.offset + u64::from(place.size) <= other.offset
                                    || other.offset + u64::from(other.size) <= place.offset
                            );
                        }
                        live.push(place);
                    }
                    Step::Release(_) if live.is_empty() => {}
                    Step::Release(which) => {
                        let place = live.swap_remove(which % live.len());
                        allocator.release(place.offset, place.size);
                    }
                }
            }
            for place in live.drain(..) {
                allocator.release(place.offset, place.size);
            }
            for _ in 0..pages {
                prop_assert!(allocator.allocate(PAGE, &mut |_, _, _| true).is_some());
            }
            prop_assert!(allocator.allocate(1, &mut |_, _, _| true).is_none());
        }
    }
}
