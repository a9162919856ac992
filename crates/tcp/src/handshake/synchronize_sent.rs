//! SYN-SENT (RFC 9293 §3.10.7.3).

use afpa_wire::sequence::Sequence;
use afpa_wire::tcp::{Flags as Controls, Segment};

use super::{create, options};
use crate::arrival::{Ending, Opened};
use crate::connection::{Connection, Flags};
use crate::egress::stateless::Reply;
use crate::ingress::Step;
use crate::payload::Payload;
use crate::shared::Shared;
use crate::state::{Event, State};
use crate::time::Time;

/// Takes a segment. Data that comes with a SYN is not taken: the peer sends it again.
pub(crate) fn arrives<'f, P: Payload>(
    connection: &mut Connection<P>,
    shared: &mut Shared<P>,
    now: Time,
    segment: Segment<'f>,
) -> Step<'f> {
    let mut step = Step::default();
    let acknowledgment = Sequence(segment.acknowledgment);
    let has_acknowledgment = segment.flags.contains(Controls::ACK);
    let is_reset = segment.flags.contains(Controls::RST);
    // First, the acknowledgment: anything but our SYN's is of an older connection.
    let is_ours = acknowledgment == connection.send_next && acknowledgment.after(connection.cold.initial_send);
    if has_acknowledgment && !is_ours {
        if !is_reset {
            shared.replies.push(Reply::reset(connection.cold.tuple, &segment), &mut shared.stats);
        }
        return step;
    }
    // Second, the reset: without a good acknowledgment anyone could have sent it.
    if is_reset {
        if has_acknowledgment {
            shared.stats.resets_received += 1;
            connection.state = connection.state.after(Event::Reset);
            step.ended = Some(Ending::Refused);
        }
        return step;
    }
    // Fourth, the SYN.
    if !segment.flags.contains(Controls::SYN) {
        return step;
    }
    synchronize(connection, shared, now, &segment);
    if has_acknowledgment {
        acknowledge(connection, shared, now, &segment);
        step.opened = Some(Opened::Connected);
    } else {
        // Simultaneous open (RFC 9293 Figure 7).
        connection.state = connection.state.after(Event::Syn);
        connection.flags.set(Flags::SYNCHRONIZE.with(Flags::WAKE));
    }
    step
}

fn synchronize<P: Payload>(connection: &mut Connection<P>, shared: &mut Shared<P>, now: Time, segment: &Segment<'_>) {
    connection.cold.initial_receive = Sequence(segment.sequence);
    connection.receive_next = Sequence(segment.sequence) + 1;
    connection.receive_edge = connection.receive_next + u32::from(shared.first_window());
    connection.acknowledgment_sent = connection.receive_next;
    options::agree(connection, shared, &segment.options, now);
    // RFC 3168 §6.1.1: a SYN-ACK agrees with ECE alone, a SYN asks with both.
    let agreement = segment.flags.0 & (Controls::ECE | Controls::CWR).0;
    let expected = if segment.flags.contains(Controls::ACK) { Controls::ECE } else { Controls::ECE | Controls::CWR };
    if agreement != expected.0 {
        connection.flags.clear(Flags::CONGESTION_NOTIFICATION);
    }
    // RFC 7323 §2.2: the window of a SYN is never scaled.
    connection.send_window = u32::from(segment.window);
    connection.cold.largest_window = connection.send_window;
    connection.window_sequence = Sequence(segment.sequence);
    connection.window_acknowledgment = Sequence(segment.acknowledgment);
}

fn acknowledge<P: Payload>(connection: &mut Connection<P>, shared: &mut Shared<P>, now: Time, segment: &Segment<'_>) {
    connection.send_unacknowledged = Sequence(segment.acknowledgment);
    connection.state = connection.state.after(Event::SynAcknowledgment);
    if connection.cold.retries == 0 {
        connection.cold.rtt.sample(now.since(connection.cold.sent), now);
    }
    create::establish(connection, shared, now);
    connection.flags.set(Flags::ANNOUNCED);
    shared.stats.connected += 1;
    connection.acknowledge_at_once();
    if connection.flags.has(Flags::FINISH) {
        connection.state = connection.state.after(Event::Close);
    }
    debug_assert!(connection.state != State::SynSent, "the handshake is complete");
}
