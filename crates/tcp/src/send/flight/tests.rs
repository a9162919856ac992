//! The flight against a model of single octets, and the clauses one by one.

use proptest::prelude::*;

use super::*;

const MSS: u32 = 1000;

fn at(milliseconds: u64) -> Time {
    Time(milliseconds * 1_000_000)
}

fn clock(milliseconds: u64) -> Clock {
    Clock { now: at(milliseconds), min_rtt: Duration::ZERO, echoed: Time::NEVER }
}

fn rtt(milliseconds: u64) -> Rtt {
    let mut rtt = Rtt::default();
    rtt.sample(Duration::from_millis(milliseconds), at(0));
    rtt
}

/// So many segments, a millisecond between them, from sequence number zero on.
fn flight(segments: u32) -> Flight {
    let mut flight = Flight::default();
    for segment in 0..segments {
        flight.sent(Sequence(segment * MSS), MSS, at(segment.into()));
    }
    flight
}

/// A SACK of ranges in segments, after an acknowledgment up to `una`.
fn selective(flight: &mut Flight, una: u32, blocks: &[(u32, u32)], clock: &Clock) -> Selected {
    let nxt = Sequence(una * MSS) + flight.outstanding();
    flight.selective(blocks.iter().map(|(start, end)| (start * MSS, end * MSS)), Sequence(una * MSS), nxt, clock)
}

#[test]
fn a_record_is_small() {
    assert!(size_of::<Record>() <= 24);
}

#[test]
fn a_sample_is_of_the_newest_segment_and_none_if_one_was_sent_again() {
    let mut flight = flight(6);
    let expected = |octets, rtt, retransmitted| Acknowledged { octets, delivered: octets, rtt, retransmitted };
    let sample = |milliseconds| Some(Duration::from_millis(milliseconds));
    assert_eq!(flight.acknowledge(Sequence(2 * MSS), &clock(10)), expected(2 * MSS, sample(9), false));
    flight.sent(Sequence(3 * MSS), MSS, at(11));
    assert_eq!(flight.acknowledge(Sequence(2 * MSS + 1), &clock(12)), expected(1, sample(10), false));
    assert_eq!(flight.acknowledge(Sequence(5 * MSS), &clock(20)), expected(3 * MSS - 1, None, true));
    assert_eq!(flight.acknowledge(Sequence(6 * MSS), &clock(20)), expected(MSS, sample(15), false));
    assert!(flight.is_empty());
}

#[test]
fn acknowledgments_outside_of_the_flight_change_nothing() {
    let mut flight = flight(2);
    for una in [0, 2 * MSS + 1, u32::MAX, 1 << 31] {
        assert_eq!(flight.acknowledge(Sequence(una), &clock(5)), Acknowledged::default());
    }
    assert_eq!(flight.outstanding(), 2 * MSS);
}

/// RFC 6675 §4.
#[test]
fn the_pipe_holds_what_is_neither_sacked_nor_lost() {
    let mut flight = flight(10);
    assert_eq!(selective(&mut flight, 0, &[(4, 6), (8, 9)], &clock(20)).octets, 3 * MSS);
    assert_eq!((flight.pipe(), flight.sacked(), flight.lost()), (7 * MSS, 3 * MSS, 0));
    assert_eq!(flight.lose_first(MSS), MSS);
    assert_eq!((flight.pipe(), flight.lost()), (6 * MSS, MSS));
    flight.sent(Sequence(0), MSS, at(21));
    assert_eq!((flight.pipe(), flight.lost()), (7 * MSS, 0));
    let acknowledged = flight.acknowledge(Sequence(5 * MSS), &clock(30));
    assert_eq!((acknowledged.octets, acknowledged.delivered), (5 * MSS, 4 * MSS));
    assert_eq!((flight.pipe(), flight.sacked()), (3 * MSS, 2 * MSS));
}

