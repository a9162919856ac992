//! One engine on its thread.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, SystemTime};

use afpa_engine::seam::{Address, Listen, ListenerId};
use afpa_engine::stats::ModuleStats;
use afpa_engine::workers::Workers;
use afpa_engine::{Engine, EngineHandle, Open, Owner, Time, Transport, TransportId};
use afpa_http::access_log::Recorder;
use afpa_http::fetch::{self, Fetch, FetchGlobal};
use afpa_http::remote::Relay;
use afpa_http::{Global, Http, HttpStats, Settings};
use afpa_platform::clock;
use afpa_sockets::{Sockets, SocketsConfig, SocketsStats};
use tokio::sync::mpsc::UnboundedSender;

use super::direct::Wire;
use super::dns::{DnsPlan, DnsSeat};
use super::doors::{Door, Place, Service, explain, share};
use super::observed::Observed;
use crate::config::{Interface, Respond};
use crate::process;
use crate::supervisor::EngineEnd;
use crate::units::ListenAddress;

/// What an engine is made of.
pub(super) struct Plan {
    pub(super) cpu: usize,
    /// Its place among the engines.
    pub(super) number: u32,
    /// The interface that is ours, with the direct transport.
    pub(super) wire: Option<Arc<Wire>>,
    pub(super) io: Interface,
    pub(super) respond: Respond,
    /// The most connections of clients.
    pub(super) max_accepted: u32,
    /// How many there may be to backends besides.
    pub(super) reserved: u32,
    /// How long backends may be silent before TCP asks for them; zero: for ever.
    pub(super) keep_alive: Duration,
    pub(super) workers: Arc<Workers>,
    pub(super) http: Option<HttpPlan>,
    pub(super) dns: Option<DnsPlan>,
    pub(super) entrances: Vec<Entrance>,
}

/// What an engine needs to serve the site.
pub(super) struct HttpPlan {
    pub(super) settings: Arc<Settings>,
    /// What lets other servers answer, if any shall.
    pub(super) relay: Option<Arc<Relay>>,
    pub(super) recorder: Option<Recorder>,
}

/// A door as one engine uses it.
pub(super) struct Entrance {
    pub(super) service: Service,
    /// The door's number.
    pub(super) door: usize,
    pub(super) way: Way,
}

pub(super) enum Way {
    Listen(SocketAddr),
    Datagrams(SocketAddr),
    Adopt(OwnedFd),
}

/// A duplicate of a socket that an engine opened for itself, for a successor to have.
pub(super) struct Held {
    /// The door's number.
    pub(super) door: usize,
    pub(super) socket: OwnedFd,
}

/// What other threads know of an engine.
pub(super) struct Seat {
    pub(super) cpu: usize,
    pub(super) handle: EngineHandle,
    pub(super) http: Option<HttpSeat>,
    pub(super) dns: Option<DnsSeat>,
    pub(super) sockets: Arc<SocketsStats>,
    pub(super) direct: Option<Observed>,
    pub(super) interface: &'static str,
    /// What the engine's sockets are used through, whoever has the clients.
    pub(super) io: afpa_sockets::Interface,
}

/// The site on an engine.
pub(super) struct HttpSeat {
    pub(super) owner: Owner,
    pub(super) module: Arc<ModuleStats>,
    pub(super) stats: Arc<HttpStats>,
    /// The module that owns connections to backends.
    pub(super) fetch: Option<FetchSeat>,
}

/// What asks backends on an engine.
pub(super) struct FetchSeat {
    pub(super) owner: Owner,
    pub(super) module: Arc<ModuleStats>,
}

