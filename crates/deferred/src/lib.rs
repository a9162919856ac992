//! The receiving end of afpa's *deferred response*: the server hands a client's TCP connection over, with the octets
//! that it has already read from it, and from then on this process talks to the client itself. Nothing is proxied.
//!
//! - [`Listener`], [`Connection`]: for servers that block.
//! - `AsyncListener`, `AsyncConnection` (feature `tokio`): for tokio, and with it hyper. With the
//!   feature `axum`, `axum::serve` takes the listener as it takes one of TCP.
//!
//! # With axum
//!
//! ```no_run
//! # #[cfg(feature = "axum")]
//! # async fn serve() -> std::io::Result<()> {
//! use afpa_deferred::{Addresses, AsyncListener};
//! use axum::extract::ConnectInfo;
//! use axum::{Router, routing::get};
//!
//! async fn hello(ConnectInfo(addresses): ConnectInfo<Addresses>) -> String {
//!     format!("hello, {}\n", addresses.client)
//! }
//!
//! let app = Router::new().route("/hello", get(hello));
//! let listener = AsyncListener::bind("/run/app/afpa.sock")?;
//! axum::serve(listener, app.into_make_service_with_connect_info::<Addresses>()).await
//! # }
//! ```
//!
//! `examples/axum.rs` is a whole program. With hyper, each `AsyncConnection` goes into
//! `hyper_util::rt::TokioIo`.
//!
//! # By blocking
//!
//! ```
//! use std::io::{Read, Write};
//!
//! # fn main() -> std::io::Result<()> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("socket");
//! let mut listener = afpa_deferred::Listener::bind(&path)?;
//! # let listening = std::net::TcpListener::bind("127.0.0.1:0")?;
//! # let mut client = std::net::TcpStream::connect(listening.local_addr()?)?;
//! # let (socket, _) = listening.accept()?;
//! # let addresses = afpa_platform::hand_over::Addresses { client: client.local_addr()?, local: client.peer_addr()? };
//! # let second = std::time::Duration::from_secs(1);
//! # afpa_platform::hand_over::hand_over(&path, second, &addresses, b"question", socket.into()).unwrap();
//! let mut connection = listener.accept()?;
//! let mut question = [0; 8];
//! connection.read_exact(&mut question)?;
//! connection.write_all(b"answer")?;
//! # drop(connection);
//! # let mut answer = String::new();
//! # client.read_to_string(&mut answer)?;
//! # assert_eq!((&question, answer.as_str()), (b"question", "answer"));
//! # Ok(())
//! # }
//! ```
//!
//! # Whom it trusts
//!
//! Whoever may write to the Unix socket may hand connections over, and say what was read from them and whose they
//! are. By default that is the socket's own user ([`Options::mode`]); [`Options::only_from`] narrows it to one. What
//! comes is checked nevertheless: a frame that is not what it should be, in time, is dropped with its descriptors,
//! and counted ([`Listener::refused`]). What is bounded, and what happens there:
//!
//! - Octets that come with a connection, by [`Options::max_read_ahead`]: more are refused.
//! - The time that a sender has, by [`Options::patience`]. Others do not wait for it.
//! - Senders at once, by [`MAX_SENDERS`]: others wait in the kernel's backlog.
#![forbid(unsafe_code)]

#[cfg(feature = "tokio")]
mod asynchronous;
#[cfg(feature = "axum")]
mod axum;
mod connection;
mod door;
mod frame;
mod intake;
mod listener;
mod options;

#[cfg(feature = "tokio")]
pub use asynchronous::{AsyncConnection, AsyncListener};
pub use connection::{Addresses, Connection};
pub use listener::Listener;
pub use options::Options;

/// The most senders that are listened to at once.
pub const MAX_SENDERS: usize = 64;
