//! A backend's response heads: what is understood, how the body is delimited, and what is refused.

use std::fs;
use std::path::Path;

use afpa_http::syntax::{
    Method, Progress, ResponseBody, ResponseError, ResponseHead, ResponseLimits, ResponseParser, fuzz,
};
use proptest::prelude::*;

fn parse(input: &[u8]) -> Result<Option<ResponseHead>, ResponseError> {
    let mut parser = ResponseParser::default();
    Ok(match parser.advance(input, &ResponseLimits::default())? {
        Progress::Incomplete => None,
        Progress::Complete(length) => {
            assert_eq!(length, input.len(), "{}", input.escape_ascii());
            Some(parser.head().clone())
        }
    })
}

fn accepted(input: &str) -> ResponseHead {
    fuzz::response(input.as_bytes());
    parse(input.as_bytes())
        .unwrap_or_else(|error| panic!("{error}: {input:?}"))
        .unwrap_or_else(|| panic!("incomplete: {input:?}"))
}

#[test]
fn a_whole_response() {
    let text = "HTTP/1.1 200 All is well\r\nDate: x\r\nSet-Cookie: a=b\r\nset-cookie:c=d; e \r\nContent-Length: 5\r\n\
                Empty:\r\nOctets: \u{e9}\r\n\r\n";
    let (head, octets) = (accepted(text), text.as_bytes());
    assert_eq!((head.status(), head.reason(octets)), (200, &b"All is well"[..]));
    assert!(!head.is_http_1_0() && !head.is_interim() && head.is_persistent());
    assert_eq!(head.content_length(), Some(5));
    assert_eq!(head.fields(octets).count(), 6);
    assert_eq!(head.fields(octets).values("Set-Cookie").collect::<Vec<_>>(), [&b"a=b"[..], b"c=d; e"]);
    assert_eq!(head.fields(octets).first("empty"), Some(&b""[..]));
    assert_eq!(head.upgrade(octets), None);
}

#[test]
fn status_lines() {
    let rows: &[(&str, u16, &str, bool)] = &[
        ("HTTP/1.1 200 OK", 200, "OK", false),
        ("HTTP/1.0 404 Not Found", 404, "Not Found", true),
        ("HTTP/1.1 599 ", 599, "", false),
        // The space before a reason that is missing: RFC 9112 §4 wants it, not everybody sends it.
        ("HTTP/1.1 204", 204, "", false),
        ("HTTP/1.1 100 \t caf\u{e9}", 100, "\t caf\u{e9}", false),
        // RFC 9110 §2.5: a higher minor version is one that is understood.
        ("HTTP/1.9 299 x", 299, "x", false),
    ];
    for &(line, status, reason, http_1_0) in rows {
        let text = format!("{line}\r\n\r\n");
        let head = accepted(&text);
        assert_eq!((head.status(), head.reason(text.as_bytes())), (status, reason.as_bytes()), "{line}");
        assert_eq!(head.is_http_1_0(), http_1_0, "{line}");
    }
}

#[test]
fn persistence() {
    let rows = [
        ("HTTP/1.1 200 OK\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", false),
        ("HTTP/1.1 200 OK\r\nConnection: x, Close\r\n\r\n", false),
        ("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", false),
        ("HTTP/1.0 200 OK\r\n\r\n", false),
        ("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n\r\n", true),
        ("HTTP/1.0 200 OK\r\nConnection: Keep-Alive, close\r\n\r\n", false),
    ];
    for (text, persistent) in rows {
        assert_eq!(accepted(text).is_persistent(), persistent, "{text:?}");
    }
}

