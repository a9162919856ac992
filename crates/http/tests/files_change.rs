//! Files that change: never torn, never stale for long.

mod files_support;

use std::collections::BTreeSet;
use std::os::unix::fs::{FileExt, symlink};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use afpa_http::files::{Coding, Codings, FillOutcome, SiteOptions, Watch};
use files_support::{Fixture, cache, eventually, payload};

#[test]
fn a_file_rewritten_in_place_is_served_as_one_version_or_not_at_all() {
    let it = Fixture::new(SiteOptions { compress: false, precompressed: false, ..SiteOptions::default() });
    let size = 1_000_000;
    it.write("f", vec![0; size]);
    let stop = AtomicBool::new(false);
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        scope.spawn(|| {
            let file = std::fs::OpenOptions::new().write(true).open(it.path("f")).unwrap();
            for version in (1..=255u8).cycle().take_while(|_| !stop.load(Relaxed)) {
                file.write_all_at(&vec![version; size], 0).unwrap();
                std::thread::sleep(Duration::from_millis(u64::from(version % 64)));
            }
        });
        let (mut outcomes, mut last) = (Vec::new(), None);
        let end = Instant::now() + Duration::from_secs(3);
        while Instant::now() < end {
            match it.fill("/f") {
                FillOutcome::Object(object) if last.as_ref().is_some_and(|last| Arc::ptr_eq(last, &object)) => (),
                FillOutcome::Object(object) => {
                    outcomes.push(Ok(payload(&object)));
                    last = Some(object);
                }
                FillOutcome::Error(error) => outcomes.push(Err(error.status())),
                FillOutcome::Redirect { .. } | FillOutcome::Listing(_) => outcomes.push(Err(0)),
            }
        }
        stop.store(true, Relaxed);
        outcomes
    });
    let mut versions = BTreeSet::new();
    for outcome in outcomes {
        match outcome {
            Ok(contents) => {
                assert_eq!(contents.len(), size);
                assert!(contents.iter().all(|&octet| octet == contents[0]), "a mixture of two versions");
                versions.insert(contents[0]);
            }
            Err(status) => assert_eq!(status, 503),
        }
    }
    assert!(versions.len() > 1, "some versions got through");
}

#[test]
fn workers_that_miss_together_get_the_same_object() {
    let it = Fixture::new(SiteOptions::default());
    it.write("f.txt", "the quick brown fox ".repeat(1000));
    let all = Coding::BY_PREFERENCE.into_iter().fold(Codings::NONE, Codings::with);
    let bodies: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| it.object_for(all, "/f.txt").body().clone())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(bodies.iter().all(|body| Arc::ptr_eq(body, &bodies[0])));
}

#[test]
fn a_fill_sees_that_what_is_stored_is_stale() {
    let it = Fixture::new(SiteOptions::default());
    it.write("f", "one");
    assert_eq!(it.text(&it.object("/f")), "one");
    it.write("g", "two");
    std::fs::rename(it.path("g"), it.path("f")).unwrap();
    assert_eq!(it.text(&it.object("/f")), "two");
    std::fs::remove_file(it.path("f")).unwrap();
    assert_eq!(it.status("/f"), 404);
}

