//! An engine with both HTTP modules on a network in memory.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, UNIX_EPOCH};

use afpa_balancing::{BackendAddress, BackendConfig, HedgeConfig, PoolConfig, Published, Registry, RetryConfig};
use afpa_cache::{Cache, CacheConfig};
use afpa_engine::memory::{Ending, MemoryConfig, Network, Peer, network};
use afpa_engine::stats::ModuleStats;
use afpa_engine::workers::Workers;
use afpa_engine::{Engine, EngineHandle, Open, Outcome, Owner, ProtocolModule, State, Time, TransportId};
use afpa_http::access_log::ring;
use afpa_http::fetch::{Fetch, FetchGlobal, FetchTimes, KEEPER, PoolPlan, Shared};
use afpa_http::files::{Site, SiteOptions};
use afpa_http::quality::{ClassTotals, QualityPlan};
use afpa_http::remote::{Forwarding, Relay, RelayShared, RoutePlan};
use afpa_http::syntax::client_address::AddressField;
use afpa_http::syntax::forward::Provenance;
use afpa_http::syntax::{Limits, ResponseLimits};
use afpa_http::{Global, Http, HttpStats, Kept, Settings};
use afpa_routing::{HostPattern, PathCondition, Route, Router, Target};

/// The wall clock at the engine's time zero: Tue, 14 Nov 2023 22:13:20 GMT.
pub(crate) const START: u64 = 1_700_000_000;
pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
pub(crate) const LARGEST: u64 = 100_000;

/// What a test may want otherwise.
pub(crate) struct Setup {
    pub(crate) network: MemoryConfig,
    pub(crate) backends: u8,
    pub(crate) max_connections: u32,
    pub(crate) pending: usize,
    pub(crate) attempts: u32,
    pub(crate) hedge: Option<HedgeConfig>,
    pub(crate) requests: u32,
    pub(crate) times: FetchTimes,
    pub(crate) policy: afpa_caching::Policy,
    pub(crate) collapses: bool,
    /// For all paths, unless there are others.
    pub(crate) routes: Vec<Route>,
    /// Names of the pools, whose backends are told apart by their ports.
    pub(crate) pools: Vec<&'static str>,
    pub(crate) policies: usize,
    pub(crate) min_rate: u64,
    /// Makes what is said of classes.
    pub(crate) quality: Option<Box<dyn Fn() -> QualityPlan>>,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            quality: None,
            network: MemoryConfig::default(),
            backends: 1,
            max_connections: 100,
            pending: 100,
            attempts: 2,
            hedge: None,
            requests: 0,
            times: FetchTimes {
                connect: 3 * SECOND,
                first_byte: 30 * SECOND,
                between_bytes: 20 * SECOND,
                total: Duration::ZERO,
            },
            policy: afpa_caching::Policy::default(),
            collapses: true,
            routes: vec![cached(PathCondition::Any, 0)],
            pools: vec!["default"],
            policies: 1,
            min_rate: 0,
        }
    }
}

/// A route whose answers are kept.
pub(crate) fn cached(path: PathCondition, pool: usize) -> Route {
    Route { caching: Some(0), upgrade: true, ..Route::new(path, Target::Pool(pool)) }
}

/// The server under test. Runs only while a method of it runs.
pub(crate) struct Server {
    pub(crate) cache: Arc<Cache<Kept>>,
    pub(crate) module: Arc<ModuleStats>,
    pub(crate) fetch: Arc<ModuleStats>,
    pub(crate) http: Arc<HttpStats>,
    pub(crate) handle: EngineHandle,
    pub(crate) network: Network,
    pub(crate) owner: Owner,
    pub(crate) fetcher: Owner,
    pub(crate) workers: Arc<Workers>,
    pub(crate) relay_shared: RelayShared,
    registry: Registry,
    relay: Arc<Relay>,
    _dir: tempfile::TempDir,
    shared: Rc<RefCell<Shared>>,
    engine: Engine,
    now: Rc<Cell<u64>>,
    is_held: Rc<Cell<bool>>,
}

/// As long as it lives, the worker waits.
pub(crate) struct Held {
    is_held: Rc<Cell<bool>>,
    _release: std::sync::mpsc::Sender<()>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.is_held.set(false);
    }
}

