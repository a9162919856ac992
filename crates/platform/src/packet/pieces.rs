//! The pieces of a frame, as one system call takes them.

use std::io::IoSlice;

/// The most pieces that one system call is given: header, head, and what follows.
const SLICES: usize = 64;

/// Has `send` send a frame made of these pieces. Pieces beyond the 61st are first copied together, into
/// `spill`.
pub(crate) fn gather<T>(
    header: &[u8],
    head: &[u8],
    pieces: &mut dyn Iterator<Item = &[u8]>,
    spill: &mut Vec<u8>,
    send: impl FnOnce(&[IoSlice<'_>]) -> T,
) -> T {
    let mut slices = [IoSlice::new(&[]); SLICES];
    slices[0] = IoSlice::new(header);
    slices[1] = IoSlice::new(head);
    let mut count = 2;
    for piece in (&mut *pieces).take(SLICES - 3) {
        slices[count] = IoSlice::new(piece);
        count += 1;
    }
    spill.clear();
    pieces.for_each(|piece| spill.extend_from_slice(piece));
    if !spill.is_empty() {
        slices[count] = IoSlice::new(spill);
        count += 1;
    }
    send(&slices[..count])
}
