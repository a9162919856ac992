//! What waits to be sent or to be acknowledged.

use std::cell::Cell;
use std::collections::VecDeque;

use crate::packet::Piece;
use crate::payload::Payload;
use crate::send::piece::Pieces;

/// The most octets queued: half of what sequence numbers can order (RFC 9293 §3.4 compares within 2^31), less room for
/// SYN and FIN. The connection's own limit is far below.
pub(crate) const MAX_OCTETS: u32 = 1 << 30;

/// What an empty queue keeps of its memory, so that the next response allocates nothing.
const KEPT_OCTETS: usize = 8 << 10;
const KEPT_ENTRIES: usize = 64;

/// The octets from the first unacknowledged one on, in the order in which they are sent: some were copied in, some lie
/// in pinned memory. Offsets count from the first unacknowledged octet.
#[derive(Debug)]
pub(crate) struct SendQueue<P> {
    entries: VecDeque<Entry<P>>,
    /// The octets of the copied entries, one after the other, acknowledged ones dropped.
    copied: VecDeque<u8>,
    /// How much of the first entry is acknowledged.
    acknowledged: u32,
    len: u32,
    /// Where the last gathering ended. A queue of many small pieces is then not walked for every segment.
    cursor: Cell<Cursor>,
}

#[derive(Debug)]
enum Entry<P> {
    Copied(u32),
    Pinned(P, u32),
}

/// The beginning of an entry, as distances from the first unacknowledged octet.
#[derive(Clone, Copy, Default, Debug)]
struct Cursor {
    entry: u32,
    /// The queue's octets before it.
    octets: u32,
    /// Those of them that are copied.
    copied: u32,
}

impl<P> Default for SendQueue<P> {
    fn default() -> SendQueue<P> {
        SendQueue {
            entries: VecDeque::new(),
            copied: VecDeque::new(),
            acknowledged: 0,
            len: 0,
            cursor: Cell::default(),
        }
    }
}

impl<P: Payload> SendQueue<P> {
    /// Appends a copy of `octets`. False, and nothing happens, if more than [`MAX_OCTETS`] would be queued.
    #[must_use]
    pub(crate) fn push_copy(&mut self, octets: &[u8]) -> bool {
        let Some(len) = self.room_for(octets.len()) else { return false };
        if len == 0 {
            return true;
        }
        self.copied.extend(octets);
        match self.entries.back_mut() {
            Some(Entry::Copied(last)) => *last += len,
            _ => self.entries.push_back(Entry::Copied(len)),
        }
        self.len += len;
        true
    }

    /// Appends all of `payload`, and keeps it until its last octet is acknowledged. False, and the payload is dropped,
    /// if more than [`MAX_OCTETS`] would be queued.
    #[must_use]
    pub(crate) fn push_pinned(&mut self, payload: P) -> bool {
        let Some(len) = self.room_for(payload.length()) else { return false };
        if len > 0 {
            self.entries.push_back(Entry::Pinned(payload, len));
            self.len += len;
        }
        true
    }