/// A backend's end of a connection.
pub(crate) struct Backend {
    pub(crate) peer: Peer,
    pub(crate) port: u16,
    /// Octets that no request was made of yet.
    pub(crate) unread: Vec<u8>,
}

/// A client's end of a connection.
pub(crate) struct Client {
    pub(crate) peer: Peer,
    pub(crate) read: Vec<u8>,
}

impl Server {
    pub(crate) fn new(setup: Setup) -> Server {
        let capacity = CacheConfig { capacity: 64 << 20, max_pinned_object: 1 << 20, engines: 1, frames: 0 };
        let cache = Cache::new(capacity).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let files = dir.path().to_owned();
        std::fs::write(files.join("page"), "page").unwrap();
        let settings = Arc::new(Settings {
            sites: vec![Arc::new(Site::open(&files, SiteOptions::default()).unwrap())],
            cache: cache.clone(),
            limits: Limits { extension_methods: true, ..Limits::default() },
            header_timeout: 10 * SECOND,
            idle_timeout: IDLE_TIMEOUT,
            min_rate: setup.min_rate,
            body_drain: 1000,
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
        let (recorder, records) = ring(1 << 16);
        std::mem::forget(records);
        let wall = now.clone();
        let wall = move || UNIX_EPOCH + Duration::from_secs(START) + Duration::from_nanos(wall.get());
        let mut global = Global::new(settings.clone(), view, http.clone(), Some(recorder), wall);
        let (mut registry, relay_shared) = (Registry::new(), RelayShared::default());
        let network_config = setup.network;
        let relay = Arc::new(relay(&setup, &mut registry, &cache, relay_shared.clone()));
        let seconds = Rc::new(Cell::new(0));
        let shared = Rc::new(RefCell::new(Shared::new(0, engine.handle(), &relay.pools, Time(0))));
        let of_fetch = FetchGlobal::new(shared.clone(), relay.clone(), seconds.clone());
        let (fetcher, fetch) = engine.install::<Fetch>(of_fetch);
        shared.borrow_mut().is_owned_by(fetcher);
        global.relay_through(relay.clone(), shared.clone(), seconds);
        let (owner, module) = engine.install::<Http>(global);
        let (transport, network) = network(TransportId(0), network_config);
        engine.add_transport(Box::new(transport)).unwrap();
        engine.open(Open::Work, fetcher, KEEPER);
        let mut server = Server {
            cache,
            module,
            fetch,
            http,
            handle,
            network,
            owner,
            fetcher,
            workers,
            relay_shared,
            registry,
            relay,
            _dir: dir,
            shared,
            engine,
            now,
            is_held: Rc::default(),
        };
        server.settle();
        server
    }

    pub(crate) fn with_one_backend() -> Server {
        Server::new(Setup::default())
    }

    pub(crate) fn connect(&self) -> Client {
        Client { peer: self.network.connect(self.owner), read: Vec::new() }
    }

    /// Connects, sends `octets` and settles.
    pub(crate) fn client(&mut self, octets: impl AsRef<[u8]>) -> Client {
        let client = self.connect();
        client.send(octets);
        self.settle();
        client
    }

    /// The next connection to a backend that was opened.
    pub(crate) fn accept(&mut self) -> Option<Backend> {
        let (peer, address) = self.network.accept()?;
        let afpa_engine::seam::Address::Inet(address) = address else { panic!("{address:?}") };
        Some(Backend { peer, port: address.port(), unread: Vec::new() })
    }

    /// The single connection to a backend that was opened, with the request that came on it.
    pub(crate) fn asked(&mut self) -> (Backend, String) {
        let mut backend = self.accept().expect("a connection to a backend");
        assert!(self.network.accept().is_none(), "one connection");
        let request = backend.request();
        (backend, request)
    }

    /// Sends a GET, which a backend answers with `response`; what the client gets.
    pub(crate) fn fetch(&mut self, request: &str, response: &str) -> String {
        let mut client = self.client(request);
        let (backend, _) = self.asked();
        backend.send(response);
        backend.peer.finish();
        self.settle();
        client.text()
    }

    /// What a client gets that nobody else is asked for.
    pub(crate) fn hit(&mut self, request: &str) -> String {
        let mut client = self.client(request);
        assert!(self.network.accept().is_none(), "{request} asks a backend");
        client.text()
    }

    /// What a backend is asked on a new connection, if it is.
    pub(crate) fn hit_or_asked(&mut self, request: &str) -> Option<String> {
        let _client = self.client(request);
        self.accept().map(|mut backend| backend.request())
    }

    /// Lets the engine and its workers run until nothing moves any more.
    pub(crate) fn settle(&mut self) {
        for _ in 0..20_000 {
            let before = self.progress();
            self.finish_jobs();
            for _ in 0..4 {
                self.engine.pass(false).unwrap();
            }
            if self.progress() == before {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    /// One pass of the engine's loop.
    pub(crate) fn pass(&mut self) {
        self.engine.pass(false).unwrap();
    }

    /// One pass after one that took `time`.
    pub(crate) fn pass_after(&mut self, time: Duration) {
        self.now.set(self.now.get() + time.as_nanos() as u64);
        self.pass();
    }

    /// What became of each class.
    pub(crate) fn classes(&self) -> Vec<ClassTotals> {
        self.relay.quality.iter().flat_map(QualityPlan::totals).collect()
    }

    /// Moves the clock, in steps that no timer is lost in, and settles.
    pub(crate) fn advance(&mut self, by: Duration) {
        self.settle();
        let end = self.now.get() + by.as_nanos() as u64;
        while self.now.get() < end {
            self.now.set(end.min(self.now.get() + 500_000_000));
            self.settle();
        }
    }

    /// Replaces what an operator decides, before the next event.
    pub(crate) fn reload(&mut self, setup: &Setup) {
        let relay = Arc::new(relay(setup, &mut self.registry, &self.cache, self.relay_shared.clone()));
        self.relay = relay.clone();
        let (owner, fetcher, now) = (self.owner, self.fetcher, Time(self.now.get()));
        self.handle.command(move |control| {
            control.global::<Fetch>(fetcher).unwrap().reload(relay.clone(), now);
            let called = control.global::<Http>(owner).unwrap().reload_relay(relay);
            called.into_iter().for_each(|notice| control.notify(notice));
        });
        self.settle();
    }

    /// How often `outcome` followed from `state`, towards clients.
    pub(crate) fn count(&self, state: State, outcome: Outcome) -> u64 {
        self.module.transition(state.index, outcome.index).get()
    }

    /// How often `outcome` followed from `state`, towards backends.
    pub(crate) fn count_fetch(&self, state: State, outcome: Outcome) -> u64 {
        self.fetch.transition(state.index, outcome.index).get()
    }

    /// Connections of both sides that are alive.
    pub(crate) fn open(&self) -> u64 {
        self.handle.stats().open.get()
    }

    /// Requests that are under way to backends, as the backends' counters say.
    pub(crate) fn active(&self) -> u64 {
        self.registry.backends().map(|(_, backend)| backend.active()).sum()
    }

    /// Failures that were put down to backends.
    pub(crate) fn failures(&self) -> u64 {
        self.registry.backends().map(|(_, backend)| backend.counters().failures).sum()
    }

    /// Octets that went to backends, and came from them.
    pub(crate) fn transferred(&self) -> (u64, u64) {
        let counters = self.registry.backends().map(|(_, backend)| backend.counters());
        counters.fold((0, 0), |(sent, received), one| (sent + one.sent, received + one.received))
    }

    /// That nothing is left of requests that have ended.
    pub(crate) fn assert_nothing_is_left(&mut self, what: &str) {
        assert_eq!(self.active(), 0, "{what}: requests in flight");
        assert_eq!(self.relay_shared.flights_under_way(), 0, "{what}: flights");
        assert_eq!(self.relay_shared.octets_held(), 0, "{what}: octets held");
        assert_eq!(self.shared.borrow().under_way(), 0, "{what}: attempts that wait, or are being opened");
        assert_eq!(self.http.pins.get(), 0, "{what}: pins");
    }

    /// That no connection is left either, once idle ones have gone.
    pub(crate) fn assert_it_comes_to_rest(&mut self, what: &str) {
        self.advance(200 * SECOND);
        while let Some(backend) = self.accept() {
            backend.peer.reset();
            self.settle();
        }
        self.assert_nothing_is_left(what);
        assert_eq!(self.open(), 0, "{what}: connections");
        assert_eq!(self.shared.borrow().connections(), 0, "{what}: connections that are counted");
    }

    /// Keeps the worker from doing anything until what is returned is dropped.
    pub(crate) fn hold_worker(&self) -> Held {
        let (release, released) = channel::<()>();
        self.is_held.set(true);
        self.workers.submit(move || _ = released.recv()).unwrap();
        Held { is_held: self.is_held.clone(), _release: release }
    }

    fn finish_jobs(&self) {
        if self.is_held.get() {
            return;
        }
        let (done, finished) = channel();
        // A queue that a test has filled is none to wait for.
        if self.workers.submit(move || done.send(()).unwrap()).is_ok() {
            finished.recv().unwrap();
        }
    }

    /// Changes whenever something happens.
    fn progress(&self) -> u64 {
        let rows = Http::TABLE.rows().iter().map(|row| self.count(row.state, row.outcome));
        let of_fetch = Fetch::TABLE.rows().iter().map(|row| self.count_fetch(row.state, row.outcome));
        let stats = self.handle.stats();
        let others = stats.received_octets.get() + stats.sent_octets.get() + stats.connected.get();
        rows.sum::<u64>() + of_fetch.sum::<u64>() + others
    }
}

impl Drop for Server {
    /// Whatever a test does: no state function returns what it did not declare.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!((self.module.violations.get(), self.fetch.violations.get()), (0, 0));
        }
    }
}

fn relay(setup: &Setup, registry: &mut Registry, cache: &Arc<Cache<Kept>>, shared: RelayShared) -> Relay {
    let configs = setup.pools.iter().map(|name| {
        let base = if *name == "two" { 8100 } else { 8000 };
        let backends = (1..=setup.backends).map(|backend| BackendConfig {
            max_connections: setup.max_connections,
            max_requests: setup.max_connections,
            ..BackendConfig::new(BackendAddress::Inet(([192, 0, 2, backend], base + u16::from(backend)).into()))
        });
        PoolConfig { outliers: None, ..PoolConfig::new(name, backends.collect()) }
    });
    let states = registry.update(configs.collect(), 0).unwrap();
    let retries = RetryConfig {
        attempts: setup.attempts,
        on_connect: true,
        on_reset: true,
        on_timeout: true,
        on_malformed: true,
        ..RetryConfig::default()
    };
    let plan = |state| PoolPlan {
        state: Arc::new(Published::new(state)),
        retries: retries.clone(),
        hedge: setup.hedge,
        idle: 10,
        idle_timeout: 60 * SECOND,
        requests: setup.requests,
        pending: setup.pending,
    };
    let plans: Vec<PoolPlan> = states.into_iter().map(plan).collect();
    let sites =
        vec![afpa_routing::Site { name: "site".into(), hosts: vec![HostPattern::Any], routes: setup.routes.clone() }];
    let policy = RoutePlan {
        semantics: setup.policy.clone(),
        keeps: true,
        answers_head: true,
        largest: LARGEST,
        compresses: false,
        collapses: setup.collapses,
    };
    Relay {
        name: "cache".into(),
        router: Router::new(sites).unwrap(),
        policies: vec![policy; setup.policies],
        times: vec![setup.times; plans.len()],
        hash_on: vec![None; plans.len()],
        proxy_protocol: vec![None; plans.len()],
        pools: plans,
        deferred: vec!["/nobody/listens/here".into()],
        cache: cache.clone(),
        shared,
        quality: setup.quality.as_ref().map(|quality| quality()),
        limits: ResponseLimits { head: 8000, fields: 50 },
        most_held: 1 << 20,
        forwarding: Forwarding {
            provenance: Provenance { x_forwarded: true, forwarded: false, x_real_ip: false },
            believed: AddressField::XForwardedFor,
            is_trusted: Arc::new(|_: IpAddr| false),
            has_headers: false,
            sends_header: Arc::new(|_: IpAddr| false),
        },
    }
}

impl Client {
    pub(crate) fn send(&self, octets: impl AsRef<[u8]>) {
        self.peer.send(octets.as_ref());
    }

    /// Everything that has come so far, since the last call of [`Client::text`].
    pub(crate) fn octets(&mut self) -> &[u8] {
        self.read.extend(self.peer.read(usize::MAX));
        &self.read
    }

    /// Everything that has come since the last call.
    pub(crate) fn text(&mut self) -> String {
        self.octets();
        String::from_utf8_lossy(&std::mem::take(&mut self.read)).into_owned()
    }

    /// The statuses of what has come, which is whole responses to requests other than HEAD.
    pub(crate) fn statuses(&mut self) -> Vec<u16> {
        self.octets();
        let octets = std::mem::take(&mut self.read);
        responses(&octets).unwrap_or_else(|| panic!("{}", octets.escape_ascii())).iter().map(|it| it.status).collect()
    }

    pub(crate) fn ending(&mut self) -> Option<Ending> {
        self.octets();
        self.peer.ending()
    }
}

impl Backend {
    pub(crate) fn send(&self, octets: impl AsRef<[u8]>) {
        self.peer.send(octets.as_ref());
    }

    pub(crate) fn octets(&mut self) -> &[u8] {
        self.unread.extend(self.peer.read(usize::MAX));
        &self.unread
    }

    /// The head of the next request, if it is there.
    pub(crate) fn try_request(&mut self) -> Option<String> {
        self.octets();
        let end = self.unread.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        Some(String::from_utf8(self.unread.drain(..end).collect()).unwrap())
    }

    pub(crate) fn request(&mut self) -> String {
        self.try_request().unwrap_or_else(|| panic!("no request in {}", self.unread.escape_ascii()))
    }
}

/// A response as a client reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// Reads whole responses; `None` if there is anything else. Interim ones are left out.
pub(crate) fn responses(octets: &[u8]) -> Option<Vec<Read>> {
    let (whole, rest) = read_responses(octets);
    rest.is_empty().then_some(whole)
}

/// The whole responses to requests other than HEAD that `octets` start with, and the rest.
pub(crate) fn read_responses(mut octets: &[u8]) -> (Vec<Read>, &[u8]) {
    let mut whole = Vec::new();
    while let Some((response, length)) = read_response(octets) {
        octets = &octets[length..];
        if response.status >= 200 {
            whole.push(response);
        }
    }
    (whole, octets)
}

fn read_response(octets: &[u8]) -> Option<(Read, usize)> {
    let end = octets.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8(octets[..end].to_vec()).ok()?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let rest = &octets[end..];
    let lower = head.to_ascii_lowercase();
    let (body, length) = if status < 200 || matches!(status, 204 | 304) {
        (Vec::new(), 0)
    } else if lower.contains("\r\ntransfer-encoding: chunked\r\n") {
        chunks(rest)?
    } else {
        let length = lower.split("\r\ncontent-length: ").nth(1)?.split('\r').next()?.parse().ok()?;
        (rest.get(..length)?.to_vec(), length)
    };
    Some((Read { status, head, body }, end + length))
}

/// A chunked body, and its length on the wire.
pub(crate) fn chunks(octets: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let line = octets[at..].windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&octets[at..at + line]).ok()?, 16).ok()?;
        at += line + 2;
        if size == 0 {
            let trailers = octets[at - 2..].windows(4).position(|window| window == b"\r\n\r\n")?;
            return Some((body, at - 2 + trailers + 4));
        }
        body.extend_from_slice(octets.get(at..at + size)?);
        at += size;
        at += octets.get(at..at + 2)?.len();
    }
}

/// A GET of HTTP/1.1. `fields` has a CRLF behind each.
pub(crate) fn get(target: &str, fields: &str) -> String {
    request("GET", target, fields)
}

pub(crate) fn request(method: &str, target: &str, fields: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: example.org\r\n{fields}\r\n")
}

/// A response with a length.
pub(crate) fn response(fields: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// A response that may be kept for a minute.
pub(crate) fn kept(body: &str) -> String {
    response("Cache-Control: max-age=60\r\n", body)
}

/// A response that is for one client.
pub(crate) fn private(body: &str) -> String {
    response("Cache-Control: private\r\n", body)
}
