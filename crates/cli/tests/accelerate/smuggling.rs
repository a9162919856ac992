//! Requests in which two readers could see two different ones: what reaches the backend is one well-formed request that
//! was written anew, or nothing.

use crate::backend::Backend;
use crate::message::field;
use crate::proxy::Proxy;

const HOST: &str = "Host: example.org\r\n";
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: example.org\r\n\r\n";

/// What is sent, whether it is refused, and what it is called.
fn attempts() -> Vec<(String, bool)> {
    let post = |fields: &str, body: &str| format!("POST / HTTP/1.1\r\n{HOST}{fields}\r\n{body}");
    let chunk = format!("{:x}\r\n{HIDDEN}\r\n0\r\n\r\n", HIDDEN.len());
    let refused = [
        // CL.TE, TE.CL, and framing that is there twice.
        post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", &format!("0\r\n\r\n{HIDDEN}")),
        post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", &chunk),
        post("Content-Length: 0\r\nContent-Length: 50\r\n", HIDDEN),
        post("Content-Length: 0, 50\r\n", HIDDEN),
        post("Content-Length: +0\r\n", HIDDEN),
        post("Content-Length: -1\r\n", HIDDEN),
        post("Content-Length: 0x0\r\n", HIDDEN),
        post("Content-Length: 0 0\r\n", HIDDEN),
        post("Content-Length: \r\n", HIDDEN),
        post("Content-Length: 18446744073709551616\r\n", HIDDEN),
        post("Content-Length : 0\r\n", HIDDEN),
        post("Content-Length\t: 0\r\n", HIDDEN),
        post(" Content-Length: 0\r\n", HIDDEN),
        post("Content-Length: 0\n", HIDDEN),
        post("X: y\r\n Content-Length: 0\r\n", HIDDEN),
        post("X: y\rContent-Length: 0\r\n", HIDDEN),
        post("X: y\0\r\nContent-Length: 0\r\n", HIDDEN),
        post("X\0: y\r\nContent-Length: 0\r\n", HIDDEN),
        post("No colon\r\nContent-Length: 0\r\n", HIDDEN),
        // TE.TE.
        post("Transfer-Encoding: xchunked\r\n", &chunk),
        post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", &chunk),
        post("Transfer-Encoding: identity, chunked\r\n", &chunk),
        post("Transfer-Encoding: chunked, identity\r\n", &chunk),
        post("Transfer-Encoding: chunked, chunked\r\n", &chunk),
        post("Transfer-Encoding: \u{b}chunked\r\n", &chunk),
        post("Transfer-Encoding: \"chunked\"\r\n", &chunk),
        post("Transfer-Encoding: chunked;x=y\r\n", &chunk),
        post("Transfer-Encoding : chunked\r\n", &chunk),
        post("Transfer-Encoding:\r\n chunked\r\n", &chunk),
        format!("POST / HTTP/1.0\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{chunk}"),
        // Chunks.
        post("Transfer-Encoding: chunked\r\n", &format!("0x0\r\n\r\n{HIDDEN}")),
        post("Transfer-Encoding: chunked\r\n", &format!("-1\r\n\r\n{HIDDEN}")),
        post("Transfer-Encoding: chunked\r\n", &format!("10000000000000000\r\n\r\n{HIDDEN}")),
        post("Transfer-Encoding: chunked\r\n", &format!("0\n\n{HIDDEN}")),
        post("Transfer-Encoding: chunked\r\n", &format!("1\r\nxy\r\n0\r\n\r\n{HIDDEN}")),
        post("Transfer-Encoding: chunked\r\n", &format!("1;x\ny\r\nx\r\n0\r\n\r\n{HIDDEN}")),
        post("Transfer-Encoding: chunked\r\n", &format!("0\r\nContent-Length : 5\r\n\r\n{HIDDEN}")),
        post("Transfer-Encoding: chunked\r\n", &format!("{}0\r\n\r\n{HIDDEN}", "1;".to_owned() + &"x".repeat(100_000))),
        // Hosts and targets.
        format!("GET / HTTP/1.1\r\n{HOST}Host: other.example\r\n\r\n"),
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n".into(),
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".into(),
        "GET / HTTP/1.1\r\nHost: user@a\r\n\r\n".into(),
        "GET / HTTP/1.1\r\n\r\n".into(),
        format!("GET / x HTTP/1.1\r\n{HOST}\r\n"),
        format!("GET  / HTTP/1.1\r\n{HOST}\r\n"),
        format!("GET /\tHTTP/1.1\r\n{HOST}\r\n"),
        format!("GET / HTTP/1.1 \r\n{HOST}\r\n"),
        format!("GET / HTTP/2.0\r\n{HOST}\r\n"),
        format!("GET /\u{0} HTTP/1.1\r\n{HOST}\r\n"),
        format!("GET /%00 HTTP/1.1\r\n{HOST}\r\n"),
        format!("GE(T / HTTP/1.1\r\n{HOST}\r\n"),
        format!("CONNECT example.org:80 HTTP/1.1\r\n{HOST}\r\n{HIDDEN}"),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(),
    ];
    let body = |length: usize| format!("Content-Length: {length}\r\n");
    let passed = [
        // What is hidden in a body stays there.
        post(&body(HIDDEN.len()), HIDDEN),
        post("Transfer-Encoding: chunked\r\n", &chunk),
        post("transfer-encoding: CHUNKED\r\n", &chunk),
        post("Transfer-Encoding: chunked\r\n", "1;x=\"0\"\r\nx\r\n0\r\n\r\n"),
        post(
            "Transfer-Encoding: chunked\r\n",
            "0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: x\r\n\r\n",
        ),
        format!("GET / HTTP/1.1\r\n{HOST}{}\r\n{HIDDEN}", body(HIDDEN.len())),
        format!("GET / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{chunk}"),
        format!("DELETE / HTTP/1.1\r\n{HOST}{}\r\n{HIDDEN}", body(HIDDEN.len())),
        format!("OPTIONS / HTTP/1.1\r\n{HOST}{}\r\n{HIDDEN}", body(HIDDEN.len())),
        // Names that gateways do not tell from ours.
        post(&format!("Transfer_Encoding: chunked\r\nContent_Length: 5\r\n{}", body(HIDDEN.len())), HIDDEN),
        // Connection may not take away what frames the message.
        post(&format!("Connection: Content-Length, Host, X\r\nX: y\r\n{}", body(HIDDEN.len())), HIDDEN),
        post("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n", &chunk),
        // Protocols that are not switched to.
        post(
            &format!(
                "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n{}",
                body(HIDDEN.len())
            ),
            HIDDEN,
        ),
        post(&format!("Expect: 100-continue\r\n{}", body(HIDDEN.len())), HIDDEN),
        // The target wins over the field.
        "GET http://example.org/ HTTP/1.1\r\nHost: other.example\r\n\r\n".into(),
        format!("GET /?a=GET%20/hidden%20HTTP/1.1%0d%0a HTTP/1.1\r\n{HOST}\r\n"),
        format!(
            "GET / HTTP/1.1\r\n{HOST}X: GET /hidden HTTP/1.1\r\nTE: trailers, gzip\r\nProxy-Connection: x\r\nKeep-Alive: y\r\n\r\n"
        ),
    ];
    refused.into_iter().map(|text| (text, true)).chain(passed.into_iter().map(|text| (text, false))).collect()
}

