//! RACK's memory of what was delivered (RFC 8985).

use std::time::Duration;

use afpa_wire::sequence::Sequence;

use crate::send::flight::Clock;
use crate::send::rtt::Rtt;
use crate::time::Time;

/// So many recoveries without a D-SACK end a widened reordering window (RFC 8985 §6.2 step 4).
const PERSISTENCE: u8 = 16;

/// What has been delivered most recently, as it was sent, and how far the network reorders.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rack {
    latest: Option<Latest>,
    /// The highest end of anything delivered (`RACK.fack`).
    forward: Option<u32>,
    is_reordering: bool,
    /// Quarters of the minimal round trip in the reordering window, widened by D-SACKs.
    quarters: u8,
    persistence: u8,
    /// One widening per round: until this is acknowledged there is no other.
    round: Option<u32>,
}

/// Of all that was delivered, what was sent last: `RACK.xmit_ts`, `RACK.end_seq` and `RACK.rtt`.
#[derive(Clone, Copy, Debug)]
struct Latest {
    sent: Time,
    end: u32,
    round_trip: Duration,
}

impl Default for Rack {
    fn default() -> Rack {
        Rack { latest: None, forward: None, is_reordering: false, quarters: 1, persistence: 0, round: None }
    }
}

impl Rack {
    /// A segment that ends at `end`, last sent at `sent`, has been delivered (§6.2 steps 2 and 3).
    pub(crate) fn delivered(&mut self, sent: Time, end: u32, retransmitted: bool, clock: &Clock) {
        self.note_order(end, retransmitted);
        let round_trip = clock.now.since(sent);
        // What was acknowledged may be the original, and not the retransmission.
        if retransmitted && (sent > clock.echoed || round_trip < clock.min_rtt) {
            return;
        }
        if self.latest.is_none_or(|latest| is_later((sent, end), (latest.sent, latest.end))) {
            self.latest = Some(Latest { sent, end, round_trip });
        }
    }

    /// A D-SACK arrived (§6.2 step 4): the window was too narrow.
    pub(crate) fn duplicate(&mut self, una: u32, nxt: u32) {
        if self.round.is_some_and(|round| !is_before(una, round)) {
            self.round = None;
        }
        if self.round.is_none() {
            self.round = Some(nxt);
            self.quarters = self.quarters.saturating_add(1);
            self.persistence = PERSISTENCE;
        }
    }

    /// A recovery ended.
    pub(crate) fn recovered(&mut self) {
        self.persistence = self.persistence.saturating_sub(1);
        if self.persistence == 0 {
            self.quarters = 1;
        }
    }

    /// What was taken for the delivery of a retransmission was that of an original, sent at another time.
    pub(crate) fn forget_latest(&mut self) {
        self.latest = None;
    }

    /// The acknowledgment advanced to `una`: a mark that lies behind must not come to lie ahead when numbers wrap.
    pub(crate) fn advanced(&mut self, una: u32) {
        if self.round.is_some_and(|round| !is_before(una, round)) {
            self.round = None;
        }
        if self.forward.is_some_and(|forward| is_before(forward, una)) {
            self.forward = Some(una);
        }
    }

    /// How much longer than the latest round trip a segment may take before it counts as lost. `is_certain`: so many
    /// later segments arrived that the classical rule (RFC 6675's DupThresh) would call it lost, or a recovery goes on.
    pub(crate) fn window(&self, rtt: &Rtt, is_certain: bool) -> Duration {
        if !self.is_reordering && is_certain {
            return Duration::ZERO;
        }
        let (Some(min), Some(smoothed)) = (rtt.min(), rtt.smoothed()) else { return Duration::ZERO };
        (min / 4).saturating_mul(self.quarters.into()).min(smoothed)
    }

    /// When a segment that was sent at `sent` and ends at `end` counts as lost; `None` if nothing that was sent after
    /// it is known to have arrived (§6.2 step 5).
    pub(crate) fn deadline(&self, sent: Time, end: u32, window: Duration) -> Option<Time> {
        let latest = self.latest?;
        is_later((latest.sent, latest.end), (sent, end)).then(|| sent.after(latest.round_trip).after(window))
    }

