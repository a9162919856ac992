//! Does the segment reset the connection? RFC 9293 §3.10.7.4, second check, as RFC 5961 §3.2 hardens it.

use afpa_wire::sequence::Sequence;
use afpa_wire::tcp::Segment;

use crate::arrival::Ending;
use crate::connection::{Connection, Flags};
use crate::payload::Payload;
use crate::shared::Shared;
use crate::state::{Event, State};
use crate::time::Time;

/// Judges a reset within the window: only the very next sequence number is believed, since only who sees the connection's
/// segments knows it; any other is challenged.
pub(crate) fn judge<P: Payload>(
    connection: &mut Connection<P>,
    shared: &mut Shared<P>,
    now: Time,
    segment: &Segment<'_>,
) -> Option<Ending> {
    // RFC 1337 §3: nothing is gained by ending TIME-WAIT early.
    if connection.state == State::TimeWait {
        return None;
    }
    if Sequence(segment.sequence) != connection.receive_next {
        challenge(connection, shared, now);
        return None;
    }
    shared.stats.resets_received += 1;
    let was_asked_for = connection.state == State::SynReceived && connection.listener.is_none();
    // All that the caller sent is acknowledged, and all that the peer sent was delivered: only FIN's acknowledgment is missing.
    let is_complete = matches!(connection.state, State::LastAck | State::Closing) && connection.queued() == 0;
    connection.state = connection.state.after(Event::Reset);
    if is_complete && connection.unread.is_empty() {
        return Some(Ending::Closed);
    }
    Some(if was_asked_for { Ending::Refused } else { Ending::Reset })
}

/// Asks the peer to prove that it means it: it answers the acknowledgment with a reset of the right number if it does
/// (RFC 5961 §3.2, §4.2).
pub(crate) fn challenge<P: Payload>(connection: &mut Connection<P>, shared: &mut Shared<P>, now: Time) {
    if shared.challenges.admit(now) {
        shared.stats.challenges_sent += 1;
        connection.flags.set(Flags::ACKNOWLEDGE.with(Flags::AT_ONCE).with(Flags::WAKE));
    } else {
        shared.stats.challenges_limited += 1;
    }
}
