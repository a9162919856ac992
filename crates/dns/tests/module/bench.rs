//! An engine with both modules, on a network in memory.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, UNIX_EPOCH};

use afpa_cache::{Cache, CacheConfig};
use afpa_dns::cache::{Details, Policy};
use afpa_dns::fetch::{self, Shared, WATCH};
use afpa_dns::message::NameBuf;
use afpa_dns::protect::{AccessList, ClientRateConfig, CookieSecrets, NetworkSet, ResponseRateConfig, Secret};
use afpa_dns::query_log::{Records, ring};
use afpa_dns::route::RouteConfig;
use afpa_dns::stats::BackendEvent;
use afpa_dns::upstream::{BackendConfig, FlightLimits, HealthConfig, PoolConfig};
use afpa_dns::zone::{self, Zone, Zones};
use afpa_dns::{Dns, DnsStats, Fetch, Global, Limits, Parts, Settings};
use afpa_engine::memory::{MemoryConfig, Network, Peer, network};
use afpa_engine::seam::Address;
use afpa_engine::stats::ModuleStats;
use afpa_engine::workers::Workers;
use afpa_engine::{Engine, EngineHandle, Open, Outcome, Owner, ProtocolModule, State, Time, TransportId};

use crate::messages::{Answer, Ask};
use crate::transport::{Switched, Switches};

/// The wall clock at the engine's time zero.
pub(crate) const START: u64 = 1_800_000_000;
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// What a test may want otherwise.
pub(crate) struct Setup {
    /// Names and master files.
    pub(crate) zones: Vec<(&'static str, String)>,
    /// Who may have any zone as a whole.
    pub(crate) transfers: &'static [&'static str],
    pub(crate) pools: Vec<PoolConfig>,
    pub(crate) routes: Vec<RouteConfig>,
    pub(crate) forwards: bool,
    pub(crate) policy: Policy,
    pub(crate) limits: Limits,
    pub(crate) flights: FlightLimits,
    pub(crate) network: MemoryConfig,
    pub(crate) proxies: &'static [&'static str],
    pub(crate) has_cookies: bool,
    pub(crate) response_rate: Option<ResponseRateConfig>,
    pub(crate) client_rate: Option<ClientRateConfig>,
    pub(crate) zone_access: AccessList,
    pub(crate) udp_size: u16,
    pub(crate) engines: usize,
    /// Whether backends are checked.
    pub(crate) is_watching: bool,
}

impl Default for Setup {
    /// One backend, and no zones.
    fn default() -> Setup {
        Setup {
            zones: Vec::new(),
            transfers: &[],
            pools: vec![pool(1)],
            routes: Vec::new(),
            forwards: true,
            policy: Policy::default(),
            limits: Limits::default(),
            flights: FlightLimits::default(),
            network: MemoryConfig::default(),
            proxies: &[],
            has_cookies: false,
            response_rate: None,
            client_rate: None,
            zone_access: AccessList::everybody(),
            udp_size: 1232,
            engines: 1,
            is_watching: false,
        }
    }
}

/// The default pool, of so many backends: 192.0.2.1 and so on.
pub(crate) fn pool(backends: u8) -> PoolConfig {
    pool_named("default", 1..=backends)
}

/// Backends answer within the order of their names: each question goes to the first that was not tried.
pub(crate) fn pool_named(name: &str, backends: std::ops::RangeInclusive<u8>) -> PoolConfig {
    let backends = backends.map(|number| BackendConfig::new(backend(number)));
    let health = HealthConfig { checks: false, failures: 100, timeouts: 100, ..HealthConfig::default() };
    PoolConfig { health, ..PoolConfig::new(name, backends.collect()) }
}

pub(crate) fn backend(number: u8) -> SocketAddr {
    ([192, 0, 2, number], 53).into()
}