/// RFC 9112 §6.3, rule by rule.
#[test]
fn bodies() {
    use Method::{Connect, Get, Head, Post};
    use ResponseBody::{Chunked, Length, None, UntilClose};
    let unexpected = Err(ResponseError::UnexpectedContent);
    let rows = [
        ("1", Head, "200", "Content-Length: 5", Ok(None)),
        ("1", Head, "200", "Transfer-Encoding: chunked", Ok(None)),
        ("1", Head, "404", "", Ok(None)),
        ("1", Get, "304", "Content-Length: 5", Ok(None)),
        ("1", Get, "304", "Transfer-Encoding: chunked", Ok(None)),
        ("1", Get, "204", "", Ok(None)),
        ("1", Get, "204", "Content-Length: 0", Ok(None)),
        ("1", Get, "204", "Content-Length: 1", unexpected),
        ("1", Get, "204", "Transfer-Encoding: chunked", unexpected),
        ("1", Get, "100", "", Ok(None)),
        ("1", Get, "103", "Content-Length: 7", unexpected),
        ("1", Get, "103", "Transfer-Encoding: chunked", unexpected),
        ("2", Connect, "200", "Content-Length: 5", Ok(None)),
        ("2", Connect, "299", "Transfer-Encoding: chunked", Ok(None)),
        ("2", Connect, "407", "Content-Length: 5", Ok(Length(5))),
        ("4", Get, "200", "Transfer-Encoding: chunked", Ok(Chunked)),
        ("4", Post, "500", "transfer-encoding:\tChunked ", Ok(Chunked)),
        ("6", Get, "200", "Content-Length: 18446744073709551615", Ok(Length(u64::MAX))),
        ("6", Get, "205", "Content-Length: 0", Ok(Length(0))),
        ("6", Get, "206", "Content-Length: 007", Ok(Length(7))),
        ("8", Get, "200", "", Ok(UntilClose)),
        ("8", Post, "301", "Content-Type: x", Ok(UntilClose)),
    ];
    for (rule, method, status, field, body) in rows {
        let fields = if field.is_empty() { String::new() } else { format!("{field}\r\n") };
        let head = accepted(&format!("HTTP/1.1 {status} x\r\n{fields}\r\n"));
        assert_eq!(head.framing(method), body, "rule {rule}: {method:?} {status} {field}");
    }
}

#[test]
fn a_switch_of_protocols() {
    let text = "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket, x\r\n\r\n";
    let head = accepted(text);
    assert_eq!(head.upgrade(text.as_bytes()), Some(&b"websocket"[..]));
    assert!(!head.is_interim(), "nothing of HTTP follows");
    assert_eq!(head.framing(Method::Get), Ok(ResponseBody::None));
    let text = "HTTP/1.1 200 OK\r\nUpgrade: h2c\r\n\r\n";
    assert_eq!(accepted(text).upgrade(text.as_bytes()), None, "an offer is no switch");
}

