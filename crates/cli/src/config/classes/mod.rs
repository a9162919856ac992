//! Classes of requests, and what is done when there is too much to do.
//!
//! - [`Class`], [`Overload`]: the model, with its defaults.
//! - [`class_of`]: the class of a request.

mod choice;
mod model;
mod problems;
mod read;

pub use choice::class_of;
pub use model::{Class, Overload};
pub(super) use problems::problems;
pub(super) use read::{read, read_overload};
