//! What a configuration says about other servers, as the HTTP modules take it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use afpa_balancing::{
    BackendAddress, BackendConfig, BudgetConfig, HedgeConfig, HedgeDelay, LocalityConfig, MaglevConfig, OutlierConfig,
    PoolConfig, RetryConfig, StickyConfig, Strategy,
};
use afpa_cache::Cache;
use afpa_http::Kept;
use afpa_http::fetch::{FetchTimes, PoolPlan};
use afpa_http::remote::{Forwarding, HashOn, Relay, RoutePlan};
use afpa_http::syntax::ResponseLimits;
use afpa_http::syntax::client_address::AddressField;
use afpa_http::syntax::forward::Provenance;
use afpa_platform::clock;
use afpa_wire::network::Network;
use afpa_wire::proxy_protocol::{self as proxy_header, Carrier};

use super::health::CheckSettings;
use super::pools::{PoolSettings, Pools, PoolsSettings};
use super::{quality, resolve};
use crate::config::accelerate::{self, Forwarded};
use crate::config::pools::{self, Balance, HedgeAfter, ProxyProtocol, RetryOn, SameSite};
use crate::config::{Config, sites};

/// A backend's weight is at least that, so one that shall get nothing is drained instead.
const LEAST_WEIGHT: u32 = 1;

/// Starts to watch a configuration's pools, or goes on with those that are watched.
///
/// # Errors
/// A sentence about what cannot work.
pub(super) fn watch(config: &Config, previous: Option<&Arc<Pools>>) -> Result<Arc<Pools>, String> {
    let shortest = config.pools.iter().map(|pool| pool.resolve.0).min();
    let settings = PoolsSettings {
        pools: config.pools.iter().map(pool_settings).collect(),
        resolve_interval: shortest.unwrap_or(Duration::from_secs(30)),
    };
    match previous {
        Some(pools) => pools.reload(settings).map(|()| pools.clone()).map_err(|error| error.to_string()),
        None => {
            let pools = Pools::start(settings, resolve::system(), clock::now);
            pools.map(Arc::new).map_err(|error| error.to_string())
        }
    }
}

/// What engines need to let other servers answer.
///
/// # Errors
/// A sentence for each thing that is wrong, one a line.
pub(super) fn relay(
    config: &Config,
    pools: &Pools,
    cache: &Arc<Cache<Kept>>,
    engines: usize,
    previous: Option<&Relay>,
) -> Result<Relay, String> {
    let accelerate = &config.accelerate;
    let router = sites::router(config)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    let plans = config.pools.iter().map(|pool| plan(pool, pools, engines)).collect::<Result<_, _>>()?;
    let policies: Vec<RoutePlan> = accelerate.numbered_policies().map(|policy| route_plan(policy, config)).collect();
    let trusted = accelerate.trusted.clone();
    let senders = accelerate.proxy_protocol.clone();
    Ok(Relay {
        name: accelerate.name.clone(),
        router,
        policies,
        pools: plans,
        times: config.pools.iter().map(|pool| times(&accelerate.timeouts, pool)).collect(),
        hash_on: config.pools.iter().map(hash_on).collect(),
        proxy_protocol: config.pools.iter().map(|pool| proxy_protocol(pool.proxy_protocol)).collect(),
        deferred: sites::deferred(config).into_iter().map(ToOwned::to_owned).collect(),
        cache: cache.clone(),
        shared: previous.map(|relay| relay.shared.clone()).unwrap_or_default(),
        quality: quality::plan(config, engines, previous.and_then(|relay| relay.quality.as_ref()))?,
        limits: ResponseLimits {
            head: accelerate.response.head.0 as usize,
            fields: accelerate.response.fields as usize,
        },
        most_held: config.cache.size.0 / 2,
        forwarding: Forwarding {
            provenance: provenance(accelerate.forwarded),
            believed: match accelerate.forwarded {
                Forwarded::Forwarded => AddressField::Forwarded,
                _ => AddressField::XForwardedFor,
            },
            has_headers: !senders.is_empty(),
            sends_header: Arc::new(move |address: IpAddr| {
                senders.iter().any(|network: &Network| network.contains(address))
            }),
            is_trusted: Arc::new(move |address: IpAddr| {
                trusted.iter().any(|network: &Network| network.contains(address))
            }),
        },
    })
}

