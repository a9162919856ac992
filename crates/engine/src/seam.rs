//! The one seam: TCP raises *events*, and accepts *calls*.
//!
//! A [`Transport`] raises events through [`Events`] and is told what to do through [`Calls`].
//! Protocol modules stand above it, transports below; a layer such as TLS implements `Events`
//! towards the transport and `Calls` towards the module. Neither side names the other.
//!
//! The seam is shaped by the most demanding transport, a user-level TCP that runs to completion:
//!
//! - [`Events::received`] lends bytes where they arrived (a receive frame, a provided buffer). The
//!   answer can be given within the same call: that is the *inline* context of AFPA §3.1.
//! - Whatever `received` does not consume stays with the transport, bounded by its receive window,
//!   and is shown again in front of what follows. A module that stops consuming closes the window.
//! - [`Calls::send`] takes pins, not bytes, so a payload is sent from where it lies (AFPA §3.4).
//!   A pin is dropped when TCP can no longer need it: copied to the kernel, or acknowledged.
//! - Nothing here blocks.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use afpa_cache::FragmentPin;
use afpa_platform::foreign::ForeignSlice;
use afpa_platform::source::SourceFile;

/// Nanoseconds on the engine's monotonic clock. An argument everywhere, never read behind the scenes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Time(pub u64);

impl Time {
    /// A deadline that never comes.
    pub const NEVER: Time = Time(u64::MAX);

    /// This moment plus `duration`, saturating at [`Time::NEVER`].
    pub const fn after(self, duration: Duration) -> Time {
        Time(self.0.saturating_add(duration.as_nanos() as u64))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub const fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Names one connection of one engine. Never reused: the generation tells a stale id from a live one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionId(u64);

impl ConnectionId {
    /// The most connections that one transport can hold at once.
    pub const MAX_INDEX: u32 = (1 << 24) - 1;

    /// `index` is the transport's slot; `generation` counts that slot's uses.
    pub const fn new(transport: TransportId, index: u32, generation: u32) -> ConnectionId {
        assert!(index <= Self::MAX_INDEX);
        ConnectionId((generation as u64) << 32 | (transport.0 as u64) << 24 | index as u64)
    }

    /// The transport that holds the connection.
    pub const fn transport(self) -> TransportId {
        TransportId((self.0 >> 24) as u8)
    }

    /// The slot within the transport.
    pub const fn index(self) -> u32 {
        self.0 as u32 & Self::MAX_INDEX
    }

    /// The use of the slot that this id names.
    pub const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.transport().0, self.index(), self.generation())
    }
}

/// Names a transport within its engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TransportId(pub u8);

/// Says which protocol module of the engine owns a listener, and so every connection it accepts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Owner(pub u8);

/// Names a listener (or a datagram socket) of one transport.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListenerId {
    /// The transport that listens.
    pub transport: TransportId,
    /// The listener's place in the transport.
    pub index: u16,
}

/// Where a listener or a peer is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// IPv4 or IPv6 with a port.
    Inet(SocketAddr),
    /// A Unix socket; the path is empty for an unnamed peer.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Inet(address) => write!(f, "{address}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Who opened a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The peer did, to this listener.
    Accepted(ListenerId),
    /// We did, by [`Calls::connect`] or [`Calls::converse`], or took it over by [`Calls::take_over`].
    Connected,
    /// We did, by [`Context::open`](crate::Context::open) with this tag, or it is [work](crate::Open::Work)
    /// of the module's own. Never from a transport.
    Opened(u64),
    /// Nobody: it is the exchange of a datagram that this socket brought. Never from a transport.
    Datagram(ListenerId, SocketAddr),
}

/// Why a connection, or the peer's half of it, ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disconnect {
    /// The peer sent FIN. Our half is still open: an answer may yet be sent, and `close` is still due.
    Finished,
    /// Both halves are closed; the id is dead.
    Closed,
    /// The peer reset the connection; the id is dead.
    Reset,
    /// A connection that we asked for was refused; the id is dead.
    Refused,
    /// There is no way to the peer of a connection that we asked for; the id is dead.
    Unreachable,
    /// TCP gave up on the peer; the id is dead.
    TimedOut,
    /// Nothing was opened, for want of room on this side: a limit, a port. Never from a transport.
    Unavailable,
}

