//! TCP for other processes: the section `[tcp-server]`.
//!
//! [`TcpServer`]: the model, with its defaults.

mod model;
mod problems;
mod read;

pub use model::{Active, Directions, Mode, Notify, Provider, TcpServer};
pub(super) use problems::{problems, surroundings};
pub(super) use read::read;

use std::ops::RangeInclusive;

use crate::units::Size;

/// Memory that leaves from where it lies, unless told otherwise.
pub const REGISTERED: Size = Size::mib(64);
/// Memory that there may be for each direction of a socket.
pub(crate) const RING: RangeInclusive<Size> = Size::kib(4)..=Size::mib(1);
