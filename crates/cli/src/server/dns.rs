//! DNS's part of a server: what its configuration means to the module, and each engine's part of it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use afpa_cache::{Cache, CacheConfig};
use afpa_dns::cache::{Details, Policy};
use afpa_dns::driver::{Audience, Obstacle};
use afpa_dns::fetch::{self, Shared};
use afpa_dns::protect::{ClientRateConfig, CookieSecrets, ResponseRateConfig, Secret};
use afpa_dns::query_log::Recorder;
use afpa_dns::route::RouteConfig;
use afpa_dns::upstream::{BackendConfig, FlightLimits, HealthConfig, PoolConfig, Pools, Random};
use afpa_dns::zone::{self, Zone, Zones};
use afpa_dns::{Dns, DnsStats, Fetch, Global, Limits, Parts, Settings};
use afpa_engine::stats::ModuleStats;
use afpa_engine::{Engine, Owner};
use afpa_platform::memory::Arena;
use afpa_platform::steering::Answers;

use super::direct;
use crate::access_log::BackendNames;
use crate::config::Config;
use crate::config::dns::{self, DEFAULT_POOL};

/// Backends that reloads may add until they are no longer counted.
const SPARE_BACKENDS: usize = 64;

/// What DNS serves, and how: what a reload replaces.
#[derive(Clone)]
pub(super) struct DnsServing {
    settings: Arc<Settings>,
    upstream: Arc<Upstream>,
}

/// Whom engines ask.
pub(super) struct Upstream {
    policy: Policy,
    pools: Vec<PoolConfig>,
    routes: Vec<RouteConfig>,
    flights: usize,
    /// The names of all backends that there ever were, by their numbers.
    names: BackendNames,
    /// The numbers of those that there are, in the order of the pools.
    numbers: Vec<usize>,
}

/// What an engine needs to serve DNS.
pub(super) struct DnsPlan {
    pub(super) serving: DnsServing,
    pub(super) recorder: Option<Recorder>,
    pub(super) engines: usize,
    /// What the driver may be left answers by.
    pub(super) answers: Option<Answers>,
}

/// DNS on an engine.
pub(super) struct DnsSeat {
    pub(super) owner: Owner,
    pub(super) module: Arc<ModuleStats>,
    pub(super) fetcher: Owner,
    pub(super) fetch: Arc<ModuleStats>,
    pub(super) stats: Arc<DnsStats>,
}

impl DnsServing {
    /// Reads the zones and makes an empty cache, or takes over that of `previous`. Nothing that runs is touched.
    ///
    /// # Errors
    /// A sentence for each thing that is wrong, one a line.
    pub(super) fn prepare(
        config: &Config,
        dns: &dns::Dns,
        engines: usize,
        previous: Option<&DnsServing>,
    ) -> Result<DnsServing, String> {
        let cache = match previous {
            Some(previous) => previous.settings.cache.clone(),
            None => cache(config, dns, engines)?,
        };
        let names = previous.map(|previous| previous.names().clone()).unwrap_or_default();
        let upstream = Upstream::new(dns, names)?;
        let settings = Settings {
            zones: Arc::new(zones(dns)?),
            transfers: dns
                .zones
                .iter()
                .map(|zone| (zone.name.clone(), zone.transfer.iter().copied().collect()))
                .collect(),
            cache,
            forwards: !dns.backends.is_empty() || !dns.routes.is_empty(),
            forward_access: dns.clients.of_backends(),
            zone_access: dns.clients.of_zones(),
            proxies: dns.clients.proxy_protocol.iter().copied().collect(),
            udp_size: dns.udp_size,
            nsid: dns.nsid.clone().map(String::into_bytes),
            cookies: dns.cookies.enabled.then(|| cookies(&dns.cookies, previous)).transpose()?,
            response_rate: dns.rate_limit.as_ref().map(|limit| response_rate(limit, engines)),
            client_rate: client_rate(&dns.limits),
            limits: Limits {
                pipelined: dns.limits.pipelined,
                idle_timeout: dns.limits.idle_timeout.0,
                query_timeout: dns.limits.query_timeout.0,
                patience: patience(&upstream.pools),
            },
        };
        Ok(DnsServing { settings: Arc::new(settings), upstream: Arc::new(upstream) })
    }

