//! What a client may send, and what it gets for the rest.

use proptest::prelude::*;

use super::*;
use crate::message::Body;

fn parse(input: &[u8]) -> Result<(RequestParser, usize), RequestError> {
    let mut parser = RequestParser::default();
    match parser.advance(input, &Limits::default())? {
        Progress::Complete(length) => Ok((parser, length)),
        Progress::Incomplete => panic!("incomplete: {:?}", input.escape_ascii().to_string()),
    }
}

fn accepted(input: &str) -> RequestHead {
    parse(input.as_bytes()).unwrap_or_else(|error| panic!("{input:?}: {error}")).0.head().clone()
}

fn refused(input: &[u8]) -> RequestError {
    parse(input).err().unwrap_or_else(|| panic!("accepted {:?}", input.escape_ascii().to_string()))
}

/// A GET with `field` as its only field besides Host.
fn with_field(field: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n")
}

#[test]
fn a_request_falls_into_its_parts() {
    let input = "GET /a/b?c=d HTTP/1.1\r\nHost: example.org:8080\r\nUser-Agent:  curl/8 \r\nReferer: http://r/\r\n\
                 Accept-Encoding: gzip, br\r\nIf-Range: \"x\"\r\nRange: bytes=0-1\r\nIf-Modified-Since: then\r\n\
                 If-Unmodified-Since: later\r\nAuthorization: Basic eDp5\r\n\r\nGET /next";
    let octets = input.as_bytes();
    let (parser, length) = parse(octets).expect("well-formed");
    assert_eq!(&octets[length..], b"GET /next");
    let (head, mut scratch) = (parser.head(), Vec::new());
    assert_eq!(head.method(), Method::Get);
    assert_eq!(head.method_text(octets), b"GET");
    assert_eq!(head.target(octets), b"/a/b?c=d");
    assert_eq!(head.path(octets, &mut scratch), Ok(&b"/a/b"[..]));
    assert_eq!(head.query(octets), Some(&b"c=d"[..]));
    assert_eq!(head.host(octets), Some(&b"example.org:8080"[..]));
    assert_eq!(head.user_agent(octets), Some(&b"curl/8"[..]));
    assert_eq!(head.referer(octets), Some(&b"http://r/"[..]));
    assert_eq!(head.if_range(octets), Some(&b"\"x\""[..]));
    assert_eq!(head.range(octets), Some(&b"bytes=0-1"[..]));
    assert_eq!(head.if_modified_since(octets), Some(&b"then"[..]));
    assert_eq!(head.if_unmodified_since(octets), Some(&b"later"[..]));
    assert_eq!(head.fields(octets).count(), 9);
    assert!(head.has_preconditions() && head.has_range() && head.has_authorization() && head.is_persistent());
    assert!(!head.is_http_1_0() && !head.is_asterisk() && !head.expects_continue());
    assert_eq!(head.body(), Body::None);
}

