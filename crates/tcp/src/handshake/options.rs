//! The options of SYN and SYN-ACK, and what both ends then agree on.

use afpa_wire::tcp::{Options, SackBlocks, Timestamps};

use crate::connection::{Connection, Flags};
use crate::path_mtu;
use crate::payload::Payload;
use crate::shared::Shared;
use crate::state::State;
use crate::time::Time;

/// RFC 9293 §3.7.1: what an absent MSS option means.
const DEFAULT_V4: u16 = 536;
const DEFAULT_V6: u16 = 1220;

/// What a SYN of ours offers, or a SYN-ACK accepts.
pub(crate) fn of<P: Payload>(connection: &Connection<P>, shared: &Shared<P>, now: Time) -> Options {
    let answers = connection.state == State::SynReceived;
    let echo = if answers { connection.timestamp_recent } else { 0 };
    Options {
        mss: Some(path_mtu::announced(shared.config.mtu, connection.cold.tuple.remote)),
        window_scale: connection.flags.has(Flags::SCALING).then(|| shared.config.window_shift()),
        sack_permitted: connection.flags.has(Flags::SELECTIVE),
        timestamps: connection
            .flags
            .has(Flags::TIMESTAMPS)
            .then(|| Timestamps { value: connection.timestamp(now), echo }),
        sack: SackBlocks::NONE,
    }
}

/// The MSS that the peer's options say.
pub(crate) fn peer_mss(options: &Options, is_v4: bool) -> u16 {
    options.mss.unwrap_or(if is_v4 { DEFAULT_V4 } else { DEFAULT_V6 })
}

/// Keeps of what we offered or would accept what the peer's SYN has, too.
pub(crate) fn agree<P: Payload>(connection: &mut Connection<P>, shared: &Shared<P>, options: &Options, now: Time) {
    if options.timestamps.is_none() {
        connection.flags.clear(Flags::TIMESTAMPS);
    }
    if !options.sack_permitted {
        connection.flags.clear(Flags::SELECTIVE);
    }
    // RFC 7323 §2.2: both or neither.
    match options.window_scale {
        Some(shift) if connection.flags.has(Flags::SCALING) => {
            connection.send_shift = shift;
            connection.receive_shift = shared.config.window_shift();
        }
        _ => {
            connection.flags.clear(Flags::SCALING);
            (connection.send_shift, connection.receive_shift) = (0, 0);
        }
    }
    if let Some(timestamps) = options.timestamps {
        connection.timestamp_recent = timestamps.value;
        connection.cold.timestamp_recent_at = now;
    }
    let is_v4 = connection.cold.tuple.remote.is_ipv4();
    connection.cold.peer_mss = peer_mss(options, is_v4);
    connection.segment_size = path_mtu::segment_size(
        connection.cold.peer_mss,
        connection.cold.path_mtu,
        connection.cold.tuple.remote,
        connection.flags.has(Flags::TIMESTAMPS),
    );
}
