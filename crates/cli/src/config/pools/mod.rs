//! Pools: backends that answer the same, and how one of them is chosen, spoken with and watched.
//!
//! - [`Pool`], [`Backend`]: the model, with its defaults.
//! - [`BackendAddress`]: where a backend is.

mod address;
mod model;
mod problems;
mod read;

pub use address::BackendAddress;
pub(in crate::config) use model::is_token;
pub use model::{
    Backend, Balance, Ejection, HashOn, Health, Hedge, HedgeAfter, Pool, ProxyProtocol, Retry, RetryOn, SameSite,
    StatusRange, Sticky,
};
pub(super) use problems::problems;
pub(super) use read::read;
