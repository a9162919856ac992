//! Data and FIN.

use afpa_wire::checksum;
use afpa_wire::ip::Ecn;
use afpa_wire::sequence::Sequence;
use afpa_wire::tcp::Flags as Controls;

use super::segment::MAX_HEADERS;
use super::{Progress, acknowledged, outgoing, window};
use crate::config::Checksum;
use crate::connection::{Connection, Flags, SendTimer, Sending};
use crate::packet::{Packet, Piece, Sink};
use crate::path_mtu;
use crate::payload::Payload;
use crate::send::congestion::forward_recovery::ForwardRecovery;
use crate::send::congestion::recovery::Recovery;
use crate::send::piece::{self, Pieces};
use crate::shared::Shared;
use crate::time::Time;
use crate::timers;

/// Octets of one connection until others have their turn.
const BUDGET: u32 = 128 * 1024;
/// What IP can say, less the longest headers.
const MAX_PAYLOAD: usize = 65_535 - MAX_HEADERS;

/// A range of the sequence space to be sent.
#[derive(Clone, Copy, Debug)]
struct Range {
    start: Sequence,
    /// FIN counted.
    len: u32,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    New,
    Retransmission,
    TailProbe,
    /// New, and larger than the path is known to take.
    MtuProbe,
    /// Of a window that is closed, or too small.
    WindowProbe,
}

/// Sends what is lost, then what is new, as far as the peer, the network and the budget allow.
pub(crate) fn send<P: Payload>(
    connection: &mut Connection<P>,
    shared: &mut Shared<P>,
    index: u32,
    now: Time,
    sink: &mut impl Sink<P>,
) -> Progress {
    let Some(mut sending) = connection.sending.take() else { return Progress::Done };
    restart_after_idle(connection, &sending, shared, now);
    path_mtu::try_larger(connection, shared, now);
    let most = sink.max_payload().min(MAX_PAYLOAD) as u32;
    let (mut progress, mut left, mut has_sent) = (Progress::Done, BUDGET, false);
    while let Some(range) = choose(connection, &sending, shared, most, now) {
        if left == 0 {
            progress = Progress::Again;
            break;
        }
        let Some(sent) = transmit(connection, &mut sending, shared, (index, now), range, sink) else {
            progress = Progress::Full;
            break;
        };
        left = left.saturating_sub(sent);
        has_sent = true;
        if range.kind == Kind::TailProbe {
            connection.flags.clear(Flags::PROBE_TAIL);
        }
    }
    if progress == Progress::Done {
        connection.flags.clear(Flags::PROBE_TAIL);
    }
    let is_stuck = sending.flight.is_empty() && !sending.queue.is_empty() && progress == Progress::Done;
    connection.sending = Some(sending);
    if has_sent || (!is_stuck && connection.send_timer == SendTimer::None) {
        timers::arm(connection, shared, now, false);
    } else if is_stuck {
        timers::persist(connection, shared, now);
    }
    progress
}

/// Sends one octet although the window is closed, or as much as a silly window takes (RFC 9293 §3.8.6.2.1: the override).
pub(crate) fn send_probe<P: Payload>(
    connection: &mut Connection<P>,
    shared: &mut Shared<P>,
    index: u32,
    now: Time,
    sink: &mut impl Sink<P>,
) -> Progress {
    let Some(mut sending) = connection.sending.take() else { return Progress::Done };
    let is_new = connection.outstanding() == 0;
    let open = if is_new { unsent(connection, &sending).min(connection.send_window) } else { 1 };
    let len = open.clamp(1, u32::from(connection.segment_size));
    let range = Range { start: connection.send_unacknowledged, len, kind: Kind::WindowProbe };
    let sent = transmit(connection, &mut sending, shared, (index, now), range, sink);
    connection.sending = Some(sending);
    if sent.is_some() { Progress::Done } else { Progress::Full }
}

/// RFC 2861, RFC 5681 §4.1: what the network could take before a pause says little about now.
fn restart_after_idle<P: Payload>(connection: &mut Connection<P>, sending: &Sending<P>, shared: &Shared<P>, now: Time) {
    if sending.flight.is_empty() && connection.cold.sent != Time(0) {
        let timeout = timers::timeout(&connection.cold.rtt, shared);
        let idle = now.since(connection.cold.sent);
        if idle > timeout {
            connection.cold.congestion.idle(idle, timeout, u32::from(connection.segment_size));
        }
    }
}

