//! The transport over our own TCP on raw frames: a request is parsed and answered in the context in
//! which TCP processes its packet, from pinned memory, with checksums computed in advance (AFPA §3.3,
//! §3.4). It stands under the engine's seam like any other transport.
//!
//! What is bounded, and what happens there: frames handled in a pass (the rest waits in the device's
//! ring, which drops beyond its size, and counts it); connections, receive memory, TIME-WAIT entries and
//! stateless replies as [`afpa_tcp::Config`] has them; datagrams waiting for room (lost beyond 1,024);
//! frames held for a capture (dropped and counted beyond 4,096).
#![forbid(unsafe_code)]

mod assistance;
mod config;
mod connections;
mod datagrams;
mod direct;
pub mod frames;
pub mod fuzz;
mod host;
mod link;
pub mod neighbours;
mod observer;
mod outbound;
mod pinned;
pub mod resolution;
mod resumed;
mod stats;

pub use config::DirectConfig;
pub use direct::Direct;
pub use observer::{CapturedFrame, Observer};
pub use pinned::Pinned;
pub use stats::DirectStats;
