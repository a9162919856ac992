//! The HTTP module: its three kinds of data (AFPA §3.2).

use std::cell::{Cell, RefCell};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use afpa_cache::{Cache, Object, View};
use afpa_caching::Handled;
use afpa_classes::Slot;
use afpa_engine::seam::Origin;
use afpa_engine::{ConnectionId, ControlTable, Desk, Notice, ProtocolModule, Time};
use afpa_routing::Captures;

use crate::access_log::{CacheOutcome, Recorder};
use crate::clock::Clock;
use crate::fetch::Shared;
use crate::files::Site;
use crate::kept::Kept;
use crate::quality::{Admission, Quality, QualityPlan};
use crate::remote::{EngineRelay, Relay, RemoteRequest, Routed};
use crate::stats::HttpStats;
use crate::syntax::{ChunkedDecoder, Limits, RequestParser};
use crate::table::TABLE;
use crate::top_keys::{TopKey, TopKeys};

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
    /// Where requests go, unless they are all for one site of files.
    pub(crate) relaying: Option<Relaying>,
}

/// What an engine needs to let other servers answer.
pub(crate) struct Relaying {
    pub(crate) relay: Rc<EngineRelay>,
    /// What both HTTP modules of the engine know.
    pub(crate) shared: Rc<RefCell<Shared>>,
    /// Seconds since the epoch, for the other module.
    pub(crate) seconds: Rc<Cell<u64>>,
    /// Memory that routes are found in.
    pub(crate) captures: Captures,
    /// Classes of requests and limits, if there are or were any.
    pub(crate) quality: Option<Box<Quality>>,
    /// What is asked for most.
    pub(crate) top_keys: TopKeys,
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
    /// The peer's address, or that which a PROXY header names; looked up when it is first asked for.
    pub(crate) peer: Option<Option<SocketAddr>>,
    /// Where the client sent to, if a PROXY header names it.
    pub(crate) destination: Option<SocketAddr>,
    /// A PROXY header may come first.
    pub(crate) awaits_header: bool,
    /// As one of its client's, where those are counted.
    pub(crate) slot: Option<Slot>,
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
    /// The route that it takes, if there are routes.
    pub(crate) routed: Option<Routed>,
    /// What the cache has, if it may not simply be used, and why a backend is asked.
    pub(crate) missed: Option<(Option<Arc<Object<Kept>>>, Handled)>,
    /// Why a backend was asked and why there is no answer, for Cache-Status.
    pub(crate) note: Option<(Handled, Option<&'static str>)>,
    /// What has become of it, if another server is to answer it.
    pub(crate) remote: Option<Box<RemoteRequest>>,
    /// Who asks, once that was looked up: the peer, or whom a trusted one names.
    pub(crate) client: Option<IpAddr>,
    /// Its class, and what it has been given for it.
    pub(crate) admission: Admission,
    /// The path of files that a route has made of its own.
    pub(crate) rewritten: Option<Vec<u8>>,
    /// Its body was read to its end.
    pub(crate) is_body_read: bool,
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

impl Request {
    /// Makes room for the next one. Nearly all requests leave nothing that has to be dropped, and are spared looking
    /// for it field by field.
    #[inline]
    pub(crate) fn reset(&mut self) {
        let is_plain =
            self.routed.is_none() && self.kept_head.capacity() == 0 && matches!(self.answer, Answer::Nothing);
        if !is_plain {
            *self = Request::default();
            return;
        }
        // Without a route there is nothing of another server's.
        self.parser = RequestParser::default();
        (self.head_length, self.persistent, self.is_body_read) = (0, false, false);
        (self.refusal, self.outcome, self.client, self.rate_mark) = (None, None, None, None);
        (self.status, self.payload, self.chunk_octets, self.body_left) = (0, 0, 0, 0);
        self.chunks = ChunkedDecoder::default();
    }
}

/// Why a request is not served: what its answer says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// Whether the connection cannot be used any more.
    pub(crate) closes: bool,
    /// Seconds; 0 says nothing.
    pub(crate) retry_after: u32,
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
    /// This status and location, both whole.
    RedirectTo(u16, Vec<u8>),
    /// This status, type and content.
    Fixed(u16, String, Arc<[u8]>),
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
        Global { settings, view, clock, stats, log, nonce, key: Vec::new(), scratch: Vec::new(), relaying: None }
    }

    /// Lets other servers answer as `relay` says. `shared` and `seconds` are those of the engine's
    /// [`Fetch`](crate::fetch::Fetch).
    pub fn relay_through(&mut self, relay: Arc<Relay>, shared: Rc<RefCell<Shared>>, seconds: Rc<Cell<u64>>) {
        seconds.set(self.clock.seconds());
        let engine = shared.borrow().engine;
        let quality = relay.quality.as_ref().map(|plan| Box::new(Quality::new(plan, engine)));
        let relay = EngineRelay::new(relay);
        self.relaying =
            Some(Relaying { relay, shared, seconds, captures: Captures::new(), quality, top_keys: TopKeys::default() });
    }

    /// Replaces where requests go, and classes. One in flight ends under the routes with which it began. Those that are
    /// returned have waited for their turn, and are to be told that they arrive again.
    #[must_use = "who is not told waits for ever"]
    pub fn reload_relay(&mut self, relay: Arc<Relay>) -> Vec<Notice> {
        let Some(relaying) = &mut self.relaying else { return Vec::new() };
        let engine = relaying.shared.borrow().engine;
        match (&mut relaying.quality, &relay.quality) {
            (Some(quality), Some(plan)) => quality.reload(plan, engine),
            // Who has been given something gives it back later.
            (Some(quality), None) => quality.reload(&QualityPlan::unlimited(), engine),
            (None, Some(plan)) => relaying.quality = Some(Box::new(Quality::new(plan, engine))),
            (None, None) => {}
        }
        relaying.relay = EngineRelay::new(relay);
        relaying.quality.as_mut().map(|quality| quality.take_called()).unwrap_or_default()
    }

    /// What is asked for most of this engine, in no order; nothing without routes.
    pub fn top_keys(&self) -> Vec<TopKey> {
        self.relaying.as_ref().map(|relaying| relaying.top_keys.all().collect()).unwrap_or_default()
    }

    /// Classes of requests and limits, if there are or were any.
    pub(crate) fn quality(&mut self) -> Option<&mut Quality> {
        self.relaying.as_mut()?.quality.as_deref_mut()
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

    fn connected(global: &mut Global, _id: ConnectionId, _origin: Origin, _now: Time) -> Connection {
        let awaits_header = global.relaying.as_ref().is_some_and(|it| it.relay.relay.forwarding.has_headers);
        Connection { awaits_header, ..Connection::default() }
    }

    /// What was asked for on its behalf is not waited for any more.
    fn disconnected(global: &mut Global, desk: &mut Desk<'_>, connection: &mut Connection, request: &mut Request) {
        if let (Some(remote), Some(relaying)) = (request.remote.take(), &global.relaying) {
            remote.leave(relaying.shared.borrow().engine, desk);
        }
        if let Some(quality) = global.quality() {
            quality.disconnect(&mut connection.slot);
            quality.end(&mut request.admission, desk.now().0);
            quality.take_called().into_iter().for_each(|notice| desk.notify(notice));
        }
    }

    fn pass(global: &mut Global, now: Time) {
        global.clock.refresh(now);
        global.view.apply();
        if let Some(relaying) = &global.relaying {
            relaying.seconds.set(global.clock.seconds());
        }
        global.stats.pins.set(global.view.pins().load(Relaxed));
    }
}
