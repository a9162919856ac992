//! The connections, by index.

use crate::connection::{Connection, Flags};
use crate::handle::Handle;

/// Connections of one chunk. Chunks are never moved or freed, so growing copies nothing, and memory is what the most
/// connections at one time needed.
const CHUNK: usize = 256;

/// A slab of connections.
pub(crate) struct Slots<P> {
    chunks: Vec<Vec<Connection<P>>>,
    /// The slots that are free; the last one freed is the next one used, while it is in the cache.
    free: Vec<u32>,
    alive: u32,
    bound: u32,
}

impl<P> Slots<P> {
    pub(crate) fn new(bound: u32) -> Slots<P> {
        Slots { chunks: Vec::new(), free: Vec::new(), alive: 0, bound }
    }

    pub(crate) fn len(&self) -> usize {
        self.alive as usize
    }

    pub(crate) fn is_full(&self) -> bool {
        self.alive >= self.bound
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&Connection<P>> {
        self.chunks.get(index as usize / CHUNK)?.get(index as usize % CHUNK).filter(|slot| slot.is_alive())
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Connection<P>> {
        self.chunks.get_mut(index as usize / CHUNK)?.get_mut(index as usize % CHUNK).filter(|slot| slot.is_alive())
    }

    #[inline]
    pub(crate) fn named(&self, handle: Handle) -> Option<&Connection<P>> {
        self.get(handle.index).filter(|slot| slot.generation == handle.generation)
    }

    #[inline]
    pub(crate) fn named_mut(&mut self, handle: Handle) -> Option<&mut Connection<P>> {
        self.get_mut(handle.index).filter(|slot| slot.generation == handle.generation)
    }

    /// Takes a slot for `connection`, whose generation is set; `None` at the bound.
    pub(crate) fn insert(&mut self, mut connection: Connection<P>) -> Option<u32> {
        if self.is_full() {
            return None;
        }
        connection.flags.set(Flags::ALIVE);
        self.alive += 1;
        if let Some(index) = self.free.pop()
            && let Some(slot) =
                self.chunks.get_mut(index as usize / CHUNK).and_then(|c| c.get_mut(index as usize % CHUNK))
        {
            // The slot may still be in the queue of those that have something to send, once.
            if slot.flags.has(Flags::READY) {
                connection.flags.set(Flags::READY);
            }
            connection.generation = slot.generation;
            *slot = connection;
            return Some(index);
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let chunk = self.chunks.len() - 1;
        let last = &mut self.chunks[chunk];
        last.push(connection);
        Some((chunk * CHUNK + last.len() - 1) as u32)
    }

    /// Frees a slot, whose boxes and memory were given back.
    pub(crate) fn remove(&mut self, index: u32) {
        if let Some(slot) = self.get_mut(index) {
            slot.flags.clear(Flags::ALIVE);
            slot.generation = slot.generation.wrapping_add(1);
            self.alive -= 1;
            self.free.push(index);
        }
    }

    /// A slot whose connection may be gone: for the queue of those that have something to send.
    pub(crate) fn unready(&mut self, index: u32) -> Option<&mut Connection<P>> {
        let slot = self.chunks.get_mut(index as usize / CHUNK)?.get_mut(index as usize % CHUNK)?;
        slot.flags.clear(Flags::READY);
        slot.is_alive().then_some(slot)
    }

    pub(crate) fn handles(&self) -> impl Iterator<Item = Handle> + '_ {
        let slots = self.chunks.iter().flatten().zip(0..);
        slots.filter(|(slot, _)| slot.is_alive()).map(|(slot, index)| slot.handle(index))
    }
}