/// What is to be sent next, if anything may be.
fn choose<P: Payload>(
    connection: &Connection<P>,
    sending: &Sending<P>,
    shared: &Shared<P>,
    most: u32,
    now: Time,
) -> Option<Range> {
    let mss = u32::from(connection.segment_size);
    let pipe = sending.flight.pipe();
    let allowed = connection.cold.congestion.window().saturating_sub(pipe);
    let unsent = unsent(connection, sending);
    let open = connection.send_window.saturating_sub(connection.outstanding());
    let forward = sending.recovery.as_ref().map_or(ForwardRecovery::Off, Recovery::forward_stage);
    if let Some(segments) = forward.new_segments().filter(|_| sending.flight.lost() > 0) {
        // RFC 5682 §2.1 step 2b: new data first, for what becomes of it tells whether anything was lost.
        let allowed = allowed.min(segments * mss);
        let len = if unsent > 0 && segments > 0 {
            new_data(connection, shared, unsent, open, allowed, most, pipe)
        } else {
            None
        };
        if len.is_some() || forward.is_waiting() {
            return len.map(|len| Range { start: connection.send_next, len, kind: Kind::New });
        }
    }
    if let Some(lost) = sending.flight.next_lost() {
        // Into a closed window only probes go.
        let mut len = lost.len.min(mss);
        let may = connection.send_window > 0 && (allowed >= len || pipe == 0);
        // A small segment at the end, such as a probe, is filled up (RFC 9293 §3.8.1).
        if lost.start + len == connection.send_next && !connection.flags.has(Flags::FINISH_SENT) {
            len += unsent.min(open).min(mss - len);
        }
        return may.then_some(Range { start: lost.start, len, kind: Kind::Retransmission });
    }
    // All may have been acknowledged since the timer fired: then there is nothing to probe with, but FIN may be due.
    if connection.flags.has(Flags::PROBE_TAIL)
        && let Some(range) = probe_tail(connection, sending, unsent.min(open).min(mss), mss)
    {
        return Some(range);
    }
    if unsent > 0 {
        if let Some(len) = path_mtu::probe_size(connection, sending, shared, now)
            && len < unsent
            && len <= open.min(allowed)
        {
            return Some(Range { start: connection.send_next, len, kind: Kind::MtuProbe });
        }
        let len = new_data(connection, shared, unsent, open, allowed, most, pipe)?;
        return Some(Range { start: connection.send_next, len, kind: Kind::New });
    }
    let is_finish_due = connection.flags.has(Flags::FINISH) && !connection.flags.has(Flags::FINISH_SENT);
    is_finish_due.then_some(Range { start: connection.send_next, len: 1, kind: Kind::New })
}

/// How many octets of new data may be sent: silly windows are not used (RFC 9293 §3.8.6.2.1), and only what is the last
/// of the queue is sent in less than a full segment.
fn new_data<P: Payload>(
    connection: &Connection<P>,
    shared: &Shared<P>,
    unsent: u32,
    open: u32,
    allowed: u32,
    most: u32,
    pipe: u32,
) -> Option<u32> {
    let mss = u32::from(connection.segment_size);
    let usable = unsent.min(open);
    let largest = if most > mss { most / mss * mss } else { mss };
    if usable >= mss {
        let len = usable.min(allowed).min(largest);
        // The rest of the queue may go along with full segments; anything else waits until a segment is full.
        if len == unsent {
            let waits = shared.config.nagle && !connection.flags.has(Flags::FINISH);
            return Some(if waits && len > mss { len / mss * mss } else { len });
        }
        let whole = len / mss * mss;
        return (whole > 0).then_some(whole);
    }
    let is_all = usable == unsent;
    let is_quiet = connection.outstanding() == 0;
    let may_be_small = !shared.config.nagle || is_quiet || connection.flags.has(Flags::FINISH);
    let is_half = usable > 0 && usable >= connection.cold.largest_window / 2;
    let may = usable > 0 && ((is_all && may_be_small) || is_half) && (allowed >= usable || pipe == 0);
    may.then_some(usable)
}

/// RFC 8985 §7.3: new data if there is some and the window has room, else the last segment again.
fn probe_tail<P: Payload>(connection: &Connection<P>, sending: &Sending<P>, new: u32, mss: u32) -> Option<Range> {
    if new > 0 {
        return Some(Range { start: connection.send_next, len: new, kind: Kind::TailProbe });
    }
    let last = sending.flight.last_segment(mss)?;
    Some(Range { start: last.start, len: last.len, kind: Kind::TailProbe })
}

fn unsent<P: Payload>(connection: &Connection<P>, sending: &Sending<P>) -> u32 {
    let sent = connection.outstanding().saturating_sub(u32::from(connection.flags.has(Flags::FINISH_SENT)));
    sending.queue.len().saturating_sub(sent)
}

