//! How much may be in flight.

pub(crate) mod cubic;
pub(crate) mod forward_recovery;
mod hystart;
pub(crate) mod new_reno;
pub(crate) mod recovery;

use std::time::Duration;

use afpa_wire::sequence::Sequence;

use self::cubic::Cubic;
use self::hystart::HyStart;
use crate::config::CongestionControl;
use crate::time::Time;

/// The largest congestion window, in octets: that of the largest window of a receiver (RFC 7323 §2.3).
pub(crate) const MAX_WINDOW: u32 = 1 << 30;

/// What one acknowledgment adds in slow start at most, in segments: RFC 9406 §4.2's L for senders that do not pace.
/// Receivers that merge segments acknowledge many at a time, and with RFC 3465's 2 would hold the window down.
const MOST_SEGMENTS: u32 = 8;
/// After a timeout one acknowledgment may be of much that was not lost (RFC 3465 §2.3).
const MOST_SEGMENTS_AFTER_TIMEOUT: u32 = 1;

/// The congestion window of a connection, and what governs it. A copy is what an [undo](Congestion::undo) needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Congestion {
    window: u32,
    threshold: u32,
    /// Octets acknowledged that have not yet added a segment to the window.
    credit: u32,
    /// The most octets in flight in this round trip (RFC 7661's `pipeACK`). Acknowledgments come in batches, with
    /// nothing sent in between, so what is in flight at one of them says little.
    used: u32,
    /// Octets to be acknowledged until the round trip is over.
    round_left: u32,
    growth: Growth,
    /// When the first slow start ends.
    start: HyStart,
    /// What was sent before this may still report the congestion that has reduced the window (RFC 3168 §6.1.2)…
    mark: Sequence,
    /// …for so many round trips more. Later the number means nothing, since sequence numbers wrap.
    mark_rounds: u8,
    /// Slow start follows a timeout.
    after_timeout: bool,
    /// The window was reduced for a recovery that goes on.
    is_recovering: bool,
}

#[derive(Clone, Copy, Debug)]
enum Growth {
    NewReno,
    Cubic(Cubic),
}

impl Congestion {
    /// The state of a new connection that sends segments of up to `mss` octets.
    pub(crate) fn new(algorithm: CongestionControl, mss: u32) -> Congestion {
        Congestion {
            window: initial_window(mss),
            threshold: u32::MAX,
            credit: 0,
            used: 0,
            round_left: 0,
            mark: Sequence(0),
            mark_rounds: 0,
            growth: match algorithm {
                CongestionControl::NewReno => Growth::NewReno,
                CongestionControl::Cubic => Growth::Cubic(Cubic::default()),
            },
            start: HyStart::default(),
            after_timeout: false,
            is_recovering: false,
        }
    }

    /// The congestion window in octets; at least a segment.
    pub(crate) fn window(&self) -> u32 {
        self.window
    }

    /// The slow-start threshold in octets; `u32::MAX` before any loss.
    pub(crate) fn threshold(&self) -> u32 {
        self.threshold
    }

    /// Whether the window is below the threshold.
    pub(crate) fn is_in_slow_start(&self) -> bool {
        self.window < self.threshold
    }

    /// `octets` were acknowledged outside of a recovery; `in_flight` octets were in flight before that. A window of
    /// which less than half was used in this round trip is not validated, and does not grow (RFC 7661 §4.3). `measured`:
    /// the round trip of what was acknowledged, if it is known.
    pub(crate) fn acknowledged(
        &mut self,
        octets: u32,
        in_flight: u32,
        mss: u32,
        now: Time,
        smoothed: Duration,
        measured: Option<Duration>,
    ) {
        self.advance_round(octets, in_flight);
        if let Some(round_trip) = measured.filter(|_| self.is_in_first_slow_start()) {
            self.start.sampled(round_trip);
        }
        if self.used < self.window / 2 {
            self.pause();
            return;
        }
        if self.is_in_slow_start() {
            self.grow_in_slow_start(octets, mss);
            return;
        }
        self.after_timeout = false;
        let more = match &mut self.growth {
            Growth::NewReno => new_reno::growth(&mut self.credit, octets, self.window, mss),
            Growth::Cubic(cubic) => cubic.growth(&mut self.credit, octets, self.window, mss, now, smoothed),
        };
        self.window = self.window.saturating_add(more).min(MAX_WINDOW);
    }

    /// Segments were lost, and a recovery begins: the threshold is reduced, and so is the window
    /// (RFC 5681 §3.2 step 2, RFC 9438 §4.6). `in_flight`: the octets sent and not acknowledged when the loss was
    /// found.
    pub(crate) fn lost(&mut self, in_flight: u32, mss: u32) {
        self.reduce(in_flight, mss);
        self.is_recovering = true;
    }

    /// The retransmission timer expired: slow start begins anew, with one segment (RFC 5681 §3.1).
    /// `is_first`: since the last progress. A repeated timeout leaves the threshold as it is.
    pub(crate) fn timed_out(&mut self, in_flight: u32, mss: u32, is_first: bool) {
        if is_first {
            self.reduce_threshold(in_flight, mss);
        }
        if let Growth::Cubic(cubic) = &mut self.growth {
            cubic.timed_out();
        }
        self.window = mss;
        self.credit = 0;
        self.after_timeout = true;
        self.is_recovering = false;
    }

