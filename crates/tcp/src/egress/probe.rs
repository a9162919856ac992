//! Segments that only ask for an answer.

use super::{Progress, acknowledged, data, outgoing, transmit_bare, window};
use crate::connection::{Connection, Flags};
use crate::packet::Sink;
use crate::payload::Payload;
use crate::shared::Shared;
use crate::time::Time;
use crate::timers;

/// Probes a closed window with an octet of what is queued (RFC 9293 §3.8.6.1), or asks a silent peer whether it is
/// there with the sequence number before the next (§3.8.4).
pub(crate) fn send<P: Payload>(
    connection: &mut Connection<P>,
    shared: &mut Shared<P>,
    index: u32,
    now: Time,
    sink: &mut impl Sink<P>,
) -> Progress {
    if connection.flags.has(Flags::PROBE) {
        if connection.sending.is_some() {
            if data::send_probe(connection, shared, index, now, sink) == Progress::Full {
                return Progress::Full;
            }
            shared.stats.window_probes += 1;
            timers::persist(connection, shared, now);
        }
        connection.flags.clear(Flags::PROBE);
    }
    if connection.flags.has(Flags::ASK) {
        let advertised = window(connection, shared).advertise();
        let mut segment = outgoing(connection, advertised, now);
        segment.sequence = connection.send_next - 1;
        if !transmit_bare(connection, shared, index, &segment, sink) {
            return Progress::Full;
        }
        acknowledged(connection, advertised);
        connection.flags.clear(Flags::ASK);
    }
    Progress::Done
}
