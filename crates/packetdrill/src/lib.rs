//! Our TCP behind packetdrill's interface for user-space stacks: socket calls and IP packets in, IP packets out, on a
//! simulated clock. Loaded by `packetdrill --so_filename`; see the README beside this crate.
//!
//! `interface` alone contains unsafe code: the C entry points. Everything behind them is safe.
#![deny(unsafe_code)]

mod adapter;
mod address;
mod errno;
#[allow(unsafe_code)]
pub mod interface;
mod options;
mod poll;
mod settings;
mod socket;
mod stack;