/// One row for each clause: what is refused, and with which fault.
#[test]
fn bad_input_is_refused() {
    use RequestError::*;
    let rows: &[(&str, &[(&str, RequestError)])] = &[
        ("RFC 9112 §3: one space between method, target and version", &[
            ("GET  / HTTP/1.1\r\n", RequestLine),
            ("GET /  HTTP/1.1\r\n", RequestLine),
            ("GET / HTTP/1.1 \r\n", RequestLine),
            (" GET / HTTP/1.1\r\n", RequestLine),
            ("GET\t/ HTTP/1.1\r\n", RequestLine),
            ("GET /a b HTTP/1.1\r\n", RequestLine),
            ("GET /\r\n", RequestLine),
            ("GET\r\n", RequestLine),
            ("GET / http/1.1\r\n", RequestLine),
            ("GET / HTTP/1.10\r\n", RequestLine),
            ("GET / HTTP/11\r\n", RequestLine),
            ("G(T / HTTP/1.1\r\n", RequestLine),
            ("GET /\0 HTTP/1.1\r\n", RequestLine),
            ("GET /#a HTTP/1.1\r\n", RequestLine),
            ("GET /\u{e9} HTTP/1.1\r\n", RequestLine),
            ("\x16\x03\x01\x02", RequestLine),
        ]),
        ("RFC 9112 §2.2: an empty line before the request line, not many", &[
            ("\r\n\r\n\r\nGET / HTTP/1.1\r\n", RequestLine),
            ("\nGET / HTTP/1.1\r\n", BareLineFeed),
            ("\rGET / HTTP/1.1\r\n", BareCarriageReturn),
        ]),
        ("RFC 9112 §2.2: a bare CR, and LF alone where framing depends on it", &[
            ("GET / HTTP/1.1\nHost: a\n\n", BareLineFeed),
            ("GET / HTTP/1.1\r\nHost: a\n", BareLineFeed),
            ("GET / HTTP/1.1\r\nHost: a\r\n\n", BareLineFeed),
            ("GET / HTTP/1.1\r\nHost: a\rb\r\n", BareCarriageReturn),
            ("GET / HTTP/1.1\r\nHost: a\r\n\rX", BareCarriageReturn),
            ("GET / HTTP/1.1\r\nHost: a\r\r\n", BareCarriageReturn),
        ]),
        ("RFC 9110 §5.5: control octets in a value", &[
            ("GET / HTTP/1.1\r\nX: a\0b\r\n", ControlOctet),
            ("GET / HTTP/1.1\r\nX: \x1b[2J\r\n", ControlOctet),
            ("GET / HTTP/1.1\r\nX: a\x7f\r\n", ControlOctet),
        ]),
        ("RFC 9112 §5: a name is a token", &[
            ("GET / HTTP/1.1\r\n: a\r\n", FieldName),
            ("GET / HTTP/1.1\r\nHost\r\n", FieldName),
            ("GET / HTTP/1.1\r\nHo st: a\r\n", FieldName),
            ("GET / HTTP/1.1\r\nHo(st: a\r\n", FieldName),
            ("GET / HTTP/1.1\r\nH\u{f6}st: a\r\n", FieldName),
            ("GET / HTTP/1.1\r\nHo\0st: a\r\n", FieldName),
        ]),
        ("RFC 9112 §5.1: no white space before the colon", &[
            ("GET / HTTP/1.1\r\nHost : a\r\n", SpaceBeforeColon),
            ("GET / HTTP/1.1\r\nHost\t: a\r\n", SpaceBeforeColon),
        ]),
        ("RFC 9112 §5.2: no folded lines; §2.2: no white space before the first", &[
            ("GET / HTTP/1.1\r\nX: a\r\n b\r\n", Folding),
            ("GET / HTTP/1.1\r\nX: a\r\n\tb\r\n", Folding),
            ("GET / HTTP/1.1\r\n Host: a\r\n", Folding),
        ]),
        ("RFC 9112 §3.2: exactly one valid Host", &[
            ("GET / HTTP/1.1\r\n\r\n", HostMissing),
            ("GET http://a/ HTTP/1.1\r\n\r\n", HostMissing),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n", HostRepeated),
            ("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n", HostRepeated),
            ("GET / HTTP/1.1\r\nHost: a b\r\n", HostMalformed),
            ("GET / HTTP/1.1\r\nHost: user@a\r\n", HostMalformed),
            ("GET / HTTP/1.1\r\nHost: a/b\r\n", HostMalformed),
            ("GET / HTTP/1.1\r\nHost: a:b\r\n", HostMalformed),
            ("GET http://a:b/ HTTP/1.1\r\n", HostMalformed),
        ]),
        ("RFC 9112 §6.3: Content-Length is one decimal number", &[
            ("POST / HTTP/1.1\r\nContent-Length: +5\r\n", LengthMalformed),
            ("POST / HTTP/1.1\r\nContent-Length: -5\r\n", LengthMalformed),
            ("POST / HTTP/1.1\r\nContent-Length: 0x5\r\n", LengthMalformed),
            ("POST / HTTP/1.1\r\nContent-Length: 5 5\r\n", LengthMalformed),
            ("POST / HTTP/1.1\r\nContent-Length: 5.0\r\n", LengthMalformed),
            ("POST / HTTP/1.1\r\nContent-Length:\r\n", LengthMalformed),
            ("POST / HTTP/1.1\r\nContent-Length: 5,\r\n", LengthMalformed),
            ("POST / HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n", LengthMalformed),
            ("POST / HTTP/1.1\r\nContent-Length: 5, 6\r\n", LengthConflict),
            ("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n", LengthConflict),
        ]),
        ("RFC 9112 §6.1: Content-Length with Transfer-Encoding", &[
            ("POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n", LengthWithCoding),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n", LengthWithCoding),
            ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n", LengthWithCoding),
        ]),
        ("RFC 9112 §6.3, §7.1: chunked is the last coding, once, and has no parameters", &[
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n", CodingOrder),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked, chunked\r\n", CodingOrder),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", CodingOrder),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked;a=b\r\n", CodingOrder),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: \x0bchunked\r\n", ControlOctet),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chun ked\r\n", CodingOrder),
            ("POST / HTTP/1.1\r\nTransfer-Encoding:\r\n", CodingOrder),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: ,\r\n", CodingOrder),
        ]),
        ("RFC 9112 §6.1: a coding that is not known", &[
            ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n", CodingUnknown),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n", CodingUnknown),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\n", CodingUnknown),
        ]),
        ("RFC 9110 §15.6.6: another major version", &[
            ("GET / HTTP/2.0\r\n", Version),
            ("GET / HTTP/9.9\r\n", Version),
            ("GET / HTTP/0.9\r\n", Version),
            ("PRI * HTTP/2.0\r\n", Version),
        ]),
        ("RFC 9110 §9.1: methods are known and case-sensitive", &[
            ("BREW / HTTP/1.1\r\n", UnknownMethod),
            ("get / HTTP/1.1\r\n", UnknownMethod),
        ]),
        ("RFC 9112 §3.2: the target's form fits the method", &[
            ("GET * HTTP/1.1\r\n", Target),
            ("GET a HTTP/1.1\r\n", Target),
            ("CONNECT / HTTP/1.1\r\n", Target),
        ]),
        ("RFC 9110 §10.1.1: an expectation that is not known", &[
            ("GET / HTTP/1.1\r\nExpect: 200-ok\r\n", Expectation),
            ("GET / HTTP/1.1\r\nExpect: 100-continue, more\r\n", Expectation),
        ]),
    ];
    for (clause, cases) in rows {
        for (input, error) in *cases {
            assert_eq!(refused(input.as_bytes()), *error, "{clause}: {input:?}");
        }
    }
}

