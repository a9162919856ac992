//! What is well written and still cannot work.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use super::{Backend, Dns, DomainName, Pool, Route, Target};
use crate::config::problems::Problem;
use crate::config::section::nearest;
use crate::units::{Size, Span};

const SECOND: Span = Span::seconds(1);
const MINUTE: Span = Span::seconds(60);
const HOUR: Span = Span::seconds(3600);
const DAY: Span = Span::seconds(86_400);
/// RFC 8767 §4: the longest TTL that caches should take.
const WEEK: Span = Span::seconds(604_800);

/// Everything that contradicts itself or lies outside its bounds. Looks at nothing but `dns`.
pub(in crate::config) fn problems(dns: &Dns, found: &mut Vec<Problem>) {
    if dns.zones.is_empty() && dns.backends.is_empty() {
        found.push(Problem::new("dns", "expected [[dns.zones]] or [[dns.backends]], found neither"));
    }
    listeners(dns, found);
    identity(dns, found);
    cache(dns, found);
    zones(dns, found);
    backends(dns, found);
    pools(dns, found);
    routes(dns, found);
    spans(dns, found);
    cookies(dns, found);
}

/// Every zone file that cannot be read.
pub(in crate::config) fn surroundings(dns: &Dns, found: &mut Vec<Problem>) {
    for (i, zone) in dns.zones.iter().enumerate() {
        // That none was named is already said.
        if zone.file.as_os_str().is_empty() {
            continue;
        }
        if let Err(reason) = readable(&zone.file) {
            found.push(Problem::new(format!("dns.zones[{i}].file"), reason));
        }
    }
}

fn readable(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let metadata = fs::metadata(path).map_err(|error| format!("{shown} cannot be opened: {error}"))?;
    if metadata.is_dir() {
        return Err(format!("expected a file, found the directory {shown}"));
    }
    // Opening anything else may block.
    if !metadata.is_file() {
        return Err(format!("expected a file, found {shown}, which is none"));
    }
    fs::File::open(path).map(drop).map_err(|error| format!("{shown} cannot be read: {error}"))
}

fn listeners(dns: &Dns, found: &mut Vec<Problem>) {
    if dns.listen.is_empty() {
        found.push(Problem::new("dns.listen", "expected at least one address, found none"));
    }
    for (i, address) in dns.listen.iter().enumerate() {
        // Port 0 is a different port each time.
        if address.port() != 0 && dns.listen[..i].contains(address) {
            let message = format!("expected each address once, found {address} twice");
            found.push(Problem::new(format!("dns.listen[{i}]"), message));
        }
    }
}

/// The longest NSID: it must leave room for an answer in the smallest message.
const NSID_MAX: usize = 128;

fn identity(dns: &Dns, found: &mut Vec<Problem>) {
    if let Some(text) = &dns.nsid
        && text.len() > NSID_MAX
    {
        let message = format!("expected at most {NSID_MAX} octets, found {}", text.len());
        found.push(Problem::new("dns.nsid", message));
    }
}

fn cache(dns: &Dns, found: &mut Vec<Problem>) {
    let cache = &dns.cache;
    let (least, most) = (Size::mib(1), Size(1 << 40));
    if cache.size < least || cache.size > most {
        let message = format!("expected a size from {least} to {most}, found {}", cache.size);
        found.push(Problem::new("dns.cache.size", message));
    }
    for (key, span) in [
        ("dns.cache.min-ttl", cache.min_ttl),
        ("dns.cache.max-ttl", cache.max_ttl),
        ("dns.cache.max-negative-ttl", cache.max_negative_ttl),
        ("dns.cache.failure-ttl", cache.failure_ttl),
        ("dns.cache.stale", cache.stale),
        ("dns.cache.stale-ttl", cache.stale_ttl),
    ] {
        if span.0.subsec_nanos() != 0 {
            found.push(Problem::new(key, format!("expected whole seconds, found {span}")));
        }
    }
}

fn zones(dns: &Dns, found: &mut Vec<Problem>) {
    for (i, zone) in dns.zones.iter().enumerate() {
        if dns.zones[..i].iter().any(|other| other.name == zone.name) {
            let message = format!("expected each zone once, found {} twice", zone.name);
            found.push(Problem::new(format!("dns.zones[{i}].name"), message));
        }
        no_wildcard(format!("dns.zones[{i}].name"), &zone.name, found);
    }
}

/// An asterisk would be a label like any other, and match nothing that anybody meant.
fn no_wildcard(key: String, name: &DomainName, found: &mut Vec<Problem>) {
    if name.labels().next() == Some(b"*") {
        let shown = name.to_string();
        let below = shown.strip_prefix("*.").unwrap_or(".");
        let message = format!("expected a name without *, found {shown}; {below} covers every name below it");
        found.push(Problem::new(key, message));
    }
}

fn backends(dns: &Dns, found: &mut Vec<Problem>) {
    for (i, backend) in dns.backends.iter().enumerate() {
        if dns.backends[..i].iter().any(|other| other.name == backend.name) {
            let message = format!("expected each name once, found {:?} twice; a name tells them apart", backend.name);
            let key = if backend.is_named() { "name" } else { "address" };
            found.push(Problem::new(format!("dns.backends[{i}].{key}"), message));
        }
        let address = backend.address;
        let wrong = if address.port() == 0 {
            Some("expected a port from 1 to 65535")
        } else if address.ip().is_unspecified() || address.ip().is_multicast() {
            Some("expected the address of one server")
        } else if dns.listen.iter().any(|own| is_reached_at(own, address)) {
            Some("expected another server, since dns.listen has this address")
        } else {
            None
        };
        if let Some(expected) = wrong {
            found.push(Problem::new(format!("dns.backends[{i}].address"), format!("{expected}, found {address}")));
        }
    }
}

