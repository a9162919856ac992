//! What happens when nothing does.

use std::time::Duration;

use afpa_wire::tcp::{Flags as Controls, Options, Timestamps};

use crate::arrival::Ending;
use crate::connection::{Connection, Flags, SendTimer, Sending};
use crate::egress::stateless::Reply;
use crate::ingress::losses;
use crate::path_mtu;
use crate::payload::Payload;
use crate::send::tail_loss::TailLoss;
use crate::shared::Shared;
use crate::state::{Event, State};
use crate::time::Time;

/// How long a peer may keep the acknowledgment of a lone segment back (RFC 8985 §7.2's WCDelAckT).
const PEER_DELAY: Duration = Duration::from_millis(200);

/// Sets the sender's timer after something was sent, or acknowledged (`is_progress`: then the retransmission timeout begins
/// anew, RFC 6298 §5.3).
pub(crate) fn arm<P: Payload>(connection: &mut Connection<P>, shared: &mut Shared<P>, now: Time, is_progress: bool) {
    // The handshake has a timer of its own.
    if !connection.state.is_synchronized() {
        return;
    }
    let is_closed = connection.send_window == 0 && (connection.outstanding() > 0 || connection.unsent() > 0);
    if is_closed && connection.sending.is_some() {
        persist(connection, shared, now);
        return;
    }
    let Some(sending) = &mut connection.sending else { return };
    if sending.flight.is_empty() {
        sending.retransmit_at = Time::NEVER;
        if connection.send_timer != SendTimer::Persist {
            connection.send_timer = SendTimer::None;
            connection.send_deadline = Time::NEVER;
        }
        return;
    }
    if is_progress || sending.retransmit_at == Time::NEVER {
        sending.retransmit_at = now.after(timeout(&connection.cold.rtt, shared));
    }
    (connection.send_timer, connection.send_deadline) = (SendTimer::Retransmission, sending.retransmit_at);
    if let Some(at) = sending.look_again {
        if at < connection.send_deadline {
            (connection.send_timer, connection.send_deadline) = (SendTimer::Reordering, at);
        }
    } else if may_probe_tail(connection.flags, sending) {
        let left = sending.retransmit_at.since(now);
        let is_one = sending.flight.outstanding() <= u32::from(connection.segment_size);
        let after = TailLoss::timeout(&connection.cold.rtt, is_one, PEER_DELAY, left);
        if now.after(after) < connection.send_deadline {
            (connection.send_timer, connection.send_deadline) = (SendTimer::TailLoss, now.after(after));
        }
    }
}

/// RFC 8985 §7.1.
fn may_probe_tail<P>(flags: Flags, sending: &Sending<P>) -> bool {
    flags.has(Flags::SELECTIVE)
        && sending.tail.may_probe()
        && sending.recovery.is_none()
        && sending.flight.sacked() == 0
        && sending.flight.lost() == 0
}

pub(crate) fn timeout<P>(rtt: &crate::send::rtt::Rtt, shared: &Shared<P>) -> Duration {
    rtt.timeout(shared.config.min_retransmission_timeout, shared.config.max_retransmission_timeout)
}

/// The peer's window is closed, or too small to be used, and what is in flight will not tell of its opening: probe it, less
/// and less often (RFC 9293 §3.8.6.1).
pub(crate) fn persist<P: Payload>(connection: &mut Connection<P>, shared: &mut Shared<P>, now: Time) {
    if connection.send_timer != SendTimer::Persist {
        connection.send_timer = SendTimer::Persist;
        connection.send_deadline = now.after(timeout(&connection.cold.rtt, shared));
    }
}

/// Fires what is due. Something else than `None` says that the connection is over.
pub(crate) fn fire<P: Payload>(connection: &mut Connection<P>, shared: &mut Shared<P>, now: Time) -> Option<Ending> {
    if connection.acknowledgment_deadline <= now {
        connection.acknowledgment_deadline = Time::NEVER;
        if connection.flags.has(Flags::ACKNOWLEDGE) {
            shared.stats.delayed_acknowledgments += 1;
            connection.acknowledge_at_once();
        }
    }
    if connection.cold.idle_deadline <= now
        && let Some(ending) = fire_idle(connection, shared, now)
    {
        return Some(ending);
    }
    if connection.send_deadline <= now {
        return fire_sender(connection, shared, now);
    }
    None
}