/// A range of a file, sent through the file system's cache: the second level of AFPA §3.4.
#[derive(Clone, Debug)]
pub struct FileRange {
    /// The open file.
    pub file: Arc<SourceFile>,
    /// Its first octet to send.
    pub offset: u64,
    /// How many octets.
    pub length: u64,
}

/// A piece of what is sent, in order.
pub enum Segment<'a> {
    /// Copied before `send` returns: heads, and small answers made on the spot.
    Copy(&'a [u8]),
    /// Cache memory, sent from where it lies.
    Pinned(FragmentPin),
    /// Memory that other processes have as well, sent from where it lies. They may write it at any time; whoever wants
    /// the octets to arrive as they are now leaves them alone until [`Events::sent`] counts them.
    Foreign(ForeignSlice),
    /// A file's range, for a transport whose [`Calls::sends_files`] holds.
    File(FileRange),
}

/// A connection that its transport has let go of: see [`Calls::release`].
#[derive(Debug)]
pub struct Released {
    /// The socket, connected as it was, with its options (`TCP_NODELAY` and others) and in the mode in which calls
    /// never wait (`O_NONBLOCK`). Nothing is under way on it, and everything that was sent is with the kernel and
    /// on its way. If the peer has sent FIN, reading says so again. Dropping it closes it.
    pub socket: OwnedFd,
    /// What had been read from it and was not consumed: the octets that come in front of those that the socket
    /// still holds. At most the receive window and what was arriving meanwhile.
    pub octets: Vec<u8>,
}

/// What a transport tells those above it. Each call lends the transport's [`Calls`], so that the
/// answer can be given in the same context.
///
/// For one connection the order is: `connected`, then any of `received` and `sent`, then
/// `disconnected` with a reason other than [`Disconnect::Finished`], or `released`, after which the id is
/// dead. An outbound connection that fails sees only `disconnected`.
pub trait Events {
    /// The poll that is about to say [`Events::awake`] has not slept: its time was work. A transport whose sends are made
    /// in the call that waits says so when it knows.
    fn worked(&mut self) {}

    /// A poll has stopped waiting: returns the time, if there is a clock above. A transport calls this
    /// before it raises the first event of the poll, and goes by that time from then on.
    fn awake(&mut self) -> Option<Time> {
        None
    }

    /// A connection is established.
    fn connected(&mut self, calls: &mut dyn Calls, connection: ConnectionId, owner: Owner, origin: Origin);

    /// `bytes` is everything that the peer has sent and that has not been consumed yet. Returns how
    /// many of them are consumed. The rest is shown again when more arrives, or after
    /// [`Calls::resume`]. Empty only after `resume`, when nothing is left.
    fn received(&mut self, calls: &mut dyn Calls, connection: ConnectionId, owner: Owner, bytes: &[u8]) -> usize;

    /// `count` octets given to `send` are no longer the caller's concern; their pins are dropped.
    fn sent(&mut self, calls: &mut dyn Calls, connection: ConnectionId, owner: Owner, count: u64);

    /// The peer's half, or the connection, has ended.
    fn disconnected(&mut self, calls: &mut dyn Calls, connection: ConnectionId, owner: Owner, reason: Disconnect);

    /// The connection was released, as [`Calls::release`] asked: it is the receiver's now, and the id is dead. By
    /// default it is closed.
    fn released(&mut self, calls: &mut dyn Calls, connection: ConnectionId, owner: Owner, released: Released) {
        let _ = (calls, connection, owner, released);
    }

    /// One datagram arrived from `peer` on a datagram socket.
    fn datagram(&mut self, calls: &mut dyn Calls, socket: ListenerId, owner: Owner, peer: SocketAddr, bytes: &[u8]);
}

