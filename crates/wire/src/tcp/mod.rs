//! TCP (RFC 9293 §3.1) with the options of RFC 7323 and RFC 2018.

mod flags;
mod header;
mod integrity;
mod options;
mod sack;
mod segment;

pub use crate::checksum::Integrity;
pub use flags::Flags;
pub use header::Header;
pub use integrity::{checksum, is_intact, is_partial};
pub use options::{MAX_WINDOW_SCALE, Options, Timestamps};
pub use sack::SackBlocks;
pub use segment::Segment;

/// Octets of a header without options.
pub const HEADER_LEN: usize = 20;
/// Octets of the longest header.
pub const MAX_HEADER_LEN: usize = 60;
/// Where in a segment its checksum is.
pub const CHECKSUM_OFFSET: usize = 16;
