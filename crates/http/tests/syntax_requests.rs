//! Request heads: what is understood, and what is refused with which status.

use std::fs;
use std::path::Path;

use afpa_http::files::{Coding, Codings};
use afpa_http::syntax::{
    Body, Limits, Method, Progress, RequestError, RequestHead, RequestParser, Scheme, TargetForm, fuzz,
};
use proptest::prelude::*;

fn parse(input: &[u8], limits: &Limits) -> Result<Option<RequestHead>, RequestError> {
    let mut parser = RequestParser::default();
    Ok(match parser.advance(input, limits)? {
        Progress::Incomplete => None,
        Progress::Complete(length) => {
            assert_eq!(length, input.len(), "{}", input.escape_ascii());
            Some(parser.head().clone())
        }
    })
}

fn accepted(input: &str) -> RequestHead {
    parse(input.as_bytes(), &Limits::default())
        .unwrap_or_else(|error| panic!("{error}: {input:?}"))
        .unwrap_or_else(|| panic!("incomplete: {input:?}"))
}

/// A request with these fields beside Host.
fn with_fields(fields: &str) -> RequestHead {
    accepted(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
}

#[test]
fn a_whole_request() {
    let text = "GET /a%20b?c=d&e HTTP/1.1\r\nHost: Example.org:8080\r\nUser-Agent:  x/1 (y)\t\r\nReferer: http://r/\r\n\
                Accept-Encoding: gzip, br;q=0.5\r\nRange: bytes=0-1\r\nIf-None-Match: \"a\"\r\nAuthorization: Basic eA==\r\n\
                X-Nothing:\r\nX-Octets: \u{e9}\r\n\r\n";
    let (head, octets) = (accepted(text), text.as_bytes());
    assert_eq!((head.method(), head.method_text(octets)), (Method::Get, b"GET".as_slice()));
    assert_eq!(head.target(octets), b"/a%20b?c=d&e");
    assert_eq!(head.target_form(), TargetForm::Origin);
    assert_eq!(head.path(octets, &mut Vec::new()), Ok(b"/a b".as_slice()));
    assert_eq!(head.query(octets), Some(b"c=d&e".as_slice()));
    assert_eq!(head.host(octets), b"Example.org:8080");
    assert_eq!(head.user_agent(octets), b"x/1 (y)");
    assert_eq!(head.referer(octets), b"http://r/");
    assert_eq!(head.accepts(), Codings::NONE.with(Coding::Gzip).with(Coding::Brotli));
    assert_eq!(head.range(octets), Some(b"bytes=0-1".as_slice()));
    assert!(head.has_range() && head.has_preconditions() && head.has_authorization());
    assert!(head.is_persistent() && !head.is_http_1_0() && !head.expects_continue());
    assert_eq!(head.body(), Body::None);
}

#[test]
fn a_minimal_request_asks_for_nothing_more() {
    let head = with_fields("");
    assert!(!head.has_range() && !head.has_preconditions() && !head.has_authorization());
    assert_eq!(head.accepts(), Codings::NONE);
}

#[test]
fn persistence() {
    // RFC 9112 §9.3.
    let rows = [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: Keep-Alive\r\n", true),
        ("1.1", "Connection: x ,, CLOSE\r\n", false),
        ("1.1", "Connection: keep-alive, close\r\n", false),
        ("1.1", "Connection: x\r\nConnection: close\r\n", false),
        ("1.1", "Connection: closed\r\n", true),
        ("1.2", "", true),
        ("1.9", "Connection: close\r\n", false),
        ("1.0", "", false),
        ("1.0", "Connection: keep-alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ];
    for (version, fields, expected) in rows {
        let head = accepted(&format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n"));
        assert_eq!(head.is_persistent(), expected, "{version} {fields}");
        // RFC 9110 §2.5: a later minor version is understood as the one that is known.
        assert_eq!(head.is_http_1_0(), version == "1.0");
    }
}

#[test]
fn bodies() {
    let rows = [
        ("", Body::None),
        ("Content-Length: 0\r\n", Body::Length(0)),
        ("Content-Length: 18446744073709551615\r\n", Body::Length(u64::MAX)),
        // RFC 9112 §6.3: equal values are one.
        ("Content-Length: 5\r\ncontent-length:5\r\n", Body::Length(5)),
        ("Content-Length: 5, 05\r\n", Body::Length(5)),
        ("Transfer-Encoding: chunked\r\n", Body::Chunked),
        ("transfer-encoding:\tCHUNKED \r\n", Body::Chunked),
    ];
    for (fields, expected) in rows {
        assert_eq!(with_fields(fields).body(), expected, "{fields}");
    }
}

#[test]
fn expectations() {
    assert!(with_fields("Expect: 100-Continue\r\nContent-Length: 1\r\n").expects_continue());
    // RFC 9110 §10.1.1: ignored in HTTP/1.0.
    assert!(!accepted("POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").expects_continue());
}

#[test]
fn ranges_are_for_get() {
    // RFC 9110 §14.2.
    assert!(!accepted("HEAD / HTTP/1.1\r\nHost: a\r\nRange: bytes=0-\r\n\r\n").has_range());
}

#[test]
fn forms_of_targets() {
    use TargetForm::{Absolute, Asterisk, Authority, Origin};
    type Row = (&'static str, &'static str, TargetForm, Option<&'static str>, Option<&'static str>, &'static str);
    let rows: &[Row] = &[
        ("GET", "/", Origin, Some("/"), None, "h"),
        ("GET", "/a?", Origin, Some("/a"), Some(""), "h"),
        ("GET", "/a?b?c/../d%zz", Origin, Some("/a"), Some("b?c/../d%zz"), "h"),
        ("GET", "//a/../b", Origin, Some("/b"), None, "h"),
        ("GET", "http://other:81/a?b", Absolute, Some("/a"), Some("b"), "other:81"),
        ("GET", "HTTPS://other", Absolute, Some("/"), None, "other"),
        ("GET", "http://other?q", Absolute, Some("/"), Some("q"), "other"),
        ("OPTIONS", "http://other", Asterisk, None, None, "other"),
        ("OPTIONS", "*", Asterisk, None, None, "h"),
        ("OPTIONS", "/a", Origin, Some("/a"), None, "h"),
        ("CONNECT", "other:443", Authority, None, None, "other:443"),
        ("CONNECT", "[::1]:443", Authority, None, None, "[::1]:443"),
    ];
    for &(method, target, form, path, query, host) in rows {
        let text = format!("{method} {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        let (head, octets) = (accepted(&text), text.as_bytes());
        assert_eq!(head.target_form(), form, "{target}");
        let mut scratch = Vec::new();
        assert_eq!(head.path(octets, &mut scratch).ok(), path.map(str::as_bytes), "{target}");
        assert_eq!(head.query(octets), query.map(str::as_bytes), "{target}");
        // RFC 9112 §3.2.2: the target's authority comes before Host.
        assert_eq!(head.host(octets), host.as_bytes(), "{target}");
    }
}

#[test]
fn methods_that_are_known() {
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"] {
        let head = accepted(&format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(head.method().name(), method);
    }
}

#[test]
fn empty_lines_before_a_request() {
    // RFC 9112 §2.2: at least one is ignored.
    let mut parser = RequestParser::default();
    let input = b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nGET /next";
    assert_eq!(parser.advance(&input[..2], &Limits::default()), Ok(Progress::Incomplete));
    assert!(!parser.is_started());
    assert_eq!(parser.advance(&input[..5], &Limits::default()), Ok(Progress::Incomplete));
    assert!(parser.is_started());
    let length = input.len() - 9;
    assert_eq!(parser.advance(input, &Limits::default()), Ok(Progress::Complete(length)));
    assert_eq!(parser.head().target(&input[..length]), b"/");
    assert_eq!(parser.head().host(&input[..length]), b"a");
}

/// Every way in which a head can smuggle or confuse, by the clause that forbids it. Each ends with the
/// line that is at fault, or with the head: it is refused as soon as that is there.
const REFUSED: &[(&str, &[&str], u16)] = &[
    (
        "RFC 9112 §2.2: bare LF in framing",
        &["GET / HTTP/1.1\n", "GET / HTTP/1.1\r\nHost: a\n", "GET / HTTP/1.1\r\nHost: a\r\n\n", "\nGET / HTTP/1.1\r\n"],
        400,
    ),
    (
        "RFC 9112 §2.2: bare CR",
        &[
            "GET /\r HTTP/1.1\r\n",
            "GET / HTTP/1.1\r\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\r\n",
            "GET / HTTP/1.1\r\nX: a\rb\r\n",
            "GET / HTTP/1.1\r\nX\r: a\r\n",
            "\rGET / HTTP/1.1\r\n",
        ],
        400,
    ),
    (
        "RFC 9110 §5.5: NUL and other control characters",
        &[
            "GET /\0 HTTP/1.1\r\n",
            "GE\0T / HTTP/1.1\r\n",
            "GET / HTTP/1.1\r\nX: a\0b\r\n",
            "GET / HTTP/1.1\r\nX\0: a\r\n",
            "GET / HTTP/1.1\r\nX: a\x7f\r\n",
            "GET / HTTP/1.1\r\nX: \x01\r\n",
            "GET /\x7f HTTP/1.1\r\n",
        ],
        400,
    ),
    ("RFC 9112 §2.2: more empty lines than are tolerated", &["\r\n\r\n\r\n"], 400),
    ("RFC 9112 §2.2: white space before the first field", &["GET / HTTP/1.1\r\n Host: a\r\n"], 400),
    (
        "RFC 9112 §3: single spaces",
        &[
            "GET  / HTTP/1.1\r\n",
            "GET /  HTTP/1.1\r\n",
            "GET / HTTP/1.1 \r\n",
            " GET / HTTP/1.1\r\n",
            "GET / a HTTP/1.1\r\n",
            "GET /a HTTP/1.1 HTTP/1.1\r\n",
            "GET\t/ HTTP/1.1\r\n",
            "GET /\tHTTP/1.1\r\n",
            "GET /\t HTTP/1.1\r\n",
        ],
        400,
    ),
    (
        "RFC 9112 §3: method, target and version",
        &[
            "GET\r\n",
            "GET /\r\n",
            "GET / \r\n",
            "GET HTTP/1.1\r\n",
            "GET  HTTP/1.1\r\n",
            "HTTP/1.1\r\n",
            "G@T / HTTP/1.1\r\n",
            "\x16\x03\x01\x02",
        ],
        400,
    ),
    (
        "RFC 9112 §2.3: version",
        &[
            "GET / http/1.1\r\n",
            "GET / HTTP/1.10\r\n",
            "GET / HTTP/11\r\n",
            "GET / HTTP/1\r\n",
            "GET / HTTP/1.\r\n",
            "GET / HTTP/1.x\r\n",
            "GET / HTTP/ 1.1\r\n",
            "GET / HTTPS/1.1\r\n",
        ],
        400,
    ),
    (
        "RFC 9110 §15.6.6: version that is not spoken",
        &["GET / HTTP/2.0\r\n", "GET / HTTP/9.9\r\n", "GET / HTTP/0.9\r\n", "PRI * HTTP/2.0\r\n"],
        505,
    ),
    (
        "RFC 9110 §15.6.2: unknown method",
        &["BREW / HTTP/1.1\r\n", "get / HTTP/1.1\r\n", "GETT / HTTP/1.1\r\n", "G / HTTP/1.1\r\n"],
        501,
    ),
    (
        "RFC 9112 §3.2: target",
        &[
            "GET a HTTP/1.1\r\n",
            "GET * HTTP/1.1\r\n",
            "GET ?a HTTP/1.1\r\n",
            "GET /#a HTTP/1.1\r\n",
            "GET /?a#b HTTP/1.1\r\n",
            "GET /\u{e9} HTTP/1.1\r\n",
            "GET ftp://a/ HTTP/1.1\r\n",
            "GET http:///a HTTP/1.1\r\n",
            "GET http:/a HTTP/1.1\r\n",
            "GET http://user@a/ HTTP/1.1\r\n",
            "GET http://a:b/ HTTP/1.1\r\n",
            "GET a:80 HTTP/1.1\r\n",
            "OPTIONS ** HTTP/1.1\r\n",
            "CONNECT /a HTTP/1.1\r\n",
            "CONNECT a HTTP/1.1\r\n",
            "CONNECT http://a/ HTTP/1.1\r\n",
        ],
        400,
    ),
    (
        "RFC 9112 §3.2: Host is there, once, and valid",
        &[
            "GET / HTTP/1.1\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n",
            "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n",
            "GET / HTTP/1.1\r\nHost:\r\n",
            "GET / HTTP/1.1\r\nHost: a b\r\n",
            "GET / HTTP/1.1\r\nHost: a, b\r\n",
            "GET / HTTP/1.1\r\nHost: a:x\r\n",
            "GET / HTTP/1.1\r\nHost: user@a\r\n",
            "GET / HTTP/1.1\r\nHost: a/b\r\n",
            "GET / HTTP/1.1\r\nHost: [::1\r\n",
            "GET http://a/ HTTP/1.1\r\nHost: <a>\r\n",
        ],
        400,
    ),
    (
        "RFC 9112 §5.1: white space before the colon",
        &[
            "GET / HTTP/1.1\r\nHost : a\r\n",
            "GET / HTTP/1.1\r\nHost\t: a\r\n",
            "GET / HTTP/1.1\r\nContent-Length : 5\r\n",
        ],
        400,
    ),
    (
        "RFC 9112 §5.2: folded fields",
        &["GET / HTTP/1.1\r\nX: a\r\n b\r\n", "GET / HTTP/1.1\r\nX: a\r\n\tb\r\n", "GET / HTTP/1.1\r\nX: a\r\n \r\n"],
        400,
    ),
    (
        "RFC 9112 §5: field lines",
        &[
            "GET / HTTP/1.1\r\nHost\r\n",
            "GET / HTTP/1.1\r\n: a\r\n",
            "GET / HTTP/1.1\r\nX(y): a\r\n",
            "GET / HTTP/1.1\r\nX y: a\r\n",
            "GET / HTTP/1.1\r\nX\u{e9}: a\r\n",
            "GET / HTTP/1.1\r\n\"X\": a\r\n",
        ],
        400,
    ),
    (
        "RFC 9112 §6.2, RFC 9110 §8.6: Content-Length is decimal, fits, and agrees",
        &[
            "GET / HTTP/1.1\r\nContent-Length: +5\r\n",
            "GET / HTTP/1.1\r\nContent-Length: -5\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 0x5\r\n",
            "GET / HTTP/1.1\r\nContent-Length: a\r\n",
            "GET / HTTP/1.1\r\nContent-Length:\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 5 5\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 5.0\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 1_0\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 5,\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 5, 6\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 99999999999999999999999999\r\n",
        ],
        400,
    ),
    (
        "RFC 9112 §6.1: Content-Length with Transfer-Encoding",
        &[
            "GET / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: x\r\n",
        ],
        400,
    ),
    (
        "RFC 9112 §6.3: chunked is last, and once",
        &[
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked, chunked\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked, unknown\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        ],
        400,
    ),
    (
        "RFC 9112 §6.1, §7: Transfer-Encoding is a list of codings",
        &[
            "GET / HTTP/1.1\r\nTransfer-Encoding:\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: ,chunked\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked,\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: \x0bchunked\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: \"chunked\"\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked;a=b\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chun ked\r\n",
        ],
        400,
    ),
    (
        "RFC 9112 §6.1: unknown coding",
        &[
            "GET / HTTP/1.1\r\nTransfer-Encoding: unknown\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: unknown, chunked\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: identity\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
        ],
        501,
    ),
    ("RFC 9112 §6.1: Transfer-Encoding in HTTP/1.0", &["GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n"], 400),
    (
        "RFC 9110 §10.1.1: unknown expectation",
        &[
            "GET / HTTP/1.1\r\nExpect: 200-ok\r\n",
            "GET / HTTP/1.1\r\nExpect: 100-continue, x\r\n",
            "GET / HTTP/1.1\r\nExpect:\r\n",
        ],
        417,
    ),
];

#[test]
fn what_is_refused() {
    for &(clause, inputs, status) in REFUSED {
        for input in inputs {
            let error = parse(input.as_bytes(), &Limits::default()).err();
            let error = error.unwrap_or_else(|| panic!("{clause}: {input:?} was not refused"));
            assert_eq!(error.status(), status, "{clause}: {input:?}: {error}");
            assert!(error.closes(), "{clause}: the request's end is not known");
            assert!(error.to_string().starts_with("the client sent "), "{error}");
        }
    }
}

#[test]
fn each_fault_is_named() {
    let rows = [
        ("GET / HTTP/1.1\n", RequestError::BareLineFeed),
        ("GET / HTTP/1.1\r\nX: a\rb\r\n", RequestError::BareCarriageReturn),
        ("GET /\0 HTTP/1.1\r\n", RequestError::Nul),
        ("GET / HTTP/1.1\r\nX: \x01\r\n", RequestError::ControlCharacter),
        ("GET  / HTTP/1.1\r\n", RequestError::RequestLineSpaces),
        ("GET /  HTTP/1.1\r\n", RequestError::RequestLineSpaces),
        ("GET / HTTP/1.1 \r\n", RequestError::RequestLineSpaces),
        ("GET / a HTTP/1.1\r\n", RequestError::RequestLine),
        ("GET /\r\n", RequestError::RequestLine),
        ("GET /a#b HTTP/1.1\r\n", RequestError::Target),
        ("GET / HTTP/1.x\r\n", RequestError::Version),
        ("GET / HTTP/1.1\r\n Host: a\r\n", RequestError::FoldedField),
        ("GET / HTTP/1.1\r\nHost : a\r\n", RequestError::SpaceBeforeColon),
        ("GET / HTTP/1.1\r\nHost\r\n", RequestError::MissingColon),
        ("GET / HTTP/1.1\r\nX(y): a\r\n", RequestError::FieldName),
        ("GET / HTTP/1.1\r\n: a\r\n", RequestError::FieldName),
        ("GET / HTTP/1.1\r\n\r\n", RequestError::MissingHost),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n", RequestError::RepeatedHost),
        ("GET / HTTP/1.1\r\nHost: a b\r\n", RequestError::Host),
        ("GET / HTTP/1.1\r\nContent-Length: 5, 6\r\n", RequestError::ConflictingContentLength),
    ];
    for (input, expected) in rows {
        assert_eq!(parse(input.as_bytes(), &Limits::default()).err(), Some(expected), "{input:?}");
    }
}

#[test]
fn limits() {
    let limits = Limits { head: 200, fields: 3, target: 50, blank_lines: 0, ..Limits::default() };
    let target = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(length - 1));
    let field = |length: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(length - 32));
    let fields = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count - 1));
    let rows = [
        // RFC 9110 §15.5.15.
        (target(50), None),
        (target(51), Some(414)),
        (target(1000), Some(414)),
        (format!("GET /{}", "x".repeat(80)), Some(414)),
        // RFC 9112 §3: a method longer than any that is implemented.
        ("X".repeat(100), Some(501)),
        // RFC 6585 §5.
        (field(200), None),
        (field(201), Some(431)),
        (field(5000), Some(431)),
        (format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(200)), Some(431)),
        (format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(100)), None),
        (fields(3), None),
        (fields(4), Some(431)),
        ("\r\nGET / HTTP/1.1\r\n".to_string(), Some(400)),
    ];
    for (input, status) in rows {
        let found = parse(input.as_bytes(), &limits).err().map(RequestError::status);
        assert_eq!(found, status, "{} octets: {:.60}", input.len(), input);
        // As it drips in, the same is found at the latest when all of it is there.
        let mut parser = RequestParser::default();
        let dripped = (0..=input.len()).find_map(|end| parser.advance(&input.as_bytes()[..end], &limits).err());
        assert_eq!(dripped.map(RequestError::status), status, "dripping {:.60}", input);
    }
    let default = Limits::default();
    assert!(default.target >= 8000, "RFC 9112 §3");
    let target = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(7999));
    assert!(parse(target.as_bytes(), &default).is_ok());
}