/// A client on this machine.
pub(crate) fn local(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

/// The server under test. Runs only while a method of it runs.
pub(crate) struct Server {
    pub(crate) cache: Arc<Cache<Details>>,
    pub(crate) module: Arc<ModuleStats>,
    pub(crate) fetch: Arc<ModuleStats>,
    pub(crate) stats: Arc<DnsStats>,
    pub(crate) handle: EngineHandle,
    pub(crate) network: Network,
    pub(crate) owner: Owner,
    pub(crate) workers: Arc<Workers>,
    pub(crate) switches: Rc<Switches>,
    pub(crate) records: Records,
    engine: Engine,
    now: Rc<Cell<u64>>,
}

/// A question that a backend got.
pub(crate) struct Asked {
    pub(crate) to: SocketAddr,
    pub(crate) ask: Ask,
    pub(crate) octets: Vec<u8>,
    pub(crate) peer: Peer,
    pub(crate) is_over_tcp: bool,
}

impl Server {
    pub(crate) fn new(setup: Setup) -> Server {
        let settings = Arc::new(settings(&setup, cache(setup.engines)));
        let cache = settings.cache.clone();
        // One worker: a job of the test's own that is done tells that all before it are.
        let workers = Workers::start(1, 1024).unwrap();
        let now = Rc::new(Cell::new(0));
        let clock = now.clone();
        let mut engine = Engine::new(workers.clone(), move || Time(clock.get())).unwrap();
        let handle = engine.handle();
        let waker = handle.waker();
        let view = cache.view(Arc::new(move || waker.wake()));
        let backends = setup.pools.iter().map(|pool| pool.backends.len()).sum();
        let (pools, engines) = (setup.pools, setup.engines);
        let shared = Shared::new(view, setup.policy, pools, &setup.routes, "default", setup.flights, engines).unwrap();
        let shared = Rc::new(RefCell::new(shared));
        let stats = Arc::new(DnsStats::new(backends));
        let (fetcher, fetch) = engine.install::<Fetch>(fetch::Global::new(shared.clone(), stats.clone()));
        let (recorder, records) = ring(1 << 16);
        let (log, hash_key) = (Some(recorder), [7; 16]);
        let parts = Parts { settings, shared, fetcher, stats: stats.clone(), log, engines: 1, hash_key, answers: None };
        let wall = now.clone();
        let wall = move || UNIX_EPOCH + Duration::from_secs(START) + Duration::from_nanos(wall.get());
        let (owner, module) = engine.install::<Dns>(Global::new(parts, wall));
        let (transport, network) = network(TransportId(0), setup.network);
        let switches = Rc::<Switches>::default();
        engine.add_transport(Box::new(Switched::new(transport, switches.clone()))).unwrap();
        if setup.is_watching {
            engine.open(Open::Work, fetcher, WATCH);
        }
        Server { cache, module, fetch, stats, handle, network, owner, workers, switches, records, engine, now }
    }

    /// One backend, and everything else as by default.
    pub(crate) fn forwarder() -> Server {
        Server::new(Setup::default())
    }

    /// Sends a query in a datagram from `127.0.0.1`, without waiting for an answer.
    pub(crate) fn send(&mut self, port: u16, ask: &Ask) {
        self.send_octets(local(port), &ask.octets());
    }

    pub(crate) fn send_octets(&mut self, from: SocketAddr, octets: &[u8]) {
        self.network.send_datagram(self.owner, from, octets);
        self.settle();
    }

    /// Sends a query, and returns what comes back.
    pub(crate) fn ask(&mut self, ask: &Ask) -> Answer {
        self.ask_from(local(4000), ask)
    }

    pub(crate) fn ask_from(&mut self, from: SocketAddr, ask: &Ask) -> Answer {
        self.send_octets(from, &ask.octets());
        let [(to, answer)] = self.answers().try_into().unwrap_or_else(|all| panic!("{ask:?}: {all:?}"));
        assert_eq!(to, from);
        answer
    }

    /// The answers that have left in datagrams since the last call, and to whom.
    pub(crate) fn answers(&mut self) -> Vec<(SocketAddr, Answer)> {
        let answers = std::iter::from_fn(|| self.network.receive_datagram());
        answers.map(|(to, octets)| (to, Answer::read(&octets))).collect()
    }

    /// The single answer that has left in a datagram since the last call.
    pub(crate) fn answer(&mut self) -> Answer {
        let [(_, answer)] = self.answers().try_into().unwrap_or_else(|all| panic!("{all:?}"));
        answer
    }

    /// The questions that backends got since the last call.
    pub(crate) fn asked(&mut self) -> Vec<Asked> {
        let mut asked = Vec::new();
        while let Some((peer, to)) = self.network.converse() {
            // None if a reload has taken the backend away.
            let Some(octets) = peer.receive_datagram() else { continue };
            assert_eq!(peer.receive_datagram(), None, "one question in each conversation");
            asked.push(Asked { to, ask: Ask::read(&octets), octets, peer, is_over_tcp: false });
        }
        while let Some((peer, to)) = self.network.accept() {
            let Address::Inet(to) = to else { panic!("{to:?}") };
            let frame = peer.read(usize::MAX);
            let Some((length, octets)) = frame.split_first_chunk::<2>() else { continue };
            assert_eq!(usize::from(u16::from_be_bytes(*length)), octets.len());
            asked.push(Asked { to, ask: Ask::read(octets), octets: octets.to_vec(), peer, is_over_tcp: true });
        }
        asked
    }

    /// The single question that a backend got since the last call.
    pub(crate) fn question(&mut self) -> Asked {
        let [asked] = self.asked().try_into().unwrap_or_else(|all: Vec<_>| panic!("{} questions", all.len()));
        asked
    }

    /// Opens a stream.
    pub(crate) fn connect(&mut self) -> Stream {
        let stream = self.open();
        self.settle();
        stream
    }

    /// Begins to open a stream.
    pub(crate) fn open(&self) -> Stream {
        Stream { peer: self.network.connect(self.owner), unread: Vec::new() }
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

    /// One pass of the engine's loop. Returns whether there shall be another.
    pub(crate) fn pass(&mut self) -> bool {
        self.engine.pass(false).unwrap()
    }

    /// Moves the clock, in steps that no timer is lost in, and settles.
    pub(crate) fn advance(&mut self, by: Duration) {
        let end = self.now.get() + by.as_nanos() as u64;
        while self.now.get() < end {
            self.now.set(end.min(self.now.get() + 250_000_000));
            self.settle();
        }
    }

    /// Moves the clock at once, to seconds behind the start.
    pub(crate) fn at(&mut self, seconds: u64) {
        assert!(seconds * 1_000_000_000 >= self.now.get());
        self.now.set(seconds * 1_000_000_000);
        self.settle();
    }

    pub(crate) fn time(&self) -> Time {
        Time(self.now.get())
    }

    /// Replaces what an operator decides, before the next event.
    pub(crate) fn reload(&mut self, setup: Setup) {
        let settings = Arc::new(settings(&setup, self.cache.clone()));
        let Setup { policy, pools, routes, .. } = setup;
        let owner = self.owner;
        self.handle.command(move |control| {
            let global = control.global::<Dns>(owner).expect("the module");
            global.reload(settings, policy, pools, &routes, "default").unwrap();
        });
    }

    /// How often `outcome` followed from `state`, towards clients.
    pub(crate) fn count(&self, state: State, outcome: Outcome) -> u64 {
        self.module.transition(state.index, outcome.index).get()
    }

    /// How often something happened with the backend of this number, from zero.
    pub(crate) fn event(&self, backend: usize, event: BackendEvent) -> u64 {
        let found = self.stats.backends().find(|&(number, of, _)| (number, of) == (backend, event));
        found.map_or(0, |(.., count)| count)
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
    fn progress(&self) -> u64 {
        let rows = Dns::TABLE.rows().iter().map(|row| self.count(row.state, row.outcome));
        let of_fetch = |row: &afpa_engine::table::Row| self.fetch.transition(row.state.index, row.outcome.index).get();
        let stats = self.handle.stats();
        let others = stats.received_octets.get() + stats.sent_octets.get() + stats.connected.get();
        rows.sum::<u64>() + Fetch::TABLE.rows().iter().map(of_fetch).sum::<u64>() + others
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

/// A client's end of a stream.
pub(crate) struct Stream {
    pub(crate) peer: Peer,
    unread: Vec<u8>,
}

impl Stream {
    /// Sends questions, each behind its length, at once.
    pub(crate) fn send(&self, asks: &[Ask]) {
        let frames: Vec<u8> = asks.iter().flat_map(|ask| frame(&ask.octets())).collect();
        self.peer.send(&frames);
    }

    /// The whole messages that have arrived since the last call.
    pub(crate) fn answers(&mut self) -> Vec<Answer> {
        self.messages().iter().map(|octets| Answer::read(octets)).collect()
    }

    pub(crate) fn messages(&mut self) -> Vec<Vec<u8>> {
        self.unread.extend(self.peer.read(usize::MAX));
        let mut messages = Vec::new();
        while let Some((length, rest)) = self.unread.split_first_chunk::<2>() {
            let Some(message) = rest.get(..usize::from(u16::from_be_bytes(*length))) else { break };
            messages.push(message.to_vec());
            self.unread.drain(..2 + messages[messages.len() - 1].len());
        }
        messages
    }

    /// The IDs of the answers that have arrived since the last call.
    pub(crate) fn ids(&mut self) -> Vec<u16> {
        self.answers().iter().map(|answer| answer.header.id).collect()
    }
}

pub(crate) fn frame(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes()[..], message].concat()
}

impl Asked {
    /// Sends a message to who asked.
    pub(crate) fn answer(&self, octets: &[u8]) {
        match self.is_over_tcp {
            true => self.peer.send(&frame(octets)),
            false => self.peer.send_datagram(octets),
        }
    }
}

pub(crate) fn networks(texts: &[&str]) -> NetworkSet {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

pub(crate) fn name(text: &str) -> NameBuf {
    text.parse().unwrap()
}

fn cache(engines: usize) -> Arc<Cache<Details>> {
    Cache::new(CacheConfig { capacity: 16 << 20, max_pinned_object: 1 << 16, engines, frames: 0 }).unwrap()
}

fn settings(setup: &Setup, cache: Arc<Cache<Details>>) -> Settings {
    let zone = |(apex, text): &(&str, String)| {
        let apex = name(apex);
        Zone::parse(apex.as_name(), Path::new("zone"), text.as_bytes(), zone::Limits::default()).unwrap()
    };
    let transfers = |(apex, _): &(&str, String)| (name(apex), networks(setup.transfers));
    Settings {
        zones: Arc::new(Zones::new(setup.zones.iter().map(zone).map(Arc::new))),
        transfers: setup.zones.iter().map(transfers).collect::<HashMap<_, _>>(),
        cache,
        forwards: setup.forwards,
        forward_access: AccessList::local(),
        zone_access: setup.zone_access.clone(),
        proxies: networks(setup.proxies),
        udp_size: setup.udp_size,
        nsid: None,
        cookies: setup.has_cookies.then(|| CookieSecrets::new(Secret([9; 16]), None)),
        response_rate: setup.response_rate.clone(),
        client_rate: setup.client_rate.clone(),
        limits: setup.limits,
    }
}
