//! What an acknowledgment says about losses, and what congestion control makes of it.

use std::time::Duration;

use afpa_wire::sequence::Sequence;
use afpa_wire::tcp::{Flags as Controls, Segment};

use super::acknowledges::clock;
use crate::connection::{Connection, Flags, Sending, age};
use crate::path_mtu;
use crate::payload::Payload;
use crate::send::congestion::forward_recovery::{Acknowledgment, Evidence, ForwardRecovery, Verdict};
use crate::send::congestion::recovery::{Kind, Recovery};
use crate::send::flight::{Clock, Selected};
use crate::shared::Shared;
use crate::time::Time;

/// An acknowledgment of something new; SND.UNA is advanced already.
pub(crate) fn acknowledged<P: Payload>(
    connection: &mut Connection<P>,
    sending: &mut Sending<P>,
    shared: &mut Shared<P>,
    now: Time,
    segment: &Segment<'_>,
    newly: u32,
) {
    let mss = u32::from(connection.segment_size);
    let clock = clock(connection, now, segment);
    let before = sending.flight.pipe();
    let una = connection.send_unacknowledged;
    let acknowledged = sending.flight.acknowledge(una, &clock);
    let selected = select(connection, sending, shared, segment, &clock);
    let measured = acknowledged.rtt.or(selected.rtt).or_else(|| by_timestamp(connection, now, segment));
    match measured {
        Some(round_trip) => connection.cold.rtt.sample(round_trip, now),
        None => connection.cold.rtt.reset_back_off(),
    }
    path_mtu::acknowledged(connection, sending, shared, una, now);
    if sending.tail.acknowledged(una, selected.duplicate, false) {
        reduce(connection, sending, mss);
    }
    notice_congestion(connection, sending, shared, segment, mss);
    undo_if_spurious(connection, sending, shared, &clock);
    let is_of_original = (acknowledged.delivered > 0 && !acknowledged.retransmitted) || selected.rtt.is_some();
    judge_timeout(connection, sending, shared, segment, Acknowledgment::Advance, is_of_original);
    let is_recovering = sending.recovery.is_some();
    let lost = if connection.flags.has(Flags::SELECTIVE) {
        detect(connection, sending, now, mss)
    } else {
        sending.duplicates.advanced(&mut sending.flight, acknowledged.octets, mss, is_recovering)
    };
    if sending.recovery.as_ref().is_some_and(|recovery| recovery.is_over(una)) {
        recovered(connection, sending);
    }
    let delivered = acknowledged.delivered.saturating_add(selected.octets);
    match &sending.recovery {
        None if lost > 0 => enter(connection, sending, shared, delivered),
        Some(recovery) if recovery.kind() == Kind::Fast => proceed(connection, sending, delivered, lost == 0),
        _ => {
            let smoothed = connection.cold.rtt.smoothed().unwrap_or_default();
            connection.cold.congestion.acknowledged(newly, before, mss, now, smoothed, measured);
        }
    }
}

/// An acknowledgment of nothing new, that may report what arrived beyond a gap.
pub(crate) fn repeated<P: Payload>(
    connection: &mut Connection<P>,
    sending: &mut Sending<P>,
    shared: &mut Shared<P>,
    now: Time,
    segment: &Segment<'_>,
    is_duplicate: bool,
) {
    let mss = u32::from(connection.segment_size);
    let clock = clock(connection, now, segment);
    let una = connection.send_unacknowledged;
    let selected = select(connection, sending, shared, segment, &clock);
    if let Some(round_trip) = selected.rtt {
        connection.cold.rtt.sample(round_trip, now);
    }
    let is_bare = is_duplicate && segment.options.sack.is_empty();
    if sending.tail.acknowledged(una, selected.duplicate, is_bare) {
        reduce(connection, sending, mss);
    }
    notice_congestion(connection, sending, shared, segment, mss);
    let kind = if is_duplicate { Acknowledgment::Duplicate } else { Acknowledgment::Other };
    judge_timeout(connection, sending, shared, segment, kind, selected.rtt.is_some());
    let is_recovering = sending.recovery.is_some();
    let (lost, delivered) = if connection.flags.has(Flags::SELECTIVE) {
        (detect(connection, sending, now, mss), selected.octets)
    } else if is_duplicate {
        // RFC 3042: each lets a new segment out, since what it stands for has left the network.
        (sending.duplicates.duplicate(&mut sending.flight, mss, is_recovering), mss)
    } else {
        (0, 0)
    };
    match &sending.recovery {
        None if lost > 0 => enter(connection, sending, shared, delivered),
        Some(recovery) if recovery.kind() == Kind::Fast => proceed(connection, sending, delivered, lost == 0),
        _ => {}
    }
    if sending.flight.lost() > 0 || delivered > 0 {
        connection.flags.set(Flags::WAKE);
    }
}