/// The use of every door by the engine `number` of `engines`.
///
/// # Errors
/// No descriptor is left for another duplicate of a shared socket.
pub(super) fn entrances(doors: &[Door], number: usize, engines: usize) -> Result<Vec<Entrance>, String> {
    let duplicate = |socket: &OwnedFd, address: &ListenAddress| {
        socket.try_clone().map(Way::Adopt).map_err(|error| format!("{address} cannot be shared: {error}"))
    };
    let ways = |door: &Door| match &door.place {
        Place::Host(_) => Ok(Vec::new()),
        Place::Port(address) if door.service == Service::Dns => {
            Ok(vec![Way::Datagrams(*address), Way::Listen(*address)])
        }
        Place::Port(address) => Ok(vec![Way::Listen(*address)]),
        Place::Adopted { streams, datagrams, .. } => {
            let mine = [datagrams, streams].into_iter().flat_map(|sockets| share(sockets, number, engines));
            mine.map(|socket| duplicate(socket, &door.address())).collect()
        }
        Place::Shared { socket, address, .. } => Ok(vec![duplicate(socket, address)?]),
    };
    let mut entrances = Vec::new();
    for (index, door) in doors.iter().enumerate() {
        entrances.extend(ways(door)?.into_iter().map(|way| Entrance { service: door.service, door: index, way }));
    }
    Ok(entrances)
}

/// An engine on its thread that has all it needs and waits until it may open its doors. One that is dropped ends, and
/// leaves nothing behind.
pub(super) struct Prepared {
    seat: Seat,
    life: Life,
}

/// The thread of an engine, which ends with this.
struct Life {
    handle: EngineHandle,
    /// Says that it may; `None` when it was said.
    may_open: Option<SyncSender<()>>,
    is_open: Receiver<Result<Vec<Held>, String>>,
    /// `None` if it lives on by itself.
    thread: Option<JoinHandle<()>>,
}

/// The thread's end of what its maker holds.
struct Instructions {
    made: SyncSender<Result<Seat, String>>,
    may_open: Receiver<()>,
    is_open: SyncSender<Result<Vec<Held>, String>>,
}

/// An engine whose doors are not open.
struct Unopened {
    engine: Engine,
    sockets: Sockets,
    entrances: Vec<Entrance>,
    owners: Owners,
    /// The module that asks backends, if there is DNS.
    fetcher: Option<Owner>,
    /// The same of HTTP.
    http_fetcher: Option<Owner>,
}

/// Who has what comes through which doors.
#[derive(Clone, Copy, Default)]
pub(crate) struct Owners {
    http: Owner,
    dns: Owner,
}

impl Owners {
    pub(super) fn of(self, service: Service) -> Owner {
        match service {
            Service::Http => self.http,
            Service::Dns => self.dns,
        }
    }
}

/// Makes an engine and returns when it waits for [`Prepared::open`]. Its end, for whatever reason, is reported to `ends`.
///
/// # Errors
/// It cannot be made: a sentence that says why.
pub(super) fn prepare(plan: Plan, ends: UnboundedSender<EngineEnd>) -> Result<Prepared, String> {
    let cpu = plan.cpu;
    let ((made, seat), (may_open, told), (answer, is_open)) = (sync_channel(1), sync_channel(1), sync_channel(1));
    let instructions = Instructions { made, may_open: told, is_open: answer };
    let live = move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| live(plan, instructions)))
            .unwrap_or_else(|panic| Err(format!("it panicked: {}", message(&*panic))));
        // Nobody listens any more only when the process is ending.
        let _ = ends.send(EngineEnd { cpu, outcome });
    };
    let thread = Builder::new()
        .name(format!("engine-{cpu}"))
        .spawn(live)
        .map_err(|error| format!("the thread of the engine on CPU {cpu} cannot be started: {error}"))?;
    match seat.recv().unwrap_or_else(|_| Err(format!("the engine on CPU {cpu} ended while it started"))) {
        Ok(seat) => {
            let life = Life { handle: seat.handle.clone(), may_open: Some(may_open), is_open, thread: Some(thread) };
            Ok(Prepared { seat, life })
        }
        Err(reason) => {
            // What it held is gone then.
            let _ = thread.join();
            Err(reason)
        }
    }
}

