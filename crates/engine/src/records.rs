//! Records on their way off an engine, to a log: one bounded ring of octets for each engine.
//!
//! An engine pushes without a lock, an allocation or a wait. A ring without room drops the record and counts it. Another
//! thread takes records out in their order.

use std::sync::Arc;

use rtrb::{Consumer, Producer, RingBuffer};

use crate::stats::Counter;

/// Octets of the length in front of a record.
const LENGTH: usize = 2;
/// The most octets of a record.
pub const MAX_RECORD: usize = u16::MAX as usize;

/// A ring with room for `capacity` octets of records: the engine's end and the log's.
pub fn ring(capacity: usize) -> (RecordSender, RecordReceiver) {
    let (producer, consumer) = RingBuffer::new(capacity.saturating_add(LENGTH));
    let dropped = Arc::new(Counter::default());
    let receiver = RecordReceiver { consumer, dropped: dropped.clone(), record: Vec::new() };
    (RecordSender { producer, dropped }, receiver)
}

/// The engine's end.
pub struct RecordSender {
    producer: Producer<u8>,
    dropped: Arc<Counter>,
}

impl RecordSender {
    /// Queues one record, made of `parts`. Returns whether there was room for all of it, and it is not longer than
    /// [`MAX_RECORD`]; if not, it is dropped and counted.
    pub fn push(&mut self, parts: &[&[u8]]) -> bool {
        let octets: usize = parts.iter().map(|part| part.len()).sum();
        let length = u16::try_from(octets).ok();
        let chunk = length.and_then(|length| Some((length, self.producer.write_chunk(LENGTH + octets).ok()?)));
        let Some((length, mut chunk)) = chunk else {
            self.dropped.increment();
            return false;
        };
        let (first, second) = chunk.as_mut_slices();
        let mut out = Split { first, second };
        out.put(&length.to_le_bytes());
        for part in parts {
            out.put(part);
        }
        chunk.commit_all();
        true
    }
}

/// The log's end.
pub struct RecordReceiver {
    consumer: Consumer<u8>,
    dropped: Arc<Counter>,
    record: Vec<u8>,
}

impl RecordReceiver {
    /// Takes the oldest record out of the ring.
    pub fn take(&mut self) -> Option<&[u8]> {
        let mut length = [0; LENGTH];
        if self.consumer.slots() == 0 {
            return None;
        }
        // Records are committed whole: where there is an octet there is a record.
        self.consumer.pop_entire_slice(&mut length).ok()?;
        self.record.resize(u16::from_le_bytes(length).into(), 0);
        self.consumer.pop_entire_slice(&mut self.record).ok()?;
        Some(&self.record)
    }

    /// How many records found no room so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.get()
    }

    /// The counter behind [`RecordReceiver::dropped`], for whoever reports it.
    pub fn dropped_counter(&self) -> Arc<Counter> {
        self.dropped.clone()
    }

    /// Whether the engine's end is gone: no record will be added.
    pub fn is_abandoned(&self) -> bool {
        self.consumer.is_abandoned()
    }
}

/// Reads the numbers and texts of a record, one after another.
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    /// The next `count` octets, if there are so many.
    pub fn slice(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// The next `N` octets, if there are so many.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.slice(N)?.try_into().ok()
    }
}

/// A place to write to that may wrap around the ring's end.
struct Split<'a> {
    first: &'a mut [u8],
    second: &'a mut [u8],
}

impl Split<'_> {
    fn put(&mut self, octets: &[u8]) {
        let (head, tail) = octets.split_at(octets.len().min(self.first.len()));
        split_off(&mut self.first, head.len()).copy_from_slice(head);
        split_off(&mut self.second, tail.len()).copy_from_slice(tail);
    }
}

fn split_off<'a>(from: &mut &'a mut [u8], count: usize) -> &'a mut [u8] {
    let (taken, rest) = std::mem::take(from).split_at_mut(count);
    *from = rest;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_out_as_they_went_in_however_the_ring_wraps() {
        let (mut sender, mut receiver) = ring(100);
        for number in 0..=u8::MAX {
            let text = vec![number; usize::from(number % 40)];
            assert!(sender.push(&[&[number], &text, b"end"]));
            let expected = [&[number][..], &text, b"end"].concat();
            assert_eq!(receiver.take(), Some(&expected[..]));
        }
        assert_eq!(receiver.take(), None);
        assert_eq!(receiver.dropped(), 0);
    }

    #[test]
    fn what_finds_no_room_is_dropped_whole_and_counted() {
        let (mut sender, mut receiver) = ring(10);
        assert!(sender.push(&[b"12345678"]));
        assert!(!sender.push(&[b"1"]) && !sender.push(&[&[0; MAX_RECORD + 1]]));
        assert_eq!(receiver.take(), Some(&b"12345678"[..]));
        assert_eq!(receiver.dropped(), 2);
        assert!(receiver.take().is_none() && !receiver.is_abandoned());
        drop(sender);
        assert!(receiver.is_abandoned());
    }
}
