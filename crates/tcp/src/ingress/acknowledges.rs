//! Does the segment acknowledge? RFC 9293 §3.10.7.4, fifth check.

use afpa_wire::sequence::Sequence;
use afpa_wire::tcp::{Flags as Controls, Segment};

use super::{losses, resets};
use crate::connection::{Connection, Flags, SendTimer, Sending, age};
use crate::payload::Payload;
use crate::send::flight::Clock;
use crate::shared::Shared;
use crate::state::{Event, State};
use crate::time::Time;
use crate::timers;

/// Takes the acknowledgment, and returns how many octets of the caller's it covers; `None` if the segment must not be
/// looked at any further.
pub(crate) fn judge<P: Payload>(
    connection: &mut Connection<P>,
    shared: &mut Shared<P>,
    now: Time,
    segment: &Segment<'_>,
) -> Option<u64> {
    let acknowledgment = Sequence(segment.acknowledgment);
    if acknowledgment.after(connection.send_next) {
        // RFC 9293: what was never sent cannot be acknowledged. RFC 5961 §5 limits the answer.
        shared.stats.acknowledgments_rejected += 1;
        resets::challenge(connection, shared, now);
        return None;
    }
    let behind = connection.send_unacknowledged.offset_from(acknowledgment);
    if acknowledgment.before(connection.send_unacknowledged) && behind > connection.cold.largest_window {
        // RFC 5961 §5.2: older than any window was, so it is a guess.
        shared.stats.acknowledgments_rejected += 1;
        resets::challenge(connection, shared, now);
        return None;
    }
    let is_duplicate = is_duplicate(connection, segment);
    if !acknowledgment.before(connection.send_unacknowledged) {
        update_window(connection, segment);
    }
    if connection.sending.is_none() {
        return Some(0);
    }
    if acknowledgment.after(connection.send_unacknowledged) {
        return Some(take(connection, shared, now, segment));
    }
    repeat(connection, shared, now, segment, is_duplicate);
    Some(0)
}

/// RFC 5681 §2: nothing but the acknowledgment number of before, while something is outstanding.
fn is_duplicate<P>(connection: &Connection<P>, segment: &Segment<'_>) -> bool {
    connection.outstanding() > 0
        && segment.payload.is_empty()
        && !segment.flags.intersects(Controls::FIN | Controls::SYN)
        && Sequence(segment.acknowledgment) == connection.send_unacknowledged
        && u32::from(segment.window) << connection.send_shift == connection.send_window
}

/// RFC 9293 §3.10.7.4: SND.WND, unless a later segment said something else already.
#[inline]
pub(crate) fn update_window<P>(connection: &mut Connection<P>, segment: &Segment<'_>) {
    let (sequence, acknowledgment) = (Sequence(segment.sequence), Sequence(segment.acknowledgment));
    let is_newer = connection.window_sequence.before(sequence)
        || (connection.window_sequence == sequence && !acknowledgment.before(connection.window_acknowledgment));
    if !is_newer {
        return;
    }
    let window = u32::from(segment.window) << connection.send_shift;
    if window > connection.send_window && connection.sending.is_some() {
        connection.flags.set(Flags::WAKE);
        if connection.send_timer == SendTimer::Persist {
            connection.send_timer = SendTimer::None;
            connection.send_deadline = Time::NEVER;
            connection.cold.retries = 0;
            connection.cold.rtt.reset_back_off();
            if let Some(sending) = &mut connection.sending {
                // Whatever went into the closed window was dropped there.
                sending.flight.lose_all();
            }
        }
    }
    connection.send_window = window;
    connection.cold.largest_window = connection.cold.largest_window.max(window);
    connection.window_sequence = sequence;
    connection.window_acknowledgment = acknowledgment;
}