#[test]
fn blocks_that_no_receiver_sends_are_ignored() {
    let cases: &[(u32, u32)] = &[
        (0, MSS),                         // begins at the acknowledgment
        (5 * MSS, 5 * MSS),               // empty
        (6 * MSS, 5 * MSS),               // reversed
        (9 * MSS, 10 * MSS + 1),          // beyond what was sent
        (11 * MSS, 12 * MSS),             // the same
        (u32::MAX, 5 * MSS),              // begins before the acknowledgment, ends after it
        (5 * MSS, 1 << 31),               // of half the space
        (0x8000_0000, 0x8000_0000 + MSS), // far away
    ];
    for &block in cases {
        // In the second place: there it cannot be a D-SACK either.
        for blocks in [vec![block], vec![(2 * MSS, 3 * MSS), block]] {
            let mut flight = flight(10);
            let expected = (blocks.len() as u32 - 1) * MSS;
            let selected = flight.selective(blocks, Sequence(0), Sequence(10 * MSS), &clock(20));
            assert_eq!((selected.octets, selected.duplicate, flight.sacked()), (expected, None, expected), "{block:?}");
        }
    }
    let mut flight = flight(10);
    let selected = flight.selective([(7 * MSS, 9 * MSS)], Sequence(0), Sequence(8 * MSS), &clock(20));
    assert_eq!(selected.octets, 0, "beyond SND.NXT");
}

/// RFC 2883 §4.
#[test]
fn a_first_block_that_was_received_before_is_a_duplicate() {
    let far = 0u32.wrapping_sub(1 << 31);
    let cases: &[(&[(u32, u32)], bool)] = &[
        (&[(2 * MSS, 3 * MSS)], true),                      // below the acknowledgment
        (&[(2 * MSS, 5 * MSS)], true),                      // up to it
        (&[(2 * MSS, 6 * MSS)], false),                     // across it
        (&[(7 * MSS, 8 * MSS), (6 * MSS, 9 * MSS)], true),  // within the second block
        (&[(6 * MSS, 9 * MSS), (6 * MSS, 9 * MSS)], true),  // all of it
        (&[(6 * MSS, 9 * MSS), (7 * MSS, 8 * MSS)], false), // around it
        (&[(6 * MSS, 7 * MSS), (8 * MSS, 9 * MSS)], false), // beside it
        (&[(8 * MSS, 9 * MSS), (6 * MSS, 7 * MSS)], false),
        (&[(8 * MSS, 9 * MSS), (2 * MSS, 3 * MSS)], false), // not in the first place
        (&[(far, far + MSS)], false),
        (&[(3 * MSS, 3 * MSS)], false),
    ];
    for (blocks, is_duplicate) in cases {
        let mut flight = flight(10);
        flight.acknowledge(Sequence(5 * MSS), &clock(20));
        let selected = flight.selective(blocks.iter().copied(), Sequence(5 * MSS), Sequence(10 * MSS), &clock(20));
        let first = (Sequence(blocks[0].0), Sequence(blocks[0].1));
        assert_eq!(selected.duplicate, is_duplicate.then_some(first), "{blocks:?}");
    }
    let mut empty = Flight::default();
    let selected = empty.selective([(0, MSS)], Sequence(MSS), Sequence(MSS), &clock(20));
    assert_eq!(selected.duplicate, Some((Sequence(0), Sequence(MSS))), "with nothing in flight");
}

/// RFC 8985 §6.2 step 5, with the reordering window of step 4.
#[test]
fn what_was_sent_before_what_arrived_is_lost_after_a_quarter_of_a_round_trip() {
    let mut flight = flight(10);
    let rtt = rtt(20);
    // One segment beyond the gap: it may be reordering, so a window of 5 ms is granted.
    selective(&mut flight, 0, &[(2, 3)], &clock(22));
    assert_eq!(flight.detect_losses(at(22), &rtt, MSS, false), Losses { octets: 0, look_again: Some(at(26)) });
    assert_eq!(flight.detect_losses(at(25), &rtt, MSS, false), Losses { octets: MSS, look_again: Some(at(26)) });
    assert_eq!(flight.detect_losses(at(26), &rtt, MSS, false), Losses { octets: MSS, look_again: None });
    assert_eq!(flight.next_lost(), Some(Lost { start: Sequence(0), len: MSS }));
}