fn pool_settings(pool: &pools::Pool) -> PoolSettings {
    PoolSettings {
        config: pool_config(pool),
        check: pool.health.as_ref().map(|health| Arc::new(check(health, pool.proxy_protocol))),
    }
}

fn pool_config(pool: &pools::Pool) -> PoolConfig {
    let backends = pool.backends.iter().map(|backend| BackendConfig {
        weight: backend.weight.max(LEAST_WEIGHT),
        draining: backend.draining || backend.weight == 0,
        max_connections: pool.connections,
        max_requests: pool.connections,
        ..BackendConfig::new(address(&backend.address))
    });
    PoolConfig {
        strategy: strategy(pool),
        outliers: outliers(&pool.ejection),
        slow_start_ns: nanoseconds(pool.slow_start.0),
        sticky: pool.sticky.as_ref().map(|sticky| self::sticky(sticky, &pool.name)),
        ..PoolConfig::new(&pool.name, backends.collect())
    }
}

fn address(address: &pools::BackendAddress) -> BackendAddress {
    match address {
        pools::BackendAddress::Inet(address) => BackendAddress::Inet(*address),
        pools::BackendAddress::Unix(path) => BackendAddress::Unix(path.clone()),
        pools::BackendAddress::Name { host, port } => BackendAddress::Host(host.clone(), *port),
    }
}

fn strategy(pool: &pools::Pool) -> Strategy {
    match pool.balance {
        Balance::RoundRobin => Strategy::RoundRobin,
        Balance::Weighted => Strategy::Weighted,
        Balance::LeastRequests => Strategy::LeastRequests,
        Balance::TwoChoices => Strategy::TwoChoices { latency: false },
        Balance::Hash => Strategy::ConsistentHash(MaglevConfig {
            bounded_load: (pool.bounded_load > 100).then_some(pool.bounded_load),
            ..MaglevConfig::default()
        }),
        Balance::Locality => Strategy::Locality(LocalityConfig::default()),
    }
}

fn outliers(ejection: &pools::Ejection) -> Option<OutlierConfig> {
    (ejection.failures > 0 || ejection.latency > 0).then(|| OutlierConfig {
        consecutive_failures: ejection.failures,
        latency_percent: ejection.latency,
        base_ns: nanoseconds(ejection.time.0),
        max_percent: ejection.most,
        ..OutlierConfig::default()
    })
}

/// The key is the pool's name's: another machine with the same configuration names backends alike.
fn sticky(sticky: &pools::Sticky, pool: &str) -> StickyConfig {
    let (one, other) = (afpa_balancing::hash(pool.as_bytes()), afpa_balancing::hash(sticky.cookie.as_bytes()));
    let mut key = [0; 16];
    key[..8].copy_from_slice(&one.to_le_bytes());
    key[8..].copy_from_slice(&other.to_le_bytes());
    StickyConfig {
        path: sticky.path.clone(),
        max_age: (!sticky.max_age.0.is_zero()).then(|| sticky.max_age.0.as_secs().min(u64::from(u32::MAX)) as u32),
        secure: sticky.secure,
        http_only: sticky.http_only,
        same_site: Some(match sticky.same_site {
            SameSite::Lax => afpa_balancing::SameSite::Lax,
            SameSite::Strict => afpa_balancing::SameSite::Strict,
            SameSite::None => afpa_balancing::SameSite::None,
        }),
        ..StickyConfig::new(&sticky.cookie, key)
    }
}

/// Checks are nobody's requests, and a PROXY header says so.
fn check(health: &pools::Health, proxy_protocol: ProxyProtocol) -> CheckSettings {
    let mut preamble = Vec::new();
    match proxy_protocol {
        ProxyProtocol::Off => {}
        ProxyProtocol::V1 => preamble.extend_from_slice(b"PROXY UNKNOWN\r\n"),
        ProxyProtocol::V2 => proxy_header::write(None, Carrier::Stream, &mut preamble),
    }
    CheckSettings {
        target: health.path.clone(),
        host: health.host.clone(),
        preamble,
        interval: health.interval.0,
        connect_timeout: health.timeout.0,
        response_timeout: health.timeout.0,
        rise: health.rise,
        fall: health.fall,
        expected: health.expect.iter().map(|range| range.first..=range.last).collect(),
    }
}

