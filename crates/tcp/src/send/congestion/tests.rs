//! The window, seen from the connection.

use proptest::prelude::*;

use super::*;

const MSS: u32 = 1000;
const ROUND_TRIP: Duration = Duration::from_millis(100);

fn both() -> [Congestion; 2] {
    [CongestionControl::NewReno, CongestionControl::Cubic].map(|algorithm| Congestion::new(algorithm, MSS))
}

/// A round trip in which the window is used in full and each other segment is acknowledged.
fn round(congestion: &mut Congestion, now: Time) {
    let window = congestion.window();
    let mut left = window;
    while left > 0 {
        let octets = left.min(2 * MSS);
        congestion.acknowledged(octets, window, MSS, now, ROUND_TRIP, None);
        left -= octets;
    }
}

fn at(rounds: u64) -> Time {
    Time(rounds * 100_000_000)
}

#[test]
fn it_is_small() {
    assert!(size_of::<Congestion>() <= 64, "{}", size_of::<Congestion>());
}

/// RFC 6928 §2.
#[test]
fn the_initial_window_is_ten_segments_or_fewer_large_ones() {
    let cases = [(536, 5360), (1460, 14_600), (1461, 14_600), (8960, 17_920), (0, 1), (u32::MAX, MAX_WINDOW)];
    for (mss, window) in cases {
        assert_eq!(initial_window(mss), window, "MSS {mss}");
    }
}

/// RFC 5681 §3.1.
#[test]
fn slow_start_doubles_and_congestion_avoidance_adds_a_segment() {
    let mut congestion = Congestion::new(CongestionControl::NewReno, MSS);
    let mut windows = Vec::new();
    for step in 0..3 {
        round(&mut congestion, at(step));
        windows.push(congestion.window());
    }
    assert_eq!(windows, [20_000, 40_000, 80_000]);
    congestion.lost(80_000, MSS);
    assert_eq!((congestion.window(), congestion.threshold()), (40_000, 40_000));
    congestion.recovered(MSS);
    for step in 0..3 {
        round(&mut congestion, at(step));
        assert_eq!(congestion.window(), 41_000 + step as u32 * 1000);
    }
}

/// RFC 9406 §4.2: a queue that grows ends the first slow start, and no other.
#[test]
fn slow_start_ends_when_round_trips_grow_longer() {
    // A path that holds 100 segments: what is beyond waits.
    let round = |congestion: &mut Congestion, number| {
        let window = congestion.window();
        let taken = Duration::from_micros(u64::from(window.max(100 * MSS)));
        for left in (1..=window / MSS).rev() {
            congestion.acknowledged(MSS, left * MSS, MSS, at(number), ROUND_TRIP, Some(taken));
        }
    };
    for mut congestion in both() {
        (0..4).for_each(|number| round(&mut congestion, number));
        assert_eq!((congestion.window(), congestion.threshold()), (160_000, u32::MAX));
        (4..12).for_each(|number| round(&mut congestion, number));
        assert!(!congestion.is_in_slow_start() && congestion.window() < 600_000, "{}", congestion.window());
        congestion.timed_out(400_000, MSS, true);
        congestion.set_window(100_000, MSS);
        congestion.after_timeout = false;
        round(&mut congestion, 12);
        assert_eq!(congestion.window(), 200_000);
    }
}

#[test]
fn slow_start_ends_at_the_threshold() {
    for mut congestion in both() {
        congestion.timed_out(50_000, MSS, true);
        let threshold = congestion.threshold();
        for step in 0..5 {
            assert!(congestion.is_in_slow_start());
            round(&mut congestion, at(step));
        }
        while congestion.is_in_slow_start() {
            round(&mut congestion, at(6));
        }
        assert!(congestion.window() < threshold + 2 * MSS);
    }
}

/// RFC 9406 §4.2, RFC 3465 §2.3.
#[test]
fn a_stretched_acknowledgment_counts_for_eight_segments_and_after_a_timeout_for_one() {
    for mut congestion in both() {
        congestion.acknowledged(10_000, 10_000, MSS, at(1), ROUND_TRIP, None);
        assert_eq!(congestion.window(), 18_000);
        congestion.timed_out(20_000, MSS, true);
        assert_eq!(congestion.window(), MSS);
        congestion.acknowledged(10_000, 10_000, MSS, at(2), ROUND_TRIP, None);
        assert_eq!(congestion.window(), 2 * MSS);
    }
}