/// RFC 8985 §6.2 step 4: three segments, and no reordering ever seen, are as certain as ever.
#[test]
fn three_sacked_segments_make_the_ones_before_lost_at_once() {
    let rtt = rtt(20);
    for (blocks, is_recovering, lost) in [(2..4, false, 0), (2..5, false, 2), (2..3, true, 2)] {
        let mut flight = flight(10);
        selective(&mut flight, 0, &[(blocks.start, blocks.end)], &clock(25));
        // The round trip of what is SACKed has to have passed since the others were sent: it has, by a millisecond.
        assert_eq!(flight.detect_losses(at(25), &rtt, MSS, is_recovering).octets, lost * MSS, "{blocks:?}");
    }
}

/// What RACK adds to RFC 6675: a lost retransmission is found.
#[test]
fn a_retransmission_that_is_lost_is_lost_again() {
    let mut flight = flight(10);
    let rtt = rtt(20);
    selective(&mut flight, 0, &[(1, 10)], &clock(30));
    assert_eq!(flight.detect_losses(at(30), &rtt, MSS, false).octets, MSS);
    flight.sent(Sequence(0), MSS, at(30));
    flight.sent(Sequence(10 * MSS), MSS, at(31));
    assert_eq!(flight.detect_losses(at(49), &rtt, MSS, true), Losses::default());
    selective(&mut flight, 0, &[(1, 11)], &clock(51));
    assert_eq!(flight.detect_losses(at(51), &rtt, MSS, true).octets, MSS);
    assert_eq!(flight.next_lost(), Some(Lost { start: Sequence(0), len: MSS }));
}

#[test]
fn reordering_once_seen_is_allowed_for() {
    let mut flight = flight(10);
    let rtt = rtt(20);
    selective(&mut flight, 0, &[(1, 2)], &clock(21));
    flight.acknowledge(Sequence(2 * MSS), &clock(22));
    selective(&mut flight, 2, &[(3, 7)], &clock(26));
    assert_eq!(flight.detect_losses(at(26), &rtt, MSS, false), Losses { octets: 0, look_again: Some(at(27)) });
    assert_eq!(flight.detect_losses(at(27), &rtt, MSS, false).octets, MSS);
}

#[test]
fn a_retransmission_of_a_part_leaves_the_rest_lost() {
    let mut flight = Flight::default();
    flight.sent(Sequence(u32::MAX - 99), 300, at(1));
    assert_eq!(flight.lose_all(), 300);
    flight.sent(Sequence(u32::MAX - 99), 50, at(2));
    assert_eq!(flight.next_lost(), Some(Lost { start: Sequence(u32::MAX - 49), len: 250 }));
    flight.sent(Sequence(u32::MAX - 49), 100, at(2));
    assert_eq!((flight.next_lost(), flight.pipe()), (Some(Lost { start: Sequence(50), len: 150 }), 150));
}

/// RFC 2018 §8, RFC 6675 §5.1.
#[test]
fn a_timeout_loses_everything_and_a_spurious_one_nothing() {
    let mut flight = flight(4);
    selective(&mut flight, 0, &[(2, 4)], &clock(20));
    assert_eq!(flight.lose_all(), 4 * MSS);
    assert_eq!((flight.pipe(), flight.sacked(), flight.lost()), (0, 0, 4 * MSS));
    selective(&mut flight, 0, &[(2, 4)], &clock(21));
    assert_eq!((flight.pipe(), flight.sacked(), flight.lost()), (0, 2 * MSS, 2 * MSS));
    flight.forget_losses();
    assert_eq!((flight.pipe(), flight.lost(), flight.next_lost()), (2 * MSS, 0, None));
}

#[test]
fn the_last_segment_is_at_most_a_segment() {
    let mut flight = Flight::default();
    assert_eq!(flight.last_segment(MSS), None);
    flight.sent(Sequence(7), 2500, at(1));
    assert_eq!(flight.last_segment(MSS), Some(Lost { start: Sequence(1507), len: MSS }));
    flight.sent(Sequence(2507), 10, at(2));
    assert_eq!(flight.last_segment(MSS), Some(Lost { start: Sequence(2507), len: 10 }));
}

