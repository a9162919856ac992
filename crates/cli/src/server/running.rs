//! The running engines, as the main thread and the admin server see them.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use afpa_cache::CacheStats;
use afpa_dns::cache::{is_of_name, is_within};
use afpa_dns::{Dns, Fetch};
use afpa_engine::stats::ModuleStats;
use afpa_engine::{ProtocolModule, Time};
use afpa_http::Http;
use afpa_http::fetch::Fetch as HttpFetch;
use afpa_http::remote::Relay;
use afpa_platform::clock;
use afpa_platform::steering::Answers;

use super::direct::Wire;
use super::dns::DnsSeat;
use super::doors::{Door, Place};
use super::engine::{Held, HttpSeat, Seat};
use super::serving::Serving;
use super::{observed, purging, relayed};
use crate::access_log::LogStats;
use crate::config::{Config, Interface};
use crate::stats::{self, Purge, Purged, Snapshot, Source, Subject};
use crate::supervisor::Engines;
use crate::upgrade::Handed;

/// Where clients come in.
pub(super) struct Entry {
    pub(super) doors: Vec<Door>,
    /// What engines opened for themselves.
    pub(super) held: Vec<Held>,
}

impl Entry {
    /// Closes what would listen on when no engine does.
    fn close(&mut self) {
        self.held.clear();
        for door in &mut self.doors {
            if let Place::Adopted { streams, datagrams, .. } = &mut door.place {
                streams.clear();
                datagrams.clear();
            }
        }
    }

    fn hand_over(&self) -> io::Result<Vec<Handed>> {
        let mut handed = Vec::new();
        for (number, door) in self.doors.iter().enumerate() {
            let of_door = self.held.iter().filter(|held| held.door == number);
            let of_engines: Result<Vec<_>, _> = of_door.map(|held| held.socket.try_clone()).collect();
            let name = u16::try_from(number).map_err(io::Error::other)?;
            handed.extend(door.hand_over(name, &of_engines?)?);
        }
        Ok(handed)
    }
}

/// Engines that run.
pub struct Running {
    seats: Vec<Seat>,
    serving: Mutex<Serving>,
    draining: AtomicBool,
    log: Option<Arc<LogStats>>,
    since: Instant,
    /// Kept open: an engine's duplicates are its own, and the files of Unix sockets go with these.
    entry: Mutex<Entry>,
    /// Frames are steered to us for as long as this lives.
    wire: Option<Arc<Wire>>,
    /// What the driver is left answers by.
    answers: Option<Answers>,
}

impl Running {
    pub(super) fn new(
        seats: Vec<Seat>,
        serving: Serving,
        entry: Entry,
        wire: Option<Arc<Wire>>,
        answers: Option<Answers>,
        log: Option<Arc<LogStats>>,
        since: Instant,
    ) -> Running {
        let (serving, entry) = (Mutex::new(serving), Mutex::new(entry));
        Running { seats, serving, draining: AtomicBool::new(false), log, since, entry, wire, answers }
    }

    fn serving(&self) -> MutexGuard<'_, Serving> {
        self.serving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry(&self) -> MutexGuard<'_, Entry> {
        self.entry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of the site and of DNS together.
    fn cache(&self) -> stats::Cache {
        let serving = self.serving();
        let site = serving.http().map(|settings| settings.cache.stats());
        let dns = serving.dns().map(|dns| dns.settings().cache.stats());
        site.into_iter().chain(dns).map(cache_of).fold(stats::Cache::default(), sum)
    }
}

/// Hands new pools to what asks backends.
fn reload_fetch(seat: &Seat, http: &HttpSeat, relay: Option<Arc<Relay>>) {
    if let (Some(fetch), Some(relay)) = (&http.fetch, relay) {
        let owner = fetch.owner;
        seat.handle.command(move |control| {
            if let Some(global) = control.global::<HttpFetch>(owner) {
                global.reload(relay, Time(clock::now()));
            }
        });
    }
}

fn cache_of(cache: CacheStats) -> stats::Cache {
    stats::Cache {
        objects: cache.objects,
        files: cache.files,
        used_octets: cache.used,
        capacity_octets: cache.capacity,
        locked_octets: cache.arena.locked,
        pinned_octets: cache.pinned,
        admitted: cache.admissions,
        readmitted: cache.ghost_hits,
        rejected: cache.rejections,
        evicted: cache.evictions,
        purges: cache.purges,
    }
}

