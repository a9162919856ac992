//! Segments that belong to no connection: LISTEN, TIME-WAIT and CLOSED (RFC 9293 §3.10.7.1, §3.10.7.2).

use std::time::Duration;

use afpa_wire::sequence::Sequence;
use afpa_wire::tcp::{Flags as Controls, Options, SackBlocks, Segment, Timestamps};

use super::{create, options};
use crate::config::Handshake;
use crate::connection::{Connection, Flags, age, milliseconds};
use crate::cookie;
use crate::egress::stateless::Reply;
use crate::lookup::Tuple;
use crate::path_mtu;
use crate::payload::Payload;
use crate::shared::Shared;
use crate::state::State;
use crate::time::Time;
use crate::time_wait::{Arrived, Remains, Verdict};

/// Handshakes that occupy a connection even though cookies are configured: those whose sequence numbers have to lie above
/// an older connection's.
const REOPENING: u32 = 256;

/// So many milliseconds may an assistant's clock be ahead of ours.
const LARGEST_LEAD: u32 = 1000;

/// A listener, as a segment found it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listener {
    pub(crate) index: u16,
    pub(crate) token: u32,
}

/// Takes a segment of a connection in TIME-WAIT. `None`: it was answered, or is to be ignored. Else the number above which
/// a new connection has to begin, if there was an old one.
pub(crate) fn passes_time_wait<P: Payload>(
    shared: &mut Shared<P>,
    now: Time,
    tuple: &Tuple,
    segment: &Segment<'_>,
) -> Option<Option<Sequence>> {
    let arrived = Arrived {
        sequence: Sequence(segment.sequence),
        len: segment.payload.len() as u32,
        syn: segment.flags.contains(Controls::SYN),
        ack: segment.flags.contains(Controls::ACK),
        fin: segment.flags.contains(Controls::FIN),
        reset: segment.flags.contains(Controls::RST),
        timestamp: segment.options.timestamps.filter(|_| shared.config.timestamps).map(|timestamps| timestamps.value),
    };
    match shared.time_wait.judge(now, tuple, &arrived, &shared.secret) {
        None => return Some(None),
        Some(Verdict::Reopen { above }) => {
            shared.stats.time_waits_reused += 1;
            return Some(Some(above));
        }
        Some(Verdict::Ignore | Verdict::Challenge(_)) if begins_anew(shared, now, tuple, segment, &arrived) => {
            shared.stats.time_waits_reused += 1;
            return Some(None);
        }
        Some(Verdict::Ignore) => {}
        Some(Verdict::Acknowledge(remains)) => {
            shared.replies.push(remind(tuple, &remains, now), &mut shared.stats);
        }
        Some(Verdict::Challenge(remains)) => {
            if shared.challenges.admit(now) {
                shared.stats.challenges_sent += 1;
                shared.replies.push(remind(tuple, &remains, now), &mut shared.stats);
            } else {
                shared.stats.challenges_limited += 1;
            }
        }
    }
    None
}

/// Whether a segment for a connection in TIME-WAIT belongs to a new one whose SYN somebody else has answered: see
/// [`Assistant`](crate::Assistant). The old one is forgotten then. That the cookie is good is not enough: so is that of the
/// old connection's first segment, which may have been delayed.
fn begins_anew<P: Payload>(
    shared: &mut Shared<P>,
    now: Time,
    tuple: &Tuple,
    segment: &Segment<'_>,
    arrived: &Arrived,
) -> bool {
    if arrived.syn || arrived.reset || !arrived.ack {
        return false;
    }
    let (made, peer) = (Sequence(segment.acknowledgment) - 1, Sequence(segment.sequence) - 1);
    let offered = shared.secret.timestamp_offset(tuple.local, tuple.remote);
    let offered = segment.options.timestamps.map(|timestamps| timestamps.echo.wrapping_sub(offered));
    shared.time_wait.is_outlived(tuple, arrived, made, offered, &shared.secret)
        && shared.cookies.check(now, tuple, peer, made).is_some()
        && shared.time_wait.forget(tuple, &shared.secret)
}

/// The last acknowledgment of a connection, again.
pub(crate) fn remind(tuple: &Tuple, remains: &Remains, now: Time) -> Reply {
    let timestamps = remains
        .timestamps
        .map(|stamps| Timestamps { value: milliseconds(now).wrapping_add(stamps.offset), echo: stamps.recent });
    Reply {
        tuple: *tuple,
        sequence: remains.sent,
        acknowledgment: remains.next,
        flags: Controls::ACK,
        window: 0,
        options: Options { timestamps, ..Options::NONE },
    }
}