#[test]
fn at_the_bound_of_records_nothing_is_miscounted() {
    let mut flight = Flight::default();
    let segments = 3 * MAX_RECORDS as u32;
    for segment in 0..segments {
        flight.sent(Sequence(segment * MSS), MSS, at(segment.into()));
        if !segment.is_multiple_of(2) {
            selective(&mut flight, 0, &[(segment, segment + 1)], &clock(segment.into()));
        }
    }
    assert!(flight.records.len() <= MAX_RECORDS);
    // Cuts everywhere: no room for them.
    for segment in 0..segments {
        let begin = segment * MSS + 300;
        flight.selective([(begin, begin + 100)], Sequence(0), Sequence(segments * MSS), &clock(9999));
    }
    assert!(flight.records.len() <= MAX_RECORDS);
    assert_eq!(flight.pipe() + flight.sacked() + flight.lost(), segments * MSS);
    flight.lose_all();
    let mut sent = 0;
    while let Some(lost) = flight.next_lost() {
        flight.sent(lost.start, lost.len.min(700), at(10_000));
        sent += 1;
        assert!(sent < 10 * segments, "retransmission ends");
    }
    assert_eq!(flight.pipe(), segments * MSS);
    let acknowledged = flight.acknowledge(Sequence(segments * MSS), &clock(20_000));
    assert_eq!((acknowledged.octets, acknowledged.rtt, flight.outstanding()), (segments * MSS, None, 0));
    assert_eq!((flight.pipe(), flight.sacked(), flight.lost()), (0, 0, 0));
}

#[test]
fn more_than_a_window_is_not_recorded() {
    let mut flight = Flight::default();
    for _ in 0..8 {
        flight.sent(Sequence(0) + flight.outstanding(), 1 << 29, at(1));
    }
    assert_eq!(flight.outstanding(), 1 << 30);
}

/// What is known of one octet.
#[derive(Clone, Copy, Debug)]
struct Octet {
    sent: Time,
    sacked: bool,
    lost: bool,
    retransmitted: bool,
    forgotten: bool,
}

/// The same as a [`Flight`], octet by octet.
struct Model {
    una: u32,
    octets: Vec<Octet>,
    rack: Rack,
}

impl Model {
    fn sent(&mut self, offset: usize, len: usize, now: Time) {
        for index in offset..offset + len {
            let octet = Octet { sent: now, sacked: false, lost: false, retransmitted: false, forgotten: false };
            match self.octets.get_mut(index) {
                None => self.octets.push(octet),
                Some(known) if known.sacked => (),
                Some(known) => *known = Octet { retransmitted: true, ..octet },
            }
        }
    }

    fn acknowledge(&mut self, count: usize, clock: &Clock) -> Acknowledged {
        let gone: Vec<Octet> = self.octets.drain(..count).collect();
        let new: Vec<&Octet> = gone.iter().filter(|octet| !octet.sacked).collect();
        for (index, octet) in gone.iter().enumerate() {
            if !octet.sacked && !octet.forgotten {
                let end = self.una.wrapping_add(index as u32 + 1);
                self.rack.delivered(octet.sent, end, octet.retransmitted, clock);
            }
        }
        self.una = self.una.wrapping_add(count as u32);
        if count > 0 {
            self.rack.advanced(self.una);
        }
        let newest = new.iter().map(|octet| octet.sent).max();
        Acknowledged {
            octets: count as u32,
            delivered: new.len() as u32,
            rtt: newest.filter(|_| new.iter().all(|octet| !octet.retransmitted)).map(|sent| clock.now.since(sent)),
            retransmitted: new.iter().any(|octet| octet.retransmitted),
        }
    }

    /// One block, as offsets.
    fn selective(&mut self, from: usize, to: usize, clock: &Clock) -> Selected {
        let mut selected = Selected::default();
        if from == 0 || to > self.octets.len() {
            return selected;
        }
        let mut newest = None;
        for index in from..to {
            let octet = &mut self.octets[index];
            if octet.sacked {
                continue;
            }
            (octet.sacked, octet.lost) = (true, false);
            selected.octets += 1;
            newest = newest.max((!octet.retransmitted).then_some(octet.sent));
            if !octet.forgotten {
                self.rack.delivered(octet.sent, self.una.wrapping_add(index as u32 + 1), octet.retransmitted, clock);
            }
        }
        selected.rtt = newest.map(|sent| clock.now.since(sent));
        selected
    }

