//! What one client could do to what others get.

use crate::backend::Backend;
use crate::message::{Message, field, ok};
use crate::proxy::{Proxy, get};

/// A backend that repeats everything it was asked, and lets it be kept.
fn reflecting() -> Backend {
    Backend::answering(|request: &Message| ok("Cache-Control: max-age=60\r\n", &request.head).into_bytes())
}

const POISON: &[&str] = &[
    "X-Forwarded-Host: evil.example\r\n",
    "X-Forwarded-Proto: evil\r\n",
    "X-Forwarded-Scheme: evil\r\n",
    "X-Forwarded-Port: 666\r\n",
    "X-Forwarded-Prefix: /evil\r\n",
    "X-Host: evil.example\r\n",
    "X-Original-Host: evil.example\r\n",
    "X-HTTP-Host-Override: evil.example\r\n",
    "X-Original-URL: /evil\r\n",
    "X-Rewrite-URL: /evil\r\n",
    "X_Original_URL: /evil\r\n",
    "X_Forwarded_Host: evil.example\r\n",
    "Forwarded: host=evil.example\r\n",
    "X-Real-IP: 6.6.6.6\r\n",
    "True-Client-IP: 6.6.6.6\r\n",
    "X-HTTP-Method-Override: EVIL\r\n",
    "X-HTTP-Method: EVIL\r\n",
    "X-Method-Override: EVIL\r\n",
    "Proxy: http://evil.example\r\n",
];

#[test]
fn fields_that_are_in_no_key_and_change_answers_do_not_reach_the_backend() {
    let backend = reflecting();
    let proxy = Proxy::before(backend.address);
    for (number, poison) in POISON.iter().enumerate() {
        let target = format!("/{number}");
        let first = proxy.ask(&get(&target, poison));
        let lower = first.text().to_lowercase();
        assert!(!lower.contains("evil") && !lower.contains("6.6.6.6") && !lower.contains("666"), "{poison}: {lower}");
        assert_eq!(proxy.get(&target).text(), first.text(), "and it is kept");
    }
    // What a client says of who it is is in no key either.
    let told = proxy.ask(&get("/who", "X-Forwarded-For: 6.6.6.6\r\n"));
    assert!(!told.text().contains("6.6.6.6"), "{}", told.text());
}

/// Requests for two things have two keys.
#[test]
fn what_differs_is_kept_apart() {
    let backend = reflecting();
    let proxy = Proxy::before(backend.address);
    let targets = [
        "/a", "/a/", "/A", "/a?", "/a?b", "/a?B", "/a?b&c", "/a?b%26c", "/a?b=1", "/a%3Fb", "/a%2Fb", "/a/b", "/a//b",
        "/a%252Fb", "/a;b", "/a%3Bb", "/a%23b", "/a+b", "/a%20b", "/a%0Ab", "/a\\b", "/a?b#c",
    ];
    let mut seen: Vec<(String, String)> = Vec::new();
    for target in targets {
        let answer = proxy.get(target);
        if answer.status() != 200 {
            continue;
        }
        let line = answer.text().split("\r\n").next().unwrap().to_owned();
        // It was either asked for as it is, or its form is one that means the same.
        for (other, theirs) in &seen {
            assert!(line != *theirs || are_one(target, other), "{target} is answered as {other}: {line}");
        }
        seen.push((target.to_owned(), line));
    }
    for (target, line) in &seen {
        assert!(proxy.get(target).text().starts_with(line.as_str()), "{target}");
    }
}

/// Whether two targets are one by RFC 3986 §6.2.
fn are_one(one: &str, other: &str) -> bool {
    let normal = |target: &str| target.split('#').next().unwrap().to_owned();
    normal(one) == normal(other)
}

#[test]
fn hosts_are_one_in_any_case_and_apart_otherwise() {
    let backend = reflecting();
    let proxy = Proxy::before(backend.address);
    let ask = |host: &str, target: &str| proxy.ask(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).text();
    let first = ask("example.org", "/");
    assert_eq!(ask("EXAMPLE.org", "/"), first);
    assert_ne!(ask("example.com", "/"), first);
    assert_ne!(ask("example.org.evil.example", "/"), first);
    // The target's host is the one that counts, for the key and for the backend.
    let both = ask("evil.example", "http://target.example/");
    assert!(both.contains("Host: target.example\r\n") && !both.contains("evil"), "{both}");
    assert_eq!(ask("target.example", "/"), both);
    assert_ne!(ask("evil.example", "/"), both);
}

/// A key cannot be made by writing separators into its parts.
#[test]
fn a_part_of_a_key_is_not_taken_for_another() {
    let backend = reflecting();
    let proxy = Proxy::before(backend.address);
    let ask = |host: &str, target: &str| proxy.ask(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).text();
    let answers = [ask("a.b", "/c"), ask("a", "/b/c"), ask("a", "/.b/c"), ask("a", "/c?q=h"), ask("a", "/c%3Fq=h")];
    for (at, one) in answers.iter().enumerate() {
        assert!(answers[..at].iter().all(|other| other != one), "{one}");
    }
}