    /// The backends' names, by their numbers.
    pub(super) fn names(&self) -> &BackendNames {
        &self.upstream.names
    }

    pub(super) fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// Whether the driver may be left answers; if it may, it learns whom they are for, and is turned on. Call it again
    /// after a reload. For `partial_checksums` see [`Answers::turn_on`].
    pub(super) fn admit(&self, answers: &Answers, logs: bool, partial_checksums: bool) -> bool {
        let obstacle = Obstacle::of(&self.settings, &self.upstream.routes, logs).map(|obstacle| obstacle.to_string());
        let admitted = match obstacle {
            Some(obstacle) => Err(obstacle),
            None => answers.admit(&Audience::of(&self.settings).admissions).map_err(|error| error.to_string()),
        };
        match &admitted {
            Ok(()) => answers.turn_on(partial_checksums),
            Err(reason) => {
                answers.turn_off();
                tracing::warn!("the driver answers nothing: {reason}");
            }
        }
        admitted.is_ok()
    }

    /// Replaces what an engine's module has.
    pub(super) fn apply(&self, global: &mut Global) {
        let Upstream { policy, pools, routes, numbers, .. } = &*self.upstream;
        // It was tried when the configuration was prepared.
        if let Err(error) = global.reload(self.settings.clone(), *policy, pools.clone(), routes, DEFAULT_POOL) {
            tracing::error!("the backends stay as they were: {error}");
            return;
        }
        global.number_backends(numbers.clone());
    }
}

impl Upstream {
    fn new(dns: &dns::Dns, names: BackendNames) -> Result<Upstream, String> {
        let in_use = dns.pools_in_use();
        let pools: Vec<PoolConfig> = in_use.iter().map(|pool| pool_config(pool, &dns.backends)).collect();
        let routes: Vec<RouteConfig> = dns.routes.iter().map(route).collect();
        let mut random = Random::new();
        // What an engine would find wrong, it is too late to say there.
        Pools::new(pools.clone(), &mut || random.next_u64()).map_err(|error| error.to_string())?;
        let backends = pools.iter().flat_map(|pool| &pool.backends);
        let numbers = names.numbers(backends.map(|backend| backend.name.as_str()));
        let flights = dns.limits.flights as usize;
        Ok(Upstream { policy: policy(&dns.cache), pools, routes, flights, names, numbers })
    }
}

impl DnsPlan {
    /// The memory of the cache.
    pub(super) fn arena(&self) -> Arc<Arena> {
        self.serving.settings.cache.arena().clone()
    }

    /// Puts both modules on the engine.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub(super) fn install(self, engine: &mut Engine) -> Result<DnsSeat, String> {
        let DnsPlan { serving: DnsServing { settings, upstream }, recorder, engines, answers } = self;
        let waker = engine.handle().waker();
        let view = settings.cache.view(Arc::new(move || waker.wake()));
        let flights = upstream.flights.div_ceil(engines);
        let limits = FlightLimits { flights, ..FlightLimits::default() };
        let (pools, routes) = (upstream.pools.clone(), &upstream.routes);
        let shared = Shared::new(view, upstream.policy, pools, routes, DEFAULT_POOL, limits, engines);
        let shared = Rc::new(RefCell::new(shared.map_err(|error| error.to_string())?));
        let stats = Arc::new(DnsStats::new(upstream.numbers.len() + SPARE_BACKENDS));
        let (fetcher, fetch) = engine.install::<Fetch>(fetch::Global::new(shared.clone(), stats.clone()));
        let hash_key = direct::random().map_err(|error| format!("there are no random numbers: {error}"))?;
        let parts =
            Parts { settings, shared, fetcher, stats: stats.clone(), log: recorder, engines, hash_key, answers };
        let (owner, module) = engine.install::<Dns>(Global::new(parts, SystemTime::now));
        Ok(DnsSeat { owner, module, fetcher, fetch, stats })
    }
}

fn cache(config: &Config, dns: &dns::Dns, engines: usize) -> Result<Arc<Cache<Details>>, String> {
    let frames = if config.has_site() { 0 } else { direct::frame_memory(config) };
    let cache = CacheConfig { capacity: dns.cache.size.0, max_pinned_object: 1 << 16, engines, frames };
    Cache::new(cache).map_err(|error| format!("a cache of {} cannot be made: {error}", dns.cache.size))
}

