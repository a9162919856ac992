//! The state of a new connection.

use afpa_wire::sequence::Sequence;

use crate::config::Config;
use crate::connection::{Cold, Connection, Flags, SendTimer};
use crate::egress::segment::Template;
use crate::lookup::Tuple;
use crate::path_mtu;
use crate::payload::Payload;
use crate::receive::unread::Unread;
use crate::send::congestion::Congestion;
use crate::send::rtt::Rtt;
use crate::shared::Shared;
use crate::state::State;
use crate::time::Time;

/// RFC 9293 §3.7.1: what any peer takes, until one has shown that it sends more.
const SMALL_SEGMENT: u16 = 536;

/// A connection of which nothing is known but its ends and our initial sequence number; it offers what the
/// configuration allows.
pub(crate) fn new<P: Payload>(
    shared: &Shared<P>,
    tuple: Tuple,
    initial_send: Sequence,
    state: State,
    token: u32,
    listener: Option<u16>,
) -> Connection<P> {
    let config = &shared.config;
    let segment_size = path_mtu::segment_size(SMALL_SEGMENT, config.mtu, tuple.remote, config.timestamps);
    let cold = Cold {
        template: Template::new(&tuple),
        tuple,
        retries: 0,
        keep_alives: 0,
        peer_mss: SMALL_SEGMENT,
        path_mtu: config.mtu,
        path_mtu_at: Time::NEVER,
        path_mtu_refused: 0,
        initial_send,
        initial_receive: Sequence(0),
        largest_window: 0,
        rtt: Rtt::default(),
        congestion: congestion(config, segment_size),
        timestamp_recent_at: Time(0),
        idle_deadline: Time::NEVER,
        sent: Time(0),
        challenged: Time(0),
        duplicate: None,
    };
    Connection {
        receive_next: Sequence(0),
        receive_edge: Sequence(0),
        acknowledgment_sent: Sequence(0),
        send_unacknowledged: initial_send,
        send_next: initial_send,
        send_window: 0,
        window_sequence: Sequence(0),
        window_acknowledgment: Sequence(0),
        timestamp_recent: 0,
        timestamp_offset: shared.secret.timestamp_offset(tuple.local, tuple.remote),
        flags: offered(config),
        state,
        send_shift: 0,
        receive_shift: 0,
        send_timer: SendTimer::None,
        segment_size,
        receive_segment_size: SMALL_SEGMENT,
        listener,
        sending: None,
        assembly: None,
        unread: Unread::default(),
        send_deadline: Time::NEVER,
        acknowledgment_deadline: Time::NEVER,
        scheduled: Time::NEVER,
        heard: shared.now,
        generation: 0,
        token,
        cold,
    }
}

/// What the handshake has settled; the connection may send from now on.
pub(crate) fn establish<P: Payload>(connection: &mut Connection<P>, shared: &mut Shared<P>, now: Time) {
    connection.cold.congestion = congestion(&shared.config, connection.segment_size);
    if connection.cold.retries > 0 {
        connection.cold.rtt.syn_was_lost();
        // RFC 5681 §3.1, RFC 6928 §2: a loss so early is congestion.
        let segment = u32::from(connection.segment_size);
        connection.cold.congestion.set_window(segment, segment);
    }
    connection.cold.retries = 0;
    connection.cold.sent = Time(0);
    connection.heard = now;
    connection.send_timer = SendTimer::None;
    connection.send_deadline = Time::NEVER;
    connection.flags.clear(Flags::SYNCHRONIZE);
    if let Some(keep_alive) = shared.config.keep_alive {
        connection.cold.idle_deadline = now.after(keep_alive.idle);
    }
    if connection.sending.is_some() {
        connection.flags.set(Flags::WAKE);
    }
}

fn congestion(config: &Config, segment_size: u16) -> Congestion {
    Congestion::new(config.congestion_control, u32::from(segment_size))
}

fn offered(config: &Config) -> Flags {
    let mut flags = Flags::SCALING;
    if config.timestamps {
        flags.set(Flags::TIMESTAMPS);
    }
    if config.selective_acknowledgments {
        flags.set(Flags::SELECTIVE);
    }
    if config.congestion_notification {
        flags.set(Flags::CONGESTION_NOTIFICATION);
    }
    flags
}
