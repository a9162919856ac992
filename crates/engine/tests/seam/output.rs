//! What is sent, and how fast the peer takes it.

use std::cell::Cell;
use std::fs::File;
use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use afpa_cache::{Cache, CacheConfig, Resident, View};
use afpa_engine::Wake;
use afpa_engine::memory::{Ending, MemoryConfig};
use afpa_engine::seam::FileRange;
use afpa_platform::foreign::ForeignMemory;
use afpa_platform::source::SourceFile;

use crate::bench::{Bench, CLOSE, Cx, SEND, SENDING, WAIT, take};

const MIB: usize = 1024 * 1024;

fn cache() -> (Arc<Cache<()>>, View<()>) {
    let config = CacheConfig { capacity: 64 * MIB as u64, max_pinned_object: 4 * MIB as u64, engines: 1, frames: 0 };
    let cache = Cache::new(config).unwrap();
    let view = cache.view(Arc::new(|| {}));
    (cache, view)
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i / 7 + i % 251) as u8).collect()
}

fn pinned(cache: &Arc<Cache<()>>, view: &mut View<()>, head: &[u8], payload: &[u8]) -> Resident<()> {
    let mut filling = cache.fill(head, payload.len() as u64).unwrap();
    filling.write_all(payload).unwrap();
    let object = cache.insert(b"key", filling.finish(), Arc::new(()));
    view.admit(object).clone()
}

/// Sends all of `resident` and closes.
fn serve(resident: Resident<()>) -> impl FnMut(&mut Cx<'_>) -> afpa_engine::Outcome {
    let mut body = Some(resident.body);
    move |cx| match (take(cx).as_str(), &body) {
        ("", _) if cx.wake == Wake::Continued && body.is_none() => CLOSE,
        ("", _) => WAIT,
        _ => {
            let body = body.take().unwrap();
            let length = body.len();
            cx.output.respond(body, 0, length);
            SEND
        }
    }
}

#[test]
fn a_slow_reader_gets_every_octet_and_the_transport_never_holds_more_than_it_wants() {
    let (cache, mut view) = cache();
    let payload = pattern(MIB + 17);
    let resident = pinned(&cache, &mut view, b"head", &payload);
    let config = MemoryConfig { window: 3000, send_buffer: 5000, ..MemoryConfig::default() };
    let mut bench = Bench::with(config, serve(resident));
    let peer = bench.connect();
    peer.send(b"go");
    let mut got = Vec::new();
    bench.until(|| {
        let piece = peer.read(usize::MAX);
        assert!(piece.len() <= 3000);
        got.extend(piece);
        peer.ending().is_some()
    });
    assert_eq!(peer.ending(), Some(Ending::Finished));
    assert!(got == [b"head".as_slice(), &payload].concat());
    let blocked = bench.stats.transition(SENDING.index, 7).get();
    assert!(blocked >= 16, "64 KiB at a time with little room: blocked {blocked} times");
}

#[test]
fn an_unread_object_stays_pinned_after_its_purge_and_is_freed_when_it_was_read() {
    let (cache, mut view) = cache();
    let payload = pattern(300_000);
    let resident = pinned(&cache, &mut view, b"", &payload);
    let config = MemoryConfig { window: 1000, ..MemoryConfig::default() };
    let mut bench = Bench::with(config, serve(resident));
    let peer = bench.connect();
    peer.send(b"go");
    bench.pass();
    bench.pass();
    assert!(cache.purge(b"key"));
    view.apply();
    assert!(cache.stats().arena.in_use >= 300_000 - 1000, "{:?}", cache.stats());
    let mut got = Vec::new();
    bench.until(|| {
        got.extend(peer.read(usize::MAX));
        peer.ending().is_some()
    });
    assert!(got == payload, "a purge does not tear a response");
    bench.pass();
    assert_eq!(cache.stats().arena.in_use, 0);
}

#[test]
fn a_reset_drops_the_pins() {
    let (cache, mut view) = cache();
    let resident = pinned(&cache, &mut view, b"", &pattern(300_000));
    let mut bench = Bench::with(MemoryConfig { window: 1, ..MemoryConfig::default() }, serve(resident));
    let peer = bench.connect();
    peer.send(b"go");
    bench.pass();
    cache.purge_all();
    view.apply();
    peer.reset();
    bench.pass();
    bench.pass();
    assert_eq!(cache.stats().arena.in_use, 0);
}

#[test]
fn a_file_is_sent_whether_or_not_the_transport_understands_files() {
    let payload = pattern(200_000);
    for sends_files in [true, false] {
        let (cache, mut view) = cache();
        let (_, source) = file(&payload);
        let body = cache.fill_file(b"head", source, payload.len() as u64).unwrap();
        let resident = view.admit(cache.insert(b"key", body, Arc::new(()))).clone();
        let config = MemoryConfig { sends_files, window: 9000, ..MemoryConfig::default() };
        let mut bench = Bench::with(config, serve(resident));
        let peer = bench.connect();
        peer.send(b"go");
        let mut got = Vec::new();
        bench.until(|| {
            got.extend(peer.read(usize::MAX));
            peer.ending().is_some()
        });
        assert!(got == [b"head".as_slice(), &payload].concat(), "sends_files = {sends_files}");
        assert_eq!(peer.ending(), Some(Ending::Finished));
    }
}

