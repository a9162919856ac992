//! The DNS module: a caching forwarder and an authoritative server on the platform.
//!
//! - [`message`]: DNS messages as octets, without I/O.
#![forbid(unsafe_code)]

pub mod message;