/// What a transport can be told. Calls on a dead id do nothing.
pub trait Calls {
    /// Queues a segment behind those already queued. Several `send`s within one event leave
    /// together when the event returns.
    fn send(&mut self, connection: ConnectionId, segment: Segment<'_>);

    /// How many octets the transport would like to be given now. At zero, wait for
    /// [`Events::sent`]. One segment may overshoot it.
    fn send_space(&self, connection: ConnectionId) -> usize;

    /// Octets that TCP has taken over and the peer has not acknowledged: what tells a slow reader
    /// from a silent one while a large send buffer drains. Zero if the transport cannot say.
    fn in_flight(&self, connection: ConnectionId) -> u64 {
        let _ = connection;
        0
    }

    /// Asks for the unconsumed bytes to be shown again, after the current event; also if there are
    /// none, so that the caller learns it.
    fn resume(&mut self, connection: ConnectionId);

    /// Finishes: what is queued is sent, then FIN. The rest of the peer's input is not wanted.
    fn close(&mut self, connection: ConnectionId);

    /// Sends FIN after what is queued, and keeps receiving, until `close` or `abort`.
    fn finish(&mut self, connection: ConnectionId);

    /// Resets the connection at once. Raises no further event for it.
    fn abort(&mut self, connection: ConnectionId);

    /// Whether [`Calls::release`] would be granted: the connection is a stream with a descriptor of its own, is
    /// established, and neither `close` nor `finish` was called. A transport without descriptors, and a layer
    /// whose octets are not those of the wire, never grant it.
    fn can_release(&self, connection: ConnectionId) -> bool {
        let _ = connection;
        false
    }

    /// Asks for the connection itself: whoever gets it goes on with the peer. Returns whether this is granted
    /// ([`Calls::can_release`]); if not, nothing has happened.
    ///
    /// From then on nothing more is shown, told of the peer's FIN, or taken by `send`. What is queued is sent first,
    /// with `sent` as ever, however slowly the peer takes it: a caller that will not wait has `close` and `abort`.
    /// Then [`Events::released`] comes with all octets that are not consumed, those of the event at hand included;
    /// or `disconnected`, if the peer resets the connection before.
    fn release(&mut self, connection: ConnectionId) -> bool {
        let _ = connection;
        false
    }

    /// The connection's socket, for somebody who sends on it himself and may set its mode (`O_NONBLOCK`): from then on the
    /// transport relies on neither, and what it is asked to do to the connection it does to the socket, whoever has it
    /// as well. The socket waits for what it is asked (no `O_NONBLOCK`), to begin with. It is not [released](Calls::release)
    /// any more. `None`: there is no such socket.
    fn share(&mut self, connection: ConnectionId) -> Option<BorrowedFd<'_>> {
        let _ = connection;
        None
    }

    /// Opens a connection; `connected` or `disconnected` follows.
    ///
    /// # Errors
    /// The address family is not this transport's, or a limit on connections is reached.
    fn connect(&mut self, to: &Address, owner: Owner) -> io::Result<ConnectionId>;

