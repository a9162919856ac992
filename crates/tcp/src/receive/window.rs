//! How much the peer may send.

use afpa_wire::sequence::Sequence;

/// Where the receive window stands. Only arithmetic: the caller keeps RCV.NXT and the edge.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// RCV.NXT: the next number that is expected.
    pub(crate) next: Sequence,
    /// The number that the peer may no longer use, as promised so far.
    pub(crate) edge: Sequence,
    /// Octets from `next` on that there is room for.
    pub(crate) room: u32,
    /// Octets that there is room for when everything is consumed (RCV.BUFF).
    pub(crate) limit: u32,
    /// The shift of our windows: 0 to 14 (RFC 7323 §2.3). Zero in a segment with SYN.
    pub(crate) scale: u8,
    /// The largest segment that the peer sends.
    pub(crate) mss: u16,
}

/// What a segment says about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Advertised {
    /// For the header.
    pub(crate) field: u16,
    /// The edge from now on. Octets before it are to be taken, even if a later field says less.
    pub(crate) edge: Sequence,
}

impl Window {
    /// What to advertise. The edge stays where it is until it can move by a full segment or half of the limit
    /// (silly-window avoidance, RFC 9293 §3.8.6.2.2), and never moves left (§3.8.6).
    ///
    /// A field counts units of 2^scale. What is left of an earlier promise is rounded up, as long as there
    /// is room for that: rounded down, the window would shrink by part of a unit (RFC 7323 §2.4).
    pub(crate) fn advertise(&self) -> Advertised {
        let unit = self.unit();
        let (offered, possible) = (self.offered(), self.possible());
        if possible >= offered.saturating_add(self.step(1)) {
            return Advertised { field: field(possible / unit), edge: self.next + possible };
        }
        let up = offered.div_ceil(unit);
        if up.checked_mul(unit).is_some_and(|octets| octets <= self.room.min(self.most())) {
            return Advertised { field: field(up), edge: self.edge.max(self.next + up * unit) };
        }
        Advertised { field: field(offered / unit), edge: self.edge }
    }

    /// Whether the window has opened so far that the peer should be told at once: by two segments or half of the
    /// limit; by one when it cannot send a full segment now.
    pub(crate) fn is_update_due(&self) -> bool {
        let offered = self.offered();
        let segments = if offered < u32::from(self.mss) { 1 } else { 2 };
        self.possible() >= offered.saturating_add(self.step(segments))
    }

    /// Octets that the peer may still send.
    pub(crate) fn offered(&self) -> u32 {
        if self.edge.after(self.next) { self.edge.offset_from(self.next) } else { 0 }
    }

    /// Octets that could be offered, in whole units.
    fn possible(&self) -> u32 {
        let octets = self.room.min(self.limit).min(self.most());
        octets - octets % self.unit()
    }

    /// By how much an edge moves at least.
    fn step(&self, segments: u32) -> u32 {
        (u32::from(self.mss) * segments).min(self.limit / 2).max(1)
    }

    fn unit(&self) -> u32 {
        1 << self.scale.min(14)
    }

    fn most(&self) -> u32 {
        u32::from(u16::MAX) * self.unit()
    }
}

fn field(units: u32) -> u16 {
    units.min(u32::from(u16::MAX)) as u16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: Window =
        Window { next: Sequence(1000), edge: Sequence(1000), room: 65_535, limit: 65_535, scale: 0, mss: 1460 };

    #[test]
    fn the_edge_moves_by_full_segments_or_half_of_the_limit_or_not_at_all() {
        let table = [
            // (promised, room, limit, scale) -> (field, edge)
            ((0, 65_535, 65_535, 0), (65_535, 65_535)),
            ((0, 1459, 65_535, 0), (0, 0)),
            ((0, 1460, 65_535, 0), (1460, 1460)),
            ((64_076, 65_535, 65_535, 0), (64_076, 64_076)),
            ((64_075, 65_535, 65_535, 0), (65_535, 65_535)),
            // A limit of less than two segments opens by halves.
            ((0, 499, 1000, 0), (0, 0)),
            ((0, 500, 1000, 0), (500, 500)),
            // Promised is promised, though the room is gone.
            ((5000, 0, 65_535, 0), (5000, 5000)),
            // Rounded up to a unit if there is room, else down, and the promise holds.
            ((5001, 6000, 1 << 20, 7), (40, 5120)),
            ((5001, 5001, 1 << 20, 7), (39, 5001)),
            ((0, 1 << 20, 1 << 20, 7), (8192, 1 << 20)),
            ((0, u32::MAX, u32::MAX, 14), (65_535, 65_535 << 14)),
            ((0, u32::MAX, u32::MAX, 0), (65_535, 65_535)),
        ];
        for ((promised, room, limit, scale), (field, edge)) in table {
            let window = Window { edge: WINDOW.next + promised, room, limit, scale, ..WINDOW };
            let expected = Advertised { field, edge: WINDOW.next + edge };
            assert_eq!(window.advertise(), expected, "{promised} {room} {limit} {scale}");
        }
    }

    #[test]
    fn an_update_is_due_when_it_lets_the_peer_send_something_worthwhile() {
        let table =
            [(0, 1459, false), (0, 1460, true), (1460, 4379, false), (1460, 4380, true), (65_535, 65_535, false)];
        for (promised, room, due) in table {
            let window = Window { edge: WINDOW.next + promised, room, ..WINDOW };
            assert_eq!(window.is_update_due(), due, "{promised} {room}");
        }
    }

    proptest! {
        /// A peer that sends what it may, an application that consumes as it likes.
        #[test]
        fn the_edge_never_moves_left_and_no_more_is_promised_than_there_is_room_for(
            start: u32, limit in 1u32..200_000, scale in 0u8..15, mss in 1u16..9000,
            steps in prop::collection::vec((any::<u16>(), any::<u16>()), 0..200),
        ) {
            let mut window =
                Window { next: Sequence(start), edge: Sequence(start), room: limit, limit, scale, mss };
            let (mut unread, mut shown) = (0, Sequence(start));
            for (sends, consumes) in steps {
                let advertised = window.advertise();
                let right = window.next + (u32::from(advertised.field) << scale);
                prop_assert!(!advertised.edge.before(window.edge), "to the left");
                prop_assert!(!right.after(advertised.edge), "shown but not promised");
                prop_assert!(right.offset_from(shown) as i32 > -(1i32 << scale), "shrunk by a unit");
                prop_assert!(advertised.edge.offset_from(window.next) <= limit - unread, "no room");
                shown = right;
                window.edge = advertised.edge;
                let sent = u32::from(sends) % (window.offered() + 1);
                window.next += sent;
                unread += sent;
                unread -= u32::from(consumes) % (unread + 1);
                window.room = limit - unread;
            }
        }

        #[test]
        fn no_input_panics(next: u32, edge: u32, room: u32, limit: u32, scale: u8, mss: u16) {
            let window = Window { next: Sequence(next), edge: Sequence(edge), room, limit, scale, mss };
            prop_assert!(!window.advertise().edge.before(window.edge) || window.offered() == 0);
            window.is_update_due();
        }

        /// A window that was closed opens again when everything is consumed.
        #[test]
        fn nothing_stays_closed(limit in 1u32..1 << 30, mss in 1u16..9000) {
            let scale = (u32::BITS - limit.leading_zeros()).saturating_sub(16).min(14) as u8;
            let window = Window { room: limit, limit, scale, mss, ..WINDOW };
            prop_assert!(window.is_update_due());
            prop_assert!(window.advertise().field > 0);
        }
    }
}
