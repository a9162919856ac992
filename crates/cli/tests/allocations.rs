//! A hit allocates nothing: the HTTP module on an engine over the kernel's sockets, on both interfaces.

use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use afpa_cache::{Cache, CacheConfig};
use afpa_classes::{ClassConfig, ClientLimits, Limit};
use afpa_engine::seam::{Address, Listen};
use afpa_engine::workers::Workers;
use afpa_engine::{Engine, Time};
use afpa_http::access_log::{self, CacheOutcome, Recorder, Records};
use afpa_http::fetch::Shared;
use afpa_http::files::{Site, SiteOptions};
use afpa_http::quality::{ClassPlan, QualityPlan, Rule};
use afpa_http::remote::{Forwarding, Relay, RelayShared};
use afpa_http::syntax::client_address::AddressField;
use afpa_http::syntax::forward::Provenance;
use afpa_http::syntax::{Limits, ResponseLimits};
use afpa_http::{Global, Http, HttpStats, Kept, Settings};
use afpa_platform::clock;
use afpa_platform::testing::CountingAllocator;
use afpa_routing::{self as routing, HostPattern, PathCondition, Route, Router, Target};
use afpa_sockets::{Interface, Sockets, SocketsConfig};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// How often each exchange is made before allocations are counted, and while they are.
const WARM_UP: usize = 50;
const COUNTED: usize = 1000;

/// The sizes of the documents: one that leaves together with its head, one of several fragments.
const SMALL: usize = 1024;
const LARGE: usize = 150_000;

const BROWSER: &str = "Host: www.example.org\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0)\r\n\
    Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en\r\n\
    Accept-Encoding: identity\r\nConnection: keep-alive\r\nReferer: http://www.example.org/\r\n\r\n";

#[test]
fn a_hit_through_io_uring_allocates_nothing() {
    // Where the kernel does not allow io_uring there is nothing to count.
    if let Ok(sockets) = Sockets::new(config(Interface::Uring)) {
        drop(sockets);
        hits_allocate_nothing(Interface::Uring, false, false);
    }
}

#[test]
fn a_hit_through_epoll_allocates_nothing() {
    hits_allocate_nothing(Interface::Epoll, false, false);
}

#[test]
fn a_logged_hit_allocates_nothing() {
    hits_allocate_nothing(Interface::Auto, true, false);
}

#[test]
fn a_hit_of_a_class_allocates_nothing() {
    hits_allocate_nothing(Interface::Auto, false, true);
}

fn hits_allocate_nothing(interface: Interface, logged: bool, classed: bool) {
    let mut server = Server::start(interface, logged, classed);
    let mut stream = TcpStream::connect(server.address).expect("a connection");
    stream.set_nonblocking(true).expect("a socket");
    let first = server.exchange(&mut stream, &Exchange::new("GET", "/small", ""));
    let condition = format!("If-None-Match: {}\r\n", field(&first, "ETag"));
    for exchange in [
        Exchange::new("GET", "/small", ""),
        Exchange { pipelined: 16, ..Exchange::new("GET", "/small", "") },
        Exchange::new("GET", "/large", ""),
        Exchange { payload: 0, ..Exchange::new("HEAD", "/small", "") },
        Exchange { status: 304, payload: 0, ..Exchange::new("GET", "/small", &condition) },
        Exchange::new("GET", "/%73mall?query", ""),
    ] {
        server.repeat(&mut stream, &exchange);
    }
}

/// Requests that are sent at once, and the answer that each must get.
struct Exchange {
    request: String,
    pipelined: usize,
    status: u16,
    payload: usize,
}

impl Exchange {
    fn new(method: &str, target: &str, fields: &str) -> Exchange {
        let request = format!("{method} {target} HTTP/1.1\r\n{fields}{BROWSER}");
        let payload = if target == "/large" { LARGE } else { SMALL };
        Exchange { request, pipelined: 1, status: 200, payload }
    }
}