fn sum(one: stats::Cache, other: stats::Cache) -> stats::Cache {
    stats::Cache {
        objects: one.objects + other.objects,
        files: one.files + other.files,
        used_octets: one.used_octets + other.used_octets,
        capacity_octets: one.capacity_octets + other.capacity_octets,
        locked_octets: one.locked_octets + other.locked_octets,
        pinned_octets: one.pinned_octets + other.pinned_octets,
        admitted: one.admitted + other.admitted,
        readmitted: one.readmitted + other.readmitted,
        rejected: one.rejected + other.rejected,
        evicted: one.evicted + other.evicted,
        purges: one.purges + other.purges,
    }
}

impl Engines for Running {
    fn apply(&self, config: &Config) -> Result<(), String> {
        let serving = Serving::prepare(config, self.seats.len(), Some(&self.serving()))?;
        for seat in &self.seats {
            if let (Some(http), Some(settings)) = (&seat.http, serving.http()) {
                let relay = serving.relay();
                reload_fetch(seat, http, relay.clone());
                let (owner, waker) = (http.owner, seat.handle.waker());
                seat.handle.command(move |control| {
                    let mut called = Vec::new();
                    if let Some(global) = control.global::<Http>(owner) {
                        let cache = settings.cache.clone();
                        global.reload(settings, move || cache.view(Arc::new(move || waker.wake())));
                        if let Some(relay) = relay {
                            called = global.reload_relay(relay);
                        }
                    }
                    called.into_iter().for_each(|notice| control.notify(notice));
                });
            }
            if let (Some(dns), Some(serving)) = (&seat.dns, serving.dns().cloned()) {
                let owner = dns.owner;
                seat.handle.command(move |control| {
                    if let Some(global) = control.global::<Dns>(owner) {
                        serving.apply(global);
                    }
                });
            }
        }
        if let (Some(answers), Some(dns), Some(wire)) = (&self.answers, serving.dns(), &self.wire) {
            dns.admit(answers, self.log.is_some(), wire.has_partial_checksums());
        }
        *self.serving() = serving;
        Ok(())
    }

    fn hand_over(&self) -> Result<(Interface, Vec<Handed>), String> {
        if self.wire.is_some() {
            return Err("with the direct transport there is no upgrade: connections are on frames, which go to one \
                        server; stop this one and start the other"
                .into());
        }
        let io = match self.seats.first().map(|seat| seat.io) {
            Some(afpa_sockets::Interface::Epoll) => Interface::Epoll,
            _ => Interface::Uring,
        };
        let handed = self.entry().hand_over().map_err(|error| format!("the sockets cannot be handed over: {error}"))?;
        Ok((io, handed))
    }

    fn own_files(&self, are_ours: bool) {
        self.entry().doors.iter().for_each(|door| door.own_file(are_ours));
    }

    fn look_again(&self) {
        for seat in &self.seats {
            seat.handle.command(|control| control.transports().iter_mut().for_each(|transport| transport.look_again()));
        }
    }

    fn retire(&self, patience: Duration, grace: Duration) {
        self.draining.store(true, Relaxed);
        self.entry().close();
        for seat in &self.seats {
            seat.handle.retire(patience, grace);
        }
    }

    fn stop(&self, grace: Duration) {
        self.draining.store(true, Relaxed);
        self.entry().close();
        for seat in &self.seats {
            seat.handle.stop(grace);
        }
    }
}

impl Source for Running {
    fn snapshot(&self) -> Snapshot {
        let (backends, relay, pools) = {
            let serving = self.serving();
            (serving.dns().map(|dns| dns.names().all()).unwrap_or_default(), serving.relay(), serving.pools())
        };
        let told = relayed::Told::by(&self.seats);
        Snapshot {
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: self.since.elapsed().as_secs(),
            draining: self.is_draining(),
            engines: self.seats.iter().map(|seat| engine(seat, &backends)).collect(),
            cache: self.cache(),
            pools: pools.map(|pools| told.pools(&pools)).unwrap_or_default(),
            classes: relay.as_ref().map(|relay| relayed::classes(relay)).unwrap_or_default(),
            top_keys: told.top_keys(),
            relay: relay.map(|relay| relayed::relay(&relay)),
            driver: self.answers.as_ref().and_then(|answers| answers.counters().ok()).map(stats::Driver::from),
            log: self.log.as_ref().map_or_else(stats::Log::default, |log| stats::Log {
                written: log.written(),
                dropped: log.dropped(),
                failed: log.failed(),
            }),
        }
    }

