//! The model and its defaults.

use std::net::SocketAddr;
use std::path::PathBuf;

use afpa_dns::message::{Class, Name, NameBuf, Type};
use afpa_dns::protect::{AccessList, Network, NetworkSet, Secret};
use afpa_dns::route::RouteAction;
use afpa_dns::upstream::{Balance, SubnetPolicy};

use crate::units::{Size, Span};

/// Everything that a DNS server can be told. Zones answer for themselves; everything else goes to the backends, and
/// is refused if there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    /// Where questions are taken, over UDP and TCP alike. Port 0 lets the system choose.
    pub listen: Vec<SocketAddr>,
    /// The largest message over UDP, ours and the one that we say we take, in octets: 512 to 4096 (RFC 6891 §6.2.5).
    pub udp_size: u16,
    /// What tells this server from others behind the same address (RFC 5001), at most 128 octets; none if absent.
    pub nsid: Option<String>,
    /// Whether a question for ANY is answered with one set of records (RFC 8482 §4.1).
    pub minimal_any: bool,
    /// Answers of the backends that are kept.
    pub cache: Cache,
    /// What is answered with authority.
    pub zones: Vec<Zone>,
    /// Servers that answer everything else.
    pub backends: Vec<Backend>,
    /// Settings of pools. A pool exists by its backends: see [`Dns::pools_in_use`].
    pub pools: Vec<Pool>,
    /// Where questions go that no zone answers; the first that matches holds. What none matches goes to the pool
    /// [`DEFAULT_POOL`], or is refused if there is no such pool.
    pub routes: Vec<Route>,
    /// Who is answered.
    pub clients: Clients,
    /// What clients may cost.
    pub limits: Limits,
    /// Response rate limiting over UDP; off if absent.
    pub rate_limit: Option<RateLimit>,
    /// DNS cookies.
    pub cookies: Cookies,
}

/// The pool of backends and routes that name none.
pub const DEFAULT_POOL: &str = "default";

impl Default for Dns {
    fn default() -> Dns {
        Dns {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 5353))],
            udp_size: 1232,
            nsid: None,
            minimal_any: true,
            cache: Cache::default(),
            zones: Vec::new(),
            backends: Vec::new(),
            pools: Vec::new(),
            routes: Vec::new(),
            clients: Clients::default(),
            limits: Limits::default(),
            rate_limit: None,
            cookies: Cookies::default(),
        }
    }
}

impl Dns {
    /// The pools that have backends, in the order of their first ones. A pool without settings has the defaults.
    pub fn pools_in_use(&self) -> Vec<Pool> {
        let mut pools: Vec<Pool> = Vec::new();
        for Backend { pool: name, .. } in &self.backends {
            if !pools.iter().any(|pool| pool.name == *name) {
                let settings = self.pools.iter().find(|pool| pool.name == *name).cloned();
                pools.push(settings.unwrap_or_else(|| Pool::named(name)));
            }
        }
        pools
    }

    /// Takes over from `new` what a running server can change. Returns the settings that differ and stay as they are
    /// until a restart: sockets, and what a table was made for.
    pub(in crate::config) fn adopt(&mut self, new: Dns) -> Vec<&'static str> {
        let table = self.rate_limit.as_ref().zip(new.rate_limit.as_ref());
        let fixed = [
            ("dns.listen", self.listen != new.listen),
            ("dns.cache.size", self.cache.size != new.cache.size),
            ("dns.limits.connections", self.limits.connections != new.limits.connections),
            ("dns.limits.flights", self.limits.flights != new.limits.flights),
            ("dns.rate-limit.table", table.is_some_and(|(old, new)| old.table != new.table)),
        ];
        let (connections, flights) = (self.limits.connections, self.limits.flights);
        let rate_limit = match (&self.rate_limit, new.rate_limit) {
            (Some(old), Some(new)) => Some(RateLimit { table: old.table, ..new }),
            (_, new) => new,
        };
        *self = Dns {
            listen: std::mem::take(&mut self.listen),
            cache: Cache { size: self.cache.size, ..new.cache },
            limits: Limits { connections, flights, ..new.limits },
            rate_limit,
            ..new
        };
        fixed.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}