    /// The peer echoes that a router marked a segment (RFC 3168 §6.1.2): as if one was lost, at most once per window.
    /// Not for use during a recovery, which has reduced the window already. True if the window was reduced, and the
    /// next new segment is to carry CWR.
    pub(crate) fn experienced(&mut self, una: Sequence, nxt: Sequence, in_flight: u32, mss: u32) -> bool {
        if self.mark_rounds > 0 && !una.after(self.mark) {
            return false;
        }
        self.reduce(in_flight, mss);
        self.mark = nxt;
        // This round trip, the one of the window that is in flight, and one for acknowledgments that are lost.
        self.mark_rounds = 3;
        true
    }

    /// A recovery ended: the window is at the threshold, wherever the steps of rate reduction have left it. After a
    /// timeout it is where slow start has brought it.
    pub(crate) fn recovered(&mut self, mss: u32) {
        if std::mem::take(&mut self.is_recovering) {
            self.window = self.threshold.max(mss);
        }
        self.credit = 0;
        self.mark_rounds = 0;
    }

    /// Sets the window, as a recovery determines it in each of its steps.
    pub(crate) fn set_window(&mut self, window: u32, mss: u32) {
        self.window = window.clamp(mss, MAX_WINDOW);
    }

    /// The connection is about to send after nothing was in flight for `idle`: the window halves for each `timeout`
    /// in it, not below the initial one, and the threshold remembers (RFC 2861 §3.2, RFC 5681 §4.1).
    pub(crate) fn idle(&mut self, idle: Duration, timeout: Duration, mss: u32) {
        let restart = initial_window(mss).min(self.window);
        let halvings = idle.as_nanos() / timeout.as_nanos().max(1);
        if halvings == 0 {
            return;
        }
        self.remember();
        self.window = self.window.checked_shr(halvings.min(64) as u32).unwrap_or(0).max(restart);
        self.round_left = 0;
        self.start = HyStart::default();
        self.pause();
    }

    /// What was taken for a loss was none: all is as it was `before`, but for what the window has gained since
    /// (RFC 9438 §4.9).
    pub(crate) fn undo(&mut self, before: &Congestion) {
        self.window = self.window.max(before.window);
        self.threshold = self.threshold.max(before.threshold);
        self.credit = before.credit;
        self.growth = before.growth;
        self.after_timeout = before.after_timeout;
        self.is_recovering = false;
    }

    /// Before any loss (RFC 9406 §4.3).
    fn is_in_first_slow_start(&self) -> bool {
        self.threshold == u32::MAX
    }

    fn advance_round(&mut self, octets: u32, in_flight: u32) {
        if self.round_left == 0 {
            (self.used, self.round_left) = (in_flight, in_flight);
            self.mark_rounds = self.mark_rounds.saturating_sub(1);
            if self.is_in_first_slow_start() && self.start.round_ended() {
                // RFC 9406 §4.3: congestion avoidance begins here.
                self.threshold = self.window;
            }
        }
        self.used = self.used.max(in_flight);
        self.round_left = self.round_left.saturating_sub(octets);
    }

    fn grow_in_slow_start(&mut self, octets: u32, mss: u32) {
        let limit = if self.after_timeout { MOST_SEGMENTS_AFTER_TIMEOUT } else { MOST_SEGMENTS };
        let mut more = octets.min(mss.saturating_mul(limit));
        if self.is_in_first_slow_start() {
            more = self.start.growth(more);
        }
        self.window = self.window.saturating_add(more).min(self.threshold.min(MAX_WINDOW));
    }

    fn reduce(&mut self, in_flight: u32, mss: u32) {
        self.reduce_threshold(in_flight, mss);
        self.window = self.threshold;
        self.credit = 0;
    }

    fn reduce_threshold(&mut self, in_flight: u32, mss: u32) {
        let in_flight = in_flight.min(MAX_WINDOW);
        let threshold = match &mut self.growth {
            Growth::NewReno => in_flight / 2,
            Growth::Cubic(cubic) => cubic.reduced(self.window, in_flight),
        };
        self.threshold = threshold.max(mss.saturating_mul(2)).min(MAX_WINDOW);
    }

    /// Slow start may later return to near where the window was (RFC 2861 §3.2).
    fn remember(&mut self) {
        self.threshold = self.threshold.max(self.window / 4 * 3);
    }

    /// The window stops growing by time for now.
    fn pause(&mut self) {
        if let Growth::Cubic(cubic) = &mut self.growth {
            cubic.pause();
        }
    }
}

/// RFC 6928 §2: ten segments, at most 14,600 octets unless two segments are more.
pub(crate) fn initial_window(mss: u32) -> u32 {
    mss.saturating_mul(10).min(mss.saturating_mul(2).max(14_600)).clamp(1, MAX_WINDOW)
}

#[cfg(test)]
mod tests;
