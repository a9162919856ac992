//! What the server tells about itself: plain numbers, taken at one moment.

mod capture;
mod connection;
mod dns;
mod purge;
mod relay;
mod tcp;

use afpa_engine::stats::EngineStats;
use afpa_sockets::SocketsStats;
use serde::Serialize;

pub use capture::{Capture, CapturedFrame, Taken};
pub use connection::{CongestionState, Connection, State};
pub use dns::{BackendEvents, Dns, Driver, Family};
pub use purge::{Purge, Purged, Subject};
pub use relay::{Backend, Class, Key, Pool, Relay};
pub use tcp::{Drops, Resets, Tcp};

/// Where the admin server gets its numbers, and whom it tells to purge.
pub trait Source: Send + Sync + 'static {
    /// The numbers now.
    fn snapshot(&self) -> Snapshot;

    /// Drops objects from the cache.
    fn purge(&self, purge: &Purge) -> Purged;

    /// Whether who shows `token` may purge.
    fn may_purge(&self, token: Option<&[u8]>) -> bool {
        let _ = token;
        true
    }

    /// Whether the server finishes what is in flight and accepts nothing new.
    fn is_draining(&self) -> bool;

    /// What the direct transport's TCP counted until now, for each engine; none without that transport.
    fn tcp(&self) -> Vec<Tcp> {
        Vec::new()
    }

    /// At most `limit` connections of the direct transport, in no order; none without that transport.
    /// May wait a moment for the engines to answer.
    fn connections(&self, limit: usize) -> Vec<Connection> {
        let _ = limit;
        Vec::new()
    }

    /// Starts to copy the first `snap` octets of every frame that the direct transport receives or sends.
    /// `None` without that transport.
    fn capture(&self, snap: usize) -> Option<Box<dyn Capture>> {
        let _ = snap;
        None
    }
}

/// Everything that is counted.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Snapshot {
    /// The program's version.
    pub version: &'static str,
    /// Since the server was ready.
    pub uptime_seconds: u64,
    /// Whether it is stopping.
    pub draining: bool,
    /// One for each core.
    pub engines: Vec<Engine>,
    /// The shared cache.
    pub cache: Cache,
    /// The access log.
    pub log: Log,
    /// Answers that the driver gives, if it may.
    pub driver: Option<Driver>,
    /// Other servers that answer.
    pub pools: Vec<Pool>,
    /// Classes of requests, if there are any.
    pub classes: Vec<Class>,
    /// What is asked for most of late where requests have routes, the most wanted first.
    pub top_keys: Vec<Key>,
    /// What is under way, if other servers answer.
    pub relay: Option<Relay>,
}

/// What one engine counts.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Engine {
    /// Its CPU.
    pub core: usize,
    /// Connections alive.
    pub connections: u64,
    /// Connections accepted or opened.
    pub connected: u64,
    /// Octets received.
    pub received_octets: u64,
    /// Octets that TCP has taken over.
    pub sent_octets: u64,
    /// Connections that the peer reset.
    pub resets: u64,
    /// Connections that TCP gave up on.
    pub timeouts: u64,
    /// How often accepting was paused, at a limit.
    pub accept_pauses: u64,
    /// Jobs that the workers had no room for.
    pub refused_jobs: u64,
    /// Fragments of the cache that TCP holds at the moment.
    pub pins: u64,
    /// Responses by status.
    pub responses: Vec<Responses>,
    /// Answers by what the cache did.
    pub cache: Vec<CacheOutcomes>,
    /// Rows of the control tables, by how often each was taken.
    pub transitions: Vec<Transition>,
    /// How long requests took.
    pub latency: Latency,
    /// DNS, if that is served.
    pub dns: Option<Dns>,
    /// Sockets of other processes, if the server has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
}

impl Engine {
    /// What any engine counts, whatever its modules are.
    pub(crate) fn counted(core: usize, counters: &EngineStats, sockets: &SocketsStats) -> Engine {
        Engine {
            core,
            connections: counters.open.get(),
            connected: counters.connected.get(),
            received_octets: counters.received_octets.get(),
            sent_octets: counters.sent_octets.get(),
            resets: counters.resets.get(),
            timeouts: counters.timeouts.get(),
            accept_pauses: sockets.accept_pauses(),
            refused_jobs: counters.refused_jobs.get(),
            ..Engine::default()
        }
    }
}

/// What one engine counts of the sockets of other processes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Provider {
    /// What only grows.
    pub counters: Vec<Figure>,
    /// What holds at the moment.
    pub gauges: Vec<Figure>,
}

/// A number with its name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// Its name in metrics.
    pub name: &'static str,
    /// What it says.
    #[serde(skip)]
    pub help: &'static str,
    /// The number.
    pub value: u64,
}

/// Responses of one status.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Responses {
    /// The status.
    pub status: u16,
    /// How many.
    pub count: u64,
}

/// Answers in which the cache had one part.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CacheOutcomes {
    /// The part: hit, miss, ...
    pub outcome: &'static str,
    /// How many.
    pub count: u64,
}

/// One row of a control table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Transition {
    /// The module.
    pub module: &'static str,
    /// The state whose function returned.
    pub state: &'static str,
    /// What it returned.
    pub outcome: &'static str,
    /// How often.
    pub count: u64,
}

/// How long requests took, from being read to the last octet being handed to TCP.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Latency {
    /// The sum, in nanoseconds.
    pub sum_nanos: u64,
    /// Buckets that are not empty, ascending: the largest value that it may hold, in nanoseconds, and its count.
    pub buckets: Vec<(u64, u64)>,
}

/// What the shared cache counts.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Cache {
    /// Objects in it.
    pub objects: u64,
    /// Of those, objects that are sent from a file.
    pub files: u64,
    /// Octets of memory it holds, bookkeeping included.
    pub used_octets: u64,
    /// Octets of memory it may hold.
    pub capacity_octets: u64,
    /// Octets of it that are locked in memory.
    pub locked_octets: u64,
    /// Of the memory it holds, heads and payloads.
    pub pinned_octets: u64,
    /// Objects taken in.
    pub admitted: u64,
    /// Of those, objects that had been dropped a little earlier.
    pub readmitted: u64,
    /// Objects that found no room.
    pub rejected: u64,
    /// Objects dropped for others.
    pub evicted: u64,
    /// Times that objects were to be dropped because their file changed, or by order.
    pub purges: u64,
}

/// What the access log counts.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Log {
    /// Lines written.
    pub written: u64,
    /// Records lost because a ring was full.
    pub dropped: u64,
    /// Lines lost because writing failed.
    pub failed: u64,
}
