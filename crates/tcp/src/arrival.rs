//! What a packet or a timer came to, for whoever stands above TCP.

use crate::handle::{Handle, ListenerIndex};

/// What one packet, or one timer, changed for one connection. The parts happened in the order of the fields:
/// a single segment may complete the handshake, carry a request and close the peer's half.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival<'f> {
    /// The connection. Dead already if `ended` says so.
    pub handle: Handle,
    /// What the caller gave to `listen` or `connect`.
    pub token: u32,
    /// The connection is new to the caller.
    pub opened: Option<Opened>,
    /// So many octets given to `send_copy` and `send_pinned` were acknowledged; their pins are dropped.
    pub acknowledged: u64,
    /// What the peer sent.
    pub input: Input<'f>,
    /// The peer has closed its half, and everything before that has been shown.
    pub finished: bool,
    /// The connection is over.
    pub ended: Option<Ending>,
}

impl Arrival<'static> {
    /// Nothing but an end.
    pub(crate) fn of_end(handle: Handle, token: u32, ending: Ending) -> Arrival<'static> {
        let ended = Some(ending);
        Arrival { handle, token, opened: None, acknowledged: 0, input: Input::None, finished: false, ended }
    }
}

/// Who opened a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opened {
    /// The peer did, to this listener.
    Accepted(ListenerIndex),
    /// [`Tcp::connect`](crate::Tcp::connect) did.
    Connected,
}

/// New octets of the peer, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Input<'f> {
    /// None.
    #[default]
    None,
    /// They lie in the packet, and none are unread before them. What the caller does not consume it hands to
    /// [`Tcp::consumed`](crate::Tcp::consumed).
    Frame(&'f [u8]),
    /// They are behind earlier ones in the unread buffer:
    /// [`Tcp::take_unread`](crate::Tcp::take_unread).
    Buffered,
}

/// Why a connection is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// Both halves were closed and everything was acknowledged.
    Closed,
    /// The peer reset it.
    Reset,
    /// A connection that we asked for was refused, or its peer cannot be reached.
    Refused,
    /// The peer stopped acknowledging, or answering keep-alives.
    TimedOut,
}

/// What is known of a packet's checksums.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Integrity {
    /// Nothing: verify them.
    Verify,
    /// Somebody below verified them.
    Verified,
}