/// RFC 5681 §3.1: a segment that times out again leaves the threshold as it is.
#[test]
fn timeouts_halve_the_threshold_once() {
    let [mut reno, mut cubic] = both();
    for (congestion, threshold) in [(&mut reno, 10_000), (&mut cubic, 14_000)] {
        congestion.timed_out(20_000, MSS, true);
        assert_eq!((congestion.window(), congestion.threshold()), (MSS, threshold));
        congestion.timed_out(1_000, MSS, false);
        assert_eq!((congestion.window(), congestion.threshold()), (MSS, threshold));
        congestion.timed_out(1_000, MSS, true);
        assert_eq!(congestion.threshold(), 2 * MSS);
    }
}

/// RFC 7661 §4.3.
#[test]
fn a_window_that_is_not_used_does_not_grow() {
    for mut congestion in both() {
        congestion.acknowledged(4_999, 4_999, MSS, at(1), ROUND_TRIP, None);
        assert_eq!(congestion.window(), 10_000);
        congestion.acknowledged(2_000, 5_000, MSS, at(1), ROUND_TRIP, None);
        assert_eq!(congestion.window(), 12_000);
    }
}

#[test]
fn acknowledgments_that_come_all_at_once_count_as_if_they_came_one_by_one() {
    for mut congestion in both() {
        for window in [10_000, 20_000, 40_000] {
            assert_eq!(congestion.window(), window);
            for left in (0..window / 2000).rev() {
                congestion.acknowledged(2_000, (left + 1) * 2000, MSS, at(1), ROUND_TRIP, None);
            }
        }
    }
}

/// RFC 2861 §3.2.
#[test]
fn an_idle_connection_loses_half_of_its_window_for_each_timeout() {
    let timeout = Duration::from_millis(200);
    let cases =
        [(199, 80_000, u32::MAX), (200, 40_000, u32::MAX), (400, 20_000, u32::MAX), (3_600_000, 10_000, u32::MAX)];
    for (idle, window, threshold) in cases {
        let mut congestion = Congestion::new(CongestionControl::NewReno, MSS);
        (0..3).for_each(|step| round(&mut congestion, at(step)));
        congestion.idle(Duration::from_millis(idle), timeout, MSS);
        assert_eq!((congestion.window(), congestion.threshold()), (window, threshold), "{idle} ms");
    }
    let mut congestion = Congestion::new(CongestionControl::NewReno, MSS);
    congestion.lost(80_000, MSS);
    congestion.set_window(100_000, MSS);
    congestion.idle(timeout, timeout, MSS);
    assert_eq!((congestion.window(), congestion.threshold()), (50_000, 75_000));
    congestion.timed_out(4_000, MSS, true);
    congestion.idle(timeout, Duration::ZERO, MSS);
    assert_eq!(congestion.window(), MSS, "it never grows by being idle");
}

/// RFC 3168 §6.1.2.
#[test]
fn marks_reduce_the_window_once_for_each_window() {
    for mut congestion in both() {
        congestion.set_window(40_000, MSS);
        let una = Sequence(u32::MAX - 5_000);
        assert!(congestion.experienced(una, una + 40_000, 40_000, MSS));
        let reduced = congestion.window();
        assert!(reduced < 40_000 && congestion.threshold() == reduced);
        for step in 1..=20 {
            // All of the window reports the mark, for CWR follows behind it.
            congestion.acknowledged(2 * MSS, 40_000, MSS, at(1), ROUND_TRIP, None);
            let una = una + step * 2 * MSS;
            assert!(!congestion.experienced(una, una + 30_000, 30_000, MSS), "{step}");
        }
        assert!(congestion.experienced(una + 40_001, una + 60_000, 20_000, MSS));
        assert!(congestion.window() < reduced);
    }
}

#[test]
fn a_mark_long_ago_hides_no_other() {
    for mut congestion in both() {
        assert!(congestion.experienced(Sequence(0), Sequence(10_000), 10_000, MSS));
        (0..5).for_each(|step| round(&mut congestion, at(step)));
        // Half of the sequence space further, what was after is before.
        assert!(congestion.experienced(Sequence(1 << 31), Sequence((1 << 31) + 5), 10_000, MSS));
    }
}

