//! MemNet: the application's side of a TCP server (TCP Servers §4.2). Sockets whose TCP runs elsewhere, reached through
//! shared memory.
//!
//! Three layers. [`Attachment`] is a process's way to its server, [`Channel`] and [`Listener`] are sockets of it on which
//! nothing waits, and [`Queue`] is how a thread waits for what happens on any of them. What is built on these: the API of
//! the paper, and the library that unmodified programs are run with.

#![forbid(unsafe_code)]

mod attachment;
mod channel;
mod listener;
mod queue;
mod thread;

pub use attachment::{Attachment, Bequest, Fork, Placing};
pub use channel::{Channel, Readiness};
pub use listener::Listener;
pub use queue::{Queue, Wait};
