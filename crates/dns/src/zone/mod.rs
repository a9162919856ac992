//! Authoritative zones: read from master files as a whole, answered from memory.
//!
//! A [`Zone`] is built once, on a worker, and never changes: a reload makes another. It keeps its names in canonical
//! order, owners in lower case, every record's data as it goes into a message, and a table of names. Nothing is
//! allocated for an answer.

mod answer;
mod build;
mod data;
mod denial;
mod error;
mod fuzz;
mod limits;
mod lookup;
mod master;
mod raw;
mod scanner;
mod sets;
mod transfer;
mod zones;

pub use answer::Answered;
pub use error::{Reason, ZoneError};
pub use fuzz::fuzz_zone;
pub use limits::Limits;
pub use sets::Zone;
pub use transfer::{Transfer, TransferPosition, TransferRecord};
pub use zones::Zones;
