//! What a client gets for a path: conditions, ranges, codings, redirects, listings, and what is
//! hidden.

mod support;

use std::io::Read;

use afpa_http::files::{CacheRule, Selector, SiteOptions, Watch, purge_url};
use support::response::parts;
use support::{Response, Server, Setup, get, pattern};

const MODIFIED: &str = "Tue, 14 Nov 2023 21:13:20 GMT";
const BEFORE: &str = "Tue, 14 Nov 2023 21:13:19 GMT";

/// RFC 9110 §13.2.2, in its order.
#[test]
fn conditions() {
    let mut server = Server::with_page();
    let etag = server.get("/page", "").field("etag").unwrap().to_owned();
    for (fields, status) in [
        (format!("If-None-Match: {etag}\r\n"), 304),
        (format!("If-None-Match: W/{etag}\r\n"), 304),
        (format!("If-None-Match: \"x\", {etag}\r\n"), 304),
        (format!("If-None-Match: \"x\"\r\nIf-None-Match: {etag}\r\n"), 304),
        ("If-None-Match: *\r\n".into(), 304),
        ("If-None-Match: \"x\"\r\n".into(), 200),
        (format!("If-Modified-Since: {MODIFIED}\r\n"), 304),
        (format!("If-Modified-Since: {BEFORE}\r\n"), 200),
        ("If-Modified-Since: yesterday\r\n".into(), 200),
        (format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {MODIFIED}\r\n"), 200),
        (format!("If-Match: {etag}\r\n"), 200),
        ("If-Match: *\r\n".into(), 200),
        ("If-Match: \"x\"\r\n".into(), 412),
        (format!("If-Match: W/{etag}\r\n"), 412),
        (format!("If-Unmodified-Since: {MODIFIED}\r\n"), 200),
        (format!("If-Unmodified-Since: {BEFORE}\r\n"), 412),
        (format!("If-Match: {etag}\r\nIf-Unmodified-Since: {BEFORE}\r\n"), 200),
        (format!("If-Match: \"x\"\r\nIf-None-Match: {etag}\r\n"), 412),
        (format!("If-Match: {etag}\r\nIf-None-Match: {etag}\r\n"), 304),
        (format!("If-None-Match: {etag}\r\nRange: bytes=0-0\r\n"), 304),
        ("If-Match: \"x\"\r\nRange: bytes=0-0\r\n".into(), 412),
    ] {
        let response = server.get("/page", &fields);
        assert_eq!(response.status, status, "{fields}");
        assert_eq!(response.body.len(), if status == 200 { 5 } else { 0 }, "{fields}");
    }
}

/// RFC 9110 §15.4.5.
#[test]
fn not_modified_says_what_a_cache_needs() {
    let rule = CacheRule { applies_to: Selector::Everything, value: "max-age=60".into() };
    let site = SiteOptions { cache_control: vec![rule], ..SiteOptions::default() };
    let mut server = Server::new(Setup { site, ..Setup::default() });
    server.write("page.html", "<p>".repeat(1000));
    for coding in ["identity", "gzip"] {
        let accept = format!("Accept-Encoding: {coding}\r\n");
        let ok = server.get("/page.html", &accept);
        let etag = ok.field("etag").unwrap();
        let response = server.get("/page.html", &format!("{accept}If-None-Match: {etag}\r\n"));
        assert_eq!(response.status, 304);
        for name in ["cache-control", "date", "etag", "vary"] {
            assert!(response.field(name).is_some(), "{name}");
            assert_eq!(response.field(name), ok.field(name), "{name}");
        }
        assert_eq!(response.field("content-length"), None);
    }
}

#[test]
fn ranges() {
    let mut server = Server::new(Setup::default());
    let contents = pattern(1000);
    server.write("file.bin", &contents);
    server.write("empty", "");
    for (range, expected) in [
        ("bytes=0-0", 0..1),
        ("bytes=10-19", 10..20),
        ("bytes=990-", 990..1000),
        ("bytes=-1", 999..1000),
        ("bytes=-5000", 0..1000),
        ("bytes=500-5000", 500..1000),
        ("Bytes=0-1", 0..2),
    ] {
        let response = server.get("/file.bin", &format!("Range: {range}\r\n"));
        assert_eq!(response.status, 206, "{range}");
        let stated = format!("bytes {}-{}/1000", expected.start, expected.end - 1);
        assert_eq!(response.field("content-range"), Some(stated.as_str()), "{range}");
        assert_eq!(response.field("content-type"), Some("application/octet-stream"), "{range}");
        assert!(response.field("etag").is_some() && response.field("last-modified").is_some(), "{range}");
        assert_eq!(response.body, contents[expected], "{range}");
    }
    for range in ["bytes=1000-", "bytes=5000-6000", "bytes=-0"] {
        let response = server.get("/file.bin", &format!("Range: {range}\r\n"));
        assert_eq!((response.status, response.field("content-range")), (416, Some("bytes */1000")), "{range}");
    }
    assert_eq!(server.get("/empty", "Range: bytes=0-\r\n").status, 416);
    for range in ["items=0-1", "bytes=2-1", "bytes=a-b", "bytes", "bytes=0-1\r\nRange: bytes=0-1"] {
        let response = server.get("/file.bin", &format!("Range: {range}\r\n"));
        assert_eq!((response.status, &response.body), (200, &contents), "{range}");
    }
}

/// RFC 9110 §15.3.7.2.
#[test]
fn several_ranges() {
    let mut server = Server::new(Setup::default());
    let contents = pattern(200_000);
    server.write("file.bin", &contents);
    let response = server.get("/file.bin", "Range: bytes=0-9, 100000-170000, -5\r\n");
    assert_eq!(response.status, 206);
    assert_eq!(response.field("content-range"), None);
    let part = |range: std::ops::RangeInclusive<usize>| {
        let stated = format!("bytes {}-{}/200000", range.start(), range.end());
        ("application/octet-stream".to_owned(), stated, contents[range].to_vec())
    };
    assert_eq!(parts(&response), [part(0..=9), part(100_000..=170_000), part(199_995..=199_999)]);
    // What is not satisfiable is left out.
    let response = server.get("/file.bin", "Range: bytes=0-9, 200000-\r\n");
    assert_eq!(response.field("content-range"), Some("bytes 0-9/200000"));
    // A set that is made to cost is not honoured (RFC 9110 §14.2).
    let many = (0..5000).map(|_| "0-").collect::<Vec<_>>().join(",");
    let response = server.get("/file.bin", &format!("Range: bytes={many}\r\n"));
    assert_eq!((response.status, response.body.len()), (200, contents.len()));
}

/// RFC 9110 §13.1.5.
#[test]
fn a_range_of_another_version_is_not_sent() {
    let mut server = Server::with_page();
    let etag = server.get("/page", "").field("etag").unwrap().to_owned();
    for (condition, status) in [
        (etag.as_str(), 206),
        (MODIFIED, 206),
        ("\"x\"", 200),
        (format!("W/{etag}").as_str(), 200),
        (BEFORE, 200),
        ("nonsense", 200),
    ] {
        let response = server.get("/page", &format!("Range: bytes=1-2\r\nIf-Range: {condition}\r\n"));
        assert_eq!(response.status, status, "{condition}");
    }
}

#[test]
fn text_is_compressed_for_those_who_accept_it() {
    let mut server = Server::new(Setup::default());
    let page = "<p>hello, world</p>\n".repeat(500);
    server.write("page.html", &page);
    server.write("page.bin", &page);
    let mut tags = Vec::new();
    for (accepts, coding) in [
        ("", None),
        ("Accept-Encoding: identity\r\n", None),
        ("Accept-Encoding: gzip\r\n", Some("gzip")),
        ("Accept-Encoding: br\r\n", Some("br")),
        ("Accept-Encoding: zstd\r\n", Some("zstd")),
        ("Accept-Encoding: gzip;q=0, *;q=0\r\n", None),
        ("Accept-Encoding: unknown\r\n", None),
    ] {
        for _ in 0..2 {
            let response = server.get("/page.html", accepts);
            assert_eq!(response.field("content-encoding"), coding, "{accepts}");
            assert_eq!(response.field("vary"), Some("Accept-Encoding"), "{accepts}");
            assert_eq!(response.field("content-type"), Some("text/html; charset=utf-8"), "{accepts}");
            assert!(decoded(&response) == page.as_bytes(), "{accepts}");
            tags.push((response.field("etag").unwrap().to_owned(), coding));
        }
    }
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 4, "RFC 9110 §8.8.3.3: one for each representation: {tags:?}");
    let response = server.get("/page.bin", "Accept-Encoding: gzip, br, zstd\r\n");
    assert_eq!((response.field("content-encoding"), response.field("vary")), (None, None));
}

