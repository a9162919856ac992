//! The DNS module: its three kinds of data (AFPA §3.2).

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use afpa_cache::Cache;
use afpa_engine::seam::{Address, Origin};
use afpa_engine::{ConnectionId, ControlTable, Desk, Notice, Owner, ProtocolModule, Time};
use afpa_platform::steering::Answers;

use crate::cache::{Details, Image, Policy};
use crate::driver::{self, Audience, Publication, Publisher, PublisherConfig};
use crate::fetch::{PoolsOrRoutes, Shared};
use crate::message::{ExtendedError, Header, NameBuf, Query, Rcode};
use crate::protect::{
    AccessList, COOKIE_LEN, ClientRate, ClientRateConfig, CookieSecrets, NetworkSet, ResponseRate, ResponseRateConfig,
};
use crate::query_log::{Outcome, Recorder};
use crate::route::RouteConfig;
use crate::stats::DnsStats;
use crate::table::TABLE;
use crate::upstream::{PoolConfig, PoolId, Ticket};
use crate::zone::{TransferPosition, Zone, Zones};

/// DNS towards clients: datagrams, streams, and the requests detached from them.
pub struct Dns;

/// What an operator decides. Shared by the engines, and replaced as a whole at a reload.
pub struct Settings {
    /// What is answered with authority.
    pub zones: Arc<Zones>,
    /// Who may have which zone as a whole.
    pub transfers: HashMap<NameBuf, NetworkSet>,
    /// Where answers of backends are kept.
    pub cache: Arc<Cache<Details>>,
    /// Whether there are backends.
    pub forwards: bool,
    /// Who may ask for what backends know.
    pub forward_access: AccessList,
    /// Who may ask for what zones hold.
    pub zone_access: AccessList,
    /// Those who send a PROXY protocol header in front.
    pub proxies: NetworkSet,
    /// The largest UDP payload that is sent or announced, in octets.
    pub udp_size: u16,
    /// Who this server is (RFC 5001), for those who ask.
    pub nsid: Option<Vec<u8>>,
    /// What makes server cookies.
    pub cookies: Option<CookieSecrets>,
    /// Bounds on responses to one network.
    pub response_rate: Option<ResponseRateConfig>,
    /// Bounds on questions of one client.
    pub client_rate: Option<ClientRateConfig>,
    /// Bounds on streams and waits.
    pub limits: Limits,
}

/// What a client may cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Unanswered questions on one stream; beyond it no more are read.
    pub pipelined: u32,
    /// Between the last answer and the next question's first octet.
    pub idle_timeout: Duration,
    /// From a question's first octet to its last, on a stream.
    pub query_timeout: Duration,
    /// How long a client waits for backends.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        let seconds = Duration::from_secs;
        Limits { pipelined: 64, idle_timeout: seconds(10), query_timeout: seconds(5), patience: seconds(5) }
    }
}

/// Global data: one per engine.
pub struct Global {
    pub(crate) settings: Arc<Settings>,
    /// What both modules know.
    pub(crate) shared: Rc<RefCell<Shared>>,
    /// Who talks to backends.
    pub(crate) fetcher: Owner,
    pub(crate) stats: Arc<DnsStats>,
    pub(crate) log: Option<Recorder>,
    pub(crate) response_rate: Option<ResponseRate>,
    pub(crate) client_rate: Option<ClientRate>,
    pub(crate) wall: Wall,
    /// What the driver is left answers by.
    pub(crate) driver: Option<Driver>,
    engines: usize,
    /// Under which addresses are hashed: nobody can choose whom they collide with.
    hash_key: [u8; 16],
    /// Kept between requests, so that none of them allocates: the key that is looked up, the response that is sent,
    /// and its options.
    pub(crate) key: Vec<u8>,
    pub(crate) reply: Vec<u8>,
    pub(crate) options: Vec<u8>,
}

/// The wall clock, read once per second.
pub(crate) struct Wall {
    read: Box<dyn Fn() -> SystemTime>,
    read_at: Time,
    /// Microseconds since 1970 at `read_at`.
    micros: u64,
}

impl Wall {
    fn new(read: impl Fn() -> SystemTime + 'static) -> Wall {
        Wall { read: Box::new(read), read_at: Time::NEVER, micros: 0 }
    }

    fn refresh(&mut self, now: Time) {
        if self.read_at == Time::NEVER || now.since(self.read_at) >= Duration::from_secs(1) {
            let since_1970 = (self.read)().duration_since(UNIX_EPOCH).unwrap_or_default();
            (self.read_at, self.micros) = (now, since_1970.as_micros() as u64);
        }
    }

    /// Microseconds since 1970.
    pub(crate) fn micros(&self, now: Time) -> u64 {
        self.micros + now.since(self.read_at).as_micros() as u64
    }

