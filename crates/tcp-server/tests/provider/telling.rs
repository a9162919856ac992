//! Who is told of what, and who is rung.

use std::io::{PipeReader, Read};
use std::os::fd::AsFd;

use afpa_channel::control::{Reply, Request};
use rustix::io::Errno;

use crate::common::{App, pattern};
use crate::stage::stage;

fn queue(app: &App) -> (u32, PipeReader) {
    let (ours, theirs) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&ours, true).unwrap();
    match app.ask(&Request::OpenQueue, &[theirs.as_fd()]).unwrap() {
        Reply::Queue { queue } => (queue, ours),
        other => panic!("{other:?}"),
    }
}

fn told(app: &App, queue: u32) -> Vec<u32> {
    let mut slots = Vec::new();
    app.region.happened_bits(queue).take(|slot| slots.push(slot));
    slots
}

#[test]
fn a_queue_is_told_and_rung_only_while_it_sleeps() {
    let mut stage = stage();
    let (app, slot, peer) = stage.connected();
    let (number, mut doorbell) = queue(&app);
    app.slot(slot).subscribe(number, false);
    peer.send(b"awake");
    stage.passes(2);
    assert_eq!((told(&app, number), stage.stats.rung.get()), (vec![slot], 0));
    app.region.queue_bell(number).sleep();
    peer.send(b"asleep");
    stage.passes(2);
    let mut octets = [0; 8];
    assert_eq!((doorbell.read(&mut octets).unwrap(), told(&app, number)), (1, vec![slot]));
    peer.send(b"not rung again");
    stage.passes(2);
    assert!(doorbell.read(&mut octets).is_err());
    assert_eq!(told(&app, number), [slot]);
}

#[test]
fn a_listener_tells_of_connections() {
    let mut stage = stage();
    let (app, listener) = stage.listener();
    let (number, _doorbell) = queue(&app);
    app.slot(listener).subscribe(number, true);
    let _peer = stage.network.connect(stage.owner);
    stage.passes(2);
    assert_eq!(told(&app, number), [listener]);
}

#[test]
fn room_and_jobs_are_told_of_only_when_somebody_waits() {
    let mut stage = stage();
    let (app, slot, peer) = stage.connected();
    let (number, _doorbell) = queue(&app);
    app.slot(slot).subscribe(number, false);
    app.give(slot, &pattern(100));
    stage.passes(3);
    assert_eq!((peer.read(100).len(), told(&app, number).len()), (100, 0));
    app.slot(slot).wait(true);
    app.give(slot, &pattern(100));
    stage.passes(3);
    assert_eq!(told(&app, number), [slot]);
}

#[test]
fn the_end_is_told() {
    let mut stage = stage();
    let (app, slot, peer) = stage.connected();
    let (number, _doorbell) = queue(&app);
    app.slot(slot).subscribe(number, false);
    peer.finish();
    stage.passes(3);
    assert_eq!(told(&app, number), [slot]);
    peer.reset();
    stage.passes(2);
    assert_eq!(told(&app, number), [slot]);
}

#[test]
fn a_queue_belongs_to_its_process_and_its_number_is_used_again() {
    let mut stage = stage();
    let app = stage.attach();
    let (first, _) = queue(&app);
    let (second, mut doorbell) = queue(&app);
    assert_ne!(first, second);
    assert_eq!(app.ask(&Request::CloseQueue { queue: first }, &[]).unwrap(), Reply::Done);
    let again = app.ask(&Request::CloseQueue { queue: first }, &[]).unwrap_err();
    assert_eq!(again.raw_os_error(), Some(Errno::NOENT.raw_os_error()));
    assert_eq!(queue(&app).0, first);
    // Nobody who is no socket of that kind.
    let file = tempfile::tempfile().unwrap();
    assert!(app.ask(&Request::OpenQueue, &[file.as_fd()]).is_err());
    assert!(app.ask(&Request::OpenQueue, &[]).is_err());
    // The end of a queue is the end of its socket.
    assert_eq!(app.ask(&Request::CloseQueue { queue: second }, &[]).unwrap(), Reply::Done);
    assert_eq!(doorbell.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn who_is_gone_is_told_nothing_in_place_of_others() {
    let mut stage = stage();
    let (app, listener) = stage.listener();
    let ((first, doorbell), (second, _other)) = (queue(&app), queue(&app));
    for number in [first, second] {
        app.slot(listener).subscribe(number, true);
        app.region.queue_bell(number).sleep();
    }
    let _peer = stage.network.connect(stage.owner);
    stage.passes(2);
    let told_alone = app.region.happened_bits(first).any();
    assert!(told_alone != app.region.happened_bits(second).any(), "one of them");
    // It goes before it looks: another has to.
    let (gone, left) = if told_alone { (first, second) } else { (second, first) };
    assert_eq!(app.ask(&Request::CloseQueue { queue: gone }, &[]).unwrap(), Reply::Done);
    assert_eq!(told(&app, left), [listener]);
    // Who has the number now waits for something else.
    let (number, _its) = queue(&app);
    assert_eq!(number, gone);
    for sleeper in [number, left] {
        app.region.queue_bell(sleeper).sleep();
    }
    let _peer = stage.network.connect(stage.owner);
    stage.passes(2);
    assert_eq!((told(&app, number), told(&app, left)), (vec![], vec![listener]));
    drop(doorbell);
}
