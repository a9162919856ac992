//! Applications that write what they must not: it costs them what they wrote it for, and others nothing.

use std::sync::atomic::Ordering;

use afpa_channel::Memory;
use afpa_channel::control::{Content, Reply, Request};
use afpa_channel::job_ring::{Job, Source};
use afpa_channel::layout::words;
use afpa_channel::slot::state;
use afpa_engine::memory::Ending;
use proptest::prelude::*;

use crate::common::{App, pattern};
use crate::stage::stage;

/// Writes a word of a slot.
fn scribble(app: &App, slot: u32, word: usize, value: u32) {
    let at = app.region.geometry().slot(slot) + word;
    app.region.memory().word(at).store(value, Ordering::Release);
}

#[test]
fn indexes_that_cannot_be_cost_the_connection() {
    for (word, value) in [
        (words::GIVEN, 5000),
        (words::GIVEN, u32::MAX),
        (words::TAKEN, 1),
        (words::TAKEN, 1 << 31),
        (words::JOBS_POSTED, 17),
        (words::JOBS_POSTED, 1),
        (words::RECEIVES_POSTED, 9),
    ] {
        let mut stage = stage();
        let (app, slot, peer) = stage.connected();
        let (other, other_slot, other_peer) = stage.another(&app);
        scribble(&app, slot, word, value);
        app.attend(slot);
        peer.send(b"x");
        stage.passes(3);
        assert_eq!((peer.ending(), stage.stats.forged.get()), (Some(Ending::Reset), 1), "{word}: {value}");
        assert!(app.has(slot, state::FAILED));
        other_peer.send(b"fine");
        stage.passes(2);
        assert_eq!(other.take(other_slot, 10), b"fine");
    }
}

#[test]
fn jobs_that_cannot_be_cost_the_connection() {
    for (source, offset, length, ahead) in [
        (Source::Memory(7), 0, 1, 0),
        (Source::Memory(0), 4000, 97, 0),
        (Source::Memory(0), u64::MAX, 2, 0),
        (Source::Memory(0), 0, u64::MAX, 0),
        (Source::File(3), 0, 1, 0),
        (Source::Object(0), 4000, 97, 0),
        (Source::Object(0), u64::MAX, 2, 0),
        (Source::Object(1), 0, 1, 0),
        (Source::Object(u32::MAX), 0, 1, 0),
        (Source::Memory(0), 0, 1, 100),
        (Source::Memory(0), 0, 1, u32::MAX),
    ] {
        let mut stage = stage();
        let (app, slot, peer) = stage.connected();
        let memory = app.register(&afpa_platform::foreign::ForeignMemory::create(4096).unwrap());
        let from = Content::Memory { memory, offset: 0, length: 4096 };
        assert_eq!(app.ask(&Request::Publish { key: vec![7], from }, &[]).unwrap(), Reply::Done);
        app.ask(&Request::FindObject { key: vec![7] }, &[]).unwrap();
        let after = app.slot(slot).given().wrapping_add(ahead);
        app.slot(slot).post_job(Job { source, offset, length, after }).unwrap();
        app.attend(slot);
        stage.passes(3);
        assert_eq!((peer.ending(), stage.stats.forged.get()), (Some(Ending::Reset), 1), "{source:?} {offset} {length}");
    }
}

#[test]
fn a_forged_listener_fails_and_what_waits_in_it_is_reset() {
    for taken in [3, 16, u32::MAX] {
        let mut stage = stage();
        let (app, listener) = stage.listener();
        let peer = stage.network.connect(stage.owner);
        stage.passes(2);
        scribble(&app, listener, words::TAKEN, taken);
        app.attend(listener);
        stage.passes(4);
        assert!(app.has(listener, state::FAILED), "{taken}");
        assert_eq!(peer.ending(), Some(Ending::Reset));
    }
}

#[test]
fn bits_of_slots_that_are_not_used_and_subscribers_that_are_no_queues_are_nothing() {
    let mut stage = stage();
    let (app, slot, peer) = stage.connected();
    for free in 0..app.region.geometry().slots() {
        app.region.attend_bits(0).set(free);
    }
    for word in (words::SUBSCRIBERS..words::RECEIVE_LOCK).step_by(4) {
        scribble(&app, slot, word, u32::MAX);
    }
    for queue in 0..app.region.geometry().queues() {
        app.region.queue_bell(queue).sleep();
    }
    peer.send(b"hello");
    stage.passes(3);
    assert_eq!(app.take(slot, 10), b"hello");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_an_application_scribbles_the_server_and_the_others_live(
        writes in prop::collection::vec((any::<prop::sample::Index>(), any::<u32>(), any::<bool>()), 1..120),
    ) {
        let mut stage = stage();
        let (forger, listener) = stage.listener();
        let peers: Vec<_> = (0..3).map(|_| stage.network.connect(stage.owner)).collect();
        stage.passes(2);
        let _ = forger.accept(listener);
        let (other, slot, peer) = stage.another(&forger);
        let octets = pattern(4 * writes.len());
        let geometry = forger.region.geometry();
        // Everything in front of the rings, and the first slots most of all.
        let (all, slots) = (geometry.receive_ring(0) / 4, geometry.slot(0) / 4);
        let (mut received, mut sent) = (Vec::new(), Vec::new());
        for (number, (at, value, near)) in writes.iter().enumerate() {
            let word = if *near { slots + at.index(4 * words::SLOT / 4) } else { at.index(all) };
            forger.region.memory().word(4 * word).store(*value, Ordering::Relaxed);
            (0..geometry.slots()).for_each(|slot| forger.region.attend_bits(0).set(slot));
            let part = &octets[4 * number..4 * number + 4];
            peers.iter().for_each(|peer| peer.send(part));
            peer.send(part);
            other.give(slot, part);
            stage.pass();
            received.extend(other.take(slot, 100));
            sent.extend(peer.read(100));
        }
        stage.passes(4);
        received.extend(other.take(slot, 1000));
        sent.extend(peer.read(1000));
        prop_assert!(received == octets && sent == octets);
        drop(forger);
        stage.until("the forger is gone", |stage| stage.status().applications.len() == 1 && stage.stats.open.get() == 1);
    }
}
