//! The edge to the operating system, and the only crate with `unsafe`.

pub mod clock;
pub mod gather;
pub mod memory;
pub mod socket;
pub mod source;
pub mod testing;
pub mod uring;
