//! The running engines of a TCP server, as the admin server and the main thread see them.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use afpa_tcp_server::SocketProvider;

use super::engine::Seat;
use crate::server::{capture, connections, counters, transitions_of};
use crate::stats::{Capture, Connection, Engine, Figure, Provider, Purge, Purged, Snapshot, Source, Tcp};

pub(super) struct Running {
    seats: Vec<Seat>,
    since: Instant,
    draining: AtomicBool,
}

impl Running {
    pub(super) fn new(seats: Vec<Seat>, since: Instant) -> Running {
        Running { seats, since, draining: AtomicBool::new(false) }
    }

    pub(super) fn count(&self) -> usize {
        self.seats.len()
    }

    /// Health checks fail from now on.
    pub(super) fn drain(&self) {
        self.draining.store(true, Relaxed);
    }

    /// Ends all connections, and lets each engine end.
    pub(super) fn stop(&self, grace: Duration) {
        self.seats.iter().for_each(|seat| seat.port.handle.stop(grace));
    }
}

impl Source for Running {
    fn snapshot(&self) -> Snapshot {
        Snapshot {
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: self.since.elapsed().as_secs(),
            draining: self.is_draining(),
            engines: self.seats.iter().map(engine).collect(),
            ..Snapshot::default()
        }
    }

    fn purge(&self, _: &Purge) -> Purged {
        Purged { objects: 0, is_entered: false }
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    fn tcp(&self) -> Vec<Tcp> {
        self.seats.iter().filter_map(counters).collect()
    }

    fn connections(&self, limit: usize) -> Vec<Connection> {
        connections(&self.seats, limit)
    }

    fn capture(&self, snap: usize) -> Option<Box<dyn Capture>> {
        capture(&self.seats, snap)
    }
}

fn engine(seat: &Seat) -> Engine {
    let figure = |(name, help, value)| Figure { name, help, value };
    let stats = &seat.port.stats;
    Engine {
        transitions: transitions_of::<SocketProvider>(&seat.module),
        provider: Some(Provider {
            counters: stats.counters().into_iter().map(figure).collect(),
            gauges: stats.gauges().into_iter().map(figure).collect(),
        }),
        ..Engine::counted(seat.cpu, seat.port.handle.stats(), &seat.sockets)
    }
}