/// Answers of the backends that are kept. Times are whole seconds, as TTLs are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cache {
    /// The most memory that it takes, bookkeeping included.
    pub size: Size,
    /// Shorter TTLs are raised to this.
    pub min_ttl: Span,
    /// Longer TTLs are cut to this.
    pub max_ttl: Span,
    /// The longest that a name or a type is known not to exist (RFC 2308 §5).
    pub max_negative_ttl: Span,
    /// How long it is remembered that no backend had an answer (RFC 9520 §3.2).
    pub failure_ttl: Span,
    /// How long an expired answer may be used while no backend has a new one (RFC 8767); zero: not at all.
    pub stale: Span,
    /// The TTL of an answer that is given after it has expired (RFC 8767 §4).
    pub stale_ttl: Span,
    /// An answer in demand is fetched again when so many percent of its TTL are left; zero: when it has expired.
    pub prefetch: u32,
}

impl Default for Cache {
    fn default() -> Cache {
        Cache {
            size: Size::mib(64),
            min_ttl: Span::seconds(0),
            max_ttl: Span::seconds(86_400),
            max_negative_ttl: Span::seconds(3600),
            failure_ttl: Span::seconds(5),
            stale: Span::seconds(0),
            stale_ttl: Span::seconds(30),
            prefetch: 10,
        }
    }
}

/// What is answered with authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// Its name, in lower case.
    pub name: NameBuf,
    /// Its zone file (RFC 1035 §5).
    pub file: PathBuf,
    /// Who may transfer it (AXFR); nobody if empty.
    pub transfer: Vec<Network>,
}

/// A server that answers what zones do not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// What it is called in logs and statistics. By default, its address.
    pub name: String,
    /// Where it is.
    pub address: SocketAddr,
    /// The pool that it belongs to.
    pub pool: String,
    /// Whether it is asked over TCP only.
    pub tcp: bool,
    /// Its share among those of its pool: 1 to 1000.
    pub weight: u32,
    /// Whether it is told of each client's address in a PROXY protocol header.
    pub proxy_protocol: bool,
}

impl Backend {
    /// The server at `address`, with every default.
    pub fn at(address: SocketAddr) -> Backend {
        Backend {
            name: address.to_string(),
            address,
            pool: DEFAULT_POOL.to_owned(),
            tcp: false,
            weight: 1,
            proxy_protocol: false,
        }
    }
}

/// How the backends of a pool are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// How a backend is chosen.
    pub balance: Balance,
    /// How long an answer is waited for, each time.
    pub timeout: Span,
    /// How often a question is asked before the client is told SERVFAIL: 1 to 10.
    pub attempts: u32,
    /// What becomes of a client's subnet.
    pub ecs: SubnetPolicy,
    /// The question that tells whether a backend is well: its name.
    pub health_name: NameBuf,
    /// The question that tells whether a backend is well: its type.
    pub health_type: Type,
    /// How often it is asked; zero: never.
    pub health_interval: Span,
    /// So many failures in a row, and a backend is asked nothing else until it is well again: 1 to 100.
    pub health_failures: u32,
    /// Whether letters of questions change between upper and lower case, which a forged answer would have to guess.
    pub mixed_case: bool,
}

impl Pool {
    /// The pool `name` with every default.
    pub fn named(name: &str) -> Pool {
        Pool {
            name: name.to_owned(),
            balance: Balance::LeastOutstanding,
            timeout: Span::seconds(2),
            attempts: 3,
            ecs: SubnetPolicy::Strip,
            health_name: Name::ROOT.to_owned(),
            health_type: Type::NS,
            health_interval: Span::seconds(5),
            health_failures: 3,
            mixed_case: true,
        }
    }
}