    /// The octets queued: sent and unacknowledged ones, and those not sent yet.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// Whether nothing is queued.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts the octets from `offset` on into `pieces`, and returns how many: `len`, or fewer if the queue ends before
    /// or the pieces are used up.
    pub(crate) fn gather<'a>(&'a self, offset: u32, len: u32, pieces: &mut Pieces<'a, P>) -> u32 {
        let len = len.min(self.len.saturating_sub(offset));
        let mut at = self.cursor.get();
        if offset < at.octets {
            at = Cursor::default();
        }
        let mut gathered = 0;
        while gathered < len {
            let Some(entry) = self.entries.get(at.entry as usize) else { break };
            // The entry's octets from `skipped` on are wanted; of the first entry some are gone already.
            let gone = if at.entry == 0 { self.acknowledged } else { 0 };
            let left = entry.len() - gone;
            let skipped = offset + gathered - at.octets;
            if skipped < left {
                let wanted = (left - skipped).min(len - gathered);
                let covered = match entry {
                    Entry::Copied(_) => self.gather_copied(at.copied + skipped, wanted, pieces),
                    Entry::Pinned(payload, _) => gather_pinned(payload, gone + skipped, wanted, pieces),
                };
                gathered += covered;
                if covered < wanted {
                    break;
                }
            }
            // The last entry may yet grow, so the cursor does not go past it.
            if gathered == len {
                break;
            }
            at = at.past(entry, left);
        }
        self.cursor.set(at);
        gathered
    }

    /// Drops the first `count` octets, and the pins that lie wholly in them.
    pub(crate) fn acknowledge(&mut self, count: u32) {
        let count = count.min(self.len);
        self.len -= count;
        if self.len == 0 {
            return self.clear();
        }
        let (mut left, mut popped, mut copied) = (count, 0, 0);
        while left > 0 {
            let Some(entry) = self.entries.front() else { break };
            let rest = entry.len() - self.acknowledged;
            let gone = rest.min(left);
            if matches!(entry, Entry::Copied(_)) {
                copied += gone;
            }
            left -= gone;
            self.acknowledged += gone;
            if gone == rest {
                self.entries.pop_front();
                self.acknowledged = 0;
                popped += 1;
            }
        }
        self.copied.drain(..copied as usize);
        self.cursor.set(self.cursor.get().after_acknowledgment(popped, count, copied));
    }

    /// Forgets everything, and the memory beyond what a small response needs.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.copied.clear();
        if self.copied.capacity() > KEPT_OCTETS {
            self.copied.shrink_to(KEPT_OCTETS);
        }
        if self.entries.capacity() > KEPT_ENTRIES {
            self.entries.shrink_to(KEPT_ENTRIES);
        }
        self.acknowledged = 0;
        self.len = 0;
        self.cursor.set(Cursor::default());
    }

    fn room_for(&self, octets: usize) -> Option<u32> {
        u32::try_from(octets).ok().filter(|&octets| octets <= MAX_OCTETS - self.len)
    }

    /// Octets of the ring, which may lie in two parts.
    fn gather_copied<'a>(&'a self, from: u32, len: u32, pieces: &mut Pieces<'a, P>) -> u32 {
        let (front, back) = self.copied.as_slices();
        let (from, to) = (from as usize, (from + len) as usize);
        let cut = front.len();
        let parts = [&front[from.min(cut)..to.min(cut)], &back[from.max(cut) - cut..to.max(cut) - cut]];
        let mut covered = 0;
        for part in parts {
            if !part.is_empty() {
                if pieces.try_push(Piece::Copied(part)).is_err() {
                    break;
                }
                covered += part.len() as u32;
            }
        }
        covered
    }
}

impl<P> Entry<P> {
    fn len(&self) -> u32 {
        match self {
            Entry::Copied(len) | Entry::Pinned(_, len) => *len,
        }
    }
}

impl Cursor {
    /// The beginning of the next entry, behind the `left` unacknowledged octets of this one.
    fn past<P>(self, entry: &Entry<P>, left: u32) -> Cursor {
        let copied = if matches!(entry, Entry::Copied(_)) { left } else { 0 };
        Cursor { entry: self.entry + 1, octets: self.octets + left, copied: self.copied + copied }
    }

    fn after_acknowledgment(self, popped: u32, octets: u32, copied: u32) -> Cursor {
        match self.entry.checked_sub(popped) {
            None | Some(0) => Cursor::default(),
            Some(entry) => Cursor { entry, octets: self.octets - octets, copied: self.copied - copied },
        }
    }
}

