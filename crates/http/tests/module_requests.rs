//! Methods, versions, persistence and pipelining.

mod support;

use afpa_engine::memory::MemoryConfig;
use support::{START, Server, Setup, get, pattern, request};

#[test]
fn get_answers_with_the_file() {
    let mut server = Server::with_page();
    for outcome in ["miss", "hit"] {
        let response = server.get("/page", "");
        assert_eq!((response.status, response.text()), (200, "hello"), "{outcome}");
        let field = |name: &str| response.field(name);
        assert_eq!(field("server"), Some("afpa"));
        assert_eq!(field("date"), Some("Tue, 14 Nov 2023 22:13:20 GMT"));
        assert_eq!(field("last-modified"), Some("Tue, 14 Nov 2023 21:13:20 GMT"));
        assert_eq!(field("content-length"), Some("5"));
        assert_eq!(field("accept-ranges"), Some("bytes"));
        assert_eq!(field("connection"), None);
        assert!(field("etag").is_some_and(|tag| tag.starts_with('"') && tag.ends_with('"')));
    }
}

/// RFC 9110 §9.3.2.
#[test]
fn head_answers_as_get_does_without_content() {
    let mut server = Server::with_page();
    server.write("page.html", "<p>".repeat(1000));
    server.write("large.bin", pattern(2 << 20));
    std::fs::create_dir(server.path("directory")).unwrap();
    for (target, fields) in [
        ("/page", ""),
        ("/page.html", "Accept-Encoding: gzip\r\n"),
        ("/large.bin", ""),
        ("/absent", ""),
        ("/directory", ""),
        ("/page", "If-Modified-Since: Tue, 14 Nov 2023 21:13:20 GMT\r\n"),
        ("/page", "If-Match: \"other\"\r\n"),
    ] {
        let get = server.get(target, fields);
        let mut client = server.connect();
        client.send(request("HEAD", target, fields).repeat(2));
        server.settle();
        let exchange = client.take_heads();
        assert_eq!(exchange.responses.len(), 2, "{target}");
        for head in exchange.responses {
            assert_eq!((head.status, &head.fields), (get.status, &get.fields), "{target}");
        }
    }
}

/// RFC 9110 §14.2: Range means something to GET only.
#[test]
fn head_has_no_range() {
    let mut server = Server::with_page();
    let mut client = server.connect();
    client.send(request("HEAD", "/page", "Range: bytes=0-1\r\n"));
    server.settle();
    let response = client.take_heads().one();
    assert_eq!((response.status, response.field("content-length")), (200, Some("5")));
}

#[test]
fn options_tells_what_is_allowed() {
    let mut server = Server::with_page();
    for target in ["*", "/page", "/absent"] {
        let exchange = server.exchange(request("OPTIONS", target, "").repeat(2));
        assert_eq!(exchange.statuses(), [204, 204], "{target}");
        for response in exchange.responses {
            assert_eq!(response.field("allow"), Some("GET, HEAD, OPTIONS"));
            assert_eq!(response.field("content-length"), None, "RFC 9110 §8.6");
        }
    }
}

#[test]
fn other_methods_are_refused_and_the_connection_goes_on() {
    let mut server = Server::with_page();
    for (method, target) in [
        ("POST", "/page"),
        ("PUT", "/page"),
        ("DELETE", "/page"),
        ("PATCH", "/page"),
        ("TRACE", "/page"),
        ("CONNECT", "example.org:443"),
        ("POST", "/absent"),
    ] {
        let exchange = server.exchange(request(method, target, "") + &get("/page"));
        assert_eq!(exchange.statuses(), [405, 200], "{method}");
        assert_eq!(exchange.responses[0].field("allow"), Some("GET, HEAD, OPTIONS"), "{method}");
        assert_eq!(exchange.ending, None, "{method}");
    }
}

/// RFC 9112 §9.3.
#[test]
fn versions_and_persistence() {
    let mut server = Server::with_page();
    for (octets, connection, persists) in [
        ("GET /page HTTP/1.1\r\nHost: a\r\n\r\n", None, true),
        ("GET /page HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", None, true),
        ("GET /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", Some("close"), false),
        ("GET /page HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE\r\n\r\n", Some("close"), false),
        ("GET /page HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", Some("close"), false),
        ("GET /page HTTP/1.0\r\n\r\n", Some("close"), false),
        ("GET /page HTTP/1.0\r\nHost: a\r\n\r\n", Some("close"), false),
        ("GET /page HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", Some("keep-alive"), true),
        ("GET /page HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", Some("close"), false),
    ] {
        let exchange = server.exchange(octets);
        assert_eq!(exchange.is_finished(), !persists, "{octets}");
        assert_eq!(exchange.one().field("connection"), connection, "{octets}");
        // What follows a request that ends the connection is no request.
        let exchange = server.exchange(octets.repeat(2));
        assert_eq!(exchange.responses.len(), 1 + usize::from(persists), "{octets}");
    }
}

#[test]
fn a_target_may_be_absolute() {
    let mut server = Server::with_page();
    for target in ["http://example.org/page", "HTTP://example.org:8080/page?q", "https://example.org/page"] {
        assert_eq!(server.get(target, "").text(), "hello", "{target}");
    }
}

