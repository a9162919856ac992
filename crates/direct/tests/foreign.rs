//! Memory that other processes share, sent over a cable in memory while it is being written.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use afpa_direct::frames::memory::{MemoryDevice, cable, lending_cable};
use afpa_engine::Transport;
use afpa_engine::seam::{Segment, Time};
use afpa_platform::foreign::ForeignMemory;
use afpa_tcp::{Checksum, Config};

mod support;

use support::{PORT, Place, Side, digest, pattern};

const LENGTH: usize = 300_000;

/// Two ends of a cable.
fn ends(cable: (MemoryDevice, MemoryDevice)) -> [Side; 2] {
    ends_with(cable, Checksum::Stored)
}

fn ends_with((near, far): (MemoryDevice, MemoryDevice), checksum: Checksum) -> [Side; 2] {
    let side = |device, number: u8| {
        let addresses = [IpAddr::from([10, 0, 0, number])];
        let link = [2, 0, 0, 0, 0, number];
        let tcp = Config { checksum, ..Config::default() };
        Side::new(Box::new(device), Place { link, addresses: &addresses, is_host: false, kernel: None, tcp })
    };
    [side(near, 1), side(far, 2)]
}

fn shared(octets: &[u8]) -> Arc<ForeignMemory> {
    let memory = ForeignMemory::create(octets.len()).unwrap();
    memory.write(0, octets);
    Arc::new(memory)
}

/// Goes on until it is over, or has lasted far too long, while another thread writes all over the memory.
fn while_written(memory: &ForeignMemory, mut is_over_after_pass: impl FnMut() -> bool) {
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
        let _ = (0..100_000).any(|_| is_over_after_pass());
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn it_arrives_as_it_lies_and_is_let_go_of_when_it_is_acknowledged() {
    assert_eq!(arrives(ends(cable(256))), 0);
}

#[test]
fn a_device_that_knows_it_sends_it_from_where_it_lies() {
    for checksum in [Checksum::Stored, Checksum::Computed] {
        let lent = arrives(ends_with(lending_cable(256), checksum));
        assert!(lent >= LENGTH as u64, "{lent} octets");
    }
}

/// Sends, with losses. Returns how many octets were not copied.
fn arrives([mut near, mut far]: [Side; 2]) -> u64 {
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
    assert_eq!(far.direct.stats().tcp().broken_checksums, 0);
    near.direct.stats().lent_octets.get()
}

#[test]
fn who_writes_what_is_sent_from_where_it_lies_delays_nobody_but_himself() {
    let [mut near, mut far] = ends(lending_cable(256));
    let mut now = Time(1_000_000_000);
    let memory = shared(&pattern(LENGTH));
    let scribbled = near.connect(&format!("10.0.0.2:{PORT}"));
    near.say(scribbled, format!("put {LENGTH}\n").as_bytes());
    near.direct.calls().send(scribbled, Segment::Foreign(memory.slice(0..LENGTH)));
    let other = near.connect(&format!("10.0.0.2:{PORT}"));
    let octets = pattern(LENGTH / 3);
    let still = shared(&octets);
    near.say(other, format!("put {}\n", octets.len()).as_bytes());
    near.direct.calls().send(other, Segment::Foreign(still.slice(0..octets.len())));
    let mut pass = |near: &mut Side, far: &mut Side| {
        now = now.after(Duration::from_micros(100));
        near.poll(now, Duration::ZERO);
        far.poll(now, Duration::ZERO);
    };
    while_written(&memory, || {
        pass(&mut near, &mut far);
        !near.heard(other).is_empty()
    });
    assert_eq!(near.heard(other), format!("{}\n", digest(&octets)).as_bytes());
    let mut rounds = 0;
    while near.heard(scribbled).is_empty() && rounds < 1_000_000 {
        rounds += 1;
        pass(&mut near, &mut far);
    }
    assert!(!near.heard(scribbled).is_empty(), "never answered: {:?}", near.app.events);
}

#[test]
fn a_segment_s_sum_is_that_of_what_is_sent_whoever_writes_meanwhile() {
    let [mut near, mut far] = ends(cable(256));
    let mut now = Time(1_000_000_000);
    let memory = shared(&pattern(LENGTH));
    let connection = near.connect(&format!("10.0.0.2:{PORT}"));
    near.say(connection, format!("put {LENGTH}\n").as_bytes());
    near.direct.calls().send(connection, Segment::Foreign(memory.slice(0..LENGTH)));
    while_written(&memory, || {
        now = now.after(Duration::from_micros(100));
        near.poll(now, Duration::ZERO);
        far.poll(now, Duration::ZERO);
        !near.heard(connection).is_empty()
    });
    assert!(!near.heard(connection).is_empty(), "never answered: {:?}", near.app.events);
    let stats = [&near, &far].map(|side| side.direct.stats().tcp().broken_checksums);
    assert_eq!(stats, [0, 0], "each segment was whole");
}
