//! What a configuration says about classes of requests, as the HTTP module takes it: the part of one engine.

use afpa_classes::{ClassConfig, ClientLimits, Limit, OverloadConfig};
use afpa_http::quality::{ClassPlan, QualityPlan};

use crate::config::Config;
use crate::config::classes::{Class, Overload};
use crate::config::pools::Pool;

/// The highest priority.
const HIGHEST: u32 = 7;
/// A burst of responses is a tenth of what may be sent in a second, and at least a packet.
const BURST: u64 = 10;
const LEAST_BURST: u64 = 1460;

/// Classes and limits, if there are any. Those of the same name as in `previous` go on counting.
///
/// # Errors
/// A sentence about what cannot work.
pub(super) fn plan(
    config: &Config,
    engines: usize,
    previous: Option<&QualityPlan>,
) -> Result<Option<QualityPlan>, String> {
    if !config.has_classes() {
        return Ok(None);
    }
    let classes = config.classes.iter().map(|class| ClassPlan {
        config: class_config(class, engines),
        rule: class.rule.clone(),
        stats: Vec::new(),
    });
    let mut plan = QualityPlan::new(classes.collect(), engines, previous).map_err(|error| error.to_string())?;
    let Overload { client_requests, client_connections, .. } = config.overload;
    let rate = Limit::per_second(client_requests.into(), client_requests.into());
    let in_flight = (client_connections > 0).then_some(client_connections);
    // Of each engine: a client with one connection is at one engine, and gets what it may there.
    plan.clients = ClientLimits { rate, ..ClientLimits::default() };
    plan.connections = ClientLimits { in_flight, ..ClientLimits::default() };
    plan.overload = overload(&config.overload);
    plan.capacity = capacity(config, engines);
    Ok(Some(plan))
}

fn class_config(class: &Class, engines: usize) -> ClassConfig {
    let divided = |limit: Limit| limit.divided(engines);
    let bandwidth = class.bandwidth.0;
    ClassConfig {
        name: class.name.clone(),
        priority: HIGHEST.saturating_sub(class.priority) as u8,
        weight: class.weight,
        rate: Limit::per_second(class.rate.into(), class.burst.into()).map(divided),
        concurrency: (class.concurrency > 0).then(|| class.concurrency.div_ceil(engines as u32)),
        bandwidth: Limit::per_second(bandwidth, (bandwidth / BURST).max(LEAST_BURST)).map(divided),
        queue: class.queue,
        queue_timeout: class.queue_timeout.0.as_nanos() as u64,
        sheddable: true,
    }
}

fn overload(overload: &Overload) -> Option<OverloadConfig> {
    let [target, interval] = [overload.target_delay, overload.interval].map(|span| span.0.as_nanos() as u64);
    (target > 0).then_some(OverloadConfig { target, interval })
}

/// What is written, or as many as there may be connections to backends; those are of each engine already.
fn capacity(config: &Config, engines: usize) -> u32 {
    if config.overload.capacity > 0 {
        return config.overload.capacity.div_ceil(engines as u32);
    }
    let of_pool = |pool: &Pool| {
        let takers = pool.backends.iter().filter(|backend| backend.weight > 0 && !backend.draining);
        u64::from(pool.connections) * takers.count() as u64
    };
    match config.pools.iter().map(of_pool).sum::<u64>() {
        0 => u32::MAX,
        connections => connections.min(u32::MAX.into()) as u32,
    }
}
