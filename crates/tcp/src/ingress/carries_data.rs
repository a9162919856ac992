//! Does the segment carry data? RFC 9293 §3.10.7.4, seventh check.

use afpa_wire::sequence::Sequence;
use afpa_wire::tcp::Segment;

use crate::arrival::Input;
use crate::connection::{Connection, Flags};
use crate::payload::Payload;
use crate::receive::reassembly::Reassembly;
use crate::shared::Shared;

/// Of IPv4 and TCP, at least.
const HEADERS: u16 = 40;

/// Takes the octets of a segment that was cut to the window.
pub(crate) fn take<'f, P: Payload>(
    connection: &mut Connection<P>,
    shared: &mut Shared<P>,
    segment: &Segment<'f>,
) -> Input<'f> {
    // Behind the peer's FIN there is nothing.
    if !connection.state.may_receive() {
        return Input::None;
    }
    let start = Sequence(segment.sequence);
    if start != connection.receive_next {
        return keep(connection, shared, start, segment.payload);
    }
    if connection.assembly.is_none() || connection.flags.has(Flags::DISCARD) {
        if !connection.flags.has(Flags::DISCARD) && !connection.unread.fits(segment.payload.len(), &shared.memory) {
            shared.stats.receive_memory_exhausted += segment.payload.len() as u64;
            connection.acknowledge_at_once();
            return Input::None;
        }
        return take_next(connection, shared, segment.payload);
    }
    fill(connection, shared, segment.payload)
}

/// Takes the octets that come next, when none arrived out of order and there is memory for them.
#[inline]
pub(crate) fn take_next<'f, P: Payload>(
    connection: &mut Connection<P>,
    shared: &mut Shared<P>,
    payload: &'f [u8],
) -> Input<'f> {
    count(connection, shared, payload.len() as u32);
    let largest = connection.receive_segment_size.max(payload.len().min(usize::from(u16::MAX)) as u16);
    // A device may merge segments; the largest that one can be is what the link takes.
    connection.receive_segment_size = largest.min(connection.cold.path_mtu.saturating_sub(HEADERS));
    // RFC 9293 §3.8.6.3: at least every second full-sized segment, and here every second that follows a full-sized one, or the
    // peer probes for what is only late. Other acknowledgments wait for a response.
    let unacknowledged = connection.receive_next.offset_from(connection.acknowledgment_sent);
    if unacknowledged > u32::from(connection.receive_segment_size) {
        connection.acknowledge_at_once();
    } else {
        connection.owe_acknowledgment();
    }
    if connection.flags.has(Flags::DISCARD) {
        return Input::None;
    }
    if connection.unread.is_empty() {
        return Input::Frame(payload);
    }
    if connection.unread.push(payload, &mut shared.memory) {
        return Input::Buffered;
    }
    // There was room when it was asked for: the octets were not acknowledged yet, so they can be refused.
    connection.receive_next = connection.receive_next - payload.len() as u32;
    Input::None
}

/// Takes the octets that come next and those behind them that were waiting.
fn fill<'f, P: Payload>(connection: &mut Connection<P>, shared: &mut Shared<P>, payload: &'f [u8]) -> Input<'f> {
    connection.acknowledge_at_once();
    let Some(mut assembly) = connection.assembly.take() else { return Input::None };
    let next = connection.receive_next;
    let taken = assembly.take_with(next, payload, &mut connection.unread, &mut shared.memory);
    count(connection, shared, taken);
    if taken == 0 {
        // There is no memory, perhaps because of what is waiting. It comes again (RFC 2018 §8), and what is next goes first.
        assembly.clear(&mut shared.memory);
        shared.assemblies.give(assembly);
        if !connection.unread.push(payload, &mut shared.memory) {
            shared.stats.receive_memory_exhausted += payload.len() as u64;
            return Input::None;
        }
        count(connection, shared, payload.len() as u32);
        return Input::Buffered;
    }
    keep_assembly(connection, shared, assembly);
    Input::Buffered
}

/// Takes what is next of what was waiting, and could not be taken before for want of memory. True if there was some.
pub(crate) fn resume<P: Payload>(connection: &mut Connection<P>, shared: &mut Shared<P>) -> bool {
    let Some(mut assembly) = connection.assembly.take() else { return false };
    let taken = assembly.take_ready(connection.receive_next, &mut connection.unread, &mut shared.memory);
    count(connection, shared, taken);
    if taken > 0 {
        connection.acknowledge_at_once();
    }
    keep_assembly(connection, shared, assembly);
    taken > 0
}

fn keep_assembly<P: Payload>(connection: &mut Connection<P>, shared: &mut Shared<P>, assembly: Box<Reassembly>) {
    if assembly.is_empty() {
        shared.assemblies.give(assembly);
    } else {
        connection.assembly = Some(assembly);
    }
}

/// Keeps octets that arrived out of order.
fn keep<'f, P: Payload>(
    connection: &mut Connection<P>,
    shared: &mut Shared<P>,
    start: Sequence,
    payload: &[u8],
) -> Input<'f> {
    shared.stats.out_of_order += 1;
    // RFC 5681 §4.2: at once, so that the peer learns of the gap.
    connection.acknowledge_at_once();
    if connection.flags.has(Flags::DISCARD) {
        return Input::None;
    }
    // The last quarter of the memory is for what comes in order, lest those who leave gaps stop the others.
    if (shared.memory.room() as u64) < shared.config.receive_memory / 4 {
        shared.stats.receive_memory_exhausted += payload.len() as u64;
        return Input::None;
    }
    let (next, promised) = (connection.receive_next, connection.promised());
    let assembly = connection.assembly.get_or_insert_with(|| shared.assemblies.take());
    let inserted = assembly.insert(start, payload, next, promised, &mut shared.memory);
    if inserted.duplicate.is_some() {
        shared.stats.duplicates += 1;
        connection.cold.duplicate = inserted.duplicate;
    } else if inserted.stored == 0 {
        shared.stats.receive_memory_exhausted += payload.len() as u64;
    }
    if let Some(assembly) = connection.assembly.take() {
        keep_assembly(connection, shared, assembly);
    }
    Input::None
}

fn count<P: Payload>(connection: &mut Connection<P>, shared: &mut Shared<P>, octets: u32) {
    connection.receive_next += octets;
    shared.stats.octets_received += u64::from(octets);
}
