//! What a client does wrong, from its octets to the answer, and that nothing behind it is taken for a
//! request.

mod support;

use afpa_http::syntax::Limits;
use support::{Server, Setup, get};

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
        // An empty line too many counts from the end of the request before.
        assert_eq!(exchange.statuses(), [200, status], "{bad:?}");
        assert!(exchange.is_finished(), "{bad:?}");
    }
}
