//! Entry points for fuzzing: any octets in, a panic only if a promise is broken.

mod model;
mod neighbourhood;
mod program;
mod questions;

pub use neighbourhood::neighbours;
pub use questions::resolution;
