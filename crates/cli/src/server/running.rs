//! The running engines, as the main thread and the admin server see them.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use afpa_engine::ProtocolModule;
use afpa_http::Http;
use afpa_http::files::{purge_under, purge_url};

use super::direct::Wire;
use super::doors::Door;
use super::engine::Seat;
use super::observed;
use super::serving::Serving;
use crate::access_log::LogStats;
use crate::config::Config;
use crate::stats::{self, Purge, Snapshot, Source};
use crate::supervisor::Engines;

/// Engines that run.
pub struct Running {
    seats: Vec<Seat>,
    serving: Mutex<Serving>,
    draining: AtomicBool,
    log: Option<Arc<LogStats>>,
    since: Instant,
    /// Kept open: an engine's duplicates are its own, and the files of Unix sockets go with these.
    _doors: Vec<Door>,
    /// Frames are steered to us for as long as this lives.
    _wire: Option<Arc<Wire>>,
}

impl Running {
    pub(super) fn new(
        seats: Vec<Seat>,
        serving: Serving,
        doors: Vec<Door>,
        wire: Option<Arc<Wire>>,
        log: Option<Arc<LogStats>>,
        since: Instant,
    ) -> Running {
        let serving = Mutex::new(serving);
        Running { seats, serving, draining: AtomicBool::new(false), log, since, _doors: doors, _wire: wire }
    }

    fn serving(&self) -> MutexGuard<'_, Serving> {
        self.serving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cache(&self) -> stats::Cache {
        let cache = self.serving().settings().cache.stats();
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
}

impl Engines for Running {
    fn apply(&self, config: &Config) -> Result<(), String> {
        let serving = Serving::prepare(config, self.seats.len(), Some(&self.serving()))?;
        for seat in &self.seats {
            let (settings, owner, waker) = (serving.settings(), seat.owner, seat.handle.waker());
            seat.handle.command(move |control| {
                if let Some(global) = control.global::<Http>(owner) {
                    let cache = settings.cache.clone();
                    global.reload(settings, move || cache.view(Arc::new(move || waker.wake())));
                }
            });
        }
        *self.serving() = serving;
        Ok(())
    }

    fn stop(&self, grace: Duration) {
        self.draining.store(true, Relaxed);
        for seat in &self.seats {
            seat.handle.stop(grace);
        }
    }
}

impl Source for Running {
    fn snapshot(&self) -> Snapshot {
        Snapshot {
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: self.since.elapsed().as_secs(),
            draining: self.is_draining(),
            engines: self.seats.iter().map(engine).collect(),
            cache: self.cache(),
            log: self.log.as_ref().map_or_else(stats::Log::default, |log| stats::Log {
                written: log.written(),
                dropped: log.dropped(),
                failed: log.failed(),
            }),
        }
    }

    fn purge(&self, what: &Purge) -> usize {
        let settings = self.serving().settings();
        match what {
            Purge::Path(path) => purge_url(&settings.cache, path),
            Purge::Prefix(prefix) => purge_under(&settings.cache, prefix),
            Purge::All => settings.cache.purge_all(),
        }
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

fn engine(seat: &Seat) -> stats::Engine {
    let counters = seat.handle.stats();
    stats::Engine {
        core: seat.cpu,
        connections: counters.open.get(),
        connected: counters.connected.get(),
        received_octets: counters.received_octets.get(),
        sent_octets: counters.sent_octets.get(),
        resets: counters.resets.get(),
        timeouts: counters.timeouts.get(),
        accept_pauses: seat.sockets.accept_pauses(),
        refused_jobs: counters.refused_jobs.get(),
        pins: seat.http.pins.get(),
        responses: seat.http.by_status().map(|(status, count)| stats::Responses { status, count }).collect(),
        cache: seat
            .http
            .by_outcome()
            .map(|(outcome, count)| stats::CacheOutcomes { outcome: outcome.name(), count })
            .collect(),
        transitions: transitions(seat),
        latency: stats::Latency {
            sum_nanos: seat.module.latency.sum(),
            buckets: seat.module.latency.buckets().collect(),
        },
    }
}

fn transitions(seat: &Seat) -> Vec<stats::Transition> {
    let transition = |row: &afpa_engine::table::Row| stats::Transition {
        module: Http::NAME,
        state: row.state.name,
        outcome: row.outcome.name,
        count: seat.module.transition(row.state.index, row.outcome.index).get(),
    };
    Http::TABLE.rows().iter().map(transition).collect()
}