/// A server, and what its log is told. It runs when it is told to, on the thread that asks.
struct Server {
    engine: Engine,
    address: SocketAddr,
    records: Option<Records>,
    _root: tempfile::TempDir,
}

impl Server {
    fn start(interface: Interface, logged: bool, classed: bool) -> Server {
        let (recorder, records) = logged.then(|| access_log::ring(4 << 20)).unzip();
        let root = documents();
        let mut engine =
            Engine::new(Workers::start(1, 16).expect("a worker"), || Time(clock::now())).expect("an engine");
        let (mut global, cache) = global(&root, &engine, recorder);
        if classed {
            let relay = Arc::new(relay(cache));
            let shared = Shared::new(0, engine.handle(), &relay.pools, Time(clock::now()));
            global.relay_through(relay, Rc::new(RefCell::new(shared)), Rc::new(Cell::new(0)));
        }
        let (owner, _) = engine.install::<Http>(global);
        let mut sockets = Sockets::new(config(interface)).expect("a transport");
        let any_port = Listen::Stream(Address::Inet("127.0.0.1:0".parse().expect("an address")));
        let listener = sockets.listen(any_port, owner).expect("a free port");
        let Ok(Address::Inet(address)) = sockets.local_address(listener) else { panic!("no local address") };
        engine.add_transport(Box::new(sockets)).expect("an engine that can be woken");
        Server { engine, address, records, _root: root }
    }

    /// Makes the exchange until nothing about it is new, then counts.
    fn repeat(&mut self, stream: &mut TcpStream, exchange: &Exchange) {
        let requests = exchange.request.repeat(exchange.pipelined);
        let answer = self.exchange(stream, exchange);
        let octets = answer.len() * exchange.pipelined;
        (0..WARM_UP).for_each(|_| self.send_and_read(stream, requests.as_bytes(), octets));
        self.take_records();
        let before = CountingAllocator::allocations();
        (0..COUNTED).for_each(|_| self.send_and_read(stream, requests.as_bytes(), octets));
        let allocations = CountingAllocator::allocations() - before;
        assert_eq!(allocations, 0, "{} times {COUNTED} of {}", exchange.pipelined, exchange.request);
        let records = self.take_records();
        if self.records.is_some() {
            let outcome = if exchange.status == 304 { CacheOutcome::Revalidated } else { CacheOutcome::Hit };
            assert_eq!(records, vec![(exchange.status, outcome); COUNTED * exchange.pipelined]);
        }
    }

    /// One request and its answer, which must be the expected one.
    fn exchange(&mut self, stream: &mut TcpStream, exchange: &Exchange) -> Vec<u8> {
        stream.write_all(exchange.request.as_bytes()).expect("a connection");
        let (mut answer, mut octets) = (Vec::new(), [0; 16 * 1024]);
        while head_length(&answer).is_none_or(|head| answer.len() < head + exchange.payload) {
            let count = self.pass_and_read(stream, &mut octets);
            answer.extend_from_slice(&octets[..count]);
        }
        let start = format!("HTTP/1.1 {} ", exchange.status);
        assert!(answer.starts_with(start.as_bytes()), "{}", String::from_utf8_lossy(&answer));
        assert_eq!(answer.len(), head_length(&answer).unwrap_or(0) + exchange.payload);
        answer
    }

    /// Requests and answers of as many octets in all. Nothing on the client's side allocates.
    fn send_and_read(&mut self, stream: &mut TcpStream, requests: &[u8], mut missing: usize) {
        stream.write_all(requests).expect("a connection");
        let mut octets = [0; 16 * 1024];
        while missing > 0 {
            missing = missing.checked_sub(self.pass_and_read(stream, &mut octets)).expect("no octet too many");
        }
    }

    fn pass_and_read(&mut self, stream: &mut TcpStream, octets: &mut [u8]) -> usize {
        assert!(self.engine.pass(false).expect("a working interface"));
        match stream.read(octets) {
            Ok(0) => panic!("the server closed the connection"),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => panic!("{error}"),
        }
    }

