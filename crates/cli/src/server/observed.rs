//! The direct transport as an operator sees it: its counters, its connections, its frames.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use afpa_direct::{CapturedFrame, DirectStats, Observer};
use afpa_engine::mailbox::Waker;
use afpa_engine::stats::Counter;
use afpa_platform::clock;
use afpa_tcp::{ConnectionInfo, State as TcpState};

use super::engine::Seat;
use crate::stats::{self, Capture, Drops, Resets, State, Taken, Tcp};

/// How long an engine may take to answer; it does between two passes.
const PATIENCE: Duration = Duration::from_secs(1);

/// The direct transport of one engine.
pub(crate) struct Observed {
    pub(super) stats: Arc<DirectStats>,
    pub(super) observer: Observer,
    pub(super) frames: &'static str,
    pub(super) interface: String,
    pub(super) congestion: &'static str,
}

/// An engine that may have one.
pub(crate) trait Seated {
    fn cpu(&self) -> usize;
    fn waker(&self) -> Waker;
    fn direct(&self) -> Option<&Observed>;
}

impl Seated for Seat {
    fn cpu(&self) -> usize {
        self.cpu
    }

    fn waker(&self) -> Waker {
        self.handle.waker()
    }

    fn direct(&self) -> Option<&Observed> {
        self.direct.as_ref()
    }
}

/// What an engine's TCP counted; `None` without one. Waits for the engine's answer, as it may have slept since it
/// published its counters; one that gives none has those.
pub(crate) fn counters(seat: &impl Seated) -> Option<Tcp> {
    let observed = seat.direct()?;
    let answer = observed.observer.counters();
    seat.waker().wake();
    let tcp = answer.recv_timeout(PATIENCE).unwrap_or_else(|_| observed.stats.tcp());
    let frames = &observed.stats;
    let drops = [
        ("receive", &frames.receive_ring_full),
        ("fill", &frames.fill_ring_empty),
        ("other", &frames.receive_dropped),
        ("transmit", &frames.transmit_invalid),
    ];
    let resets = [
        ("received", "by the peer", tcp.resets_received),
        ("sent", "unmatched", tcp.resets_sent_unmatched),
        ("sent", "aborted", tcp.resets_sent_aborted),
        ("sent", "timed out", tcp.resets_sent_timed_out),
    ];
    Some(Tcp {
        core: seat.cpu(),
        frames: observed.frames,
        frames_in: frames.frames_in.get(),
        frames_out: frames.frames_out.get(),
        frames_ignored: frames.frames_ignored.get(),
        drops: drops.map(|(ring, count)| Drops { ring, count: count.get() }).into(),
        bad_checksums: tcp.broken_checksums,
        payload_octets_out: tcp.octets_sent,
        lent_octets_out: frames.lent_octets.get(),
        payload_octets_in: tcp.octets_received,
        retransmitted_segments: tcp.retransmitted_segments,
        retransmission_timeouts: tcp.retransmission_timeouts,
        fast_recoveries: tcp.fast_recoveries,
        tail_loss_probes: tcp.tail_loss_probes,
        sacked_octets: tcp.selectively_acknowledged,
        out_of_order_segments: tcp.out_of_order,
        duplicate_segments: tcp.duplicates,
        resets: resets.map(|(direction, reason, count)| Resets { direction, reason, count }).into(),
        cookies_sent: tcp.cookies_sent,
        driver_cookies_sent: frames.driver_answered.get(),
        driver_acknowledgments_absorbed: frames.driver_absorbed.get(),
        cookies_accepted: tcp.cookies_accepted,
        cookies_rejected: tcp.cookies_rejected,
        syns_dropped: tcp.syns_dropped,
        challenge_acknowledgments: tcp.challenges_sent,
        time_waits: tcp.time_waits,
    })
}

