//! What a segment does to its connection, by question (RFC 9293 §3.10.7).

pub(crate) mod acceptable;
pub(crate) mod acknowledges;
pub(crate) mod carries_data;
pub(crate) mod ends;
pub(crate) mod fast_path;
pub(crate) mod losses;
pub(crate) mod resets;

use afpa_wire::ip::Ecn;
use afpa_wire::tcp::{Flags as Controls, Segment};

use crate::arrival::{Ending, Input, Opened};
use crate::connection::{Connection, Flags};
use crate::handshake::{synchronize_received, synchronize_sent};
use crate::payload::Payload;
use crate::shared::Shared;
use crate::state::State;
use crate::time::Time;

/// What a segment came to. If the state is CLOSED then, the connection is to be removed.
#[derive(Default)]
pub(crate) struct Step<'f> {
    pub(crate) opened: Option<Opened>,
    pub(crate) acknowledged: u64,
    pub(crate) input: Input<'f>,
    pub(crate) finished: bool,
    pub(crate) ended: Option<Ending>,
}

/// Takes a segment of the connection, header prediction first.
#[inline]
pub(crate) fn arrives<'f, P: Payload>(
    connection: &mut Connection<P>,
    shared: &mut Shared<P>,
    now: Time,
    segment: Segment<'f>,
    ecn: Ecn,
) -> Step<'f> {
    if let Some(step) = fast_path::predicted(connection, shared, now, &segment, ecn) {
        return step;
    }
    match connection.state {
        State::SynSent => synchronize_sent::arrives(connection, shared, now, segment),
        _ => others(connection, shared, now, segment, ecn),
    }
}

/// RFC 9293 §3.10.7.4, check by check. The order of SYN and the window is RFC 5961's.
fn others<'f, P: Payload>(
    connection: &mut Connection<P>,
    shared: &mut Shared<P>,
    now: Time,
    mut segment: Segment<'f>,
    ecn: Ecn,
) -> Step<'f> {
    let mut step = Step::default();
    let start = segment.sequence;
    if connection.state == State::SynReceived && synchronize_received::is_repeated(connection, &segment) {
        connection.flags.set(Flags::SYNCHRONIZE.with(Flags::WAKE));
        return step;
    }
    if connection.state == State::SynReceived {
        synchronize_received::skip_synchronization(connection, &mut segment);
    }
    let (has_syn, is_reset) = (segment.flags.contains(Controls::SYN), segment.flags.contains(Controls::RST));
    // RFC 5961 §4.2: whatever its sequence number is.
    if has_syn && !is_reset {
        resets::challenge(connection, shared, now);
        return step;
    }
    if !acceptable::passes(connection, shared, now, &mut segment) {
        return step;
    }
    if is_reset {
        step.ended = resets::judge(connection, shared, now, &segment);
        return step;
    }
    if !segment.flags.contains(Controls::ACK) {
        return step;
    }
    connection.heard = now;
    connection.cold.keep_alives = 0;
    if connection.state == State::SynReceived && !synchronize_received::completes(connection, shared, now, &segment) {
        return step;
    }
    step.opened = synchronize_received::announce(connection, shared);
    let Some(acknowledged) = acknowledges::judge(connection, shared, now, &segment) else { return step };
    step.acknowledged = acknowledged;
    acceptable::remember_timestamp(connection, now, start, &segment);
    notice_congestion(connection, &segment, ecn);
    // The urgent pointer is ignored (RFC 6093 §6 leaves urgent data in line).
    if !segment.payload.is_empty() {
        step.input = carries_data::take(connection, shared, &segment);
    }
    step.finished = ends::take(connection, shared, now, &segment);
    if connection.state == State::Closed {
        step.ended = Some(Ending::Closed);
    }
    step
}

/// RFC 3168 §6.1.3: ECE is echoed from a mark on until CWR comes.
fn notice_congestion<P>(connection: &mut Connection<P>, segment: &Segment<'_>, ecn: Ecn) {
    if !connection.flags.has(Flags::CONGESTION_NOTIFICATION) {
        return;
    }
    if segment.flags.contains(Controls::CWR) {
        connection.flags.clear(Flags::ECHO);
    }
    if ecn == Ecn::CongestionExperienced && !segment.payload.is_empty() {
        connection.flags.set(Flags::ECHO);
        connection.acknowledge_at_once();
    }
}
