//! The socket provider as a protocol module: its state functions, and what it does when no connection is at hand.

use std::time::Duration;

use afpa_engine::seam::Disconnect;
use afpa_engine::{ConnectionId, Context, ControlTable, Desk, Outcome, ProtocolModule, Rest, Time, Wake};

use crate::channel::{Channel, Connection, Origin, Trouble};
use crate::provider::{Admission, Provider};
use crate::table;

/// How long a connection waits before it asks again for a slot.
const STARVED: Duration = Duration::from_millis(50);

/// The protocol module between TCP and applications' slots.
pub struct SocketProvider;

pub(crate) type Cx<'a> = Context<'a, SocketProvider>;

impl ProtocolModule for SocketProvider {
    const NAME: &'static str = "socket-provider";
    const TABLE: &'static ControlTable<SocketProvider> = &table::TABLE;
    const WANTS_SENT: bool = true;
    const ATTENDS: bool = true;

    type Global = Provider;
    type Connection = Connection;
    type Request = ();

    fn connected(provider: &mut Provider, id: ConnectionId, origin: afpa_engine::seam::Origin, _: Time) -> Connection {
        let origin = provider.origin_of(origin);
        let lease = match origin {
            Origin::Listener(serial) => provider.lease_of(serial, id),
            _ => None,
        };
        Connection { origin, channel: None, waits: None, _lease: lease, reason: None }
    }

    fn ended(_: &mut Provider, connection: &mut Connection, reason: Disconnect) {
        connection.reason = Some(reason);
    }

    fn disconnected(provider: &mut Provider, desk: &mut Desk<'_>, connection: &mut Connection, _: &mut ()) {
        provider.disconnected(desk, connection);
    }

    fn pass(provider: &mut Provider, now: Time) {
        provider.pass(now);
    }

    fn attend(provider: &mut Provider, desk: &mut Desk<'_>) {
        provider.attend(desk);
    }

    fn rest(provider: &mut Provider, now: Time) -> Rest {
        provider.rest(now)
    }

    fn woken(provider: &mut Provider) {
        provider.woken();
    }

    fn unreachable(provider: &mut Provider, _: &mut Desk<'_>, tag: u64, reason: Disconnect) {
        provider.unreachable(tag, reason);
    }
}

/// As [`admit_late`], unless it is one that comes from another engine, and has its slot.
pub(crate) fn admit(cx: &mut Cx<'_>) -> Outcome {
    let notice = cx.notice();
    if let Origin::Opening(tag) = cx.connection.origin
        && let Some(channel) = cx.global.welcome(tag, notice)
    {
        cx.connection.channel = Some(channel);
        // What it was told of on its way, nobody has seen.
        cx.notify(notice);
        return table::ARRIVED;
    }
    admit_late(cx)
}

/// Gives the connection a slot of its application, if there is one for it.
pub(crate) fn admit_late(cx: &mut Cx<'_>) -> Outcome {
    if cx.connection.waits.is_some() && !matches!(cx.wake, Wake::Notified | Wake::Expired | Wake::Draining) {
        return table::NO_CREDIT;
    }
    if let Some(turn) = cx.connection.waits.take() {
        cx.global.end_turn(cx.connection.origin, turn);
    }
    let notice = cx.notice();
    let origin = cx.connection.origin;
    let admission = if cx.draining() { Admission::Unwanted } else { cx.global.admit(origin, notice, &mut cx.output) };
    match admission {
        Admission::Admitted(link) => {
            cx.arm(Time::NEVER);
            cx.connection.channel = Some(Channel::new(link));
            table::ADMITTED
        }
        Admission::Wait(turn) => {
            cx.connection.waits = Some(turn);
            if cx.global.starves(cx.connection.origin) {
                // Others' slots may be freed without our knowledge.
                cx.arm_after(STARVED);
            }
            table::NO_CREDIT
        }
        Admission::Retry(turn) => {
            cx.connection.waits = Some(turn);
            cx.arm_after(STARVED);
            table::NO_CREDIT
        }
        Admission::Unwanted => table::UNWANTED,
    }
}

pub(crate) fn relay(cx: &mut Cx<'_>) -> Outcome {
    let before = cx.global.octets();
    let outcome = with_channel(cx, Channel::relay);
    if let Some(channel) = &cx.connection.channel {
        cx.global.charge(&channel.link, before);
    }
    outcome
}

pub(crate) fn drain(cx: &mut Cx<'_>) -> Outcome {
    with_channel(cx, Channel::drain)
}

pub(crate) fn linger(cx: &mut Cx<'_>) -> Outcome {
    with_channel(cx, |channel, cx| Ok(channel.linger(cx)))
}

pub(crate) fn leave(cx: &mut Cx<'_>) -> Outcome {
    with_channel(cx, Channel::leave)
}

pub(crate) fn hand_over(cx: &mut Cx<'_>) -> Outcome {
    let Some(released) = cx.released() else {
        return with_channel(cx, |channel, cx| Ok(channel.await_release(cx)));
    };
    let Some(channel) = cx.connection.channel.take() else { return table::RESET };
    let is_draining = cx.draining();
    cx.global.send_off(channel, released, is_draining);
    table::GONE
}

fn with_channel(cx: &mut Cx<'_>, f: impl FnOnce(&mut Channel, &mut Cx<'_>) -> Result<Outcome, Trouble>) -> Outcome {
    cx.global.note_work();
    let Some(mut channel) = cx.connection.channel.take() else { return table::RESET };
    let outcome = f(&mut channel, cx).unwrap_or_else(|trouble| {
        cx.global.blame(&channel.link, &trouble);
        table::RESET
    });
    cx.connection.channel = Some(channel);
    if outcome == table::OVER || outcome == table::TAKEN {
        // The transport may take its time; the slot is not needed for that.
        cx.global.retire(cx.connection);
    }
    outcome
}