/// At most `limit` connections of all engines. Waits for each engine's answer.
pub(crate) fn connections<S: Seated>(seats: &[S], limit: usize) -> Vec<stats::Connection> {
    let ask = |seat: &S| {
        let observed = seat.direct()?;
        let answer = observed.observer.connections(limit);
        seat.waker().wake();
        Some((seat.cpu(), observed.congestion, answer))
    };
    // All are asked before the first answer is waited for.
    let asked: Vec<_> = seats.iter().filter_map(ask).collect();
    let deadline = Instant::now() + PATIENCE;
    let mut found = Vec::new();
    for (core, congestion, answer) in asked {
        let left = deadline.saturating_duration_since(Instant::now());
        let connections = answer.recv_timeout(left).unwrap_or_default();
        found.extend(connections.iter().filter_map(|info| connection(core, congestion, info)));
    }
    found.truncate(limit);
    found
}

/// Starts to copy frames; `None` if no engine has any.
pub(crate) fn capture<S: Seated>(seats: &[S], snap: usize) -> Option<Box<dyn Capture>> {
    let begin = |seat: &S| {
        let observed = seat.direct()?;
        let (frames, dropped) = observed.observer.capture(snap);
        seat.waker().wake();
        Some(Source { interface: observed.interface.clone(), frames, dropped })
    };
    let sources: Vec<_> = seats.iter().filter_map(begin).collect();
    if sources.is_empty() {
        return None;
    }
    // The engine's clock is monotonic; captures tell the time of day.
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let offset = (since_epoch.as_nanos() as u64).saturating_sub(clock::now());
    Some(Box::new(Captures { sources, next: 0, offset }))
}

struct Captures {
    sources: Vec<Source>,
    /// The engine that is looked at first.
    next: usize,
    offset: u64,
}

/// One engine's frames.
struct Source {
    interface: String,
    frames: Receiver<CapturedFrame>,
    dropped: Arc<Counter>,
}

impl Capture for Captures {
    fn interfaces(&self) -> Vec<String> {
        self.sources.iter().map(|source| source.interface.clone()).collect()
    }

    fn take(&mut self) -> Taken {
        let mut ended = 0;
        for _ in 0..self.sources.len() {
            let index = self.next;
            match self.sources[index].frames.try_recv() {
                Ok(frame) => {
                    return Taken::Frame(stats::CapturedFrame {
                        unix_nanos: self.offset.saturating_add(frame.time.0),
                        interface: index as u32,
                        outgoing: frame.outgoing,
                        length: frame.length,
                        octets: frame.octets,
                    });
                }
                Err(error) => {
                    ended += usize::from(error == TryRecvError::Disconnected);
                    self.next = (index + 1) % self.sources.len();
                }
            }
        }
        if ended == self.sources.len() { Taken::End } else { Taken::Nothing }
    }

    fn dropped(&self) -> u64 {
        self.sources.iter().map(|source| source.dropped.get()).sum()
    }
}

fn connection(core: usize, control: &'static str, info: &ConnectionInfo) -> Option<stats::Connection> {
    let mut shown = stats::Connection::new(core, info.local, info.remote, state(info.state)?);
    shown.congestion.control = control;
    shown.congestion_window = info.congestion_window.into();
    shown.slow_start_threshold = Some(info.slow_start_threshold).filter(|&octets| octets < u32::MAX).map(u64::from);
    shown.send_window = info.send_window.into();
    shown.receive_window = info.receive_window.into();
    shown.segment_size = info.segment_size;
    shown.round_trip_micros = info.round_trip.as_micros() as u64;
    shown.round_trip_variation_micros = info.round_trip_variation.as_micros() as u64;
    shown.retransmission_timeout_micros = info.retransmission_timeout.as_micros() as u64;
    shown.unacknowledged = info.outstanding.into();
    shown.unread = info.unread.into();
    shown.send_queue = info.queued;
    Some(shown)
}

fn state(state: TcpState) -> Option<State> {
    Some(match state {
        TcpState::Closed | TcpState::Listen => return None,
        TcpState::SynSent => State::SynSent,
        TcpState::SynReceived => State::SynReceived,
        TcpState::Established => State::Established,
        TcpState::FinWait1 => State::FinWait1,
        TcpState::FinWait2 => State::FinWait2,
        TcpState::CloseWait => State::CloseWait,
        TcpState::Closing => State::Closing,
        TcpState::LastAck => State::LastAck,
        TcpState::TimeWait => State::TimeWait,
    })
}
