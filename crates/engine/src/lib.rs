//! The engine: one thread per core that owns its transports, connections, timers and modules.
//!
//! - [`seam`]: what TCP tells those above it, and what it can be told.
//! - [`table`]: states, outcomes, and the control table between them.
//! - [`module`]: what a protocol module is, and what its state functions can do.
//! - [`desk`]: what a module can ask of its engine beside.
//! - [`send_engine`]: the state function that every module shares.
//! - [`engine`]: the loop.
//! - [`records`]: what engines tell logs.
//! - [`workers`]: where blocking work runs.
//! - [`memory`]: a transport without a network, for tests of modules.
#![forbid(unsafe_code)]

pub mod desk;
pub mod engine;
mod exchanges;
mod installed;
pub mod mailbox;
pub mod memory;
pub mod module;
pub mod records;
pub mod seam;
pub mod send_engine;
pub mod stats;
pub mod table;
pub mod timers;
pub mod workers;

pub use desk::{Desk, Notice, Open};
pub use engine::{Engine, EngineHandle};
pub use module::{Context, ProtocolModule, Rest, Wake};
pub use seam::{Calls, ConnectionId, Events, Owner, Time, Transport, TransportId};
pub use table::{ControlTable, Next, Outcome, State, StateFunction, row};
