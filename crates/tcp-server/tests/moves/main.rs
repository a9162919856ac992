//! Connections that move between engines, and engines that come and go.

#[path = "../common/adopting.rs"]
mod adopting;
mod balancing;
#[path = "../common/mod.rs"]
mod common;
mod events;
mod server;
mod streams;
mod waiting;
