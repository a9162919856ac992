//! A user-level TCP without input or output: packets and time in, packets and a next deadline out.
//!
//! [`Tcp`] is for one core. Its owner gives it each packet that arrives ([`Tcp::process`]), shows what came of it to whoever
//! stands above, who may answer in the same context ([`Tcp::send_pinned`], [`Tcp::close`]), and then lets it send
//! ([`Tcp::dispatch`]): a request is acknowledged by its response, and a response that ends its connection carries FIN. When
//! nothing arrives, [`Tcp::next_deadline`] says when [`Tcp::expire`] is due.
//!
//! # What it holds
//!
//! | for | octets | bounded by |
//! |---|---|---|
//! | a connection, its entry in the table and its timer | at most 512 | [`Config::max_connections`] |
//! | what is queued for it, and records of what is in flight | a pooled box, while there is some | 1 GiB, and its caller |
//! | its input that is out of order, or not consumed | pooled buffers, while there is some | [`Config::receive_memory`] |
//! | a handshake that is a cookie | 0 | – |
//! | a connection in TIME-WAIT | 64 | [`Config::time_wait_entries`] |
//! | replies that belong to no connection | about 120 | [`Config::stateless_replies`] |
//!
//! In the steady state nothing is allocated: boxes and buffers are used again.
//!
//! # Where things are
//!
//! `ingress` asks a segment one question per file, header prediction first; `handshake` makes connections, `egress` sends what is
//! due, `timers` does what time asks for. `send` has the sender's parts (queue, flight, congestion control), `receive` the
//! receiver's (reassembly, window). What decides is a pure function of its arguments wherever that is possible.
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
mod offload;
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
pub use offload::{Assistant, Offload};
pub use packet::{Packet, Piece, Sink};
pub use payload::Payload;
pub use state::State;
pub use stats::Stats;
pub use tcp::{Tcp, Unread};
pub use time::Time;
