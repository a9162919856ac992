//! MemNet: the application's side of a TCP server (TCP Servers §4.2). Sockets whose TCP runs elsewhere, reached through
//! shared memory.
//!
//! [`Attachment`] is a process's way to its server. [`Socket`] and [`Listener`] are what it has there, and jobs
//! ([`SendJob`], [`ReceiveJob`]) what the server does meanwhile, with memory that is registered ([`Buffer`],
//! [`ReceiveBuffer`]). All of it is built on [`Channel`], on which nothing waits, and [`Queue`], by which a thread waits for
//! what happens on any number of them; the library that unmodified programs are run with is built on the same.
//!
//! `docs/memnet.md` shows how they are used.

#![forbid(unsafe_code)]

mod attachment;
mod buffer;
mod channel;
mod incoming;
mod job;
mod listener;
mod object;
mod options;
mod queue;
mod reactor;
mod rooms;
mod socket;
#[cfg(feature = "tokio")]
mod stream;
mod thread;
mod waiting;

pub use afpa_channel::control::Sender;
pub use attachment::{Attachment, Bequest, Fork, Placing};
pub use buffer::{Buffer, Deregistered, Frozen, ReceiveBuffer, Sendable, SentFile};
pub use channel::{Channel, Readiness};
pub use job::{Job, ReceiveJob, Refused, SendJob, wait_any};
pub use listener::Listener;
pub use object::Object;
pub use options::Options;
pub use queue::{Queue, Wait};
pub use reactor::{Accept, Connect, Reactor};
pub use socket::Socket;
#[cfg(feature = "tokio")]
pub use stream::Stream;
