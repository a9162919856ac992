//! Input that arrived before what goes in front of it.

use std::collections::VecDeque;

use afpa_wire::sequence::Sequence;
use arrayvec::ArrayVec;

use crate::pool::Reset;
use crate::receive::memory::{BLOCK, Block, Memory};
use crate::receive::unread::Unread;

/// Octets beyond RCV.NXT, where they belong in the sequence space. Of contradictory segments the octets
/// that arrived first win.
///
/// They lie in blocks of 2 KiB, each for an aligned stretch of the sequence space. However a peer cuts and scatters its
/// segments, a connection holds no more than its window and a block, 16 octets for each block (twice that while they
/// are growing), and 2 KiB of ranges. The blocks count as used [`Memory`]. A segment for which there is no memory,
/// or that would be the 257th range, is not kept: the peer sends it again.
///
/// Nothing is held when it [is empty](Reassembly::is_empty); it must be [cleared](Reassembly::clear) before it is
/// dropped.
#[derive(Default)]
pub(crate) struct Reassembly {
    /// By the number of their first octet, in order.
    blocks: VecDeque<(Sequence, Box<Block>)>,
    /// What is held: in order, not empty, and with a hole between each two.
    ranges: Vec<Range>,
    /// A number within each of the ranges that changed last, the latest first.
    recent: ArrayVec<Sequence, 4>,
    /// Where the peer's FIN is.
    end: Option<Sequence>,
}

/// Sequence numbers from the first to before the second: also the form of a SACK block (RFC 2018 §3).
pub(crate) type Range = (Sequence, Sequence);

/// What became of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Inserted {
    /// Octets kept that were not there before.
    pub(crate) stored: usize,
    /// Its first octets that had arrived before, for the next acknowledgment to report (RFC 2883 §4).
    pub(crate) duplicate: Option<Range>,
}

/// Ranges at most: with more, the memory for them would be worth a block.
const RANGES: usize = 256;

/// No window is larger, whatever RFC 7323 §2.3 allows.
const LARGEST_WINDOW: u32 = 16 * 1024 * 1024;

