//! Header prediction: the segment that comes next, of a connection in which nothing unusual is going on.

use afpa_wire::ip::Ecn;
use afpa_wire::sequence::Sequence;
use afpa_wire::tcp::{Flags as Controls, Segment};

use super::{Step, acknowledges, carries_data};
use crate::connection::{Connection, Flags};
use crate::payload::Payload;
use crate::shared::Shared;
use crate::state::State;
use crate::time::Time;

/// Any of these is something to think about. PSH is not.
const UNUSUAL: Controls =
    Controls(Controls::SYN.0 | Controls::FIN.0 | Controls::RST.0 | Controls::URG.0 | Controls::ECE.0 | Controls::CWR.0);

/// What the segment came to, if it is as predicted; else it was not touched.
#[inline]
pub(crate) fn predicted<'f, P: Payload>(
    connection: &mut Connection<P>,
    shared: &mut Shared<P>,
    now: Time,
    segment: &Segment<'f>,
    ecn: Ecn,
) -> Option<Step<'f>> {
    let sequence = Sequence(segment.sequence);
    let newly = Sequence(segment.acknowledgment).offset_from(connection.send_unacknowledged);
    let is_predicted = connection.state == State::Established
        && segment.flags.contains(Controls::ACK)
        && !segment.flags.intersects(UNUSUAL)
        && sequence == connection.receive_next
        && newly <= connection.outstanding()
        && segment.options.sack.is_empty()
        && segment.payload.len() <= connection.promised() as usize
        && !(segment.payload.is_empty() && newly == 0)
        && connection.assembly.is_none()
        && ecn != Ecn::CongestionExperienced
        && !connection.flags.has(Flags::DISCARD);
    if !is_predicted || !has_predicted_timestamp(connection, segment, now) {
        return None;
    }
    let is_recovering = connection.sending.as_ref().is_some_and(|sending| sending.recovery.is_some());
    if is_recovering || !connection.unread.fits(segment.payload.len(), &shared.memory) {
        return None;
    }
    shared.stats.fast_path += 1;
    connection.heard = now;
    connection.cold.keep_alives = 0;
    let mut step = Step::default();
    acknowledges::update_window(connection, segment);
    if newly > 0 {
        step.acknowledged = acknowledges::take(connection, shared, now, segment);
    }
    if !segment.payload.is_empty() {
        step.input = carries_data::take_next(connection, shared, segment.payload);
    }
    Some(step)
}

/// RFC 7323 §5.3: the timestamp is there exactly if it was agreed on, and is no older than the last one.
#[inline]
fn has_predicted_timestamp<P>(connection: &mut Connection<P>, segment: &Segment<'_>, now: Time) -> bool {
    match segment.options.timestamps {
        None => !connection.flags.has(Flags::TIMESTAMPS),
        Some(timestamps) => {
            if !connection.flags.has(Flags::TIMESTAMPS)
                || (timestamps.value.wrapping_sub(connection.timestamp_recent) as i32) < 0
            {
                return false;
            }
            if connection.acknowledgment_sent == connection.receive_next {
                connection.timestamp_recent = timestamps.value;
                connection.cold.timestamp_recent_at = now;
            }
            true
        }
    }
}