/// Answers a SYN with a cookie, or returns a connection in SYN-RECEIVED where one is due. `above`: see
/// [`passes_time_wait`].
pub(crate) fn offer<P: Payload>(
    shared: &mut Shared<P>,
    now: Time,
    (hash, tuple): (u64, &Tuple),
    segment: &Segment<'_>,
    listener: Listener,
    above: Option<Sequence>,
) -> Option<Connection<P>> {
    shared.stats.syns_received += 1;
    // RFC 9293 §3.10.7.2 would take the FIN; nobody means it.
    if segment.flags.contains(Controls::FIN) {
        shared.stats.syns_dropped += 1;
        return None;
    }
    let has_timestamps = shared.config.timestamps && segment.options.timestamps.is_some();
    let room = match shared.config.handshake {
        Handshake::Queue { entries } => entries,
        // With timestamps, old segments are told from new ones by these (RFC 6191 §2).
        Handshake::Cookies if above.is_some() && !has_timestamps => REOPENING,
        Handshake::Cookies => 0,
    };
    if shared.handshakes >= room {
        answer_with_cookie(shared, now, tuple, hash, segment);
        return None;
    }
    shared.handshakes += 1;
    let mut initial = shared.secret.initial_sequence(now, tuple);
    if let Some(above) = above
        && !initial.after(above)
    {
        initial = above + 1;
    }
    Some(remember(shared, now, tuple, segment, listener, initial))
}

/// LISTEN to SYN-RECEIVED.
fn remember<P: Payload>(
    shared: &mut Shared<P>,
    now: Time,
    tuple: &Tuple,
    segment: &Segment<'_>,
    listener: Listener,
    initial: Sequence,
) -> Connection<P> {
    let state = State::Listen.after(crate::state::Event::Syn);
    let mut connection = create::new(shared, *tuple, initial, state, listener.token, Some(listener.index));
    connection.cold.initial_receive = Sequence(segment.sequence);
    connection.receive_next = Sequence(segment.sequence) + 1;
    connection.receive_edge = connection.receive_next + u32::from(shared.first_window());
    connection.acknowledgment_sent = connection.receive_next;
    connection.send_next = initial + 1;
    connection.send_window = u32::from(segment.window);
    connection.window_sequence = Sequence(segment.sequence);
    options::agree(&mut connection, shared, &segment.options, now);
    if !segment.flags.contains(Controls::ECE | Controls::CWR) {
        connection.flags.clear(Flags::CONGESTION_NOTIFICATION);
    }
    connection.flags.set(Flags::SYNCHRONIZE.with(Flags::WAKE));
    connection
}

fn answer_with_cookie<P: Payload>(shared: &mut Shared<P>, now: Time, tuple: &Tuple, hash: u64, segment: &Segment<'_>) {
    let config = &shared.config;
    let offered = &segment.options;
    let kept = cookie::Options {
        mss: options::peer_mss(offered, tuple.remote.is_ipv4()),
        window_scale: offered.window_scale,
        sack_permitted: offered.sack_permitted && config.selective_acknowledgments,
    };
    let asks_for_ecn = segment.flags.contains(Controls::ECE | Controls::CWR);
    let has_ecn = config.congestion_notification && asks_for_ecn && offered.timestamps.is_some() && config.timestamps;
    let timestamps = offered.timestamps.filter(|_| config.timestamps).map(|timestamps| {
        let offset = shared.secret.timestamp_offset(tuple.local, tuple.remote);
        let value = milliseconds(now).wrapping_add(offset);
        let value = if config.congestion_notification { marked(value, has_ecn) } else { value };
        Timestamps { value, echo: timestamps.value }
    });
    let options = Options {
        mss: Some(path_mtu::announced(config.mtu, tuple.remote)),
        window_scale: kept.window_scale.map(|_| config.window_shift()),
        sack_permitted: kept.sack_permitted,
        timestamps,
        sack: SackBlocks::NONE,
    };
    let window = shared.first_window();
    let sequence = shared.cookies.make(now, tuple, Sequence(segment.sequence), kept);
    let acknowledgment = Sequence(segment.sequence) + 1;
    let ecn = if has_ecn { Controls::ECE } else { Controls::NONE };
    let flags = Controls::SYN | Controls::ACK | ecn;
    let reply = Reply { tuple: *tuple, sequence, acknowledgment, flags, window, options };
    if shared.replies.push(reply, &mut shared.stats) {
        shared.stats.cookies_sent += 1;
        shared.offers.note(now, hash, sequence);
    }
}

