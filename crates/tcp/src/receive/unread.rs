//! Input that was shown and not consumed.

use std::ops::Deref;

use crate::pool::Reset;
use crate::receive::memory::Memory;

/// Octets in the order of the stream. 8 octets and no other memory while there are none; else a buffer from
/// [`Memory`], of 4 KiB or at most four times the octets that were in it at once since it was last empty. Must be
/// cleared before it is dropped, for the memory counts as used until then.
#[derive(Default)]
pub(crate) struct Unread {
    buffer: Option<Box<Buffer>>,
}

/// Memory of a fixed size.
#[derive(Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    /// Octets at the start of `bytes` that are consumed: moving the rest down for each small request
    /// in a pipeline would cost the square of its length.
    consumed: usize,
    size: usize,
}

/// How octets can be added.
#[derive(PartialEq, Eq)]
enum Place {
    /// Behind what is there.
    Behind,
    /// There, after moving what is there to the front.
    MovedUp,
    /// In a buffer of this size.
    Elsewhere(usize),
}

impl Unread {
    /// Whether [`Unread::push`] of `count` octets would succeed now.
    pub(crate) fn fits(&self, count: usize, memory: &Memory) -> bool {
        match self.place_for(count) {
            Place::Behind | Place::MovedUp => true,
            Place::Elsewhere(size) => size <= memory.room(),
        }
    }

    /// Adds all of `arrived`; or nothing, and returns false, when the memory is used up.
    #[must_use]
    pub(crate) fn push(&mut self, arrived: &[u8], memory: &mut Memory) -> bool {
        match self.place_for(arrived.len()) {
            Place::Behind => {}
            Place::MovedUp => {
                if let Some(buffer) = &mut self.buffer {
                    buffer.bytes.drain(..buffer.consumed);
                    buffer.consumed = 0;
                }
            }
            Place::Elsewhere(size) => {
                let Some(mut larger) = memory.take_buffer(size) else { return false };
                larger.bytes.extend_from_slice(self);
                if let Some(smaller) = self.buffer.replace(larger) {
                    memory.give_buffer(smaller);
                }
            }
        }
        if let Some(buffer) = &mut self.buffer {
            buffer.bytes.extend_from_slice(arrived);
        }
        true
    }

    /// Forgets the first `count` octets, or all there are; with the last the memory goes back.
    pub(crate) fn consume(&mut self, count: usize, memory: &mut Memory) {
        let Some(buffer) = &mut self.buffer else { return };
        buffer.consumed = buffer.consumed.saturating_add(count).min(buffer.bytes.len());
        if self.is_empty() {
            self.clear(memory);
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self, memory: &mut Memory) {
        if let Some(buffer) = self.buffer.take() {
            memory.give_buffer(buffer);
        }
    }

    fn place_for(&self, count: usize) -> Place {
        let Some(buffer) = &self.buffer else {
            return if count == 0 { Place::Behind } else { Place::Elsewhere(Memory::size_for(count)) };
        };
        let needed = self.len().saturating_add(count);
        if buffer.bytes.len().saturating_add(count) <= buffer.size {
            Place::Behind
        } else if needed > buffer.size {
            Place::Elsewhere(Memory::size_for(needed))
        } else if buffer.consumed >= buffer.size / 4 {
            Place::MovedUp
        } else {
            // Moving all that is there whenever a few octets were consumed would cost the square of it.
            Place::Elsewhere(buffer.size.saturating_mul(2))
        }
    }
}

impl Deref for Unread {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.buffer.as_ref().map_or(&[], |buffer| &buffer.bytes[buffer.consumed..])
    }
}

impl Buffer {
    /// Makes room for `size` octets.
    pub(super) fn provide(&mut self, size: usize) {
        self.size = size;
        self.bytes.reserve_exact(size);
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }
}

impl Reset for Buffer {
    fn reset(&mut self) {
        self.bytes.clear();
        self.consumed = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn octets_are_shown_in_order_whatever_is_consumed(
            steps in prop::collection::vec((0usize..9000, 0usize..9000), 0..40), limit in 0usize..100_000,
        ) {
            let (mut unread, mut memory) = (Unread::default(), Memory::new(limit));
            let (mut model, mut next, mut most) = (Vec::new(), 0u8, 0);
            for (arrives, leaves) in steps {
                let arrived: Vec<u8> = (0..arrives).map(|i| next.wrapping_add(i as u8)).collect();
                let fits = unread.fits(arrives, &memory);
                prop_assert_eq!(unread.push(&arrived, &mut memory), fits);
                if fits {
                    next = next.wrapping_add(arrives as u8);
                    model.extend_from_slice(&arrived);
                }
                prop_assert_eq!(&unread[..], &model[..]);
                prop_assert!(memory.used() <= limit);
                most = model.len().max(if model.is_empty() { 0 } else { most });
                prop_assert!(memory.used() <= (4 * most).max(4096), "{} for {most}", memory.used());
                unread.consume(leaves, &mut memory);
                model.drain(..leaves.min(model.len()));
                prop_assert_eq!(&unread[..], &model[..]);
                if model.is_empty() {
                    prop_assert_eq!(memory.used(), 0);
                    most = 0;
                }
            }
            unread.clear(&mut memory);
            prop_assert_eq!((unread.len(), memory.used()), (0, 0));
        }
    }

    #[test]
    fn an_empty_one_is_small() {
        assert_eq!(size_of::<Unread>(), 8);
    }
}
