//! Octets both ways, and what holds them back.

use afpa_channel::slot::{command, state};
use afpa_engine::memory::MemoryConfig;
use afpa_tcp_server::Settings;

use crate::common::pattern;
use crate::stage::{Setting, Stage, stage};

#[test]
fn octets_go_both_ways() {
    let mut stage = stage();
    let (app, slot, peer) = stage.connected();
    assert!(app.has(slot, state::CONNECTED));
    assert_eq!(app.slot(slot).peer().unwrap().to_string(), "192.0.2.7:5000");
    assert_eq!(app.slot(slot).local().unwrap().to_string(), "192.0.2.1:80");
    peer.send(b"hello");
    stage.passes(2);
    assert_eq!(app.take(slot, 100), b"hello");
    assert_eq!(app.give(slot, b"world"), 5);
    stage.passes(2);
    assert_eq!(peer.read(100), b"world");
    assert_eq!(app.slot(slot).sent(), 5);
    assert_eq!((stage.stats.received_octets.get(), stage.stats.sent_octets.get()), (5, 5));
}

#[test]
fn streams_larger_than_their_rings_arrive_whole() {
    for window in [usize::MAX, 100, 5000] {
        let network = MemoryConfig { window, send_buffer: 3000, ..Setting::default().network };
        let mut stage = Stage::new(Setting { network, ..Setting::default() });
        let (app, slot, peer) = stage.connected();
        let octets = pattern(100_000);
        let (mut sent, mut received, mut arrived) = (0, Vec::new(), Vec::new());
        peer.send(&octets);
        stage.until("both streams are through", |_| {
            sent += app.give(slot, &octets[sent..]);
            received.extend(app.take(slot, 1000));
            arrived.extend(peer.read(700));
            received.len() == octets.len() && arrived.len() == octets.len()
        });
        assert!(received == octets && arrived == octets);
    }
}

#[test]
fn the_ring_is_free_when_tcp_has_taken_over_what_is_in_it() {
    let network = MemoryConfig { window: 1000, ..Setting::default().network };
    let mut stage = Stage::new(Setting { network, ..Setting::default() });
    let (app, slot, peer) = stage.connected();
    assert_eq!(app.give(slot, &pattern(5000)), 4096);
    stage.passes(3);
    assert_eq!((app.slot(slot).sent(), app.give(slot, b"no room for more than was taken"[..].as_ref())), (1000, 31));
    assert_eq!(peer.read(600).len(), 600);
    stage.passes(2);
    assert_eq!(app.slot(slot).sent(), 1600);
}

#[test]
fn eager_receive_is_bounded_until_somebody_waits() {
    let provider = Settings { eager_receive: 10, ..Settings::default() };
    let mut stage = Stage::new(Setting { provider, ..Setting::default() });
    let (app, slot, peer) = stage.connected();
    peer.send(&pattern(100));
    stage.passes(3);
    let waiting = |app: &crate::common::App| app.slot(slot).receive_ring().readable(app.slot(slot).taken()).unwrap();
    assert_eq!(waiting(&app), 10);
    assert!(app.has(slot, state::STALLED));
    app.slot(slot).want(40);
    app.attend(slot);
    stage.passes(3);
    assert_eq!(waiting(&app), 40);
    app.slot(slot).want(0);
    assert_eq!(app.take(slot, 35), &pattern(100)[..35]);
    stage.passes(3);
    assert_eq!(waiting(&app), 10);
    app.slot(slot).want(1000);
    app.attend(slot);
    stage.passes(3);
    assert_eq!(app.take(slot, 1000), &pattern(100)[35..]);
    assert!(!app.has(slot, state::STALLED));
}

#[test]
fn what_there_is_no_room_for_stays_with_tcp() {
    let mut stage = stage();
    let (app, slot, peer) = stage.connected();
    peer.send(&pattern(6000));
    stage.passes(8);
    assert!(app.has(slot, state::STALLED));
    assert_eq!(stage.stats.received_octets.get(), 4096);
    assert_eq!(app.take(slot, 9000), &pattern(6000)[..4096]);
    stage.passes(4);
    assert_eq!(app.take(slot, 9000), &pattern(6000)[4096..]);
    assert!(!app.has(slot, state::STALLED));
}

#[test]
fn an_application_connects() {
    let mut stage = stage();
    let app = stage.attach();
    let slot = app.connect("192.0.2.9:443".parse().unwrap());
    assert!(app.has(slot, state::CONNECTING));
    app.slot(slot).wait(true);
    stage.until("the connection is there", |_| app.has(slot, state::CONNECTED));
    assert!(!app.has(slot, state::CONNECTING));
    let (peer, to) = stage.network.accept().expect("a connection");
    assert_eq!(to.to_string(), "192.0.2.9:443");
    app.give(slot, b"request");
    stage.passes(2);
    assert_eq!(peer.read(10), b"request");
    peer.send(b"answer");
    peer.finish();
    stage.passes(3);
    assert_eq!(app.take(slot, 10), b"answer");
    app.command(slot, command::CLOSE);
    stage.passes(4);
    assert_eq!((stage.stats.connected.get(), stage.stats.open.get()), (1, 0));
    assert!(app.slot(slot).generation().is_multiple_of(2));
}

#[test]
fn a_connection_that_is_closed_while_it_is_opened_comes_to_nothing() {
    let mut stage = stage();
    let app = stage.attach();
    let slot = app.connect("192.0.2.9:443".parse().unwrap());
    app.command(slot, command::CLOSE);
    stage.until("the slot is free", |_| app.slot(slot).generation().is_multiple_of(2));
    assert_eq!(stage.stats.connected.get(), 0);
}
