//! What operators see: the query log, metrics, statistics; and what they order: purges.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use afpa_dns::message::{Rcode, Type};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::backend::Backend;
use crate::client::{Client, EDNS};
use crate::free_address::free_address;
use crate::server::{Server, eventually, get, post};
use crate::zone_support::message::read;

/// A server on which each question of [`questions`] has another outcome.
fn server(directory: &std::path::Path, backend: SocketAddr, more: &str) -> Server {
    let zone = directory.join("zone");
    std::fs::write(&zone, "$TTL 60\n@ SOA ns host 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n").unwrap();
    let dead = free_address();
    let configuration = format!(
        "{more}\n[dns]\n[dns.cache]\nstale = '1h'\n[[dns.zones]]\nname = 'example.test'\nfile = {zone:?}\n\
         [[dns.backends]]\naddress = '{backend}'\nname = 'alive'\n[[dns.backends]]\naddress = '{dead}'\nname = 'dead'\n\
         pool = 'dead'\n[[dns.pools]]\nname = 'dead'\ntimeout = '100ms'\nattempts = 1\n\
         [[dns.routes]]\nsuffix = 'dead.test'\npool = 'dead'\n[[dns.routes]]\nsuffix = 'no.test'\nanswer = 'refused'\n\
         [[dns.routes]]\nsuffix = 'drop.test'\nanswer = 'drop'\n"
    );
    Server::run(&directory.join("afpa.toml"), &configuration)
}

/// Names, with what becomes of them.
const OUTCOMES: [(&str, &str, Rcode); 6] = [
    ("ns.example.test", "zone", Rcode::NOERROR),
    ("a.elsewhere.test", "miss", Rcode::NOERROR),
    ("A.elsewhere.test", "hit", Rcode::NOERROR),
    ("a.dead.test", "failed", Rcode::SERVFAIL),
    ("a.no.test", "refused", Rcode::REFUSED),
    ("no.example.test", "zone", Rcode::NXDOMAIN),
];

/// Asks for a name, whose answer the cache has if that is the outcome.
fn ask(client: &mut Client, backend: &Backend, name: &str, outcome: &str, rcode: Rcode) {
    if outcome == "hit" {
        client.learn(&name.to_lowercase(), backend);
    }
    assert_eq!(client.rcode(name), rcode, "{name}");
}

#[test]
fn the_log_in_text_has_a_line_for_each_outcome() {
    let (directory, backend) = (tempfile::tempdir().unwrap(), Backend::start([192, 0, 2, 7], 60));
    let mut server = server(directory.path(), backend.address, "log.format = 'text'");
    let mut client = Client::to(server.address);
    for (name, outcome, rcode) in OUTCOMES {
        ask(&mut client, &backend, name, outcome, rcode);
        let line = server.logs(&format!(" {name}. "));
        let fields: Vec<_> = line.split(' ').collect();
        let [_, from, protocol, asked, qtype, class, flags, said, what, octets, latency, by] = fields[..] else {
            panic!("{line}")
        };
        assert!(from.starts_with("127.0.0.1#"), "{line}");
        assert_eq!(
            [protocol, asked, qtype, class, flags],
            ["udp", &format!("{name}."), "A", "IN", "rd,edns"],
            "{line}"
        );
        assert_eq!([said, what], [rcode.to_string().as_str(), outcome], "{line}");
        assert!(octets.parse::<u32>().unwrap() >= 12 && latency.parse::<u32>().is_ok(), "{line}");
        assert_eq!(by, if outcome == "miss" { "alive" } else { "-" }, "{line}");
    }
    client.send(&"a.drop.test".parse().unwrap(), Type::A, EDNS);
    assert!(server.logs("a.drop.test").contains(" dropped 0 "), "nothing was sent");
    assert_eq!(Rcode::NOERROR.0, read(&client.tcp(&"ns.example.test".parse().unwrap(), Type::A, None)).flags & 0xf);
    assert!(server.logs("ns.example.test").contains(" tcp ns.example.test. A IN rd NOERROR zone "));
}