#[test]
fn faults_become_statuses() {
    use RequestError::*;
    for (error, status) in [
        (RequestLine, 400),
        (HostMissing, 400),
        (LengthWithCoding, 400),
        (PathSlash, 404),
        (TargetTooLong, 414),
        (Expectation, 417),
        (FieldsTooLarge, 431),
        (TooManyFields, 431),
        (UnknownMethod, 501),
        (CodingUnknown, 501),
        (Version, 505),
    ] {
        assert_eq!(error.status(), status, "{error}");
        assert!(error.to_string().starts_with("the client"), "{error}");
    }
    assert!(LengthConflict.closes() && !PathEncoding.closes());
}

#[test]
fn what_is_unusual_but_allowed() {
    for input in [
        "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHOST:\ta\t\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: caf\u{e9}\tau lait\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX:\r\n\r\n",
        "GET /{\"<>|\\^`} HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        accepted(input);
    }
}

#[test]
fn later_minor_versions_are_served_as_1_1() {
    assert!(!accepted("GET / HTTP/1.2\r\nHost: a\r\n\r\n").is_http_1_0(), "RFC 9110 §2.5");
    assert!(accepted("GET / HTTP/1.0\r\n\r\n").is_http_1_0());
}

#[test]
fn persistence() {
    // RFC 9112 §9.3.
    for (version, fields, persistent) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: TE, Close\r\n", false),
        ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", false),
        ("1.1", "Connection: upgrade\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
        ("1.0", "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n", false),
    ] {
        let input = format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n");
        assert_eq!(accepted(&input).is_persistent(), persistent, "{input:?}");
    }
}

#[test]
fn bodies() {
    for (field, body) in [
        ("X: y", Body::None),
        ("Content-Length: 0", Body::Length(0)),
        ("Content-Length: 18446744073709551615", Body::Length(u64::MAX)),
        ("Content-Length: 5, 5", Body::Length(5)),
        ("Content-Length: 5\r\nContent-Length: 5", Body::Length(5)),
        ("Transfer-Encoding: Chunked", Body::Chunked),
        ("Transfer-Encoding: , chunked", Body::Chunked),
    ] {
        assert_eq!(accepted(&with_field(field)).body(), body, "{field}");
    }
}

