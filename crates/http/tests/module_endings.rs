//! How connections end: deadlines, slow peers, half-closed clients, a server that stops.

mod support;

use std::time::Duration;

use afpa_engine::memory::{Ending, MemoryConfig};
use support::{HEADER_TIMEOUT, IDLE_TIMEOUT, MIN_RATE, Server, Setup, get, pattern, request};

const SECOND: Duration = Duration::from_secs(1);

/// RFC 9110 §15.5.9, and the deadline is absolute: an octet now and then does not move it.
#[test]
fn a_head_that_drips_is_cut_off_at_the_deadline() {
    let mut server = Server::with_page();
    let mut client = server.connect();
    let head = request("GET", "/page", &"X: y\r\n".repeat(10));
    let mut octets = head.bytes();
    for _ in 0..9 {
        client.send([octets.next().unwrap()]);
        server.advance(SECOND);
        assert_eq!(client.take().statuses(), []);
    }
    client.send([octets.next().unwrap()]);
    server.advance(2 * SECOND);
    let exchange = client.take();
    assert!(exchange.is_finished());
    let response = exchange.one();
    assert!(response.says_close());
    assert_eq!(response.status, 408);
    client.send(octets.collect::<Vec<u8>>());
    server.settle();
    assert_eq!(client.take().statuses(), [], "the rest is no request");
}

#[test]
fn a_second_request_has_a_deadline_of_its_own() {
    let mut server = Server::with_page();
    let mut client = server.connect();
    server.advance(HEADER_TIMEOUT - SECOND);
    client.send(get("/page"));
    server.settle();
    server.advance(IDLE_TIMEOUT - SECOND);
    client.send("GET /pa");
    server.advance(HEADER_TIMEOUT - SECOND);
    assert_eq!(client.take().statuses(), [200]);
    client.send("ge HTTP/1.1\r\nHost: a\r\n\r\n");
    server.settle();
    assert_eq!(client.take().statuses(), [200]);
    client.send("GET /pa");
    server.advance(HEADER_TIMEOUT + SECOND);
    assert_eq!(client.take().statuses(), [408]);
}

#[test]
fn a_client_that_never_speaks_is_told_so() {
    let mut server = Server::with_page();
    let mut client = server.connect();
    server.advance(HEADER_TIMEOUT + SECOND);
    let exchange = client.take();
    assert!(exchange.is_finished());
    assert_eq!(exchange.statuses(), [408]);
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let mut server = Server::with_page();
    let mut client = server.connect();
    client.send(get("/page"));
    server.settle();
    assert_eq!(client.take().statuses(), [200]);
    server.advance(IDLE_TIMEOUT - SECOND);
    assert_eq!(client.ending(), None);
    server.advance(2 * SECOND);
    let exchange = client.take();
    assert_eq!(exchange.statuses(), []);
    assert!(exchange.is_finished());
    assert_eq!(server.open(), 0);
}

#[test]
fn a_slow_body_ends_the_connection() {
    for (fields, start, octet, statuses) in [
        // Answered at once, and then the next request does not come into sight.
        ("Content-Length: 100\r\n", "", "x", vec![200]),
        // The body is read first.
        ("Transfer-Encoding: chunked\r\n", "64\r\n", "x", vec![408]),
    ] {
        let mut server = Server::with_page();
        let mut client = server.connect();
        client.send(request("GET", "/page", fields));
        client.send(start);
        for _ in 0..12 {
            client.send(octet);
            server.advance(SECOND);
        }
        let exchange = client.take();
        assert_eq!(exchange.statuses(), statuses, "{fields}");
        assert!(exchange.is_finished(), "{fields}");
        assert_eq!(server.http.too_slow.get(), 1, "{fields}");
    }
}

#[test]
fn a_reader_below_the_minimum_rate_is_cut_off() {
    for (octets_per_second, survives) in [(MIN_RATE / 2, false), (MIN_RATE * 2, true)] {
        let network = MemoryConfig { window: 1000, send_buffer: 2000, ..MemoryConfig::default() };
        let mut server = Server::new(Setup { network, ..Setup::default() });
        server.write("large.bin", pattern(1 << 20));
        let mut client = server.connect();
        client.send(get("/large.bin"));
        server.settle();
        for _ in 0..60 {
            for _ in 0..2 {
                client.read(octets_per_second as usize / 2);
                server.settle();
            }
            server.advance(SECOND);
        }
        let ending = (!survives).then_some(Ending::Reset);
        assert_eq!(client.ending(), ending, "{octets_per_second} octets per second");
        assert_eq!(server.http.too_slow.get(), u64::from(!survives));
        client.reset();
        server.settle();
        assert_eq!(server.http.pins.get(), 0);
    }
}

