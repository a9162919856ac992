//! A site in a temporary directory, and a cache to fill from it.

#![allow(dead_code)] // each test binary uses its own part

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use afpa_cache::{Cache, CacheConfig, Object};
use afpa_http::Kept;
use afpa_http::files::{Codings, FillOutcome, RequestKey, Site, SiteOptions, fill};

pub(crate) type Found = Arc<Object<Kept>>;

pub(crate) struct Fixture {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) site: Arc<Site>,
    pub(crate) cache: Arc<Cache<Kept>>,
}

impl Fixture {
    pub(crate) fn new(options: SiteOptions) -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("site")).unwrap();
        let site = Arc::new(Site::open(dir.path().join("site"), options).unwrap());
        Fixture { dir, site, cache: cache() }
    }

    /// A path in the site.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("site").join(name)
    }

    /// Writes a file that was last changed a minute ago.
    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, contents).unwrap();
        age(&path, 60);
    }

    pub(crate) fn fill(&self, url: impl AsRef<[u8]>) -> FillOutcome {
        self.fill_for(Codings::NONE, url)
    }

    pub(crate) fn fill_for(&self, accepts: Codings, url: impl AsRef<[u8]>) -> FillOutcome {
        fill(&self.site, &self.cache, RequestKey { site: 0, accepts, path: url.as_ref() })
    }

    pub(crate) fn object(&self, url: impl AsRef<[u8]>) -> Found {
        self.object_for(Codings::NONE, url)
    }

    pub(crate) fn object_for(&self, accepts: Codings, url: impl AsRef<[u8]>) -> Found {
        match self.fill_for(accepts, url.as_ref()) {
            FillOutcome::Object(object) => object,
            FillOutcome::Error(error) => panic!("{}: {error}", String::from_utf8_lossy(url.as_ref())),
            FillOutcome::Redirect { .. } | FillOutcome::Listing(_) => panic!("no object"),
        }
    }

    pub(crate) fn status(&self, url: impl AsRef<[u8]>) -> u16 {
        match self.fill(url) {
            FillOutcome::Object(object) => object.details().file().unwrap().status,
            FillOutcome::Error(error) => error.status(),
            FillOutcome::Redirect { .. } => 301,
            FillOutcome::Listing(_) => 200,
        }
    }

    pub(crate) fn is_cached(&self, url: &str) -> bool {
        let mut key = Vec::new();
        Codings::all().any(|accepts| {
            RequestKey { site: 0, accepts, path: url.as_bytes() }.encode(&mut key);
            self.cache.lookup(&key).is_some()
        })
    }

    pub(crate) fn text(&self, object: &Found) -> String {
        String::from_utf8(payload(object)).unwrap()
    }
}

pub(crate) fn cache() -> Arc<Cache<Kept>> {
    Cache::new(CacheConfig { capacity: 64 << 20, max_pinned_object: 1 << 20, engines: 1, frames: 0 }).unwrap()
}

/// The octets that a client would get as content.
pub(crate) fn payload(object: &Found) -> Vec<u8> {
    let body = object.body();
    match body.file() {
        Some(file) => {
            let mut contents = vec![0; body.payload_len() as usize];
            file.read_at(&mut contents, 0).unwrap();
            contents
        }
        None => pinned(object).split_off(body.head_len() as usize),
    }
}

/// The immutable part of the head that a client would get.
pub(crate) fn head(object: &Found) -> String {
    let mut head = pinned(object);
    head.truncate(object.body().head_len() as usize);
    String::from_utf8(head).unwrap()
}

fn pinned(object: &Found) -> Vec<u8> {
    object.body().fragments().iter().flat_map(|fragment| fragment.to_vec()).collect()
}

pub(crate) fn age(path: &Path, seconds: u64) {
    let then = SystemTime::now() - Duration::from_secs(seconds);
    std::fs::File::open(path).unwrap().set_modified(then).unwrap();
}

/// Waits until `what` holds; fails after a bound that is generous to a busy machine.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
