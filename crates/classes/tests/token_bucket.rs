//! Limits and the buckets that keep them.

use afpa_classes::{Limit, TokenBucket};
use proptest::prelude::*;

const SECOND: u64 = 1_000_000_000;

fn limit(amount: u64, burst: u64) -> Limit {
    Limit::per_second(amount, burst).unwrap()
}

#[test]
fn a_bucket_gives_its_burst_at_once_and_then_its_rate() {
    let mut bucket = TokenBucket::new(limit(10, 3));
    for _ in 0..3 {
        assert_eq!(bucket.take(0, 1), Ok(()));
    }
    assert_eq!(bucket.take(0, 1), Err(SECOND / 10));
    assert_eq!(bucket.take(SECOND / 10 - 1, 1), Err(1));
    assert_eq!(bucket.take(SECOND / 10, 1), Ok(()));
    assert_eq!(bucket.available(60 * SECOND), 3, "it holds no more than its burst");
    assert_eq!(bucket.wait(60 * SECOND, 5), SECOND / 5, "three are there, two have to come");
}

#[test]
fn what_is_larger_than_the_burst_comes_from_a_full_bucket() {
    let mut bucket = TokenBucket::new(limit(100, 10));
    assert_eq!(bucket.take(0, 50), Ok(()));
    assert_eq!(bucket.take(0, 1), Err(41 * SECOND / 100), "40 are owed");
    assert_eq!(bucket.take(SECOND / 2, 50), Ok(()), "it is full again");
}

#[test]
fn the_last_piece_may_be_larger_than_what_is_left() {
    let mut bucket = TokenBucket::new(limit(1_000, 100));
    assert_eq!(bucket.overdraw(0, 99), Ok(()));
    assert_eq!(bucket.overdraw(0, 500), Ok(()), "one is left");
    assert_eq!(bucket.overdraw(0, 1), Err(SECOND / 2));
    assert_eq!(bucket.available(0), 0);
    assert_eq!(bucket.overdraw(SECOND / 2, 1), Ok(()));
}

#[test]
fn time_that_goes_back_changes_nothing() {
    let mut bucket = TokenBucket::new(limit(1, 1));
    assert_eq!(bucket.take(5 * SECOND, 1), Ok(()));
    assert_eq!(bucket.take(0, 1), Err(SECOND));
    assert_eq!(bucket.take(6 * SECOND, 1), Ok(()));
}

#[test]
fn a_limit_is_divided_among_engines() {
    let part = limit(10, 20).divided(4);
    assert_eq!((part.amount() * 4 * SECOND, part.burst()), (10 * part.period(), 5));
    assert_eq!(limit(1, 1).divided(8).burst(), 1);
    assert_eq!(limit(7, 3).divided(0), limit(7, 3));
    assert_eq!(Limit::per_second(0, 9), None);
    assert_eq!(limit(5, 0).burst(), 1);
}

fn limits() -> impl Strategy<Value = Limit> {
    let amounts = prop_oneof![1..100u64, 1..10_000_000_000u64, Just(u64::MAX)];
    (amounts, prop_oneof![1..50u64, 1..10_000_000u64, Just(u64::MAX)], 1..16usize)
        .prop_map(|(amount, burst, engines)| limit(amount, burst).divided(engines))
}

proptest! {
    #[test]
    fn never_more_than_the_rate_and_the_burst(
        limit in limits(),
        steps in prop::collection::vec((0..2 * SECOND, prop_oneof![0..20u64, 0..1_000_000u64, any::<u64>()]), 1..100),
    ) {
        let (mut bucket, mut now, mut taken) = (TokenBucket::new(limit), 0, 0u128);
        for (later, count) in steps {
            now += later;
            // What is larger than a burst is the exception, for which there is a test of its own.
            let count = count.min(limit.burst());
            match bucket.take(now, count) {
                Ok(()) => taken += u128::from(count),
                Err(wait) => {
                    prop_assert!(wait > 0);
                    // Some would have to wait longer than clocks run.
                    if let Some(then) = now.checked_add(wait) {
                        prop_assert!(bucket.clone().take(then - 1, count).is_err(), "no earlier than it said");
                        prop_assert!(bucket.clone().take(then, count).is_ok(), "when it said");
                    }
                }
            }
            let come = u128::from(now).saturating_mul(u128::from(limit.amount())) / u128::from(limit.period());
            prop_assert!(taken <= come + u128::from(limit.burst()));
        }
    }

    #[test]
    fn with_a_last_piece_it_is_never_more_than_one_piece_beyond(
        limit in limits(),
        steps in prop::collection::vec((0..2 * SECOND, 1..100_000u64), 1..100),
    ) {
        let (mut bucket, mut now, mut taken) = (TokenBucket::new(limit), 0, 0u128);
        for (later, count) in steps {
            now += later;
            let before = taken;
            if bucket.overdraw(now, count).is_ok() {
                taken += u128::from(count);
                let come = u128::from(now).saturating_mul(u128::from(limit.amount())) / u128::from(limit.period());
                prop_assert!(before < come + u128::from(limit.burst()));
            }
        }
    }

    #[test]
    fn nothing_overflows(
        limit in limits(),
        steps in prop::collection::vec((any::<u64>(), any::<u64>(), any::<bool>()), 1..50),
    ) {
        let mut bucket = TokenBucket::new(limit);
        for (now, count, overdraws) in steps {
            let taken = if overdraws { bucket.overdraw(now, count) } else { bucket.take(now, count) };
            prop_assert_ne!(taken, Err(0));
            prop_assert!(bucket.available(now) <= limit.burst());
            let _ = bucket.wait(now, count);
        }
    }
}