#[test]
fn without_a_minimum_rate_a_reader_may_take_its_time() {
    let network = MemoryConfig { window: 1000, send_buffer: 2000, ..MemoryConfig::default() };
    let mut server = Server::new(Setup { network, min_rate: 0, ..Setup::default() });
    let contents = pattern(100_000);
    server.write("large.bin", &contents);
    let mut client = server.connect();
    client.send(get("/large.bin"));
    server.advance(Duration::from_secs(600));
    let mut read = Vec::new();
    while read.len() < contents.len() || !read.ends_with(&contents) {
        let octets = client.read(usize::MAX);
        assert!(!octets.is_empty());
        read.extend(octets);
        server.settle();
    }
    assert_eq!(client.ending(), None);
}

#[test]
fn a_client_that_has_finished_gets_its_answers() {
    let mut server = Server::with_page();
    server.write("large.bin", pattern(300_000));
    for (octets, statuses) in [
        (get("/page"), vec![200]),
        (get("/page").repeat(3), vec![200; 3]),
        (get("/large.bin").repeat(2), vec![200; 2]),
        (request("GET", "/page", "Connection: close\r\n"), vec![200]),
        (request("GET", "/page", "Content-Length: 3\r\n") + "abc", vec![200]),
        (format!("{}3\r\nabc\r\n0\r\n\r\n", request("GET", "/page", "Transfer-Encoding: chunked\r\n")), vec![200]),
        // What is not whole is no request.
        (get("/page") + "GET /pa", vec![200]),
        ("GET /page HTTP/1.1\r\nHost: a\r\n".into(), vec![]),
        (request("GET", "/page", "Content-Length: 3\r\n") + "ab", vec![200]),
        (format!("{}3\r\nab", request("GET", "/page", "Transfer-Encoding: chunked\r\n")), vec![]),
        (String::new(), vec![]),
    ] {
        let mut client = server.connect();
        client.send(&octets);
        client.finish();
        server.settle();
        let exchange = client.take();
        assert_eq!(exchange.statuses(), statuses, "{octets}");
        assert!(exchange.is_finished(), "{octets}");
        assert_eq!(server.open(), 0, "{octets}");
    }
}

#[test]
fn a_client_that_resets_leaves_nothing_behind() {
    let network = MemoryConfig { window: 1000, ..MemoryConfig::default() };
    let mut server = Server::new(Setup { network, ..Setup::default() });
    server.write("large.bin", pattern(500_000));
    for octets in [String::new(), "GET /la".into(), get("/large.bin"), get("/absent"), get("/large.bin").repeat(5)] {
        let client = server.connect();
        let mut client = client;
        client.send(octets);
        server.pass();
        client.reset();
        server.settle();
        assert_eq!((server.open(), server.http.pins.get()), (0, 0));
    }
}

#[test]
fn a_server_that_stops_finishes_what_is_in_flight() {
    let network = MemoryConfig { window: 50_000, ..MemoryConfig::default() };
    let mut server = Server::new(Setup { network, ..Setup::default() });
    let contents = pattern(400_000);
    server.write("page", "hello");
    server.write("large.bin", &contents);
    let [mut idle, mut reading, mut halfway, mut missing] = [(); 4].map(|()| server.connect());
    idle.send(get("/page"));
    reading.send(get("/large.bin"));
    halfway.send("GET /page HTTP/1.1\r\n");
    server.settle();
    assert_eq!(idle.take().statuses(), [200]);
    // A request whose file a worker is still looking for.
    missing.send(get("/absent"));
    server.pass();
    server.handle.stop(30 * SECOND);
    server.settle();
    assert!(idle.take().is_finished());
    assert!(server.pass(), "there is something in flight");

    halfway.send("Host: a\r\n\r\n");
    let mut read = Vec::new();
    while reading.ending().is_none() {
        read.extend(reading.read(usize::MAX));
        server.settle();
    }
    assert!(read.ends_with(&contents));
    for (client, status) in [(&mut halfway, 200), (&mut missing, 404)] {
        let exchange = client.take();
        assert_eq!(exchange.statuses(), [status]);
        assert!(exchange.is_finished());
    }
    assert!(!server.pass(), "nothing is left");
}

#[test]
fn a_server_that_stops_does_not_wait_beyond_its_grace() {
    let mut server = Server::with_page();
    let mut client = server.connect();
    client.send("GET /pa");
    server.settle();
    server.handle.stop(3 * SECOND);
    server.advance(2 * SECOND);
    assert!(server.pass());
    server.advance(2 * SECOND);
    assert!(!server.pass());
}

/// The answer to a request that is read while the server stops says that it is the last.
#[test]
fn a_server_that_stops_says_so() {
    let mut server = Server::with_page();
    let mut client = server.connect();
    client.send("GET /page HTTP/1.1\r\n");
    server.settle();
    server.handle.stop(30 * SECOND);
    server.settle();
    client.send("Host: a\r\n\r\n");
    server.settle();
    assert!(client.take().one().says_close());
}