#[test]
fn a_precompressed_neighbour_is_sent_as_it_is() {
    let mut server = Server::new(Setup::default());
    // Too short to be compressed for those who accept neither.
    server.write("app.wasm", pattern(100));
    for (suffix, contents) in [("br", "made by br"), ("gz", "made by gzip")] {
        server.write(&format!("app.wasm.{suffix}"), contents);
    }
    for (accepts, coding, contents) in [
        ("gzip, br", Some("br"), &b"made by br"[..]),
        ("gzip", Some("gzip"), b"made by gzip"),
        ("zstd", None, &pattern(100)),
    ] {
        let response = server.get("/app.wasm", &format!("Accept-Encoding: {accepts}\r\n"));
        assert_eq!(response.field("content-encoding"), coding);
        assert_eq!(response.field("vary"), Some("Accept-Encoding"));
        assert_eq!(response.field("content-type"), Some("application/wasm"));
        assert_eq!(response.body, contents);
    }
}

#[test]
fn a_directory_redirects_to_its_slash_and_keeps_the_query() {
    let mut server = Server::new(Setup::default());
    server.write("a directory/index.html", "index");
    for (target, location) in [
        ("/a%20directory", "/a%20directory/"),
        ("/a%20directory?", "/a%20directory/?"),
        ("/a%20directory?x=1&y=%20/?", "/a%20directory/?x=1&y=%20/?"),
        ("/./a%20direct%6fry?x", "/a%20directory/?x"),
        ("http://example.org/a%20directory?x", "/a%20directory/?x"),
    ] {
        let response = server.get(target, "");
        assert_eq!((response.status, response.field("location")), (301, Some(location)), "{target}");
    }
    // Two slashes in front would name another host (RFC 3986 §4.2).
    let response = server.get("//a%20directory", "");
    assert!(response.field("location").is_none_or(|location| !location.starts_with("//")), "{response:?}");
    assert_eq!(server.get("/a%20directory/", "").text(), "index");
    assert_eq!(server.get("/a%20directory/?x", "").text(), "index");
}