/// RACK's reordering timer: losses may have become certain by time alone.
pub(crate) fn look_again<P: Payload>(
    connection: &mut Connection<P>,
    sending: &mut Sending<P>,
    shared: &mut Shared<P>,
    now: Time,
) {
    let mss = u32::from(connection.segment_size);
    if detect(connection, sending, now, mss) > 0 {
        if sending.recovery.is_none() {
            enter(connection, sending, shared, 0);
        }
        connection.flags.set(Flags::WAKE);
    }
}

/// A timeout: everything counts as lost, and slow start begins again (RFC 5681 §3.1, RFC 6298 §5.4 to §5.6).
pub(crate) fn timed_out<P: Payload>(connection: &mut Connection<P>, sending: &mut Sending<P>) {
    let mss = u32::from(connection.segment_size);
    let is_first = connection.cold.retries <= 1;
    // RFC 5682 §2.1 step 1: not within a recovery.
    let is_in_doubt = sending.recovery.is_none() && !connection.flags.has(Flags::TIMESTAMPS);
    let before = match &sending.recovery {
        Some(recovery) => *recovery.before(),
        None => connection.cold.congestion,
    };
    let outstanding = sending.flight.outstanding();
    connection.cold.congestion.timed_out(outstanding, mss, is_first);
    connection.flags.set(Flags::REDUCED);
    sending.flight.lose_all();
    sending.tail.cancel();
    sending.look_again = None;
    sending.duplicates = Default::default();
    let recovery = sending.recovery.insert(Recovery::timeout(connection.send_next, outstanding, before));
    if is_in_doubt {
        *recovery.forward() = ForwardRecovery::Retransmitted;
    }
    connection.cold.rtt.back_off();
}

fn select<P: Payload>(
    connection: &Connection<P>,
    sending: &mut Sending<P>,
    shared: &mut Shared<P>,
    segment: &Segment<'_>,
    clock: &Clock,
) -> Selected {
    if !connection.flags.has(Flags::SELECTIVE) || segment.options.sack.is_empty() {
        return Selected::default();
    }
    let (una, nxt) = (connection.send_unacknowledged, connection.send_next);
    let selected = sending.flight.selective(segment.options.sack, una, nxt, clock);
    shared.stats.selectively_acknowledged += u64::from(selected.octets);
    if selected.duplicate.is_some() {
        shared.stats.spurious_retransmissions += 1;
    }
    selected
}

fn detect<P: Payload>(connection: &Connection<P>, sending: &mut Sending<P>, now: Time, mss: u32) -> u32 {
    let is_recovering = sending.recovery.is_some();
    let losses = sending.flight.detect_losses(now, &connection.cold.rtt, mss, is_recovering);
    sending.look_again = losses.look_again;
    losses.octets
}

/// A round trip by the timestamp that came back: known to be of the segment that it came with, whether sent once or more
/// often (RFC 7323 §4). Only where nothing better is there, since it counts milliseconds.
fn by_timestamp<P>(connection: &Connection<P>, now: Time, segment: &Segment<'_>) -> Option<Duration> {
    let timestamps = segment.options.timestamps.filter(|_| connection.flags.has(Flags::TIMESTAMPS))?;
    let measured = age(now, connection.timestamp_offset, timestamps.echo)?;
    (measured < Duration::from_secs(60)).then_some(measured.max(Duration::from_millis(1)))
}

/// RFC 6675 §5 step 4, RFC 6937: a recovery begins, and the first retransmission leaves at once.
fn enter<P: Payload>(connection: &mut Connection<P>, sending: &mut Sending<P>, shared: &mut Shared<P>, delivered: u32) {
    if connection.flags.has(Flags::SELECTIVE) && path_mtu::is_only_probe_lost(sending) {
        return;
    }
    shared.stats.fast_recoveries += 1;
    let mss = u32::from(connection.segment_size);
    let before = connection.cold.congestion;
    let outstanding = sending.flight.outstanding();
    connection.cold.congestion.lost(outstanding, mss);
    connection.flags.set(Flags::REDUCED);
    sending.tail.cancel();
    sending.recovery = Some(Recovery::fast(connection.send_next, outstanding, before));
    proceed(connection, sending, delivered, false);
}

