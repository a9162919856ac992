//! Input that was shown and not consumed.

/// Octets in arrival order. Owns no memory while there are none.
#[derive(Default)]
pub(crate) struct Unread {
    bytes: Vec<u8>,
    /// Octets at the start of `bytes` that are consumed: moving the rest down for each small request
    /// in a pipeline would cost the square of its length.
    consumed: usize,
}

impl Unread {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.consumed
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.consumed..]
    }

    /// Adds what arrived, in memory from the pool if there is none yet.
    pub(crate) fn push(&mut self, arrived: &[u8], pool: &mut Pool) {
        if self.bytes.capacity() == 0 {
            self.bytes = pool.take();
        }
        if self.consumed > 0 && self.bytes.len() + arrived.len() > self.bytes.capacity() {
            self.bytes.drain(..self.consumed);
            self.consumed = 0;
        }
        self.bytes.extend_from_slice(arrived);
    }

    /// Forgets the first `count` octets, and gives the memory back with the last.
    pub(crate) fn consume(&mut self, count: usize, pool: &mut Pool) {
        self.consumed += count.min(self.len());
        if self.is_empty() {
            self.clear(pool);
        }
    }

    /// The octets, for whoever gets the connection.
    pub(crate) fn into_octets(mut self) -> Vec<u8> {
        self.bytes.drain(..self.consumed);
        self.bytes
    }

    pub(crate) fn clear(&mut self, pool: &mut Pool) {
        self.consumed = 0;
        pool.put(std::mem::take(&mut self.bytes));
    }
}

impl From<Vec<u8>> for Unread {
    fn from(bytes: Vec<u8>) -> Unread {
        Unread { bytes, consumed: 0 }
    }
}

/// Memory for unread input that no connection uses.
#[derive(Default)]
pub(crate) struct Pool {
    free: Vec<Vec<u8>>,
}

/// Buffers kept: 64 of at most 16 KiB, 1 MiB in all.
const KEPT: usize = 64;
const KEPT_CAPACITY: usize = 16 * 1024;

impl Pool {
    fn take(&mut self) -> Vec<u8> {
        self.free.pop().unwrap_or_default()
    }

    fn put(&mut self, mut bytes: Vec<u8>) {
        if self.free.len() < KEPT && (1..=KEPT_CAPACITY).contains(&bytes.capacity()) {
            bytes.clear();
            self.free.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_are_shown_in_order_whatever_is_consumed() {
        let (mut unread, mut pool) = (Unread::default(), Pool::default());
        let (mut model, mut next) = (Vec::new(), 0u8);
        for round in 0..250u8 {
            let arrived: Vec<u8> = (0..round % 23).map(|i| next.wrapping_add(i)).collect();
            next = next.wrapping_add(arrived.len() as u8);
            unread.push(&arrived, &mut pool);
            model.extend_from_slice(&arrived);
            assert_eq!(unread.bytes(), model);
            let count = (usize::from(round) * 7 % 29).min(model.len());
            unread.consume(count, &mut pool);
            model.drain(..count);
            assert_eq!((unread.bytes(), unread.len()), (&model[..], model.len()));
        }
    }

    #[test]
    fn an_empty_one_owns_no_memory() {
        let (mut unread, mut pool) = (Unread::default(), Pool::default());
        unread.push(b"abc", &mut pool);
        unread.consume(3, &mut pool);
        assert_eq!(unread.bytes.capacity(), 0);
        assert_eq!(pool.free.len(), 1);
    }
}
