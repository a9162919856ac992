//! How connections end.

use afpa_channel::slot::{command, state};
use afpa_engine::memory::Ending;

use crate::common::pattern;
use crate::stage::stage;

#[test]
fn a_close_sends_what_is_queued_and_then_fin() {
    let mut stage = stage();
    let (app, slot, peer) = stage.connected();
    app.give(slot, &pattern(3000));
    app.command(slot, command::CLOSE);
    stage.passes(4);
    assert_eq!((peer.read(9000), peer.ending()), (pattern(3000), Some(Ending::Finished)));
    assert!(app.slot(slot).generation().is_multiple_of(2), "the slot is free");
    assert_eq!(stage.stats.open.get(), 0);
    assert_eq!(stage.stats.closed.get(), 1);
}

#[test]
fn a_close_with_octets_unread_resets() {
    let mut stage = stage();
    let (app, slot, peer) = stage.connected();
    peer.send(b"nobody reads this");
    stage.passes(2);
    app.command(slot, command::CLOSE);
    stage.passes(2);
    assert_eq!(peer.ending(), Some(Ending::Reset));
    assert!(app.slot(slot).generation().is_multiple_of(2));
}

#[test]
fn an_abort_resets_in_place_of_what_is_queued() {
    let mut stage = stage();
    let (app, slot, peer) = stage.connected();
    app.command(slot, command::CLOSE | command::ABORT);
    stage.passes(2);
    assert_eq!(peer.ending(), Some(Ending::Reset));
}

#[test]
fn both_directions_end_by_themselves() {
    let mut stage = stage();
    let (app, slot, peer) = stage.connected();
    peer.send(b"last");
    peer.finish();
    stage.passes(3);
    assert!(app.has(slot, state::PEER_FINISHED));
    assert_eq!(app.take(slot, 10), b"last");
    app.give(slot, b"answer");
    app.command(slot, command::FINISH);
    stage.passes(3);
    assert_eq!((peer.read(10), peer.ending()), (b"answer".to_vec(), Some(Ending::Finished)));
    assert!(app.has(slot, state::FINISHED) && !app.has(slot, state::FAILED));
    assert!(!app.slot(slot).generation().is_multiple_of(2), "it is the application's until it closes");
    app.command(slot, command::CLOSE);
    stage.passes(2);
    assert!(app.slot(slot).generation().is_multiple_of(2));
}

#[test]
fn the_end_of_the_stream_comes_behind_everything() {
    let mut stage = stage();
    let (app, slot, peer) = stage.connected();
    let octets = pattern(10_000);
    peer.send(&octets);
    peer.finish();
    let mut received = Vec::new();
    stage.until("the end", |_| {
        // Looked at before the ring, as an application does.
        let is_end = app.has(slot, state::PEER_FINISHED);
        received.extend(app.take(slot, 500));
        is_end && app.slot(slot).receive_ring().readable(app.slot(slot).taken()) == Ok(0)
    });
    assert!(received == octets);
}

#[test]
fn a_reset_is_told_with_its_reason_and_what_came_before_stays() {
    let mut stage = stage();
    let (app, slot, peer) = stage.connected();
    peer.send(b"before");
    stage.passes(2);
    peer.reset();
    stage.passes(2);
    assert!(app.has(slot, state::FAILED));
    assert_eq!(app.slot(slot).error(), rustix::io::Errno::CONNRESET.raw_os_error() as u32);
    assert_eq!(app.take(slot, 10), b"before");
    app.command(slot, command::CLOSE);
    stage.passes(2);
    assert!(app.slot(slot).generation().is_multiple_of(2));
}

#[test]
fn what_is_not_wanted_is_thrown_away() {
    let mut stage = stage();
    let (app, slot, peer) = stage.connected();
    app.command(slot, command::DISCARD);
    stage.pass();
    peer.send(&pattern(100_000));
    peer.finish();
    stage.until("the end", |_| app.has(slot, state::PEER_FINISHED));
    assert_eq!(app.take(slot, 10), b"");
}

#[test]
fn when_the_last_process_is_gone_its_connections_end_and_nothing_is_left() {
    let mut stage = stage();
    let (app, slot, peer) = stage.connected();
    app.give(slot, b"last words");
    let region = app.region.clone();
    drop(app);
    stage.until("the slot is free", |_| region.slot(slot).generation().is_multiple_of(2));
    assert_eq!((peer.read(100), peer.ending()), (b"last words".to_vec(), Some(Ending::Finished)));
    stage.until("the region is let go", |_| std::sync::Arc::strong_count(region.memory()) == 1);
    assert!(region.has_ended());
    let status = stage.status();
    assert_eq!((status.applications.len(), stage.stats.open.get()), (0, 0));
}
