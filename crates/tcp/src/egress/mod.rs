//! What a connection sends when its turn comes.

pub(crate) mod acknowledgment;
pub(crate) mod data;
pub(crate) mod probe;
pub(crate) mod segment;
pub(crate) mod stateless;

use afpa_wire::ip::Ecn;
use afpa_wire::tcp::{Flags as Controls, Options, Timestamps};

use crate::connection::{Connection, Flags};
use crate::egress::segment::{MAX_HEADERS, Outgoing};
use crate::handshake;
use crate::packet::{Packet, Sink};
use crate::payload::Payload;
use crate::receive::window::{Advertised, Window};
use crate::shared::Shared;
use crate::state::State;
use crate::time::Time;

/// What came of a turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Progress {
    /// Everything that could be sent was.
    Done,
    /// There is more, but others are waiting.
    Again,
    /// The sink has no room.
    Full,
}

/// Sends what is due: the handshake, data and FIN, probes, and an acknowledgment if none of them carried it.
pub(crate) fn turn<P: Payload>(
    connection: &mut Connection<P>,
    shared: &mut Shared<P>,
    index: u32,
    now: Time,
    sink: &mut impl Sink<P>,
) -> Progress {
    if !connection.state.is_synchronized() {
        let progress = handshake::synchronize(connection, shared, index, now, sink);
        let is_challenged = connection.state == State::SynReceived && connection.flags.has(Flags::AT_ONCE);
        return match progress {
            Progress::Done if is_challenged => acknowledgment::send(connection, shared, index, now, sink),
            other => other,
        };
    }
    let mut progress = Progress::Done;
    if connection.sending.is_some() {
        progress = data::send(connection, shared, index, now, sink);
    }
    if progress != Progress::Full && connection.flags.has(Flags::PROBE.with(Flags::ASK)) {
        progress = progress.and(probe::send(connection, shared, index, now, sink));
    }
    if progress != Progress::Full && connection.flags.has(Flags::ACKNOWLEDGE) {
        progress = progress.and(acknowledgment::send(connection, shared, index, now, sink));
    }
    progress
}

impl Progress {
    fn and(self, other: Progress) -> Progress {
        if other == Progress::Done { self } else { other }
    }
}

/// What the header of every segment of a synchronized connection says, but for its payload.
pub(crate) fn outgoing<P: Payload>(connection: &Connection<P>, advertised: Advertised, now: Time) -> Outgoing {
    let timestamps = connection
        .flags
        .has(Flags::TIMESTAMPS)
        .then(|| Timestamps { value: connection.timestamp(now), echo: connection.timestamp_recent });
    let mut flags = Controls::ACK;
    if connection.flags.has(Flags::ECHO) {
        flags |= Controls::ECE;
    }
    Outgoing {
        sequence: connection.send_next,
        acknowledgment: connection.receive_next,
        flags,
        window: advertised.field,
        options: Options { timestamps, ..Options::NONE },
        ecn: Ecn::NotCapable,
        payload_len: 0,
        payload_sum: 0,
        is_cut: false,
    }
}

/// Sends a segment without payload. Returns whether the sink had room.
pub(crate) fn transmit_bare<P: Payload>(
    connection: &Connection<P>,
    shared: &mut Shared<P>,
    index: u32,
    segment: &Outgoing,
    sink: &mut impl Sink<P>,
) -> bool {
    let mut headers = [0; MAX_HEADERS];
    let len = connection.cold.template.write(segment, &mut headers);
    let packet = Packet {
        handle: Some(connection.handle(index)),
        remote: connection.cold.tuple.remote,
        headers: &headers[..len],
        pieces: &[],
        segment_size: None,
    };
    let has_left = sink.transmit(packet);
    shared.stats.packets_sent += u64::from(has_left);
    has_left
}

/// The receive window as it stands.
pub(crate) fn window<P: Payload>(connection: &Connection<P>, shared: &Shared<P>) -> Window {
    let limit = shared.config.receive_window;
    let held = u32::try_from(connection.unread.len()).unwrap_or(u32::MAX);
    // Buffers are up to twice as large as what they hold.
    let free = u32::try_from(shared.memory.room() / 2).unwrap_or(u32::MAX);
    Window {
        next: connection.receive_next,
        edge: connection.receive_edge,
        room: limit.saturating_sub(held).min(free),
        limit,
        scale: connection.receive_shift,
        mss: connection.receive_segment_size,
    }
}

/// A segment with an acknowledgment left.
pub(crate) fn acknowledged<P: Payload>(connection: &mut Connection<P>, advertised: Advertised) {
    connection.receive_edge = advertised.edge;
    connection.acknowledgment_sent = connection.receive_next;
    // What arrived out of order is told in an acknowledgment of its own.
    if !is_selective_due(connection) {
        connection.flags.clear(Flags::ACKNOWLEDGE.with(Flags::AT_ONCE));
        connection.acknowledgment_deadline = Time::NEVER;
    }
}

fn is_selective_due<P: Payload>(connection: &Connection<P>) -> bool {
    let has_blocks = connection.assembly.is_some() || connection.cold.duplicate.is_some();
    has_blocks && connection.flags.has(Flags::SELECTIVE) && connection.state != State::TimeWait
}