    fn detect_losses(&mut self, now: Time, rtt: &Rtt, mss: u32, is_recovering: bool) -> Losses {
        let runs = self.octets.chunk_by(|one, other| one.sacked == other.sacked).filter(|run| run[0].sacked);
        let segments: u32 = runs.map(|run| (run.len() as u32).div_ceil(mss)).sum();
        let window = self.rack.window(rtt, is_recovering || segments >= 3);
        let mut losses = Losses::default();
        for (index, octet) in self.octets.iter_mut().enumerate() {
            if octet.sacked || octet.lost {
                continue;
            }
            match self.rack.deadline(octet.sent, self.una.wrapping_add(index as u32 + 1), window) {
                Some(deadline) if deadline <= now => {
                    octet.lost = true;
                    losses.octets += 1;
                }
                deadline => losses.look_again = losses.look_again.max(deadline),
            }
        }
        losses
    }

    fn lose_all(&mut self) {
        for octet in &mut self.octets {
            octet.retransmitted |= octet.sacked;
            octet.forgotten |= octet.sacked;
            (octet.sacked, octet.lost) = (false, true);
        }
    }

    fn count(&self, is_counted: impl Fn(&Octet) -> bool) -> u32 {
        self.octets.iter().filter(|octet| is_counted(octet)).count() as u32
    }
}

#[derive(Clone, Debug)]
enum Step {
    Send(u32),
    SendLost(u32),
    SendAgain(u32, u32),
    Acknowledge(u32),
    Selective(u32, u32),
    Duplicate(u32),
    Detect(bool),
    LoseAll,
    Recovered,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..40u32).prop_map(Step::Send),
        3 => (1..20u32).prop_map(Step::SendLost),
        1 => (any::<u32>(), 1..20u32).prop_map(|(from, len)| Step::SendAgain(from, len)),
        4 => any::<u32>().prop_map(Step::Acknowledge),
        6 => (any::<u32>(), 1..30u32).prop_map(|(from, len)| Step::Selective(from, len)),
        1 => (1..30u32).prop_map(Step::Duplicate),
        4 => any::<bool>().prop_map(Step::Detect),
        1 => Just(Step::LoseAll),
        1 => Just(Step::Recovered),
        6 => (0..30u64).prop_map(Step::Wait),
    ]
}

/// A flight and its model, on which the same happens.
struct Pair {
    flight: Flight,
    model: Model,
    rtt: Rtt,
    now: u64,
}

impl Pair {
    fn apply(&mut self, step: Step) -> Result<(), TestCaseError> {
        // Nothing is sent again in the very moment of its sending: order would then depend on where segments end.
        self.now += u64::from(matches!(step, Step::SendLost(_) | Step::SendAgain(..)));
        let clock = Clock { min_rtt: Duration::from_millis(8), ..clock(self.now) };
        let (flight, model) = (&mut self.flight, &mut self.model);
        let len = model.octets.len();
        let una = Sequence(model.una);
        let nxt = una + len as u32;
        match step {
            Step::Send(count) => {
                flight.sent(nxt, count, clock.now);
                model.sent(len, count as usize, clock.now);
            }
            Step::SendLost(most) => self.send_lost(most, clock.now)?,
            Step::SendAgain(from, count) if len > 0 => {
                let from = from as usize % len;
                flight.sent(una + from as u32, count, clock.now);
                model.sent(from, count as usize, clock.now);
            }
            Step::SendAgain(..) => (),
            Step::Acknowledge(count) => {
                let count = count as usize % (len + 1);
                let expected = model.acknowledge(count, &clock);
                prop_assert_eq!(flight.acknowledge(una + count as u32, &clock), expected);
            }
            Step::Selective(from, count) => {
                let from = from as usize % (len + 1);
                let to = from + count as usize;
                let block = ((una + from as u32).0, (una + to as u32).0);
                let expected = model.selective(from, to, &clock);
                prop_assert_eq!(flight.selective([block], una, nxt, &clock), expected);
            }
            Step::Duplicate(count) => {
                flight.selective([((una - count).0, una.0)], una, nxt, &clock);
                model.rack.duplicate(una.0, nxt.0);
            }
            Step::Detect(is_recovering) => {
                let expected = model.detect_losses(clock.now, &self.rtt, 10, is_recovering);
                prop_assert_eq!(flight.detect_losses(clock.now, &self.rtt, 10, is_recovering), expected);
            }
            Step::LoseAll => {
                flight.lose_all();
                model.lose_all();
            }
            Step::Recovered => {
                flight.recovered();
                model.rack.recovered();
            }
            Step::Wait(milliseconds) => self.now += milliseconds,
        }
        Ok(())
    }

