//! Which representation a client gets, and with which fields.

mod files_support;

use std::io::Read;

use afpa_http::files::{CacheRule, Coding, Codings, FillOutcome, Selector, SiteOptions};
use files_support::{Fixture, age, head, payload};

fn all() -> Codings {
    Coding::BY_PREFERENCE.into_iter().fold(Codings::NONE, Codings::with)
}

#[test]
fn the_best_acceptable_neighbour_is_sent_unless_it_is_older() {
    let it = Fixture::new(SiteOptions { compress: false, ..SiteOptions::default() });
    it.write("page.html", "plain");
    it.write("page.html.br", "as brotli");
    it.write("page.html.gz", "as gzip");
    let zstd_gzip = Codings::NONE.with(Coding::Zstd).with(Coding::Gzip);
    for (accepts, coding, text) in [
        (all(), Coding::Brotli, "as brotli"),
        (zstd_gzip, Coding::Gzip, "as gzip"),
        (Codings::NONE.with(Coding::Zstd), Coding::Identity, "plain"),
        (Codings::NONE, Coding::Identity, "plain"),
    ] {
        let object = it.object_for(accepts, "/page.html");
        assert_eq!(object.details().file().unwrap().coding, coding);
        assert_eq!(it.text(&object), text);
        assert!(object.details().file().unwrap().varies);
        assert!(head(&object).contains("Vary: Accept-Encoding\r\n"));
        assert!(object.details().file().unwrap().content_type.starts_with("text/html"));
        assert_eq!(head(&object).contains("Content-Encoding"), coding != Coding::Identity);
    }
    age(&it.path("page.html.br"), 3600);
    assert_eq!(it.text(&it.object_for(all(), "/page.html")), "as gzip");
    std::fs::remove_file(it.path("page.html.gz")).unwrap();
    let object = it.object_for(all(), "/page.html");
    assert_eq!(it.text(&object), "plain");
    assert!(!object.details().file().unwrap().varies);
}

#[test]
fn a_neighbour_outside_the_site_is_none() {
    let it = Fixture::new(SiteOptions { compress: false, ..SiteOptions::default() });
    it.write("page.html", "plain");
    std::fs::write(it.dir.path().join("evil"), "evil").unwrap();
    std::os::unix::fs::symlink("../evil", it.path("page.html.br")).unwrap();
    std::fs::create_dir(it.path("page.html.gz")).unwrap();
    assert_eq!(it.text(&it.object_for(all(), "/page.html")), "plain");
}

#[test]
fn text_is_compressed_and_every_client_can_expand_it() {
    let it = Fixture::new(SiteOptions::default());
    let text = "the quick brown fox ".repeat(200);
    it.write("long.txt", &text);
    it.write("short.txt", "short");
    it.write("picture.png", &text);
    it.write("huge.txt", "x".repeat((1 << 20) + 1));
    for coding in Coding::BY_PREFERENCE {
        let object = it.object_for(Codings::NONE.with(coding), "/long.txt");
        let encoded = payload(&object);
        assert_eq!(object.details().file().unwrap().coding, coding);
        assert_eq!(object.details().file().unwrap().content_length, encoded.len() as u64);
        assert!(encoded.len() < text.len() / 2);
        let mut plain = String::new();
        match coding {
            Coding::Gzip => _ = flate2::read::GzDecoder::new(&encoded[..]).read_to_string(&mut plain).unwrap(),
            Coding::Brotli => _ = brotli::Decompressor::new(&encoded[..], 4096).read_to_string(&mut plain).unwrap(),
            Coding::Zstd => plain = String::from_utf8(zstd::decode_all(&encoded[..]).unwrap()).unwrap(),
            Coding::Identity => unreachable!(),
        }
        assert_eq!(plain, text);
    }
    let plain = it.object("/long.txt");
    assert_eq!(it.text(&plain), text);
    assert!(plain.details().file().unwrap().varies);
    for url in ["/short.txt", "/picture.png", "/huge.txt"] {
        let object = it.object_for(all(), url);
        assert_eq!(
            (object.details().file().unwrap().coding, object.details().file().unwrap().varies),
            (Coding::Identity, false),
            "{url}"
        );
    }
}