#[test]
fn errors_are_kept_only_if_they_say_so() {
    for (status, fields, is_kept) in [
        (500, "", false),
        (502, "", false),
        (503, "", false),
        (400, "", false),
        (404, "", false),
        (403, "Cache-Control: no-store\r\n", false),
        (404, "Cache-Control: max-age=60\r\n", true),
        (503, "Cache-Control: max-age=60\r\n", true),
    ] {
        let backend = Backend::answering(move |_: &Message| {
            format!("HTTP/1.1 {status} X\r\n{fields}Content-Length: 0\r\n\r\n").into_bytes()
        });
        let proxy = Proxy::before(backend.address);
        assert_eq!((proxy.get("/").status(), proxy.get("/").status()), (status, status));
        assert_eq!(backend.asked().len() == 1, is_kept, "{status} {fields}");
    }
}

/// What is for one client is not for the next.
#[test]
fn private_answers_go_to_who_asked() {
    for fields in [
        "Cache-Control: private, max-age=60\r\n",
        "Cache-Control: no-store\r\n",
        "Cache-Control: no-cache\r\n",
        "Set-Cookie: a=b\r\n",
        "Set-Cookie: a=b\r\nLast-Modified: Mon, 07 Jan 2019 00:00:00 GMT\r\n",
        "Vary: *\r\nCache-Control: max-age=60\r\n",
        "Cache-Control: max-age=60, private=\"x\r\n",
    ] {
        let backend = Backend::answering(move |request: &Message| {
            ok(fields, &field(&request.head, "x-who").concat()).into_bytes()
        });
        let proxy = Proxy::before(backend.address);
        let (one, other) = (proxy.ask(&get("/", "X-Who: one\r\n")), proxy.ask(&get("/", "X-Who: other\r\n")));
        assert_eq!((one.text(), other.text()), ("one".into(), "other".into()), "{fields}");
    }
    // With credentials, only what says that it is for all.
    let backend = Backend::answering(|request: &Message| {
        ok("Cache-Control: max-age=60\r\n", &field(&request.head, "authorization").concat()).into_bytes()
    });
    let proxy = Proxy::before(backend.address);
    assert_eq!(proxy.ask(&get("/", "Authorization: Basic one\r\n")).text(), "Basic one");
    assert_eq!(proxy.get("/").text(), "");
}

#[test]
fn vary_keeps_answers_apart_and_its_values_cannot_be_mixed_up() {
    let backend = Backend::answering(|request: &Message| {
        let own = format!("{:?}{:?}", field(&request.head, "x-a"), field(&request.head, "x-b"));
        ok("Cache-Control: max-age=60\r\nVary: X-A, X-B\r\n", &own).into_bytes()
    });
    let proxy = Proxy::before(backend.address);
    let fields =
        ["", "X-A: 1\r\n", "X-B: 1\r\n", "X-A: 1\r\nX-B: 1\r\n", "X-A: 1X-B: 1\r\n", "X-A: 1, X-B\r\nX-B: 1\r\n"];
    for _ in 0..2 {
        for fields in fields {
            let expected = format!("{:?}{:?}", field(&get("/", fields), "x-a"), field(&get("/", fields), "x-b"));
            assert_eq!(proxy.ask(&get("/", fields)).text(), expected, "{fields}");
        }
    }
}

/// A part is not stored as the whole, nor a head as a body; a 304 that nobody asked for is no answer to others.
#[test]
fn what_is_not_the_whole_is_not_kept_as_it() {
    let backend = Backend::answering(|request: &Message| {
        let part = "HTTP/1.1 206 Partial Content\r\nCache-Control: max-age=60\r\nContent-Range: bytes 0-0/5\r\n\
                    Content-Length: 1\r\n\r\nh";
        if request.head.starts_with("HEAD") {
            b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 5\r\n\r\n".to_vec()
        } else if request.head.contains("If-None-Match") {
            b"HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=60\r\nETag: \"x\"\r\n\r\n".to_vec()
        } else if request.head.contains("Range:") || request.target() == "/unasked" {
            part.as_bytes().to_vec()
        } else {
            ok("Cache-Control: max-age=60\r\n", "hello").into_bytes()
        }
    });
    let proxy = Proxy::before(backend.address);
    assert_eq!(proxy.ask(&get("/range", "Range: bytes=0-0\r\n")).status(), 206);
    assert_eq!(proxy.get("/range").text(), "hello");
    let mut head = proxy.connect();
    head.send("HEAD /head HTTP/1.1\r\nHost: example.org\r\n\r\n").unwrap();
    assert!(head.response_head().unwrap().contains("Content-Length: 5"));
    assert_eq!(proxy.get("/head").text(), "hello");
    proxy.ask(&get("/condition", "If-None-Match: \"x\"\r\n"));
    assert_eq!(proxy.get("/condition").text(), "hello");
    assert_eq!((proxy.get("/unasked").status(), proxy.get("/unasked").status()), (206, 206));
    let unasked = backend.asked().iter().filter(|asked| asked.target() == "/unasked").count();
    assert_eq!(unasked, 2, "it is asked for again");
}