fn fire_sender<P: Payload>(connection: &mut Connection<P>, shared: &mut Shared<P>, now: Time) -> Option<Ending> {
    let timer = std::mem::replace(&mut connection.send_timer, SendTimer::None);
    connection.send_deadline = Time::NEVER;
    match timer {
        SendTimer::None => {}
        SendTimer::Handshake => return retry_handshake(connection, shared),
        SendTimer::Persist => {
            connection.cold.retries = connection.cold.retries.saturating_add(1);
            if connection.cold.retries > shared.config.retries {
                return Some(give_up(connection, shared));
            }
            connection.cold.rtt.back_off();
            connection.flags.set(Flags::PROBE.with(Flags::WAKE));
        }
        SendTimer::TailLoss => {
            connection.flags.set(Flags::PROBE_TAIL.with(Flags::WAKE));
            // Should the probe not be sent, the timeout still comes.
            if let Some(sending) = &connection.sending {
                (connection.send_timer, connection.send_deadline) = (SendTimer::Retransmission, sending.retransmit_at);
            }
        }
        SendTimer::Reordering => {
            if let Some(mut sending) = connection.sending.take() {
                sending.look_again = None;
                losses::look_again(connection, &mut sending, shared, now);
                connection.sending = Some(sending);
            }
            arm(connection, shared, now, false);
        }
        SendTimer::Retransmission => return retransmit(connection, shared, now),
    }
    None
}

/// RFC 6298 §5.4 to §5.7.
fn retransmit<P: Payload>(connection: &mut Connection<P>, shared: &mut Shared<P>, now: Time) -> Option<Ending> {
    shared.stats.retransmission_timeouts += 1;
    connection.cold.retries = connection.cold.retries.saturating_add(1);
    if connection.cold.retries > shared.config.retries {
        return Some(give_up(connection, shared));
    }
    if let Some(mut sending) = connection.sending.take() {
        losses::timed_out(connection, &mut sending);
        connection.sending = Some(sending);
    }
    path_mtu::suspect_black_hole(connection, shared, now);
    connection.flags.set(Flags::WAKE);
    connection.flags.clear(Flags::PROBE_TAIL);
    arm(connection, shared, now, true);
    None
}

fn retry_handshake<P: Payload>(connection: &mut Connection<P>, shared: &mut Shared<P>) -> Option<Ending> {
    connection.cold.retries = connection.cold.retries.saturating_add(1);
    if connection.cold.retries > shared.config.handshake_retries {
        connection.state = connection.state.after(Event::GiveUp);
        return Some(Ending::TimedOut);
    }
    connection.cold.rtt.back_off();
    connection.flags.set(Flags::SYNCHRONIZE.with(Flags::WAKE));
    None
}

fn fire_idle<P: Payload>(connection: &mut Connection<P>, shared: &mut Shared<P>, now: Time) -> Option<Ending> {
    connection.cold.idle_deadline = Time::NEVER;
    match connection.state {
        // Whoever removes it puts it into the table of closed connections.
        State::TimeWait => Some(Ending::Closed),
        State::FinWait2 => {
            // A caller that still reads waits as long as the peer is heard of.
            let until = connection.heard.after(shared.config.fin_wait);
            if !connection.flags.has(Flags::DISCARD) && until > now {
                connection.cold.idle_deadline = until;
                return None;
            }
            let ending = if connection.flags.has(Flags::DISCARD) { Ending::Closed } else { Ending::TimedOut };
            connection.state = connection.state.after(Event::GiveUp);
            Some(ending)
        }
        _ => keep_alive(connection, shared, now),
    }
}

/// RFC 9293 §3.8.4: only while nothing else would notice that the peer is gone.
fn keep_alive<P: Payload>(connection: &mut Connection<P>, shared: &mut Shared<P>, now: Time) -> Option<Ending> {
    let keep_alive = shared.config.keep_alive?;
    let silent = now.since(connection.heard);
    if connection.sending.is_some() || silent < keep_alive.idle {
        connection.cold.keep_alives = 0;
        let rest = if connection.sending.is_some() { keep_alive.idle } else { keep_alive.idle.saturating_sub(silent) };
        connection.cold.idle_deadline = now.after(rest);
        return None;
    }
    if connection.cold.keep_alives >= keep_alive.probes {
        return Some(give_up(connection, shared));
    }
    connection.cold.keep_alives += 1;
    shared.stats.keep_alives += 1;
    connection.flags.set(Flags::ASK.with(Flags::WAKE));
    connection.cold.idle_deadline = now.after(keep_alive.interval);
    None
}

/// The peer does not answer. A reset tells it, should it only have been unreachable.
fn give_up<P: Payload>(connection: &mut Connection<P>, shared: &mut Shared<P>) -> Ending {
    let reply = reset(connection, shared.now);
    if shared.replies.push(reply, &mut shared.stats) {
        shared.stats.resets_sent_timed_out += 1;
    }
    connection.state = connection.state.after(Event::GiveUp);
    Ending::TimedOut
}

/// The reset of a connection that we end (RFC 9293 §3.10.5).
pub(crate) fn reset<P>(connection: &Connection<P>, now: Time) -> Reply {
    let has_timestamps = connection.flags.has(Flags::TIMESTAMPS) && connection.state.is_synchronized();
    let timestamps =
        has_timestamps.then(|| Timestamps { value: connection.timestamp(now), echo: connection.timestamp_recent });
    Reply {
        tuple: connection.cold.tuple,
        sequence: connection.send_next,
        acknowledgment: connection.receive_next,
        flags: Controls::RST | Controls::ACK,
        window: 0,
        options: Options { timestamps, ..Options::NONE },
    }
}