#[test]
fn an_undone_timeout_leaves_no_trace() {
    for mut congestion in both() {
        (0..3).for_each(|step| round(&mut congestion, at(step)));
        congestion.lost(80_000, MSS);
        congestion.recovered(MSS);
        (3..9).for_each(|step| round(&mut congestion, at(step)));
        let before = congestion;
        let mut expected = congestion;
        congestion.timed_out(50_000, MSS, true);
        round(&mut congestion, at(9));
        congestion.undo(&before);
        assert_eq!((congestion.window(), congestion.threshold()), (before.window(), before.threshold()));
        (10..60).for_each(|step| round(&mut congestion, at(step)));
        (10..60).for_each(|step| round(&mut expected, at(step)));
        assert!(congestion.window().abs_diff(expected.window()) < expected.window() / 20);
    }
}

#[test]
fn cubic_recovers_a_large_window_sooner_than_new_reno() {
    let [mut reno, mut cubic] = both();
    for congestion in [&mut reno, &mut cubic] {
        congestion.set_window(1_000_000, MSS);
        congestion.lost(1_000_000, MSS);
        congestion.recovered(MSS);
        (0..100).for_each(|step| round(congestion, at(step)));
    }
    assert_eq!(reno.window(), 600_000);
    assert!((980_000..1_020_000).contains(&cubic.window()), "{}", cubic.window());
}

#[derive(Clone, Debug)]
enum Step {
    Acknowledged(u32, u32, u64),
    Lost(u32),
    TimedOut(u32, bool),
    Experienced(u32, u32),
    Recovered,
    SetWindow(u32),
    Idle(u64, u64),
    Undo,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (any::<u32>(), any::<u32>(), any::<u64>()).prop_map(|(a, b, c)| Step::Acknowledged(a >> (b % 32), b, c)),
        1 => any::<u32>().prop_map(Step::Lost),
        1 => (any::<u32>(), any::<bool>()).prop_map(|(a, b)| Step::TimedOut(a, b)),
        1 => (any::<u32>(), any::<u32>()).prop_map(|(a, b)| Step::Experienced(a, b)),
        1 => Just(Step::Recovered),
        1 => any::<u32>().prop_map(Step::SetWindow),
        1 => (any::<u64>(), any::<u64>()).prop_map(|(a, b)| Step::Idle(a, b)),
        1 => Just(Step::Undo),
    ]
}

proptest! {
    /// Whatever happens, at whatever time: a window of at least one segment, a threshold of at least two, and no window
    /// that grew by more than what was acknowledged.
    #[test]
    fn the_window_stays_within_its_bounds(
        cubic in any::<bool>(), mss in 1..65_536u32, steps in prop::collection::vec(step(), 0..100),
    ) {
        let algorithm = if cubic { CongestionControl::Cubic } else { CongestionControl::NewReno };
        let mut congestion = Congestion::new(algorithm, mss);
        let before = congestion;
        for step in steps {
            let window = congestion.window();
            match step {
                Step::Acknowledged(octets, in_flight, now) => {
                    congestion.acknowledged(octets, in_flight, mss, Time(now), Duration::from_nanos(now >> 30), Some(Duration::from_nanos(now)));
                    prop_assert!(congestion.window() <= window.saturating_add(octets.max(mss)));
                }
                Step::Lost(in_flight) => congestion.lost(in_flight, mss),
                Step::TimedOut(in_flight, is_first) => congestion.timed_out(in_flight, mss, is_first),
                Step::Experienced(una, in_flight) => {
                    congestion.experienced(Sequence(una), Sequence(una) + in_flight, in_flight, mss);
                }
                Step::Recovered => congestion.recovered(mss),
                Step::SetWindow(octets) => congestion.set_window(octets, mss),
                Step::Idle(idle, timeout) => {
                    congestion.idle(Duration::from_nanos(idle), Duration::from_nanos(timeout), mss);
                    prop_assert!(congestion.window() <= window);
                }
                Step::Undo => congestion.undo(&before),
            }
            prop_assert!((mss..=MAX_WINDOW).contains(&congestion.window()), "{congestion:?}");
            prop_assert!(congestion.threshold() >= 2 * mss);
        }
    }
}