/// RFC 6937 §3.1: how much may leave for what was delivered.
fn proceed<P: Payload>(connection: &mut Connection<P>, sending: &mut Sending<P>, delivered: u32, is_safe: bool) {
    let Some(recovery) = &mut sending.recovery else { return };
    let mss = u32::from(connection.segment_size);
    let pipe = sending.flight.pipe();
    let threshold = connection.cold.congestion.threshold();
    let allowed = recovery.acknowledged(delivered, pipe, threshold, mss, is_safe);
    connection.cold.congestion.set_window(pipe.saturating_add(allowed), mss);
    connection.flags.set(Flags::WAKE);
}

/// RFC 3522: the acknowledgment echoes a segment from before the first retransmission, so that was for nothing.
fn undo_if_spurious<P: Payload>(
    connection: &mut Connection<P>,
    sending: &mut Sending<P>,
    shared: &mut Shared<P>,
    clock: &Clock,
) {
    if let Some(recovery) = sending.recovery.take_if(|recovery| recovery.is_spurious(clock.echoed)) {
        undo(connection, sending, shared, &recovery);
    }
}

/// RFC 5682: the acknowledgments after a timeout tell whether it was for nothing. `is_of_original`: this one is of something
/// that was sent once.
fn judge_timeout<P: Payload>(
    connection: &mut Connection<P>,
    sending: &mut Sending<P>,
    shared: &mut Shared<P>,
    segment: &Segment<'_>,
    kind: Acknowledgment,
    is_of_original: bool,
) {
    let Some(recovery) = sending.recovery.as_mut().filter(|recovery| recovery.forward_stage() != ForwardRecovery::Off)
    else {
        return;
    };
    let (una, point, is_selective) =
        (connection.send_unacknowledged, recovery.point(), connection.flags.has(Flags::SELECTIVE));
    let has_new = |(_, end): (u32, u32)| Sequence(end).after(point) && !Sequence(end).after(connection.send_next);
    let evidence = Evidence {
        kind,
        is_complete: recovery.is_over(una),
        is_beyond: una.after(point) || (is_selective && segment.options.sack.into_iter().any(has_new)),
        is_of_original,
        is_selective,
    };
    match recovery.forward().judge(&evidence) {
        Verdict::None => {}
        Verdict::Genuine => {
            // §2.1 step 3a.
            let (window, mss) = (connection.cold.congestion.window(), u32::from(connection.segment_size));
            connection.cold.congestion.set_window(window.min(3 * mss), mss);
        }
        Verdict::Spurious => {
            if let Some(recovery) = sending.recovery.take() {
                undo(connection, sending, shared, &recovery);
            }
        }
    }
}

/// Nothing was lost: the window is what it was before.
fn undo<P: Payload>(
    connection: &mut Connection<P>,
    sending: &mut Sending<P>,
    shared: &mut Shared<P>,
    recovery: &Recovery,
) {
    shared.stats.spurious_retransmissions += 1;
    connection.cold.congestion.undo(recovery.before());
    sending.flight.forget_losses();
}

fn recovered<P: Payload>(connection: &mut Connection<P>, sending: &mut Sending<P>) {
    if let Some(recovery) = sending.recovery.take() {
        if recovery.kind() == Kind::Fast {
            connection.cold.congestion.recovered(u32::from(connection.segment_size));
        }
        sending.flight.recovered();
    }
}

/// A tail loss probe repaired a loss, which is congestion like any other (RFC 8985 §7.4).
fn reduce<P: Payload>(connection: &mut Connection<P>, sending: &mut Sending<P>, mss: u32) {
    if sending.recovery.is_none() {
        connection.cold.congestion.lost(sending.flight.outstanding(), mss);
        connection.flags.set(Flags::REDUCED);
        connection.cold.congestion.recovered(mss);
    }
}

/// RFC 3168 §6.1.2: the peer saw a mark.
fn notice_congestion<P: Payload>(
    connection: &mut Connection<P>,
    sending: &mut Sending<P>,
    shared: &mut Shared<P>,
    segment: &Segment<'_>,
    mss: u32,
) {
    if !connection.flags.has(Flags::CONGESTION_NOTIFICATION)
        || !segment.flags.contains(Controls::ECE)
        || sending.recovery.is_some()
    {
        return;
    }
    let (una, nxt) = (connection.send_unacknowledged, connection.send_next);
    let outstanding = sending.flight.outstanding();
    if connection.cold.congestion.experienced(una, nxt, outstanding, mss) {
        shared.stats.congestion_experienced += 1;
        connection.flags.set(Flags::REDUCED);
    }
}