impl Prepared {
    /// Has it open its doors and serve. Returns what it opened for itself.
    ///
    /// # Errors
    /// One cannot be listened to: a sentence with the remedy.
    pub(super) fn open(&mut self) -> Result<Vec<Held>, String> {
        if let Some(may_open) = self.life.may_open.take() {
            // If it has ended, there is no answer either.
            let _ = may_open.send(());
        }
        let ended = || format!("the engine on CPU {} ended while it started", self.seat.cpu);
        self.life.is_open.recv().unwrap_or_else(|_| Err(ended()))
    }

    /// Lets it live until it is stopped.
    pub(super) fn into_seat(mut self) -> Seat {
        self.life.thread = None;
        self.seat
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.may_open = None;
        self.handle.stop(Duration::ZERO);
        // Its panic was reported.
        let _ = thread.join();
    }
}

/// The engine's life. It is built on its own thread: what it owns never leaves it.
fn live(plan: Plan, instructions: Instructions) -> Result<(), String> {
    let Instructions { made, may_open, is_open } = instructions;
    let unopened = match build(plan) {
        Ok((unopened, seat)) => {
            let _ = made.send(Ok(seat));
            unopened
        }
        Err(reason) => {
            let _ = made.send(Err(reason));
            return Ok(());
        }
    };
    if may_open.recv().is_err() {
        // Another could not be made.
        return Ok(());
    }
    match unopened.open() {
        Ok((mut engine, held)) => {
            let _ = is_open.send(Ok(held));
            engine.run().map_err(|error| error.to_string())
        }
        Err(reason) => {
            let _ = is_open.send(Err(reason));
            Ok(())
        }
    }
}

fn build(plan: Plan) -> Result<(Unopened, Seat), String> {
    let Plan { cpu, number, wire, io, respond, max_accepted, reserved, keep_alive, workers, http, dns, entrances } =
        plan;
    let max_connections = max_accepted.saturating_add(reserved);
    let failed = |what: &str, error: &dyn std::fmt::Display| format!("the engine on CPU {cpu} cannot {what}: {error}");
    process::pin_thread(cpu).map_err(|error| failed("be pinned", &error))?;
    let config = SocketsConfig {
        // Behind the direct transport, which sleeps, if there is one.
        transport: TransportId(u8::from(wire.is_some())),
        interface: interface(io),
        respond: context(respond),
        max_connections,
        reserved,
        keep_alive,
        // RFC 9112 §9: HTTP's client does, and so does DNS's.
        peer_speaks_first: true,
        // RFC 1035 §4.2.2: the longest message of DNS, with its length in front.
        receive_window: (1 << 16) + 1,
        ..SocketsConfig::default()
    };
    let sockets = Sockets::new(config).map_err(|error| failed("reach the network", &error))?;
    let mut engine = Engine::new(workers, || Time(clock::now())).map_err(|error| failed("be woken", &error))?;
    // One of them can lend what it sends to a device: the site, whose objects are large.
    let arena = match (&http, &dns) {
        (Some(http), _) => http.settings.cache.arena().clone(),
        (None, Some(dns)) => dns.arena(),
        (None, None) => return Err("there is nothing to serve".into()),
    };
    let http = http.map(|http| install_http(&mut engine, number, http));
    let dns = dns.map(|dns| dns.install(&mut engine)).transpose()?;
    let owners = Owners {
        http: http.as_ref().map_or_else(Owner::default, |http| http.owner),
        dns: dns.as_ref().map_or_else(Owner::default, |dns| dns.owner),
    };
    let fetcher = dns.as_ref().map(|dns| dns.fetcher);
    let http_fetcher = http.as_ref().and_then(|http| http.fetch.as_ref()).map(|fetch| fetch.owner);
    let (mut interface, stats) = (sockets.interface().name(), sockets.stats());
    let mut observed = None;
    if let Some(wire) = wire {
        let direct = wire.transport(number, TransportId(0), max_connections, &arena, owners)?;
        interface = direct.device();
        observed = Some(wire.observe(&direct));
        engine.add_transport(Box::new(direct)).map_err(|error| failed("watch its mailbox", &error))?;
    }
    let handle = engine.handle();
    let io = sockets.interface();
    let seat = Seat { cpu, handle, http, dns, sockets: stats, direct: observed, interface, io };
    Ok((Unopened { engine, sockets, entrances, owners, fetcher, http_fetcher }, seat))
}