impl Backend {
    fn is_named(&self) -> bool {
        self.name != self.address.to_string()
    }
}

/// Whether who listens at `own` hears what is sent to `address`, as far as can be told without knowing the machine.
fn is_reached_at(own: &SocketAddr, address: SocketAddr) -> bool {
    let everywhere = own.ip().is_unspecified() && own.is_ipv4() == address.is_ipv4() && address.ip().is_loopback();
    own.port() == address.port() && (own.ip() == address.ip() || everywhere)
}

fn pools(dns: &Dns, found: &mut Vec<Problem>) {
    for (i, pool) in dns.pools.iter().enumerate() {
        let key = || format!("dns.pools[{i}].name");
        if dns.pools[..i].iter().any(|other| other.name == pool.name) {
            found.push(Problem::new(key(), format!("expected each pool once, found {:?} twice", pool.name)));
        } else if let Some(message) = without_backends(dns, &pool.name) {
            found.push(Problem::new(key(), message));
        }
    }
}

/// Says so if no backend is in the pool `name`, and which pool was probably meant.
fn without_backends(dns: &Dns, name: &str) -> Option<String> {
    let pools: Vec<_> = dns.backends.iter().map(|backend| backend.pool.as_str()).collect();
    if pools.contains(&name) {
        return None;
    }
    let hint = nearest(name, &pools).map_or(String::new(), |near| format!("; did you mean {near:?}?"));
    Some(format!("expected a pool with backends, found {name:?}, which has none{hint}"))
}

fn routes(dns: &Dns, found: &mut Vec<Problem>) {
    for (i, route) in dns.routes.iter().enumerate() {
        if let Target::Pool(name) = &route.target
            && let Some(message) = without_backends(dns, name)
        {
            found.push(Problem::new(format!("dns.routes[{i}].pool"), message));
        }
        if let Some(suffix) = &route.suffix {
            no_wildcard(format!("dns.routes[{i}].suffix"), suffix, found);
        }
        if let Some(first) = dns.routes[..i].iter().position(|earlier| earlier.takes_all_of(route)) {
            let message = format!("expected a route that something comes to, but dns.routes[{first}] takes all of it");
            found.push(Problem::new(format!("dns.routes[{i}]"), message));
        }
    }
}

impl Route {
    /// Whether every question that `other` matches matches here.
    fn takes_all_of(&self, other: &Route) -> bool {
        let is_below = |name: &DomainName, suffix: &DomainName| {
            let (name, suffix): (Vec<_>, Vec<_>) = (name.labels().collect(), suffix.labels().collect());
            name.ends_with(&suffix)
        };
        let covers = |network: &super::Network| {
            self.clients.iter().any(|own| own.prefix() <= network.prefix() && own.contains(network.address()))
        };
        let suffix =
            self.suffix.as_ref().is_none_or(|own| other.suffix.as_ref().is_some_and(|name| is_below(name, own)));
        suffix
            && (self.kind.is_none() || self.kind == other.kind)
            && (self.class.is_none() || self.class == other.class)
            && (self.clients.is_empty() || !other.clients.is_empty() && other.clients.iter().all(covers))
    }
}

fn spans(dns: &Dns, found: &mut Vec<Problem>) {
    let (cache, limits) = (&dns.cache, &dns.limits);
    let mut bounds = vec![
        ("dns.cache.min-ttl".to_owned(), cache.min_ttl, Span::default(), cache.max_ttl),
        ("dns.cache.max-ttl".to_owned(), cache.max_ttl, Span::default(), WEEK),
        ("dns.cache.max-negative-ttl".to_owned(), cache.max_negative_ttl, Span::default(), DAY),
        // RFC 9520 §3.2: at least a second, at most five minutes.
        ("dns.cache.failure-ttl".to_owned(), cache.failure_ttl, SECOND, Span::seconds(300)),
        ("dns.cache.stale".to_owned(), cache.stale, Span::default(), WEEK),
        // RFC 8767 §4: greater than zero.
        ("dns.cache.stale-ttl".to_owned(), cache.stale_ttl, SECOND, HOUR),
        ("dns.limits.idle-timeout".to_owned(), limits.idle_timeout, Span::milliseconds(10), DAY),
        ("dns.limits.query-timeout".to_owned(), limits.query_timeout, Span::milliseconds(10), HOUR),
    ];
    if let Some(limit) = &dns.rate_limit {
        bounds.push(("dns.rate-limit.window".to_owned(), limit.window, SECOND, HOUR));
    }
    for (i, pool) in dns.pools.iter().enumerate() {
        let Pool { timeout, health_interval, .. } = pool;
        bounds.push((format!("dns.pools[{i}].timeout"), *timeout, Span::milliseconds(10), MINUTE));
        if *health_interval > Span::default() {
            bounds.push((format!("dns.pools[{i}].health-interval"), *health_interval, Span::milliseconds(100), HOUR));
        }
    }
    for (key, span, least, most) in bounds {
        if span < least || span > most {
            found.push(Problem::new(key, format!("expected a duration from {least} to {most}, found {span}")));
        }
    }
}

fn cookies(dns: &Dns, found: &mut Vec<Problem>) {
    let secrets = &dns.cookies.secrets;
    if secrets.len() > 2 {
        let message = format!("expected at most two: one that signs and one from before, found {}", secrets.len());
        found.push(Problem::new("dns.cookies.secrets", message));
    } else if secrets.len() == 2 && secrets[0] == secrets[1] {
        found.push(Problem::new("dns.cookies.secrets[1]", "expected two different secrets, found the same twice"));
    }
}