    fn take_records(&mut self) -> Vec<(u16, CacheOutcome)> {
        let mut taken = Vec::new();
        if let Some(records) = &mut self.records {
            while let Some(entry) = records.take() {
                taken.push((entry.status, entry.outcome));
            }
            assert_eq!(records.dropped(), 0);
        }
        taken
    }
}

fn config(interface: Interface) -> SocketsConfig {
    SocketsConfig { interface, max_connections: 64, ..SocketsConfig::default() }
}

/// Documents that were last changed a minute ago: newer ones are not kept for long.
fn documents() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a directory");
    for (name, length) in [("small", SMALL), ("large", LARGE)] {
        let path = root.path().join(name);
        fs::write(&path, vec![b'x'; length]).expect("a document");
        let then = SystemTime::now() - Duration::from_secs(60);
        File::open(&path).and_then(|file| file.set_modified(then)).expect("a time");
    }
    root
}

fn global(root: &tempfile::TempDir, engine: &Engine, recorder: Option<Recorder>) -> (Global, Arc<Cache<Kept>>) {
    let site = Site::open(root.path(), SiteOptions::default()).expect("a site");
    let config = CacheConfig { capacity: 16 << 20, max_pinned_object: 1 << 20, engines: 1, frames: 0 };
    let settings = Settings {
        sites: vec![Arc::new(site)],
        cache: Cache::new(config).expect("a cache"),
        limits: Limits::default(),
        header_timeout: Duration::from_secs(30),
        idle_timeout: Duration::from_secs(30),
        min_rate: 1000,
        body_drain: 1 << 16,
    };
    let waker = engine.handle().waker();
    let view = settings.cache.view(Arc::new(move || waker.wake()));
    let cache = settings.cache.clone();
    (Global::new(Arc::new(settings), view, Arc::new(HttpStats::default()), recorder, SystemTime::now), cache)
}

/// One route to the files, and a class with every limit, none of which is reached.
fn relay(cache: Arc<Cache<Kept>>) -> Relay {
    let routes = vec![Route::new(PathCondition::Any, Target::Files(0))];
    let rule = Rule { clients: vec!["127.0.0.0/8".parse().expect("a network")], ..Rule::default() };
    let limit = Limit::per_second(1 << 50, 1 << 50);
    let config =
        ClassConfig { name: "local".into(), rate: limit, bandwidth: limit, concurrency: Some(1), ..Default::default() };
    let class = ClassPlan { config, rule, stats: Vec::new() };
    let mut quality = QualityPlan::new(vec![class], 1, None).expect("classes");
    quality.clients = ClientLimits { rate: Limit::per_second(1 << 40, 1 << 20), ..ClientLimits::default() };
    quality.connections = ClientLimits { in_flight: Some(10), ..ClientLimits::default() };
    Relay {
        name: "afpa".into(),
        router: Router::new(vec![routing::Site { name: "site".into(), hosts: vec![HostPattern::Any], routes }])
            .expect("routes"),
        policies: Vec::new(),
        pools: Vec::new(),
        times: Vec::new(),
        hash_on: Vec::new(),
        proxy_protocol: Vec::new(),
        deferred: Vec::new(),
        cache,
        shared: RelayShared::default(),
        limits: ResponseLimits::default(),
        most_held: 0,
        quality: Some(quality),
        forwarding: Forwarding {
            provenance: Provenance { x_forwarded: false, forwarded: false, x_real_ip: false },
            believed: AddressField::XForwardedFor,
            is_trusted: Arc::new(|_| false),
            has_headers: false,
            sends_header: Arc::new(|_| false),
        },
    }
}

fn head_length(answer: &[u8]) -> Option<usize> {
    Some(answer.windows(4).position(|octets| octets == b"\r\n\r\n")? + 4)
}

fn field(answer: &[u8], name: &str) -> String {
    let text = String::from_utf8_lossy(answer);
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("the field");
    line.trim_start_matches(':').trim().to_owned()
}
