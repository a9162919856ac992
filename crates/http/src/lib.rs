//! The HTTP module: HTTP/1.0 and HTTP/1.1 over the platform, answering from files through the cache.
//!
//! - [`table`]: the states and what follows from what; [`states`]: one file for each state function.
//! - [`module`]: global, connection and request data.
//! - [`syntax`]: HTTP as octets, without I/O. [`files`]: from a miss to a cache object, on workers.
//! - [`quality`]: classes of requests, and who goes first. [`remote`], [`fetch`]: what other servers answer.
//! - [`access_log`], [`stats`]: what an engine tells.
#![forbid(unsafe_code)]

pub mod access_log;
mod clock;
pub mod fetch;
pub mod files;
mod kept;
pub mod module;
pub mod quality;
pub mod remote;
pub mod states;
pub mod stats;
pub mod syntax;
pub mod table;

pub use kept::Kept;
pub use module::{Global, Http, Settings};
pub use stats::HttpStats;
