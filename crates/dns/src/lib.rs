//! The DNS module: a caching forwarder and an authoritative server on the platform.
//!
//! - [`table`]: the states towards clients and what follows from what; [`states`]: one file for each state function.
//! - [`module`]: global, connection and request data.
//! - [`fetch`]: the second module, which asks backends.
//! - [`message`]: DNS messages as octets. [`cache`]: answers as they are kept and served. [`zone`]: master files, and
//!   what is answered from them. [`upstream`]: what is sent to backends and what counts as its answer. [`route`]: which
//!   pool a question goes to. [`protect`]: who may ask, and how much. All of them without I/O.
//! - [`driver`]: which answers are left to the program in the driver.
//! - [`query_log`], [`stats`]: what an engine tells.
#![forbid(unsafe_code)]

pub mod cache;
pub mod driver;
pub mod fetch;
pub mod fuzz;
pub mod message;
pub mod module;
pub mod protect;
pub mod query_log;
pub mod route;
pub mod states;
pub mod stats;
pub mod table;
pub mod upstream;
pub mod zone;

pub use fetch::Fetch;
pub use module::{Dns, Global, Limits, Parts, Settings};
pub use stats::DnsStats;