#[test]
fn unknown_methods_are_read_if_they_are_passed_on() {
    let limits = Limits { extension_methods: true, ..Limits::default() };
    let request = |method: &str| format!("{method} /x HTTP/1.1\r\nHost: a\r\n\r\n");
    let longest = "X".repeat(32);
    for method in ["PROPFIND", "M-SEARCH", "X", &longest] {
        let text = request(method);
        let head = parse(text.as_bytes(), &limits).unwrap().unwrap();
        assert_eq!((head.method(), head.method_text(text.as_bytes())), (Method::Other, method.as_bytes()));
        assert_eq!(head.target(text.as_bytes()), b"/x");
        let refused = parse(text.as_bytes(), &Limits::default()).err().map(RequestError::status);
        assert_eq!(refused, Some(501), "unless they are passed on");
    }
    for (method, known) in [("GET", Method::Get), ("PATCH", Method::Patch), ("TRACE", Method::Trace)] {
        assert_eq!(parse(request(method).as_bytes(), &limits).unwrap().unwrap().method(), known);
    }
    // A backend might take the first two for what they are not.
    for (method, status) in [("get", 501), ("Delete", 501), (&"X".repeat(33), 501), ("X(", 400), ("", 400)] {
        let refused = parse(request(method).as_bytes(), &limits).err().map(RequestError::status);
        assert_eq!(refused, Some(status), "{method}");
    }
    assert_eq!(parse("X".repeat(9000).as_bytes(), &limits).err().map(RequestError::status), Some(501));
}