fn gather_pinned<'a, P>(payload: &'a P, from: u32, len: u32, pieces: &mut Pieces<'a, P>) -> u32 {
    let range = from as usize..(from + len) as usize;
    match pieces.try_push(Piece::Pinned { payload, range }) {
        Ok(()) => len,
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use proptest::prelude::*;

    use super::*;
    use crate::send::piece::MAX_PIECES;

    type Queue = SendQueue<Rc<[u8]>>;

    fn gathered(queue: &Queue, offset: u32, len: u32) -> (u32, Vec<u8>, usize) {
        let mut pieces = Pieces::new();
        let covered = queue.gather(offset, len, &mut pieces);
        let octets = pieces.iter().flat_map(|piece| piece.bytes().iter().copied()).collect();
        (covered, octets, pieces.len())
    }

    #[test]
    fn a_head_and_a_payload_are_two_pieces() {
        let mut queue = Queue::default();
        assert!(queue.push_copy(b"head ") && queue.push_pinned(Rc::from(&b"payload"[..])));
        assert_eq!(gathered(&queue, 0, 1460), (12, b"head payload".to_vec(), 2));
        assert_eq!(gathered(&queue, 3, 4), (4, b"d pa".to_vec(), 2));
        assert_eq!(gathered(&queue, 12, 4), (0, Vec::new(), 0));
        assert_eq!(gathered(&queue, u32::MAX, u32::MAX), (0, Vec::new(), 0));
    }

    #[test]
    fn a_pin_is_dropped_with_its_last_octet_and_not_before() {
        let payload: Rc<[u8]> = Rc::from(&b"payload"[..]);
        let mut queue = Queue::default();
        assert!(queue.push_copy(b"head") && queue.push_pinned(payload.clone()) && queue.push_copy(b"tail"));
        queue.acknowledge(10);
        assert_eq!(Rc::strong_count(&payload), 2);
        queue.acknowledge(1);
        assert_eq!(Rc::strong_count(&payload), 1);
        assert_eq!(gathered(&queue, 0, 100).1, b"tail");
        queue.acknowledge(u32::MAX);
        assert!(queue.is_empty());
    }

    #[test]
    fn an_empty_payload_is_not_kept() {
        let payload: Rc<[u8]> = Rc::from(&b""[..]);
        let mut queue = Queue::default();
        assert!(queue.push_copy(b"") && queue.push_pinned(payload.clone()));
        assert_eq!((Rc::strong_count(&payload), queue.len()), (1, 0));
    }

    #[test]
    fn what_needs_more_pieces_than_a_packet_has_is_covered_in_part() {
        let mut queue = Queue::default();
        for _ in 0..40 {
            assert!(queue.push_pinned(Rc::from(&b"ab"[..])));
        }
        let (covered, octets, pieces) = gathered(&queue, 1, 100);
        assert_eq!((covered, octets.len(), pieces), (2 * MAX_PIECES as u32 - 1, 2 * MAX_PIECES - 1, MAX_PIECES));
        assert_eq!(gathered(&queue, 1 + covered, 100).1, b"ab".repeat(MAX_PIECES));
    }

    #[test]
    fn a_full_queue_takes_nothing() {
        #[derive(Clone)]
        struct Huge(Rc<[u8]>);
        impl Payload for Huge {
            fn bytes(&self) -> &[u8] {
                &self.0
            }
            fn sum(&self, _: std::ops::Range<usize>) -> u16 {
                0
            }
        }
        let part = Huge(vec![0; 1 << 20].into());
        let mut queue = SendQueue::default();
        for _ in 0..1 << 10 {
            assert!(queue.push_pinned(part.clone()));
        }
        assert!(!queue.push_copy(b"x") && !queue.push_pinned(part.clone()));
        queue.acknowledge(1);
        assert!(queue.push_copy(b"x"));
        assert_eq!(queue.len(), MAX_OCTETS);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Copy(Vec<u8>),
        Pin(Vec<u8>),
        Acknowledge(u32),
        Gather(u32, u32),
        Clear,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => prop::collection::vec(any::<u8>(), 0..50).prop_map(Step::Copy),
            4 => prop::collection::vec(any::<u8>(), 0..50).prop_map(Step::Pin),
            4 => (0..80u32).prop_map(Step::Acknowledge),
            8 => (0..200u32, 0..120u32).prop_map(|(offset, len)| Step::Gather(offset, len)),
            1 => Just(Step::Clear),
        ]
    }

    proptest! {
        #[test]
        fn it_gathers_what_was_pushed_and_not_acknowledged(steps in prop::collection::vec(step(), 0..60)) {
            let mut queue = Queue::default();
            let mut model: Vec<u8> = Vec::new();
            for step in steps {
                match step {
                    Step::Copy(octets) => {
                        prop_assert!(queue.push_copy(&octets));
                        model.extend(octets);
                    }
                    Step::Pin(octets) => {
                        prop_assert!(queue.push_pinned(octets.clone().into()));
                        model.extend(octets);
                    }
                    Step::Acknowledge(count) => {
                        queue.acknowledge(count);
                        model.drain(..(count as usize).min(model.len()));
                    }
                    Step::Gather(offset, len) => {
                        let from = (offset as usize).min(model.len());
                        let to = (from + len as usize).min(model.len());
                        let (covered, octets, pieces) = gathered(&queue, offset, len);
                        prop_assert_eq!(covered as usize, octets.len());
                        prop_assert!(octets.len() == to - from || pieces == MAX_PIECES);
                        prop_assert_eq!(&octets[..], &model[from..from + octets.len()]);
                    }
                    Step::Clear => {
                        queue.clear();
                        model.clear();
                    }
                }
                prop_assert_eq!(queue.len() as usize, model.len());
            }
        }
    }
}
