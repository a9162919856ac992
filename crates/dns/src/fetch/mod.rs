//! DNS towards backends: the second module, `dns-upstream`, and what the two share.
//!
//! A question is asked in a conversation of its own, and so has a port of its own; over TCP it has a connection. Work
//! that has no peer (checks, giving up) runs as exchanges of nobody.

mod module;
mod shared;
pub(crate) mod states;
pub mod table;

pub use module::{Fetch, Global};
pub(crate) use shared::{Errand, Joined, Landed, Task, cache_subnet};
pub use shared::{PoolsOrRoutes, Shared, WATCH};
