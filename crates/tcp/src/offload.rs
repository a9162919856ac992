//! What somebody in front of us needs to answer SYNs as we would: plain data one way, a hook the other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Handshake;
use crate::cookie;
use crate::lookup::Tuple;
use crate::path_mtu;
use crate::payload::Payload;
use crate::tcp::Tcp;
use crate::time::Time;

/// How to answer a SYN with a cookie, and to know the acknowledgment of one, as we do. Valid until the epoch after
/// the next begins.
///
/// The layout of cookies and what their hash is of are documented with `Cookies`, in this crate's source; an
/// independent implementation is compared with ours, octet for octet, by a test.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offload {
    /// For each of three epochs, the one before, the one that is and the next, its number and the words of its key.
    pub cookie_keys: [(u64, [u64; 2]); 3],
    /// The key of what is added to the clock of milliseconds for each peer; `None` if timestamps are not accepted.
    pub timestamp_key: Option<[u64; 2]>,
    /// Whether selective acknowledgments are accepted.
    pub selective_acknowledgments: bool,
    /// Octets of the largest segments that we announce: over IPv4, over IPv6.
    pub segment_sizes: [u16; 2],
    /// The window that we offer.
    pub window: u16,
    /// The shift of later windows.
    pub window_scale: u8,
    /// Whether a bare acknowledgment of a cookie is of no use to us: connections begin with data.
    pub absorbs: bool,
    /// See [`Config::partial_checksums`](crate::Config::partial_checksums).
    pub partial_checksums: bool,
}

/// Whoever answers SYNs in front of us. It is told which connections live, as it must leave their segments to us.
pub trait Assistant: Send + Sync {
    /// A connection between these ends lives from now on, or what is remembered of one.
    fn comes(&self, local: SocketAddr, remote: SocketAddr);
    /// It does no longer. As often as `comes`.
    fn goes(&self, local: SocketAddr, remote: SocketAddr);
    /// Whether the assistant has sent a SYN-ACK of this number to `remote` in the time `age` before `now`.
    fn has_offered(&self, now: Time, age: Duration, local: SocketAddr, remote: SocketAddr, sequence: u32) -> bool;
}

impl Offload {
    /// How long each epoch of cookies is; the first began at the clock's zero.
    pub const EPOCH: Duration = Duration::from_nanos(cookie::EPOCH);
}

impl<P: Payload> Tcp<P> {
    /// How to answer SYNs as we do. `None` if nobody else can, or should: handshakes are remembered, congestion
    /// notification is negotiated, or there is no room for another connection.
    pub fn offload(&self, now: Time) -> Option<Offload> {
        let (shared, config) = (&self.shared, &self.shared.config);
        if config.handshake != Handshake::Cookies || config.congestion_notification || self.slots.is_full() {
            return None;
        }
        let any = [[0, 0, 0, 0].into(), [0u16; 8].into()];
        Some(Offload {
            cookie_keys: shared.cookies.keys(now),
            timestamp_key: config.timestamps.then(|| shared.secret.timestamp_key()),
            selective_acknowledgments: config.selective_acknowledgments,
            segment_sizes: any.map(|address| path_mtu::announced(config.mtu, address)),
            window: shared.first_window(),
            window_scale: config.window_shift(),
            absorbs: config.accept_on_data,
            partial_checksums: config.partial_checksums,
        })
    }

    /// Has `assistant` told of all connections from now on.
    pub fn assisted_by(&mut self, assistant: Arc<dyn Assistant>) {
        let assisted = Assisted(Some(assistant));
        for handle in self.slots.handles() {
            if let Some(connection) = self.slots.named(handle) {
                assisted.comes(&connection.cold.tuple);
            }
        }
        self.shared.time_wait.assisted_by(assisted.clone());
        self.shared.assisted = assisted;
    }
}

/// The assistant, if there is one.
#[derive(Clone, Default)]
pub(crate) struct Assisted(Option<Arc<dyn Assistant>>);

impl Assisted {
    pub(crate) fn comes(&self, tuple: &Tuple) {
        if let Some(assistant) = &self.0 {
            let (local, remote) = ends(tuple);
            assistant.comes(local, remote);
        }
    }

    pub(crate) fn goes(&self, tuple: &Tuple) {
        if let Some(assistant) = &self.0 {
            let (local, remote) = ends(tuple);
            assistant.goes(local, remote);
        }
    }

    pub(crate) fn has_offered(&self, now: Time, age: Duration, tuple: &Tuple, sequence: u32) -> bool {
        let (local, remote) = ends(tuple);
        self.0.as_ref().is_some_and(|assistant| assistant.has_offered(now, age, local, remote, sequence))
    }
}

fn ends(tuple: &Tuple) -> (SocketAddr, SocketAddr) {
    (SocketAddr::new(tuple.local, tuple.local_port), SocketAddr::new(tuple.remote, tuple.remote_port))
}
