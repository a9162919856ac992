//! The largest packet that the path takes (RFC 1191, RFC 8201, RFC 4821).

use std::net::IpAddr;
use std::time::Duration;

use afpa_wire::sequence::Sequence;
use afpa_wire::tcp;

use crate::connection::{Connection, Flags, Sending};
use crate::egress::segment::ip_header_len;
use crate::payload::Payload;
use crate::send::congestion::forward_recovery::ForwardRecovery;
use crate::shared::Shared;
use crate::time::Time;
use crate::timers;

/// Octets of a timestamps option with its padding.
pub(crate) const TIMESTAMPS_LEN: u16 = 12;
/// No smaller packet is sent, whatever somebody claims: RFC 9293 §3.7.1's default for IPv4, RFC 8200 §5 for IPv6.
const LEAST_V4: u16 = 576;
const LEAST_V6: u16 = 1280;
/// How long a router's word counts, or silence (RFC 8201 §4: ten minutes are recommended; RFC 4821 §7.7).
const RETRY: Duration = Duration::from_secs(600);
/// Timeouts of full segments in a row until a smaller size is tried (RFC 4821 §7.7).
const SUSPICIOUS: u8 = 2;
/// What is tried: fits through every tunnel that is in use.
const SUSPECTED: u16 = 1280;
/// The search for the largest packet ends when it is known to so many octets.
const PRECISION: u16 = 32;

/// A segment that is larger than the path is known to take, to see whether it does (RFC 4821 §7.3).
#[derive(Clone, Copy, Debug)]
pub(crate) struct MtuProbe {
    start: Sequence,
    len: u32,
    /// Octets of the whole packet.
    mtu: u16,
}

/// The largest segment to announce for a link of that MTU (RFC 6691: without options).
pub(crate) fn announced(mtu: u16, address: IpAddr) -> u16 {
    mtu - ip_header_len(address) - tcp::HEADER_LEN as u16
}

/// Octets of payload in a segment to a peer with this MSS option, over a path of this MTU. What every segment has of
/// options is counted off (RFC 9293 §3.7.1).
pub(crate) fn segment_size(peer_mss: u16, path_mtu: u16, address: IpAddr, has_timestamps: bool) -> u16 {
    let options = if has_timestamps { TIMESTAMPS_LEN } else { 0 };
    // A peer that announces less than 64 octets would cost more headers than it is worth.
    announced(path_mtu, address).min(peer_mss).max(64 + TIMESTAMPS_LEN) - options
}

/// A router could not pass on a packet of ours and says that `mtu` would do. The caller has checked that it quotes what
/// is in flight.
pub(crate) fn shrink<P: Payload>(connection: &mut Connection<P>, shared: &mut Shared<P>, mtu: u32, now: Time) {
    let remote = connection.cold.tuple.remote;
    if !remote.is_ipv4() && mtu < u32::from(LEAST_V6) {
        // RFC 8201 §4: to be discarded.
        shared.stats.icmp_rejected += 1;
        return;
    }
    let least = if remote.is_ipv4() { LEAST_V4 } else { LEAST_V6 };
    // RFC 1191 §5: old routers say zero. What is less than every link takes is not believed.
    let mtu = u16::try_from(mtu).unwrap_or(u16::MAX).max(least);
    if mtu >= connection.cold.path_mtu {
        return;
    }
    shared.stats.path_mtu_reduced += 1;
    connection.cold.path_mtu_at = now;
    connection.flags.clear(Flags::BLACK_HOLE);
    set(connection, mtu);
    // RFC 1191 §6.3: what was too large is sent again, and that is no sign of congestion.
    if let Some(sending) = &mut connection.sending {
        sending.flight.lose_all();
        sending.look_again = None;
        if let Some(recovery) = &mut sending.recovery {
            *recovery.forward() = ForwardRecovery::Off;
        }
        connection.flags.set(Flags::WAKE);
        timers::arm(connection, shared, now, true);
    }
}

/// Before data is sent: the path may have become another one, which takes what the link does (RFC 8201 §4).
#[inline]
pub(crate) fn try_larger<P: Payload>(connection: &mut Connection<P>, shared: &Shared<P>, now: Time) {
    if connection.cold.path_mtu < shared.config.mtu
        && !connection.flags.has(Flags::BLACK_HOLE)
        && now.since(connection.cold.path_mtu_at) > RETRY
    {
        set(connection, shared.config.mtu);
    }
}

