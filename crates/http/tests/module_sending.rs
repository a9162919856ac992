//! Large bodies, slow readers, pins, and what the log and the counters say afterwards.

mod support;

use std::fs::File;
use std::os::unix::fs::FileExt;

use afpa_engine::memory::{Ending, MemoryConfig};
use afpa_http::access_log::CacheOutcome;
use afpa_http::files::purge_url;
use support::response::{parse_all, parts};
use support::{Client, Logged, Server, Setup, get, pattern, request};

/// Beyond what is kept in memory: sent from the file.
const LARGE: usize = 3 << 20;

/// Networks that make sending hard, each in its own way.
fn networks() -> [MemoryConfig; 5] {
    let roomy = MemoryConfig::default();
    [
        roomy,
        MemoryConfig { sends_files: false, ..roomy },
        MemoryConfig { send_buffer: 1, ..roomy },
        MemoryConfig { window: 10_000, send_buffer: 20_000, ..roomy },
        MemoryConfig { window: 10_000, send_buffer: 20_000, sends_files: false, ..roomy },
    ]
}

#[test]
fn bodies_of_every_size_arrive_whole() {
    for network in networks() {
        let mut server = Server::new(Setup { network, ..Setup::default() });
        let sizes = [0, 1, 57_000, 65_535, 65_536, 65_537, 200_000, 1 << 20, (1 << 20) + 1, LARGE];
        for size in sizes {
            let (name, contents) = (format!("{size}.bin"), pattern(size));
            server.write(&name, &contents);
            let mut client = server.connect();
            client.send(get(&format!("/{name}")).repeat(2));
            let responses = parse_all(&read_all(&mut server, &client));
            assert_eq!(responses.len(), 2, "{size}");
            for response in responses {
                assert!(response.status == 200 && response.body == contents, "{size}: {}", response.body.len());
            }
            assert_eq!(server.http.pins.get(), 0, "{size}");
        }
    }
}

#[test]
fn ranges_of_a_file_are_sent_from_it() {
    for network in networks() {
        let mut server = Server::new(Setup { network, ..Setup::default() });
        let contents = pattern(LARGE);
        server.write("large.bin", &contents);
        let mut client = server.connect();
        client.send(request("GET", "/large.bin", "Range: bytes=1000000-2999999\r\n"));
        client.send(request("GET", "/large.bin", "Range: bytes=0-99999, 2000000-2100000\r\n"));
        client.send(get("/large.bin"));
        let responses = parse_all(&read_all(&mut server, &client));
        assert!(responses[0].body == contents[1_000_000..3_000_000]);
        let parts = parts(&responses[1]);
        assert!(parts[0].2 == contents[..100_000] && parts[1].2 == contents[2_000_000..=2_100_000]);
        assert!(responses[2].body == contents);
    }
}

#[test]
fn a_slow_reader_holds_pins_and_lets_go_of_them() {
    let network = MemoryConfig { window: 1000, send_buffer: 100_000, ..MemoryConfig::default() };
    let mut server = Server::new(Setup { network, ..Setup::default() });
    let contents = pattern(500_000);
    server.write("file.bin", &contents);
    let mut client = server.connect();
    client.send(get("/file.bin"));
    server.settle();
    let held = server.http.pins.get();
    assert!((1..=3).contains(&held), "{held} pins: no more than the send buffer asks for");
    let read = read_all(&mut server, &client);
    assert!(read.ends_with(&contents));
    assert_eq!(server.http.pins.get(), 0);
}

/// A response that has begun ends as the version with which it began.
#[test]
fn what_is_purged_while_it_is_sent_is_still_sent_whole() {
    for size in [500_000, LARGE] {
        let network = MemoryConfig { window: 1000, send_buffer: 100_000, ..MemoryConfig::default() };
        let mut server = Server::new(Setup { network, ..Setup::default() });
        let (old, new) = (pattern(size), vec![b'n'; size]);
        server.write("file.bin", &old);
        let mut client = server.connect();
        client.send(get("/file.bin"));
        server.settle();
        // As a deployment does it: the old file lives on under its descriptor.
        server.write("file.new", &new);
        std::fs::rename(server.path("file.new"), server.path("file.bin")).unwrap();
        assert_eq!(purge_url(&server.cache, 0, b"/file.bin"), 1);
        server.settle();
        client.send(get("/file.bin"));
        let responses = parse_all(&read_all(&mut server, &client));
        assert!(responses[0].body == old && responses[1].body == new, "{size}");
        assert_eq!(server.http.pins.get(), 0);
    }
}

