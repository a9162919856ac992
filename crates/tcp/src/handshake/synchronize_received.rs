//! SYN-RECEIVED (RFC 9293 §3.10.7.4): in a queue of handshakes, or after a simultaneous open.

use afpa_wire::sequence::Sequence;
use afpa_wire::tcp::{Flags as Controls, Segment};

use super::create;
use crate::arrival::Opened;
use crate::connection::{Connection, Flags};
use crate::egress::stateless::Reply;
use crate::handle::ListenerIndex;
use crate::payload::Payload;
use crate::shared::Shared;
use crate::state::Event;
use crate::time::Time;

/// Whether the peer sends its SYN again: our SYN-ACK was lost.
pub(crate) fn is_repeated<P>(connection: &Connection<P>, segment: &Segment<'_>) -> bool {
    segment.flags.contains(Controls::SYN)
        && !segment.flags.intersects(Controls::ACK | Controls::RST)
        && Sequence(segment.sequence) == connection.cold.initial_receive
}

/// The SYN-ACK of a simultaneous open: its SYN is known, and its acknowledgment is what counts.
pub(crate) fn skip_synchronization<P>(connection: &Connection<P>, segment: &mut Segment<'_>) {
    let is_known = segment.flags.contains(Controls::SYN | Controls::ACK)
        && Sequence(segment.sequence) == connection.cold.initial_receive;
    if is_known {
        segment.flags = segment.flags.without(Controls::SYN);
        segment.sequence = segment.sequence.wrapping_add(1);
    }
}

/// Whether the segment, which is in the window, acknowledges our SYN. One that acknowledges something else is answered by a
/// reset; a bare one is ignored if the connection is to begin with data.
pub(crate) fn completes<P: Payload>(
    connection: &mut Connection<P>,
    shared: &mut Shared<P>,
    now: Time,
    segment: &Segment<'_>,
) -> bool {
    let acknowledgment = Sequence(segment.acknowledgment);
    if acknowledgment != connection.send_next || !acknowledgment.after(connection.cold.initial_send) {
        shared.replies.push(Reply::reset(connection.cold.tuple, segment), &mut shared.stats);
        return false;
    }
    let is_bare = segment.payload.is_empty() && !segment.flags.contains(Controls::FIN);
    if connection.listener.is_some() && shared.config.accept_on_data && is_bare {
        return false;
    }
    connection.send_unacknowledged = acknowledgment;
    connection.window_sequence = Sequence(segment.sequence);
    connection.window_acknowledgment = acknowledgment;
    connection.send_window = u32::from(segment.window) << connection.send_shift;
    connection.cold.largest_window = connection.send_window;
    // A segment with data came when the peer had something to say, not when our SYN-ACK reached it.
    if connection.cold.retries == 0 && is_bare {
        connection.cold.rtt.sample(now.since(connection.cold.sent), now);
    }
    connection.state = connection.state.after(Event::SynAcknowledged);
    create::establish(connection, shared, now);
    if connection.flags.has(Flags::FINISH) {
        connection.state = connection.state.after(Event::Close);
    }
    true
}

/// Tells of the connection, once.
pub(crate) fn announce<P: Payload>(connection: &mut Connection<P>, shared: &mut Shared<P>) -> Option<Opened> {
    if connection.flags.has(Flags::ANNOUNCED) {
        return None;
    }
    connection.flags.set(Flags::ANNOUNCED);
    Some(match connection.listener {
        Some(listener) => {
            shared.stats.accepted += 1;
            shared.handshakes = shared.handshakes.saturating_sub(1);
            Opened::Accepted(ListenerIndex(listener))
        }
        None => {
            shared.stats.connected += 1;
            Opened::Connected
        }
    })
}
