//! Duplicate acknowledgments of a peer without SACK (RFC 5681 §3.2, RFC 6582).

use crate::send::flight::{DUPLICATE_THRESHOLD, Flight};

/// Counts duplicate acknowledgments, and infers from them what a SACK would have said: each means that a segment
/// arrived beyond the gap. So the first two let a new segment out each, which is limited transmit (RFC 3042 §2).
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct DuplicateAcknowledgments {
    count: u8,
}

impl DuplicateAcknowledgments {
    /// A duplicate acknowledgment (RFC 5681 §2) arrived. Returns the octets newly marked lost: the first segment, at
    /// the third duplicate. During a recovery, `is_recovering`, nothing more is lost by them.
    pub(crate) fn duplicate(&mut self, flight: &mut Flight, mss: u32, is_recovering: bool) -> u32 {
        self.count = self.count.saturating_add(1);
        // A forger of duplicates gains no more than one window: the first segment is known to be missing.
        let most = flight.outstanding().saturating_sub(mss);
        flight.infer_arrived(flight.inferred().saturating_add(mss).min(most));
        match self.count {
            DUPLICATE_THRESHOLD if !is_recovering => flight.lose_first(mss),
            _ => 0,
        }
    }

    /// `octets` were newly acknowledged. Returns the octets newly marked lost: during a recovery the next
    /// segment, since an acknowledgment of a part says that it is missing, too (RFC 6582 §3.2 step 3).
    pub(crate) fn advanced(&mut self, flight: &mut Flight, octets: u32, mss: u32, is_recovering: bool) -> u32 {
        self.count = 0;
        if !is_recovering || flight.is_empty() {
            flight.infer_arrived(0);
            return 0;
        }
        // The first of them filled the gap; the others had arrived before.
        let left = flight.inferred().saturating_sub(octets.saturating_sub(mss));
        flight.infer_arrived(left.min(flight.outstanding().saturating_sub(mss)));
        flight.lose_first(mss)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use afpa_wire::sequence::Sequence;

    use super::*;
    use crate::send::flight::{Clock, Lost};
    use crate::time::Time;

    const MSS: u32 = 1000;

    fn clock() -> Clock {
        Clock { now: Time(5), min_rtt: Duration::ZERO, echoed: Time::NEVER }
    }

    #[test]
    fn the_third_duplicate_loses_the_first_segment_and_a_partial_acknowledgment_the_next() {
        let mut flight = Flight::default();
        let mut duplicates = DuplicateAcknowledgments::default();
        flight.sent(Sequence(0), 10 * MSS, Time(1));
        assert_eq!(duplicates.duplicate(&mut flight, MSS, false), 0);
        assert_eq!(duplicates.duplicate(&mut flight, MSS, false), 0);
        assert_eq!((flight.pipe(), flight.next_lost()), (8 * MSS, None));
        assert_eq!(duplicates.duplicate(&mut flight, MSS, false), MSS);
        assert_eq!(flight.pipe(), 6 * MSS);
        assert_eq!(flight.next_lost(), Some(Lost { start: Sequence(0), len: MSS }));
        flight.sent(Sequence(0), MSS, Time(2));
        assert_eq!((flight.pipe(), flight.next_lost()), (7 * MSS, None));
        assert_eq!(duplicates.duplicate(&mut flight, MSS, true), 0);
        assert_eq!(flight.pipe(), 6 * MSS);

        // The gap is filled up to the next one: three of the four that arrived lay before it.
        let acknowledged = flight.acknowledge(Sequence(4 * MSS), &clock());
        assert_eq!(duplicates.advanced(&mut flight, acknowledged.octets, MSS, true), MSS);
        assert_eq!(flight.next_lost(), Some(Lost { start: Sequence(4 * MSS), len: MSS }));
        assert_eq!(flight.pipe(), 4 * MSS);

        let acknowledged = flight.acknowledge(Sequence(10 * MSS), &clock());
        assert_eq!(duplicates.advanced(&mut flight, acknowledged.octets, MSS, true), 0);
        assert_eq!(flight.pipe(), 0);
    }

    #[test]
    fn a_flood_of_duplicates_is_worth_one_window() {
        let mut flight = Flight::default();
        let mut duplicates = DuplicateAcknowledgments::default();
        flight.sent(Sequence(0), 4 * MSS, Time(1));
        for _ in 0..1000 {
            duplicates.duplicate(&mut flight, MSS, true);
        }
        assert_eq!(flight.pipe(), MSS);
    }
}
