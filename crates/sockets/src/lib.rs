//! The transport over the kernel's sockets: TCP, Unix stream sockets and UDP, through io_uring or
//! epoll. Both do the same and are tested as equals.
//!
//! - [`Sockets`]: the transport, as the engine drives it.
//! - `table`: the connections, and what the seam's calls do to them; the same for both drivers.
//! - `uring`, `epoll`: the drivers. They differ only in how octets move.
//! - `transmit`: sends without waiting, from memory, from lent memory and from files.
//! - `conversations`: datagrams with one peer, seen as connections.
//! - `opening`: connections that are not accepted.
//! - `release`: connections that are given away.
//! - `failures`: connections that fail after the peer's FIN.
//! - `datagrams`: what datagram sockets send through a ring.
//! - `senders`: the threads that send in the contexts `thread` and `hybrid`.
//!
//! What is bounded, and what happens there:
//!
//! - Connections, by [`SocketsConfig::max_connections`], and descriptors, by the process's limit:
//!   accepting pauses; new connections wait in the kernel's backlog.
//! - Unconsumed input of a connection, by [`SocketsConfig::receive_window`]: it is read no further, and
//!   TCP closes its window. What a pass had already received may lie beyond it.
//! - Queued output, by [`SocketsConfig::send_buffer`]: `send_space` is zero. One event may overshoot it.
//! - Datagrams that wait for the kernel: those beyond 1,024 of them, or 4 MiB, are lost and counted.
//! - Datagrams received in a pass: others wait in their socket's queue, of up to 4 MiB, and are lost beyond it.
//! - The time that a closed connection's peer has to stop sending, by [`SocketsConfig::linger`].
#![forbid(unsafe_code)]

mod address;
mod config;
mod connection;
mod conversations;
mod datagrams;
mod epoll;
mod failures;
mod listeners;
mod opening;
mod release;
mod senders;
mod sharing;
mod sockets;
mod stats;
mod table;
mod transmit;
mod unread;
mod uring;

pub use config::{Interface, Respond, SocketsConfig};
pub use sockets::Sockets;
pub use stats::SocketsStats;