#[test]
fn what_only_a_proxy_asks() {
    let head = with_fields("");
    assert!(!head.has_cookie() && !head.has_cache_control() && !head.has_pragma() && !head.has_priority());
    let head = with_fields("cookie: a\r\nCache-Control: no-cache\r\nPragma: no-cache\r\nPriority: u=1\r\n");
    assert!(head.has_cookie() && head.has_cache_control() && head.has_pragma() && head.has_priority());
    let text = "GET http://WWW.Example.org:8080 HTTP/1.1\r\nHost: other\r\n\r\n";
    let (head, octets) = (accepted(text), text.as_bytes());
    assert_eq!(head.host(octets), b"WWW.Example.org:8080");
    assert_eq!(head.host_name(octets, &mut Vec::new()), Some(b"www.example.org".as_slice()));
    assert_eq!(head.scheme(), Some(Scheme::Http));
    assert_eq!(accepted("OPTIONS HTTPS://a HTTP/1.1\r\nHost: a\r\n\r\n").scheme(), Some(Scheme::Https));
    assert_eq!(with_fields("").scheme(), None);
    let text = "GET / HTTP/1.0\r\n\r\n";
    assert_eq!(accepted(text).host_name(text.as_bytes(), &mut Vec::new()), None);
}

/// RFC 9110 §7.8.
#[test]
fn upgrades_that_are_asked_for() {
    let rows = [
        ("HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket", true),
        ("HTTP/1.1\r\nUpgrade: websocket\r\nConnection: keep-alive, upgrade", true),
        ("HTTP/1.1\r\nUpgrade: websocket", false),
        ("HTTP/1.1\r\nConnection: upgrade", false),
        ("HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket", false),
    ];
    for (rest, asked) in rows {
        let text = format!("GET / {rest}\r\nHost: a\r\n\r\n");
        let head = accepted(&text);
        let protocols: Option<Vec<_>> = head.upgrade(text.as_bytes()).map(Iterator::collect);
        assert_eq!(protocols, asked.then(|| vec![&b"websocket"[..]]), "{rest}");
    }
}

