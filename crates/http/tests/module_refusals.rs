//! What a client does wrong, from its octets to the answer, and that nothing behind it is taken for a
//! request.

mod support;

use std::time::Duration;

use afpa_engine::memory::MemoryConfig;
use afpa_http::syntax::Limits;
use support::{Server, Setup, get, request};

/// What follows each bad request. If it is answered, its sender has smuggled it.
const BEHIND: &str = "GET /smuggled HTTP/1.1\r\nHost: example.org\r\n\r\n";

/// Each request, and the status that answers it.
const REFUSED: &[(&str, u16)] = &[
    // RFC 9112 §3.2: Host.
    ("GET /page HTTP/1.1\r\n\r\n", 400),
    ("GET /page HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    ("GET /page HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    ("GET /page HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    ("GET /page HTTP/1.1\r\nHost: user@a\r\n\r\n", 400),
    ("GET /page HTTP/1.1\r\nHost: a:port\r\n\r\n", 400),
    ("GET /page HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
    ("GET http://a/page HTTP/1.1\r\n\r\n", 400),
    // RFC 9112 §5: field lines.
    ("GET /page HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    ("GET /page HTTP/1.1\r\nHost: a\r\nX\t: b\r\n\r\n", 400),
    ("GET /page HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400),
    ("GET /page HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n\r\n", 400),
    ("GET /page HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    ("GET /page HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400),
    ("GET /page HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400),
    ("GET /page HTTP/1.1\r\nHost: a\r\nX(y): b\r\n\r\n", 400),
    // RFC 9110 §5.5, RFC 9112 §2.2: octets that no line has.
    ("GET /page HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n", 400),
    ("GET /page HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n", 400),
    ("GET /page HTTP/1.1\r\nHost: a\r\nX: b\x01c\r\n\r\n", 400),
    ("GET /pa\0ge HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET /page HTTP/1.1\nHost: a\r\n\r\n", 400),
    ("GET /page HTTP/1.1\r\nHost: a\n\r\n", 400),
    ("GET /page HTTP/1.1\r\nHost: a\r\n\n", 400),
    ("\r\n\r\n\r\n\r\nGET /page HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    // RFC 9110 §8.6, RFC 9112 §6: the body's length.
    ("GET /page HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400),
    ("GET /page HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
    ("GET /page HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n", 400),
    ("GET /page HTTP/1.1\r\nHost: a\r\nContent-Length: 1f\r\n\r\n", 400),
    ("GET /page HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400),
    ("GET /page HTTP/1.1\r\nHost: a\r\nContent-Length: 1 2\r\n\r\n", 400),
    ("GET /page HTTP/1.1\r\nHost: a\r\nContent-Length: 1,\r\n\r\n", 400),
    ("GET /page HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\n", 400),
    ("GET /page HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    ("GET /page HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n", 400),
    ("GET /page HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ("GET /page HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400),
    // RFC 9112 §6.1, §6.3, §7: transfer codings.
    ("GET /page HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", 400),
    ("GET /page HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", 400),
    ("GET /page HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
    ("GET /page HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;x=y\r\n\r\n", 400),
    ("GET /page HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", 400),
    ("GET /page HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 501),
    ("GET /page HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 501),
    ("GET /page HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
    ("GET /page HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    // RFC 9112 §3: the request line.
    ("GET  /page HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET /page  HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET /page HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
    (" GET /page HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET\t/page HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET /page\r\nHost: a\r\n\r\n", 400),
    ("GET page HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET /page http/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET /page HTTP/1\r\nHost: a\r\n\r\n", 400),
    ("GET /page HTTP/11.1\r\nHost: a\r\n\r\n", 400),
    ("GET /page HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    ("GET /page HTTP/9.9\r\nHost: a\r\n\r\n", 505),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ("BREW /page HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    ("get /page HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    ("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n", 400),
    // RFC 9110 §10.1.1.
    ("GET /page HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n", 417),
    ("GET /page HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, x\r\n\r\n", 417),
];

#[test]
fn a_bad_request_is_answered_once_and_ends_the_connection() {
    let mut server = Server::with_page();
    for &(bad, status) in REFUSED {
        let exchange = server.exchange(format!("{bad}{BEHIND}"));
        assert_eq!(exchange.statuses(), [status], "{bad:?}");
        assert!(exchange.is_finished(), "{bad:?}: {exchange:?}");
        assert!(exchange.one().says_close(), "{bad:?}");
    }
}

#[test]
fn what_comes_before_a_bad_request_is_answered() {
    let mut server = Server::with_page();
    for &(bad, status) in REFUSED {
        let exchange = server.exchange(format!("{}{bad}{BEHIND}", get("/page")));
        assert_eq!(exchange.statuses(), [200, status], "{bad:?}");
        assert!(exchange.is_finished(), "{bad:?}");
    }
}

#[test]
fn it_does_not_matter_how_a_bad_request_is_cut() {
    let mut server = Server::new(Setup { network: frames_of(1), ..Setup::default() });
    for &(bad, status) in REFUSED {
        let exchange = server.exchange(format!("{bad}{BEHIND}"));
        assert_eq!(exchange.statuses(), [status], "{bad:?}");
        assert!(exchange.is_finished(), "{bad:?}");
    }
}

#[test]
fn heads_have_limits() {
    let limits = Limits { head: 12_000, fields: 10, target: 8000, ..Limits::default() };
    let mut server = Server::new(Setup { limits, ..Setup::default() });
    server.write("page", "hello");
    let head = |target: &str, fields: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let query = |length: usize| format!("/page?{}", "q".repeat(length - 6));
    let field = |length: usize| format!("X: {}\r\n", "x".repeat(length));
    for (octets, status, ends) in [
        (head(&query(8000), ""), 200, false),
        (head(&query(8001), ""), 414, true),
        (head(&query(100_000), ""), 414, true),
        (format!("GET {}", query(100_000)), 414, true),
        (head("/page", &field(11_000)), 200, false),
        (head("/page", &field(12_000)), 431, true),
        (format!("GET /page HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(100_000)), 431, true),
        (head("/page", &"X: y\r\n".repeat(9)), 200, false),
        (head("/page", &"X: y\r\n".repeat(10)), 431, true),
        (head("/page", &"X: y\r\n".repeat(10_000)), 431, true),
        ("M".repeat(20_000), 501, true),
        (format!("\r\n\r\n{}", head("/page", "")), 200, false),
        (format!("\r\n\r\n\r\n{}", head("/page", "")), 400, true),
    ] {
        let exchange = server.exchange(&octets);
        let start = &octets[..octets.len().min(40)];
        assert_eq!(exchange.statuses(), [status], "{start}");
        assert_eq!(exchange.is_finished(), ends, "{start}");
    }
}

/// RFC 9112 §2.3: a higher minor version is served as the highest that is known.
#[test]
fn http_1_2_is_served_as_1_1() {
    let mut server = Server::with_page();
    let exchange = server.exchange("GET /page HTTP/1.2\r\nHost: a\r\n\r\nGET /page HTTP/1.9\r\nHost: a\r\n\r\n");
    assert_eq!(exchange.statuses(), [200, 200]);
    assert_eq!(exchange.ending, None);
}

/// Chunked bodies that break RFC 9112 §7.1, each with the status that answers the request.
const BAD_CHUNKS: &[(&str, u16)] = &[
    ("0x5\r\nhello\r\n0\r\n\r\n", 400),
    ("+5\r\nhello\r\n0\r\n\r\n", 400),
    ("-5\r\nhello\r\n0\r\n\r\n", 400),
    (" 5\r\nhello\r\n0\r\n\r\n", 400),
    ("5 \r\nhello\r\n0\r\n\r\n", 400),
    ("\r\nhello\r\n0\r\n\r\n", 400),
    ("5g\r\nhello\r\n0\r\n\r\n", 400),
    ("10000000000000005\r\nhello\r\n0\r\n\r\n", 400),
    ("5\nhello\r\n0\r\n\r\n", 400),
    ("5\rhello\r\n0\r\n\r\n", 400),
    ("5\r\nhelloX\r\n0\r\n\r\n", 400),
    ("5\r\nhello0\r\n\r\n", 400),
    ("5\r\nhello\n0\r\n\r\n", 400),
    ("5;a\0b\r\nhello\r\n0\r\n\r\n", 400),
    ("5;a\nb\r\nhello\r\n0\r\n\r\n", 400),
    ("0\r\nno trailer\r\n\r\n", 400),
    ("0\r\nA: b\n\r\n", 400),
];

#[test]
fn a_malformed_chunked_body_is_answered_for_and_ends_the_connection() {
    for frame in [1, 1460] {
        let mut server = Server::new(Setup { network: frames_of(frame), ..Setup::default() });
        server.write("page", "hello");
        for &(body, status) in BAD_CHUNKS {
            let exchange = server.exchange(format!("{}{body}{BEHIND}", chunked("GET")));
            assert_eq!(exchange.statuses(), [status], "{body:?}");
            assert!(exchange.is_finished(), "{body:?}");
            assert!(exchange.one().says_close(), "{body:?}");
        }
    }
}

#[test]
fn a_body_is_dropped_and_the_next_request_answered() {
    let smuggled = format!("{:x}\r\n{BEHIND}\r\n0\r\n\r\n", BEHIND.len());
    let with_length = |method: &str, body: &str| {
        format!("{method} /page HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    for frame in [1, 7, 1460, 65536] {
        let mut server = Server::new(Setup { network: frames_of(frame), ..Setup::default() });
        server.write("page", "hello");
        for (octets, status) in [
            (with_length("GET", ""), 200),
            (with_length("GET", BEHIND), 200),
            (with_length("POST", BEHIND), 405),
            (with_length("GET", &"x".repeat(1000)), 200),
            ("GET /page HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\nContent-Length: 3\r\n\r\nabc".into(), 200),
            (format!("{}0\r\n\r\n", chunked("GET")), 200),
            (format!("{}{smuggled}", chunked("GET")), 200),
            (format!("{}{smuggled}", chunked("PUT")), 405),
            (format!("{}1;a=\"b\";c\r\nx\r\n00A\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n", chunked("GET")), 200),
        ] {
            let exchange = server.exchange(format!("{octets}{}", get("/page")));
            assert_eq!(exchange.statuses(), [status, 200], "{octets}");
            assert_eq!(exchange.ending, None, "{octets}");
        }
    }
}

/// RFC 9112 §9.6: the answer says that the connection ends, and it ends without a reset.
#[test]
fn a_body_beyond_the_bound_ends_the_connection() {
    let long = "x".repeat(5000);
    for (octets, status) in [
        (format!("GET /page HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n{long}"), 200),
        (format!("POST /page HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n{long}"), 405),
        (format!("{}1388\r\n{long}\r\n0\r\n\r\n", chunked("GET")), 413),
        ("GET /page HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551615\r\n\r\n".into(), 200),
    ] {
        let mut server = Server::with_page();
        let mut client = server.connect();
        client.send(format!("{octets}{BEHIND}"));
        server.settle();
        let exchange = client.take();
        assert_eq!(exchange.statuses(), [status]);
        assert!(exchange.is_finished());
        assert!(exchange.one().says_close());
        assert_eq!(server.open(), 1, "it lingers for what the client still sends");
        client.send(&long);
        server.settle();
        assert_eq!(server.open(), 1);
        client.finish();
        server.settle();
        assert_eq!(server.open(), 0);
        assert_eq!(client.take().statuses(), []);
    }
}

#[test]
fn lingering_has_its_bounds() {
    let over = "GET /page HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551615\r\n\r\n";
    let mut server = Server::with_page();
    let mut silent = server.connect();
    silent.send(over);
    server.advance(Duration::from_secs(5));
    assert_eq!(server.open(), 0, "two seconds are enough");
    let mut endless = server.connect();
    endless.send(over);
    server.settle();
    endless.send(vec![b'x'; 2 << 20]);
    server.settle();
    assert_eq!(server.open(), 0, "so is a megabyte");
}

/// RFC 9110 §10.1.1: a final answer, without 100, says that the connection ends, because whether the
/// body follows cannot be known.
#[test]
fn a_client_that_waits_for_100_is_not_waited_for() {
    for (fields, ends) in [
        ("Content-Length: 5\r\nExpect: 100-continue\r\n", true),
        ("Transfer-Encoding: chunked\r\nExpect: 100-Continue\r\n", true),
        ("Content-Length: 0\r\nExpect: 100-continue\r\n", false),
        ("Expect: 100-continue\r\n", false),
    ] {
        let mut server = Server::with_page();
        let exchange = server.exchange(request("GET", "/page", fields));
        assert_eq!(exchange.is_finished(), ends, "{fields}");
        let response = exchange.one();
        assert_eq!((response.status, response.says_close()), (200, ends), "{fields}");
    }
}

/// Two answers to one request would be a message that nobody asked for.
#[test]
fn the_body_of_an_unwelcome_request_is_no_request() {
    let mut server = Server::with_page();
    let fields = format!("Expect: 100-continue\r\nContent-Length: {}\r\n", BEHIND.len());
    let exchange = server.exchange(format!("{}{BEHIND}{BEHIND}", request("GET", "/page", &fields)));
    assert_eq!(exchange.statuses(), [200]);
    assert!(exchange.is_finished());
}

fn chunked(method: &str) -> String {
    request(method, "/page", "Transfer-Encoding: chunked\r\n")
}

fn frames_of(frame: usize) -> MemoryConfig {
    MemoryConfig { frame, ..MemoryConfig::default() }
}
