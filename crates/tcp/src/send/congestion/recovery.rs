//! A recovery from loss, and proportional rate reduction (RFC 6937).

use afpa_wire::sequence::Sequence;

use crate::send::congestion::Congestion;
use crate::send::congestion::forward_recovery::ForwardRecovery;
use crate::time::Time;

/// Why there is a recovery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Acknowledgments told of a loss.
    Fast,
    /// The retransmission timer expired.
    Timeout,
}

/// A recovery, from the loss until all that had been sent by then is acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recovery {
    kind: Kind,
    /// The end of what had been sent (RFC 6675's `RecoveryPoint`).
    point: Sequence,
    /// The octets in flight at the beginning (`RecoverFS`).
    in_flight: u32,
    /// Octets delivered since (`prr_delivered`).
    delivered: u32,
    /// Octets sent since (`prr_out`).
    sent: u32,
    first_retransmission: Option<Time>,
    forward: ForwardRecovery,
    before: Congestion,
}

impl Recovery {
    /// A recovery that acknowledgments began. `point` is the end of what has been sent, `in_flight` all that is not
    /// acknowledged, `before` the state before the reduction.
    pub(crate) fn fast(point: Sequence, in_flight: u32, before: Congestion) -> Recovery {
        let in_flight = in_flight.max(1);
        Recovery {
            kind: Kind::Fast,
            point,
            in_flight,
            delivered: 0,
            sent: 0,
            first_retransmission: None,
            forward: ForwardRecovery::Off,
            before,
        }
    }

    /// A recovery that a timeout began: slow start, with no rate reduction.
    pub(crate) fn timeout(point: Sequence, in_flight: u32, before: Congestion) -> Recovery {
        Recovery { kind: Kind::Timeout, ..Recovery::fast(point, in_flight, before) }
    }

    /// Why.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// An acknowledgment delivered so many octets, by number or by SACK; `pipe` is left. Returns how many may be sent
    /// now: the window is `pipe` and that. `is_safe`: it advanced, and no further loss was found, so that the
    /// window may grow back to the threshold as in slow start (RFC 6937's reduction bound PRR-SSRB); otherwise what is
    /// sent is at most what was delivered (PRR-CRB).
    pub(crate) fn acknowledged(&mut self, delivered: u32, pipe: u32, threshold: u32, mss: u32, is_safe: bool) -> u32 {
        self.delivered = self.delivered.saturating_add(delivered);
        let allowed = if pipe > threshold {
            let share = u64::from(self.delivered) * u64::from(threshold);
            let total = share.div_ceil(self.in_flight.into());
            u32::try_from(total.saturating_sub(self.sent.into())).unwrap_or(u32::MAX)
        } else {
            let conservative = self.delivered.saturating_sub(self.sent);
            let bound = if is_safe { conservative.max(delivered).saturating_add(mss) } else { conservative };
            bound.min(threshold - pipe)
        };
        // The first retransmission goes out at once, as RFC 6675 §5 step 4.3 has it.
        if self.sent == 0 { allowed.max(mss) } else { allowed }
    }

    /// So many octets were sent, new or again.
    pub(crate) fn sent(&mut self, octets: u32, is_retransmission: bool, now: Time) {
        self.sent = self.sent.saturating_add(octets);
        if is_retransmission && self.first_retransmission.is_none() {
            self.first_retransmission = Some(now);
        }
    }

    /// Whether an acknowledgment that advances shows that the recovery was for nothing: it echoes a timestamp from
    /// before the first retransmission, so the original had arrived (RFC 3522 §3.2). `echoed` is the last moment at
    /// which the echoed timestamp was ours to send; [`Time::NEVER`] without timestamps.
    pub(crate) fn is_spurious(&self, echoed: Time) -> bool {
        self.first_retransmission.is_some_and(|sent| echoed < sent)
    }

    /// The end of what had been sent when it began.
    pub(crate) fn point(&self) -> Sequence {
        self.point
    }

    /// Whether the timeout that began it is suspected of having come too early.
    pub(crate) fn forward(&mut self) -> &mut ForwardRecovery {
        &mut self.forward
    }

    /// See [`ForwardRecovery::new_segments`] and [`ForwardRecovery::is_waiting`].
    pub(crate) fn forward_stage(&self) -> ForwardRecovery {
        self.forward
    }

    /// Whether all that was sent before it is acknowledged.
    pub(crate) fn is_over(&self, una: Sequence) -> bool {
        !una.before(self.point)
    }