fn plan(pool: &pools::Pool, pools: &Pools, engines: usize) -> Result<PoolPlan, String> {
    let state = pools.pool(&pool.name).ok_or_else(|| format!("the pool {} is not watched", pool.name))?;
    let of_engine = |limit: u32| (limit as usize).div_ceil(engines.max(1));
    Ok(PoolPlan {
        state,
        retries: retries(&pool.retry),
        hedge: pool.hedge.map(hedge),
        idle: of_engine(pool.idle_connections),
        idle_timeout: pool.idle_timeout.0,
        requests: pool.requests_per_connection,
        pending: of_engine(pool.pending),
    })
}

fn retries(retry: &pools::Retry) -> RetryConfig {
    let on = |cause: RetryOn| retry.on.contains(&cause);
    let statuses = [(RetryOn::Status502, 502), (RetryOn::Status503, 503), (RetryOn::Status504, 504)];
    RetryConfig {
        attempts: retry.attempts,
        on_connect: on(RetryOn::Connect),
        on_reset: on(RetryOn::Reset),
        on_timeout: on(RetryOn::Timeout),
        on_malformed: on(RetryOn::Status502),
        on_statuses: statuses.into_iter().filter(|(cause, _)| on(*cause)).map(|(_, status)| status).collect(),
        budget: BudgetConfig { percent: retry.budget, ..BudgetConfig::default() },
        ..RetryConfig::default()
    }
}

fn hedge(hedge: pools::Hedge) -> HedgeConfig {
    let delay = match hedge.after {
        HedgeAfter::Span(span) => HedgeDelay::Fixed(nanoseconds(span.0)),
        HedgeAfter::Percentile(percent) => {
            HedgeDelay::Percentile { percent, least_ns: 1_000_000, most_ns: 10_000_000_000 }
        }
    };
    HedgeConfig { delay, budget: BudgetConfig { percent: hedge.budget, ..BudgetConfig::default() } }
}

fn times(timeouts: &accelerate::Timeouts, pool: &pools::Pool) -> FetchTimes {
    // Zero is for ever; so is a century.
    let for_ever = |span: Duration| if span.is_zero() { Duration::from_secs(100 * 365 * 86_400) } else { span };
    FetchTimes {
        connect: for_ever(timeouts.connect.0),
        first_byte: for_ever(timeouts.first_byte.0).min(for_ever(pool.retry.try_timeout.0)),
        between_bytes: for_ever(timeouts.between_bytes.0),
        total: timeouts.total.0,
    }
}

fn hash_on(pool: &pools::Pool) -> Option<HashOn> {
    let hashes = matches!(pool.balance, Balance::Hash | Balance::Locality);
    hashes.then(|| match &pool.hash_on {
        pools::HashOn::Url => HashOn::Url,
        pools::HashOn::Client => HashOn::Client,
        pools::HashOn::Header(name) => HashOn::Field(name.clone()),
        pools::HashOn::Cookie(name) => HashOn::Cookie(name.clone()),
    })
}

fn proxy_protocol(wanted: ProxyProtocol) -> Option<u8> {
    match wanted {
        ProxyProtocol::Off => None,
        ProxyProtocol::V1 => Some(1),
        ProxyProtocol::V2 => Some(2),
    }
}

fn provenance(forwarded: Forwarded) -> Provenance {
    Provenance {
        x_forwarded: matches!(forwarded, Forwarded::XForwardedFor | Forwarded::Both),
        forwarded: matches!(forwarded, Forwarded::Forwarded | Forwarded::Both),
        x_real_ip: false,
    }
}

fn route_plan(policy: &accelerate::Policy, config: &Config) -> RoutePlan {
    let keeps = |method: &str| policy.methods.iter().any(|kept| kept == method);
    let seconds = |span: Duration| span.as_secs().min(u64::from(u32::MAX)) as u32;
    RoutePlan {
        semantics: afpa_caching::Policy {
            name: config.accelerate.name.as_str().into(),
            heuristic_percent: policy.heuristic_percent,
            heuristic_most: seconds(policy.heuristic_most.0),
            default_lifetime: seconds(policy.default_lifetime.0),
            lifetimes_by_status: policy.negative.iter().map(|(status, span)| (*status, seconds(span.0))).collect(),
            stale_while_revalidate: seconds(policy.stale_while_revalidate.0),
            stale_if_error: seconds(policy.stale_if_error.0),
            ..afpa_caching::Policy::default()
        },
        keeps: policy.cache && keeps("GET"),
        answers_head: keeps("HEAD"),
        largest: policy.max_object.0.min(config.cache.size.0 / 8),
        compresses: policy.compress,
        collapses: policy.collapse,
    }
}

fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
