//! The socket provider on a network of memory: what the peer and the application see.

mod ends;
mod stage;

use crate::stage::{pattern, stage};
use afpa_channel::slot::state;

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
}

#[test]
fn streams_larger_than_their_rings_arrive_whole() {
    let mut stage = stage();
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
