//! A connection, described for an operator.

use std::net::SocketAddr;
use std::time::Duration;

use crate::connection::{Connection, Flags};
use crate::handle::Handle;
use crate::payload::Payload;
use crate::shared::Shared;
use crate::state::State;
use crate::timers;

/// What `ss -ti` shows of a connection of the kernel's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnectionInfo {
    /// The connection.
    pub handle: Handle,
    /// The caller's token.
    pub token: u32,
    /// RFC 9293's state.
    pub state: State,
    /// This end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// The smoothed round-trip time; zero before the first measurement.
    pub round_trip: Duration,
    /// Its variation.
    pub round_trip_variation: Duration,
    /// The retransmission timeout, backed off as it is now.
    pub retransmission_timeout: Duration,
    /// The congestion window in octets.
    pub congestion_window: u32,
    /// The slow-start threshold in octets; `u32::MAX` before any loss.
    pub slow_start_threshold: u32,
    /// The largest segment sent, options not counted, in octets.
    pub segment_size: u16,
    /// What the peer allows to be outstanding, in octets.
    pub send_window: u32,
    /// What we allow.
    pub receive_window: u32,
    /// The peer's window shift; `None` if scaling is off.
    pub send_window_shift: Option<u8>,
    /// Whether timestamps are on.
    pub timestamps: bool,
    /// Whether selective acknowledgments are on.
    pub selective_acknowledgments: bool,
    /// Whether explicit congestion notification is on.
    pub congestion_notification: bool,
    /// Octets queued, sent or not, and not acknowledged.
    pub queued: u64,
    /// Octets sent and not acknowledged.
    pub outstanding: u32,
    /// Octets received in order that the caller has not consumed.
    pub unread: u32,
    /// Timeouts since the last progress.
    pub retries: u8,
}

impl ConnectionInfo {
    pub(crate) fn of<P: Payload>(connection: &Connection<P>, shared: &Shared<P>, handle: Handle) -> ConnectionInfo {
        let cold = &connection.cold;
        let scaling = connection.flags.has(Flags::SCALING);
        ConnectionInfo {
            handle,
            token: connection.token,
            state: connection.state,
            local: SocketAddr::new(cold.tuple.local, cold.tuple.local_port),
            remote: SocketAddr::new(cold.tuple.remote, cold.tuple.remote_port),
            round_trip: cold.rtt.smoothed().unwrap_or_default(),
            round_trip_variation: cold.rtt.variation(),
            retransmission_timeout: timers::timeout(&cold.rtt, shared),
            congestion_window: cold.congestion.window(),
            slow_start_threshold: cold.congestion.threshold(),
            segment_size: connection.segment_size,
            send_window: connection.send_window,
            receive_window: connection.promised(),
            send_window_shift: scaling.then_some(connection.send_shift),
            timestamps: connection.flags.has(Flags::TIMESTAMPS),
            selective_acknowledgments: connection.flags.has(Flags::SELECTIVE),
            congestion_notification: connection.flags.has(Flags::CONGESTION_NOTIFICATION),
            queued: u64::from(connection.queued()),
            outstanding: connection.outstanding(),
            unread: u32::try_from(connection.unread.len()).unwrap_or(u32::MAX),
            retries: cold.retries,
        }
    }
}
