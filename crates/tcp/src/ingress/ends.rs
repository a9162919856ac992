//! Does the segment end the peer's half? RFC 9293 §3.10.7.4, eighth check.

use afpa_wire::sequence::Sequence;
use afpa_wire::tcp::{Flags as Controls, Segment};

use crate::connection::{Connection, Flags};
use crate::payload::Payload;
use crate::shared::Shared;
use crate::state::{Event, State};
use crate::time::Time;

/// Takes the segment's FIN, or one that came earlier and is now what comes next. True if the peer's half has ended.
pub(crate) fn take<P: Payload>(
    connection: &mut Connection<P>,
    shared: &mut Shared<P>,
    now: Time,
    segment: &Segment<'_>,
) -> bool {
    if connection.flags.has(Flags::PEER_FINISHED) {
        return false;
    }
    if segment.flags.contains(Controls::FIN) {
        let end = Sequence(segment.sequence) + segment.payload.len() as u32;
        if end == connection.receive_next {
            finish(connection, shared, now);
            return true;
        }
        if end.after(connection.receive_next) {
            let assembly = connection.assembly.get_or_insert_with(|| shared.assemblies.take());
            assembly.insert_end(end);
            connection.acknowledge_at_once();
        }
    }
    take_kept(connection, shared, now)
}

/// Takes a FIN that came earlier and is now what comes next.
pub(crate) fn take_kept<P: Payload>(connection: &mut Connection<P>, shared: &mut Shared<P>, now: Time) -> bool {
    let is_next = connection.assembly.as_ref().is_some_and(|assembly| assembly.is_end(connection.receive_next));
    if is_next {
        finish(connection, shared, now);
    }
    is_next
}

fn finish<P: Payload>(connection: &mut Connection<P>, shared: &mut Shared<P>, now: Time) {
    if let Some(mut assembly) = connection.assembly.take() {
        assembly.clear(&mut shared.memory);
        shared.assemblies.give(assembly);
    }
    connection.receive_next += 1;
    connection.flags.set(Flags::PEER_FINISHED);
    connection.acknowledge_at_once();
    connection.state = connection.state.after(Event::Fin);
    if connection.state == State::TimeWait {
        // Until the caller has taken what is unread: then the table of closed connections has it.
        connection.cold.idle_deadline = now.after(shared.config.fin_wait);
    }
}