#[test]
fn requests_follow_each_other_on_one_connection() {
    let mut server = Server::with_page();
    let mut client = server.connect();
    for _ in 0..1000 {
        client.send(get("/page"));
        server.settle();
        assert_eq!(client.take().one().text(), "hello");
    }
    assert_eq!(server.open(), 1);
}

/// Requests of every kind, with the status of each: to be sent in one write.
fn mixture() -> Vec<(String, u16)> {
    let mut requests = vec![
        (get("/0"), 200),
        (get("/absent"), 404),
        (request("OPTIONS", "*", ""), 204),
        (get("/1"), 200),
        (request("POST", "/1", "Content-Length: 5\r\n") + "GET /", 405),
        (get("/large.bin"), 200),
        (request("GET", "/2", "Range: bytes=0-0\r\n"), 206),
        (get("/directory"), 301),
        (request("GET", "/3", "Transfer-Encoding: chunked\r\n") + "3\r\nGET\r\n0\r\n\r\n", 200),
        (get("/%2f"), 404),
        (request("GET", "/1", "If-None-Match: *\r\n"), 304),
    ];
    requests.extend((0..89).map(|i| (get(&format!("/{}", i % 10)), 200)));
    requests
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let requests = mixture();
    let octets: String = requests.iter().map(|(octets, _)| octets.as_str()).collect();
    let statuses: Vec<u16> = requests.iter().map(|(_, status)| *status).collect();
    for (frame, send_buffer, window) in
        [(1, 256 << 10, usize::MAX), (1460, 1, usize::MAX), (100_000, 256 << 10, usize::MAX), (777, 5000, 3000)]
    {
        let network = MemoryConfig { frame, window, send_buffer, ..MemoryConfig::default() };
        let mut server = Server::new(Setup { network, ..Setup::default() });
        for i in 0..10 {
            server.write(&i.to_string(), format!("file {i}"));
        }
        server.write("large.bin", pattern(200_000));
        std::fs::create_dir(server.path("directory")).unwrap();
        let mut client = server.connect();
        client.send(&octets);
        let mut answers = Vec::new();
        loop {
            server.settle();
            let read = client.read(usize::MAX);
            if read.is_empty() {
                break;
            }
            answers.extend(read);
        }
        let responses = support::response::parse_all(&answers);
        assert_eq!(responses.iter().map(|r| r.status).collect::<Vec<_>>(), statuses, "frames of {frame}");
        let bodies = responses.iter().filter(|r| r.status == 200 && r.body.len() == 6).skip(3);
        for (i, response) in bodies.enumerate() {
            assert_eq!(response.text(), format!("file {}", i % 10));
        }
    }
}

/// However requests are spread over a turn of the engine, each is answered exactly once.
#[test]
fn no_request_is_lost_or_answered_twice_at_the_end_of_a_turn() {
    for before in 0..8 {
        let network = MemoryConfig { frame: 1 << 20, ..MemoryConfig::default() };
        let mut server = Server::new(Setup { network, ..Setup::default() });
        server.write("page", "hello");
        server.get("/page", "");
        let mut client = server.connect();
        client.send(get("/page").repeat(before));
        for _ in 0..300 {
            client.send(request("OPTIONS", "*", ""));
        }
        client.send(get("/page"));
        server.settle();
        let statuses = client.take().statuses();
        let order: Vec<(u16, usize)> = statuses.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect();
        let expected = [(200, before), (204, 300), (200, 1)];
        assert_eq!(order, expected[usize::from(before == 0)..], "after {before}");
    }
}

#[test]
fn a_request_may_be_cut_anywhere() {
    let mut server = Server::with_page();
    for octets in [
        get("/page"),
        request("GET", "/page?query", "User-Agent: x\r\nAccept-Encoding: gzip;q=0.5, br\r\n"),
        format!("\r\n{}", request("GET", "/./p%61ge", "")),
        request("GET", "/page", "Content-Length: 4\r\n") + "body",
        request("GET", "/page", "Transfer-Encoding: chunked\r\n") + "4\r\nbody\r\n0\r\nA: b\r\n\r\n",
    ] {
        for at in 1..octets.len() {
            let mut client = server.connect();
            client.send(&octets[..at]);
            server.settle();
            client.send(&octets[at..]);
            client.send(get("/page"));
            server.settle();
            let exchange = client.take();
            assert_eq!(exchange.statuses(), [200, 200], "cut after {:?}", &octets[..at]);
        }
    }
}

/// RFC 9110 §6.6.1.
#[test]
fn the_date_moves_with_the_clock() {
    let mut server = Server::with_page();
    let dates = ["22:13:20", "22:13:21", "22:13:21", "22:13:22"];
    for (i, time) in dates.into_iter().enumerate() {
        for target in ["/page", "/absent"] {
            let response = server.get(target, "");
            let expected = format!("Tue, 14 Nov 2023 {time} GMT");
            assert_eq!(response.field("date"), Some(expected.as_str()), "step {i} from {START}");
        }
        server.advance(std::time::Duration::from_millis([1000, 900, 100, 0][i]));
    }
}
