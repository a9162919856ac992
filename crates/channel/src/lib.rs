//! Socket channels: how an application and a TCP server talk through shared memory (TCP Servers §3, §4.1).
//!
//! An application attaches over a Unix socket ([`control`]) and is given a *region*: memory that it and the server
//! both map. The region has a *slot* for each socket ([`slot`]), with a ring of octets each way ([`byte_ring`]), a ring
//! of jobs ([`job_ring`]), and words that only one of the two sides writes. That a slot needs attention is told by a bit
//! ([`bitmap`]); nobody is woken who does not sleep ([`bell`]). Where everything lies is in one file, [`layout`].
//!
//! The other side lies. Whatever is read from the region is copied once, validated, and only then used; a side keeps
//! its own indexes to itself, and what it cannot make sense of is [`Forged`]. Nothing of a region is ever seen as
//! `&[u8]`: the other side may write it at any time.
//!
//! The protocol is written over the trait [`Memory`], so that the same code runs in shared memory and under loom.

#![forbid(unsafe_code)]

pub mod bell;
pub mod bitmap;
pub mod byte_ring;
pub mod control;
pub mod fuzz;
pub mod handing;
pub mod holds;
pub mod job_ring;
pub mod layout;
pub mod lock;
pub mod memory;
pub mod region;
pub mod slot;

pub use layout::Geometry;
pub use memory::{Memory, Word};
pub use region::Region;

use std::fmt;

/// The other side has written something that the protocol rules out. Its words are not to be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forged(
    /// What is wrong.
    pub &'static str,
);

impl fmt::Display for Forged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "forged: {}", self.0)
    }
}

impl std::error::Error for Forged {}
