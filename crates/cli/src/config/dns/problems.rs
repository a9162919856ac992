//! What is well written and still cannot work.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use afpa_dns::message::NameBuf;
use afpa_dns::protect::MAX_NSID;
use afpa_dns::route::RouteAction;

use super::hidden::{Hidden, hidden};
use super::{Backend, Dns, Pool};
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
    let mut seen = HashSet::new();
    for (i, address) in dns.listen.iter().enumerate() {
        // Port 0 is a different port each time.
        if address.port() != 0 && !seen.insert(address) {
            let message = format!("expected each address once, found {address} twice");
            found.push(Problem::new(format!("dns.listen[{i}]"), message));
        }
    }
}

fn identity(dns: &Dns, found: &mut Vec<Problem>) {
    if let Some(text) = &dns.nsid
        && text.len() > MAX_NSID
    {
        let message = format!("expected at most {MAX_NSID} octets, found {}", text.len());
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
    let mut seen = HashSet::new();
    for (i, zone) in dns.zones.iter().enumerate() {
        if !seen.insert(&zone.name) {
            let message = format!("expected each zone once, found {} twice", shown(&zone.name));
            found.push(Problem::new(format!("dns.zones[{i}].name"), message));
        }
        no_wildcard(format!("dns.zones[{i}].name"), &zone.name, found);
    }
}

/// An asterisk would be a label like any other, and match nothing that anybody meant.
fn no_wildcard(key: String, name: &NameBuf, found: &mut Vec<Problem>) {
    if name.as_name().is_wildcard() {
        let shown = shown(name);
        let below = shown.strip_prefix("*.").unwrap_or(".");
        let message = format!("expected a name without *, found {shown}; {below} covers every name below it");
        found.push(Problem::new(key, message));
    }
}

/// Without the last dot, as most people write it.
fn shown(name: &NameBuf) -> String {
    let text = name.to_string();
    text.strip_suffix('.').filter(|text| !text.is_empty()).unwrap_or(&text).to_owned()
}

fn backends(dns: &Dns, found: &mut Vec<Problem>) {
    let mut seen = HashSet::new();
    for (i, backend) in dns.backends.iter().enumerate() {
        if !seen.insert(&backend.name) {
            let name = &backend.name;
            let (key, message) = if backend.is_named() {
                ("name", format!("expected each name once, found {name:?} twice"))
            } else {
                ("address", format!("expected each backend once, or under names of their own, found {name} twice"))
            };
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
    let (with_backends, mut seen) = (with_backends(dns), HashSet::new());
    for (i, pool) in dns.pools.iter().enumerate() {
        let key = || format!("dns.pools[{i}].name");
        if !seen.insert(&pool.name) {
            found.push(Problem::new(key(), format!("expected each pool once, found {:?} twice", pool.name)));
        } else if !with_backends.contains(&pool.name[..]) {
            found.push(Problem::new(key(), no_backends(&pool.name, &with_backends)));
        }
    }
}

fn with_backends(dns: &Dns) -> BTreeSet<&str> {
    dns.backends.iter().map(|backend| backend.pool.as_str()).collect()
}

/// That no backend is in the pool `name`, and which pool was probably meant.
fn no_backends(name: &str, with_backends: &BTreeSet<&str>) -> String {
    // Comparing with each takes time, and whoever has many has a program that writes them.
    let known: Vec<_> = with_backends.iter().copied().take(64).collect();
    let hint = nearest(name, &known).map_or(String::new(), |near| format!("; did you mean {near:?}?"));
    format!("expected a pool with backends, found {name:?}, which has none{hint}")
}

fn routes(dns: &Dns, found: &mut Vec<Problem>) {
    let with_backends = with_backends(dns);
    for (i, route) in dns.routes.iter().enumerate() {
        if let RouteAction::Pool(name) = &route.action
            && !with_backends.contains(&name[..])
        {
            found.push(Problem::new(format!("dns.routes[{i}].pool"), no_backends(name, &with_backends)));
        }
        if let Some(suffix) = &route.suffix {
            no_wildcard(format!("dns.routes[{i}].suffix"), suffix, found);
        }
    }
    for Hidden { route, by } in hidden(&dns.routes) {
        let message = format!("expected a route that something comes to, but dns.routes[{by}] takes all of it");
        found.push(Problem::new(format!("dns.routes[{route}]"), message));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::dns::{Clients, RateLimit, Route, Zone, domain_name};
    use afpa_dns::protect::Secret;
    use afpa_dns::route::FixedAnswer;

    fn forwarder() -> Dns {
        Dns { backends: vec![Backend::at("192.0.2.1:53".parse().unwrap())], ..Dns::default() }
    }

    fn zone(name: &str) -> Zone {
        Zone { name: domain_name(name).unwrap(), file: "zone".into(), transfer: Vec::new() }
    }

    fn route(suffix: Option<&str>, action: RouteAction) -> Route {
        let suffix = suffix.map(|name| name.parse().unwrap());
        Route { suffix, kind: None, class: None, clients: Vec::new(), action }
    }

    fn shown(dns: &Dns) -> Vec<String> {
        let mut found = Vec::new();
        problems(dns, &mut found);
        found.iter().map(Problem::to_string).collect()
    }

    #[test]
    fn a_backend_or_a_zone_is_enough() {
        assert_eq!(shown(&forwarder()), [""; 0]);
        assert_eq!(shown(&Dns { zones: vec![zone("example.com")], ..Dns::default() }), [""; 0]);
        let neither = "dns: expected [[dns.zones]] or [[dns.backends]], found neither";
        assert_eq!(shown(&Dns::default()), [neither]);
    }

    #[test]
    fn each_problem_is_found() {
        type Change = fn(&mut Dns);
        let cases: [(Change, &str); 32] = [
            (|d| d.listen.clear(), "dns.listen: expected at least one address, found none"),
            (
                |d| d.listen = vec!["[::1]:53".parse().unwrap(); 2],
                "dns.listen[1]: expected each address once, found [::1]:53 twice",
            ),
            (|d| d.nsid = Some("a".repeat(129)), "dns.nsid: expected at most 128 octets, found 129"),
            (|d| d.cache.size = Size(7), "dns.cache.size: expected a size from 1 MiB to 1 TiB, found 7 B"),
            (|d| d.cache.max_ttl = Span::milliseconds(1500), "dns.cache.max-ttl: expected whole seconds, found 1500ms"),
            (
                |d| (d.cache.min_ttl, d.cache.max_ttl) = (Span::seconds(61), MINUTE),
                "dns.cache.min-ttl: expected a duration from 0s to 1m, found 61s",
            ),
            (|d| d.cache.max_ttl.0 *= 8, "dns.cache.max-ttl: expected a duration from 0s to 7d, found 8d"),
            (
                |d| d.cache.max_negative_ttl = WEEK,
                "dns.cache.max-negative-ttl: expected a duration from 0s to 1d, found 7d",
            ),
            (
                |d| d.cache.failure_ttl = Span::seconds(0),
                "dns.cache.failure-ttl: expected a duration from 1s to 5m, found 0s",
            ),
            (
                |d| d.cache.failure_ttl = Span::seconds(301),
                "dns.cache.failure-ttl: expected a duration from 1s to 5m, found 301s",
            ),
            (
                |d| d.cache.stale = Span::seconds(604_801),
                "dns.cache.stale: expected a duration from 0s to 7d, found 604801s",
            ),
            (
                |d| d.cache.stale_ttl = Span::seconds(0),
                "dns.cache.stale-ttl: expected a duration from 1s to 1h, found 0s",
            ),
            (
                |d| d.zones = vec![zone("example.com"), zone("EXAMPLE.com.")],
                "dns.zones[1].name: expected each zone once, found example.com twice",
            ),
            (
                |d| d.zones = vec![zone("*.example.com")],
                "dns.zones[0].name: expected a name without *, found *.example.com; \
                 example.com covers every name below it",
            ),
            (
                |d| d.backends.push(d.backends[0].clone()),
                "dns.backends[1].address: expected each backend once, or under names of their own, \
                 found 192.0.2.1:53 twice",
            ),
            (
                |d| {
                    d.backends.push(Backend::at("192.0.2.2:53".parse().unwrap()));
                    d.backends.iter_mut().for_each(|backend| backend.name = "a".into());
                },
                "dns.backends[1].name: expected each name once, found \"a\" twice",
            ),
            (
                |d| d.backends[0].address.set_port(0),
                "dns.backends[0].address: expected a port from 1 to 65535, found 192.0.2.1:0",
            ),
            (
                |d| d.backends[0].address = "0.0.0.0:53".parse().unwrap(),
                "dns.backends[0].address: expected the address of one server, found 0.0.0.0:53",
            ),
            (
                |d| d.backends[0].address = "[ff02::fb]:5353".parse().unwrap(),
                "dns.backends[0].address: expected the address of one server, found [ff02::fb]:5353",
            ),
            (
                |d| d.listen = vec![d.backends[0].address],
                "dns.backends[0].address: expected another server, since dns.listen has this address, \
                 found 192.0.2.1:53",
            ),
            (
                |d| {
                    d.listen = vec!["0.0.0.0:53".parse().unwrap()];
                    d.backends[0].address = "127.0.0.53:53".parse().unwrap();
                },
                "dns.backends[0].address: expected another server, since dns.listen has this address, \
                 found 127.0.0.53:53",
            ),
            (
                |d| d.pools = vec![Pool::named("default"), Pool::named("default")],
                "dns.pools[1].name: expected each pool once, found \"default\" twice",
            ),
            (
                |d| d.pools = vec![Pool::named("defualt")],
                "dns.pools[0].name: expected a pool with backends, found \"defualt\", which has none; \
                 did you mean \"default\"?",
            ),
            (
                |d| d.pools = vec![Pool { timeout: Span::seconds(61), ..Pool::named("default") }],
                "dns.pools[0].timeout: expected a duration from 10ms to 1m, found 61s",
            ),
            (
                |d| d.pools = vec![Pool { health_interval: Span::milliseconds(1), ..Pool::named("default") }],
                "dns.pools[0].health-interval: expected a duration from 100ms to 1h, found 1ms",
            ),
            (
                |d| d.routes = vec![route(None, RouteAction::Pool("corp".into()))],
                "dns.routes[0].pool: expected a pool with backends, found \"corp\", which has none",
            ),
            (
                |d| d.routes = vec![route(Some("*"), RouteAction::Fixed(FixedAnswer::Drop))],
                "dns.routes[0].suffix: expected a name without *, found *; . covers every name below it",
            ),
            (
                |d| d.routes = vec![route(None, RouteAction::Fixed(FixedAnswer::Drop)); 2],
                "dns.routes[1]: expected a route that something comes to, but dns.routes[0] takes all of it",
            ),
            (
                |d| d.limits.query_timeout = Span::seconds(0),
                "dns.limits.query-timeout: expected a duration from 10ms to 1h, found 0s",
            ),
            (
                |d| d.rate_limit = Some(RateLimit { window: Span::milliseconds(900), ..RateLimit::default() }),
                "dns.rate-limit.window: expected a duration from 1s to 1h, found 900ms",
            ),
            (
                |d| d.cookies.secrets = (0..3).map(|i| Secret([i; 16])).collect(),
                "dns.cookies.secrets: expected at most two: one that signs and one from before, found 3",
            ),
            (
                |d| d.cookies.secrets = vec![Secret([1; 16]); 2],
                "dns.cookies.secrets[1]: expected two different secrets, found the same twice",
            ),
        ];
        for (change, expected) in cases {
            let mut dns = forwarder();
            change(&mut dns);
            let shown = shown(&dns);
            assert!(shown.contains(&expected.to_owned()), "{expected}\nnot in {shown:#?}");
        }
    }

    #[test]
    fn a_port_of_the_systems_choice_may_stand_twice_and_limits_may_be_off() {
        let mut dns = forwarder();
        dns.listen = vec!["127.0.0.1:0".parse().unwrap(); 2];
        dns.pools = vec![Pool { health_interval: Span::seconds(0), ..Pool::named("default") }];
        dns.clients = Clients { allow: vec!["0.0.0.0/0".parse().unwrap()], ..Clients::default() };
        assert_eq!(shown(&dns), [""; 0]);
    }

    #[test]
    fn zone_files_that_cannot_be_read_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let good = dir.path().join("good");
        fs::write(&good, "").unwrap();
        let socket = dir.path().join("socket");
        let _socket = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let files = [good, dir.path().join("none"), dir.path().to_owned(), socket.clone(), "".into()];
        let zones = files.iter().map(|file| Zone { file: file.clone(), ..zone("example.com") }).collect();
        let mut found = Vec::new();
        surroundings(&Dns { zones, ..Dns::default() }, &mut found);
        let shown: Vec<_> = found.iter().map(Problem::to_string).collect();
        let (none, dir) = (files[1].display(), dir.path().display());
        assert_eq!(
            shown,
            [
                format!("dns.zones[1].file: {none} cannot be opened: No such file or directory (os error 2)"),
                format!("dns.zones[2].file: expected a file, found the directory {dir}"),
                format!("dns.zones[3].file: expected a file, found {}, which is none", socket.display()),
            ]
        );
    }
}
