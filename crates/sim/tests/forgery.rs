//! Segments from off the path: whoever knows the addresses and ports of a connection, but has not seen its segments,
//! neither ends it nor slips anything in (RFC 5961).

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use afpa_sim::icmp::{Complaint, complain};
use afpa_sim::{FaultPlan, Flags, Host, Network, PORT, Scenario, Segment};
use fastrand::Rng;

const SEEDS: u64 = 800;
/// Forged segments between two looks at the connection.
const FORGED: usize = 20;

#[test]
fn a_forged_segment_neither_ends_a_connection_nor_adds_to_it() {
    let (first, count) = common::seeds(SEEDS);
    let mut rejected = [0; 4];
    for seed in first..first + count {
        let mut scenario = Scenario::random(seed);
        scenario.plan = FaultPlan::perfect(seed, Duration::from_millis(5));
        scenario.purpose.talks_mut().into_iter().for_each(|talk| talk.patience = None);
        scenario.configs.iter_mut().for_each(|config| config.receive_memory = 64 << 20);
        let (mut network, tallies) = scenario.build();
        let mut random = Rng::with_seed(seed);
        let mut over = false;
        for _ in 0..100_000 {
            over = network.run(Duration::from_millis(20), |network| {
                network.client.tcp().connections() == 0 && network.server.tcp().connections() == 0
            });
            if over {
                break;
            }
            forge(&scenario, &mut network, &mut random);
        }
        assert!(over, "seed {seed} does not end");
        for tally in tallies {
            assert!(tally.borrow().complete, "{scenario}\n{:?}", tally.borrow());
        }
        for stats in [network.client.tcp().stats(), network.server.tcp().stats()] {
            let counts =
                [stats.challenges_sent, stats.acknowledgments_rejected, stats.icmp_rejected, stats.unacceptable];
            rejected.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
    }
    println!("{count} seeds: challenges, acknowledgments, ICMP, out of window: {rejected:?}");
    assert!(count < SEEDS || rejected.iter().all(|count| *count > 0), "{rejected:?}");
}

fn forge(scenario: &Scenario, network: &mut Network<Host, Host>, random: &mut Rng) {
    let Some(sent) = network.last_sent(0).cloned() else { return };
    let [client, server] = scenario.addresses();
    let ends = [SocketAddr::new(client, sent.source.port()), SocketAddr::new(server, PORT)];
    for _ in 0..random.usize(0..FORGED) {
        let target = random.usize(0..2);
        let mut segment = Segment::new(ends[1 - target], ends[target]);
        // The attacker's luck is taken for granted where RFC 5961 does: the number lies within the window. Beyond
        // everything that was sent it is never exactly the next one.
        let Some(known) = network.last_sent(1 - target) else { continue };
        let edge = known.sequence.wrapping_add(known.length());
        segment.sequence = edge.wrapping_add([random.u32(100_000_000..), random.u32(1..4_000)][random.usize(0..2)]);
        // An acknowledgment is never guessed: with both it is an attacker on the path.
        segment.acknowledgment = known.acknowledgment.wrapping_add(random.u32(0x2000_0000..0xe000_0000));
        segment.window = random.u16(..);
        segment.flags = [
            Flags::RST,
            Flags::RST | Flags::ACK,
            Flags::SYN,
            Flags::SYN | Flags::ACK,
            Flags::FIN | Flags::ACK,
            Flags::ACK,
            Flags::NONE,
        ][random.usize(0..7)];
        if !segment.flags.contains(Flags::RST) && !segment.flags.contains(Flags::SYN) {
            segment.payload = vec![0xee; random.usize(0..500)];
        }
        let packet = match random.u8(0..6) {
            0 => quote(scenario, segment, random),
            _ => Some(segment.encode()),
        };
        packet.into_iter().for_each(|packet| network.forge(target, packet));
    }
}

/// An ICMP error about a segment that was never sent.
fn quote(scenario: &Scenario, mut segment: Segment, random: &mut Rng) -> Option<Vec<u8>> {
    std::mem::swap(&mut segment.source, &mut segment.destination);
    let from = scenario.addresses()[random.usize(0..2)];
    let complaint = [Complaint::TooBig(600), Complaint::TooBig(1_280), Complaint::PortUnreachable][random.usize(0..3)];
    segment.sequence = segment.sequence.wrapping_add(0x4000_0000);
    complain(from, &segment.encode(), complaint)
}
