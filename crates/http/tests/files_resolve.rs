//! Which paths lead to which files, and which lead nowhere.

mod files_support;

use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};

use afpa_http::files::{Coding, Codings, FillOutcome, SiteOptions};
use files_support::{Fixture, payload};
use proptest::prelude::*;
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

#[test]
fn nothing_outside_the_site_is_reached() {
    let it = Fixture::new(SiteOptions::default());
    std::fs::write(it.dir.path().join("secret"), "secret").unwrap();
    std::fs::create_dir(it.dir.path().join("outside")).unwrap();
    std::fs::write(it.dir.path().join("outside/file"), "secret").unwrap();
    it.write("a/file", "inside");
    symlink("../secret", it.path("up")).unwrap();
    symlink("../../secret", it.path("a/up")).unwrap();
    symlink(it.dir.path().join("secret"), it.path("absolute")).unwrap();
    symlink("../outside", it.path("directory")).unwrap();
    symlink("/proc/self/root", it.path("magic")).unwrap();
    symlink("loop", it.path("loop")).unwrap();
    for url in [
        "/../secret",
        "/a/../../secret",
        "//etc/passwd",
        "/up",
        "/a/up",
        "/absolute",
        "/directory",
        "/directory/",
        "/directory/file",
        "/magic/etc/passwd",
        "/loop",
        "/missing",
        "/a/file/",
        "/a/file/x",
        "/a/missing/../file",
    ] {
        assert_eq!(it.status(url), 404, "{url}");
    }
    assert_eq!(it.status("/a/file"), 200);
}

#[test]
fn links_within_the_site_are_followed_and_others_if_allowed() {
    let it = Fixture::new(SiteOptions::default());
    it.write("a/file", "inside");
    symlink("a", it.path("b")).unwrap();
    symlink("../a/file", it.path("a/link")).unwrap();
    for url in ["/b/file", "/a/link", "/b/link"] {
        assert_eq!(it.text(&it.object(url)), "inside", "{url}");
    }

    let it = Fixture::new(SiteOptions { follow_symlinks_outside: true, ..SiteOptions::default() });
    std::fs::write(it.dir.path().join("other"), "outside").unwrap();
    symlink("../other", it.path("up")).unwrap();
    symlink(it.dir.path().join("other"), it.path("absolute")).unwrap();
    symlink("/proc/self/exe", it.path("magic")).unwrap();
    assert_eq!(it.text(&it.object("/up")), "outside");
    assert_eq!(it.text(&it.object("/absolute")), "outside");
    for url in ["/../other", "/magic"] {
        assert_eq!(it.status(url), 404, "{url}");
    }
}

#[test]
fn dotfiles_are_hidden_unless_allowed() {
    for (dotfiles, hidden) in [(false, 404), (true, 200)] {
        let it = Fixture::new(SiteOptions { dotfiles, ..SiteOptions::default() });
        for name in [".htpasswd", ".git/config", "a/.b/c", ".well-known/acme"] {
            it.write(name, "x");
        }
        assert_eq!(it.status("/.htpasswd"), hidden);
        assert_eq!(it.status("/.git/config"), hidden);
        assert_eq!(it.status("/a/.b/c"), hidden);
        assert_eq!(it.status("/.well-known/acme"), 200, "RFC 8615");
    }
}

#[test]
fn only_regular_files_are_served_and_a_fifo_does_not_hang() {
    let it = Fixture::new(SiteOptions { follow_symlinks_outside: true, ..SiteOptions::default() });
    let mode = rustix::fs::Mode::from_raw_mode(0o644);
    rustix::fs::mknodat(rustix::fs::CWD, it.path("fifo"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    symlink("/dev/zero", it.path("zero")).unwrap();
    symlink("/dev/null", it.path("null")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(it.path("socket")).unwrap();
    for url in ["/fifo", "/zero", "/null", "/socket"] {
        assert_eq!(it.status(url), 404, "{url}");
    }
}

#[test]
fn what_may_not_be_read_is_forbidden() {
    let it = Fixture::new(SiteOptions::default());
    it.write("file", "x");
    it.write("directory/file", "x");
    it.write("page.html", "plain");
    it.write("page.html.gz", "encoded");
    for name in ["file", "directory", "page.html.gz"] {
        std::fs::set_permissions(it.path(name), Permissions::from_mode(0o000)).unwrap();
    }
    // Root reads everything, unless its thread gives that up.
    let sets = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            set_capabilities(None, sets).unwrap();
            assert_eq!(it.status("/file"), 403);
            assert_eq!(it.status("/directory/file"), 403);
            let gzip = Codings::NONE.with(Coding::Gzip);
            assert_eq!(it.text(&it.object_for(gzip, "/page.html")), "plain");
        });
    });
}