/// In place, where the descriptor does not help: the client must see that what it has is not whole.
#[test]
fn a_file_that_changes_while_it_is_sent_is_cut_off() {
    let shrink: fn(&File) = |file| file.set_len(1000).unwrap();
    let overwrite: fn(&File) = |file| file.write_all_at(&[0; 1 << 20], 2 << 20).unwrap();
    for change in [shrink, overwrite] {
        for sends_files in [true, false] {
            let network = MemoryConfig { window: 1000, send_buffer: 100_000, sends_files, ..MemoryConfig::default() };
            let mut server = Server::new(Setup { network, ..Setup::default() });
            server.write("large.bin", pattern(LARGE));
            let mut client = server.connect();
            client.send(get("/large.bin"));
            server.settle();
            change(&File::options().write(true).open(server.path("large.bin")).unwrap());
            let read = read_all(&mut server, &client);
            assert!(read.len() < LARGE);
            assert_eq!(client.ending(), Some(Ending::Reset));
        }
    }
}

#[test]
fn a_full_queue_of_work_is_answered_with_503() {
    let mut server = Server::with_page();
    let (release, gate) = std::sync::mpsc::channel::<()>();
    let (begin, begun) = std::sync::mpsc::channel();
    let wait = move || {
        begin.send(()).unwrap();
        gate.recv().unwrap();
    };
    server.workers.submit(wait).unwrap();
    // Until a worker has it, it takes the place in the queue that the request is not to find.
    begun.recv().unwrap();
    while server.workers.submit(|| ()).is_ok() {}
    let mut client = server.connect();
    client.send(get("/page"));
    server.pass();
    server.pass();
    let response = client.take().one();
    assert_eq!((response.status, response.field("retry-after")), (503, Some("1")));
    release.send(()).unwrap();
    while server.workers.queued() > 0 {
        std::thread::yield_now();
    }
    client.send(get("/page"));
    server.settle();
    assert_eq!(client.take().statuses(), [200]);
}

#[test]
fn every_request_is_logged_and_counted() {
    use CacheOutcome::{Hit, Miss, None, Revalidated};
    let mut server = Server::with_page();
    server.write("large.bin", pattern(LARGE));
    std::fs::create_dir(server.path("directory")).unwrap();
    let etag = server.get("/page", "").field("etag").unwrap().to_owned();
    assert_eq!(server.logged(), [logged("GET /page", 200, 5, Miss)]);
    for (octets, request, status, body_octets, outcome) in [
        (get("/page"), "GET /page", 200, Some(5), Hit),
        (get("/page?query"), "GET /page?query", 200, Some(5), Hit),
        (request("HEAD", "/page", "Connection: close\r\n"), "HEAD /page", 200, Some(0), Hit),
        (request("GET", "/page", "Range: bytes=0-1\r\n"), "GET /page", 206, Some(2), Hit),
        (request("GET", "/page", &format!("If-None-Match: {etag}\r\n")), "GET /page", 304, Some(0), Revalidated),
        (get("/large.bin"), "GET /large.bin", 200, Some(LARGE as u64), Miss),
        (get("/large.bin"), "GET /large.bin", 200, Some(LARGE as u64), CacheOutcome::File),
        (request("GET", "/large.bin", "Range: bytes=0-1\r\n"), "GET /large.bin", 206, Some(2), CacheOutcome::File),
        (get("/absent"), "GET /absent", 404, Option::None, None),
        (get("/directory"), "GET /directory", 301, Option::None, None),
        (request("OPTIONS", "*", ""), "OPTIONS *", 204, Some(0), None),
        (request("DELETE", "/page", ""), "DELETE /page", 405, Option::None, None),
        (request("GET", "/page", "Expect: x\r\n"), "GET /page", 417, Option::None, None),
        ("GET /page HTTP/1.1\r\n\r\n".into(), "GET /page", 400, Option::None, None),
        ("nonsense\r\n\r\n".into(), " ", 400, Option::None, None),
    ] {
        let mut client = server.connect();
        client.send(&octets);
        server.settle();
        let body = if request.starts_with("HEAD") { client.take_heads() } else { client.take() }.one().body;
        let expected = body_octets.unwrap_or(body.len() as u64);
        assert_eq!(expected, body.len() as u64, "{octets}");
        assert_eq!(server.logged(), [logged(request, status, expected, outcome)], "{octets}");
    }
    let counted: Vec<(u16, u64)> = server.http.by_status().collect();
    let expected = [(200, 6), (204, 1), (206, 2), (301, 1), (304, 1), (400, 2), (404, 1), (405, 1), (417, 1)];
    assert_eq!(counted, expected);
    let outcomes: Vec<(CacheOutcome, u64)> = server.http.by_outcome().filter(|(_, count)| *count > 0).collect();
    assert_eq!(outcomes, [(Hit, 4), (Miss, 2), (CacheOutcome::File, 2), (Revalidated, 1), (None, 7)]);
}

fn logged(request: &str, status: u16, body_octets: u64, outcome: CacheOutcome) -> Logged {
    Logged { request: request.to_owned(), status, body_octets, outcome }
}

/// Reads until nothing more comes.
fn read_all(server: &mut Server, client: &Client) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        server.settle();
        let read = client.read(usize::MAX);
        if read.is_empty() {
            return all;
        }
        all.extend(read);
    }
}
