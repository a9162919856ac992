//! IPv4 (RFC 791) and IPv6 (RFC 8200), of either version through one view.

mod ecn;
mod header;
mod packet;
mod v4;
mod v6;

pub use ecn::Ecn;
pub use header::Header;
pub use packet::{Packet, Version};
pub use v6::MAX_EXTENSIONS;

pub(crate) use v6::walk;

/// The protocol number of ICMP for IPv4.
pub const ICMP: u8 = 1;
/// The protocol number of TCP.
pub const TCP: u8 = 6;
/// The protocol number of UDP.
pub const UDP: u8 = 17;
/// The protocol number of ICMP for IPv6.
pub const ICMPV6: u8 = 58;
/// Octets of an IPv4 header without options.
pub const V4_HEADER_LEN: usize = 20;
/// Octets of an IPv6 header without extension headers.
pub const V6_HEADER_LEN: usize = 40;