#[test]
fn names_may_be_any_octets_and_too_long_ones_are_not_found() {
    let it = Fixture::new(SiteOptions::default());
    let name = b"caf\xe9 \xff?#%";
    std::fs::write(it.path("").join(OsStr::from_bytes(name)), "octets").unwrap();
    assert_eq!(it.text(&it.object([b"/", &name[..]].concat())), "octets");
    assert_eq!(it.status(format!("/{}", "a".repeat(256))), 404);
    assert_eq!(it.status(format!("/{}", "a/".repeat(4000))), 404);
    assert_eq!(it.status("/a\0b"), 404);
    assert_eq!(it.status(""), 404);
}

#[test]
fn directories_redirect_index_list_or_forbid() {
    let index = vec!["index.html".to_owned(), "index.txt".to_owned()];
    let it = Fixture::new(SiteOptions { index: index.clone(), ..SiteOptions::default() });
    it.write("a b/index.txt", "second choice");
    it.write("empty/file", "x");
    std::fs::create_dir(it.path("a b/index.html")).unwrap();
    let FillOutcome::Redirect { location } = it.fill("/a b") else { panic!("no redirect") };
    assert_eq!(location, b"/a%20b/");
    assert_eq!(it.text(&it.object("/a b/")), "second choice");
    assert_eq!(it.status("/empty/"), 403);
    assert_eq!(it.status("/"), 403);
    it.write("index.html", "root");
    assert_eq!(it.text(&it.object("/")), "root");

    let it = Fixture::new(SiteOptions { listing: true, index, ..SiteOptions::default() });
    it.write("d/<b>&.txt", "12345");
    it.write("d/.hidden", "x");
    it.write("d/sub/x", "x");
    symlink("/etc/passwd", it.path("d/out")).unwrap();
    let FillOutcome::Listing(page) = it.fill("/d/") else { panic!("no listing") };
    let page = String::from_utf8(page).unwrap();
    assert!(page.contains("<a href=\"./%3Cb%3E%26.txt\">&lt;b&gt;&amp;.txt</a></td><td>5</td>"), "{page}");
    assert!(page.contains("href=\"./sub/\"") && page.contains("href=\"../\""));
    assert!(page.find("sub/").unwrap() < page.find("%3Cb").unwrap(), "directories come first");
    assert!(!page.contains("hidden") && !page.contains("out"), "what a request could not get is not listed");
    it.write("d/index.html", "index");
    assert_eq!(it.text(&it.object("/d/")), "index");
}

#[test]
fn no_path_leads_out() {
    for follow_symlinks_outside in [false, true] {
        let it = Fixture::new(SiteOptions { dotfiles: true, follow_symlinks_outside, ..SiteOptions::default() });
        std::fs::write(it.dir.path().join("secret"), "secret").unwrap();
        it.write("a/b/secret", "public");
        it.write("secret", "public");
        let segment = prop_oneof![Just(".."), Just("."), Just(""), Just("a"), Just("b"), Just("site"), Just("secret")];
        proptest!(ProptestConfig::with_cases(512), |(segments in proptest::collection::vec(segment, 1..8))| {
            if let FillOutcome::Object(object) = it.fill(format!("/{}", segments.join("/"))) {
                prop_assert_eq!(payload(&object), b"public");
            }
        });
    }
}