impl Reassembly {
    /// Whether it holds no octets and knows no end.
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty() && self.end.is_none()
    }

    /// Octets held.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.ranges.iter().map(|&(start, end)| end.offset_from(start) as usize).sum()
    }

    /// What is held, in order.
    pub(crate) fn ranges(&self) -> &[Range] {
        &self.ranges
    }

    /// Keeps what of `bytes` lies between `next` (RCV.NXT) and `next + window` (of at most 16 MiB), before the
    /// peer's FIN, and is not there yet. `start` is the sequence number of the first of them.
    pub(crate) fn insert(
        &mut self,
        start: Sequence,
        bytes: &[u8],
        next: Sequence,
        window: u32,
        memory: &mut Memory,
    ) -> Inserted {
        self.forget_before(next, memory);
        let ahead = i64::from(start.offset_from(next) as i32);
        let behind = (-ahead).clamp(0, bytes.len() as i64);
        let mut inserted = Inserted { stored: 0, duplicate: (behind > 0).then(|| (start, start + behind as u32)) };
        let Some(bytes) = bytes.get(behind as usize..) else { return inserted };
        let first = start + behind as u32;
        let window = self.end.map_or(window, |end| window.min(end.offset_from(next))).min(LARGEST_WINDOW);
        let room = i64::from(window) - (ahead + behind);
        let bytes = &bytes[..bytes.len().min(room.max(0) as usize)];
        let (touched, held) = self.touching(first, first + bytes.len() as u32);
        if bytes.is_empty() || (touched.is_empty() && self.ranges.len() >= RANGES) {
            return inserted;
        }
        inserted.duplicate = inserted.duplicate.or(held);
        let last = self.provide(first, first + bytes.len() as u32, memory);
        // Without memory for all of it, it may touch less.
        let (touched, _) = self.touching(first, last);
        if last != first && (!touched.is_empty() || self.ranges.len() < RANGES) {
            inserted.stored = self.fill(first, last, bytes, touched);
        }
        inserted
    }

    /// The peer's FIN has the sequence number `end`. The first that is said counts, unless octets beyond it were said
    /// before; none are kept after it.
    pub(crate) fn insert_end(&mut self, end: Sequence) {
        let has_beyond = self.ranges.last().is_some_and(|&(_, last)| last.after(end));
        if self.end.is_none() && !has_beyond {
            self.end = Some(end);
        }
    }

    /// Whether the FIN comes next.
    pub(crate) fn is_end(&self, next: Sequence) -> bool {
        self.end == Some(next)
    }

    /// Moves the octets from `next` to the first hole into `unread`, and returns how many. What lies before `next` is
    /// forgotten. What `unread` has no memory for stays.
    pub(crate) fn take_ready(&mut self, next: Sequence, unread: &mut Unread, memory: &mut Memory) -> u32 {
        self.take_with(next, &[], unread, memory)
    }

    /// As [`Reassembly::take_ready`] when `bytes`, from `next` on, have just arrived: they go to `unread` where nothing
    /// is held yet, so that no block is needed to close a hole.
    pub(crate) fn take_with(&mut self, next: Sequence, bytes: &[u8], unread: &mut Unread, memory: &mut Memory) -> u32 {
        let mut at = next;
        self.forget_before(next, memory);
        let before_end = self.end.map_or(usize::MAX, |end| end.offset_from(next) as usize);
        let bytes = &bytes[..bytes.len().min(before_end)];
        loop {
            at += self.take_held(at, unread, memory);
            let left = bytes.get(at.offset_from(next) as usize..).unwrap_or_default();
            let hole = self.ranges.first().map_or(usize::MAX, |range| range.0.offset_from(at) as usize);
            let fitting = &left[..left.len().min(hole)];
            if fitting.is_empty() || !unread.push(fitting, memory) {
                return at.offset_from(next);
            }
            at += fitting.len() as u32;
        }
    }

    /// Moves what is held from `next` on, block by block.
    fn take_held(&mut self, next: Sequence, unread: &mut Unread, memory: &mut Memory) -> u32 {
        self.forget_before(next, memory);
        let mut at = next;
        while let Some(&(start, end)) = self.ranges.first().filter(|range| range.0 == at) {
            let (stretch, offset) = place(start);
            let count = (end.offset_from(start) as usize).min(BLOCK - offset);
            let Some((_, block)) = self.blocks.front().filter(|block| block.0 == stretch) else { break };
            if !unread.push(&block[offset..offset + count], memory) {
                break;
            }
            at += count as u32;
            self.forget_before(at, memory);
        }
        at.offset_from(next)
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self, memory: &mut Memory) {
        self.give_blocks(memory);
        self.reset();
    }

    /// Drops what lies before `next`: it arrived otherwise. An end there was a lie.
    fn forget_before(&mut self, next: Sequence, memory: &mut Memory) {
        self.end = self.end.filter(|end| !end.before(next));
        self.ranges.retain(|range| range.1.after(next));
        let Some(first) = self.ranges.first_mut() else {
            self.recent.clear();
            return self.give_blocks(memory);
        };
        first.0 = first.0.max(next);
        while self.blocks.front().is_some_and(|block| !(block.0 + BLOCK as u32).after(next)) {
            self.blocks.pop_front().into_iter().for_each(|(_, block)| memory.give_block(block));
        }
    }

    fn give_blocks(&mut self, memory: &mut Memory) {
        self.blocks.drain(..).for_each(|(_, block)| memory.give_block(block));
    }

    /// Which ranges overlap or touch `first..last`, and the first part of it that is held.
    fn touching(&self, first: Sequence, last: Sequence) -> (std::ops::Range<usize>, Option<Range>) {
        let from = self.ranges.partition_point(|range| range.1.before(first));
        let to = self.ranges.partition_point(|range| !range.0.after(last));
        let mut overlaps = self.ranges[from..to].iter().map(|range| (range.0.max(first), range.1.min(last)));
        let held = overlaps.find(|overlap| overlap.0.before(overlap.1));
        (from..to, held)
    }

    /// Sees to blocks for `first..last`, as far as there is memory; returns how far that is.
    fn provide(&mut self, first: Sequence, last: Sequence, memory: &mut Memory) -> Sequence {
        let (mut stretch, _) = place(first);
        while stretch.before(last) {
            if let Err(index) = self.block(stretch) {
                let Some(block) = memory.take_block() else { return stretch.max(first) };
                self.blocks.insert(index, (stretch, block));
            }
            stretch += BLOCK as u32;
        }
        last
    }

    /// The index of a stretch's block, or where it belongs.
    fn block(&self, stretch: Sequence) -> Result<usize, usize> {
        let index = self.blocks.partition_point(|block| block.0.before(stretch));
        if self.blocks.get(index).is_some_and(|block| block.0 == stretch) { Ok(index) } else { Err(index) }
    }

    /// Copies what of `first..last` is not held, makes one range of it and those that it touches, and returns how
    /// many octets were copied. There are blocks for all of it.
    fn fill(&mut self, first: Sequence, last: Sequence, bytes: &[u8], touched: std::ops::Range<usize>) -> usize {
        let (mut stored, mut at) = (0, first);
        let mut merged = (first, last);
        for index in touched.clone() {
            let (start, end) = self.ranges[index];
            merged = (merged.0.min(start), merged.1.max(end));
            if at.before(start) {
                stored += self.copy(at, start.min(last), first, bytes);
            }
            at = at.max(end);
        }
        if at.before(last) {
            stored += self.copy(at, last, first, bytes);
        }
        self.ranges.splice(touched, [merged]);
        self.recent.retain(|recent| recent.before(merged.0) || !recent.before(merged.1));
        self.recent.truncate(self.recent.capacity() - 1);
        self.recent.insert(0, merged.0);
        stored
    }

    /// Copies the octets from `at` to `until`; the first of `bytes` has the number `first`.
    fn copy(&mut self, at: Sequence, until: Sequence, first: Sequence, bytes: &[u8]) -> usize {
        let count = until.offset_from(at) as usize;
        let skipped = at.offset_from(first) as usize;
        let mut bytes = &bytes[skipped..skipped + count];
        let mut to = at;
        while !bytes.is_empty() {
            let (stretch, offset) = place(to);
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - offset));
            if let Ok(index) = self.block(stretch) {
                self.blocks[index].1[offset..offset + now.len()].copy_from_slice(now);
            }
            to += now.len() as u32;
            bytes = later;
        }
        count
    }
}

