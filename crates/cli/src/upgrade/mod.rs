//! A new program takes over from the running one, and no client notices.
//!
//! On SIGUSR2 the running server, the *predecessor*, starts the program at its own path, which may be another one by
//! now: the *successor*. Its standard input is one end of a pair of Unix sockets that keep the bounds of messages:
//!
//! | from | message |
//! |---|---|
//! | predecessor | [`Letter::Greeting`]: how it reads sockets, and how many follow |
//! | predecessor | [`Letter::Socket`], one for each, with its descriptor (unix(7), SCM_RIGHTS) |
//! | successor | [`Letter::Ready`], when it serves; or [`Letter::Failed`], and it ends |
//!
//! The sockets are the very ones that clients connect to: a connection that nobody has accepted yet, or a datagram that
//! nobody has read, is there for the successor. Only when it serves does the predecessor stop to accept; whatever
//! happens before that, the predecessor serves on.

mod letter;
mod predecessor;
mod program;
mod successor;

use std::os::fd::OwnedFd;

use crate::units::ListenAddress;

pub use letter::{Letter, Malformed};
pub use predecessor::Predecessor;
pub use program::Program;
pub use successor::{Attempt, Successor};

/// Says that standard input leads to a predecessor.
pub const VARIABLE: &str = "AFPA_UPGRADE";

/// The most sockets that are handed over.
pub const MAX_SOCKETS: usize = 16_384;

/// What a socket that is handed over is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Clients of HTTP.
    Http,
    /// The same, on a socket that the service manager opened.
    Passed,
    /// Clients of DNS, over datagrams or streams.
    Dns,
    /// The operator.
    Admin,
}

/// A socket that is handed over.
#[derive(Debug)]
pub struct Handed {
    /// What it is for.
    pub role: Role,
    /// Those of one number belong together: each engine has one.
    pub door: u16,
    /// The address as it was configured, which may leave the port to the system.
    pub asked: ListenAddress,
    /// The socket.
    pub socket: OwnedFd,
}
