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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Diagnostic, parse};

    fn errors(text: &str) -> String {
        parse(text).diagnostics.iter().map(|diagnostic: &Diagnostic| format!("{diagnostic}\n")).collect()
    }

    const SITE: &str = "[[sites]]\nroutes=[{pool='app'}]\n";

    #[test]
    fn a_pool_is_its_name_and_backends_with_every_default() {
        let parsed = parse(&format!("{SITE}[[pools]]\nname='app'\nbackends=[{{address='a:1'}}]\n"));
        assert_eq!(parsed.diagnostics, []);
        let expected = Pool { backends: vec![Backend::at("a:1".parse().unwrap())], ..Pool::named("app") };
        assert_eq!(parsed.config.pools, [expected]);
    }

    #[test]
    fn every_key_arrives() {
        let text = r#"
            [[pools]]
            name = "app"
            balance = "hash"
            hash-on = "cookie:sid"
            bounded-load = 150
            resolve = "10s"
            connections = 10
            idle-connections = 5
            idle-timeout = "30s"
            requests-per-connection = 1000
            pending = 7
            proxy-protocol = "v2"
            tcp-keep-alive = "0s"
            slow-start = "20s"
            health = { path = "/up?x", host = "h:1", interval = "1s", timeout = "500ms", rise = 1, fall = 9, expect = [200, "204-299"] }
            ejection = { failures = 3, latency = 300, time = "5s", most = 10 }
            retry = { attempts = 3, budget = 10, on = ["timeout", 502, "503", 504], try-timeout = "4s" }
            hedge = { after = "50ms", budget = 2 }
            sticky = { cookie = "b", path = "/x", max-age = "1h", secure = true, http-only = false, same-site = "none" }
            [[pools.backends]]
            address = "unix:/run/app.sock"
            weight = 3
            draining = false
            [[pools.backends]]
            address = "app.internal:3000"
            draining = true
        "#;
        let parsed = parse(&format!("{text}{SITE}"));
        assert_eq!(parsed.diagnostics, []);
        let first = Backend { weight: 3, ..Backend::at("unix:/run/app.sock".parse().unwrap()) };
        let second = Backend { draining: true, ..Backend::at("app.internal:3000".parse().unwrap()) };
        let seconds = Span::seconds;
        let expected = Pool {
            name: "app".into(),
            backends: vec![first, second],
            balance: Balance::Hash,
            hash_on: HashOn::Cookie("sid".into()),
            bounded_load: 150,
            resolve: seconds(10),
            connections: 10,
            idle_connections: 5,
            idle_timeout: seconds(30),
            requests_per_connection: 1000,
            pending: 7,
            proxy_protocol: ProxyProtocol::V2,
            tcp_keep_alive: seconds(0),
            slow_start: seconds(20),
            health: Some(Health {
                path: "/up?x".into(),
                host: Some("h:1".into()),
                interval: seconds(1),
                timeout: Span::milliseconds(500),
                rise: 1,
                fall: 9,
                expect: vec![StatusRange { first: 200, last: 200 }, StatusRange { first: 204, last: 299 }],
            }),
            ejection: Ejection { failures: 3, latency: 300, time: seconds(5), most: 10 },
            retry: Retry {
                attempts: 3,
                budget: 10,
                on: vec![RetryOn::Timeout, RetryOn::Status502, RetryOn::Status503, RetryOn::Status504],
                try_timeout: seconds(4),
            },
            hedge: Some(Hedge { after: HedgeAfter::Span(Span::milliseconds(50)), budget: 2 }),
            sticky: Some(Sticky {
                cookie: "b".into(),
                path: "/x".into(),
                max_age: seconds(3600),
                secure: true,
                http_only: false,
                same_site: SameSite::None,
            }),
        };
        assert_eq!(parsed.config.pools, [expected]);
    }

    #[test]
    fn each_error_names_its_place_what_was_expected_and_what_was_found() {
        let cases = [
            (
                "[[pools]]\nbalance='random'\nhash-on='ip'\nbackends=[{address='http://a:1'}, {weight=1001}]\n",
                "3:1: pools[0].name: expected a value, found none\n\
                 4:9: pools[0].balance: expected round-robin, weighted, least-requests, two-choices, hash or locality, \
                 found \"random\"\n\
                 5:9: pools[0].hash-on: expected url, client, header:NAME or cookie:NAME, found \"ip\"\n\
                 6:20: pools[0].backends[0].address: expected an address such as 127.0.0.1:3000, app.internal:3000 or \
                 unix:/run/app.sock, found \"http://a:1\"; write no http:// before it\n\
                 6:35: pools[0].backends[1].address: expected a value, found none\n\
                 6:43: pools[0].backends[1].weight: expected a number from 0 to 1000, found the integer 1001\n",
            ),
            (
                "[[pools]]\nname='app'\nretry={on=[500, 'reset']}\nhedge={after='p100'}\nhealth={expect=['2xx', 99]}\n",
                "5:12: pools[0].retry.on[0]: expected connect, reset, timeout, 502, 503 or 504, found \"500\"\n\
                 6:14: pools[0].hedge.after: expected a duration such as 50ms, or p50 to p99, found \"p100\"\n\
                 7:17: pools[0].health.expect[0]: expected statuses such as 200 or 200-399, found \"2xx\"\n\
                 7:24: pools[0].health.expect[1]: expected statuses such as 200 or 200-399, found \"99\"\n",
            ),
            (
                "[[pools]]\nname='app'\n[[pools]]\nname='app'\nbackends=[{address='a:1', weight=0}]\n",
                "3:1: pools[0]: expected at least one section [[pools.backends]], found none\n\
                 6:6: pools[1].name: expected each pool once, found \"app\" twice\n\
                 7:10: pools[1].backends: expected a backend with a weight that is not draining, found none\n",
            ),
            (
                "[[pools]]\nname='app'\nbackends=[{address='127.0.0.1:8080'}, {address='a:1'}, {address='A:1'}]\n\
                 balance='weighted'\nhash-on='client'\nbounded-load=100\nresolve='0s'\n\
                 health={path='up', host='a b', interval='1ms', expect=[]}\nejection={latency=50}\n",
                "5:20: pools[0].backends[0].address: expected another server, since listen has this address, \
                 found 127.0.0.1:8080\n\
                 5:65: pools[0].backends[2].address: expected each backend once, found a:1 twice\n\
                 7:9: pools[0].hash-on: expected balance = \"hash\" or \"locality\" beside it, found \"weighted\"\n\
                 8:14: pools[0].bounded-load: expected more than 100, or 0, found 100; all get the average\n\
                 9:9: pools[0].resolve: expected a duration from 1s to 1d, found 0s\n\
                 10:14: pools[0].health.path: expected a path that starts with /, as it is sent, found \"up\"\n\
                 10:25: pools[0].health.host: expected a host, with a port or without, found \"a b\"\n\
                 10:41: pools[0].health.interval: expected a duration from 100ms to 1h, found 1ms\n\
                 10:55: pools[0].health.expect: expected at least one status, found none\n\
                 11:19: pools[0].ejection.latency: expected more than 100, or 0, found 50; some always take longer\n",
            ),
            (
                "[[pools]]\nname='app'\nbackends=[{address='a:1'}]\nsticky={cookie='a b', path='/;x', same-site='none'}\n",
                "6:16: pools[0].sticky.cookie: expected the name of a cookie, found \"a b\"\n\
                 6:28: pools[0].sticky.path: expected a path that starts with /, found \"/;x\"\n\
                 6:45: pools[0].sticky.same-site: expected secure = true beside \"none\", found false; \
                 browsers refuse such a cookie\n",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(errors(&format!("{SITE}{text}")), expected, "for\n{text}");
        }
    }
}