/// Each is refused as soon as its line is there.
#[test]
fn what_is_refused() {
    use ResponseError::*;
    let with = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
    let rows: Vec<(&str, String, ResponseError)> = vec![
        // RFC 9112 §4.
        ("http/0.9", "<html>\r\n".into(), NotHttp),
        ("tls", "\u{15}\u{3}".into(), NotHttp),
        ("case", "http/1.1 200 OK\r\n".into(), NotHttp),
        ("empty line", "\r\nHTTP/1.1 200 OK\r\n".into(), NotHttp),
        ("short", "HTTP\r\n".into(), NotHttp),
        ("no minor", "HTTP/1 200 OK\r\n".into(), NotHttp),
        ("version 2", "HTTP/2.0 200 OK\r\n".into(), UnsupportedVersion),
        ("version 0", "HTTP/0.9 200 OK\r\n".into(), UnsupportedVersion),
        ("long minor", "HTTP/1.10 200 OK\r\n".into(), StatusLine),
        ("letter", "HTTP/1.x 200 OK\r\n".into(), StatusLine),
        ("only version", "HTTP/1.1\r\n".into(), StatusLine),
        ("tab", "HTTP/1.1\t200 OK\r\n".into(), StatusLine),
        ("two spaces", "HTTP/1.1  200 OK\r\n".into(), Status),
        ("two digits", "HTTP/1.1 20 OK\r\n".into(), Status),
        ("four digits", "HTTP/1.1 2000 OK\r\n".into(), Status),
        ("no digits", "HTTP/1.1 OK\r\n".into(), Status),
        ("sign", "HTTP/1.1 +20 OK\r\n".into(), Status),
        ("too low", "HTTP/1.1 099 x\r\n".into(), Status),
        ("too high", "HTTP/1.1 600 x\r\n".into(), Status),
        ("nul in reason", "HTTP/1.1 200 a\0b\r\n".into(), Nul),
        ("cr in reason", "HTTP/1.1 200 a\rb\r\n".into(), BareCarriageReturn),
        ("control in reason", "HTTP/1.1 200 a\u{7f}b\r\n".into(), ControlCharacter),
        // RFC 9112 §2.2.
        ("bare lf", "HTTP/1.1 200 OK\n".into(), BareLineFeed),
        ("bare lf in fields", "HTTP/1.1 200 OK\r\na: b\n".into(), BareLineFeed),
        ("bare lf at the end", "HTTP/1.1 200 OK\r\na: b\r\n\n".into(), BareLineFeed),
        ("bare cr", with("a: b\rc: d\r\n"), BareCarriageReturn),
        // RFC 9112 §5.
        ("fold", with("a: b\r\n c\r\n"), FoldedField),
        ("fold of the status line", with(" a: b\r\n"), FoldedField),
        ("space before colon", with("Content-Length : 5\r\n"), SpaceBeforeColon),
        ("tab before colon", with("a\t: 5\r\n"), SpaceBeforeColon),
        ("no colon", with("abc\r\n"), MissingColon),
        ("no name", with(": abc\r\n"), FieldName),
        ("name", with("a(b: c\r\n"), FieldName),
        ("nul", with("a: \0\r\n"), Nul),
        ("control", with("a: \u{1}\r\n"), ControlCharacter),
        // RFC 9110 §8.6, RFC 9112 §6.3.
        ("negative", with("Content-Length: -1\r\n"), ContentLength),
        ("plus", with("Content-Length: +1\r\n"), ContentLength),
        ("hexadecimal", with("Content-Length: 0x1\r\n"), ContentLength),
        ("empty", with("Content-Length:\r\n"), ContentLength),
        ("inner space", with("Content-Length: 1 2\r\n"), ContentLength),
        ("fraction", with("Content-Length: 1.0\r\n"), ContentLength),
        ("overflow", with("Content-Length: 18446744073709551616\r\n"), ContentLength),
        ("list of equals", with("Content-Length: 5, 5\r\n"), RepeatedContentLength),
        ("list", with("Content-Length: 5,6\r\n"), RepeatedContentLength),
        ("repeated", with("Content-Length: 5\r\nContent-Length: 5\r\n"), RepeatedContentLength),
        ("differing", with("Content-Length: 5\r\nContent-Length: 6\r\n"), RepeatedContentLength),
        ("both", with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), ContentLengthWithTransferEncoding),
        ("both", with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), ContentLengthWithTransferEncoding),
        // RFC 9112 §6.1.
        ("gzip", with("Transfer-Encoding: gzip\r\n"), TransferEncoding),
        ("identity", with("Transfer-Encoding: identity\r\n"), TransferEncoding),
        ("gzip, chunked", with("Transfer-Encoding: gzip, chunked\r\n"), TransferEncoding),
        ("chunked, gzip", with("Transfer-Encoding: chunked, gzip\r\n"), TransferEncoding),
        ("twice", with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), TransferEncoding),
        ("parameter", with("Transfer-Encoding: chunked;a=b\r\n"), TransferEncoding),
        ("vertical tab", with("Transfer-Encoding: \u{b}chunked\r\n"), ControlCharacter),
        ("empty", with("Transfer-Encoding:\r\n"), TransferEncoding),
        ("xchunked", with("Transfer-Encoding: xchunked\r\n"), TransferEncoding),
        ("1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n".into(), TransferEncodingInHttp10),
        // RFC 9110 §15.2.2.
        ("101", "HTTP/1.1 101 x\r\n\r\n".into(), Upgrade),
        ("101", "HTTP/1.1 101 x\r\nUpgrade: a\r\n\r\n".into(), Upgrade),
        ("101", "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: ,\r\n\r\n".into(), Upgrade),
        ("101", "HTTP/1.0 101 x\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n".into(), Upgrade),
    ];
    for (what, input, expected) in rows {
        assert_eq!(parse(input.as_bytes()).err(), Some(expected), "{what}: {input:?}");
        assert_eq!(expected.status(), 502);
        assert!(!expected.word().is_empty() && expected.word().bytes().all(|octet| octet.is_ascii_graphic()));
        fuzz::response(input.as_bytes());
    }
}

