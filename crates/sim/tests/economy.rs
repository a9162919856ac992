//! What a TCP sends beyond what it has to.

use std::time::Duration;

use afpa_sim::applications::{Closing, Reading, Talk};
use afpa_sim::{FaultPlan, LinkPlan, Octets, Purpose, Scenario};

#[test]
fn without_losses_nothing_is_sent_twice() {
    for seed in 0..1_000 {
        let mut scenario = Scenario::random(seed);
        let latency = scenario.plan.links[0].latency;
        scenario.plan = FaultPlan::perfect(seed, latency);
        scenario.configs.iter_mut().for_each(|config| config.receive_memory = MEMORY);
        for talk in scenario.purpose.talks_mut() {
            (talk.reading, talk.patience) = (Reading::AtOnce, None);
        }
        let outcome = scenario.run();
        for stats in outcome.stats {
            assert_eq!(stats.retransmission_timeouts, 0, "{scenario}");
            // Who merges segments may take two for a large one, and let their sender wait for an acknowledgment.
            if scenario.styles.iter().all(|style| !style.merges) {
                assert_eq!((stats.retransmitted_segments, stats.tail_loss_probes), (0, 0), "{scenario}");
            }
        }
    }
}

#[test]
fn reordering_within_a_quarter_of_the_round_trip_is_borne() {
    for seed in 0..300 {
        let mut scenario = bulk(seed, LinkPlan { ordered: false, ..link() });
        scenario.plan.links.iter_mut().for_each(|link| link.jitter = Duration::from_millis(4));
        let stats = scenario.run().stats[1];
        // Before the first reordering was seen there is no reason to expect one.
        assert!(stats.retransmitted_segments <= 30, "{} segments\n{scenario}", stats.retransmitted_segments);
    }
}

#[test]
fn a_loss_of_one_percent_costs_little_more_than_it_takes() {
    let (mut sent, mut timeouts) = (0, 0);
    for seed in 0..200 {
        let outcome = bulk(seed, LinkPlan { loss: 100, ..link() }).run();
        sent += outcome.stats[1].octets_sent;
        timeouts += outcome.stats[1].retransmission_timeouts;
    }
    let share = sent as f64 / (200 * AMOUNT) as f64;
    assert!(share < 1.03, "{share} times what was to be sent");
    assert!(timeouts < 20, "{timeouts} timeouts in 200 transfers");
}

#[test]
fn a_long_fat_path_is_filled() {
    // 100 Mbit/s and 40 ms there and back hold 500 KB.
    let rate = LinkPlan { rate: 12_500_000, queue: 1_000_000, ..link() };
    let scenario = bulk(1, rate);
    let (mut network, _) = scenario.build();
    let start = network.now();
    let over = network.run(Duration::from_secs(10), |network| network.server.tcp().connections() == 0);
    assert!(over, "it takes more than {:?}", network.now().since(start));
}

const AMOUNT: u64 = 600_000;
const MEMORY: u64 = 64 << 20;

fn link() -> LinkPlan {
    LinkPlan::perfect(Duration::from_millis(20))
}

/// The server sends much to a client that reads.
fn bulk(seed: u64, link: LinkPlan) -> Scenario {
    let mut scenario = Scenario::random(seed);
    scenario.plan =
        FaultPlan { links: [LinkPlan::perfect(link.latency), link], ..FaultPlan::perfect(seed, Duration::ZERO) };
    for config in &mut scenario.configs {
        config.selective_acknowledgments = true;
        config.timestamps = true;
        config.receive_window = 2_000_000;
        config.receive_memory = MEMORY;
        config.send_buffer = 2_000_000;
        config.mtu = 1_500;
    }
    let client = Talk {
        outgoing: Octets(1),
        amount: 1,
        piece: 1,
        pinned: 4,
        incoming: Octets(2),
        expected: AMOUNT,
        reading: Reading::AtOnce,
        closing: Closing::AfterPeer,
        patience: None,
    };
    let server = Talk {
        outgoing: Octets(2),
        amount: AMOUNT,
        piece: 60_000,
        incoming: Octets(1),
        expected: 1,
        closing: Closing::WhenQueued,
        ..client.clone()
    };
    scenario.purpose = Purpose::Talk(client, server);
    scenario
}
