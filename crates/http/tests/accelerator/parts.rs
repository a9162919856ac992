//! Parts: what is kept of them, what they answer, and when they become the whole (RFC 9111 §3.3, §3.4).

use afpa_http::remote::Effect;
use afpa_http::remote::purge::{Purge, Target};

use crate::bench::{SECOND, Server, get, kept, response};

const WHOLE: &str = "0123456789";

fn range(value: &str) -> String {
    get("/", &format!("Range: bytes={value}\r\n"))
}

/// A 206 of `WHOLE`, from its octet `first` to `last`.
fn part(fields: &str, first: usize, last: usize) -> String {
    let body = &WHOLE[first..=last];
    format!(
        "HTTP/1.1 206 Partial Content\r\nCache-Control: max-age=60\r\n{fields}Content-Range: bytes {first}-{last}/10\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

const TAG: &str = "ETag: \"a\"\r\n";

#[test]
fn a_part_answers_for_what_lies_in_it_and_nothing_else() {
    let mut server = Server::with_one_backend();
    assert!(server.fetch(&range("4-9"), &part("X-A: 1\r\n", 4, 9)).ends_with("\r\n\r\n456789"));
    for (asked, first, last) in [("4-9", 4, 9), ("6-8", 6, 8), ("6-", 6, 9), ("-1", 9, 9), ("-6", 4, 9), ("4-99", 4, 9)]
    {
        let answer = server.hit(&range(asked));
        assert!(answer.starts_with("HTTP/1.1 206 "), "{asked}: {answer}");
        assert!(answer.contains(&format!("Content-Range: bytes {first}-{last}/10\r\n")), "{asked}: {answer}");
        assert_eq!(answer.matches("Content-Range").count(), 1);
        assert!(answer.contains("Cache-Status: cache; hit; ") && answer.contains("X-A: 1\r\n"), "{asked}: {answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n{}", &WHOLE[first..=last])), "{asked}: {answer}");
    }
    let if_range = "Range: bytes=4-5\r\nIf-Range: \"b\"\r\n";
    let condition = "Range: bytes=4-5\r\nIf-None-Match: \"b\"\r\n";
    let others = [range("3-5"), range("0-"), range("-7"), range("4-5,7-8"), range("x"), get("/", "")];
    for request in others.into_iter().chain([if_range, condition].map(|fields| get("/", fields))) {
        let asked = server.hit_or_asked(&request).unwrap_or_else(|| panic!("{request} is answered"));
        let fields = |head: &str| head.lines().find(|line| line.starts_with("Range")).map(str::to_owned);
        assert_eq!(fields(&asked), fields(&request), "the backend is asked for what the client asks for");
    }
}

#[test]
fn an_if_range_that_holds_is_answered_from_a_part() {
    let mut server = Server::with_one_backend();
    server.fetch(&range("4-9"), &part(TAG, 4, 9));
    let answer = server.hit(&get("/", "Range: bytes=5-6\r\nIf-Range: \"a\"\r\n"));
    assert!(answer.starts_with("HTTP/1.1 206 ") && answer.ends_with("\r\n\r\n56"), "{answer}");
}

#[test]
fn parts_that_meet_become_one_and_the_whole_when_nothing_is_missing() {
    // In any order, one after another or over one another.
    for parts in
        [[(0, 3), (4, 6), (7, 9)], [(7, 9), (4, 8), (0, 4)], [(2, 5), (0, 9), (1, 2)], [(4, 6), (5, 9), (0, 3)]]
    {
        let mut server = Server::with_one_backend();
        let (mut first, mut last) = (10, 0);
        for (from, to) in parts {
            let request = range(&format!("{from}-{to}"));
            if first <= from && to <= last {
                server.hit(&request);
                continue;
            }
            server.fetch(&request, &part(TAG, from, to));
            (first, last) = (first.min(from), last.max(to));
            let union = server.hit(&range(&format!("{first}-{last}")));
            assert!(union.ends_with(&format!("\r\n\r\n{}", &WHOLE[first..=last])), "{parts:?}: {union}");
        }
        let whole = server.hit(&get("/", ""));
        assert!(whole.starts_with("HTTP/1.1 200 ") && whole.ends_with(&format!("\r\n\r\n{WHOLE}")), "{whole}");
        assert!(!whole.contains("Content-Range") && whole.contains("Content-Length: 10\r\n"), "{whole}");
        assert!(server.hit(&get("/", "If-None-Match: \"a\"\r\n")).starts_with("HTTP/1.1 304 "));
    }
}