    /// Seconds since 1970.
    pub(crate) fn seconds(&self) -> u64 {
        self.micros / 1_000_000
    }
}

/// How a request came, and how its answer leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Carrier {
    Datagram,
    Stream,
}

/// Connection data: of a stream, or of an exchange.
pub struct Connection {
    pub(crate) carrier: Carrier,
    /// Who asks; known when the first request is read.
    pub(crate) client: Option<SocketAddr>,
    /// The stream that an exchange was detached from.
    pub(crate) parent: Option<Notice>,
    /// Of a stream, its unanswered questions; of an exchange from one, one of them.
    pub(crate) pending: Pending,
    /// The deadline that is armed is a question's, which does not move.
    pub(crate) reading: bool,
    /// The header of the PROXY protocol has been read.
    pub(crate) proxied: bool,
    /// The peer takes no more answers for now, so that no more questions are read.
    pub(crate) stalled: bool,
}

/// The count of unanswered questions of a stream, of which an exchange holds one.
#[derive(Default)]
pub(crate) struct Pending {
    count: Option<Rc<Cell<u32>>>,
    holds: bool,
}

impl Pending {
    /// How many there are.
    pub(crate) fn count(&self) -> u32 {
        self.count.as_ref().map_or(0, |count| count.get())
    }

    /// One more, for as long as what is returned lives.
    pub(crate) fn another(&mut self) -> Pending {
        let count = self.count.get_or_insert_default().clone();
        count.set(count.get() + 1);
        Pending { count: Some(count), holds: true }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(count) = self.count.as_ref().filter(|_| self.holds) {
            count.set(count.get() - 1);
        }
    }
}

/// Request data.
#[derive(Default)]
pub struct Request {
    /// The query, copied when it outlives the event that brought it; empty before.
    pub(crate) kept: Vec<u8>,
    /// Where the query starts in the input: behind its length, or a PROXY protocol header.
    pub(crate) start: usize,
    /// Where it ends.
    pub(crate) end: usize,
    pub(crate) started: Time,
    /// Of a message that is no query, all that is answered.
    pub(crate) malformed: Option<Header>,
    pub(crate) rcode: Rcode,
    /// As [`Answered`](crate::zone::Answered) has it.
    pub(crate) wildcard_parent: Option<u8>,
    pub(crate) error: Option<ExtendedError>,
    /// What the answer's COOKIE option says.
    pub(crate) cookie: Option<[u8; COOKIE_LEN]>,
    /// Whether the address is the client's own, as a valid cookie shows.
    pub(crate) proven: bool,
    /// The pool that answers.
    pub(crate) pool: Option<PoolId>,
    /// Who is waited for, and under which name.
    pub(crate) ticket: Option<(Ticket, Notice)>,
    pub(crate) outcome: Option<Outcome>,
    /// The number of the backend that answered.
    pub(crate) backend: Option<u16>,
    /// Octets sent.
    pub(crate) sent: usize,
    /// How far a transfer has come.
    pub(crate) transfer: Option<Progress>,
}

/// What an engine's data are made of.
pub struct Parts {
    /// What the operator decides.
    pub settings: Arc<Settings>,
    /// What both modules know.
    pub shared: Rc<RefCell<Shared>>,
    /// Who talks to backends: the module [`Fetch`](crate::Fetch).
    pub fetcher: Owner,
    /// What is counted.
    pub stats: Arc<DnsStats>,
    /// The query log, unless it is off.
    pub log: Option<Recorder>,
    /// How many engines share the rates.
    pub engines: usize,
    /// Random and secret.
    pub hash_key: [u8; 16],
    /// What the driver may be left answers by, if it can.
    pub answers: Option<Answers>,
}

/// Answers that are asked for often are left to the program in the driver.
pub(crate) struct Driver {
    answers: Answers,
    publisher: Publisher,
    /// As of the start of the pass: what is withdrawn within it is not left again.
    generation: u64,
}

impl Driver {
    /// Leaves what a publisher chose, if it chose anything. What the kernel does not take, engines go on to answer.
    fn publish(&mut self, choose: impl FnOnce(&mut Publisher) -> Option<Publication<'_>>) {
        if let Some(Publication { subject, answer }) = choose(&mut self.publisher) {
            let _ = self.answers.publish(&subject, &answer, self.generation);
        }
    }

    /// A query that came in a datagram was answered with `image`.
    pub(crate) fn cached(&mut self, query: &Query<'_>, image: &Image<'_>, now: Time) {
        self.publish(|publisher| publisher.cached(query, image, now));
    }

    /// A query that came in a datagram was answered from `zone`.
    pub(crate) fn of_zone(&mut self, query: &Query<'_>, zone: &Zone, now: Time) {
        self.publish(|publisher| publisher.of_zone(query, zone, now));
    }
}