fn install_http(engine: &mut Engine, number: u32, HttpPlan { settings, relay, recorder }: HttpPlan) -> HttpSeat {
    let waker = engine.handle().waker();
    let view = settings.cache.view(Arc::new(move || waker.wake()));
    let stats = Arc::new(HttpStats::default());
    let mut global = Global::new(settings, view, stats.clone(), recorder, SystemTime::now);
    let fetch = relay.map(|relay| {
        let seconds = Rc::new(Cell::new(0));
        let (handle, now) = (engine.handle(), Time(clock::now()));
        let shared = Rc::new(RefCell::new(fetch::Shared::new(number, handle, &relay.pools, now)));
        let of_fetch = FetchGlobal::new(shared.clone(), relay.clone(), seconds.clone());
        let (owner, module) = engine.install::<Fetch>(of_fetch);
        shared.borrow_mut().is_owned_by(owner);
        global.relay_through(relay, shared, seconds);
        FetchSeat { owner, module }
    });
    let (owner, module) = engine.install::<Http>(global);
    HttpSeat { owner, module, stats, fetch }
}

impl Unopened {
    fn open(self) -> Result<(Engine, Vec<Held>), String> {
        let Unopened { mut engine, mut sockets, entrances, owners, fetcher, http_fetcher } = self;
        let mut held = Vec::new();
        for Entrance { service, door, way } in entrances {
            let is_own = !matches!(way, Way::Adopt(_));
            let listener = enter(&mut sockets, way, owners.of(service))?;
            if is_own {
                let socket = sockets.duplicate(listener).map_err(|error| format!("no descriptor is left: {error}"))?;
                held.push(Held { door, socket });
            }
        }
        engine
            .add_transport(Box::new(sockets))
            .map_err(|error| format!("an engine cannot watch its mailbox: {error}"))?;
        if let Some(fetcher) = fetcher {
            engine.open(Open::Work, fetcher, afpa_dns::fetch::WATCH);
        }
        if let Some(fetcher) = http_fetcher {
            engine.open(Open::Work, fetcher, afpa_http::fetch::KEEPER);
        }
        Ok((engine, held))
    }
}

fn enter(sockets: &mut Sockets, way: Way, owner: Owner) -> Result<ListenerId, String> {
    match way {
        Way::Datagrams(address) => sockets
            .listen(Listen::Datagram(address), owner)
            .map_err(|error| explain(&ListenAddress::Inet(address), &error)),
        Way::Listen(address) => sockets
            .listen(Listen::Stream(Address::Inet(address)), owner)
            .map_err(|error| explain(&ListenAddress::Inet(address), &error)),
        Way::Adopt(socket) => {
            let backlog = SocketsConfig::default().backlog;
            sockets
                .adopt(socket, owner, backlog)
                .map_err(|error| format!("a shared socket cannot be listened to: {error}"))
        }
    }
}

pub(crate) fn interface(io: Interface) -> afpa_sockets::Interface {
    match io {
        Interface::Auto => afpa_sockets::Interface::Auto,
        Interface::Uring => afpa_sockets::Interface::Uring,
        Interface::Epoll => afpa_sockets::Interface::Epoll,
    }
}

fn context(respond: Respond) -> afpa_sockets::Respond {
    match respond {
        Respond::Inline => afpa_sockets::Respond::Inline,
        Respond::Thread => afpa_sockets::Respond::Thread,
        Respond::Hybrid => afpa_sockets::Respond::Hybrid,
    }
}

/// What a panic says.
pub(crate) fn message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}
