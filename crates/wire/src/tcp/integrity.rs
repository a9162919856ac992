//! Checksums of segments.

use super::CHECKSUM_OFFSET;
use crate::checksum::{self, Integrity};
use crate::octets::take;

/// The checksum to be sent in `segment`, header and payload, whatever its field holds now.
#[inline]
pub fn checksum(segment: &[u8], pseudo_header: u16) -> u16 {
    let sum = checksum::subtract(checksum::sum(segment), field(segment).unwrap_or(0));
    !checksum::add(sum, pseudo_header)
}

/// What the checksum of `segment`, header and payload, says.
#[inline]
pub fn is_intact(segment: &[u8], pseudo_header: u16) -> Integrity {
    match field(segment) {
        Some(field) => checksum::judge(segment, field, pseudo_header),
        None => Integrity::Broken,
    }
}

/// Whether the field holds just the pseudo-header's sum, without reading the payload. One in 65536
/// complete checksums looks the same; [`is_intact`] tells them apart.
#[inline]
pub fn is_partial(segment: &[u8], pseudo_header: u16) -> bool {
    field(segment) == Some(pseudo_header)
}

#[inline]
fn field(segment: &[u8]) -> Option<u16> {
    take(segment, CHECKSUM_OFFSET).map(u16::from_be_bytes)
}
