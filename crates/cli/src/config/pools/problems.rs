//! What is well written and still cannot work.

use std::collections::HashSet;

use super::model::is_token;
use super::{BackendAddress, Balance, HashOn, HedgeAfter, Pool, SameSite};
use crate::config::Config;
use crate::config::problems::{Problem, span_within};
use crate::units::{ListenAddress, Span};

const HOUR: Span = Span::seconds(3600);
const DAY: Span = Span::seconds(86_400);
const MILLISECOND: Span = Span::milliseconds(1);
const SECOND: Span = Span::seconds(1);

/// Everything that contradicts itself or lies outside its bounds. Looks at nothing but `config`.
pub(in crate::config) fn problems(config: &Config, found: &mut Vec<Problem>) {
    let mut names = HashSet::new();
    for (i, pool) in config.pools.iter().enumerate() {
        let key = |name: &str| format!("pools[{i}].{name}");
        if !names.insert(&pool.name) {
            found.push(Problem::new(key("name"), format!("expected each pool once, found {:?} twice", pool.name)));
        }
        backends(config, i, pool, found);
        spans(i, pool, found);
        health(i, pool, found);
        cookies(i, pool, found);
        if pool.hash_on != HashOn::Url && !matches!(pool.balance, Balance::Hash | Balance::Locality) {
            let other = pool.balance.to_string();
            let message = format!("expected balance = \"hash\" or \"locality\" beside it, found {other:?}");
            found.push(Problem::new(key("hash-on"), message));
        }
        if matches!(pool.bounded_load, 1..=100) {
            let message = format!("expected more than 100, or 0, found {}; all get the average", pool.bounded_load);
            found.push(Problem::new(key("bounded-load"), message));
        }
        if matches!(pool.ejection.latency, 1..=100) {
            let message =
                format!("expected more than 100, or 0, found {}; some always take longer", pool.ejection.latency);
            found.push(Problem::new(key("ejection.latency"), message));
        }
    }
}

fn backends(config: &Config, i: usize, pool: &Pool, found: &mut Vec<Problem>) {
    if pool.backends.is_empty() {
        found.push(Problem::new(format!("pools[{i}]"), "expected at least one section [[pools.backends]], found none"));
    } else if pool.backends.iter().all(|backend| backend.weight == 0 || backend.draining) {
        let message = "expected a backend with a weight that is not draining, found none";
        found.push(Problem::new(format!("pools[{i}].backends"), message));
    }
    let mut seen = HashSet::new();
    for (j, backend) in pool.backends.iter().enumerate() {
        let key = format!("pools[{i}].backends[{j}].address");
        let address = &backend.address;
        if !seen.insert(address) {
            found.push(Problem::new(&key, format!("expected each backend once, found {address} twice")));
        }
        if config.listen.iter().any(|own| is_same(own, address)) {
            let message = format!("expected another server, since listen has this address, found {address}");
            found.push(Problem::new(key, message));
        }
    }
}

/// Whether asking there is asking ourselves.
fn is_same(own: &ListenAddress, backend: &BackendAddress) -> bool {
    match (own, backend) {
        (ListenAddress::Inet(own), BackendAddress::Inet(backend)) => {
            let everywhere = own.ip().is_unspecified() && backend.ip().is_loopback();
            own.port() != 0 && own.port() == backend.port() && (own.ip() == backend.ip() || everywhere)
        }
        (ListenAddress::Unix(own), BackendAddress::Unix(backend)) => own == backend,
        _ => false,
    }
}

fn spans(i: usize, pool: &Pool, found: &mut Vec<Problem>) {
    let zero = Span::seconds(0);
    for (key, span, least, most) in [
        ("resolve", pool.resolve, SECOND, DAY),
        ("idle-timeout", pool.idle_timeout, MILLISECOND, DAY),
        ("tcp-keep-alive", pool.tcp_keep_alive, zero, DAY),
        ("slow-start", pool.slow_start, zero, HOUR),
        ("ejection.time", pool.ejection.time, MILLISECOND, DAY),
        ("retry.try-timeout", pool.retry.try_timeout, zero, HOUR),
    ] {
        span_within(format!("pools[{i}].{key}"), span, least, most, found);
    }
    if let Some(HedgeAfter::Span(span)) = pool.hedge.map(|hedge| hedge.after) {
        span_within(format!("pools[{i}].hedge.after"), span, MILLISECOND, HOUR, found);
    }
}

fn health(i: usize, pool: &Pool, found: &mut Vec<Problem>) {
    let Some(health) = &pool.health else { return };
    let key = |name: &str| format!("pools[{i}].health.{name}");
    if !health.path.starts_with('/') || !health.path.bytes().all(|octet| matches!(octet, b'!'..=b'~')) {
        let message = format!("expected a path that starts with /, as it is sent, found {:?}", health.path);
        found.push(Problem::new(key("path"), message));
    }
    if let Some(host) = &health.host
        && !host.bytes().all(|octet| octet.is_ascii_alphanumeric() || b".-_:[]".contains(&octet))
    {
        found.push(Problem::new(key("host"), format!("expected a host, with a port or without, found {host:?}")));
    }
    span_within(key("interval"), health.interval, Span::milliseconds(100), HOUR, found);
    span_within(key("timeout"), health.timeout, MILLISECOND, HOUR, found);
    if health.expect.is_empty() {
        found.push(Problem::new(key("expect"), "expected at least one status, found none"));
    }
}

fn cookies(i: usize, pool: &Pool, found: &mut Vec<Problem>) {
    let Some(sticky) = &pool.sticky else { return };
    let key = |name: &str| format!("pools[{i}].sticky.{name}");
    if !is_token(&sticky.cookie) {
        found.push(Problem::new(key("cookie"), format!("expected the name of a cookie, found {:?}", sticky.cookie)));
    }
    // RFC 6265 §4.1.1: a semicolon would start another attribute.
    if !sticky.path.starts_with('/') || !sticky.path.bytes().all(|octet| matches!(octet, b'!'..=b'~') && octet != b';')
    {
        found.push(Problem::new(key("path"), format!("expected a path that starts with /, found {:?}", sticky.path)));
    }
    if sticky.same_site == SameSite::None && !sticky.secure {
        let message = "expected secure = true beside \"none\", found false; browsers refuse such a cookie";
        found.push(Problem::new(key("same-site"), message));
    }
    span_within(key("max-age"), sticky.max_age, Span::seconds(0), Span::seconds(31_536_000), found);
}
