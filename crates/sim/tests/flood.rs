//! Floods: an open connection goes on, and what a flood leaves behind is bounded.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use afpa_sim::{FaultPlan, Flags, PORT, Scenario, Segment, TcpOption};
use afpa_tcp::Handshake;
use fastrand::Rng;

/// Packets of the flood in each of its milliseconds.
const PACKETS: usize = 300;
/// How many milliseconds it lasts.
const ROUNDS: u32 = 500;

#[test]
fn a_flood_of_syns_leaves_nothing_behind_and_disturbs_nobody() {
    flood(|random, segment| {
        segment.flags = Flags::SYN;
        segment.options = vec![TcpOption::Mss(1460), TcpOption::SackPermitted, TcpOption::WindowScale(7)];
        if random.bool() {
            segment.options.push(TcpOption::Timestamps { value: random.u32(..), echo: 0 });
        }
    });
}

#[test]
fn a_flood_of_acknowledgments_leaves_nothing_behind_and_disturbs_nobody() {
    flood(|random, segment| {
        segment.flags = [Flags::ACK, Flags::ACK | Flags::FIN, Flags::ACK | Flags::PSH][random.usize(0..3)];
        segment.acknowledgment = random.u32(..);
        segment.payload = vec![1; random.usize(0..100)];
    });
}

#[test]
fn a_flood_of_resets_leaves_nothing_behind_and_disturbs_nobody() {
    flood(|_, segment| segment.flags = Flags::RST);
}

fn flood(mut make: impl FnMut(&mut Rng, &mut Segment)) {
    for seed in 0..6 {
        let mut scenario = Scenario::random(seed);
        scenario.plan = FaultPlan::perfect(seed, Duration::from_millis(2));
        let entries = 64;
        scenario.configs[1].handshake = [Handshake::Cookies, Handshake::Queue { entries }][seed as usize % 2];
        scenario.purpose.talks_mut().into_iter().for_each(|talk| talk.patience = None);
        scenario.configs.iter_mut().for_each(|config| config.receive_memory = 64 << 20);
        let (mut network, tallies) = scenario.build();
        let mut random = Rng::with_seed(seed);
        let server = SocketAddr::new(scenario.addresses()[1], PORT);
        let mut over = false;
        for round in 0..1_000_000 {
            over = tallies.iter().all(|tally| tally.borrow().ending.is_some());
            network.run(Duration::from_millis(1), |_| false);
            if over && round > ROUNDS {
                break;
            }
            for _ in 0..if round < ROUNDS { PACKETS } else { 0 } {
                let mut segment = Segment::new(SocketAddr::new(stranger(server.ip(), &mut random), 9), server);
                segment.sequence = random.u32(..);
                segment.window = 65_535;
                make(&mut random, &mut segment);
                network.forge(1, segment.encode());
            }
            let connections = network.server.tcp().connections();
            assert!(connections <= 1 + entries as usize, "{connections} connections in a flood");
        }
        assert!(over, "seed {seed} does not end");
        for tally in tallies {
            assert!(tally.borrow().complete, "{scenario}\n{:?}", tally.borrow());
        }
    }
}

fn stranger(like: IpAddr, random: &mut Rng) -> IpAddr {
    match like {
        IpAddr::V4(_) => [11, random.u8(..), random.u8(..), random.u8(..)].into(),
        IpAddr::V6(_) => [0xfd01, 0, 0, 0, 0, random.u16(..), random.u16(..), random.u16(..)].into(),
    }
}