/// A cookie has no room for whether ECN was agreed on: the last bit of the timestamp in the SYN-ACK says it, which comes back
/// as an echo. The timestamp is never later than the clock, so that later ones are not older.
fn marked(value: u32, mark: bool) -> u32 {
    if is_marked(value) == mark { value } else { value.wrapping_sub(1) }
}

fn is_marked(value: u32) -> bool {
    value & 1 == 1
}

/// Whether the acknowledgment is of a cookie, and of which options.
pub(crate) fn cookie_of<P: Payload>(
    shared: &mut Shared<P>,
    now: Time,
    tuple: &Tuple,
    segment: &Segment<'_>,
) -> Option<cookie::Options> {
    let made = Sequence(segment.acknowledgment) - 1;
    let peer = Sequence(segment.sequence) - 1;
    let options = shared.cookies.check(now, tuple, peer, made);
    if options.is_none() {
        shared.stats.cookies_rejected += 1;
    }
    options
}

/// The connection that a cookie stood for.
pub(crate) fn accept<P: Payload>(
    shared: &mut Shared<P>,
    now: Time,
    tuple: &Tuple,
    segment: &Segment<'_>,
    listener: Listener,
    agreed: cookie::Options,
) -> Connection<P> {
    let made = Sequence(segment.acknowledgment) - 1;
    let state = State::Listen.after(crate::state::Event::Syn).after(crate::state::Event::SynAcknowledged);
    let mut connection = create::new(shared, *tuple, made, state, listener.token, Some(listener.index));
    connection.cold.initial_receive = Sequence(segment.sequence) - 1;
    connection.receive_next = Sequence(segment.sequence);
    connection.receive_edge = connection.receive_next + shared.config.receive_window.min(65_535);
    connection.acknowledgment_sent = connection.receive_next;
    connection.send_unacknowledged = Sequence(segment.acknowledgment);
    connection.send_next = Sequence(segment.acknowledgment);
    connection.window_sequence = Sequence(segment.sequence);
    connection.window_acknowledgment = Sequence(segment.acknowledgment);
    let options = Options {
        mss: Some(agreed.mss),
        window_scale: agreed.window_scale,
        sack_permitted: agreed.sack_permitted,
        timestamps: segment.options.timestamps,
        sack: SackBlocks::NONE,
    };
    options::agree(&mut connection, shared, &options, now);
    connection.send_window = u32::from(segment.window) << connection.send_shift;
    connection.cold.largest_window = connection.send_window;
    let echo = segment.options.timestamps.filter(|_| shared.config.timestamps).map_or(0, |timestamps| timestamps.echo);
    if !is_marked(echo) {
        connection.flags.clear(Flags::CONGESTION_NOTIFICATION);
    }
    create::establish(&mut connection, shared, now);
    if let Some(timestamps) = segment.options.timestamps {
        never_before(&mut connection, timestamps.echo, now);
    }
    // A segment with data echoes the SYN-ACK however long the peer thought before it sent it.
    let is_prompt = segment.payload.is_empty() && connection.flags.has(Flags::TIMESTAMPS);
    if let Some(timestamps) = segment.options.timestamps.filter(|_| is_prompt)
        && let Some(round_trip) = age(now, connection.timestamp_offset, timestamps.echo)
        && round_trip < Duration::from_secs(60)
    {
        // In milliseconds; the first response is measured better.
        connection.cold.rtt.sample(round_trip.max(Duration::from_micros(500)), now);
    }
    // `announce` counts it out again.
    shared.handshakes += 1;
    connection
}

/// RFC 7323 §5.3: the peer drops what has an older timestamp than our SYN-ACK, and an assistant that sent it may have read
/// the clock later than our caller did. The connection's own clock is put forward by that.
fn never_before<P>(connection: &mut Connection<P>, echo: u32, now: Time) {
    let ahead = echo.wrapping_sub(connection.timestamp(now));
    if ahead <= LARGEST_LEAD {
        connection.timestamp_offset = connection.timestamp_offset.wrapping_add(ahead);
    }
}
