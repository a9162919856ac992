//! Numbers of network byte order, out of octets and into them.

/// The first `N` octets from `at` on, if there are as many.
#[inline]
pub(crate) fn take<const N: usize>(octets: &[u8], at: usize) -> Option<[u8; N]> {
    octets.get(at..)?.first_chunk().copied()
}

/// The 16-bit number in octets `at` and `at + 1` of a header that was checked to have them.
#[inline]
pub(crate) fn number16<const N: usize>(header: &[u8; N], at: usize) -> u16 {
    u16::from_be_bytes([header[at], header[at + 1]])
}

/// The 32-bit number in the four octets from `at` on of a header that was checked to have them.
#[inline]
pub(crate) fn number32<const N: usize>(header: &[u8; N], at: usize) -> u32 {
    u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}

/// Writes octets at a place that the caller knows to exist.
#[inline]
pub(crate) fn put<const N: usize>(out: &mut [u8], at: usize, octets: [u8; N]) {
    out[at..at + N].copy_from_slice(&octets);
}
