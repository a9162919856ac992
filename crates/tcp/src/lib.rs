//! A user-level TCP without input or output: frames and time in, frames and a next deadline out.
#![forbid(unsafe_code)]

mod arrival;
mod calls;
mod challenge;
mod config;
mod connection;
mod cookie;
mod egress;
mod error;
pub mod fuzz;
mod handle;
mod handshake;
mod icmp;
mod info;
mod ingress;
mod lookup;
mod packet;
mod path_mtu;
mod payload;
mod pool;
mod receive;
mod secret;
mod send;
mod shared;
mod slots;
mod state;
mod stats;
mod tcp;
mod time;
mod time_wait;
mod timer_wheel;
mod timers;

pub use arrival::{Arrival, Ending, Input, Integrity, Opened};
pub use config::{Checksum, Config, CongestionControl, Handshake, KeepAlive};
pub use error::{ConnectError, ListenError};
pub use handle::{Handle, ListenerIndex};
pub use info::ConnectionInfo;
pub use packet::{Packet, Piece, Sink};
pub use payload::Payload;
pub use state::State;
pub use stats::Stats;
pub use tcp::{Tcp, Unread};
pub use time::Time;
