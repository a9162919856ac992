//! Connections that move between engines, and engines that come and go.

mod balancing;
#[path = "../common/mod.rs"]
mod common;
mod events;
mod server;
mod streams;
mod waiting;
