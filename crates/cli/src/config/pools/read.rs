//! From the sections `[[pools]]` to the model.

use std::net::SocketAddr;

use toml::de::DeValue;

use super::{
    Backend, BackendAddress, Balance, Ejection, HashOn, Health, Hedge, HedgeAfter, Pool, ProxyProtocol, Retry, RetryOn,
    SameSite, StatusRange, Sticky,
};
use crate::config::section::{FromValue, Section, from_number_or_text, from_text};
use crate::units::Span;

/// Where something is wrong, the default stands.
pub(in crate::config) fn read(mut section: Section<'_>, offset: usize) -> Pool {
    let name: String = section.required("name", offset).unwrap_or_default();
    let mut pool = Pool::named(&name);
    pool.backends =
        section.sections("backends").into_iter().map(|(section, offset)| backend(section, offset)).collect();
    section.read("balance", &mut pool.balance);
    section.read("hash-on", &mut pool.hash_on);
    section.count("bounded-load", 0..=1000, &mut pool.bounded_load);
    pool.zone = section.optional("zone");
    section.read("resolve", &mut pool.resolve);
    section.count("connections", 1..=65_536, &mut pool.connections);
    section.count("idle-connections", 0..=65_536, &mut pool.idle_connections);
    section.read("idle-timeout", &mut pool.idle_timeout);
    section.count("requests-per-connection", 0..=1_000_000_000, &mut pool.requests_per_connection);
    section.count("pending", 0..=1_000_000, &mut pool.pending);
    section.read("proxy-protocol", &mut pool.proxy_protocol);
    section.read("tcp-keep-alive", &mut pool.tcp_keep_alive);
    pool.health = section.section("health").map(|(section, _)| health(section));
    if let Some((section, _)) = section.section("ejection") {
        ejection(section, &mut pool.ejection);
    }
    section.read("slow-start", &mut pool.slow_start);
    if let Some((section, _)) = section.section("retry") {
        retry(section, &mut pool.retry);
    }
    pool.hedge = section.section("hedge").map(|(section, _)| hedge(section));
    pool.sticky = section.section("sticky").map(|(section, _)| sticky(section));
    section.finish();
    pool
}

/// A backend without an address is kept, so that the next ones keep their numbers.
fn backend(mut section: Section<'_>, offset: usize) -> Backend {
    let address = section.required("address", offset);
    let mut backend = Backend::at(address.unwrap_or(BackendAddress::Inet(SocketAddr::from(([0, 0, 0, 0], 0)))));
    section.count("weight", 0..=1000, &mut backend.weight);
    section.read("draining", &mut backend.draining);
    backend.zone = section.optional("zone");
    section.finish();
    backend
}

fn health(mut section: Section<'_>) -> Health {
    let mut health = Health::default();
    section.read("path", &mut health.path);
    health.host = section.optional("host");
    section.read("interval", &mut health.interval);
    section.read("timeout", &mut health.timeout);
    section.count("rise", 1..=100, &mut health.rise);
    section.count("fall", 1..=100, &mut health.fall);
    section.list("expect", &mut health.expect);
    section.finish();
    health
}

fn ejection(mut section: Section<'_>, ejection: &mut Ejection) {
    section.count("failures", 0..=1000, &mut ejection.failures);
    section.count("latency", 0..=10_000, &mut ejection.latency);
    section.read("time", &mut ejection.time);
    section.count("most", 0..=100, &mut ejection.most);
    section.finish();
}

fn retry(mut section: Section<'_>, retry: &mut Retry) {
    section.count("attempts", 1..=10, &mut retry.attempts);
    section.count("budget", 0..=100, &mut retry.budget);
    section.list("on", &mut retry.on);
    section.read("try-timeout", &mut retry.try_timeout);
    section.finish();
}

fn hedge(mut section: Section<'_>) -> Hedge {
    let mut hedge = Hedge { after: HedgeAfter::Percentile(95), budget: 5 };
    section.read("after", &mut hedge.after);
    section.count("budget", 1..=100, &mut hedge.budget);
    section.finish();
    hedge
}

fn sticky(mut section: Section<'_>) -> Sticky {
    let mut sticky = Sticky::default();
    section.read("cookie", &mut sticky.cookie);
    section.read("path", &mut sticky.path);
    section.read::<Span>("max-age", &mut sticky.max_age);
    section.read("secure", &mut sticky.secure);
    section.read("http-only", &mut sticky.http_only);
    section.read("same-site", &mut sticky.same_site);
    section.finish();
    sticky
}

impl FromValue for BackendAddress {
    fn from_value(value: &DeValue<'_>) -> Result<BackendAddress, String> {
        from_text(value, "an address such as \"127.0.0.1:3000\"")
    }
}

impl FromValue for Balance {
    fn from_value(value: &DeValue<'_>) -> Result<Balance, String> {
        from_text(value, "a word such as \"least-requests\"")
    }
}

impl FromValue for HashOn {
    fn from_value(value: &DeValue<'_>) -> Result<HashOn, String> {
        from_text(value, "\"url\", \"client\", \"header:NAME\" or \"cookie:NAME\"")
    }
}

impl FromValue for ProxyProtocol {
    fn from_value(value: &DeValue<'_>) -> Result<ProxyProtocol, String> {
        from_text(value, "\"off\", \"v1\" or \"v2\"")
    }
}

impl FromValue for SameSite {
    fn from_value(value: &DeValue<'_>) -> Result<SameSite, String> {
        from_text(value, "\"lax\", \"strict\" or \"none\"")
    }
}

impl FromValue for HedgeAfter {
    fn from_value(value: &DeValue<'_>) -> Result<HedgeAfter, String> {
        from_text(value, "a duration such as \"50ms\", or \"p95\"")
    }
}

impl FromValue for RetryOn {
    fn from_value(value: &DeValue<'_>) -> Result<RetryOn, String> {
        from_number_or_text(value, "\"connect\", \"reset\", \"timeout\", 502, 503 or 504")
    }
}

impl FromValue for StatusRange {
    fn from_value(value: &DeValue<'_>) -> Result<StatusRange, String> {
        from_number_or_text(value, "statuses such as 200 or \"200-399\"")
    }
}
