//! What is counted: the HTTP module on an engine, answering one document from a real cache.

use std::fs::{self, File};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use afpa_cache::{Cache, CacheConfig};
use afpa_engine::workers::Workers;
use afpa_engine::{Engine, Time};
use afpa_http::access_log::CacheOutcome;
use afpa_http::files::{Site, SiteOptions};
use afpa_http::syntax::Limits;
use afpa_http::{Global, Http, HttpStats, Settings};

use crate::null::Null;

/// After so many hits nothing is new: memory has its size, code is linked.
const WARM_UP: u64 = 100;

/// The requests by name: as a load generator sends them, and as a browser does.
pub(crate) const REQUESTS: [(&str, &[u8]); 2] = [
    ("small", b"GET /1024.html HTTP/1.1\r\nHost: 10.99.0.1:8080\r\n\r\n"),
    (
        "browser",
        b"GET /1024.html HTTP/1.1\r\nHost: www.example.org\r\n\
        User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
        Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
        Accept-Language: en-GB,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
        Referer: http://www.example.org/index.html\r\nConnection: keep-alive\r\n\
        Cookie: session=0123456789abcdef0123456789abcdef\r\nUpgrade-Insecure-Requests: 1\r\n\
        Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\n\
        Sec-Fetch-User: ?1\r\nPriority: u=0, i\r\n\r\n",
    ),
];

/// Answers `request` until it was a hit, says so by calling `warm`, and then answers it `count` times more.
pub(crate) fn hits(request: &'static [u8], count: u64, warm: impl FnOnce()) {
    let root = tempfile::tempdir().expect("a directory");
    let path = root.path().join("1024.html");
    fs::write(&path, [b'x'; 1024]).expect("a document");
    // What has just been changed is not kept for long.
    let then = SystemTime::now() - Duration::from_secs(60);
    File::open(&path).and_then(|file| file.set_modified(then)).expect("a time");

    let workers = Workers::start(1, 1).expect("a worker");
    // Time stands still: nothing that depends on it may make a difference.
    let mut engine = Engine::new(workers, || Time(0)).expect("an engine");
    let site = Site::open(root.path(), SiteOptions::default()).expect("a site");
    let settings = Settings {
        sites: vec![Arc::new(site)],
        cache: Cache::new(CacheConfig { capacity: 4 << 20, max_pinned_object: 1 << 20, engines: 1, frames: 0 })
            .expect("a cache"),
        limits: Limits::default(),
        header_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(60),
        min_rate: 1000,
        body_drain: 1 << 16,
    };
    let waker = engine.handle().waker();
    let view = settings.cache.view(Arc::new(move || waker.wake()));
    let stats = Arc::new(HttpStats::default());
    let global =
        Global::new(Arc::new(settings), view, stats.clone(), None, || UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    let (owner, _) = engine.install::<Http>(global);
    engine.add_transport(Box::new(Null::new(request, owner))).expect("an engine that can be woken");
    let hits =
        || stats.by_outcome().filter(|(outcome, _)| *outcome == CacheOutcome::Hit).map(|(_, count)| count).sum::<u64>();
    let mut until = |count| {
        while hits() < count {
            engine.pass(false).expect("a transport that cannot fail");
            assert!(stats.by_status().all(|(status, answers)| status == 200 || answers == 0), "a request was refused");
        }
    };
    until(WARM_UP);
    warm();
    until(WARM_UP + count);
}
