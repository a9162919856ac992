//! An acknowledgment without data.

use afpa_wire::tcp::SackBlocks;

use super::{Progress, outgoing, transmit_bare, window};
use crate::connection::{Connection, Flags};
use crate::packet::Sink;
use crate::payload::Payload;
use crate::receive::reassembly::sack_blocks;
use crate::shared::Shared;
use crate::time::Time;

/// Sends the acknowledgment that is owed, or lets it wait a little longer for something to ride on
/// (RFC 9293 §3.8.6.3).
pub(crate) fn send<P: Payload>(
    connection: &mut Connection<P>,
    shared: &mut Shared<P>,
    index: u32,
    now: Time,
    sink: &mut impl Sink<P>,
) -> Progress {
    if !connection.flags.has(Flags::AT_ONCE) {
        if connection.acknowledgment_deadline == Time::NEVER {
            connection.acknowledgment_deadline = now.after(shared.config.delayed_acknowledgment);
        }
        return Progress::Done;
    }
    let advertised = window(connection, shared).advertise();
    let mut segment = outgoing(connection, advertised, now);
    if connection.flags.has(Flags::SELECTIVE) {
        let most = if connection.flags.has(Flags::TIMESTAMPS) { 3 } else { 4 };
        let blocks = sack_blocks(connection.cold.duplicate, connection.assembly.as_deref(), most);
        segment.options.sack = blocks.into_iter().collect::<SackBlocks>();
    }
    if !transmit_bare(connection, shared, index, &segment, sink) {
        return Progress::Full;
    }
    connection.cold.duplicate = None;
    connection.receive_edge = advertised.edge;
    connection.acknowledgment_sent = connection.receive_next;
    connection.acknowledgment_deadline = Time::NEVER;
    connection.flags.clear(Flags::ACKNOWLEDGE.with(Flags::AT_ONCE));
    Progress::Done
}
