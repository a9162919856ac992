//! MemNet for C programs: `include/memnet.h` says what each function does, and what its caller keeps to. Where a block
//! below relies on the caller, it relies on what the header says.
//!
//! A panic at this boundary ends the process.

mod address;
mod attachment;
mod error;
mod job;
mod memory;
mod object;
mod published;
mod queue;
mod socket;
