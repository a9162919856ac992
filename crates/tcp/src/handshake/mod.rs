//! How a connection comes to be.

pub(crate) mod create;
pub(crate) mod listen;
pub(crate) mod offers;
pub(crate) mod options;
pub(crate) mod synchronize_received;
pub(crate) mod synchronize_sent;

use afpa_wire::ip::Ecn;
use afpa_wire::tcp::Flags as Controls;

use crate::connection::{Connection, Flags, SendTimer};
use crate::egress::segment::Outgoing;
use crate::egress::{Progress, transmit_bare};
use crate::packet::Sink;
use crate::payload::Payload;
use crate::shared::Shared;
use crate::state::State;
use crate::time::Time;
use crate::timers;

/// Sends SYN or SYN-ACK, if one is due, and sets the timer that sends it again (RFC 6298 §2: as any segment).
pub(crate) fn synchronize<P: Payload>(
    connection: &mut Connection<P>,
    shared: &mut Shared<P>,
    index: u32,
    now: Time,
    sink: &mut impl Sink<P>,
) -> Progress {
    if !connection.flags.has(Flags::SYNCHRONIZE) {
        return Progress::Done;
    }
    let has_syn = connection.state == State::SynReceived;
    let mut flags = if has_syn { Controls::SYN | Controls::ACK } else { Controls::SYN };
    if connection.flags.has(Flags::CONGESTION_NOTIFICATION) {
        // RFC 3168 §6.1.1: a SYN says ECE and CWR, a SYN-ACK just ECE. A repeated SYN asks for nothing that may have been
        // in its way.
        if !has_syn && connection.cold.retries == 0 {
            flags |= Controls::ECE | Controls::CWR;
        } else if has_syn {
            flags |= Controls::ECE;
        }
    }
    let window = shared.first_window();
    let segment = Outgoing {
        sequence: connection.cold.initial_send,
        acknowledgment: connection.receive_next,
        flags,
        window,
        options: options::of(connection, shared, now),
        ecn: Ecn::NotCapable,
        payload_len: 0,
        payload_sum: 0,
        is_cut: false,
    };
    if !transmit_bare(connection, shared, index, &segment, sink) {
        return Progress::Full;
    }
    connection.send_next = connection.cold.initial_send + 1;
    if has_syn {
        connection.acknowledgment_sent = connection.receive_next;
        connection.receive_edge = connection.receive_edge.max(connection.receive_next + u32::from(window));
    }
    connection.flags.clear(Flags::SYNCHRONIZE.with(Flags::ACKNOWLEDGE).with(Flags::AT_ONCE));
    if connection.cold.retries == 0 && connection.cold.sent == Time(0) {
        connection.cold.sent = now;
    }
    connection.send_timer = SendTimer::Handshake;
    connection.send_deadline = now.after(timers::timeout(&connection.cold.rtt, shared));
    Progress::Done
}