#[test]
fn the_backend_gets_one_request_or_none() {
    let backend = Backend::echoing();
    let proxy = Proxy::before(backend.address);
    for (attempt, is_refused) in attempts() {
        let what = attempt.escape_debug().to_string();
        let what = &what[..what.len().min(300)];
        let before = backend.asked().len();
        let mut connection = proxy.connect();
        // What is refused may be cut off before all of it is sent.
        _ = connection.send(&attempt);
        connection.finish();
        let answers = String::from_utf8_lossy(&connection.rest()).into_owned();
        let asked = backend.asked().split_off(before);
        assert!(asked.iter().all(|asked| asked.target() != "/hidden"), "{what} led to {asked:#?}");
        assert!(asked.len() <= 1, "{what} led to {asked:#?}");
        if is_refused {
            assert!(asked.is_empty(), "{what} led to {asked:#?}");
            assert!(answers.starts_with("HTTP/1.1 4") || answers.starts_with("HTTP/1.1 5"), "{what}: {answers}");
        } else {
            assert_eq!(asked.len(), 1, "{what}: {answers}");
            check(&asked[0].head, what);
        }
    }
    assert_eq!(backend.faults().into_iter().filter(|fault| fault.contains("doubtful")).collect::<Vec<_>>(), [""; 0]);
    assert_eq!(proxy.get("/other").text(), "/other");
}

/// What holds for every request that is sent on.
fn check(head: &str, what: &str) {
    let line = head.split("\r\n").next().unwrap();
    assert!(line.ends_with(" HTTP/1.1") && line.split(' ').count() == 3, "{what}: {head}");
    assert_eq!(field(head, "host"), ["example.org"], "{what}: {head}");
    assert!(head.bytes().all(|octet| octet == b'\r' || octet == b'\n' || octet >= b' '), "{what}: {head}");
    assert_eq!(head.matches('\n').count(), head.matches("\r\n").count(), "{what}: {head}");
    for gone in
        ["transfer_encoding", "content_length", "proxy-connection", "keep-alive", "http2-settings", "upgrade", "x-gone"]
    {
        assert!(field(head, gone).is_empty(), "{what}: {head}");
    }
    assert!(field(head, "connection").iter().all(|value| value.eq_ignore_ascii_case("te")), "{what}: {head}");
}

/// Each octet of a request that is pipelined behind another belongs to one of them.
#[test]
fn pipelined_requests_are_answered_in_order_whatever_is_between_them() {
    let backend = Backend::echoing();
    let proxy = Proxy::before(backend.address);
    let mut connection = proxy.connect();
    let mut all = String::new();
    for number in 0..20 {
        all += &match number % 4 {
            0 => format!("GET /{number} HTTP/1.1\r\n{HOST}\r\n"),
            1 => format!("POST /{number} HTTP/1.1\r\n{HOST}Content-Length: {}\r\n\r\n{HIDDEN}", HIDDEN.len()),
            2 => {
                let length = HIDDEN.len();
                format!(
                    "PUT /{number} HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{HIDDEN}\r\n0\r\n\r\n"
                )
            }
            _ => format!("\r\nGET /{number} HTTP/1.1\r\n{HOST}Content-Length: 0\r\n\r\n"),
        };
    }
    connection.send(&all).unwrap();
    for number in 0..20 {
        assert_eq!(connection.response().unwrap().text(), format!("/{number}"));
    }
    assert!(backend.asked().iter().all(|asked| !asked.head.contains("hidden")));
}