/// Changes a site in all the ways that must be noticed; `linked` also through symbolic links.
fn changes(options: SiteOptions, linked: bool) {
    let it = Fixture::new(options);
    let _watch = Watch::start(it.site.clone(), it.cache.clone()).unwrap();
    let gone = |url: &str, change: &dyn Fn()| {
        assert!(matches!(it.fill(url), FillOutcome::Object(_)), "{url}");
        assert!(it.is_cached(url), "{url}");
        // Let the watch take the object over, or else it finds the change when it does.
        std::thread::sleep(Duration::from_millis(400));
        assert!(matches!(it.fill(url), FillOutcome::Object(_)), "{url}");
        change();
        eventually(&format!("{url} leaves the cache"), || !it.is_cached(url));
    };
    for name in ["in-place", "replaced", "deleted", "d/e/f", "x/index.html", "n.txt", "real/f", "chmod"] {
        it.write(name, "first version");
    }
    // Objects of files that have just changed leave the cache by themselves.
    std::thread::sleep(Duration::from_millis(2300));
    gone("/in-place", &|| std::fs::write(it.path("in-place"), "other").unwrap());
    gone("/replaced", &|| {
        it.write("new", "other");
        std::fs::rename(it.path("new"), it.path("replaced")).unwrap();
    });
    gone("/deleted", &|| std::fs::remove_file(it.path("deleted")).unwrap());
    gone("/d/e/f", &|| std::fs::rename(it.path("d"), it.path("moved")).unwrap());
    gone("/x/", &|| std::fs::remove_file(it.path("x/index.html")).unwrap());
    gone("/n.txt", &|| it.write("n.txt.br", "neighbour"));
    gone("/n.txt", &|| std::fs::remove_file(it.path("n.txt.br")).unwrap());
    assert_eq!(it.status("/deleted"), 404);
    assert_eq!(it.text(&it.object("/replaced")), "other");
    if !linked {
        return;
    }
    symlink("real", it.path("link")).unwrap();
    gone("/link/f", &|| it.write("real/f", "another version"));
    gone("/link/f", &|| {
        it.write("other/f", "elsewhere");
        symlink("other", it.path("link.new")).unwrap();
        std::fs::rename(it.path("link.new"), it.path("link")).unwrap();
    });
    assert_eq!(it.text(&it.object("/link/f")), "elsewhere");
}

#[test]
fn what_changes_leaves_the_cache() {
    changes(SiteOptions::default(), true);
}

#[test]
fn inotify_alone_tells_of_what_changes_by_its_own_name() {
    changes(SiteOptions { revalidate_after: Duration::from_secs(3600), ..SiteOptions::default() }, false);
}

#[test]
fn what_changes_leaves_the_cache_without_inotify() {
    changes(SiteOptions { max_watches: 0, ..SiteOptions::default() }, true);
}

#[test]
fn a_hard_linked_file_may_change_under_its_other_name() {
    let it = Fixture::new(SiteOptions::default());
    it.write("f", "one");
    std::fs::hard_link(it.path("f"), it.dir.path().join("elsewhere")).unwrap();
    let _watch = Watch::start(it.site.clone(), it.cache.clone()).unwrap();
    it.object("/f");
    std::fs::write(it.dir.path().join("elsewhere"), "two").unwrap();
    eventually("the file leaves the cache", || !it.is_cached("/f"));
}

#[test]
fn nothing_stays_cached_that_nobody_looks_after() {
    let it = Fixture::new(SiteOptions::default());
    it.write("f", "one");
    let watch = Watch::start(it.site.clone(), it.cache.clone()).unwrap();
    it.object("/f");
    drop(watch);
    assert!(!it.is_cached("/f"));
}

#[test]
fn a_site_that_is_swapped_for_another_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    for release in ["1", "2"] {
        std::fs::create_dir(dir.path().join(release)).unwrap();
        std::fs::write(dir.path().join(release).join("f"), release).unwrap();
    }
    symlink("1", dir.path().join("current")).unwrap();
    let site = afpa_http::files::Site::open(dir.path().join("current"), SiteOptions::default()).unwrap();
    let it = Fixture { dir, site: Arc::new(site), cache: cache() };
    let _watch = Watch::start(it.site.clone(), it.cache.clone()).unwrap();
    assert_eq!(it.text(&it.object("/f")), "1");
    symlink("2", it.dir.path().join("next")).unwrap();
    std::fs::rename(it.dir.path().join("next"), it.dir.path().join("current")).unwrap();
    eventually("the new release is served", || it.text(&it.object("/f")) == "2");
}

#[test]
fn an_object_made_just_after_a_change_is_renewed_with_a_date() {
    let it = Fixture::new(SiteOptions::default());
    let _watch = Watch::start(it.site.clone(), it.cache.clone()).unwrap();
    std::fs::write(it.path("f"), "new").unwrap();
    assert!(it.object("/f").details().file().unwrap().last_modified.is_none());
    eventually("it has a date", || it.object("/f").details().file().unwrap().last_modified.is_some());
}
