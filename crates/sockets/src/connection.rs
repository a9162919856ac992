//! One connection, as both drivers know it.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use afpa_engine::seam::{Disconnect, Owner};
use afpa_platform::gather::Gather;

use crate::unread::Unread;

/// One connection. Some 200 octets; what it holds beyond that, it holds only while busy.
pub(crate) struct Connection {
    pub(crate) generation: u32,
    pub(crate) owner: Owner,
    pub(crate) phase: Phase,
    /// It is a datagram socket: each gather is one datagram, there is no FIN, and nothing unread is kept.
    pub(crate) is_conversation: bool,
    /// It was not accepted.
    pub(crate) is_opened: bool,
    /// It was taken over as it is: no answer of the peer is waited for.
    pub(crate) is_made: bool,
    /// Another process has the socket as well: that it is closed here ends nothing.
    pub(crate) is_shared: bool,
    /// Others send on the socket, and decide its mode (`O_NONBLOCK`).
    pub(crate) has_sender: bool,
    /// Gone while the kernel closes it behind the last send.
    pub(crate) socket: Option<OwnedFd>,
    pub(crate) unread: Unread,
    /// What is gathered, and not with the driver.
    pub(crate) outgoing: VecDeque<Box<Gather>>,
    /// What a thread is sending.
    pub(crate) lent: Option<Box<Gather>>,
    /// Octets that were given to `send` and not taken over yet.
    pub(crate) queued: u64,
    /// Octets that were taken over without `sent` having been raised.
    pub(crate) unreported: u64,
    pub(crate) finish: Finish,
    pub(crate) driver: DriverState,
    /// The peer's FIN has arrived.
    pub(crate) peer_finished: bool,
    /// Input has arrived before this moment's.
    pub(crate) seasoned: bool,
    /// The peer's first input was all there was, and was consumed: it seems to have said everything.
    pub(crate) quiet: bool,
    /// The connection is in `Table::touched`.
    pub(crate) touched: bool,
    /// The connection is in `Table::resumed`.
    pub(crate) resumed: bool,
}

/// Where a connection stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// The slot is free.
    Free,
    /// We opened it; the peer has not answered.
    Connecting,
    /// Both sides may talk.
    Open,
    /// `close` was called: what is queued still leaves.
    Closing,
    /// Our FIN is sent. What the peer still sends is thrown away, so that it finds our last octets
    /// and not a reset.
    Lingering,
    /// `release` was called: what is queued still leaves, and what arrives is kept.
    Releasing,
    /// Nothing is wanted of it any more. It is closed when no operation uses it, and then `reason` is
    /// raised, if there is one.
    Ending { reason: Option<Disconnect>, reset: bool },
}

/// How far our FIN is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Finish {
    No,
    /// Behind what is queued.
    Due,
    Sent,
}

/// What the driver has under way, and what it knows of the socket.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct DriverState {
    /// io_uring: a send is under way.
    pub(crate) sending: bool,
    /// io_uring: a receive is under way.
    pub(crate) receiving: bool,
    /// A wait for room is under way; or, while connecting, for the connection.
    pub(crate) polling: bool,
    /// io_uring: the receive has been told to end.
    pub(crate) cancelled: bool,
    /// io_uring: every operation has been told to end.
    pub(crate) ending: bool,
    /// io_uring: that there is something to receive is waited for, since the socket's mode has ended a receive that should
    /// have waited. It counts as a receive.
    pub(crate) awaiting: bool,
    /// The socket takes no more for now.
    pub(crate) blocked: bool,
    /// io_uring: the socket's mode is the one in which calls never wait. The ring would not wait for it either.
    pub(crate) impatient: bool,
    /// epoll: the connection is registered. io_uring: it is minded after the peer's FIN.
    pub(crate) registered: bool,
    /// epoll: room was reported while a thread was sending.
    pub(crate) room: bool,
    /// epoll: there may be something to read.
    pub(crate) readable: bool,
    /// epoll: the end of the input is near, and is reported only once.
    pub(crate) hung_up: bool,
    /// epoll: the connection is in the list of those to read.
    pub(crate) ready: bool,
}

impl Connection {
    pub(crate) fn free() -> Connection {
        Connection {
            generation: 0,
            owner: Owner::default(),
            phase: Phase::Free,
            is_conversation: false,
            is_opened: false,
            is_made: false,
            is_shared: false,
            has_sender: false,
            socket: None,
            unread: Unread::default(),
            outgoing: VecDeque::new(),
            lent: None,
            queued: 0,
            unreported: 0,
            finish: Finish::No,
            driver: DriverState::default(),
            peer_finished: false,
            seasoned: false,
            quiet: false,
            touched: false,
            resumed: false,
        }
    }

    /// Starts another use of the slot.
    pub(crate) fn occupy(&mut self, socket: OwnedFd, owner: Owner, phase: Phase) {
        self.owner = owner;
        self.phase = phase;
        (self.is_conversation, self.is_made, self.is_shared) = (false, false, false);
        self.has_sender = false;
        self.is_opened = phase == Phase::Connecting;
        self.socket = Some(socket);
        (self.queued, self.unreported) = (0, 0);
        self.finish = Finish::No;
        self.driver = DriverState::default();
        (self.peer_finished, self.seasoned, self.quiet, self.resumed) = (false, false, false, false);
    }

    /// Whether calls still mean it.
    pub(crate) fn is_live(&self) -> bool {
        !matches!(self.phase, Phase::Free | Phase::Ending { .. })
    }

    /// Whether it is connected, and nobody above knows yet.
    pub(crate) fn is_to_be_told(&self) -> bool {
        self.phase == Phase::Connecting && (self.is_conversation || self.is_made)
    }

    /// Whether octets may still be given to it.
    pub(crate) fn may_send(&self) -> bool {
        matches!(self.phase, Phase::Connecting | Phase::Open) && self.finish == Finish::No
    }

    /// Whether the driver, or a thread, still uses the socket.
    pub(crate) fn is_busy(&self) -> bool {
        let DriverState { sending, receiving, polling, .. } = self.driver;
        sending || receiving || polling || self.lent.is_some()
    }

    /// Whether unread input is of use to somebody.
    pub(crate) fn keeps_input(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Releasing)
    }

    /// Whether more input is wanted.
    pub(crate) fn wants_input(&self, window: usize) -> bool {
        // While a thread has the socket, its mode is the thread's.
        !self.peer_finished
            && self.lent.is_none()
            && match self.phase {
                Phase::Open => self.unread.len() < window,
                Phase::Lingering => true,
                _ => false,
            }
    }

    /// Whether closing now makes the kernel send FIN rather than a reset.
    pub(crate) fn may_close_at_once(&self) -> bool {
        let ends = !self.is_shared || self.finish == Finish::Sent;
        (self.peer_finished || self.quiet) && !self.driver.receiving && ends
    }
}
