//! Posted sends of memory and files, and posted receives.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::Arc;

use afpa_channel::control::{self, Reply, Request};
use afpa_channel::job_ring::{Job, Receive, Received, Source};
use afpa_channel::slot::{command, state};
use afpa_engine::memory::{Ending, MemoryConfig};
use afpa_platform::foreign::ForeignMemory;
use afpa_platform::memory::Pool;
use rustix::io::Errno;

use crate::common::{App, pattern};
use crate::stage::{Setting, Stage, stage};

fn memory(octets: &[u8]) -> Arc<ForeignMemory> {
    let memory = Arc::new(ForeignMemory::create(octets.len()).unwrap());
    memory.write(0, octets);
    memory
}

fn post(app: &App, slot: u32, source: Source, offset: u64, length: u64) -> u32 {
    let words = app.slot(slot);
    words.post_job(Job { source, offset, length, after: words.given() }).expect("room for a job")
}

#[test]
fn memory_is_sent_in_its_place_among_the_octets() {
    let mut stage = stage();
    let (app, slot, peer) = stage.connected();
    let memory = memory(&pattern(100_000));
    let number = app.register(&memory);
    app.give(slot, b"head ");
    post(&app, slot, Source::Memory(number), 10, 90_000);
    app.give(slot, b" between ");
    post(&app, slot, Source::Memory(number), 0, 0);
    post(&app, slot, Source::Memory(number), 99_999, 1);
    app.give(slot, b" tail");
    stage.passes(4);
    let expected =
        [b"head ", &pattern(100_000)[10..90_010], b" between ", &pattern(100_000)[99_999..], b" tail"].concat();
    assert!(peer.read(1 << 20) == expected);
    assert_eq!((app.slot(slot).jobs_done(), app.slot(slot).sent()), (3, 19));
}

#[test]
fn memory_of_the_server_s_is_sent_as_any_and_runs_out() {
    let (_arena, pool) = Pool::behind_arena(1 << 20, 2, 2 << 20).unwrap();
    let mut stage = Stage::new(Setting { pool: Some(pool), ..Setting::default() });
    let (app, slot, peer) = stage.connected();
    let grant = |app: &App, length: u64| {
        let (reply, mut descriptors) = control::ask(app.control.as_fd(), &Request::Grant { length }, &[])?;
        let Reply::Granted { memory, offset } = reply else { panic!("{reply:?}") };
        Ok::<_, std::io::Error>((memory, offset, descriptors.remove(0)))
    };
    let (_, first, _) = grant(&app, 5000).unwrap();
    let (number, offset, file) = grant(&app, 100_000).unwrap();
    assert_eq!((first, offset), (0, 8192));
    ForeignMemory::map(file, 2 << 20).unwrap().write(8192, &pattern(100_000));
    post(&app, slot, Source::Memory(number), 10, 99_990);
    app.attend(slot);
    stage.passes(4);
    assert!(peer.read(1 << 20) == pattern(100_000)[10..]);
    // Nothing of another's is behind it.
    post(&app, slot, Source::Memory(number), 0, 100_001);
    app.attend(slot);
    stage.until("the job that ends beyond it is refused", |_| app.has(slot, state::FAILED));
    let other = stage.attach();
    let (_, offset, _) = grant(&other, 2 << 20).unwrap();
    assert_eq!(offset, 0);
    for (app, length) in [(&other, 1), (&app, 2 << 20), (&app, 0), (&app, 2 << 21)] {
        assert_eq!(grant(app, length).unwrap_err().raw_os_error(), Some(Errno::NOSPC.raw_os_error()), "{length}");
    }
    other.register(&memory(b"its own"));
    let mut other_stage = crate::stage::stage();
    let without = other_stage.attach();
    assert_eq!(grant(&without, 1).unwrap_err().raw_os_error(), Some(Errno::OPNOTSUPP.raw_os_error()));
}

#[test]
fn a_job_is_done_when_tcp_has_taken_it_over_and_its_memory_stays_until_then() {
    let network = MemoryConfig { window: 1000, ..Setting::default().network };
    let mut stage = Stage::new(Setting { network, ..Setting::default() });
    let (app, slot, peer) = stage.connected();
    let memory = memory(&pattern(5000));
    let number = app.register(&memory);
    post(&app, slot, Source::Memory(number), 0, 5000);
    app.attend(slot);
    stage.passes(3);
    assert_eq!(app.slot(slot).jobs_done(), 0);
    assert_eq!(app.ask(&Request::Deregister { memory: number }, &[]).unwrap(), Reply::Done);
    let mut arrived = Vec::new();
    stage.until("everything is sent", |_| {
        arrived.extend(peer.read(400));
        arrived.len() == 5000
    });
    assert!(arrived == pattern(5000));
    assert_eq!(app.slot(slot).jobs_done(), 1);
    post(&app, slot, Source::Memory(number), 0, 1);
    app.attend(slot);
    stage.passes(2);
    assert_eq!(peer.ending(), Some(Ending::Reset), "it is registered no more");
}