    fn purge(&self, purge: &Purge) -> Purged {
        let serving = self.serving();
        // First: what holds at once need not wait for what takes a while.
        let is_entered = serving.relay().is_some_and(|relay| purging::enter(&relay, purge));
        let of_site = serving.http().map_or(0, |settings| purging::of_files(&settings, &purge.what));
        let dns = serving.dns().map(|dns| dns.settings().cache.clone());
        let of_dns = dns.map_or(0, |cache| match &purge.what {
            Subject::All => cache.purge_all(),
            Subject::Name(name) => cache.purge_if(|object| is_of_name(object.key(), name.as_name())),
            Subject::Subtree(name) => cache.purge_if(|object| is_within(object.key(), name.as_name())),
            _ => 0,
        });
        // What the driver has was purged as well.
        if let Some(answers) = &self.answers {
            answers.withdraw_all();
        }
        Purged { objects: of_site + of_dns, is_entered }
    }

    fn may_purge(&self, token: Option<&[u8]>) -> bool {
        self.serving().may_purge(token)
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    fn tcp(&self) -> Vec<stats::Tcp> {
        self.seats.iter().filter_map(observed::counters).collect()
    }

    fn connections(&self, limit: usize) -> Vec<stats::Connection> {
        observed::connections(&self.seats, limit)
    }

    fn capture(&self, snap: usize) -> Option<Box<dyn stats::Capture>> {
        observed::capture(&self.seats, snap)
    }
}

fn engine(seat: &Seat, backends: &[String]) -> stats::Engine {
    let http = seat.http.as_ref().map(|http| &http.stats);
    stats::Engine {
        pins: http.map_or(0, |http| http.pins.get()),
        responses: http
            .into_iter()
            .flat_map(|http| http.by_status())
            .map(|(status, count)| stats::Responses { status, count })
            .collect(),
        cache: http
            .into_iter()
            .flat_map(|http| http.by_outcome())
            .map(|(outcome, count)| stats::CacheOutcomes { outcome: outcome.name(), count })
            .collect(),
        transitions: transitions(seat),
        latency: seat.http.as_ref().map_or_else(stats::Latency::default, |http| latency(&http.module)),
        dns: seat.dns.as_ref().map(|dns| dns_of(dns, backends)),
        ..stats::Engine::counted(seat.cpu, seat.handle.stats(), &seat.sockets)
    }
}

fn latency(module: &ModuleStats) -> stats::Latency {
    stats::Latency { sum_nanos: module.latency.sum(), buckets: module.latency.buckets().collect() }
}

fn dns_of(dns: &DnsSeat, names: &[String]) -> stats::Dns {
    stats::Dns {
        families: dns.stats.families().into_iter().map(stats::Family::from).collect(),
        backends: dns
            .stats
            .backends()
            .filter_map(|(number, event, count)| {
                let backend = names.get(number)?.clone();
                Some(stats::BackendEvents { backend, event: event.name(), count })
            })
            .collect(),
        query_octets: dns.stats.query_octets.get(),
        answer_octets: dns.stats.answer_octets.get(),
        latency: latency(&dns.module),
    }
}

fn transitions(seat: &Seat) -> Vec<stats::Transition> {
    let http = seat.http.as_ref().map(|http| transitions_of::<Http>(&http.module));
    let fetch = seat.http.as_ref().and_then(|http| http.fetch.as_ref());
    let fetch = fetch.map(|fetch| transitions_of::<HttpFetch>(&fetch.module));
    let dns = seat.dns.as_ref().map(|dns| [transitions_of::<Dns>(&dns.module), transitions_of::<Fetch>(&dns.fetch)]);
    http.into_iter().chain(fetch).chain(dns.into_iter().flatten()).flatten().collect()
}

/// A module's transitions on one engine.
pub(crate) fn transitions_of<M: ProtocolModule>(stats: &ModuleStats) -> Vec<stats::Transition> {
    let transition = |row: &afpa_engine::table::Row| stats::Transition {
        module: M::NAME,
        state: row.state.name,
        outcome: row.outcome.name,
        count: stats.transition(row.state.index, row.outcome.index).get(),
    };
    M::TABLE.rows().iter().map(transition).collect()
}
