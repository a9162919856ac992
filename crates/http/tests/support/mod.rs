//! An engine with the HTTP module on a network in memory, a site in a temporary directory, and a
//! clock that the test moves.

#![allow(dead_code, unreachable_pub)] // each test binary uses its own part

mod client;
pub mod response;

use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, UNIX_EPOCH};

use afpa_cache::{Cache, CacheConfig};
use afpa_engine::memory::{MemoryConfig, Network, network};
use afpa_engine::stats::ModuleStats;
use afpa_engine::table::{Outcome, State};
use afpa_engine::workers::Workers;
use afpa_engine::{Engine, EngineHandle, Owner, ProtocolModule, Time, TransportId};
use afpa_http::Kept;
use afpa_http::access_log::{CacheOutcome, Records, ring};
use afpa_http::files::{Site, SiteOptions};
use afpa_http::syntax::Limits;
use afpa_http::{Global, Http, HttpStats, Settings};
use tempfile::TempDir;

pub use client::{Client, Exchange};
pub use response::Response;

/// The wall clock at the engine's time zero: Tue, 14 Nov 2023 22:13:20 GMT.
pub const START: u64 = 1_700_000_000;

pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
pub const MIN_RATE: u64 = 1000;
pub const BODY_DRAIN: u64 = 1000;

/// What a test may want otherwise.
pub struct Setup {
    pub site: SiteOptions,
    pub network: MemoryConfig,
    pub limits: Limits,
    pub min_rate: u64,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            site: SiteOptions::default(),
            network: MemoryConfig::default(),
            limits: Limits::default(),
            min_rate: MIN_RATE,
        }
    }
}

/// The server under test. Runs only while a method of it runs.
pub struct Server {
    pub cache: Arc<Cache<Kept>>,
    pub module: Arc<ModuleStats>,
    pub http: Arc<HttpStats>,
    pub handle: EngineHandle,
    pub workers: Arc<Workers>,
    pub settings: Arc<Settings>,
    engine: Engine,
    network: Network,
    owner: Owner,
    now: Rc<Cell<u64>>,
    records: Records,
    dir: TempDir,
}

/// A record of the access log, as far as tests look at it.
#[derive(Debug, PartialEq, Eq)]
pub struct Logged {
    pub request: String,
    pub status: u16,
    pub body_octets: u64,
    pub outcome: CacheOutcome,
}