#[test]
fn expectations() {
    assert!(accepted(&with_field("Expect: 100-Continue")).expects_continue());
    assert!(!accepted(&with_field("Expect:")).expects_continue());
    assert!(!accepted("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").expects_continue(), "RFC 9110 §10.1.1");
}

#[test]
fn the_targets_authority_goes_before_host() {
    for (target, host, path) in [
        ("/x", "h", "/x"),
        ("http://t:1/x?y", "t:1", "/x"),
        ("http://t", "t", "/"),
        ("http://t?y", "t", "/"),
    ] {
        let input = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        let head = accepted(&input);
        assert_eq!(head.host(input.as_bytes()), Some(host.as_bytes()), "RFC 9112 §3.2.2");
        assert_eq!(head.path(input.as_bytes(), &mut Vec::new()), Ok(path.as_bytes()));
    }
    let input = "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n";
    let head = accepted(input);
    assert!(head.is_asterisk());
    assert_eq!(head.path(input.as_bytes(), &mut Vec::new()), Ok(&b""[..]));
}

#[test]
fn repeated_fields() {
    let input = with_field("If-None-Match: \"a\"\r\nX: y\r\nif-none-match: \"b\"\r\nIf-Match: \"c\"");
    let (head, octets) = (accepted(&input), input.as_bytes());
    let values: Vec<_> = head.if_none_match(octets).expect("present").collect();
    assert_eq!(values, [b"\"a\"", b"\"b\""], "RFC 9110 §5.3");
    assert_eq!(head.if_match(octets).expect("present").collect::<Vec<_>>(), [b"\"c\""]);

    let input = with_field("Range: bytes=0-1\r\nRange: bytes=2-3");
    assert_eq!(accepted(&input).range(input.as_bytes()), None);
    let input = with_field("Range: bytes=0-1\r\nIf-Range: \"a\"\r\nIf-Range: \"b\"");
    assert_eq!(accepted(&input).range(input.as_bytes()), None);
    let input = with_field("If-Modified-Since: a\r\nIf-Modified-Since: b");
    assert_eq!(accepted(&input).if_modified_since(input.as_bytes()), None, "RFC 9110 §13.1.3");
}

#[test]
fn limits_hold_to_the_octet() {
    let limits = Limits { header_size: 40, headers: 3, target: 10 };
    let advance = |input: &str| {
        let whole = RequestParser::default().advance(input.as_bytes(), &limits);
        let mut parser = RequestParser::default();
        let mut dripped = Ok(Progress::Incomplete);
        for length in 1..=input.len() {
            dripped = parser.advance(&input.as_bytes()[..length], &limits);
            if dripped != Ok(Progress::Incomplete) {
                break;
            }
        }
        assert_eq!(whole, dripped, "{input:?}");
        whole
    };
    let request = |target: usize, field: usize, fields: &str| {
        format!("GET /{:a<2$} HTTP/1.1\r\nHost: a\r\nX: {:b<3$}\r\n{fields}\r\n", "", "", target - 1, field)
    };
    // Host takes 9 octets of the fields, X takes 5 besides its value.
    assert!(matches!(advance(&request(10, 26, "")), Ok(Progress::Complete(_))));
    assert_eq!(advance(&request(11, 26, "")), Err(RequestError::TargetTooLong));
    assert_eq!(advance(&request(10, 27, "")), Err(RequestError::FieldsTooLarge));
    assert!(matches!(advance(&request(1, 1, "A:\r\n")), Ok(Progress::Complete(_))));
    assert_eq!(advance(&request(1, 1, "A:\r\nB:\r\n")), Err(RequestError::TooManyFields));
}

#[test]
fn endless_lines_are_cut_off() {
    for (start, error) in [
        ("", RequestError::UnknownMethod),
        ("GET /", RequestError::TargetTooLong),
        ("GET / HTTP/1.1\r\n", RequestError::FieldsTooLarge),
        ("GET / HTTP/1.1\r\nX:", RequestError::FieldsTooLarge),
    ] {
        let limits = Limits::default();
        let (mut parser, mut input) = (RequestParser::default(), start.as_bytes().to_vec());
        let fault = loop {
            assert!(input.len() <= limits.head_size());
            input.extend([b'a'; 7]);
            match parser.advance(&input, &limits) {
                Ok(progress) => assert_eq!(progress, Progress::Incomplete),
                Err(fault) => break fault,
            }
        };
        assert_eq!(fault, error, "{start:?}");
    }
}