/// Where questions go that no zone answers. Each condition that is there must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The name asked for is this one or below it.
    pub suffix: Option<NameBuf>,
    /// The type asked for.
    pub kind: Option<Type>,
    /// The class asked for.
    pub class: Option<Class>,
    /// The client is in one of these; if empty, any client.
    pub clients: Vec<Network>,
    /// What becomes of the question.
    pub action: RouteAction,
}

/// Who is answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Clients {
    /// Only these are answered, by zones and by backends. If empty, zones answer everybody, and what the backends know is for
    /// this machine and private networks: see [`Clients::of_zones`] and [`Clients::of_backends`].
    pub allow: Vec<Network>,
    /// These are not answered, whatever `allow` says.
    pub deny: Vec<Network>,
    /// Who sends a PROXY protocol header, and must: load balancers in front of this server. `allow`, `deny` and routes
    /// are about the client that the header names.
    pub proxy_protocol: Vec<Network>,
}

impl Clients {
    /// Whom zones answer.
    pub fn of_zones(&self) -> AccessList {
        self.or(AccessList::everybody)
    }

    /// For whom backends are asked.
    pub fn of_backends(&self) -> AccessList {
        self.or(AccessList::local)
    }

    fn or(&self, default: fn() -> AccessList) -> AccessList {
        let deny = set(&self.deny);
        if self.allow.is_empty() { default().denying(deny) } else { AccessList::new(set(&self.allow), deny) }
    }
}

fn set(networks: &[Network]) -> NetworkSet {
    networks.iter().copied().collect()
}

/// What clients may cost, one and all of them together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most TCP connections, over all engines: beyond it accepting pauses.
    pub connections: u32,
    /// The most unanswered questions of one TCP connection: beyond it reading pauses.
    pub pipelined: u32,
    /// How long a TCP connection may be idle (RFC 7766 §6.2.3).
    pub idle_timeout: Span,
    /// From a question's first octet over TCP to its last.
    pub query_timeout: Span,
    /// The most questions that wait for backends, over all engines: beyond it SERVFAIL.
    pub flights: u32,
    /// Questions each second from one IPv4 address or one IPv6 network of 56 bits: beyond it REFUSED; zero allows any.
    pub per_client_rate: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 1024,
            pipelined: 64,
            idle_timeout: Span::seconds(10),
            query_timeout: Span::seconds(5),
            flights: 10_000,
            per_client_rate: 0,
        }
    }
}

/// Response rate limiting: so many equal responses over UDP for one client network, whose addresses may be forged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// Equal responses each second.
    pub responses_per_second: u32,
    /// Equal errors each second.
    pub errors_per_second: u32,
    /// Each so many responses beyond that one is truncated instead of dropped, so that a real client asks again over
    /// TCP: 0 (never) to 10.
    pub slip: u32,
    /// For how long the past counts.
    pub window: Span,
    /// How many bits of an IPv4 address make a client network.
    pub ipv4_prefix: u32,
    /// How many bits of an IPv6 address make a client network.
    pub ipv6_prefix: u32,
    /// How many pairs of client network and response are counted, over all engines; the oldest make room.
    pub table: u32,
    /// Clients without this limit.
    pub exempt: Vec<Network>,
}

impl Default for RateLimit {
    fn default() -> RateLimit {
        RateLimit {
            responses_per_second: 10,
            errors_per_second: 5,
            slip: 2,
            window: Span::seconds(15),
            ipv4_prefix: 24,
            ipv6_prefix: 56,
            table: 100_000,
            exempt: Vec::new(),
        }
    }
}

/// DNS cookies (RFC 7873, RFC 9018), by which clients show that their addresses are not forged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cookies {
    /// Whether they are answered.
    pub enabled: bool,
    /// At most two: the first signs, both verify, so that servers behind one address can change to a new one. If there
    /// is none, a random one is made at each start.
    pub secrets: Vec<Secret>,
}