#[test]
fn a_parser_is_small() {
    // It is kept for every connection.
    assert!(size_of::<RequestParser>() <= 256, "{}", size_of::<RequestParser>());
}

#[test]
fn the_corpora_keep_the_promises() {
    type Check = fn(&[u8]);
    let checks: [(&str, Check); 4] =
        [("request", fuzz::request), ("path", fuzz::path), ("range", fuzz::range), ("chunked", fuzz::chunked)];
    for (target, check) in checks {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
        let mut count = 0;
        for file in fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display())) {
            check(&fs::read(file.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count >= 12, "{target} has {count} seeds");
    }
}

prop_compose! {
    fn well_formed()(
        method in prop::sample::select(vec!["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]),
        target in "/[a-zA-Z0-9._~!$&'()*+,;=:@/-]{0,30}(\\?[a-z=&%0-9]{0,20})?",
        minor in 0u8..2,
        host in "[a-z0-9.-]{1,20}(:[0-9]{1,4})?",
        fields in prop::collection::vec(("[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}", "[!-~]([ -~\t]{0,30}[!-~])?"), 0..8),
        place in any::<prop::sample::Index>(),
    ) -> String {
        let mut fields: Vec<String> =
            fields.into_iter().filter(|(name, _)| !means_something(name)).map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        fields.insert(place.index(fields.len() + 1), format!("Host: {host}\r\n"));
        format!("{method} {target} HTTP/1.{minor}\r\n{}\r\n", fields.concat())
    }
}

fn means_something(name: &str) -> bool {
    ["host", "expect", "content-length"].contains(&name.to_ascii_lowercase().as_str())
}

proptest! {
    #[test]
    fn what_is_well_formed_is_read_as_another_parser_reads_it(text in well_formed()) {
        let octets = text.as_bytes();
        let mut fields = [httparse::EMPTY_HEADER; 16];
        let mut other = httparse::Request::new(&mut fields);
        prop_assert_eq!(other.parse(octets).unwrap(), httparse::Status::Complete(octets.len()));
        let head = accepted(&text);
        prop_assert_eq!(head.method().name(), other.method.unwrap());
        prop_assert_eq!(head.target(octets), other.path.unwrap().as_bytes());
        prop_assert_eq!(head.is_http_1_0(), other.version == Some(0));
        let host = other.headers.iter().find(|field| field.name == "Host").unwrap();
        prop_assert_eq!(head.host(octets), host.value);
    }

    #[test]
    fn what_another_parser_refuses_is_refused(text in well_formed(), at in any::<prop::sample::Index>(), octet: u8) {
        let mut octets = text.into_bytes();
        let at = at.index(octets.len());
        octets[at] = octet;
        let mut fields = [httparse::EMPTY_HEADER; 16];
        let refused = httparse::Request::new(&mut fields).parse(&octets).err();
        // It knows HTTP/1.0 and HTTP/1.1 only.
        if refused.is_some_and(|error| error != httparse::Error::Version) {
            // At the latest at the end of its line: what follows here ends any.
            octets.extend_from_slice(b"\r\n\r\n");
            let outcome = RequestParser::default().advance(&octets, &Limits::default());
            prop_assert!(outcome.is_err(), "{}: {:?}", octets.escape_ascii(), outcome);
        }
    }

    #[test]
    fn pieces_make_no_difference(text in well_formed(), at in any::<prop::sample::Index>(), octet: u8) {
        fuzz::request(text.as_bytes());
        let mut octets = text.into_bytes();
        let at = at.index(octets.len());
        octets[at] = octet;
        fuzz::request(&octets);
    }

    #[test]
    fn any_octets_keep_the_promises(octets in prop::collection::vec(any::<u8>(), 0..100)) {
        fuzz::request(&octets);
    }
}
