//! The edge to the operating system, and the only crate with `unsafe`.

pub mod memory;