/// Takes an acknowledgment of something new, and returns how many octets of the caller's it covers.
pub(crate) fn take<P: Payload>(
    connection: &mut Connection<P>,
    shared: &mut Shared<P>,
    now: Time,
    segment: &Segment<'_>,
) -> u64 {
    let acknowledgment = Sequence(segment.acknowledgment);
    let newly = acknowledgment.offset_from(connection.send_unacknowledged);
    let Some(mut sending) = connection.sending.take() else { return 0 };
    let octets = newly.min(sending.queue.len());
    let is_end = newly > octets && connection.flags.has(Flags::FINISH_SENT);
    connection.send_unacknowledged = acknowledgment;
    connection.cold.retries = 0;
    losses::acknowledged(connection, &mut sending, shared, now, segment, newly);
    sending.queue.acknowledge(octets);
    if is_end {
        end(connection, shared, now);
    }
    put_back(connection, shared, now, sending);
    u64::from(octets)
}

/// Takes an acknowledgment of nothing new.
fn repeat<P: Payload>(
    connection: &mut Connection<P>,
    shared: &mut Shared<P>,
    now: Time,
    segment: &Segment<'_>,
    is_duplicate: bool,
) {
    // One before SND.UNA is old, and says nothing; with SACK it may still report.
    if Sequence(segment.acknowledgment) != connection.send_unacknowledged {
        return;
    }
    if connection.send_timer == SendTimer::Persist {
        // The probe was answered: the peer is there, however long its window stays closed (RFC 9293 §3.8.6.1).
        connection.cold.retries = 0;
    }
    let Some(mut sending) = connection.sending.take() else { return };
    if sending.flight.outstanding() > 0 && (is_duplicate || !segment.options.sack.is_empty()) {
        shared.stats.duplicate_acknowledgments += 1;
        losses::repeated(connection, &mut sending, shared, now, segment, is_duplicate);
    }
    connection.sending = Some(sending);
    if connection.send_timer != SendTimer::Persist {
        timers::arm(connection, shared, now, false);
    }
}

/// Our FIN is acknowledged.
fn end<P: Payload>(connection: &mut Connection<P>, shared: &mut Shared<P>, now: Time) {
    connection.state = connection.state.after(Event::FinAcknowledged);
    match connection.state {
        State::FinWait2 => {
            let is_over = connection.flags.has(Flags::DISCARD);
            let wait = if is_over { shared.config.linger } else { shared.config.fin_wait };
            connection.cold.idle_deadline = now.after(wait);
        }
        // The caller may still read: what remains of the connection waits for that.
        State::Closed if !connection.unread.is_empty() => connection.state = State::TimeWait,
        _ => {}
    }
    if connection.state == State::TimeWait {
        connection.cold.idle_deadline = now.after(shared.config.fin_wait);
    }
}

/// Gives the box back if nothing is queued or in flight, else keeps it and sets the timer.
fn put_back<P: Payload>(connection: &mut Connection<P>, shared: &mut Shared<P>, now: Time, sending: Box<Sending<P>>) {
    let is_done = sending.queue.is_empty() && connection.outstanding() == 0;
    let is_finish_due = connection.flags.has(Flags::FINISH) && !connection.flags.has(Flags::FINISH_SENT);
    if is_done && !is_finish_due {
        shared.sendings.give(sending);
        connection.send_timer = SendTimer::None;
        connection.send_deadline = Time::NEVER;
        return;
    }
    let has_more = sending.queue.len() > connection.outstanding() || sending.flight.lost() > 0 || is_finish_due;
    connection.sending = Some(sending);
    if has_more {
        connection.flags.set(Flags::WAKE);
    }
    timers::arm(connection, shared, now, true);
}

/// The circumstances of the acknowledgment, for who measures.
pub(crate) fn clock<P>(connection: &Connection<P>, now: Time, segment: &Segment<'_>) -> Clock {
    let echoed = match segment.options.timestamps {
        Some(timestamps) if connection.flags.has(Flags::TIMESTAMPS) => {
            // The last moment of the millisecond in which our clock said so.
            age(now, connection.timestamp_offset, timestamps.echo).map_or(Time::NEVER, |age| {
                let tick = (now.0 / 1_000_000).saturating_sub(age.as_millis() as u64);
                Time(tick.saturating_add(1).saturating_mul(1_000_000).saturating_sub(1))
            })
        }
        _ => Time::NEVER,
    };
    Clock { now, min_rtt: connection.cold.rtt.min().unwrap_or_default(), echoed }
}
