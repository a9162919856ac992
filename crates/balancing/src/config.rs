//! Pools and backends as they are configured.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::sticky::StickyConfig;

/// The most backends of a pool, addresses of host names counted.
pub const MAX_BACKENDS: usize = 1024;
/// The most pools.
pub const MAX_POOLS: usize = 1 << 14;
/// The most places of a Maglev table.
pub const MAX_TABLE: u32 = 655_373;
/// The most targets that an engine assigns to backends.
pub const MAX_TARGETS: u32 = 1 << 22;
/// The largest weight.
pub const MAX_WEIGHT: u32 = 65_535;

/// A pool.
#[derive(Clone, PartialEq, Debug)]
pub struct PoolConfig {
    /// Its name; unique.
    pub name: String,
    /// Its backends: at most [`MAX_BACKENDS`]. None is allowed, because a host name may have no address for a while.
    pub backends: Vec<BackendConfig>,
    /// How one is chosen.
    pub strategy: Strategy,
    /// What happens while no backend works.
    pub all_unhealthy: AllUnhealthy,
    /// When traffic alone shows that a backend is worse than the others; `None`: never.
    pub outliers: Option<OutlierConfig>,
    /// How long a backend that returns, or is new in a pool that runs, gets less than its share, in nanoseconds; zero
    /// by default: it gets all of it at once.
    pub slow_start_ns: u64,
    /// How clients stay with their backend; `None`: they do not.
    pub sticky: Option<StickyConfig>,
}

/// A backend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackendConfig {
    /// Its name in logs and metrics; unique in its pool.
    pub name: String,
    /// Where it is.
    pub address: BackendAddress,
    /// Its share, compared with the others' of the pool: 1 to [`MAX_WEIGHT`]; 1 by default.
    pub weight: u32,
    /// Whether it gets no more requests than such of clients that are with it.
    pub draining: bool,
    /// The most requests in flight that an engine has there; 1,024 by default.
    pub max_requests: u32,
    /// The most connections that an engine has there; 1,024 by default.
    pub max_connections: u32,
    /// How many requests a connection carries at once: 1 by default, as in HTTP/1.1.
    pub streams: u32,
}

/// Where a backend is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum BackendAddress {
    /// At an address.
    Inet(SocketAddr),
    /// At a socket of this machine.
    Unix(PathBuf),
    /// At each address of a host name, on a port. [`PoolConfig::resolved`] makes backends of it.
    Host(String, u16),
}

/// How a pool chooses among the backends that may be chosen. Each way respects weights.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Strategy {
    /// One after another, a heavier one more often, its turns spread (smooth weighted round robin).
    #[default]
    RoundRobin,
    /// By lot.
    Weighted,
    /// The one with the fewest requests in flight, those of all engines counted; among equals one is drawn.
    LeastRequests,
    /// Two are drawn, and the one with fewer requests in flight is taken: nearly as even as the fewest of all, and
    /// engines that look at the same moment do not all run to the same one.
    TwoChoices {
        /// Whether requests in flight are multiplied with the backend's latency.
        latency: bool,
    },
    /// The same one for the same hash, whichever engine asks. Without a backend its hashes spread over the others, and
    /// few others move. A request without a hash is placed by lot.
    ConsistentHash(MaglevConfig),
    /// The same one for the same target, as long as it is not overloaded: backends' caches do not repeat each other
    /// (Pai et al., *Locality-Aware Request Distribution*, 1998). A request without a hash goes to the least loaded.
    Locality(LocalityConfig),
}

/// Consistent hashing (Eisenbud et al., *Maglev*, 2016, §3.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MaglevConfig {
    /// Places of the table: a prime, at most [`MAX_TABLE`], by default 65,537. With a hundred for each backend, shares
    /// differ by about a percent.
    pub table: u32,
    /// How much more than its share of an engine's requests in flight a backend gets at most, in percent of the share:
    /// 101 to 10,000 (Mirrokni et al., *Consistent Hashing with Bounded Loads*). `None`: no bound.
    pub bounded_load: Option<u32>,
}

/// Locality-aware distribution. Loads are requests in flight, those of all engines counted, of a backend of the pool's
/// mean weight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LocalityConfig {
    /// T_low: below it a backend has room; 25 by default.
    pub low: u32,
    /// T_high: above it a target moves if a backend has room, and at twice as much it moves in any case; 65 by default.
    pub high: u32,
    /// The most targets that an engine remembers: 4 to [`MAX_TARGETS`]; 65,536 by default. The one that was not asked
    /// for longest is forgotten, among some.
    pub targets: u32,
}

/// What happens while no backend of a pool works.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AllUnhealthy {
    /// Requests are refused.
    Refuse,
    /// Any is tried: more likely what finds them broken is broken.
    #[default]
    TryAny,
}

