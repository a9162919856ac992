//! From the section `[dns]` to the model.

use std::net::SocketAddr;

use toml::de::DeValue;

use super::{
    Address, Answer, Backend, Balance, Cache, Class, ClientSubnet, Clients, Cookies, DEFAULT_POOL, Dns, DomainName,
    Limits, Network, Pool, RateLimit, RecordType, Route, Secret, Target, Zone,
};
use crate::config::section::{FromValue, Section, describe, from_text};

/// Where something is wrong, the default stands.
pub(in crate::config) fn read(mut section: Section<'_>) -> Dns {
    let mut dns = Dns::default();
    addresses(&mut section, "listen", &mut dns.listen);
    section.count("udp-size", 512..=4096, &mut dns.udp_size);
    dns.nsid = section.optional("nsid");
    section.read("minimal-any", &mut dns.minimal_any);
    if let Some((section, _)) = section.section("cache") {
        cache(section, &mut dns.cache);
    }
    dns.zones = section.sections("zones").into_iter().map(|(section, offset)| zone(section, offset)).collect();
    dns.backends = section.sections("backends").into_iter().map(|(section, offset)| backend(section, offset)).collect();
    dns.pools = section.sections("pools").into_iter().map(|(section, offset)| pool(section, offset)).collect();
    dns.routes = section.sections("routes").into_iter().map(|(section, offset)| route(section, offset)).collect();
    if let Some((section, _)) = section.section("clients") {
        clients(section, &mut dns.clients);
    }
    if let Some((section, _)) = section.section("limits") {
        limits(section, &mut dns.limits);
    }
    dns.rate_limit = section.section("rate-limit").map(|(section, _)| rate_limit(section));
    if let Some((section, _)) = section.section("cookies") {
        cookies(section, &mut dns.cookies);
    }
    section.finish();
    dns
}

fn addresses(section: &mut Section<'_>, key: &'static str, into: &mut Vec<SocketAddr>) {
    let mut addresses: Vec<_> = into.iter().copied().map(Address).collect();
    section.list(key, &mut addresses);
    *into = addresses.into_iter().map(|Address(address)| address).collect();
}

fn cache(mut section: Section<'_>, cache: &mut Cache) {
    section.read("size", &mut cache.size);
    section.read("min-ttl", &mut cache.min_ttl);
    section.read("max-ttl", &mut cache.max_ttl);
    section.read("max-negative-ttl", &mut cache.max_negative_ttl);
    section.read("failure-ttl", &mut cache.failure_ttl);
    section.read("stale", &mut cache.stale);
    section.read("stale-ttl", &mut cache.stale_ttl);
    section.count("prefetch", 0..=90, &mut cache.prefetch);
    section.finish();
}

/// A zone without a name or a file is kept, so that the next ones keep their numbers.
fn zone(mut section: Section<'_>, offset: usize) -> Zone {
    let mut zone = Zone {
        name: section.required("name", offset).unwrap_or_default(),
        file: section.required("file", offset).unwrap_or_default(),
        transfer: Vec::new(),
    };
    section.list("transfer", &mut zone.transfer);
    section.finish();
    zone
}

fn backend(mut section: Section<'_>, offset: usize) -> Backend {
    let name = section.optional("name");
    let address = section.required("address", offset);
    let Address(address) = address.unwrap_or(Address(SocketAddr::from(([0, 0, 0, 0], 0))));
    let mut backend = Backend {
        name: name.unwrap_or_else(|| address.to_string()),
        address,
        pool: section.optional("pool").unwrap_or_else(|| DEFAULT_POOL.to_owned()),
        tcp: false,
        weight: 1,
        proxy_protocol: false,
    };
    section.read("tcp", &mut backend.tcp);
    section.count("weight", 1..=1000, &mut backend.weight);
    section.read("proxy-protocol", &mut backend.proxy_protocol);
    section.finish();
    backend
}

fn pool(mut section: Section<'_>, offset: usize) -> Pool {
    let name: String = section.required("name", offset).unwrap_or_default();
    let mut pool = Pool::named(&name);
    section.read("balance", &mut pool.balance);
    section.read("timeout", &mut pool.timeout);
    section.count("attempts", 1..=10, &mut pool.attempts);
    section.read("ecs", &mut pool.ecs);
    section.read("health-name", &mut pool.health_name);
    section.read("health-type", &mut pool.health_type);
    section.read("health-interval", &mut pool.health_interval);
    section.count("health-failures", 1..=100, &mut pool.health_failures);
    section.read("mixed-case", &mut pool.mixed_case);
    section.finish();
    pool
}