#[test]
fn listings() {
    for (listing, status) in [(false, 403), (true, 200)] {
        let site = SiteOptions { listing, ..SiteOptions::default() };
        let mut server = Server::new(Setup { site, ..Setup::default() });
        server.write("directory/<b>&.txt", "x");
        server.write("directory/.hidden", "x");
        let response = server.get("/directory/", "");
        assert_eq!(response.status, status);
        assert_eq!(response.field("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(response.text().contains("&lt;b&gt;&amp;.txt"), listing);
        assert!(!response.text().contains("<b>") && !response.text().contains("hidden"));
    }
}

#[test]
fn what_is_hidden_and_what_lies_outside() {
    let mut server = Server::with_page();
    std::fs::write(server.path("../secret"), "secret").unwrap();
    std::os::unix::fs::symlink("../secret", server.path("link")).unwrap();
    std::os::unix::fs::symlink("page", server.path("inside")).unwrap();
    server.write(".hidden", "x");
    server.write(".git/config", "x");
    server.write(".well-known/security.txt", "x");
    for (target, status) in [
        ("/inside", 200),
        ("/.well-known/security.txt", 200),
        ("/x/../page", 200),
        ("/link", 404),
        ("/.hidden", 404),
        ("/.git/config", 404),
        ("/%2egit/config", 404),
        ("/page/", 404),
        ("/page%2f", 404),
        ("/page%00", 400),
        ("/page%", 400),
        ("/page%zz", 400),
    ] {
        assert_eq!(server.get(target, "").status, status, "{target}");
    }
    for target in ["/../secret", "/%2e%2e/secret", "/x/../../secret", "/..%2fsecret", "/.%2e/secret", "/..\\secret"] {
        let response = server.get(target, "");
        assert!(matches!(response.status, 400 | 404), "{target}: {}", response.status);
        assert!(!response.text().contains("secret"), "{target}");
    }
}

#[test]
fn a_file_that_may_not_be_read_is_forbidden() {
    let mut server = Server::with_page();
    std::fs::set_permissions(server.path("page"), std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    // The superuser reads what it likes.
    let readable = std::fs::File::open(server.path("page")).is_ok();
    assert_eq!(server.get("/page", "").status, if readable { 200 } else { 403 });
}

#[test]
fn a_changed_file_is_sent_anew_and_a_deleted_one_is_gone() {
    let mut server = Server::with_page();
    let _watch = Watch::start(server.settings.sites[0].clone(), server.cache.clone()).unwrap();
    let first = server.get("/page", "");
    server.write("page", "something else");
    let second = eventually(&mut server, |response| response.body == b"something else");
    assert_ne!(first.field("etag"), second.field("etag"));
    std::fs::remove_file(server.path("page")).unwrap();
    eventually(&mut server, |response| response.status == 404);
    server.write("page", "back");
    eventually(&mut server, |response| response.body == b"back");
}

#[test]
fn a_purged_file_is_looked_at_again() {
    let mut server = Server::with_page();
    assert_eq!(server.get("/page", "").text(), "hello");
    server.write("page", "other");
    assert_eq!(server.get("/page", "").text(), "hello", "nobody watches");
    assert_eq!(purge_url(&server.cache, 0, b"/page"), 1);
    assert_eq!(server.get("/page", "").text(), "other");
}

#[test]
fn an_error_is_not_remembered() {
    let mut server = Server::new(Setup::default());
    assert_eq!(server.exchange(get("/page").repeat(2)).statuses(), [404, 404]);
    server.write("page", "hello");
    assert_eq!(server.get("/page", "").status, 200);
}

/// Asks for `/page` until the answer is as it shall be.
fn eventually(server: &mut Server, is_it: impl Fn(&Response) -> bool) -> Response {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let response = server.get("/page", "");
        if is_it(&response) {
            return response;
        }
        assert!(std::time::Instant::now() < deadline, "{response:?}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// The content, as a client decodes it.
fn decoded(response: &Response) -> Vec<u8> {
    let mut content = Vec::new();
    match response.field("content-encoding") {
        None => content.extend(&response.body),
        Some("gzip") => _ = flate2::read::GzDecoder::new(&response.body[..]).read_to_end(&mut content).unwrap(),
        Some("br") => _ = brotli::Decompressor::new(&response.body[..], 4096).read_to_end(&mut content).unwrap(),
        Some("zstd") => content = zstd::decode_all(&response.body[..]).unwrap(),
        Some(other) => panic!("{other}"),
    }
    content
}