#[test]
fn the_log_in_json_has_an_object_for_each_outcome() {
    let (directory, backend) = (tempfile::tempdir().unwrap(), Backend::start([192, 0, 2, 7], 60));
    let mut server = server(directory.path(), backend.address, "log.format = 'json'");
    let mut client = Client::to(server.address);
    for (name, outcome, rcode) in OUTCOMES {
        ask(&mut client, &backend, name, outcome, rcode);
        let line: Value = serde_json::from_str(&server.logs(&format!("\"{name}."))).unwrap();
        let expected = [
            ("client", json!("127.0.0.1")),
            ("protocol", json!("udp")),
            ("name", json!(format!("{name}."))),
            ("type", json!("A")),
            ("rd", json!(true)),
            ("do", json!(false)),
            ("rcode", json!(rcode.to_string())),
            ("outcome", json!(outcome)),
        ];
        for (key, value) in expected {
            assert_eq!(line[key], value, "{key} of {line}");
        }
        assert_eq!(line.get("backend"), (outcome == "miss").then_some(&json!("alive")), "{line}");
    }
    // What no operator wants in the terminal.
    let name = afpa_dns::message::NameBuf::prepend(
        b"\x1b[2J \"\n",
        "elsewhere.test".parse::<afpa_dns::message::NameBuf>().unwrap().as_name(),
    );
    client.udp(&name.unwrap(), Type::A, EDNS);
    let line: Value = serde_json::from_str(&server.logs("elsewhere.test")).unwrap();
    assert_eq!(line["name"], r#"\027[2J\032\"\010.elsewhere.test."#);
}

#[test]
fn what_was_held_back_or_could_not_be_read_is_logged_as_such() {
    let directory = tempfile::tempdir().unwrap();
    let zone = directory.path().join("zone");
    std::fs::write(&zone, "$TTL 60\n@ SOA ns host 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n").unwrap();
    let start = |limits: &str| {
        let zone = format!("[[dns.zones]]\nname = 'example.test'\nfile = {zone:?}\n");
        Server::run(&directory.path().join("afpa.toml"), &format!("log.format = 'text'\n[dns]\n{limits}{zone}"))
    };
    let name = "ns.example.test".parse().unwrap();
    let ask = |server: &Server| {
        let mut client = Client::to(server.address);
        for _ in 0..20 {
            client.send(&name, Type::A, None);
        }
        client
    };
    let mut server = start("[dns.rate-limit]\nresponses-per-second = 1\nslip = 2\n");
    ask(&server);
    server.logs(" ns.example.test. A IN rd NOERROR truncated ");
    server.logs(" ns.example.test. A IN rd NOERROR dropped 0 ");
    let mut server = start("[dns.limits]\nper-client-rate = 1\n");
    let mut client = ask(&server);
    assert!(server.logs(" ns.example.test. A IN rd NOERROR limited 0 ").contains(" udp "));
    // Who has an address of its own is told.
    let over_tcp = read(&client.tcp(&name, Type::A, None));
    assert_eq!(over_tcp.flags & 0xf, Rcode::REFUSED.0);
    server.logs(" tcp ns.example.test. A IN rd REFUSED limited ");
    let mut server = start("");
    let header = [0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&header, server.address).unwrap();
    server.logs(" udp - - - - FORMERR malformed 12 ");
}

#[test]
fn what_has_expired_is_logged_as_such() {
    let (directory, backend) = (tempfile::tempdir().unwrap(), Backend::start([192, 0, 2, 7], 1));
    let mut server = server(directory.path(), backend.address, "log.format = 'text'");
    let mut client = Client::to(server.address);
    assert_eq!(client.addresses("old.test"), ["192.0.2.7"]);
    client.learn("old.test", &backend);
    drop(backend);
    eventually("an answer that has expired", || {
        assert_eq!(client.addresses("old.test"), ["192.0.2.7"]);
        server.logs("old.test").contains(" stale ")
    });
}

/// Sums over the engines, by family and value.
fn families(stats: &Value) -> BTreeMap<(String, String), u64> {
    let mut sums = BTreeMap::new();
    for engine in stats["engines"].as_array().unwrap() {
        for family in engine["dns"]["families"].as_array().unwrap() {
            for count in family["counts"].as_array().unwrap() {
                let key = (family["name"].as_str().unwrap().to_owned(), count[0].as_str().unwrap().to_owned());
                *sums.entry(key).or_default() += count[1].as_u64().unwrap();
            }
        }
    }
    sums
}

#[test]
fn statistics_and_metrics_count_what_happened() {
    let (directory, backend) = (tempfile::tempdir().unwrap(), Backend::start([192, 0, 2, 7], 60));
    let admin = free_address();
    let server = server(directory.path(), backend.address, &format!("admin.listen = '{admin}'"));
    let mut client = Client::to(server.address);
    for (name, outcome, rcode) in OUTCOMES {
        ask(&mut client, &backend, name, outcome, rcode);
    }
    client.tcp(&"ns.example.test".parse().unwrap(), Type::AAAA, EDNS);
    let stats: Value = serde_json::from_str(&get(admin, "/api/stats")).unwrap();
    let families = families(&stats);
    let count = |family: &str, value: &str| families.get(&(family.to_owned(), value.to_owned())).copied();
    for (family, value, expected) in [
        ("dns_queries", "tcp", 1),
        ("dns_questions", "AAAA", 1),
        ("dns_outcomes", "zone", 3),
        ("dns_outcomes", "failed", 1),
        ("dns_outcomes", "refused", 1),
        ("dns_answers", "NXDOMAIN", 1),
        ("dns_answers", "SERVFAIL", 1),
        ("dns_answers", "REFUSED", 1),
    ] {
        assert_eq!(count(family, value), Some(expected), "{family} {value}");
    }
    // How often it was asked until it knew is left open; all is counted, and in each way.
    let sum = |family: &str| families.iter().filter(|((of, _), _)| of == family).map(|(_, count)| count).sum::<u64>();
    let total = sum("dns_queries");
    assert!(total >= 8 && sum("dns_outcomes") == total && sum("dns_answers") == total, "{families:?}");
    assert!(count("dns_outcomes", "hit") >= Some(2) && count("dns_outcomes", "miss") >= Some(1), "{families:?}");
    let events = stats["engines"][0]["dns"]["backends"].as_array().unwrap();
    let asked: Vec<_> = events.iter().filter(|event| event["event"] == "asked").collect();
    assert!(asked.iter().any(|event| event["backend"] == "alive" && event["count"].as_u64() >= Some(1)), "{asked:?}");
    let metrics = get(admin, "/metrics");
    for (family, label, value, expected) in [
        ("dns_queries", "protocol", "tcp", 1),
        ("dns_outcomes", "outcome", "zone", 3),
        ("dns_answers", "rcode", "NXDOMAIN", 1),
    ] {
        let lines: Vec<_> =
            metrics.lines().filter(|line| line.starts_with(&format!("afpa_{family}_total{{"))).collect();
        let of = format!("{label}=\"{value}\"");
        let line = lines.iter().find(|line| line.contains(&of)).unwrap_or_else(|| panic!("{of} is not in {lines:?}"));
        assert!(line.ends_with(&format!(" {expected}")), "{line}");
    }
    for name in ["query_bytes_total", "answer_bytes_total", "query_duration_seconds_count", "backend_events_total"] {
        assert!(metrics.contains(&format!("\nafpa_dns_{name}{{")), "{name} is not in {metrics}");
    }
    assert_eq!(get(admin, "/healthz").trim(), "ok");
}

#[test]
fn after_a_reload_the_log_and_the_statistics_name_the_backend_that_answered() {
    let (directory, admin) = (tempfile::tempdir().unwrap(), free_address());
    let (old, new) = (Backend::start([192, 0, 2, 1], 60), Backend::start([192, 0, 2, 2], 60));
    let file = directory.path().join("afpa.toml");
    let configuration = |name: &str, backend: &Backend| {
        format!(
            "admin.listen = '{admin}'\nlog.format = 'text'\n[dns]\n[[dns.backends]]\naddress = '{}'\nname = '{name}'\n",
            backend.address
        )
    };
    let mut server = Server::run(&file, &configuration("old", &old));
    let mut client = Client::to(server.address);
    assert_eq!(client.addresses("before.test"), ["192.0.2.1"]);
    assert!(server.logs(" before.test. ").ends_with(" old"));
    server.configure(&file, &configuration("new", &new));
    server.reload();
    let mut number = 0;
    eventually("a question to the new backend", || {
        number += 1;
        client.addresses(&format!("n{number}.test")) == ["192.0.2.2"]
    });
    assert!(server.logs(&format!(" n{number}.test. ")).ends_with(" new"));
    let stats: Value = serde_json::from_str(&get(admin, "/api/stats")).unwrap();
    let answered = |name: &str| {
        let events = stats["engines"][0]["dns"]["backends"].as_array().unwrap().iter();
        let of = |event: &&Value| event["backend"] == name && event["event"] == "answered";
        events.filter(of).map(|event| event["count"].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!((answered("old"), answered("new")), (number, 1), "{stats}");
}

#[test]
fn what_is_purged_is_asked_for_again() {
    let (backend, admin) = (Backend::start([192, 0, 2, 7], 3600), free_address());
    let server = Server::dns(&["--backend", &backend.address.to_string(), "--admin", &admin.to_string()]);
    let mut client = Client::to(server.address);
    let names = ["a.test", "b.a.test", "c.b.a.test", "ba.test"];
    let mut asked = |names: &[&str]| {
        let before = backend.asked().len();
        for name in names {
            assert_eq!(client.addresses(name), ["192.0.2.7"]);
            client.learn(name, &backend);
        }
        let asked = backend.asked();
        names.iter().filter(|name| asked[before..].contains(&name.parse().unwrap())).count()
    };
    assert_eq!(asked(&names), 4);
    assert_eq!(asked(&names), 0);
    for (body, purged) in [
        (json!({"name": "A.test."}), 1),
        (json!({"subtree": "a.TEST"}), 3),
        (json!({"name": "none.test"}), 0),
        (json!({"all": true}), 4),
    ] {
        let answer: Value = serde_json::from_str(&post(admin, "/api/cache/purge", &body)).unwrap();
        assert_eq!(answer["purged"], purged, "{body}");
        assert_eq!(asked(&names), purged, "{body}");
    }
    // The signal is for the log alone.
    server.signal(Signal::USR1);
    assert_eq!(asked(&names), 0);
}