#[test]
fn limits() {
    let limits = ResponseLimits { head: 64, fields: 2 };
    let fault = |text: &str| ResponseParser::default().advance(text.as_bytes(), &limits).err();
    assert_eq!(fault("HTTP/1.1 200 OK\r\na: b\r\nc: d\r\n\r\n"), None);
    assert_eq!(fault("HTTP/1.1 200 OK\r\na: b\r\nc: d\r\ne: f\r\n"), Some(ResponseError::TooManyFields));
    let long = format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "b".repeat(42));
    assert_eq!(long.len(), 66);
    assert_eq!(fault(&long), Some(ResponseError::HeadTooLarge));
    assert_eq!(fault(&long.replacen("bb", "", 1)), None, "as long as it may be");
    assert_eq!(fault(&long[..64]), Some(ResponseError::HeadTooLarge), "before its end is there");
    assert_eq!(fault(&"HTTP/1.1 200 ".repeat(5)[..64]), Some(ResponseError::HeadTooLarge));
}

#[test]
fn the_corpus_keeps_the_promises() {
    type Check = fn(&[u8]);
    let entries: [(&str, Check); 3] = [("response", fuzz::response), ("body", fuzz::body), ("forward", fuzz::forward)];
    for (target, entry) in entries {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
        let files: Vec<_> = fs::read_dir(&corpus).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(!files.is_empty(), "{}", corpus.display());
        for file in files {
            entry(&fs::read(file).unwrap());
        }
    }
}

fn well_formed() -> impl Strategy<Value = String> {
    let field = prop_oneof![
        4 => "[A-Za-z-]{1,12}: ?[ -~]{0,20}",
        1 => "(Content-Length|Transfer-Encoding|Connection|Upgrade): (5|chunked|upgrade|close|x)",
    ];
    let fields = proptest::collection::vec(field, 0..6);
    ("HTTP/1\\.[01] [1-5][0-9]{2}( [ -~]{0,10})?", fields).prop_map(|(line, fields)| {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        format!("{line}\r\n{fields}\r\n")
    })
}

proptest! {
    #[test]
    fn well_formed_heads_keep_the_promises(text in well_formed()) {
        fuzz::response(text.as_bytes());
    }

    #[test]
    fn damaged_heads_keep_the_promises(text in well_formed(), at in any::<prop::sample::Index>(), octet: u8) {
        let mut octets = text.into_bytes();
        let at = at.index(octets.len());
        octets[at] = octet;
        fuzz::response(&octets);
    }

    #[test]
    fn any_octets_keep_the_promises(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzz::response(&octets);
    }

    /// We are never laxer than a parser that many use.
    #[test]
    fn what_another_parser_refuses_is_refused(text in well_formed(), at in any::<prop::sample::Index>(), octet: u8) {
        let mut octets = text.into_bytes();
        let at = at.index(octets.len());
        octets[at] = octet;
        let mut fields = [httparse::EMPTY_HEADER; 16];
        let refused = httparse::Response::new(&mut fields).parse(&octets).err();
        if refused.is_some_and(|error| error != httparse::Error::Version) {
            // At the latest at the end of its line: what follows here ends any.
            octets.extend_from_slice(b"\r\n\r\n");
            let outcome = ResponseParser::default().advance(&octets, &ResponseLimits::default());
            prop_assert!(outcome.is_err(), "{}: {:?}", octets.escape_ascii(), outcome);
        }
    }
}
