//! The accelerator: how responses of backends are kept, and how backends and those in front of us are spoken with.
//!
//! - [`Accelerate`]: the model, with its defaults.
//! - [`Policy`]: how responses are kept.

mod model;
mod problems;
mod read;

pub use model::{Accelerate, Forwarded, Policy, ResponseLimits, Timeouts, Token};
pub(super) use problems::problems;
pub(super) use read::read;
