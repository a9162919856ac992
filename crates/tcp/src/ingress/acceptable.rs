//! Is the segment acceptable? RFC 9293 §3.10.7.4, first check, with RFC 7323's protection against wrapped sequence
//! numbers before it.

use std::time::Duration;

use afpa_wire::sequence::Sequence;
use afpa_wire::tcp::{Flags as Controls, Segment};

use crate::challenge::may_answer;
use crate::connection::{Connection, Flags};
use crate::payload::Payload;
use crate::shared::Shared;
use crate::time::Time;

/// After so long a timestamp's clock may have wrapped (RFC 7323 §5.5).
const OUTDATED: Duration = Duration::from_secs(24 * 24 * 3600);

/// Whether any of the segment is to be looked at. What lies out of the window is cut off. An unacceptable segment is
/// answered, unless it is a reset.
pub(crate) fn passes<P: Payload>(
    connection: &mut Connection<P>,
    shared: &mut Shared<P>,
    now: Time,
    segment: &mut Segment<'_>,
) -> bool {
    let is_reset = segment.flags.contains(Controls::RST);
    if !is_reset && is_old(connection, now, segment) {
        shared.stats.paws_dropped += 1;
        answer(connection, now, segment);
        return false;
    }
    // RFC 7323 §3.2: once agreed on, they are in every segment. Without one, old duplicates could not be told.
    if !is_reset && connection.flags.has(Flags::TIMESTAMPS) && segment.options.timestamps.is_none() {
        shared.stats.paws_dropped += 1;
        return false;
    }
    if !is_in_window(connection, segment) {
        shared.stats.unacceptable += 1;
        if !is_reset {
            note_duplicate(connection, shared, segment);
            answer(connection, now, segment);
        }
        return false;
    }
    cut(connection, segment);
    true
}

/// RFC 7323 §5.3, R1.
fn is_old<P>(connection: &Connection<P>, now: Time, segment: &Segment<'_>) -> bool {
    let Some(timestamps) = segment.options.timestamps else { return false };
    connection.flags.has(Flags::TIMESTAMPS)
        && (timestamps.value.wrapping_sub(connection.timestamp_recent) as i32) < 0
        && now.since(connection.cold.timestamp_recent_at) < OUTDATED
}

/// RFC 7323 §4.3: the timestamp to echo is that of the segment that the last acknowledgment waited for, which began at
/// `start`. Only after its acknowledgment was found good: a forged timestamp from the future would make all others old.
pub(crate) fn remember_timestamp<P>(connection: &mut Connection<P>, now: Time, start: u32, segment: &Segment<'_>) {
    let Some(timestamps) = segment.options.timestamps else { return };
    let is_new = (timestamps.value.wrapping_sub(connection.timestamp_recent) as i32) >= 0
        || now.since(connection.cold.timestamp_recent_at) >= OUTDATED;
    if is_new && !Sequence(start).after(connection.acknowledgment_sent) {
        connection.timestamp_recent = timestamps.value;
        connection.cold.timestamp_recent_at = now;
    }
}

/// RFC 9293 §3.10.7.4, the four cases of the table. With a closed window, the segment that comes next is let through
/// without its octets, so that its acknowledgment counts. An empty segment at the window's very edge is let through:
/// that is where a peer's acknowledgments are that has filled the window.
fn is_in_window<P>(connection: &Connection<P>, segment: &Segment<'_>) -> bool {
    let start = Sequence(segment.sequence);
    let len = segment.sequence_len();
    let (next, edge) = (connection.receive_next, connection.receive_next + connection.promised());
    if start == next {
        return true;
    }
    if len == 0 {
        return !start.before(next) && !start.after(edge);
    }
    let end = start + len;
    // One octet of it is in the window: it begins before the edge, and ends behind the next one expected.
    start.before(edge) && end.after(next)
}

/// Cuts off what arrived before and what lies beyond the window.
fn cut<P>(connection: &mut Connection<P>, segment: &mut Segment<'_>) {
    let start = Sequence(segment.sequence);
    if start.before(connection.receive_next) && segment.sequence_len() > 0 {
        let early = connection.receive_next.offset_from(start) as usize;
        let old = early.min(segment.payload.len());
        if old > 0 {
            connection.cold.duplicate = Some((start, start + old as u32));
            connection.acknowledge_at_once();
        }
        segment.payload = &segment.payload[old..];
        segment.sequence = (start + old as u32).0;
    }
    let edge = connection.receive_next + connection.promised();
    let end = Sequence(segment.sequence) + segment.payload.len() as u32;
    if end.after(edge) {
        let excess = (end.offset_from(edge) as usize).min(segment.payload.len());
        segment.payload = &segment.payload[..segment.payload.len() - excess];
        segment.flags = segment.flags.without(Controls::FIN | Controls::PSH);
        // The peer probes a closed window, or does not know how small it is.
        connection.acknowledge_at_once();
    }
}

/// RFC 2883: a segment that arrived before is told of.
fn note_duplicate<P>(connection: &mut Connection<P>, shared: &mut Shared<P>, segment: &Segment<'_>) {
    let start = Sequence(segment.sequence);
    let end = start + segment.payload.len() as u32;
    let is_recent = connection.receive_next.offset_from(start) <= 1 << 30;
    if !segment.payload.is_empty() && is_recent && !end.after(connection.receive_next) {
        shared.stats.duplicates += 1;
        connection.cold.duplicate = Some((start, end));
    }
}

/// RFC 9293 §3.10.7.4: an acknowledgment says what would have been acceptable. At leisure, if nothing but an acknowledgment
/// is answered.
fn answer<P>(connection: &mut Connection<P>, now: Time, segment: &Segment<'_>) {
    if segment.sequence_len() > 0 || may_answer(connection, now) {
        connection.acknowledge_at_once();
    }
}