/// When traffic alone shows that a backend is worse than the others of its pool. It then gets none for a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutlierConfig {
    /// Failures in a row, on all engines; 5 by default, zero: not looked at.
    pub consecutive_failures: u32,
    /// Whether answers of status 500 and above are failures here. Not by default: a client that finds a request
    /// which makes any backend answer so could have all of them ejected.
    pub server_errors: bool,
    /// How often success rates and latencies are compared, in nanoseconds; 10 s by default.
    pub interval_ns: u64,
    /// Requests that ended in an interval, below which a backend is not compared; 100 by default.
    pub min_requests: u32,
    /// Backends that can be compared, below which none is; 5 by default.
    pub min_backends: u32,
    /// How many thousandths of a standard deviation a success rate may be below the mean; 1,900 by default, zero: not
    /// looked at.
    pub success_deviations: u32,
    /// How many percent of the median of all a mean latency may be; 0 by default: not looked at.
    pub latency_percent: u32,
    /// For how long a backend is ejected the first time, in nanoseconds; 30 s by default. The second time it is twice
    /// as long, and so on; each interval without an ejection takes one time off.
    pub base_ns: u64,
    /// The longest ejection, in nanoseconds; 300 s by default.
    pub max_ns: u64,
    /// How many percent of the pool's backends are ejected at most, rounded down: 0 to 100; 50 by default.
    pub max_percent: u32,
}

impl PoolConfig {
    /// A pool with everything else as by default.
    pub fn new(name: &str, backends: Vec<BackendConfig>) -> PoolConfig {
        PoolConfig {
            name: name.to_owned(),
            backends,
            strategy: Strategy::default(),
            all_unhealthy: AllUnhealthy::default(),
            outliers: Some(OutlierConfig::default()),
            slow_start_ns: 0,
            sticky: None,
        }
    }

    /// The same with a backend for each address of each host name, named `name@address`. What `addresses` returns
    /// none for has no backend. Addresses that would be more than [`MAX_BACKENDS`] are left out.
    pub fn resolved(&self, addresses: impl Fn(&str, u16) -> Vec<SocketAddr>) -> PoolConfig {
        let mut backends = Vec::with_capacity(self.backends.len());
        for backend in &self.backends {
            let BackendAddress::Host(host, port) = &backend.address else {
                backends.push(backend.clone());
                continue;
            };
            backends.extend(addresses(host, *port).into_iter().map(|address| BackendConfig {
                name: format!("{}@{address}", backend.name),
                address: BackendAddress::Inet(address),
                ..backend.clone()
            }));
        }
        backends.truncate(MAX_BACKENDS);
        PoolConfig { backends, ..self.clone() }
    }
}

impl BackendConfig {
    /// A backend at `address` with everything else as by default, named after its address.
    pub fn new(address: BackendAddress) -> BackendConfig {
        BackendConfig {
            name: address.to_string(),
            address,
            weight: 1,
            draining: false,
            max_requests: 1024,
            max_connections: 1024,
            streams: 1,
        }
    }
}

impl fmt::Display for BackendAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BackendAddress::Inet(address) => write!(f, "{address}"),
            BackendAddress::Unix(path) => write!(f, "unix:{}", path.display()),
            BackendAddress::Host(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

impl Default for MaglevConfig {
    fn default() -> MaglevConfig {
        MaglevConfig { table: 65_537, bounded_load: None }
    }
}

impl Default for LocalityConfig {
    fn default() -> LocalityConfig {
        LocalityConfig { low: 25, high: 65, targets: 65_536 }
    }
}

impl Default for OutlierConfig {
    fn default() -> OutlierConfig {
        OutlierConfig {
            consecutive_failures: 5,
            server_errors: false,
            interval_ns: 10_000_000_000,
            min_requests: 100,
            min_backends: 5,
            success_deviations: 1_900,
            latency_percent: 0,
            base_ns: 30_000_000_000,
            max_ns: 300_000_000_000,
            max_percent: 50,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_becomes_a_backend_for_each_address() {
        let inet = BackendConfig::new(BackendAddress::Inet("192.0.2.9:80".parse().unwrap()));
        let host = BackendConfig { weight: 3, ..BackendConfig::new(BackendAddress::Host("a.example".into(), 8080)) };
        let gone = BackendConfig::new(BackendAddress::Host("b.example".into(), 80));
        let pool = PoolConfig::new("pool", vec![inet.clone(), host, gone]);
        let resolved = pool.resolved(|host, port| match host {
            "a.example" => vec![([192, 0, 2, 1], port).into(), ([192, 0, 2, 2], port).into()],
            _ => Vec::new(),
        });
        let names: Vec<_> = resolved.backends.iter().map(|backend| (&*backend.name, backend.weight)).collect();
        let expected =
            [("192.0.2.9:80", 1), ("a.example:8080@192.0.2.1:8080", 3), ("a.example:8080@192.0.2.2:8080", 3)];
        assert_eq!(names, expected);
        assert_eq!(pool.backends.len(), 3, "what was configured stays");
    }

    #[test]
    fn addresses_beyond_the_most_are_left_out() {
        let host = BackendConfig::new(BackendAddress::Host("a.example".into(), 80));
        let pool = PoolConfig::new("pool", vec![host]);
        let resolved = pool.resolved(|_, port| (0..5000u16).map(|n| ([10, 0, 0, 1], port + n).into()).collect());
        assert_eq!(resolved.backends.len(), MAX_BACKENDS);
    }
}