#[test]
fn clients_that_get_the_same_share_one_body() {
    let it = Fixture::new(SiteOptions::default());
    it.write("long.txt", "the quick brown fox ".repeat(200));
    let brotli = it.object_for(Codings::NONE.with(Coding::Brotli), "/long.txt");
    let anything = it.object_for(all(), "/long.txt");
    assert!(std::sync::Arc::ptr_eq(brotli.body(), anything.body()));
    let again = it.object_for(all(), "/long.txt");
    assert!(std::sync::Arc::ptr_eq(&again, &anything), "nothing changed, nothing is made anew");
    let plain = it.object("/long.txt");
    assert!(!std::sync::Arc::ptr_eq(brotli.body(), plain.body()));
    assert_ne!(brotli.details().file().unwrap().etag, plain.details().file().unwrap().etag, "RFC 9110 section 8.8.3.3");
}

#[test]
fn text_that_does_not_shrink_is_tried_once() {
    let it = Fixture::new(SiteOptions::default());
    let mut state = 1u64;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    });
    it.write("noise.txt", noise.take(5000).collect::<Vec<u8>>());
    let first = it.object_for(all(), "/noise.txt");
    assert_eq!(
        (first.details().file().unwrap().coding, first.details().file().unwrap().varies),
        (Coding::Identity, true)
    );
    let again = it.object_for(all(), "/noise.txt");
    assert!(std::sync::Arc::ptr_eq(&first, &again), "another engine's miss must not replace it");
    let plain = it.object("/noise.txt");
    assert!(std::sync::Arc::ptr_eq(first.body(), plain.body()));
}

#[test]
fn the_head_says_what_the_details_say() {
    let options = SiteOptions {
        cache_control: vec![CacheRule { applies_to: Selector::Everything, value: "max-age=60".into() }],
        ..SiteOptions::default()
    };
    let it = Fixture::new(options);
    it.write("f.bin", "12345");
    let object = it.object("/f.bin");
    let details = object.details().file().unwrap();
    let expected = format!(
        "Content-Length: 5\r\nContent-Type: application/octet-stream\r\nETag: {}\r\nLast-Modified: {}\r\n\
         Cache-Control: max-age=60\r\nAccept-Ranges: bytes\r\n\r\n",
        details.etag,
        str::from_utf8(&details.last_modified.unwrap().text).unwrap(),
    );
    assert_eq!(head(&object), expected);
    assert!(details.etag.starts_with('"') && details.etag.ends_with('"'));
    it.write("t.txt", "text");
    assert_eq!(&*it.object("/t.txt").details().file().unwrap().content_type, "text/plain; charset=utf-8");
}

#[test]
fn a_changed_file_changes_its_tag_even_when_length_and_date_stay() {
    let it = Fixture::new(SiteOptions::default());
    it.write("f", "one");
    let date = std::fs::metadata(it.path("f")).unwrap().modified().unwrap();
    let before = it.object("/f").details().file().unwrap().etag.clone();
    std::fs::write(it.path("f"), "two").unwrap();
    std::fs::File::open(it.path("f")).unwrap().set_modified(date).unwrap();
    let after = it.object("/f");
    assert_eq!(it.text(&after), "two");
    assert_ne!(after.details().file().unwrap().etag, before);
}

#[test]
fn a_date_is_given_only_if_it_can_validate() {
    let it = Fixture::new(SiteOptions::default());
    std::fs::write(it.path("new"), "x").unwrap();
    assert_eq!(it.object("/new").details().file().unwrap().last_modified, None, "RFC 9110 section 8.8.2.2");
    it.write("future", "x");
    let then = std::time::SystemTime::now() + std::time::Duration::from_secs(3600);
    std::fs::File::open(it.path("future")).unwrap().set_modified(then).unwrap();
    assert_eq!(it.object("/future").details().file().unwrap().last_modified, None, "RFC 9110 section 8.8.2.1");
    it.write("old", "x");
    assert!(it.object("/old").details().file().unwrap().last_modified.is_some());
}

#[test]
fn empty_files_and_large_ones() {
    let it = Fixture::new(SiteOptions { max_pinned_object: 1000, ..SiteOptions::default() });
    it.cache.set_max_files(2);
    it.write("empty", "");
    assert_eq!(payload(&it.object("/empty")), b"");
    for name in ["a", "b", "c"] {
        it.write(name, name.repeat(1001));
        let object = it.object(format!("/{name}"));
        assert_eq!(it.text(&object), name.repeat(1001));
        assert!(object.details().file().unwrap().witness.as_ref().unwrap().unchanged().unwrap());
    }
    assert!(!it.is_cached("/a") && it.is_cached("/b") && it.is_cached("/c"), "two files may be open");
    let FillOutcome::Object(object) = it.fill("/c") else { panic!("no object") };
    std::fs::write(it.path("c"), "other").unwrap();
    assert!(!object.details().file().unwrap().witness.as_ref().unwrap().unchanged().unwrap());
}
