//! Heads that are passed on: what goes through, what does not, and what is written anew.

use std::net::IpAddr;

use afpa_http::syntax::forward::{
    ClientEnd, FieldEdit, ForwardedRequest, ForwardedResponse, Provenance, RequestPolicy, max_forwards, passed_through,
};
use afpa_http::syntax::{
    Body, Limits, Progress, RequestError, RequestHead, RequestParser, ResponseError, Scheme, fields, fuzz,
};
use proptest::prelude::*;

/// What a backend gets of `request`, line by line, without the provenance of the client unless it is asked for.
fn forwarded(request: &str, change: impl for<'a> FnOnce(&mut ForwardedRequest<'a>)) -> Vec<String> {
    try_forwarded(request, &RequestPolicy { provenance: NOTHING, ..RequestPolicy::default() }, false, change).unwrap()
}

fn with_policy(request: &str, policy: &RequestPolicy, is_trusted: bool) -> Vec<String> {
    try_forwarded(request, policy, is_trusted, |_| ()).unwrap()
}

const NOTHING: Provenance = Provenance { x_forwarded: false, forwarded: false, x_real_ip: false };

fn try_forwarded(
    request: &str,
    policy: &RequestPolicy,
    is_trusted: bool,
    change: impl for<'a> FnOnce(&mut ForwardedRequest<'a>),
) -> Result<Vec<String>, RequestError> {
    let (head, octets) = (parsed(request.as_bytes()), request.as_bytes());
    let mut scratch = Vec::new();
    let mut forwarded = ForwardedRequest {
        method: head.method_text(octets),
        target: head.origin_form(octets, &mut scratch).unwrap(),
        host: head.host(octets),
        fields: fields(octets),
        http_1_0: head.is_http_1_0(),
        body: head.body(),
        client: ClientEnd {
            peer: address("192.0.2.1"),
            client: address("2001:db8::7"),
            is_trusted,
            scheme: Scheme::Http,
            host: head.host(octets),
        },
        policy,
        edits: &[],
        upgrade: None,
        expects_continue: head.expects_continue(),
        close: false,
    };
    change(&mut forwarded);
    let mut out = Vec::new();
    forwarded.write(&mut out)?;
    parsed(&out);
    Ok(lines(&out))
}