impl Default for Cookies {
    fn default() -> Cookies {
        Cookies { enabled: true, secrets: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(name: &str, pool: &str) -> Backend {
        Backend { name: name.into(), pool: pool.into(), ..Backend::at("192.0.2.1:53".parse().unwrap()) }
    }

    #[test]
    fn pools_in_use_have_backends_and_their_settings_or_the_defaults() {
        let slow = Pool { timeout: Span::seconds(9), ..Pool::named("b") };
        let dns = Dns {
            backends: vec![backend("1", "b"), backend("2", "a"), backend("3", "b")],
            pools: vec![Pool::named("empty"), slow.clone()],
            ..Dns::default()
        };
        assert_eq!(dns.pools_in_use(), [slow, Pool::named("a")]);
    }

    #[test]
    fn without_a_list_backends_are_for_private_networks_and_zones_for_everybody() {
        let may_ask = |list: AccessList, ip: &str| list.allows(ip.parse().unwrap());
        let clients = Clients::default();
        for ip in ["127.1.2.3", "10.0.0.1", "172.31.0.1", "192.168.1.1", "169.254.0.1", "::1", "fd00::1", "fe80::1"] {
            assert!(may_ask(clients.of_backends(), ip) && may_ask(clients.of_zones(), ip), "{ip}");
        }
        for ip in ["192.0.2.1", "172.32.0.1", "11.0.0.1", "2001:db8::1", "::2", "fec0::1"] {
            assert!(!may_ask(clients.of_backends(), ip) && may_ask(clients.of_zones(), ip), "{ip}");
        }
        let clients = Clients { allow: vec!["192.0.2.0/24".parse().unwrap()], ..Clients::default() };
        for list in [clients.of_backends(), clients.of_zones()] {
            assert!(may_ask(list.clone(), "192.0.2.1") && !may_ask(list, "127.0.0.1"));
        }
        let clients = Clients { deny: vec!["10.1.0.0/16".parse().unwrap()], ..Clients::default() };
        for list in [clients.of_backends(), clients.of_zones()] {
            assert!(may_ask(list.clone(), "10.0.0.1") && !may_ask(list, "10.1.0.1"));
        }
    }

    #[test]
    fn sockets_and_tables_stay_until_a_restart_and_the_rest_changes() {
        let before = Dns { rate_limit: Some(RateLimit::default()), ..Dns::default() };
        let mut new = Dns {
            listen: Vec::new(),
            udp_size: 4096,
            nsid: Some("a".into()),
            backends: vec![backend("1", "a")],
            rate_limit: Some(RateLimit { table: 1000, slip: 0, ..RateLimit::default() }),
            ..before.clone()
        };
        new.cache = Cache { size: Size::mib(8), prefetch: 0, ..new.cache };
        new.limits = Limits { connections: 1, pipelined: 1, flights: 1, ..new.limits };
        let mut dns = before.clone();
        let fixed =
            ["dns.listen", "dns.cache.size", "dns.limits.connections", "dns.limits.flights", "dns.rate-limit.table"];
        assert_eq!(dns.adopt(new.clone()), fixed);
        let expected = Dns {
            listen: before.listen,
            cache: Cache { prefetch: 0, ..before.cache },
            limits: Limits { pipelined: 1, ..before.limits },
            rate_limit: Some(RateLimit { slip: 0, ..RateLimit::default() }),
            ..new
        };
        assert_eq!(dns, expected);
        assert_eq!(dns.adopt(expected), [""; 0]);
    }

    #[test]
    fn rate_limiting_can_be_turned_on_and_off() {
        let mut dns = Dns::default();
        let on = Dns { rate_limit: Some(RateLimit { table: 1000, ..RateLimit::default() }), ..Dns::default() };
        assert_eq!(dns.adopt(on.clone()), [""; 0]);
        assert_eq!(dns, on);
        assert_eq!(dns.adopt(Dns::default()), [""; 0]);
        assert_eq!(dns, Dns::default());
    }
}