/// Full segments time out again and again: perhaps a router drops them for their size and tells nobody.
pub(crate) fn suspect_black_hole<P: Payload>(connection: &mut Connection<P>, shared: &mut Shared<P>, now: Time) {
    let full = u32::from(connection.segment_size);
    let is_full = connection.sending.as_ref().is_some_and(|sending| sending.queue.len() >= full);
    let is_suspicious = shared.config.black_hole_detection
        && connection.cold.retries == SUSPICIOUS
        && connection.cold.path_mtu > SUSPECTED
        && is_full;
    if is_suspicious {
        shared.stats.black_holes += 1;
        connection.flags.set(Flags::BLACK_HOLE);
        (connection.cold.path_mtu_at, connection.cold.path_mtu_refused) = (now, 0);
        set(connection, SUSPECTED);
    }
}

/// After a black hole: the octets of payload of a probe, if one is due (RFC 4821 §7.3). What the link takes comes first, ten
/// minutes later; then the middle between what passed and what did not, until that is close enough.
pub(crate) fn probe_size<P: Payload>(
    connection: &Connection<P>,
    sending: &Sending<P>,
    shared: &Shared<P>,
    now: Time,
) -> Option<u32> {
    let cold = &connection.cold;
    if !connection.flags.has(Flags::BLACK_HOLE) || sending.mtu_probe.is_some() || sending.recovery.is_some() {
        return None;
    }
    let mtu = match cold.path_mtu_refused {
        0 if now.since(cold.path_mtu_at) <= RETRY => return None,
        0 => shared.config.mtu,
        refused => cold.path_mtu.midpoint(refused),
    };
    let has_timestamps = connection.flags.has(Flags::TIMESTAMPS);
    let size = segment_size(cold.peer_mss, mtu, cold.tuple.remote, has_timestamps);
    (size > connection.segment_size).then_some(size.into())
}

/// A probe was sent: `len` octets from `start` on.
pub(crate) fn probed<P: Payload>(connection: &Connection<P>, sending: &mut Sending<P>, start: Sequence, len: u32) {
    let more = len.saturating_sub(connection.segment_size.into());
    let mtu = u32::from(connection.cold.path_mtu).saturating_add(more);
    sending.mtu_probe = Some(MtuProbe { start, len, mtu: u16::try_from(mtu).unwrap_or(u16::MAX) });
}

/// Something is sent again: if it is of the probe, that did not arrive.
pub(crate) fn sent_again<P: Payload>(
    connection: &mut Connection<P>,
    sending: &mut Sending<P>,
    start: Sequence,
    len: u32,
    now: Time,
) {
    let is_of = |probe: &mut MtuProbe| start.before(probe.start + probe.len) && (start + len).after(probe.start);
    if let Some(probe) = sending.mtu_probe.take_if(is_of) {
        connection.cold.path_mtu_refused = probe.mtu;
        narrow(connection, now);
    }
}

/// Everything before `una` is acknowledged: if that is all of the probe, which was sent once, it passed.
#[inline]
pub(crate) fn acknowledged<P: Payload>(
    connection: &mut Connection<P>,
    sending: &mut Sending<P>,
    shared: &Shared<P>,
    una: Sequence,
    now: Time,
) {
    if let Some(probe) = sending.mtu_probe.take_if(|probe| !una.before(probe.start + probe.len)) {
        set(connection, probe.mtu.max(connection.cold.path_mtu));
        narrow(connection, now);
        if connection.cold.path_mtu >= shared.config.mtu {
            connection.flags.clear(Flags::BLACK_HOLE);
        }
    }
}

/// Whether just the probe is lost, which says that it was too large, and nothing of congestion (RFC 4821 §7.5). Only a SACK
/// tells it from what is beside it.
pub(crate) fn is_only_probe_lost<P: Payload>(sending: &Sending<P>) -> bool {
    let lost = sending.flight.next_lost();
    sending.mtu_probe.as_ref().zip(lost).is_some_and(|(probe, lost)| {
        (lost.start, lost.len, sending.flight.lost()) == (probe.start, probe.len, probe.len)
    })
}

/// The search is over once the answer is close enough, and begins again ten minutes later.
fn narrow<P: Payload>(connection: &mut Connection<P>, now: Time) {
    let cold = &mut connection.cold;
    cold.path_mtu_at = now;
    if cold.path_mtu_refused.saturating_sub(cold.path_mtu) <= PRECISION {
        cold.path_mtu_refused = 0;
    }
}

fn set<P: Payload>(connection: &mut Connection<P>, mtu: u16) {
    connection.cold.path_mtu = mtu;
    let has_timestamps = connection.flags.has(Flags::TIMESTAMPS);
    connection.segment_size = segment_size(connection.cold.peer_mss, mtu, connection.cold.tuple.remote, has_timestamps);
}
