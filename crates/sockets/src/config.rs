//! What a transport is told when it is made.

use std::time::Duration;

use afpa_engine::TransportId;

/// Limits and choices of one engine's [`Sockets`](crate::Sockets).
#[derive(Clone, Debug)]
pub struct SocketsConfig {
    /// Its place among the engine's transports.
    pub transport: TransportId,
    /// How the kernel is reached.
    pub interface: Interface,
    /// Who sends.
    pub respond: Respond,
    /// The most connections at once; beyond it, accepting pauses. At most
    /// [`ConnectionId::MAX_INDEX`](afpa_engine::ConnectionId::MAX_INDEX) + 1.
    pub max_connections: u32,
    /// How many of these are for what is opened here: what is accepted does not take their places.
    pub reserved: u32,
    /// The octets of unconsumed input at which a connection is read no further.
    pub receive_window: usize,
    /// The octets of queued output at which a connection wants no more.
    pub send_buffer: usize,
    /// The octets of a pinned fragment that make it worth while to lend to the kernel (through a
    /// [`Pipe`](afpa_platform::pipe::Pipe)) what would else be copied by it. Between two namespaces, where the only copy left is the
    /// receiver's, lending costs 20.6 µs instead of 22.6 for 64 KiB, and 369 instead of 463 for 1 MiB;
    /// it is even at 32 KiB, and 16 KiB are cheaper copied, by 2 µs.
    pub lend_from: usize,
    /// The connections that the kernel keeps until they are accepted, per listener.
    pub backlog: u16,
    /// Whether the protocol lets the peer speak first. Connections of Internet listeners are then
    /// accepted when their first octets arrive, or a second after their handshake: an exchange costs
    /// one wake-up less (TCP_DEFER_ACCEPT).
    pub peer_speaks_first: bool,
    /// How long the peer of a closed connection may go on sending before it is reset. Until then its
    /// octets are read and thrown away, so that the last response reaches it (RFC 9112 §9.6).
    pub linger: Duration,
    /// How long the peer of a closed connection may take nothing of what is still queued for it,
    /// before it is reset: looked at that often.
    pub close_patience: Duration,
    /// How long the peer of a connection that was opened here may be silent before TCP asks whether it is there (RFC
    /// 9293 §3.8.4), and how long between two questions, of which three go unanswered at most. Zero: never.
    pub keep_alive: Duration,
    /// Threads that send, where `respond` needs any. They inherit the affinity of the thread that
    /// makes the transport.
    pub senders: usize,
}

impl SocketsConfig {
    /// The defaults, for the transport at this place.
    pub fn new(transport: TransportId) -> SocketsConfig {
        SocketsConfig {
            transport,
            interface: Interface::Auto,
            respond: Respond::Hybrid,
            max_connections: 65_536,
            reserved: 0,
            receive_window: 64 * 1024,
            send_buffer: 1024 * 1024,
            lend_from: 24 * 1024,
            backlog: 4096,
            peer_speaks_first: false,
            linger: Duration::from_secs(2),
            close_patience: Duration::from_secs(5),
            keep_alive: Duration::from_secs(60),
            senders: 2,
        }
    }
}

impl Default for SocketsConfig {
    fn default() -> SocketsConfig {
        SocketsConfig::new(TransportId::default())
    }
}

/// The system interface through which sockets are used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interface {
    /// io_uring where it can be had, otherwise epoll.
    Auto,
    /// io_uring.
    Uring,
    /// epoll.
    Epoll,
}

impl Interface {
    /// Its name, as an operator knows it.
    pub const fn name(self) -> &'static str {
        match self {
            Interface::Auto => "auto",
            Interface::Uring => "io_uring",
            Interface::Epoll => "epoll",
        }
    }
}

/// Who sends what was queued (AFPA §3.1, §3.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Respond {
    /// The engine, in the context in which TCP input ran. Files cannot be sent.
    Inline,
    /// A thread.
    Thread,
    /// The engine what is in memory, a thread what is in files.
    Hybrid,
}
