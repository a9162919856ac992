//! What the kernel was told to send and has not reported back: which chunk or pin each piece keeps.

use crate::foreign::ForeignSlice;
use crate::memory::PinnedSlice;

/// Pieces under way, in the order in which they were queued. They are mostly reported in that order, and
/// always found.
pub(super) struct Flight {
    /// A power of two of them, by the piece's number.
    pieces: Box<[Piece]>,
    /// The number of the oldest piece that is under way.
    first: u32,
    /// The number of the next piece.
    next: u32,
}

/// What must stay as it is while a piece is under way.
#[derive(Debug)]
pub(super) enum Held {
    /// Nothing: the piece is done.
    Nothing,
    /// A chunk of the transmitter's.
    Chunk,
    /// A pin.
    Pin(#[expect(dead_code, reason = "it is held")] PinnedSlice),
    /// Memory that others share: while it is held, it is granted to nobody else.
    Foreign(#[expect(dead_code, reason = "it is held")] ForeignSlice),
}

struct Piece {
    address: u64,
    held: Held,
}

impl Flight {
    /// Room for `capacity` pieces, a power of two.
    pub(super) fn new(capacity: u32) -> Flight {
        assert!(capacity.is_power_of_two());
        let pieces = (0..capacity).map(|_| Piece { address: 0, held: Held::Nothing }).collect();
        Flight { pieces, first: 0, next: 0 }
    }

    /// Pieces that can be added.
    pub(super) fn room(&self) -> usize {
        self.pieces.len() - self.len()
    }

    /// Pieces under way, and those among them that are done.
    pub(super) fn len(&self) -> usize {
        self.next.wrapping_sub(self.first) as usize
    }

    /// Adds a piece. There must be room.
    pub(super) fn add(&mut self, address: u64, held: Held) {
        assert!(self.room() > 0, "more pieces under way than the queue has entries");
        *self.piece(self.next) = Piece { address, held };
        self.next = self.next.wrapping_add(1);
    }

    /// Takes the piece that was added last out again, with its address.
    pub(super) fn take_back(&mut self) -> Option<(u64, Held)> {
        if self.len() == 0 {
            return None;
        }
        self.next = self.next.wrapping_sub(1);
        let piece = self.piece(self.next);
        Some((piece.address, std::mem::replace(&mut piece.held, Held::Nothing)))
    }

    /// Takes note that a piece at `address` is done, and gives back what it held: of several pieces there,
    /// the oldest one's, as any of their pins keeps the same memory.
    pub(super) fn complete(&mut self, address: u64) -> Held {
        let mut number = self.first;
        while number != self.next {
            let piece = self.piece(number);
            if piece.address == address && !matches!(piece.held, Held::Nothing) {
                let held = std::mem::replace(&mut piece.held, Held::Nothing);
                self.forget_done();
                return held;
            }
            number = number.wrapping_add(1);
        }
        Held::Nothing
    }

    /// Takes everything out.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Held> {
        self.first = self.next;
        self.pieces.iter_mut().map(|piece| std::mem::replace(&mut piece.held, Held::Nothing))
    }

    fn forget_done(&mut self) {
        while self.first != self.next && matches!(self.piece(self.first).held, Held::Nothing) {
            self.first = self.first.wrapping_add(1);
        }
    }

    fn piece(&mut self, number: u32) -> &mut Piece {
        let mask = self.pieces.len() - 1;
        &mut self.pieces[number as usize & mask]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_come_back_in_any_order(order in Just((0..32u64).collect::<Vec<_>>()).prop_shuffle(), start: u32) {
            let mut flight = Flight { first: start, next: start, ..Flight::new(32) };
            for round in 0..3 {
                for address in 0..32 {
                    // Several pieces at one address, as when an object leaves on several connections.
                    flight.add((address + round) % 8, Held::Chunk);
                }
                prop_assert_eq!(flight.room(), 0);
                for address in &order {
                    prop_assert!(matches!(flight.complete(address % 8), Held::Chunk));
                }
                prop_assert_eq!((flight.room(), flight.len()), (32, 0));
                prop_assert!(matches!(flight.complete(0), Held::Nothing));
            }
        }
    }

    #[test]
    fn room_comes_back_with_the_oldest() {
        let mut flight = Flight::new(4);
        for address in 1..=4 {
            flight.add(address, Held::Chunk);
        }
        flight.complete(2);
        flight.complete(3);
        assert_eq!(flight.room(), 0);
        flight.complete(1);
        assert_eq!(flight.room(), 3);
    }
}
