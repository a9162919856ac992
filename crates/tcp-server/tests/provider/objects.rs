//! What applications publish, and send by jobs.

use std::os::fd::AsFd;

use afpa_channel::control::{Content, Reply, Request};
use afpa_channel::job_ring::{Job, Source};
use afpa_engine::memory::{Ending, MemoryConfig};
use afpa_platform::foreign::ForeignMemory;
use afpa_tcp_server::Limits;
use rustix::io::Errno;

use crate::common::{App, pattern};
use crate::stage::{Setting, Stage, stage};

fn publish(app: &App, key: &[u8], octets: &[u8]) -> std::io::Result<Reply> {
    let memory = ForeignMemory::create(octets.len()).unwrap();
    memory.write(0, octets);
    let from = Content::Passed { length: octets.len() as u64 };
    app.ask(&Request::Publish { key: key.into(), from }, &[memory.descriptor().as_fd()])
}

fn find(app: &App, key: &[u8]) -> Option<(u32, u64)> {
    match app.ask(&Request::FindObject { key: key.into() }, &[]) {
        Ok(Reply::Object { object, length }) => Some((object, length)),
        Ok(other) => panic!("{other:?}"),
        Err(error) => {
            assert_eq!(Errno::from_io_error(&error), Some(Errno::NOENT));
            None
        }
    }
}

fn post(app: &App, slot: u32, object: u32, offset: u64, length: u64) {
    let words = app.slot(slot);
    words
        .post_job(Job { source: Source::Object(object), offset, length, after: words.given() })
        .expect("room for a job");
    app.attend(slot);
}

#[test]
fn an_object_is_sent_in_its_place_and_stays_what_it_was_when_it_was_found() {
    // Small enough for a fragment of many, and of several fragments of pages.
    for length in [1000, 300_000] {
        let mut stage = stage();
        let (app, slot, peer) = stage.connected();
        let octets = pattern(length as usize);
        publish(&app, b"/a", &octets).unwrap();
        let (object, found) = find(&app, b"/a").unwrap();
        assert_eq!(found, length);
        app.give(slot, b"head ");
        post(&app, slot, object, 0, length);
        app.give(slot, b" between ");
        publish(&app, b"/a", b"another").unwrap();
        post(&app, slot, object, 77, length - 177);
        post(&app, slot, object, length, 0);
        let (other, _) = find(&app, b"/a").unwrap();
        assert_eq!(app.ask(&Request::Purge { key: b"/a".into() }, &[]).unwrap(), Reply::Done);
        assert_eq!(find(&app, b"/a"), None);
        post(&app, slot, other, 0, 7);
        app.give(slot, b" tail");
        let expected =
            [b"head ", &octets[..], b" between ", &octets[77..length as usize - 100], b"another", b" tail"].concat();
        let mut arrived = Vec::new();
        stage.until("everything is sent", |_| {
            arrived.extend(peer.read(1 << 20));
            arrived.len() >= expected.len()
        });
        assert!(arrived == expected);
        stage.until("the jobs are done", |_| app.slot(slot).jobs_done() == 4);
    }
}

#[test]
fn a_job_that_is_sent_goes_on_when_its_object_is_closed_and_another_finds_none() {
    let network = MemoryConfig { window: 1000, ..Setting::default().network };
    let mut stage = Stage::new(Setting { network, ..Setting::default() });
    let (app, slot, peer) = stage.connected();
    publish(&app, b"/a", &pattern(200_000)).unwrap();
    let (object, length) = find(&app, b"/a").unwrap();
    post(&app, slot, object, 0, length);
    stage.passes(3);
    assert_eq!(app.slot(slot).jobs_done(), 0);
    assert_eq!(app.ask(&Request::CloseObject { object }, &[]).unwrap(), Reply::Done);
    assert_eq!(app.ask(&Request::Purge { key: b"/a".into() }, &[]).unwrap(), Reply::Done);
    let mut arrived = Vec::new();
    stage.until("everything is sent", |_| {
        arrived.extend(peer.read(4000));
        arrived.len() == 200_000
    });
    assert!(arrived == pattern(200_000));
    post(&app, slot, object, 0, 1);
    stage.until("the reset", |_| peer.ending() == Some(Ending::Reset));
}