fn route(mut section: Section<'_>, offset: usize) -> Route {
    let mut route = Route {
        suffix: section.optional("suffix"),
        kind: section.optional("type"),
        class: section.optional("class"),
        clients: Vec::new(),
        target: Target::Answer(Answer::Refused),
    };
    section.list("clients", &mut route.clients);
    let (pool, answer) = (section.optional("pool"), section.optional("answer"));
    match (section.has("pool"), section.has("answer")) {
        (true, true) => section.error(offset, "expected either pool or answer, found both"),
        (false, false) => section.error(offset, "expected either pool or answer, found neither"),
        _ => {}
    }
    if let Some(target) = pool.map(Target::Pool).or(answer.map(Target::Answer)) {
        route.target = target;
    }
    section.finish();
    route
}

fn clients(mut section: Section<'_>, clients: &mut Clients) {
    section.list("allow", &mut clients.allow);
    section.list("deny", &mut clients.deny);
    section.list("proxy-protocol", &mut clients.proxy_protocol);
    section.finish();
}

fn limits(mut section: Section<'_>, limits: &mut Limits) {
    section.count("connections", 1..=16_000_000, &mut limits.connections);
    section.count("pipelined", 1..=65_535, &mut limits.pipelined);
    section.read("idle-timeout", &mut limits.idle_timeout);
    section.read("query-timeout", &mut limits.query_timeout);
    section.count("flights", 1..=1_000_000, &mut limits.flights);
    section.count("per-client-rate", 0..=1_000_000, &mut limits.per_client_rate);
    section.finish();
}

fn rate_limit(mut section: Section<'_>) -> RateLimit {
    let mut limit = RateLimit::default();
    section.count("responses-per-second", 1..=1_000_000, &mut limit.responses_per_second);
    section.count("errors-per-second", 1..=1_000_000, &mut limit.errors_per_second);
    section.count("slip", 0..=10, &mut limit.slip);
    section.read("window", &mut limit.window);
    section.count("ipv4-prefix", 1..=32, &mut limit.ipv4_prefix);
    section.count("ipv6-prefix", 1..=128, &mut limit.ipv6_prefix);
    section.count("table", 1000..=10_000_000, &mut limit.table);
    section.list("exempt", &mut limit.exempt);
    section.finish();
    limit
}

fn cookies(mut section: Section<'_>, cookies: &mut Cookies) {
    section.read("enabled", &mut cookies.enabled);
    section.list("secrets", &mut cookies.secrets);
    section.finish();
}

impl FromValue for Address {
    fn from_value(value: &DeValue<'_>) -> Result<Address, String> {
        from_text(value, "an IP address and a port such as \"127.0.0.1:53\"")
    }
}

impl FromValue for DomainName {
    fn from_value(value: &DeValue<'_>) -> Result<DomainName, String> {
        from_text(value, "a domain name such as \"example.com\"")
    }
}

impl FromValue for Network {
    fn from_value(value: &DeValue<'_>) -> Result<Network, String> {
        from_text(value, "a network such as \"10.0.0.0/8\"")
    }
}

impl FromValue for RecordType {
    fn from_value(value: &DeValue<'_>) -> Result<RecordType, String> {
        from_text(value, "a type of records such as \"MX\" or \"TYPE65\"")
    }
}

impl FromValue for Class {
    fn from_value(value: &DeValue<'_>) -> Result<Class, String> {
        from_text(value, "a class such as \"IN\" or \"CLASS3\"")
    }
}

impl FromValue for Balance {
    fn from_value(value: &DeValue<'_>) -> Result<Balance, String> {
        from_text(value, "\"least-outstanding\", \"hash\" or \"round-robin\"")
    }
}

impl FromValue for ClientSubnet {
    fn from_value(value: &DeValue<'_>) -> Result<ClientSubnet, String> {
        from_text(value, "\"strip\" or \"pass\"")
    }
}

impl FromValue for Answer {
    fn from_value(value: &DeValue<'_>) -> Result<Answer, String> {
        from_text(value, "\"refused\", \"nxdomain\", \"servfail\" or \"drop\"")
    }
}

impl FromValue for Secret {
    fn from_value(value: &DeValue<'_>) -> Result<Secret, String> {
        match value.as_str() {
            Some(text) => Secret::read(text),
            None if value.as_integer().is_some() => {
                Err("expected 32 hexadecimal digits in quotes, found a number".into())
            }
            None => Err(format!("expected 32 hexadecimal digits in quotes, found {}", describe(value))),
        }
    }
}