    /// As [`Calls::connect`], with a stream socket that the caller has made, and bound or given options if it liked. It is
    /// the transport's from here on, its mode (`O_NONBLOCK`) included.
    ///
    /// # Errors
    /// The transport has no such sockets, this one cannot be connected to such an address, or a limit is reached.
    fn connect_with(&mut self, socket: OwnedFd, to: &Address, owner: Owner) -> io::Result<ConnectionId> {
        let _ = (socket, to, owner);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Takes over a connection that others have made or accepted, the counterpart of [`Calls::release`]: `connected`
    /// follows, and then `octets`, which they have read from it, are shown in front of what arrives. The socket is the
    /// transport's from here on, its mode (`O_NONBLOCK`) included.
    ///
    /// # Errors
    /// The transport has no such sockets, this one is not connected, or a limit on connections is reached.
    fn take_over(&mut self, socket: OwnedFd, owner: Owner, octets: Vec<u8>) -> io::Result<ConnectionId> {
        let _ = (socket, owner, octets);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Opens a *conversation*: a datagram socket with a port of its own that exchanges datagrams with `to` alone,
    /// seen as a connection. `connected` follows. Each `send` is one datagram; each `received` is one datagram,
    /// of which nothing is kept; datagrams from elsewhere are never seen. An ICMP error from there raises
    /// `disconnected` with [`Disconnect::Refused`]. There is no FIN: `close` and `abort` both forget it.
    ///
    /// # Errors
    /// The transport has no datagrams towards `to`, or a limit on connections is reached.
    fn converse(&mut self, to: SocketAddr, owner: Owner) -> io::Result<ConnectionId> {
        let _ = (to, owner);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The other end, if the connection is alive and the transport knows it.
    fn peer(&self, connection: ConnectionId) -> Option<Address>;

    /// Our end: the address and port of our own that the connection uses, if it is alive and the transport knows them.
    fn local(&self, connection: ConnectionId) -> Option<Address> {
        let _ = connection;
        None
    }

    /// Sends one datagram from `socket`. A datagram that does not fit the socket's queue is lost,
    /// as on any network.
    fn send_datagram(&mut self, socket: ListenerId, peer: SocketAddr, segments: &mut dyn Iterator<Item = Segment<'_>>);

    /// Whether [`Segment::File`] is understood. If not, the send engine stages files in memory.
    fn sends_files(&self) -> bool;
}

/// What to listen to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Listen {
    /// A TCP port, or a Unix stream socket.
    Stream(Address),
    /// A UDP port.
    Datagram(SocketAddr),
}

/// A way to reach TCP and UDP, as the engine drives it.
pub trait Transport {
    /// Raises the events that are due. If none is, waits for one for at most `wait` (`None`: for
    /// ever) or until a watched descriptor is readable.
    ///
    /// # Errors
    /// The system interface itself failed; the engine cannot go on.
    fn poll(&mut self, now: Time, wait: Option<Duration>, events: &mut dyn Events) -> io::Result<()>;

    /// The calls, for work that does not start in one of this transport's events (timers,
    /// completions, the other transport's events).
    fn calls(&mut self) -> &mut dyn Calls;

    /// Wakes `poll` when `descriptor` becomes readable. The descriptor must outlive the transport, or be unwatched.
    /// Whoever has it watched reads what made it readable before the next poll: some transports are woken by each
    /// signal, others as long as it is readable.
    ///
    /// # Errors
    /// The descriptor cannot be watched.
    fn watch(&mut self, descriptor: BorrowedFd<'_>) -> io::Result<()>;

    /// Watches a descriptor no more, which may be closed then. By default nothing is ever watched.
    fn unwatch(&mut self, descriptor: BorrowedFd<'_>) {
        let _ = descriptor;
    }

    /// Listens to a socket that others have bound, and that they may have as well. A stream socket that does not listen
    /// yet starts to, with this `backlog`. Several transports can each adopt a duplicate of one socket: each connection
    /// comes to one of them.
    ///
    /// # Errors
    /// The transport has no such sockets, or it cannot be listened to.
    fn adopt(&mut self, socket: OwnedFd, owner: Owner, backlog: u16) -> io::Result<ListenerId> {
        let _ = (socket, owner, backlog);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Listens to this one no more, and lets go of its socket; its connections live on. A connection that was already
    /// accepted may still come, to the owner that it had and under its name. The name is given to another listener only when none can.
    ///
    /// # Errors
    /// It is no stream listener of this transport, or listens no more.
    fn unlisten(&mut self, listener: ListenerId) -> io::Result<()> {
        let _ = listener;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// A descriptor that is readable when `poll` has something to do: how an engine with two
    /// transports sleeps on both. `None` if the transport never has work of its own accord.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;

    /// Whether calls were made that the next `poll` has to carry out: the engine does not sleep then.
    /// A transport that carries calls out at once keeps the default.
    fn is_pending(&self) -> bool {
        false
    }

    /// Whether [`Transport::poll`] would find something to do without waiting; `None` if only polling can
    /// tell. Asked of every transport but the one that sleeps, so that a quiet one costs no system call.
    /// One that is due keeps the engine awake; one that cannot tell is polled in every pass.
    fn is_due(&mut self, now: Time) -> Option<bool> {
        let _ = now;
        None
    }

    /// How long nothing is due if nothing arrives and nothing is asked for: what the one that sleeps must
    /// know of the others.
    fn patience(&self, now: Time) -> Option<Duration> {
        let _ = now;
        None
    }

    /// Stops accepting on every listener; connections live on.
    fn stop_listening(&mut self);

    /// Receives no more datagrams on any listener, which others have as well; answers can still be sent.
    fn stop_datagrams(&mut self) {}

    /// Looks again at every listener: one that others had as well may have woken them in place of this transport.
    fn look_again(&mut self) {}

    /// How many connections are alive. Listeners that are not yet done with count, too.
    fn connections(&self) -> usize;
}