impl Server {
    /// A server of an empty site.
    pub fn new(setup: Setup) -> Server {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("site")).unwrap();
        let max_pinned_object = 1 << 20;
        let cache = Cache::new(CacheConfig { capacity: 64 << 20, max_pinned_object, engines: 1, frames: 0 }).unwrap();
        let settings = Arc::new(Settings {
            sites: vec![Arc::new(Site::open(dir.path().join("site"), setup.site).unwrap())],
            cache: cache.clone(),
            limits: setup.limits,
            header_timeout: HEADER_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            min_rate: setup.min_rate,
            body_drain: BODY_DRAIN,
        });
        // One worker: a job of the test's own that is done tells that all before it are.
        let workers = Workers::start(1, 1024).unwrap();
        let now = Rc::new(Cell::new(0));
        let clock = now.clone();
        let mut engine = Engine::new(workers.clone(), move || Time(clock.get())).unwrap();
        let handle = engine.handle();
        let waker = handle.waker();
        let view = cache.view(Arc::new(move || waker.wake()));
        let http = Arc::new(HttpStats::default());
        let (recorder, records) = ring(1 << 20);
        let wall = now.clone();
        let wall = move || UNIX_EPOCH + Duration::from_secs(START) + Duration::from_nanos(wall.get());
        let global = Global::new(settings.clone(), view, http.clone(), Some(recorder), wall);
        let (owner, module) = engine.install::<Http>(global);
        let (transport, network) = network(TransportId(0), setup.network);
        engine.add_transport(Box::new(transport)).unwrap();
        Server { cache, module, http, handle, workers, settings, engine, network, owner, now, records, dir }
    }

    /// A server whose site has one page, `/page`, which says `hello`.
    pub fn with_page() -> Server {
        let server = Server::new(Setup::default());
        server.write("page", "hello");
        server
    }

    /// A path in the site.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("site").join(name)
    }

    /// Writes a file that was last changed an hour before the clock's start.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, contents).unwrap();
        let then = UNIX_EPOCH + Duration::from_secs(START - 3600);
        std::fs::File::open(path).unwrap().set_modified(then).unwrap();
    }

    pub fn connect(&self) -> Client {
        Client::new(self.network.connect(self.owner))
    }

    /// Opens a connection, sends `octets`, and returns what came of it.
    pub fn exchange(&mut self, octets: impl AsRef<[u8]>) -> Exchange {
        let mut client = self.connect();
        client.send(octets);
        self.settle();
        client.take()
    }

    /// Opens a connection and sends a GET with `fields`, each with its CRLF. Returns the response.
    pub fn get(&mut self, target: &str, fields: &str) -> Response {
        let exchange = self.exchange(request("GET", target, fields));
        let [response] = exchange.responses.try_into().unwrap_or_else(|all| panic!("{target}: {all:?}"));
        response
    }

    /// Lets the engine and its workers run until nothing moves any more.
    pub fn settle(&mut self) {
        loop {
            let before = self.progress();
            self.finish_jobs();
            for _ in 0..3 {
                self.engine.pass(false).unwrap();
            }
            if self.progress() == before {
                return;
            }
        }
    }

    /// Moves the clock, in steps that no timer is lost in, and settles.
    pub fn advance(&mut self, by: Duration) {
        let end = self.now.get() + by.as_nanos() as u64;
        while self.now.get() < end {
            self.now.set(end.min(self.now.get() + 1_000_000_000));
            self.settle();
        }
    }

    /// One pass of the engine's loop. Returns whether there shall be another.
    pub fn pass(&mut self) -> bool {
        self.engine.pass(false).unwrap()
    }

    /// How often `outcome` followed from `state`.
    pub fn count(&self, state: State, outcome: Outcome) -> u64 {
        self.module.transition(state.index, outcome.index).get()
    }

    /// The records that the log has got since the last call.
    pub fn logged(&mut self) -> Vec<Logged> {
        let mut logged = Vec::new();
        while let Some(entry) = self.records.take() {
            let [method, target] = [entry.method, entry.target].map(String::from_utf8_lossy);
            logged.push(Logged {
                request: format!("{method} {target}"),
                status: entry.status,
                body_octets: entry.body_octets,
                outcome: entry.outcome,
            });
        }
        logged
    }

    /// The connections that are alive.
    pub fn open(&self) -> u64 {
        self.handle.stats().open.get()
    }

    /// Waits until every job that was queued before has been done.
    fn finish_jobs(&self) {
        let (done, finished) = channel();
        // A queue that a test has filled is none to wait for.
        if self.workers.submit(move || done.send(()).unwrap()).is_ok() {
            finished.recv().unwrap();
        }
    }

    /// Changes whenever something happens.
    fn progress(&self) -> (u64, u64, u64, u64) {
        let stats = self.handle.stats();
        let transitions = Http::TABLE.rows().iter().map(|row| self.count(row.state, row.outcome)).sum();
        (transitions, stats.received_octets.get(), stats.sent_octets.get(), stats.open.get())
    }
}

impl Drop for Server {
    /// Whatever a test does: no state function returns what it did not declare.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.module.violations.get(), 0);
        }
    }
}

/// A request of HTTP/1.1. `fields` has a CRLF behind each.
pub fn request(method: &str, target: &str, fields: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: example.org\r\n{fields}\r\n")
}

pub fn get(target: &str) -> String {
    request("GET", target, "")
}

/// Octets in which each position can be told from its neighbours, of no compressible type.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i % 251) as u8).collect()
}
