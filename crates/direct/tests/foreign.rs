//! Memory that other processes share, sent over a cable in memory while it is being written.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use afpa_direct::frames::memory::cable;
use afpa_engine::Transport;
use afpa_engine::seam::{Segment, Time};
use afpa_platform::foreign::ForeignMemory;
use afpa_tcp::Config;

mod support;

use support::{PORT, Place, Side, digest, pattern};

const LENGTH: usize = 300_000;

/// Two ends of a cable.
fn ends() -> [Side; 2] {
    let (near, far) = cable(256);
    let side = |device, number: u8| {
        let addresses = [IpAddr::from([10, 0, 0, number])];
        let link = [2, 0, 0, 0, 0, number];
        let tcp = Config::default();
        Side::new(Box::new(device), Place { link, addresses: &addresses, is_host: false, kernel: None, tcp })
    };
    [side(near, 1), side(far, 2)]
}

fn shared(octets: &[u8]) -> Arc<ForeignMemory> {
    let memory = ForeignMemory::create(octets.len()).unwrap();
    memory.write(0, octets);
    Arc::new(memory)
}

#[test]
fn it_arrives_as_it_lies_and_is_let_go_of_when_it_is_acknowledged() {
    let [mut near, mut far] = ends();
    let mut now = Time(1_000_000_000);
    let octets = pattern(LENGTH);
    let memory = shared(&octets);
    let connection = near.connect(&format!("10.0.0.2:{PORT}"));
    near.say(connection, format!("put {}\n", LENGTH + 3).as_bytes());
    near.direct.calls().send(connection, Segment::Foreign(memory.slice(0..1)));
    near.say(connection, b"odd");
    near.direct.calls().send(connection, Segment::Foreign(memory.slice(1..LENGTH)));
    let expected = format!("{}\n", digest(&[&octets[..1], b"odd", &octets[1..]].concat()));
    for round in 0.. {
        assert!(round < 100_000, "never answered: {:?}", near.app.events);
        now = now.after(Duration::from_micros(100));
        near.poll(now, Duration::ZERO);
        // For a while the far end hears nothing, so that the first segments are sent again.
        if !(3..=50_000).contains(&round) {
            far.poll(now, Duration::ZERO);
        }
        if near.heard(connection) == expected.as_bytes() {
            break;
        }
    }
    assert_eq!(Arc::strong_count(&memory), 1, "all of it is acknowledged");
}

#[test]
fn a_segment_s_sum_is_that_of_what_is_sent_whoever_writes_meanwhile() {
    let [mut near, mut far] = ends();
    let mut now = Time(1_000_000_000);
    let memory = shared(&pattern(LENGTH));
    let connection = near.connect(&format!("10.0.0.2:{PORT}"));
    near.say(connection, format!("put {LENGTH}\n").as_bytes());
    near.direct.calls().send(connection, Segment::Foreign(memory.slice(0..LENGTH)));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for octet in (0..=255u8).cycle() {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                memory.write(0, &vec![octet; LENGTH]);
            }
        });
        let mut rounds = 0;
        while near.heard(connection).is_empty() && rounds < 100_000 {
            rounds += 1;
            now = now.after(Duration::from_micros(100));
            near.poll(now, Duration::ZERO);
            far.poll(now, Duration::ZERO);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(!near.heard(connection).is_empty(), "never answered: {:?}", near.app.events);
    let stats = [&near, &far].map(|side| side.direct.stats().tcp().broken_checksums);
    assert_eq!(stats, [0, 0], "each segment was whole");
}