#[test]
fn what_is_used_least_goes_when_there_is_no_room() {
    let limits = Limits { objects: 8 << 20, objects_per_user: 1 << 30, ..Limits::default() };
    let mut stage = Stage::new(Setting { limits, ..Setting::default() });
    let (app, slot, peer) = stage.connected();
    publish(&app, b"popular", &pattern(100_000)).unwrap();
    let (popular, _) = find(&app, b"popular").unwrap();
    for number in 0..100u8 {
        post(&app, slot, popular, 0, 100_000);
        let mut arrived = 0;
        stage.until("it is sent", |_| {
            arrived += peer.read(1 << 20).len();
            arrived == 100_000
        });
        publish(&app, &[number], &pattern(200_000)).unwrap();
    }
    assert!(find(&app, &[99]).is_some(), "the last");
    assert!(find(&app, &[0]).is_none(), "nobody wanted it");
    assert!(find(&app, b"popular").is_some(), "it is sent again and again");
}

#[test]
fn what_cannot_be_published_or_found_is_refused() {
    let limits = Limits { objects: 8 << 20, objects_per_user: 2 << 20, found_objects: 2, ..Limits::default() };
    let mut stage = Stage::new(Setting { limits, ..Setting::default() });
    let app = stage.attach();
    let memory = app.register(&ForeignMemory::create(4096).unwrap());
    let refused = |from, key: &[u8], errno| {
        let error = app.ask(&Request::Publish { key: key.into(), from }, &[]).unwrap_err();
        assert_eq!(Errno::from_io_error(&error), Some(errno));
    };
    let of = |offset, length| Content::Memory { memory, offset, length };
    refused(of(0, 0), b"/a", Errno::INVAL);
    refused(of(4096, 1), b"/a", Errno::INVAL);
    refused(of(u64::MAX, 2), b"/a", Errno::INVAL);
    refused(of(0, 1), &[b'a'; 1025], Errno::NAMETOOLONG);
    refused(Content::Memory { memory: 9, offset: 0, length: 1 }, b"/a", Errno::NOENT);
    refused(Content::File { file: 0, offset: 0, length: 1 }, b"/a", Errno::NOENT);
    refused(Content::Passed { length: 1 }, b"/a", Errno::BADF);
    refused(Content::Passed { length: u64::MAX }, b"/a", Errno::FBIG);
    let errno = |result: std::io::Result<Reply>| Errno::from_io_error(&result.unwrap_err());
    assert_eq!(errno(publish(&app, b"/large", &pattern((1 << 20) + 1))), Some(Errno::FBIG), "an eighth of the memory");
    publish(&app, b"/a", &pattern(1_000_000)).unwrap();
    publish(&app, b"/b", &pattern(1_000_000)).unwrap();
    assert_eq!(errno(publish(&app, b"/c", &pattern(1_000_000))), Some(Errno::DQUOT));
    // Purged, it is still held by who has found it.
    let (object, _) = find(&app, b"/a").unwrap();
    assert_eq!(app.ask(&Request::Purge { key: b"/a".into() }, &[]).unwrap(), Reply::Done);
    assert_eq!(errno(publish(&app, b"/c", &pattern(1_000_000))), Some(Errno::DQUOT));
    assert_eq!(app.ask(&Request::CloseObject { object }, &[]).unwrap(), Reply::Done);
    assert_eq!(errno(app.ask(&Request::CloseObject { object }, &[])), Some(Errno::NOENT));
    publish(&app, b"/c", &pattern(1_000_000)).unwrap();
    assert!(find(&app, b"/b").is_some() && find(&app, b"/c").is_some());
    assert_eq!(errno(app.ask(&Request::FindObject { key: b"/b".into() }, &[])), Some(Errno::NOSPC));
    let limits = Limits { objects: 0, ..Limits::default() };
    let mut stage = Stage::new(Setting { limits, ..Setting::default() });
    let app = stage.attach();
    assert_eq!(errno(publish(&app, b"/a", b"nothing is kept here")), Some(Errno::OPNOTSUPP));
    assert_eq!(errno(app.ask(&Request::FindObject { key: b"/a".into() }, &[])), Some(Errno::OPNOTSUPP));
}
