//! The TCP server (TCP Servers §4): engines that run TCP for other processes, which reach their sockets through memory
//! that they share with it.
//!
//! - [`control`]: the Unix socket on which applications attach, and what they ask for there.
//! - [`application`]: what the server keeps of an application, shared by all engines.
//! - [`provider`]: the socket provider, one on each engine: a protocol module between TCP and the slots of the region.
//! - [`channel`]: one connection of it, with `receiving` and `sending`.
//! - [`listener`]: connections that are accepted ahead of the application.
//! - [`objects`]: what applications publish, and any of a user's send.
//! - [`balance`]: how many engines are active, and which connections move between them.
//! - [`steering`]: listeners whose frames come from an interface of ours.
//! - [`patience`]: for how long an engine looks for work before it sleeps.
//!
//! The application lies, as far as the server is concerned. What it writes is validated before it is used, and what is
//! wrong costs it the connection on which it was wrong.

#![forbid(unsafe_code)]

pub mod application;
pub mod balance;
mod bell;
pub mod channel;
pub mod control;
mod handing;
pub mod limits;
pub mod listener;
pub mod module;
mod moving;
pub mod objects;
pub mod patience;
pub mod provider;
mod receiving;
mod resources;
mod sending;
mod slots;
pub mod stats;
pub mod status;
pub mod steering;
pub mod table;

pub use afpa_channel::control::Sender;
pub use application::Application;
pub use control::{Control, ControlConfig};
pub use limits::Limits;
pub use module::SocketProvider;
pub use moving::Share;
pub use objects::Objects;
pub use patience::Notify;
pub use provider::{Port, Provider, Settings};
pub use stats::ProviderStats;
pub use steering::Steer;
