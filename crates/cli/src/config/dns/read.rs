//! From the section `[dns]` to the model.

use std::net::SocketAddr;

use afpa_dns::message::Name;
use afpa_dns::route::{FixedAnswer, RouteAction};

use super::{Address, Backend, Cache, Clients, Cookies, Dns, Limits, Pool, RateLimit, Route, Zone};
use crate::config::section::Section;

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
        name: section.required("name", offset).unwrap_or_else(|| Name::ROOT.to_owned()),
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
    let mut backend = Backend::at(address);
    if let Some(name) = name {
        backend.name = name;
    }
    section.read("pool", &mut backend.pool);
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
        action: RouteAction::Fixed(FixedAnswer::Refused),
    };
    section.list("clients", &mut route.clients);
    let (pool, answer) = (section.optional("pool"), section.optional("answer"));
    match (section.has("pool"), section.has("answer")) {
        (true, true) => section.error(offset, "expected either pool or answer, found both"),
        (false, false) => section.error(offset, "expected either pool or answer, found neither"),
        _ => {}
    }
    if let Some(action) = pool.map(RouteAction::Pool).or(answer.map(RouteAction::Fixed)) {
        route.action = action;
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

#[cfg(test)]
mod tests {
    use crate::config::{Config, Diagnostic, dns::Dns, parse};

    fn errors(text: &str) -> String {
        parse(text).diagnostics.iter().map(|d| format!("{d}\n")).collect()
    }

    #[test]
    fn a_minimal_section_has_the_defaults_and_needs_no_site() {
        let parsed = parse("[dns]\nbackends = [{ address = '9.9.9.9:53' }]\n");
        assert_eq!(parsed.diagnostics, [] as [Diagnostic; 0]);
        let backends = vec![super::Backend::at("9.9.9.9:53".parse().unwrap())];
        assert_eq!(parsed.config, Config { dns: Some(Dns { backends, ..Dns::default() }), ..Config::default() });
        let both = parse("[site]\nroot = '/srv'\n[[dns.zones]]\nname = 'example.com'\nfile = 'example.zone'\n");
        assert_eq!(both.diagnostics, [] as [Diagnostic; 0]);
        assert!(both.config.has_site() && both.config.dns.is_some());
    }

    #[test]
    fn every_key_arrives() {
        let text = r#"
            [dns]
            listen = [":53", "[::1]:5300"]
            udp-size = 4096
            nsid = "fra1"
            minimal-any = false
            [dns.cache]
            size = "1GiB"
            min-ttl = "10s"
            max-ttl = "2d"
            max-negative-ttl = "2h"
            failure-ttl = "6s"
            stale = "3d"
            stale-ttl = "31s"
            prefetch = 20
            [[dns.zones]]
            name = "Example.com."
            file = "/etc/zones/example.com"
            transfer = ["192.0.2.0/24", "2001:db8::1"]
            [[dns.backends]]
            name = "corp-1"
            address = "192.0.2.1:53"
            pool = "corp"
            tcp = true
            weight = 5
            proxy-protocol = true
            [[dns.backends]]
            address = "[2001:db8::53]:53"
            [[dns.pools]]
            name = "corp"
            balance = "hash"
            timeout = "700ms"
            attempts = 4
            ecs = "pass"
            health-name = "health.example"
            health-type = "TXT"
            health-interval = "0s"
            health-failures = 9
            mixed-case = false
            [[dns.routes]]
            suffix = "corp.example"
            type = "TYPE65"
            class = "CH"
            clients = ["198.51.100.0/24"]
            pool = "corp"
            [[dns.routes]]
            type = "ANY"
            answer = "nxdomain"
            [dns.clients]
            allow = ["203.0.113.0/24"]
            deny = ["203.0.113.7"]
            proxy-protocol = "10.0.0.0/8"
            [dns.limits]
            connections = 2000
            pipelined = 65
            idle-timeout = "11s"
            query-timeout = "12s"
            flights = 20_000
            per-client-rate = 100
            [dns.rate-limit]
            responses-per-second = 21
            errors-per-second = 22
            slip = 3
            window = "16s"
            ipv4-prefix = 28
            ipv6-prefix = 48
            table = 5000
            exempt = ["10.1.0.0/16"]
            [dns.cookies]
            enabled = false
            secrets = ["000102030405060708090a0b0c0d0e0f", "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"]
        "#;
        let parsed = parse(text);
        assert_eq!(parsed.diagnostics, [] as [Diagnostic; 0]);
        let dns = parsed.config.dns.unwrap();
        let shown = format!("{dns:?}");
        for (key, value) in [
            ("listen", "[0.0.0.0:53, [::1]:5300]"),
            ("udp_size", "4096"),
            ("nsid", r#"Some("fra1")"#),
            ("minimal_any", "false"),
            ("size", "Size(1073741824)"),
            ("min_ttl", "Span(10s)"),
            ("max_ttl", "Span(172800s)"),
            ("max_negative_ttl", "Span(7200s)"),
            ("failure_ttl", "Span(6s)"),
            ("stale", "Span(259200s)"),
            ("stale_ttl", "Span(31s)"),
            ("prefetch", "20"),
            ("name", "example.com."),
            ("file", r#""/etc/zones/example.com""#),
            ("transfer", "[192.0.2.0/24, 2001:db8::1/128]"),
            ("name", r#""corp-1", address: 192.0.2.1:53"#),
            ("pool", r#""corp", tcp: true"#),
            ("weight", "5"),
            ("proxy_protocol", "true"),
            ("name", r#""[2001:db8::53]:53", address: [2001:db8::53]:53, pool: "default", tcp: false, weight: 1"#),
            ("proxy_protocol", "false"),
            ("name", r#""corp", balance: Hash"#),
            ("timeout", "Span(700ms)"),
            ("attempts", "4"),
            ("ecs", "Pass { ipv4: 24, ipv6: 56 }"),
            ("health_name", "health.example."),
            ("health_type", "TXT"),
            ("health_interval", "Span(0ns)"),
            ("health_failures", "9"),
            ("mixed_case", "false"),
            ("suffix", "Some(corp.example.)"),
            ("kind", "Some(HTTPS)"),
            ("class", "Some(CH)"),
            ("clients", r#"[198.51.100.0/24], action: Pool("corp")"#),
            ("suffix", "None, kind: Some(ANY), class: None, clients: [], action: Fixed(NxDomain)"),
            ("allow", "[203.0.113.0/24]"),
            ("deny", "[203.0.113.7/32]"),
            ("proxy_protocol", "[10.0.0.0/8]"),
            ("connections", "2000"),
            ("pipelined", "65"),
            ("idle_timeout", "Span(11s)"),
            ("query_timeout", "Span(12s)"),
            ("flights", "20000"),
            ("per_client_rate", "100"),
            ("responses_per_second", "21"),
            ("errors_per_second", "22"),
            ("slip", "3"),
            ("window", "Span(16s)"),
            ("ipv4_prefix", "28"),
            ("ipv6_prefix", "48"),
            ("table", "5000"),
            ("exempt", "[10.1.0.0/16]"),
            ("enabled", "false"),
            ("secrets", "[Secret(..), Secret(..)]"),
        ] {
            assert!(shown.contains(&format!("{key}: {value}")), "{key}: {value} in {shown}");
        }
        assert_eq!((dns.cookies.secrets[0].0[1], dns.cookies.secrets[1].0), (1, [0xff; 16]));
    }

    #[test]
    fn each_error_names_its_place_what_was_expected_and_what_was_found() {
        let cases = [
            ("[dns]\n", "1:1: dns: expected [[dns.zones]] or [[dns.backends]], found neither\n"),
            ("dns = 1", "1:7: dns: expected a section [dns], found the integer 1\n"),
            (
                "[dns]\nlisten=['127.0.0.1:53', '::1', 'unix:/a', 53]\nudp-size=511\nnsid=''\nminimal-any=1\ncache=7\n",
                "2:25: dns.listen[1]: expected an IP address and a port such as 127.0.0.1:53 or [::1]:53, found \"::1\"; \
                 a port is missing; write [::1]:53\n\
                 2:32: dns.listen[2]: expected an IP address and a port such as 127.0.0.1:53 or [::1]:53, \
                 found \"unix:/a\"\n\
                 2:43: dns.listen[3]: expected an IP address and a port such as \"127.0.0.1:53\", found the integer 53\n\
                 3:10: dns.udp-size: expected a number from 512 to 4096, found the integer 511\n\
                 4:6: dns.nsid: expected a string without control characters, found \"\"\n\
                 5:13: dns.minimal-any: expected true or false, found the integer 1\n\
                 6:7: dns.cache: expected a section [dns.cache], found the integer 7\n",
            ),
            (
                "[dns.cache]\nmin_ttl='1s'\nprefetch=91\nstale=5\nsize='1M'\n",
                "2:1: unknown key \"dns.cache.min_ttl\"; did you mean \"min-ttl\"?\n\
                 3:10: dns.cache.prefetch: expected a number from 0 to 90, found the integer 91\n\
                 4:7: dns.cache.stale: expected a duration such as \"5s\", found the integer 5\n\
                 5:6: dns.cache.size: expected a size such as 4096, 64KiB, 256MiB or 1GiB, found \"1M\"; write 1MiB\n",
            ),
            (
                "[[dns.zones]]\nname='a..b'\ntransfer=['10.1.0.0/8']\n[[dns.zones]]\nfile='b'\n[dns.zone]\n",
                "1:1: dns.zones[0].file: expected a value, found none\n\
                 2:6: dns.zones[0].name: expected a domain name such as example.com, found \"a..b\"; \
                 there is nothing between two dots, or before the first\n\
                 3:11: dns.zones[0].transfer[0]: expected a network such as 10.0.0.0/8 or 2001:db8::/32, \
                 found \"10.1.0.0/8\"; it has host bits; write 10.0.0.0/8\n\
                 4:1: dns.zones[1].name: expected a value, found none\n\
                 6:6: unknown key \"dns.zone\"; did you mean \"zones\"?\n",
            ),
            (
                "[[dns.backends]]\nname='a'\nweight=0\ntcp='no'\n[dns.backends.extra]\n",
                "1:1: dns.backends[0].address: expected a value, found none\n\
                 3:8: dns.backends[0].weight: expected a number from 1 to 1000, found the integer 0\n\
                 4:5: dns.backends[0].tcp: expected true or false, found the string \"no\"\n\
                 5:15: unknown key \"dns.backends[0].extra\"; expected one of name, address, pool, tcp, weight, \
                 proxy-protocol\n",
            ),
            (
                "[[dns.pools]]\nbalance='random'\necs='keep'\nattempts=0\nhealth-type=6\nhealth-name=true\n",
                "1:1: dns.pools[0].name: expected a value, found none\n\
                 2:9: dns.pools[0].balance: expected least-outstanding, hash or round-robin, found \"random\"\n\
                 3:5: dns.pools[0].ecs: expected strip or pass, found \"keep\"\n\
                 4:10: dns.pools[0].attempts: expected a number from 1 to 10, found the integer 0\n\
                 5:13: dns.pools[0].health-type: expected a type of records such as \"MX\" or \"TYPE65\", \
                 found the integer 6\n\
                 6:13: dns.pools[0].health-name: expected a domain name such as \"example.com\", found true\n",
            ),
            (
                "[[dns.routes]]\npool='a'\nanswer='drop'\n[[dns.routes]]\ntype='MXX'\n[[dns.routes]]\nanswer='no'\n\
                 class='IM'\nclients='::/200'\n",
                "1:1: dns.routes[0]: expected either pool or answer, found both\n\
                 4:1: dns.routes[1]: expected either pool or answer, found neither\n\
                 5:6: dns.routes[1].type: expected a type of records such as MX or TYPE65, found \"MXX\"\n\
                 7:8: dns.routes[2].answer: expected refused, nxdomain, servfail or drop, found \"no\"\n\
                 8:7: dns.routes[2].class: expected a class such as IN or CLASS3, found \"IM\"\n\
                 9:9: dns.routes[2].clients[0]: expected a network such as 10.0.0.0/8 or 2001:db8::/32, \
                 found \"::/200\"; its prefix is a number from 0 to 128\n",
            ),
            (
                "[dns.rate-limit]\nslip=11\nipv4-prefix=33\ntable=1\n[dns.limits]\nflights=0\n[dns.clients]\nallowed=[]\n",
                "2:6: dns.rate-limit.slip: expected a number from 0 to 10, found the integer 11\n\
                 3:13: dns.rate-limit.ipv4-prefix: expected a number from 1 to 32, found the integer 33\n\
                 4:7: dns.rate-limit.table: expected a number from 1000 to 10000000, found the integer 1\n\
                 6:9: dns.limits.flights: expected a number from 1 to 1000000, found the integer 0\n\
                 8:1: unknown key \"dns.clients.allowed\"; did you mean \"allow\"?\n",
            ),
            (
                "[dns.cookies]\nsecrets=['abcdefg', '1234', 1234567, true]\n",
                "2:10: dns.cookies.secrets[0]: expected 32 hexadecimal digits, found another character at 7\n\
                 2:21: dns.cookies.secrets[1]: expected 32 hexadecimal digits, found 4\n\
                 2:29: dns.cookies.secrets[2]: expected 32 hexadecimal digits in quotes, found a number\n\
                 2:38: dns.cookies.secrets[3]: expected 32 hexadecimal digits in quotes, found true\n",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(errors(text), expected, "for\n{text}");
        }
    }

    #[test]
    fn what_contradicts_itself_is_shown_where_it_stands() {
        let backend = "[[dns.backends]]\naddress='192.0.2.1:53'\n";
        let cases = [
            (
                "[[dns.routes]]\nsuffix='a'\npool='defualt'\n[[dns.routes]]\nsuffix='*.a'\nanswer='drop'\n",
                "5:6: dns.routes[0].pool: expected a pool with backends, found \"defualt\", which has none; \
                 did you mean \"default\"?\n\
                 6:1: dns.routes[1]: expected a route that something comes to, but dns.routes[0] takes all of it\n\
                 7:8: dns.routes[1].suffix: expected a name without *, found *.a; a covers every name below it\n",
            ),
            (
                "[dns]\nlisten=[]\n[dns.cache]\nmin-ttl='2d'\n",
                "4:8: dns.listen: expected at least one address, found none\n\
                 6:9: dns.cache.min-ttl: expected a duration from 0s to 1d, found 2d\n",
            ),
            (
                "[[dns.backends]]\naddress='192.0.2.1:53'\n",
                "4:9: dns.backends[1].address: expected each backend once, or under names of their own, \
                 found 192.0.2.1:53 twice\n",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(errors(&format!("{backend}{text}")), expected, "for\n{text}");
        }
        let served = format!("listen=[':80']\n{backend}");
        let alone = "1:8: listen: expected a section [site] beside it, found none; DNS listens at dns.listen\n";
        assert_eq!(errors(&served), alone);
        let shared = format!("{served}[dns]\nlisten=[':53', ':80']\n[site]\nroot='/'\n");
        let both =
            "5:16: dns.listen[1]: expected an address without the site, found 0.0.0.0:80, which is in listen, too\n";
        assert_eq!(errors(&shared), both);
    }
}