#[test]
fn parts_of_different_things_are_not_put_together() {
    let length = "Content-Range: bytes 5-9/11\r\n";
    let other_length = part(TAG, 5, 9).replace("Content-Range: bytes 5-9/10\r\n", length);
    let second = part(TAG, 5, 9);
    for (before, after) in [
        (part(TAG, 0, 4), part("ETag: \"b\"\r\n", 5, 9)),
        (part("ETag: W/\"a\"\r\n", 0, 4), part("ETag: W/\"a\"\r\n", 5, 9)),
        (part("", 0, 4), part("", 5, 9)),
        (part(TAG, 0, 4), other_length),
        (part(TAG, 0, 3), second),
    ] {
        let mut server = Server::with_one_backend();
        server.fetch(&range("0-4"), &before);
        server.fetch(&range("5-9"), &after);
        assert!(server.hit(&range("5-9")).ends_with("\r\n\r\n56789"), "the newer one is kept");
        assert!(server.hit_or_asked(&get("/", "")).is_some(), "{after}");
        assert!(server.hit_or_asked(&range("0-2")).is_some(), "{after}");
    }
}

#[test]
fn what_is_no_part_or_not_to_be_kept_is_asked_for_again() {
    let strange = [
        part(TAG, 0, 4).replace("Content-Range: bytes 0-4/10\r\n", "Content-Range: bytes 0-5/10\r\n"),
        part(TAG, 0, 4).replace("/10\r\n", "/*\r\n"),
        part(TAG, 0, 4).replace("Content-Range: bytes 0-4/10\r\n", ""),
        part(TAG, 0, 4).replace("max-age=60", "no-store"),
        part(TAG, 0, 4).replace("max-age=60", "private"),
        "HTTP/1.1 416 Range Not Satisfiable\r\nCache-Control: max-age=60\r\nContent-Range: bytes */3\r\n\
         Content-Length: 0\r\n\r\n"
            .to_owned(),
    ];
    for answer in strange {
        let mut server = Server::with_one_backend();
        server.fetch(&range("0-4"), &answer);
        assert!(server.hit_or_asked(&range("0-4")).is_some(), "{answer}");
        assert!(server.hit_or_asked(&get("/", "")).is_some(), "{answer}");
    }
    let mut server = Server::with_one_backend();
    server.fetch(&get("/", "Range: bytes=0-4\r\nCache-Control: no-store\r\n"), &part(TAG, 0, 4));
    assert!(server.hit_or_asked(&range("0-4")).is_some(), "the client forbade it");
}

#[test]
fn an_origin_that_answers_with_the_whole_has_it_kept() {
    let mut server = Server::with_one_backend();
    server.fetch(&range("0-4"), &kept(WHOLE));
    assert!(server.hit(&get("/", "")).ends_with(WHOLE));
    assert!(server.hit(&range("2-3")).ends_with("\r\n\r\n23"));
}

#[test]
fn a_part_grows_old_and_is_purged_as_the_whole_is() {
    let mut server = Server::with_one_backend();
    server.fetch(&range("0-4"), &part(TAG, 0, 4));
    server.hit(&range("0-4"));
    server.advance(61 * SECOND);
    assert!(server.hit_or_asked(&range("0-4")).is_some(), "it is stale");

    for target in [Target::All, Target::Prefix { host: None, path: b"/".as_slice().into() }] {
        for effect in [Effect::Outdates, Effect::Invalidates, Effect::Removes] {
            let mut server = Server::with_one_backend();
            server.fetch(&range("0-4"), &part(TAG, 0, 4));
            server.relay_shared.purges.enter(Purge { target: target.clone(), effect });
            assert!(server.hit_or_asked(&range("0-4")).is_some(), "{target:?} {effect:?}");
        }
    }
    let mut server = Server::with_one_backend();
    server.fetch(&range("0-4"), &part(TAG, 0, 4));
    server.fetch(&crate::bench::request("DELETE", "/", ""), "HTTP/1.1 204 No Content\r\n\r\n");
    assert!(server.hit_or_asked(&range("0-4")).is_some(), "an unsafe request made it out of date");
}

#[test]
fn parts_vary_as_the_whole_does() {
    let mut server = Server::with_one_backend();
    let asks = |language: &str| get("/", &format!("Range: bytes=0-4\r\nAccept-Language: {language}\r\n"));
    let varies = "Vary: Accept-Language\r\nETag: \"a\"\r\n";
    server.fetch(&asks("en"), &part(varies, 0, 4));
    assert!(server.hit(&asks("en")).ends_with("\r\n\r\n01234"));
    assert!(server.hit_or_asked(&asks("de")).is_some());
    // A whole of another language is no answer either.
    let whole = response("Cache-Control: max-age=60\r\nVary: Accept-Language\r\n", "ABCDEFGHIJ");
    server.fetch(&get("/", "Accept-Language: fr\r\n"), &whole);
    assert!(server.hit(&asks("fr")).ends_with("\r\n\r\nABCDE"));
    assert!(server.hit(&asks("en")).ends_with("\r\n\r\n01234"));
}

#[test]
fn a_part_that_ends_too_early_is_not_kept() {
    let mut server = Server::with_one_backend();
    let cut = part(TAG, 0, 4);
    server.fetch(&range("0-4"), &cut[..cut.len() - 1]);
    assert!(server.hit_or_asked(&range("0-3")).is_some());
}