fn parsed(octets: &[u8]) -> RequestHead {
    let mut parser = RequestParser::default();
    let limits = Limits { extension_methods: true, ..Limits::default() };
    let progress = parser.advance(octets, &limits);
    assert_eq!(progress, Ok(Progress::Complete(octets.len())), "{}", octets.escape_ascii());
    parser.head().clone()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn lines(head: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(head).unwrap().strip_suffix("\r\n\r\n").unwrap();
    text.split("\r\n").map(str::to_owned).collect()
}

fn request(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

#[test]
fn a_whole_request() {
    let text = "POST http://Example.org:80?q HTTP/1.1\r\nHost: other\r\nContent-Length: 3\r\nX-One: 1\r\n\
                Connection: x-two, close\r\nX-Two: 2\r\nVia: 1.0 front\r\nx-one:  3\r\n\r\n";
    let lines = forwarded(text, |_| ());
    let expected = [
        "POST /?q HTTP/1.1",
        "Host: Example.org:80",
        "X-One: 1",
        "Via: 1.0 front",
        "x-one: 3",
        "Via: 1.1 afpa",
        "Content-Length: 3",
    ];
    assert_eq!(lines, expected);
}

/// Each row: fields of the request, and what goes through of them.
#[test]
fn what_goes_through() {
    let rows: &[(&str, &str, &[&str])] = &[
        ("RFC 9110 §7.6.1", "Connection: close, A\r\nA: 1\r\nB: 2\r\n", &["B: 2"]),
        ("RFC 9110 §7.6.1", "A: 1\r\nConnection: keep-alive\r\nConnection: \"x\", ,a\r\nB: 2\r\n", &["B: 2"]),
        (
            "RFC 9110 §7.6.1",
            "Keep-Alive: 5\r\nProxy-Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n",
            &["Transfer-Encoding: chunked"],
        ),
        ("RFC 9110 §7.8", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n", &[]),
        ("RFC 9113 §3.1", "HTTP2-Settings: AA\r\nUpgrade: h2c\r\n", &[]),
        (
            "RFC 9110 §11.7",
            "Proxy-Authorization: Basic eA==\r\nAuthorization: Basic eQ==\r\n",
            &["Authorization: Basic eQ=="],
        ),
        ("RFC 9110 §10.1.4", "TE: gzip\r\n", &[]),
        ("RFC 9110 §10.1.4", "Connection: TE\r\nTE: gzip;q=0.5, Trailers\r\n", &["Connection: TE", "TE: trailers"]),
        ("RFC 9110 §6.6.2", "Trailer: X\r\n", &[]),
        (
            "RFC 9110 §6.6.2",
            "Trailer: X\r\nTransfer-Encoding: chunked\r\n",
            &["Trailer: X", "Transfer-Encoding: chunked"],
        ),
        (
            "RFC 9110 §10.1.1",
            "Expect: 100-continue\r\nContent-Length: 1\r\n",
            &["Expect: 100-continue", "Content-Length: 1"],
        ),
        ("RFC 9112 §6.3", "Content-Length: 5\r\nContent-Length: 5, 5\r\n", &["Content-Length: 5"]),
        ("RFC 9110 §7.6.2", "Max-Forwards: 3\r\n", &["Max-Forwards: 3"]),
        // What a client must not decide.
        ("httpoxy", "Proxy: http://evil/\r\n", &[]),
        ("provenance", "X-Forwarded-For: 1.2.3.4\r\nX-FORWARDED-ANYTHING: x\r\nForwarded: for=x\r\n", &[]),
        ("provenance", "X-Real-IP: 1.2.3.4\r\nClient-IP: 1.2.3.4\r\nTrue-Client-IP: 1.2.3.4\r\n", &[]),
        ("target", "X-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\n", &[]),
        ("method", "X-HTTP-Method-Override: DELETE\r\nX-HTTP-Method: PUT\r\nX-Method-Override: PUT\r\n", &[]),
        ("unusual names", "X_Forwarded_For: 1.2.3.4\r\nContent_Length: 7\r\nX.Y: z\r\nX-Y: z\r\n", &["X-Y: z"]),
        ("any octets", "X: \u{e9}\r\n", &["X: \u{e9}"]),
    ];
    for &(clause, sent, expected) in rows {
        let found = forwarded(&request(sent), |_| ());
        let expected: Vec<_> = expected.iter().map(|&line| line.to_owned()).collect();
        let others = ["GET / HTTP/1.1", "Host: a", "Via: 1.1 afpa"];
        let found: Vec<_> = found.into_iter().filter(|line| !others.contains(&line.as_str())).collect();
        assert_eq!(found, expected, "{clause}: {sent:?}");
    }
}

#[test]
fn targets_in_origin_form() {
    let rows = [
        ("GET /a%2f?b HTTP/1.1", "GET /a%2f?b HTTP/1.1"),
        ("GET http://a HTTP/1.1", "GET / HTTP/1.1"),
        ("GET HTTPS://a/b?c HTTP/1.1", "GET /b?c HTTP/1.1"),
        ("GET http://a?c HTTP/1.1", "GET /?c HTTP/1.1"),
        ("GET /? HTTP/1.1", "GET /? HTTP/1.1"),
        ("OPTIONS * HTTP/1.1", "OPTIONS * HTTP/1.1"),
        // RFC 9112 §3.2.4.
        ("OPTIONS http://a HTTP/1.1", "OPTIONS * HTTP/1.1"),
        ("OPTIONS http://a/ HTTP/1.1", "OPTIONS / HTTP/1.1"),
        ("PROPFIND /x HTTP/1.1", "PROPFIND /x HTTP/1.1"),
        ("GET //a/../b HTTP/1.0", "GET //a/../b HTTP/1.1"),
    ];
    for (line, expected) in rows {
        assert_eq!(forwarded(&format!("{line}\r\nHost: a\r\n\r\n"), |_| ())[0], expected);
    }
}

#[test]
fn a_rewritten_target_cannot_end_its_line() {
    let lines = forwarded(&request(""), |forwarded| forwarded.target = b"/a b\r\nX: y#\xff");
    assert_eq!(lines[0], "GET /a%20b%0D%0AX:%20y%23%FF HTTP/1.1");
    assert_eq!(forwarded(&request(""), |forwarded| forwarded.target = b"")[0], "GET / HTTP/1.1");
}

#[test]
fn via_names_the_version_that_was_received() {
    let lines = forwarded("GET / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", |_| ());
    assert_eq!(lines, ["GET / HTTP/1.1", "Host: a", "Via: 1.0 afpa"]);
}

#[test]
fn loops_are_seen() {
    let text = request("Via: 1.1 afpa, 1.0 other (afpa)\r\nvia: HTTP/1.1  AFPA (x)\r\nVia: afpa\r\n");
    assert_eq!(passed_through(fields(text.as_bytes()), "afpa"), 2);
}

#[test]
fn max_forwards_is_counted_down() {
    let text = "OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 3\r\n\r\n";
    assert_eq!(max_forwards(fields(text.as_bytes())), Some(3));
    assert!(forwarded(text, |_| ()).contains(&"Max-Forwards: 2".to_owned()));
    assert!(!forwarded(&text.replace('3', "x"), |_| ()).iter().any(|line| line.starts_with("Max-Forwards")));
}

#[test]
fn upgrades_are_made_anew() {
    let text = request("Connection: keep-alive, Upgrade\r\nUpgrade: h2c, websocket\r\n");
    let upgraded = |protocol: &'static [u8]| forwarded(&text, |forwarded| forwarded.upgrade = Some(protocol));
    assert_eq!(upgraded(b"websocket")[3..], ["Connection: upgrade", "Upgrade: websocket"]);
    assert_eq!(upgraded(b"h2c").len(), 3, "never");
    let closed = forwarded(&text, |forwarded| forwarded.close = true);
    assert_eq!(closed[3..], ["Connection: close"]);
}

#[test]
fn method_overrides_go_through_with_post() {
    let text = request("X-HTTP-Method-Override: PUT\r\n").replace("GET", "POST");
    assert!(forwarded(&text, |_| ()).contains(&"X-HTTP-Method-Override: PUT".to_owned()));
}

#[test]
fn what_a_policy_keeps() {
    let policy = RequestPolicy {
        provenance: NOTHING,
        keeps_unusual_names: true,
        keeps_target_overrides: true,
        keeps_method_overrides: true,
        accepts_trailers: false,
        pseudonym: "edge",
        ..RequestPolicy::default()
    };
    let sent = "X_Y: 1\r\nX-Original-URL: /\r\nX-HTTP-Method: PUT\r\nX_Forwarded.For: 1\r\nTransfer_Encoding: x\r\nTE: trailers\r\n";
    let lines = with_policy(&request(sent), &policy, false);
    assert_eq!(lines[2..], ["X_Y: 1", "X-Original-URL: /", "X-HTTP-Method: PUT", "Via: 1.1 edge"]);
}

#[test]
fn changes_are_made_in_order() {
    use FieldEdit::{Add, Remove, Set};
    let rows: &[(&[FieldEdit], &[&str])] = &[
        (&[], &["A: 1", "a: 2", "B: 3"]),
        (&[Remove(b"a")], &["B: 3"]),
        (&[Set(b"a", b"x")], &["B: 3", "a: x"]),
        (&[Add(b"a", b"x"), Add(b"a", b"y")], &["A: 1", "a: 2", "B: 3", "a: x", "a: y"]),
        (&[Set(b"a", b"x"), Set(b"A", b"y"), Add(b"A", b"z")], &["B: 3", "A: y", "A: z"]),
        (&[Add(b"a", b"x"), Remove(b"a")], &["B: 3"]),
        (&[Set(b"b", b"x\r\nC: d")], &["A: 1", "a: 2", "b: x  C: d"]),
        // None of them may make a second framing, or a second host.
        (
            &[Set(b"Content-Length", b"1"), Add(b"transfer_encoding", b"x"), Set(b"Connection", b"x")],
            &["A: 1", "a: 2", "B: 3"],
        ),
        (&[Set(b"Host", b"x"), Set(b"a b", b"x"), Set(b"", b"x"), Remove(b"Via")], &["A: 1", "a: 2", "B: 3"]),
    ];
    for (edits, expected) in rows {
        let text = request("A: 1\r\na: 2\r\nB: 3\r\n");
        let policy = RequestPolicy { provenance: NOTHING, edits, ..RequestPolicy::default() };
        let lines = with_policy(&text, &policy, false);
        assert_eq!(lines[2..lines.len() - 1], **expected, "{edits:?}");
    }
    let policy = RequestPolicy { provenance: NOTHING, edits: &[Set(b"A", b"x")], ..RequestPolicy::default() };
    let lines = try_forwarded(&request(""), &policy, false, |forwarded| forwarded.edits = &[Set(b"a", b"y")]).unwrap();
    assert_eq!(lines[2], "a: y", "the request's word is the last");
}

#[test]
fn provenance_of_an_untrusted_client() {
    let all = Provenance { x_forwarded: true, forwarded: true, x_real_ip: true };
    let text = request("X-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\nX-Forwarded-Proto: https\r\n");
    let lines = with_policy(&text, &RequestPolicy { provenance: all, ..RequestPolicy::default() }, false);
    let expected = [
        "X-Forwarded-For: 192.0.2.1",
        "X-Forwarded-Proto: http",
        "X-Forwarded-Host: a",
        "Forwarded: for=192.0.2.1;host=a;proto=http",
        "X-Real-IP: 2001:db8::7",
        "Via: 1.1 afpa",
    ];
    assert_eq!(lines[2..], expected);
}

#[test]
fn provenance_of_a_trusted_hop_is_extended() {
    let text = request(
        "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nForwarded: for=x\r\nx-forwarded-for: 5.6.7.8, 9.9.9.9\r\n",
    );
    let lines = with_policy(&text, &RequestPolicy::default(), true);
    let expected = [
        "X-Forwarded-Proto: https",
        "X-Forwarded-For: 1.2.3.4, 5.6.7.8, 9.9.9.9, 192.0.2.1",
        "X-Forwarded-Host: a",
        "Forwarded: for=x, for=192.0.2.1;host=a;proto=http",
        "Via: 1.1 afpa",
    ];
    assert_eq!(lines[2..], expected);
    let lines = with_policy(&text, &RequestPolicy { provenance: NOTHING, ..RequestPolicy::default() }, true);
    assert_eq!(lines[2], "X-Forwarded-Proto: https");
    assert!(lines[3].ends_with(", 192.0.2.1"), "a list that is there is extended in any case");
}

#[test]
fn addresses_in_forwarded_are_quoted() {
    // RFC 7239 §6.
    let policy = RequestPolicy {
        provenance: Provenance { x_forwarded: true, forwarded: true, x_real_ip: false },
        edits: &[FieldEdit::Set(b"X-Forwarded-Proto", b"https")],
        ..RequestPolicy::default()
    };
    let lines = try_forwarded(&request(""), &policy, false, |forwarded| {
        forwarded.client.peer = "2001:db8::1".parse().unwrap();
        forwarded.client.host = b"[::1]:80";
    });
    let expected = [
        "X-Forwarded-Proto: https",
        "X-Forwarded-For: 2001:db8::1",
        "X-Forwarded-Host: [::1]:80",
        "Forwarded: for=\"[2001:db8::1]\";host=\"[::1]:80\";proto=http",
        "Via: 1.1 afpa",
    ];
    assert_eq!(lines.unwrap()[2..], expected);
    let mapped = try_forwarded(&request(""), &policy, false, |forwarded| {
        forwarded.client.peer = "::ffff:192.0.2.9".parse().unwrap();
    });
    assert_eq!(mapped.unwrap()[3], "X-Forwarded-For: 192.0.2.9");
}

#[test]
fn too_many_connection_options_are_refused() {
    let text = request(&format!("Connection: {}\r\n", "x,".repeat(33)));
    let outcome = try_forwarded(&text, &RequestPolicy::default(), false, |_| ());
    assert_eq!(outcome, Err(RequestError::TooManyConnectionOptions));
    assert_eq!(RequestError::TooManyConnectionOptions.status(), 400);
}

const RECEIVED: u64 = 784_111_777;

/// What is passed on of a response: the lines of the mutable head, and those of the immutable one.
fn response(
    text: &str,
    change: impl for<'a> FnOnce(&mut ForwardedResponse<'a>),
) -> Result<(Vec<String>, Vec<String>), ResponseError> {
    let text = format!("HTTP/1.1 200 OK\r\n{text}\r\n");
    let mut forwarded = ForwardedResponse {
        status: 200,
        reason: b"OK",
        fields: fields(text.as_bytes()),
        http_1_0: false,
        body: Body::Length(5),
        received: RECEIVED,
        pseudonym: "afpa",
        edits: &[],
        leave_out: &[],
        upgrade: None,
        close: false,
        keep_alive: false,
    };
    change(&mut forwarded);
    let (mut mutable, mut immutable, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    forwarded.write_mutable(&mut mutable)?;
    forwarded.write_immutable(&mut immutable)?;
    forwarded.write(&mut whole)?;
    assert_eq!(whole, [&mutable[..], &immutable].concat());
    mutable.extend_from_slice(b"\r\n");
    Ok((lines(&mutable), lines(&immutable)))
}

const DATE: &str = "Date: Sun, 06 Nov 1994 08:49:37 GMT";

#[test]
fn a_whole_response() {
    let text = format!(
        "{DATE}\r\nAge: 7\r\nConnection: x-one, close\r\nX-One: 1\r\nKeep-Alive: timeout=5\r\nContent-Length: 9\r\n\
         Proxy-Authenticate: Basic\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nDate: x\r\n{DATE}\r\nTrailer: x\r\nUpgrade: h2c\r\n"
    );
    let (mutable, immutable) = response(&text, |_| ()).unwrap();
    assert_eq!(mutable, ["HTTP/1.1 200 OK", "Age: 7"]);
    assert_eq!(immutable, [DATE, "Set-Cookie: a", "Set-Cookie: b", "Via: 1.1 afpa", "Content-Length: 5"]);
    let (mutable, immutable) = response(&text, |forwarded| {
        forwarded.leave_out = &[b"set-cookie", b"age"];
        forwarded.body = Body::Chunked;
        forwarded.edits = &[FieldEdit::Set(b"X-New", b"y"), FieldEdit::Remove(b"Date")];
        forwarded.close = true;
        forwarded.keep_alive = true;
    })
    .unwrap();
    assert_eq!(mutable, ["HTTP/1.1 200 OK", "Connection: close"]);
    assert_eq!(immutable, ["Trailer: x", "X-New: y", "Via: 1.1 afpa", "Transfer-Encoding: chunked"]);
}

#[test]
fn a_response_without_a_date_gets_one() {
    for text in ["", "Date: yesterday\r\n"] {
        let (_, immutable) = response(text, |forwarded| forwarded.http_1_0 = true).unwrap();
        assert_eq!(immutable, [DATE, "Via: 1.0 afpa", "Content-Length: 5"]);
    }
}

#[test]
fn statuses_without_content_announce_none() {
    for (status, expected) in [(204, &[DATE, "Via: 1.1 afpa"][..]), (103, &["Via: 1.1 afpa"])] {
        let (_, immutable) = response("Content-Length: 0\r\n", |forwarded| forwarded.status = status).unwrap();
        assert_eq!(immutable, expected);
    }
}

#[test]
fn a_switch_of_protocols_is_made_anew() {
    let (mutable, immutable) = response("Connection: upgrade\r\nUpgrade: x\r\nSec-X: y\r\n", |forwarded| {
        (forwarded.status, forwarded.reason) = (101, b"");
        forwarded.upgrade = Some(b"websocket");
        forwarded.close = true;
    })
    .unwrap();
    assert_eq!(mutable, ["HTTP/1.1 101 Switching Protocols", "Connection: upgrade", "Upgrade: websocket"]);
    assert_eq!(immutable, ["Sec-X: y", "Via: 1.1 afpa"]);
}

#[test]
fn a_backends_connection_options_are_bounded() {
    let outcome = response(&format!("Connection: {}\r\n", "x,".repeat(33)), |_| ());
    assert_eq!(outcome, Err(ResponseError::TooManyConnectionOptions));
}

fn requests() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        "[A-Za-z_-]{1,8}",
        "(Connection|TE|Trailer|Upgrade|Transfer-Encoding|Content-Length|Keep-Alive|Via|Forwarded|Max-Forwards)",
        "(X-Forwarded-For|Transfer_Encoding|content_length|Proxy-Connection|Expect|HTTP2-Settings|Cookie)",
    ];
    let value = prop_oneof!["[ -~]{0,12}", "(close|upgrade|te, x|chunked|5|trailers|100-continue|host, cookie)"];
    let fields = proptest::collection::vec((name, value), 0..8);
    ("(GET|POST|PUT|OPTIONS|TRACE|PURGE) (/[a-z?#]{0,4}|http://a\\?b|\\*)", "[01]", fields).prop_map(
        |(start, minor, fields)| {
            let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            format!("{start} HTTP/1.{minor}\r\nHost: h:1\r\n{fields}\r\n")
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_is_passed_on_means_the_same(text in requests(), options: u8) {
        fuzz::forward(&[&[options], text.as_bytes()].concat());
    }

    #[test]
    fn a_response_that_is_passed_on_means_the_same(text in requests(), options: u8, status in 100u16..600) {
        let fields = text.split_once("\r\n").unwrap().1;
        fuzz::forward(&[&[options], format!("HTTP/1.1 {status} x\r\n{fields}").as_bytes()].concat());
    }
}
