//! Thousands of seeded simulations: the streams are exact, and every connection ends.

mod common;

use std::time::Duration;

use afpa_sim::{FaultPlan, Purpose, Scenario};
use afpa_tcp::Stats;

const SEEDS: u64 = 10_000;

/// A counter of [`Stats`].
type Counter = (&'static str, fn(&Stats) -> u64);

/// What the simulations have to bring about, so that they say something about it.
const EXERCISED: &[Counter] = &[
    ("fast_path", |stats| stats.fast_path),
    ("broken_checksums", |stats| stats.broken_checksums),
    ("timed_out", |stats| stats.timed_out),
    ("cookies_accepted", |stats| stats.cookies_accepted),
    ("out_of_order", |stats| stats.out_of_order),
    ("duplicates", |stats| stats.duplicates),
    ("paws_dropped", |stats| stats.paws_dropped),
    ("retransmission_timeouts", |stats| stats.retransmission_timeouts),
    ("fast_recoveries", |stats| stats.fast_recoveries),
    ("tail_loss_probes", |stats| stats.tail_loss_probes),
    ("selectively_acknowledged", |stats| stats.selectively_acknowledged),
    ("spurious_retransmissions", |stats| stats.spurious_retransmissions),
    ("window_probes", |stats| stats.window_probes),
    ("keep_alives", |stats| stats.keep_alives),
    ("delayed_acknowledgments", |stats| stats.delayed_acknowledgments),
    ("duplicate_acknowledgments", |stats| stats.duplicate_acknowledgments),
    ("congestion_experienced", |stats| stats.congestion_experienced),
    ("path_mtu_reduced", |stats| stats.path_mtu_reduced),
    ("black_holes", |stats| stats.black_holes),
    ("time_waits", |stats| stats.time_waits),
];

#[test]
fn the_streams_are_exact_and_every_connection_ends() {
    let (first, count) = common::seeds(SEEDS);
    let (mut complete, mut survivable, mut packets) = (0, 0, 0);
    let mut exercised = vec![0; EXERCISED.len()];
    for seed in first..first + count {
        let scenario = Scenario::random(seed);
        let outcome = scenario.run();
        complete += u64::from(outcome.is_complete());
        survivable += u64::from(scenario.plan.is_survivable());
        packets += outcome.packets;
        for (sum, (_, counter)) in exercised.iter_mut().zip(EXERCISED) {
            *sum += outcome.stats.iter().map(counter).sum::<u64>();
        }
    }
    println!("{count} seeds: {survivable} had to be complete, {complete} are, in {packets} packets");
    let counts: Vec<_> = EXERCISED.iter().map(|(name, _)| *name).zip(exercised).collect();
    println!("{counts:?}");
    if count >= SEEDS {
        // Of the networks that need not be survived most are nevertheless.
        assert!(complete * 10 >= count * 8, "{complete} of {count} are complete");
        let missed: Vec<_> = counts.iter().filter(|(_, count)| *count == 0).collect();
        assert!(missed.is_empty(), "nothing was seen of {missed:?}");
    }
}

#[test]
fn a_seed_can_be_replayed() {
    for seed in 0..20 {
        assert_eq!(Scenario::random(seed).run(), Scenario::random(seed).run(), "seed {seed}");
    }
}

/// The sender's numbers pass zero in the middle of the stream.
#[test]
fn sequence_numbers_wrap() {
    let amount = 600_000;
    let mut wrapped = 0;
    for seed in 0..1_000_000 {
        if wrapped == 5 {
            return;
        }
        let mut scenario = Scenario::random(seed % 100);
        let Purpose::Talk(client, server) = &mut scenario.purpose else { continue };
        (client.amount, client.piece, client.patience) = (amount, 20_000, None);
        (server.expected, server.patience) = (amount, None);
        scenario.plan = FaultPlan::random(seed);
        if !scenario.plan.is_survivable() {
            continue;
        }
        let (mut network, tallies) = scenario.build();
        network.run(Duration::ZERO, |_| false);
        let start = network.last_sent(0).map_or(0, |syn| syn.sequence);
        if start > u32::MAX - amount as u32 / 2 {
            wrapped += 1;
            network.run(Duration::from_secs(100_000), |_| false);
            assert!(tallies.iter().all(|tally| tally.borrow().complete), "seed {seed}");
        }
    }
    panic!("only {wrapped} connections begin near the end");
}