/// How far a transfer has come.
pub(crate) struct Progress {
    pub(crate) zone: Arc<Zone>,
    /// Where the next record is.
    pub(crate) position: TransferPosition,
    pub(crate) is_first: bool,
}

impl Global {
    /// One engine's data. `wall` is the wall clock.
    pub fn new(parts: Parts, wall: impl Fn() -> SystemTime + 'static) -> Global {
        let Parts { settings, shared, fetcher, stats, log, engines, hash_key, answers } = parts;
        let mut global = Global {
            settings: settings.clone(),
            shared,
            fetcher,
            stats,
            log,
            response_rate: None,
            client_rate: None,
            wall: Wall::new(wall),
            driver: answers.map(|answers| driver_of(answers, &settings, hash_key)),
            engines,
            hash_key,
            key: Vec::new(),
            reply: Vec::new(),
            options: Vec::new(),
        };
        global.set(settings);
        global
    }

    /// Replaces what the operator decides. What was counted of clients starts anew; the cache stays, and what is known
    /// of backends that stay.
    ///
    /// # Errors
    /// Pools and routes do not fit together: those stay, and only those.
    pub fn reload(
        &mut self,
        settings: Arc<Settings>,
        policy: Policy,
        pools: Vec<PoolConfig>,
        routes: &[RouteConfig],
        fallback: &str,
    ) -> Result<(), PoolsOrRoutes> {
        self.set(settings);
        self.shared.borrow_mut().reload(policy, pools, routes, fallback)
    }

    /// Under which number each backend is counted and logged, in the order of the pools; that order by default.
    pub fn number_backends(&mut self, numbers: Vec<usize>) {
        self.shared.borrow_mut().numbers = numbers;
    }

    fn set(&mut self, settings: Arc<Settings>) {
        let (engines, key) = (self.engines, self.hash_key);
        self.response_rate = settings.response_rate.as_ref().map(|config| ResponseRate::new(config, engines, key));
        self.client_rate = settings.client_rate.as_ref().map(|config| ClientRate::new(config, engines, key));
        if let Some(Driver { answers, .. }) = self.driver.take() {
            // What the driver has was made under the settings that were.
            answers.withdraw_all();
            self.driver = Some(driver_of(answers, &settings, key));
        }
        self.settings = settings;
    }
}

impl ProtocolModule for Dns {
    const NAME: &'static str = "dns";
    const TABLE: &'static ControlTable<Self> = &TABLE;
    const EXCHANGES: bool = true;
    /// Who has not taken its answers is waited for.
    const WANTS_SENT: bool = true;

    type Global = Global;
    type Connection = Connection;
    type Request = Request;

    fn connected(_global: &mut Global, _id: ConnectionId, origin: Origin, _now: Time) -> Connection {
        let (carrier, client) = match origin {
            Origin::Datagram(_, peer) => (Carrier::Datagram, Some(peer)),
            Origin::Accepted(_) | Origin::Connected | Origin::Opened(_) => (Carrier::Stream, None),
        };
        let pending = Pending::default();
        Connection { carrier, client, parent: None, pending, reading: false, proxied: false, stalled: false }
    }

    fn disconnected(global: &mut Global, _desk: &mut Desk<'_>, _connection: &mut Connection, request: &mut Request) {
        if let Some((ticket, notice)) = request.ticket.take() {
            global.shared.borrow_mut().leave(ticket, notice);
        }
    }

    fn pass(global: &mut Global, now: Time) {
        global.wall.refresh(now);
        if let Some(driver) = &mut global.driver {
            driver.generation = driver.answers.generation();
        }
        let mut shared = global.shared.borrow_mut();
        shared.refresh();
        global.stats.waiting.set(shared.flights.waiting() as u64);
    }
}

/// Answers are left once they were asked for often.
const HOT: u16 = 3;
/// So many are left in a second: each costs a system call.
const LEFT_PER_SECOND: u32 = 4000;

fn driver_of(answers: Answers, settings: &Settings, key: [u8; 16]) -> Driver {
    let Audience { forwarded, zones, .. } = Audience::of(settings);
    let config = PublisherConfig {
        after: HOT,
        per_second: LEFT_PER_SECOND,
        budget: driver::budget(settings.response_rate.as_ref()),
        udp_size: settings.udp_size,
        groups: (forwarded, zones),
    };
    let generation = answers.generation();
    Driver { answers, publisher: Publisher::new(config, key), generation }
}

/// Of whom is asked for an address that has none, such as a Unix socket's: this machine.
pub(crate) fn socket_address(peer: Option<Address>) -> SocketAddr {
    match peer {
        Some(Address::Inet(address)) => address,
        Some(Address::Unix(_)) | None => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
    }
}