impl Reset for Reassembly {
    /// Memory for the index stays, if it is small.
    fn reset(&mut self) {
        debug_assert!(self.blocks.is_empty(), "blocks go back to the memory that they are from");
        let (mut blocks, mut ranges) = (std::mem::take(&mut self.blocks), std::mem::take(&mut self.ranges));
        blocks.clear();
        blocks.shrink_to(64);
        ranges.clear();
        *self = Reassembly { blocks, ranges, ..Reassembly::default() };
    }
}

/// The stretch that a number lies in, by its first number, and where in it.
fn place(number: Sequence) -> (Sequence, usize) {
    let offset = number.0 % BLOCK as u32;
    (number - offset, offset as usize)
}

/// The SACK blocks of an acknowledgment, as numbers, at most `most` (four; three beside timestamps): what arrived twice
/// (RFC 2883 §4), then the range that the segment which arrived last belongs to, then those
/// that changed before it (RFC 2018 §4), then the others from the front.
pub(crate) fn sack_blocks(
    duplicate: Option<Range>,
    reassembly: Option<&Reassembly>,
    most: usize,
) -> ArrayVec<(u32, u32), 4> {
    let ranges = reassembly.map_or(&[][..], Reassembly::ranges);
    let recent = reassembly.map_or(&[][..], |reassembly| &reassembly.recent);
    let holding = |number: Sequence| {
        let index = ranges.partition_point(|range| !range.1.after(number));
        ranges.get(index).copied().filter(|range| !range.0.after(number))
    };
    let others = ranges.iter().copied().filter(|range| !recent.iter().any(|&number| holding(number) == Some(*range)));
    let held = recent.iter().filter_map(|&number| holding(number)).chain(others);
    duplicate.into_iter().chain(held).take(most.min(4)).map(|(start, end)| (start.0, end.0)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// A receiver, and beside it a map from each number (from the first on, without wrapping) to its octet.
    struct Receiver {
        reassembly: Reassembly,
        memory: Memory,
        unread: Unread,
        first: Sequence,
        next: u64,
        model: BTreeMap<u64, u8>,
    }

    impl Receiver {
        fn new(first: u32, limit: usize) -> Receiver {
            Receiver {
                reassembly: Reassembly::default(),
                memory: Memory::new(limit),
                unread: Unread::default(),
                first: Sequence(first),
                next: 1 << 32,
                model: BTreeMap::new(),
            }
        }

        fn sequence(&self, number: u64) -> Sequence {
            self.first + number as u32
        }

        fn next(&self) -> Sequence {
            self.sequence(self.next)
        }

        fn insert(&mut self, start: u64, bytes: &[u8], window: u32) -> Inserted {
            let (start, next) = (self.sequence(start), self.next());
            self.reassembly.insert(start, bytes, next, window, &mut self.memory)
        }

        /// As `insert`, after which the map has the same, if it was kept.
        fn insert_in_both(&mut self, start: u64, bytes: &[u8], window: u32) -> Inserted {
            let inserted = self.insert(start, bytes, window);
            let mut stored = 0;
            for (number, &octet) in (start..).zip(bytes) {
                let fits = (self.next..self.next + u64::from(window)).contains(&number);
                if fits && stored < inserted.stored && !self.model.contains_key(&number) {
                    self.model.insert(number, octet);
                    stored += 1;
                }
            }
            assert_eq!(stored, inserted.stored, "kept what was there or beyond the window");
            inserted
        }

        fn take_ready(&mut self) -> usize {
            self.take_with(&[])
        }

        /// With octets that have just arrived, and are the next.
        fn take_with(&mut self, bytes: &[u8]) -> usize {
            let next = self.next();
            let taken = self.reassembly.take_with(next, bytes, &mut self.unread, &mut self.memory) as usize;
            for (number, &octet) in (self.next..self.next + taken as u64).zip(bytes) {
                self.model.entry(number).or_insert(octet);
            }
            let mut expected = Vec::new();
            while let Some(octet) = self.model.remove(&(self.next + expected.len() as u64)) {
                expected.push(octet);
            }
            assert_eq!(self.unread[..], expected[..taken]);
            self.unread.clear(&mut self.memory);
            for (number, &octet) in (self.next..).zip(&expected).skip(taken) {
                self.model.insert(number, octet);
            }
            self.next += taken as u64;
            taken
        }

        fn modelled_ranges(&self) -> Vec<Range> {
            let mut ranges: Vec<(u64, u64)> = Vec::new();
            for &number in self.model.keys() {
                match ranges.last_mut() {
                    Some(last) if last.1 == number => last.1 += 1,
                    _ => ranges.push((number, number + 1)),
                }
            }
            ranges.iter().map(|&(start, end)| (self.sequence(start), self.sequence(end))).collect()
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// A segment so far from what is next, so long, filled with this.
        Segment(i64, usize, u8),
        Take,
        /// What is next arrives.
        Next(usize, u8),
        /// What is next arrived, and this is not told of it.
        Advance(u64),
    }

    fn steps(reach: i64, longest: usize) -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            8 => (-reach / 8..reach, 0..longest, any::<u8>()).prop_map(|(at, len, fill)| Step::Segment(at, len, fill)),
            1 => Just(Step::Take),
            1 => (0..longest, any::<u8>()).prop_map(|(len, fill)| Step::Next(len, fill)),
            1 => (0..longest as u64).prop_map(Step::Advance),
        ];
        prop::collection::vec(step, 0..60)
    }

    fn octets(len: usize, fill: u8) -> Vec<u8> {
        (0..len).map(|i| fill.wrapping_add(i as u8)).collect()
    }

    fn run(receiver: &mut Receiver, steps: &[Step], window: u32) {
        for step in steps {
            match *step {
                Step::Segment(at, len, fill) => {
                    let bytes = octets(len, fill);
                    let start = receiver.next.saturating_add_signed(at);
                    let before = receiver.modelled_ranges();
                    let inserted = receiver.insert_in_both(start, &bytes, window);
                    check_duplicate(receiver, start, len, inserted, &before);
                }
                Step::Take => {
                    receiver.take_ready();
                }
                Step::Next(len, fill) => {
                    receiver.take_with(&octets(len, fill));
                }
                Step::Advance(count) => {
                    receiver.next += count;
                    receiver.model = receiver.model.split_off(&receiver.next);
                    receiver.take_ready();
                }
            }
            check_blocks(receiver, window);
        }
    }

    fn check_duplicate(receiver: &Receiver, start: u64, len: usize, inserted: Inserted, before: &[Range]) {
        let Some((from, to)) = inserted.duplicate else { return };
        assert!(from.before(to));
        assert!(!from.before(receiver.sequence(start)) && !to.after(receiver.sequence(start + len as u64)));
        let old = !to.after(receiver.next());
        assert!(old || before.iter().any(|range| !from.before(range.0) && !to.after(range.1)), "was not there");
    }

    fn check_blocks(receiver: &Receiver, window: u32) {
        let reassembly = &receiver.reassembly;
        let expected = receiver.modelled_ranges();
        assert_eq!(reassembly.ranges(), expected);
        assert_eq!(reassembly.len(), receiver.model.len());
        assert_eq!(reassembly.is_empty(), receiver.model.is_empty());
        let most = if reassembly.is_empty() { 0 } else { window as usize / BLOCK * BLOCK + 2 * BLOCK };
        assert!(receiver.memory.used() <= most, "{} octets used, {most} at most", receiver.memory.used());
        let blocks = sack_blocks(None, Some(reassembly), 4);
        assert_eq!(blocks.len(), expected.len().min(4));
        for (index, &(start, end)) in blocks.iter().enumerate() {
            assert!(expected.contains(&(Sequence(start), Sequence(end))), "reports what is not held");
            assert!(!blocks[..index].contains(&(start, end)), "reports a range twice");
        }
    }

    proptest! {
        #[test]
        fn small_overlapping_segments_end_up_as_in_a_map(
            first: u32, window in 1u32..200, steps in steps(220, 40), close in any::<bool>(),
        ) {
            let first = if close { u32::MAX - first % 300 } else { first };
            run(&mut Receiver::new(first, usize::MAX), &steps, window);
        }

    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn so_do_those_that_cross_blocks(first: u32, window in 1u32..9000, steps in steps(10_000, 3000)) {
            run(&mut Receiver::new(first, usize::MAX), &steps, window);
        }

        /// Only the start of a segment may be kept then.
        #[test]
        fn so_do_those_for_which_memory_is_scarce(
            first: u32, limit in 0usize..12_000, steps in steps(10_000, 3000),
        ) {
            let mut receiver = Receiver::new(first, limit);
            run(&mut receiver, &steps, 8192);
            receiver.reassembly.clear(&mut receiver.memory);
            prop_assert_eq!(receiver.memory.used(), 0);
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(
            calls in prop::collection::vec((any::<u32>(), 0usize..3000, any::<u32>(), any::<u32>(), 0u8..8), 0..40),
        ) {
            let mut memory = Memory::new(1 << 20);
            let (mut reassembly, mut unread) = (Reassembly::default(), Unread::default());
            for (start, len, next, window, call) in calls {
                match call {
                    0 => reassembly.insert_end(Sequence(start)),
                    1 | 2 => _ = reassembly.take_ready(Sequence(next), &mut unread, &mut memory),
                    _ => {
                        // Mostly close to each other, at times anywhere.
                        let near = if call > 4 { next.wrapping_add(start % 5000) } else { start };
                        let inserted =
                            reassembly.insert(Sequence(near), &vec![1; len], Sequence(next), window, &mut memory);
                        sack_blocks(inserted.duplicate, Some(&reassembly), len);
                    }
                }
                prop_assert!(memory.used() <= 1 << 20);
            }
            reassembly.clear(&mut memory);
            unread.clear(&mut memory);
            prop_assert_eq!(memory.used(), 0);
        }
    }

    /// RFC 2018 §4, in the manner of its examples: 5000 arrived, of eight segments of 500 some are lost.
    #[test]
    fn sack_blocks_report_the_latest_first() {
        let mut receiver = Receiver::new(5000, usize::MAX);
        let base = receiver.next;
        let mut arrive = |at: u64, most| {
            let inserted = receiver.insert(base + at, &[0; 500], 65_535);
            sack_blocks(inserted.duplicate, Some(&receiver.reassembly), most).to_vec()
        };
        assert_eq!(arrive(500, 4), [(5500, 6000)]);
        assert_eq!(arrive(1500, 4), [(6500, 7000), (5500, 6000)]);
        assert_eq!(arrive(2500, 4), [(7500, 8000), (6500, 7000), (5500, 6000)]);
        assert_eq!(arrive(3500, 4), [(8500, 9000), (7500, 8000), (6500, 7000), (5500, 6000)]);
        assert_eq!(arrive(4500, 3), [(9500, 10_000), (8500, 9000), (7500, 8000)]);
        assert_eq!(arrive(2000, 4), [(6500, 8000), (9500, 10_000), (8500, 9000), (5500, 6000)]);
        // RFC 2883 §4.2: what arrived again, then the range that it belongs to.
        assert_eq!(arrive(2500, 3), [(7500, 8000), (6500, 8000), (9500, 10_000)]);
        // Below what is next: RFC 2883 §4.1.
        let inserted = receiver.insert(base - 500, &[0; 500], 65_535);
        assert_eq!(inserted.duplicate, Some((Sequence(4500), Sequence(5000))));
        assert_eq!(sack_blocks(inserted.duplicate, None, 4)[..], [(4500, 5000)]);
        assert!(sack_blocks(None, None, 4).is_empty());
        assert!(sack_blocks(inserted.duplicate, Some(&receiver.reassembly), 0).is_empty());
    }

    #[test]
    fn the_octets_that_arrived_first_win() {
        let mut receiver = Receiver::new(0, usize::MAX);
        let base = receiver.next;
        receiver.insert(base + 2, b"cd", 100);
        receiver.insert(base + 6, b"gh", 100);
        assert_eq!(receiver.insert(base, b"ABCDEFGHIJ", 100).stored, 6);
        let next = receiver.next();
        assert_eq!(receiver.reassembly.take_ready(next, &mut receiver.unread, &mut receiver.memory), 10);
        assert_eq!(&receiver.unread[..], b"ABcdEFghIJ");
    }

    #[test]
    fn a_peer_that_sends_every_second_octet_holds_no_more_than_the_window() {
        let mut receiver = Receiver::new(7, usize::MAX);
        let base = receiver.next;
        let stored: usize = (0..32_768).map(|i| receiver.insert(base + 1 + 2 * i, b"x", 65_535).stored).sum();
        assert_eq!((stored, receiver.reassembly.ranges().len()), (RANGES, RANGES));
        // What closes a hole is taken all the same.
        assert_eq!(receiver.insert(base + 2, b"x", 65_535).stored, 1);
        let mut scattered = Receiver::new(7, usize::MAX);
        let stored: usize = (0..100).map(|i| scattered.insert(base + 1 + 2048 * i, b"x", 65_535).stored).sum();
        assert_eq!(stored, 32);
        assert!(scattered.memory.used() <= 65_536 + BLOCK);
    }

    #[test]
    fn the_end_is_kept_and_nothing_after_it() {
        let mut receiver = Receiver::new(0, usize::MAX);
        let (base, next) = (receiver.next, receiver.next());
        receiver.reassembly.insert_end(next + 5);
        receiver.reassembly.insert_end(next + 3);
        assert!(!receiver.reassembly.is_empty());
        assert_eq!(receiver.insert(base + 3, b"defgh", 100).stored, 2);
        assert_eq!(receiver.insert(base, b"abc", 100).stored, 3);
        assert!(!receiver.reassembly.is_end(next));
        assert_eq!(receiver.reassembly.take_ready(next, &mut receiver.unread, &mut receiver.memory), 5);
        assert!(receiver.reassembly.is_end(next + 5));
        assert_eq!(&receiver.unread[..], b"abcde");
        let taken = receiver.reassembly.take_with(next + 5, b"beyond", &mut receiver.unread, &mut receiver.memory);
        assert_eq!(taken, 0);
        // An end in front of octets that arrived is a contradiction.
        let mut receiver = Receiver::new(0, usize::MAX);
        receiver.insert(base + 3, b"de", 100);
        receiver.reassembly.insert_end(next + 4);
        assert_eq!(receiver.insert(base + 5, b"f", 100).stored, 1);
    }
}
