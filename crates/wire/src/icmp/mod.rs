//! Errors that ICMP (RFC 792) and ICMPv6 (RFC 4443) report about packets of TCP and UDP. Everything else of
//! ICMP is the kernel's.

mod error;
mod header;
mod quoted;

pub use error::{Error, Kind, Unreachable};
pub use header::Header;
pub use quoted::Quoted;

/// Octets in front of the quoted packet.
pub const HEADER_LEN: usize = 8;
