//! The HTTP module: its three kinds of data (AFPA §3.2).

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use afpa_cache::{Cache, View};
use afpa_engine::seam::Origin;
use afpa_engine::{ConnectionId, ControlTable, ProtocolModule, Time};

use crate::access_log::{CacheOutcome, Recorder};
use crate::clock::Clock;
use crate::files::Site;
use crate::kept::Kept;
use crate::stats::HttpStats;
use crate::syntax::{ChunkedDecoder, Limits, RequestParser};
use crate::table::TABLE;

/// The HTTP/1.0 and HTTP/1.1 module, serving files.
pub struct Http;

/// What an operator decides. Shared by the engines, and replaced as a whole at a reload.
pub struct Settings {
    /// The sites of files, by their numbers.
    pub sites: Vec<Arc<Site>>,
    /// Where what was served is kept.
    pub cache: Arc<Cache<Kept>>,
    /// Bounds on a request's head.
    pub limits: Limits,
    /// From a request's first octet (or a connection's start) to the end of its head: 408 after it.
    pub header_timeout: Duration,
    /// Between the end of a response and the next request's first octet: the connection closes after it.
    pub idle_timeout: Duration,
    /// Octets per second below which a transfer is cut off; zero for none.
    pub min_rate: u64,
    /// The longest request body that is read and dropped to keep a connection.
    pub body_drain: u64,
}

/// Global data: one per engine.
pub struct Global {
    pub(crate) settings: Arc<Settings>,
    pub(crate) view: View<Kept>,
    pub(crate) clock: Clock,
    pub(crate) stats: Arc<HttpStats>,
    pub(crate) log: Option<Recorder>,
    /// Chosen at random when the engine starts: separates the parts of multipart responses.
    pub(crate) nonce: u64,
    /// The key that is being looked up. Kept, so that building one allocates nothing.
    pub(crate) key: Vec<u8>,
    /// A path that had to be normalised, and heads that are made on the spot. Kept, likewise.
    pub(crate) scratch: Vec<u8>,
}

/// Connection data.
#[derive(Default)]
pub struct Connection {
    /// Requests answered.
    pub(crate) answered: u32,
    /// The deadline that is armed is the header's, which does not move.
    pub(crate) header_deadline: bool,
    /// Octets dropped while lingering, and one.
    pub(crate) lingered: u64,
    /// The peer's address, looked up when the first request is logged.
    pub(crate) peer: Option<Option<IpAddr>>,
}

/// Request data.
#[derive(Default)]
pub struct Request {
    pub(crate) parser: RequestParser,
    /// The head, copied when the request outlives the event that brought it; empty before.
    pub(crate) kept_head: Vec<u8>,
    pub(crate) head_length: usize,
    /// The number of the site of files that answers, if one does.
    pub(crate) site: u16,
    pub(crate) started: Time,
    pub(crate) persistent: bool,
    pub(crate) refusal: Option<Refusal>,
    pub(crate) answer: Answer,
    pub(crate) outcome: Option<CacheOutcome>,
    pub(crate) status: u16,
    pub(crate) payload: u64,
    /// What had been delivered when the transfer rate was last looked at.
    pub(crate) rate_mark: Option<u64>,
    /// A chunked body, as far as it was read, and how many octets that were.
    pub(crate) chunks: ChunkedDecoder,
    pub(crate) chunk_octets: u64,
    /// Octets of the body that are still to be dropped before the next request.
    pub(crate) body_left: u64,
}

/// Why a request is not served: what its answer says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// Whether the connection cannot be used any more.
    pub(crate) closes: bool,
    pub(crate) retry_after: bool,
}

/// What *answer directly* says.
#[derive(Default, Debug)]
pub(crate) enum Answer {
    #[default]
    Nothing,
    /// OPTIONS.
    Options,
    /// 301 to this location.
    Redirect(Vec<u8>),
    /// 200 with this HTML, not cached.
    Page(Vec<u8>),
}

impl Global {
    /// One engine's data. `wall` is the wall clock; it is read once per second.
    pub fn new(
        settings: Arc<Settings>,
        view: View<Kept>,
        stats: Arc<HttpStats>,
        log: Option<Recorder>,
        wall: impl Fn() -> SystemTime + 'static,
    ) -> Global {
        // The standard library's hasher is keyed from the system's randomness.
        let nonce = RandomState::new().hash_one(0);
        let clock = Clock::new(wall);
        Global { settings, view, clock, stats, log, nonce, key: Vec::new(), scratch: Vec::new() }
    }

    /// Replaces the settings. A request in flight ends under those with which it started to be
    /// answered. The view, and with it what is cached, stays unless the new settings have another
    /// cache.
    pub fn reload(&mut self, settings: Arc<Settings>, view: impl FnOnce() -> View<Kept>) {
        if !Arc::ptr_eq(&settings.cache, &self.settings.cache) {
            self.view = view();
        }
        self.settings = settings;
    }
}

impl ProtocolModule for Http {
    const NAME: &'static str = "http";
    const TABLE: &'static ControlTable<Self> = &TABLE;

    type Global = Global;
    type Connection = Connection;
    type Request = Request;

    fn connected(_global: &mut Global, _id: ConnectionId, _origin: Origin, _now: Time) -> Connection {
        Connection::default()
    }

    fn pass(global: &mut Global, now: Time) {
        global.clock.refresh(now);
        global.view.apply();
        global.stats.pins.set(global.view.pins().load(Relaxed));
    }
}
