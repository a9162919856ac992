//! Tail loss probes (RFC 8985 §7): when the last segments of a flight are lost, nothing that follows tells so.

use std::time::Duration;

use afpa_wire::sequence::Sequence;

use crate::send::rtt::Rtt;

/// The timeout before anything is measured (§7.2).
const INITIAL: Duration = Duration::from_secs(1);
/// A floor for paths shorter than a peer's scheduling, where twice the round trip would probe for nothing.
const MIN: Duration = Duration::from_millis(2);

/// The probe that is outstanding.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct TailLoss {
    probe: Option<Probe>,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    /// The end of the flight when the probe was sent (`TLP.end_seq`).
    end: Sequence,
    /// It repeated what had been sent (`TLP.is_retrans`).
    is_retransmission: bool,
}

impl TailLoss {
    /// After so long without an acknowledgment a probe is due (§7.2). `is_one_segment`: one segment is in flight, whose
    /// acknowledgment the peer may delay by `max_delay`. `left`: what is left of the retransmission timeout.
    pub(crate) fn timeout(rtt: &Rtt, is_one_segment: bool, max_delay: Duration, left: Duration) -> Duration {
        let delay = if is_one_segment { max_delay } else { Duration::ZERO };
        rtt.smoothed().map_or(INITIAL, |smoothed| (2 * smoothed + delay).max(MIN)).min(left)
    }

    /// Whether a probe may be sent: one at a time (§7.3). The caller sees to the rest of §7.1: SACK is in use, nothing
    /// is SACKed, and no recovery goes on.
    pub(crate) fn may_probe(&self) -> bool {
        self.probe.is_none()
    }

    /// A probe was sent; the flight now ends at `end`. It was new data, or the last segment again.
    pub(crate) fn probed(&mut self, end: Sequence, is_retransmission: bool) {
        self.probe = Some(Probe { end, is_retransmission });
    }

    /// An acknowledgment arrived (§7.4.2). `duplicate` is the block of a D-SACK; `is_bare_duplicate` says that
    /// it acknowledged nothing new and had no SACK option. True: the probe repaired a loss, to which congestion
    /// control has to react.
    pub(crate) fn acknowledged(
        &mut self,
        una: Sequence,
        duplicate: Option<(Sequence, Sequence)>,
        is_bare_duplicate: bool,
    ) -> bool {
        let Some(probe) = self.probe.filter(|probe| !una.before(probe.end)) else { return false };
        if !probe.is_retransmission || duplicate.is_some_and(|(_, end)| end == probe.end) {
            self.probe = None;
            return false;
        }
        if una.after(probe.end) {
            self.probe = None;
            return true;
        }
        if is_bare_duplicate {
            self.probe = None;
        }
        false
    }

    /// A recovery or a timeout began: the probe no longer matters.
    pub(crate) fn cancel(&mut self) {
        self.probe = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;

    fn milliseconds(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn the_timeout_is_two_round_trips_within_bounds() {
        let long = milliseconds(60_000);
        assert_eq!(TailLoss::timeout(&Rtt::default(), true, milliseconds(25), long), milliseconds(1000));
        let cases = [
            // round trip, one segment, left, timeout
            (10, false, 60_000, 20),
            (10, true, 60_000, 45),
            (10, true, 30, 30),
            (10, false, 0, 0),
        ];
        for (round_trip, is_one_segment, left, expected) in cases {
            let mut rtt = Rtt::default();
            rtt.sample(milliseconds(round_trip), Time(0));
            let timeout = TailLoss::timeout(&rtt, is_one_segment, milliseconds(25), milliseconds(left));
            assert_eq!(timeout, milliseconds(expected));
        }
        let mut rtt = Rtt::default();
        rtt.sample(Duration::from_micros(20), Time(0));
        assert_eq!(TailLoss::timeout(&rtt, false, milliseconds(25), long), MIN);
    }

    #[test]
    fn a_probe_ends_as_the_acknowledgment_says() {
        let (end, beyond) = (Sequence(u32::MAX), Sequence(9));
        let duplicate = Some((Sequence(u32::MAX - 100), end));
        let cases = [
            // retransmission, una, D-SACK, bare duplicate, repaired a loss, another probe may follow
            (false, Sequence(u32::MAX - 1), None, false, false, false),
            (false, end, None, false, false, true),
            (true, end, None, false, false, false),
            (true, end, duplicate, false, false, true),
            (true, end, Some((Sequence(0), Sequence(1))), false, false, false),
            (true, end, None, true, false, true),
            (true, beyond, None, false, true, true),
            (true, beyond, duplicate, false, false, true),
        ];
        for (row, (is_retransmission, una, duplicate, is_bare, repaired, may_probe)) in cases.into_iter().enumerate() {
            let mut tail = TailLoss::default();
            assert!(tail.may_probe());
            tail.probed(end, is_retransmission);
            assert!(!tail.may_probe());
            assert_eq!(tail.acknowledged(una, duplicate, is_bare), repaired, "row {row}");
            assert_eq!(tail.may_probe(), may_probe, "row {row}");
        }
    }

    #[test]
    fn a_cancelled_probe_repairs_nothing() {
        let mut tail = TailLoss::default();
        tail.probed(Sequence(5), true);
        tail.cancel();
        assert!(!tail.acknowledged(Sequence(6), None, false) && tail.may_probe());
    }
}