/// Every zone, or every error.
fn zones(dns: &dns::Dns) -> Result<Zones, String> {
    let (mut zones, mut errors) = (Vec::new(), Vec::new());
    for config in &dns.zones {
        match Zone::load(config.name.as_name(), &config.file, zone::Limits::default()) {
            Ok(zone) => {
                tracing::info!("zone {}: serial {}, {} records", zone.apex(), zone.serial(), zone.record_count());
                zones.push(Arc::new(zone));
            }
            Err(error) => errors.push(error.to_string()),
        }
    }
    if errors.is_empty() { Ok(Zones::new(zones)) } else { Err(errors.join("\n")) }
}

fn policy(cache: &dns::Cache) -> Policy {
    Policy {
        min_ttl: cache.min_ttl.0,
        max_ttl: cache.max_ttl.0,
        max_negative_ttl: cache.max_negative_ttl.0,
        failure_ttl: cache.failure_ttl.0,
        stale: cache.stale.0,
        stale_ttl: cache.stale_ttl.0,
        prefetch_percent: cache.prefetch as u8,
    }
}

/// Clients wait for as long as the slowest pool may take, and no longer than stub resolvers do.
fn patience(pools: &[PoolConfig]) -> Duration {
    pools.iter().map(|pool| pool.patience).max().unwrap_or(Limits::default().patience)
}

fn pool_config(pool: &dns::Pool, backends: &[dns::Backend]) -> PoolConfig {
    let mine = backends.iter().filter(|backend| backend.pool == pool.name).map(|backend| BackendConfig {
        name: backend.name.clone(),
        tcp: backend.tcp,
        weight: backend.weight,
        proxy_protocol: backend.proxy_protocol,
        ..BackendConfig::new(backend.address)
    });
    let defaults = PoolConfig::new(&pool.name, mine.collect());
    PoolConfig {
        balance: pool.balance,
        timeout: pool.timeout.0,
        attempts: pool.attempts,
        subnet: pool.ecs,
        mixed_case: pool.mixed_case,
        health: HealthConfig {
            checks: !pool.health_interval.0.is_zero(),
            name: pool.health_name.clone(),
            qtype: pool.health_type,
            interval: if pool.health_interval.0.is_zero() { defaults.health.interval } else { pool.health_interval.0 },
            failures: pool.health_failures,
            ..defaults.health
        },
        ..defaults
    }
}

fn route(route: &dns::Route) -> RouteConfig {
    RouteConfig {
        suffixes: route.suffix.iter().cloned().collect(),
        qtypes: route.kind.into_iter().collect(),
        qclass: route.class,
        clients: route.clients.clone(),
        action: route.action.clone(),
    }
}

fn response_rate(limit: &dns::RateLimit, engines: usize) -> ResponseRateConfig {
    ResponseRateConfig {
        responses_per_second: limit.responses_per_second,
        errors_per_second: limit.errors_per_second,
        window: limit.window.0,
        slip: limit.slip,
        ipv4_prefix: limit.ipv4_prefix as u8,
        ipv6_prefix: limit.ipv6_prefix as u8,
        entries: (limit.table as usize).div_ceil(engines),
        exempt: limit.exempt.iter().copied().collect(),
    }
}

fn client_rate(limits: &dns::Limits) -> Option<ClientRateConfig> {
    let rate = limits.per_client_rate;
    (rate > 0).then(|| ClientRateConfig { questions_per_second: rate, ..ClientRateConfig::default() })
}

/// The configured secrets, or a random one, which a reload keeps.
fn cookies(cookies: &dns::Cookies, previous: Option<&DnsServing>) -> Result<CookieSecrets, String> {
    let mut secrets = cookies.secrets.iter().copied();
    if let Some(signing) = secrets.next() {
        return Ok(CookieSecrets::new(signing, secrets.next()));
    }
    if let Some(known) = previous.and_then(|previous| previous.settings.cookies.clone()) {
        return Ok(known);
    }
    let random = direct::random().map_err(|error| format!("there are no random numbers: {error}"))?;
    Ok(CookieSecrets::new(Secret(random), None))
}
