//! Pieces in a row: the payload of one packet.

use afpa_wire::checksum;
use arrayvec::ArrayVec;

use crate::packet::Piece;
use crate::payload::Payload;

/// The most pieces of a packet. A frame backend that gathers sends the headers in one buffer and each piece in
/// another: what Linux takes for one packet (`MAX_SKB_FRAGS`, 17) and one.
pub(crate) const MAX_PIECES: usize = 18;

/// The pieces of one packet, in order.
pub(crate) type Pieces<'a, P> = ArrayVec<Piece<'a, P>, MAX_PIECES>;

/// Whether one of the pieces is of memory that others may write meanwhile.
#[inline]
pub(crate) fn is_volatile<P: Payload>(pieces: &[Piece<'_, P>]) -> bool {
    pieces.iter().any(Piece::is_volatile)
}

/// Copies the pieces, which have as many octets as `into`.
pub(crate) fn copy<P: Payload>(pieces: &[Piece<'_, P>], mut into: &mut [u8]) {
    for piece in pieces {
        let (part, rest) = into.split_at_mut(piece.length());
        match piece {
            Piece::Copied(octets) => part.copy_from_slice(octets),
            Piece::Pinned { payload, range } => payload.copy(range.clone(), part),
            Piece::Staged(_) => {}
        }
        into = rest;
    }
}

/// The Internet checksum's sum, not complemented, of the pieces in a row, the first one at an even octet. Pinned octets
/// count by the sum that their payload knows, and are not read here.
pub(crate) fn sum<P: Payload>(pieces: &[Piece<'_, P>]) -> u16 {
    let mut total = 0;
    let mut is_odd = false;
    for piece in pieces {
        let sum = match piece {
            Piece::Copied(octets) => checksum::sum(octets),
            Piece::Pinned { payload, range } => payload.sum(range.clone()),
            // It was summed where it was written.
            Piece::Staged(_) => 0,
        };
        total = checksum::add(total, checksum::swap_if_odd(sum, is_odd));
        is_odd ^= piece.length() % 2 == 1;
    }
    total
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_sum_to_what_their_octets_sum_to(
            parts in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..40)), 0..MAX_PIECES),
        ) {
            let payloads = parts.into_iter().map(|(copied, part)| (copied, Rc::from(part)));
            let payloads: Vec<(bool, Rc<[u8]>)> = payloads.collect();
            let pieces: Vec<Piece<'_, Rc<[u8]>>> = payloads
                .iter()
                .map(|(copied, payload)| match copied {
                    true => Piece::Copied(payload),
                    false => Piece::Pinned { payload, range: 0..payload.len() },
                })
                .collect();
            let whole: Vec<u8> = payloads.iter().flat_map(|(_, payload)| payload.iter().copied()).collect();
            let (expected, found) = (checksum::sum(&whole), sum(&pieces));
            // Zero has two representations in ones' complement; no other value has.
            prop_assert!(expected == found || (expected % 0xffff == 0 && found % 0xffff == 0));
        }
    }
}