#[test]
fn files_are_sent_by_reference_or_by_workers() {
    for sends_files in [true, false] {
        let network = MemoryConfig { sends_files, ..Setting::default().network };
        let mut stage = Stage::new(Setting { network, ..Setting::default() });
        let (app, slot, peer) = stage.connected();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&pattern(300_000)).unwrap();
        let number = open_file(&app, &file);
        app.give(slot, b"head ");
        post(&app, slot, Source::File(number), 7, 200_000);
        app.give(slot, b" tail");
        app.command(slot, command::FINISH);
        let expected = [b"head ", &pattern(300_000)[7..200_007], b" tail"].concat();
        let mut arrived = Vec::new();
        stage.until("everything is sent", |_| {
            arrived.extend(peer.read(1 << 20));
            arrived.len() >= expected.len() && peer.ending() == Some(Ending::Finished)
        });
        assert!(arrived == expected);
        assert_eq!(app.slot(slot).jobs_done(), 1);
        assert!(app.has(slot, state::FINISHED));
    }
}

#[test]
fn a_file_that_changes_costs_the_connection() {
    let network = MemoryConfig { sends_files: false, ..Setting::default().network };
    let mut stage = Stage::new(Setting { network, ..Setting::default() });
    let (app, slot, peer) = stage.connected();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&pattern(1000)).unwrap();
    let number = open_file(&app, &file);
    file.set_len(10).unwrap();
    post(&app, slot, Source::File(number), 0, 1000);
    app.attend(slot);
    stage.until("the reset", |_| peer.ending() == Some(Ending::Reset));
    assert!(app.has(slot, state::FAILED));
}

fn open_file(app: &App, file: &File) -> u32 {
    match app.ask(&Request::OpenFile, &[file.as_fd()]).unwrap() {
        Reply::File { file } => file,
        other => panic!("{other:?}"),
    }
}

#[test]
fn receives_are_filled_from_what_arrives() {
    let mut stage = stage();
    let (app, slot, peer) = stage.connected();
    let memory = memory(&[0; 100]);
    let number = app.register(&memory);
    let words = app.slot(slot);
    for offset in [0, 50] {
        words.post_receive(Receive { memory: number, offset, length: 4 }).unwrap();
    }
    app.attend(slot);
    stage.pass();
    assert_eq!(words.receives_done(), 0);
    peer.send(b"0123456789");
    stage.passes(2);
    assert_eq!(words.receives_done(), 2);
    assert_eq!((words.received(0), words.received(1)), (Ok(Received::Octets(4)), Ok(Received::Octets(4))));
    let mut octets = [0; 4];
    memory.read(50, &mut octets);
    assert_eq!(&octets, b"4567");
    // The rest has come without being waited for.
    words.post_receive(Receive { memory: number, offset: 0, length: 4 }).unwrap();
    app.attend(slot);
    stage.passes(2);
    assert_eq!((words.receives_done(), words.received(2)), (3, Ok(Received::InRing)));
    assert_eq!(app.take(slot, 100), b"89");
    words.post_receive(Receive { memory: number, offset: 98, length: 4 }).unwrap();
    words.post_receive(Receive { memory: number, offset: 0, length: 4 }).unwrap();
    app.attend(slot);
    peer.send(b"abc");
    peer.finish();
    stage.passes(3);
    assert_eq!((words.received(3), words.received(4)), (Ok(Received::Invalid), Ok(Received::Octets(3))));
    words.post_receive(Receive { memory: number, offset: 0, length: 4 }).unwrap();
    app.attend(slot);
    stage.passes(2);
    assert_eq!(words.received(5), Ok(Received::Octets(0)), "the end");
}

#[test]
fn a_receive_takes_what_eager_receive_has_left_with_tcp() {
    let provider = afpa_tcp_server::Settings { eager_receive: 0, ..Default::default() };
    let mut stage = Stage::new(Setting { provider, ..Setting::default() });
    let (app, slot, peer) = stage.connected();
    let memory = memory(&[0; 100]);
    let number = app.register(&memory);
    peer.send(b"hello");
    stage.passes(2);
    app.slot(slot).post_receive(Receive { memory: number, offset: 0, length: 100 }).unwrap();
    app.attend(slot);
    stage.passes(3);
    assert_eq!(app.slot(slot).received(0), Ok(Received::Octets(5)));
}

#[test]
fn receives_fail_with_the_connection() {
    let mut stage = stage();
    let (app, slot, peer) = stage.connected();
    let memory = memory(&[0; 100]);
    let number = app.register(&memory);
    app.slot(slot).post_receive(Receive { memory: number, offset: 0, length: 4 }).unwrap();
    app.attend(slot);
    stage.pass();
    peer.reset();
    stage.passes(2);
    assert_eq!((app.slot(slot).receives_done(), app.slot(slot).received(0)), (1, Ok(Received::Failed)));
}