#[test]
fn a_response_from_a_file_that_changed_is_cut_off() {
    type Change = fn(&File);
    let shorter: Change = |file| file.set_len(10).unwrap();
    let modified: Change = |file| file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    for (change, apply) in [("shorter", shorter), ("modified", modified)] {
        for sends_files in [true, false] {
            let (cache, mut view) = cache();
            let (file, source) = file(&pattern(1000));
            let body = cache.fill_file(b"head", source, 1000).unwrap();
            let resident = view.admit(cache.insert(b"key", body, Arc::new(()))).clone();
            let mut bench = Bench::with(MemoryConfig { sends_files, ..MemoryConfig::default() }, serve(resident));
            let peer = bench.connect();
            apply(&file);
            peer.send(b"go");
            bench.until(|| peer.ending().is_some());
            assert_eq!(peer.ending(), Some(Ending::Reset), "{change}, sends_files = {sends_files}");
        }
    }
}

#[test]
fn copies_bodies_and_made_octets_leave_in_the_order_in_which_they_were_given() {
    let (cache, mut view) = cache();
    let body = pinned(&cache, &mut view, b"0123", b"456789").body;
    let mut bench = Bench::with(MemoryConfig { window: 3, send_buffer: 1, ..MemoryConfig::default() }, move |cx| {
        if take(cx).is_empty() {
            return WAIT;
        }
        cx.output.send(b"<");
        cx.output.respond(body.clone(), 2, 5);
        cx.output.respond_bytes(b"|".to_vec());
        cx.output.respond(body.clone(), 8, 10);
        cx.output.respond_bytes(b">".to_vec());
        SEND
    });
    let peer = bench.connect();
    for _ in 0..2 {
        peer.send(b"go");
        let mut got = Vec::new();
        bench.until(|| {
            got.extend(peer.read(usize::MAX));
            got.len() >= 8
        });
        assert_eq!(String::from_utf8(got).unwrap(), "<234|89>");
    }
}

#[test]
fn delivered_counts_what_tcp_took_over() {
    let mut bench = Bench::with(MemoryConfig { window: 10, ..MemoryConfig::default() }, |cx| {
        if take(cx) == "go" {
            cx.output.respond_bytes(vec![b'x'; 100]);
            return SEND;
        }
        if cx.wake == Wake::Received {
            let delivered = cx.delivered().to_string();
            cx.output.send(delivered.as_bytes());
        }
        WAIT
    });
    let peer = bench.connect();
    peer.send(b"go");
    bench.pass();
    bench.pass();
    let mut got = Vec::new();
    for _ in 0..20 {
        got.extend(peer.read(usize::MAX));
        bench.pass();
    }
    assert_eq!(got.len(), 100);
    assert_eq!(bench.exchange(&peer, b"?"), b"100");
}

/// A file without a name: to change it, and as the cache takes it.
fn file(contents: &[u8]) -> (File, Arc<SourceFile>) {
    let thread = std::thread::current().id();
    let path = std::env::temp_dir().join(format!("afpa-engine-{}-{thread:?}", std::process::id()));
    let mut file = File::options().create_new(true).read(true).write(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    file.write_all(contents).unwrap();
    let source = SourceFile::new(file.try_clone().unwrap()).unwrap();
    (file, Arc::new(source))
}

#[test]
fn foreign_memory_is_lent_until_tcp_has_taken_it_over() {
    let memory = Arc::new(ForeignMemory::create(10_000).unwrap());
    memory.write(0, &pattern(10_000));
    let (lent, taken) = (memory.clone(), Rc::new(Cell::new(0)));
    let seen = taken.clone();
    let step = move |cx: &mut Cx<'_>| {
        if take(cx) == "go" {
            cx.output.send(b"head");
            cx.output.lend(lent.slice(0..10_000));
        }
        seen.set(cx.taken());
        WAIT
    };
    let mut bench = Bench::with(MemoryConfig { window: 3000, ..MemoryConfig::default() }, step);
    let peer = bench.connect();
    peer.send(b"go");
    bench.pass();
    // What has not been taken over is sent as it is by then.
    memory.write(9_999, b"!");
    let mut got = Vec::new();
    bench.until(|| {
        got.extend(peer.read(usize::MAX));
        got.len() == 10_004
    });
    assert!(got == [b"head", &pattern(10_000)[..9_999], b"!"].concat());
    bench.exchange(&peer, b"and?");
    assert_eq!((taken.get(), Arc::strong_count(&memory)), (10_004, 2));
}

#[test]
fn a_file_is_sent_by_reference_where_the_transport_can() {
    let (_, source) = file(&pattern(10_000));
    for sends_files in [true, false] {
        let source = source.clone();
        let step = move |cx: &mut Cx<'_>| {
            assert_eq!(cx.output.sends_files(), sends_files);
            if take(cx) == "go" && sends_files {
                cx.output.send(b"head");
                cx.output.send_file(FileRange { file: source.clone(), offset: 5, length: 9_000 });
            }
            WAIT
        };
        let mut bench = Bench::with(MemoryConfig { sends_files, ..MemoryConfig::default() }, step);
        let peer = bench.connect();
        let got = bench.exchange(&peer, b"go");
        assert!(got == if sends_files { [b"head", &pattern(10_000)[5..9_005]].concat() } else { Vec::new() });
    }
}