#[test]
fn eight_thousand_octets_of_request_line_are_supported() {
    accepted(&format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(8000 - 15)));
}

#[test]
fn empty_lines_do_not_start_a_request() {
    let (mut parser, limits) = (RequestParser::default(), Limits::default());
    for (input, started) in [("", false), ("\r", false), ("\r\n", false), ("\r\nG", true), ("\r\nGE", true)] {
        assert_eq!(parser.advance(input.as_bytes(), &limits), Ok(Progress::Incomplete));
        assert_eq!(parser.is_started(), started, "{input:?}");
    }
}

#[test]
fn a_parser_is_small() {
    assert!(size_of::<RequestParser>() < 256, "{}", size_of::<RequestParser>());
}

/// Requests near the well-formed ones, so that most lines of the parser are reached.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        8 => Just("GET / HTTP/1.1\r\n"),
        1 => Just("GET http://b/c?d HTTP/1.0\r\n"),
        1 => Just("OPTIONS * HTTP/1.3\r\n"),
        1 => Just("\r\nPOST /a%20b HTTP/1.1\r\n"),
        1 => Just("G\r\n"),
    ];
    let field = prop_oneof![
        4 => "[A-Za-z-]{1,8}:[ \t]?[ -~\u{80}-\u{ff}]{0,12}\r\n",
        2 => Just("Content-Length: 3\r\n".to_owned()),
        1 => Just("Transfer-Encoding: chunked\r\n".to_owned()),
        1 => Just("Accept-Encoding: br;q=0, gzip\r\n".to_owned()),
        1 => Just("X : y\r\n".to_owned()),
        1 => Just(" folded\r\n".to_owned()),
        1 => Just("X: \0\r\n".to_owned()),
        1 => Just("X: y\n".to_owned()),
        1 => Just("X: \r y\r\n".to_owned()),
    ];
    (line, prop::collection::vec(field, 0..6)).prop_map(|(line, fields)| {
        [line, "Host: a\r\n", &fields.concat(), "\r\nGET / HT"].concat().into_bytes()
    })
}

proptest! {
    #[test]
    fn pieces_do_not_matter(input in requests(), cuts in prop::collection::btree_set(1usize..80, 0..6)) {
        let limits = Limits::default();
        let mut whole = RequestParser::default();
        let expected = whole.advance(&input, &limits);
        let mut pieces = RequestParser::default();
        let mut lengths: Vec<usize> = cuts.into_iter().filter(|&cut| cut < input.len()).collect();
        lengths.push(input.len());
        let mut last = Ok(Progress::Incomplete);
        for length in lengths {
            last = pieces.advance(&input[..length], &limits);
            if last != Ok(Progress::Incomplete) {
                break;
            }
        }
        prop_assert_eq!(last, expected);
        if expected.is_ok() {
            prop_assert_eq!(format!("{:?}", pieces.head()), format!("{:?}", whole.head()));
        }
    }

    #[test]
    fn any_octets_are_safe(input in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut parser = RequestParser::default();
        if parser.advance(&input, &Limits::default()).is_ok() {
            let _ = parser.head().path(&input, &mut Vec::new());
        }
    }

    /// What we accept, an independent parser accepts, and finds the same in it.
    #[test]
    fn httparse_agrees(input in requests()) {
        let mut parser = RequestParser::default();
        let Ok(Progress::Complete(length)) = parser.advance(&input, &Limits::default()) else { return Ok(()) };
        let mut fields = [httparse::EMPTY_HEADER; 16];
        let mut other = httparse::Request::new(&mut fields);
        let theirs = other.parse(&input);
        // It does not know later minor versions.
        prop_assume!(theirs != Err(httparse::Error::Version));
        prop_assert_eq!(theirs, Ok(httparse::Status::Complete(length)));
        let head = parser.head();
        prop_assert_eq!(other.method.map(str::as_bytes), Some(head.method_text(&input)));
        prop_assert_eq!(other.path.map(str::as_bytes), Some(head.target(&input)));
        prop_assert_eq!(other.version == Some(0), head.is_http_1_0());
        let ours: Vec<_> = head.fields(&input).collect();
        let theirs: Vec<_> = other.headers.iter().map(|field| (field.name.as_bytes(), field.value)).collect();
        prop_assert_eq!(ours, theirs);
    }
}
