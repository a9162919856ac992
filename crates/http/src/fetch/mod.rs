//! HTTP towards backends: a module of its own on each engine, which owns the connections (AFPA §3.2, *derive remote
//! response*).
//!
//! - [`flight`]: what a backend sends, between its connection and those of the clients who read it; [`flights`]: which
//!   can be joined. [`upload`]: the other direction.
//! - [`outgoing`]: what is asked. [`shared`]: pools, idle connections, what waits; shared with the module that faces clients.
//! - [`table`], `states`: what a backend's connection does.

pub mod error;
pub(crate) mod flight;
pub(crate) mod flights;
mod module;
pub(crate) mod outgoing;
pub(crate) mod shared;
mod states;
pub mod table;
pub(crate) mod upload;

pub use error::FetchError;
pub use module::{Fetch, FetchGlobal};
pub use outgoing::FetchTimes;
pub use shared::{KEEPER, PoolPlan, Shared};