/// Sends a range, or as much of it as fits a packet, and takes note. `None` if the sink has no room.
fn transmit<P: Payload>(
    connection: &mut Connection<P>,
    sending: &mut Sending<P>,
    shared: &mut Shared<P>,
    (index, now): (u32, Time),
    range: Range,
    sink: &mut impl Sink<P>,
) -> Option<u32> {
    let offset = range.start.offset_from(connection.send_unacknowledged);
    let mut settled = std::mem::take(&mut shared.settled);
    let mut pieces = Pieces::<P>::new();
    let len = sending.queue.gather(offset, range.len, &mut pieces);
    let mut staged_sum = None;
    if piece::is_volatile(&pieces) && !sink.lends(&pieces) {
        if let Some(place) = sink.stage(len as usize) {
            piece::copy(&pieces, place);
            staged_sum = Some(checksum::sum(place));
            pieces.clear();
            pieces.push(Piece::Staged(len as usize));
        } else {
            settled.resize(len as usize, 0);
            piece::copy(&pieces, &mut settled);
            pieces.clear();
            pieces.push(Piece::Copied(&settled));
        }
    }
    let is_last = offset + len == sending.queue.len();
    // FIN rides on the last octets (or is all there is), the first time and again.
    let is_new = range.start == connection.send_next;
    let has_finish = connection.flags.has(Flags::FINISH) && is_last && (is_new || range.len > len);
    let is_cut = len > u32::from(connection.segment_size) && range.kind != Kind::MtuProbe;
    let advertised = window(connection, shared).advertise();
    let mut segment = outgoing(connection, advertised, now);
    segment.sequence = range.start;
    segment.payload_len = len as usize;
    segment.is_cut = is_cut;
    segment.payload_sum = match staged_sum {
        _ if is_cut => 0,
        Some(sum) => sum,
        None => sum(&pieces, shared.config.checksum),
    };
    if is_last && len > 0 {
        segment.flags |= Controls::PSH;
    }
    if has_finish {
        segment.flags |= Controls::FIN;
    }
    mark(connection, &mut segment, is_new && range.kind != Kind::WindowProbe);
    let mut headers = [0; MAX_HEADERS];
    let headers_len = connection.cold.template.write(&segment, &mut headers);
    let packet = Packet {
        handle: Some(connection.handle(index)),
        remote: connection.cold.tuple.remote,
        headers: &headers[..headers_len],
        pieces: &pieces,
        segment_size: is_cut.then_some(connection.segment_size),
    };
    let is_taken = sink.transmit(packet);
    drop(pieces);
    shared.settled = settled;
    if !is_taken {
        return None;
    }
    let taken = len + u32::from(has_finish);
    shared.stats.octets_sent += u64::from(len);
    note(connection, sending, shared, now, Range { len: taken, ..range });
    acknowledged(connection, advertised);
    if has_finish {
        connection.flags.set(Flags::FINISH_SENT);
    }
    if is_new {
        connection.flags.clear(Flags::REDUCED);
    }
    Some(taken)
}

/// RFC 3168 §6.1.5 and §6.1.6: new data is ECN-capable; retransmissions, window probes and bare control segments are not.
fn mark<P: Payload>(connection: &Connection<P>, segment: &mut super::segment::Outgoing, is_new: bool) {
    if !connection.flags.has(Flags::CONGESTION_NOTIFICATION) || !is_new || segment.payload_len == 0 {
        return;
    }
    segment.ecn = Ecn::Capable0;
    if connection.flags.has(Flags::REDUCED) {
        segment.flags |= Controls::CWR;
    }
}

fn note<P: Payload>(
    connection: &mut Connection<P>,
    sending: &mut Sending<P>,
    shared: &mut Shared<P>,
    now: Time,
    range: Range,
) {
    let end = range.start + range.len;
    let is_new = range.start == connection.send_next;
    sending.flight.sent(range.start, range.len, now);
    connection.send_next = connection.send_next.max(end);
    connection.cold.sent = now;
    shared.stats.packets_sent += 1;
    if range.kind == Kind::MtuProbe {
        path_mtu::probed(connection, sending, range.start, range.len);
    }
    if !is_new {
        shared.stats.retransmitted_segments += 1;
        path_mtu::sent_again(connection, sending, range.start, range.len, now);
        if range.start == connection.send_unacknowledged {
            // The timeout is that of the first unacknowledged segment, which leaves only now.
            sending.retransmit_at = Time::NEVER;
        }
    }
    if let Some(recovery) = &mut sending.recovery {
        recovery.sent(range.len, !is_new, now);
        let segments = range.len.div_ceil(connection.segment_size.max(1).into());
        recovery.forward().sent(segments, !is_new);
    }
    if range.kind == Kind::TailProbe {
        shared.stats.tail_loss_probes += 1;
        sending.tail.probed(connection.send_next, !is_new);
        // RFC 8985 §7.3: the timeout begins anew.
        sending.retransmit_at = Time::NEVER;
    }
}

fn sum<P: Payload>(pieces: &[Piece<'_, P>], checksum: Checksum) -> u16 {
    match checksum {
        Checksum::Stored => piece::sum(pieces),
        Checksum::Computed => {
            let add = |(total, offset): (u16, usize), piece: &Piece<'_, P>| {
                let sum = match piece {
                    // No slice of it can be had.
                    Piece::Pinned { payload, range } if payload.is_volatile() => payload.sum(range.clone()),
                    piece => checksum::sum(piece.bytes()),
                };
                let part = checksum::swap_if_odd(sum, offset % 2 == 1);
                (checksum::add(total, part), offset + piece.length())
            };
            pieces.iter().fold((0, 0), add).0
        }
    }
}