    fn note_order(&mut self, end: u32, retransmitted: bool) {
        match self.forward {
            Some(forward) if !is_before(forward, end) => {
                self.is_reordering |= end != forward && !retransmitted;
            }
            _ => self.forward = Some(end),
        }
    }
}

/// RFC 8985's `RACK_sent_after`.
fn is_later(one: (Time, u32), other: (Time, u32)) -> bool {
    one.0 > other.0 || (one.0 == other.0 && is_before(other.1, one.1))
}

fn is_before(one: u32, other: u32) -> bool {
    Sequence(one).before(Sequence(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn clock(now: u64) -> Clock {
        Clock { now: Time(now * 1_000_000), min_rtt: 4 * MILLISECOND, echoed: Time::NEVER }
    }

    fn at(milliseconds: u64) -> Time {
        Time(milliseconds * 1_000_000)
    }

    fn measured(milliseconds: u32) -> Rtt {
        let mut rtt = Rtt::default();
        rtt.sample(milliseconds * MILLISECOND, at(1));
        rtt
    }

    #[test]
    fn only_what_was_sent_before_the_latest_delivered_can_be_lost() {
        let mut rack = Rack::default();
        assert_eq!(rack.deadline(at(0), 100, Duration::ZERO), None);
        rack.delivered(at(10), 200, false, &clock(20));
        let cases = [
            // sent, end, deadline
            (9, 300, Some(at(19))),
            (10, 100, Some(at(20))),
            (10, 200, None),
            (10, 300, None),
            (11, 100, None),
        ];
        for (sent, end, expected) in cases {
            assert_eq!(rack.deadline(at(sent), end, Duration::ZERO), expected, "sent {sent} end {end}");
        }
        assert_eq!(rack.deadline(at(9), 300, MILLISECOND), Some(at(20)));
    }

    #[test]
    fn an_ambiguous_delivery_does_not_count() {
        let cases = [
            // what is known of the echoed timestamp, now, counts
            (Time::NEVER, 13, false), // sooner than the shortest round trip
            (Time::NEVER, 14, true),
            (at(9), 14, false), // the echo is of the original
            (at(10), 14, true),
        ];
        for (echoed, now, counts) in cases {
            let mut rack = Rack::default();
            rack.delivered(at(10), 200, true, &Clock { echoed, ..clock(now) });
            assert_eq!(rack.deadline(at(9), 100, Duration::ZERO).is_some(), counts, "{echoed:?} {now}");
        }
    }

    #[test]
    fn without_reordering_certainty_leaves_no_window() {
        let mut rack = Rack::default();
        let rtt = measured(8);
        assert_eq!(rack.window(&rtt, true), Duration::ZERO);
        assert_eq!(rack.window(&rtt, false), 2 * MILLISECOND);
        rack.delivered(at(10), 200, false, &clock(20));
        rack.delivered(at(10), 100, true, &clock(20));
        assert_eq!(rack.window(&rtt, true), Duration::ZERO, "a retransmission is no reordering");
        rack.delivered(at(10), 100, false, &clock(20));
        assert_eq!(rack.window(&rtt, true), 2 * MILLISECOND);
    }

    #[test]
    fn each_round_with_a_duplicate_widens_the_window_up_to_the_smoothed_round_trip() {
        let mut rack = Rack::default();
        let rtt = measured(8);
        rack.duplicate(0, 100);
        rack.duplicate(50, 150);
        assert_eq!(rack.window(&rtt, false), 4 * MILLISECOND, "one widening per round");
        rack.duplicate(100, 200);
        assert_eq!(rack.window(&rtt, false), 6 * MILLISECOND);
        for round in 2..1000 {
            rack.duplicate(round * 100, round * 100 + 100);
        }
        assert_eq!(rack.window(&rtt, false), 8 * MILLISECOND);
        for _ in 0..15 {
            rack.recovered();
        }
        assert_eq!(rack.window(&rtt, false), 8 * MILLISECOND);
        rack.recovered();
        assert_eq!(rack.window(&rtt, false), 2 * MILLISECOND);
    }
}
