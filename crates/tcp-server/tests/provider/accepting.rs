//! Connections that are accepted ahead of the application.

use afpa_channel::slot::{command, state};
use afpa_engine::memory::Ending;
use afpa_tcp_server::{Limits, Settings};

use crate::common::App;
use crate::stage::{Setting, Stage, stage};

fn eager(count: u32) -> Stage {
    let provider = Settings { eager_accept: count, ..Settings::default() };
    Stage::new(Setting { provider, ..Setting::default() })
}

fn waiting(app: &App, listener: u32) -> u32 {
    app.slot(listener).receive_ring().readable(app.slot(listener).taken()).unwrap() / 8
}

#[test]
fn as_many_are_accepted_as_may_wait_and_the_others_are_not_read() {
    let mut stage = eager(2);
    let (app, listener) = stage.listener();
    let peers: Vec<_> = (0..5).map(|_| stage.network.connect(stage.owner)).collect();
    for (number, peer) in peers.iter().enumerate() {
        peer.send(&[number as u8; 10]);
    }
    stage.passes(3);
    assert_eq!((waiting(&app, listener), stage.stats.accepted.get()), (2, 2));
    assert!(app.has(listener, state::LISTENING | state::STALLED));
    assert_eq!(stage.stats.received_octets.get(), 20);
    for number in 0..5 {
        let slot = app.accept(listener).expect("a connection waits");
        stage.passes(3);
        assert_eq!(app.take(slot, 100), [number; 10], "in their order");
    }
    assert_eq!(app.accept(listener), None);
    assert_eq!(app.slot(listener).state(), state::LISTENING);
}

#[test]
fn without_eagerness_one_is_accepted_for_each_that_is_wanted() {
    let mut stage = eager(0);
    let (app, listener) = stage.listener();
    let _peers: Vec<_> = (0..3).map(|_| stage.network.connect(stage.owner)).collect();
    stage.passes(3);
    assert_eq!(waiting(&app, listener), 0);
    app.slot(listener).want(1);
    app.attend(listener);
    stage.passes(3);
    assert_eq!(waiting(&app, listener), 1);
    app.slot(listener).want(0);
    assert!(app.accept(listener).is_some());
    stage.passes(3);
    assert_eq!(waiting(&app, listener), 0);
}

#[test]
fn a_connection_that_ends_while_it_waits_for_credit_leaves_its_turn_to_the_next() {
    let mut stage = eager(1);
    let (app, listener) = stage.listener();
    let peers: Vec<_> = (0..3).map(|_| stage.network.connect(stage.owner)).collect();
    stage.passes(3);
    peers[1].reset();
    peers[2].send(b"third");
    stage.passes(3);
    assert!(app.accept(listener).is_some());
    stage.passes(4);
    let slot = app.accept(listener).expect("the third");
    stage.passes(2);
    assert_eq!(app.take(slot, 10), b"third");
}

#[test]
fn a_listener_that_closes_resets_what_nobody_has_accepted() {
    let mut stage = eager(2);
    let (app, listener) = stage.listener();
    let peers: Vec<_> = (0..4).map(|_| stage.network.connect(stage.owner)).collect();
    stage.passes(3);
    let kept = app.accept(listener).unwrap();
    stage.passes(3);
    app.command(listener, command::CLOSE);
    stage.passes(4);
    let endings: Vec<_> = peers.iter().map(|peer| peer.ending()).collect();
    assert_eq!(endings, [None, Some(Ending::Reset), Some(Ending::Reset), Some(Ending::Reset)]);
    assert!(app.slot(listener).generation().is_multiple_of(2));
    peers[0].send(b"still there");
    stage.passes(2);
    assert_eq!(app.take(kept, 100), b"still there");
    let late = stage.network.connect(stage.owner);
    stage.passes(2);
    assert_eq!(late.ending(), Some(Ending::Reset), "nobody listens");
}

#[test]
fn a_connection_waits_for_a_slot_to_be_free() {
    // One for the listener, 31 for connections.
    let mut stage = Stage::new(Setting { slots: 32, ..Setting::default() });
    let (app, listener) = stage.listener();
    let peers: Vec<_> = (0..33).map(|_| stage.network.connect(stage.owner)).collect();
    stage.passes(3);
    let slots: Vec<_> = std::iter::from_fn(|| app.accept(listener)).collect();
    assert_eq!((slots.len(), app.accept(listener)), (31, None));
    peers[32].send(b"last");
    for slot in &slots[..2] {
        app.command(*slot, command::CLOSE);
        stage.passes(4);
    }
    let accepted: Vec<_> = std::iter::from_fn(|| app.accept(listener)).collect();
    assert_eq!(accepted.len(), 2);
    stage.passes(2);
    assert_eq!(app.take(accepted[1], 10), b"last");
}

#[test]
fn slots_of_all_applications_together_are_bounded() {
    let limits = Limits { slots: 3, ..Limits::default() };
    let mut stage = Stage::new(Setting { limits, ..Setting::default() });
    let (first, listener) = stage.listener();
    let _peers: Vec<_> = (0..3).map(|_| stage.network.connect(stage.owner)).collect();
    stage.passes(3);
    let slots: Vec<_> = std::iter::from_fn(|| first.accept(listener)).collect();
    assert_eq!(slots.len(), 2);
    let second = stage.attach();
    let refused = second.try_listen().unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(rustix::io::Errno::NFILE.raw_os_error()));
    first.command(slots[0], command::CLOSE);
    stage.until("the third, which had waited", |_| first.accept(listener).is_some());
}

#[test]
fn a_use_of_a_slot_leaves_nothing_to_the_next() {
    let mut stage = stage();
    let (app, listener) = stage.listener();
    let mut uses = Vec::new();
    for round in 0..4u8 {
        let peer = stage.network.connect(stage.owner);
        peer.send(&[round; 3]);
        stage.passes(3);
        let slot = app.accept(listener).unwrap();
        uses.push((slot, app.slot(slot).generation()));
        assert_eq!(app.take(slot, 100), [round; 3]);
        app.slot(slot).want(77);
        app.give(slot, &[round; 5]);
        app.command(slot, command::CLOSE);
        stage.passes(4);
        assert_eq!(peer.read(100), [round; 5]);
    }
    uses.dedup_by_key(|(slot, _)| *slot);
    assert_eq!(uses.len(), 1, "one slot serves them all");
}
