//! Headers as octets: Ethernet, ARP, IPv4 and IPv6, ICMP errors, UDP and TCP, and the Internet checksum; and
//! the PROXY protocol, which proxies put in front of a stream or a datagram. And networks by their prefix, as configurations write them.
//!
//! Views are validated when they are made and borrow what they show: a view that exists can be asked
//! anything. Writers take the fields and write what [`parse`](tcp::Segment::parse) understands. No I/O, no
//! clock, no allocation but of the vector that a PROXY header is written to and of sets of networks, and no octets from outside make any of it panic.
#![forbid(unsafe_code)]

pub mod arp;
pub mod checksum;
pub mod ethernet;
pub mod fuzz;
pub mod icmp;
pub mod ip;
mod mac_address;
mod malformed;
pub mod network;
mod octets;
pub mod proxy_protocol;
pub mod sequence;
pub mod tcp;
pub mod udp;

pub use mac_address::MacAddress;
pub use malformed::{Layer, Malformed};