    fn send_lost(&mut self, most: u32, now: Time) -> Result<(), TestCaseError> {
        let octets = &self.model.octets;
        let Some(lost) = self.flight.next_lost() else {
            prop_assert!(octets.iter().all(|octet| !octet.lost));
            return Ok(());
        };
        let (from, count) = (lost.start.offset_from(Sequence(self.model.una)) as usize, lost.len.min(most));
        prop_assert!(octets[..from].iter().all(|octet| !octet.lost));
        prop_assert!(octets[from..from + lost.len as usize].iter().all(|octet| octet.lost));
        self.flight.sent(lost.start, count, now);
        self.model.sent(from, count as usize, now);
        Ok(())
    }

    fn compare(&self) -> Result<(), TestCaseError> {
        let (flight, model) = (&self.flight, &self.model);
        prop_assert_eq!(flight.outstanding() as usize, model.octets.len());
        prop_assert_eq!(flight.sacked(), model.count(|octet| octet.sacked));
        prop_assert_eq!(flight.lost(), model.count(|octet| octet.lost));
        prop_assert_eq!(flight.pipe(), model.count(|octet| !octet.sacked && !octet.lost));
        Ok(())
    }
}

proptest! {
    #[test]
    fn it_is_what_single_octets_would_be(
        una in prop_oneof![Just(0u32), Just(u32::MAX - 50), any::<u32>()],
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let model = Model { una, octets: Vec::new(), rack: Rack::default() };
        let mut pair = Pair { flight: Flight::default(), model, rtt: rtt(12), now: 1000 };
        for step in steps {
            pair.apply(step)?;
            pair.compare()?;
        }
    }

    /// Whatever comes in whatever order: no panic, the counts stay consistent, and what is acknowledged is gone.
    #[test]
    fn no_order_of_calls_and_no_forged_block_confuses_it(
        calls in prop::collection::vec((0..12u8, any::<u32>(), any::<u32>(), any::<u64>()), 0..200),
    ) {
        let mut flight = Flight::default();
        for (call, one, other, time) in calls {
            // Most numbers are near those in flight.
            let near = |number: u32| if number.is_multiple_of(8) { number } else { (number >> 8) % 4096 };
            let (one, other, now) = (near(one), near(other), Time(time >> (time % 60)));
            let clock = Clock { now, min_rtt: Duration::from_nanos(other.into()), echoed: Time(time) };
            let blocks = [(one, other), (other, one.wrapping_add(other)), (one, one.wrapping_add(other % 64))];
            match call {
                0..3 => flight.sent(Sequence(one), other, now),
                3 => drop(flight.acknowledge(Sequence(one), &clock)),
                4..7 => drop(flight.selective(blocks, Sequence(flight.first()), Sequence(other), &clock)),
                7 => drop(flight.selective(blocks, Sequence(one), Sequence(other), &clock)),
                8 => drop(flight.detect_losses(now, &rtt(5), other % 2000, time.is_multiple_of(2))),
                9 => drop(flight.lose_first(other)),
                10 => drop(flight.lose_all()),
                _ => flight.forget_losses(),
            }
            if let Some(lost) = flight.next_lost() {
                prop_assert!(lost.len > 0 && lost.len <= flight.lost());
                flight.sent(lost.start, other % 512, now);
            }
            prop_assert_eq!(u64::from(flight.pipe()) + u64::from(flight.sacked()) + u64::from(flight.lost()),
                u64::from(flight.outstanding()));
            prop_assert_eq!(flight.next_lost().is_some(), flight.lost() > 0);
        }
        let end = Sequence(flight.first()) + flight.outstanding();
        flight.acknowledge(end, &clock(0));
        prop_assert!(flight.is_empty() && flight.pipe() == 0 && flight.sacked() == 0 && flight.lost() == 0);
    }
}