    /// The state before, for [`Congestion::undo`].
    pub(crate) fn before(&self) -> &Congestion {
        &self.before
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::CongestionControl;

    const MSS: u32 = 1000;

    fn recovery(segments: u32) -> Recovery {
        Recovery::fast(Sequence(0), segments * MSS, Congestion::new(CongestionControl::NewReno, MSS))
    }

    /// RFC 6937 §4's first example: one of twenty segments is lost, limited transmit has sent two more, and the
    /// threshold is ten. Nineteen are SACKed one by one, from the third on in the recovery.
    #[test]
    fn a_single_loss_halves_the_rate_evenly() {
        let mut recovery = recovery(22);
        let (mut pipe, mut unused, mut sent) = (19 * MSS, 0, Vec::new());
        for step in 3..20 {
            pipe -= MSS;
            let allowed = recovery.acknowledged(MSS, pipe, 10 * MSS, MSS, false);
            let segments = allowed / MSS;
            unused = allowed % MSS;
            recovery.sent(segments * MSS, step == 3, Time(step));
            pipe += segments * MSS;
            sent.push(segments);
        }
        assert_eq!(sent, [1, 0, 0, 0, 1, 0, 1, 0, 1, 0, 1, 0, 0, 0, 1, 1, 1]);
        assert_eq!((pipe, unused), (10 * MSS, 0));
    }

    /// RFC 6937 §4's second example: of twenty segments the first fifteen are lost. The window must not stay at the few
    /// that arrived; slow start brings it back.
    #[test]
    fn a_burst_loss_is_sent_again_in_slow_start() {
        let (mut safe, mut bounded) = (recovery(20), recovery(20));
        let (mut pipe_safe, mut pipe_conservative) = (0, 0);
        for step in 0..5 {
            let allowed = safe.acknowledged(MSS, pipe_safe, 10 * MSS, MSS, true);
            safe.sent(allowed, true, Time(step));
            pipe_safe += allowed;
            let allowed = bounded.acknowledged(MSS, pipe_conservative, 10 * MSS, MSS, false);
            bounded.sent(allowed, true, Time(step));
            pipe_conservative += allowed;
        }
        assert_eq!((pipe_safe, pipe_conservative), (10 * MSS, 5 * MSS));
    }

    #[test]
    fn an_echo_from_before_the_first_retransmission_makes_it_spurious() {
        let mut recovery = recovery(2);
        assert!(!recovery.is_spurious(Time(0)));
        recovery.sent(MSS, false, Time(5));
        recovery.sent(MSS, true, Time(10));
        recovery.sent(MSS, true, Time(20));
        assert!(recovery.is_spurious(Time(9)) && !recovery.is_spurious(Time(10)) && !recovery.is_spurious(Time::NEVER));
    }

    #[test]
    fn it_ends_at_its_point() {
        let recovery = Recovery::timeout(Sequence(5), 0, Congestion::new(CongestionControl::Cubic, MSS));
        assert_eq!(recovery.kind(), Kind::Timeout);
        for (una, is_over) in [(u32::MAX, false), (4, false), (5, true), (6, true)] {
            assert_eq!(recovery.is_over(Sequence(una)), is_over);
        }
    }

    proptest! {
        /// RFC 6937 §3: above the threshold never more is sent than its share of what was delivered, and
        /// without the slow-start bound never more than was delivered; but for the first retransmission.
        #[test]
        fn it_is_conservative(
            in_flight in any::<u32>(), threshold in any::<u32>(),
            steps in prop::collection::vec((any::<u32>(), any::<u32>(), 0..16u32), 0..50),
        ) {
            let mut recovery = Recovery::fast(Sequence(0), in_flight, Congestion::new(CongestionControl::NewReno, MSS));
            let (mut delivered, mut sent) = (0u64, 0u32);
            for (octets, pipe, shift) in steps {
                let octets = octets >> (shift + 8);
                delivered += u64::from(octets);
                let allowed = recovery.acknowledged(octets, pipe, threshold, MSS, false);
                if pipe <= threshold {
                    prop_assert!(u64::from(allowed) <= delivered.saturating_sub(sent.into()).max(MSS.into()));
                    prop_assert!(allowed <= (threshold - pipe).max(MSS));
                } else {
                    let share = (delivered * u64::from(threshold)).div_ceil(u64::from(in_flight.max(1)));
                    prop_assert!(u64::from(allowed) <= share.saturating_sub(sent.into()).max(MSS.into()));
                }
                let used = allowed >> shift;
                recovery.sent(used, true, Time(1));
                sent = sent.saturating_add(used);
            }
        }
    }
}
