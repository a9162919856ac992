//! Both control tables: every row is taken by some client, backend or operator.

use std::time::Duration;

use afpa_dns::cache::{KeyFlags, Prepared, key};
use afpa_dns::message::{Class, Question, Type};
use afpa_dns::protect::ClientRateConfig;
use afpa_dns::route::{FixedAnswer, RouteAction, RouteConfig};
use afpa_dns::upstream::{FlightLimits, HealthConfig, PoolConfig};
use afpa_dns::{Dns, Fetch, Limits};
use afpa_engine::memory::MemoryConfig;
use afpa_engine::stats::ModuleStats;
use afpa_engine::{ControlTable, ProtocolModule};

use crate::bench::{SECOND, Server, Setup, frame, name, pool};
use crate::messages::{a, ask, reply};
use crate::zones::{EXAMPLE, zone_of};

fn rule(suffix: &str, action: FixedAnswer) -> RouteConfig {
    RouteConfig {
        suffixes: vec![name(suffix)],
        qtypes: Vec::new(),
        qclass: None,
        clients: Vec::new(),
        action: RouteAction::Fixed(action),
    }
}

/// What the tours have taken so far, by table.
#[derive(Default)]
struct Taken(Vec<(&'static str, u8, u8)>);

impl Taken {
    fn note<M: ProtocolModule>(&mut self, stats: &ModuleStats) {
        let taken = M::TABLE.rows().iter().filter(|row| stats.transition(row.state.index, row.outcome.index).get() > 0);
        self.0.extend(taken.map(|row| (M::NAME, row.state.index, row.outcome.index)));
    }

    fn missing<M: ProtocolModule>(&self, table: &ControlTable<M>) -> Vec<(&'static str, &'static str)> {
        let rows = table.rows().iter();
        let missing = rows.filter(|row| !self.0.contains(&(M::NAME, row.state.index, row.outcome.index)));
        missing.map(|row| (row.state.name, row.outcome.name)).collect()
    }
}

#[test]
fn every_row_is_taken() {
    let mut taken = Taken::default();
    for tour in [clients, limited, stalled, backends, over_tcp, half_open, shared_cache, reloaded] {
        let server = tour();
        taken.note::<Dns>(&server.module);
        taken.note::<Fetch>(&server.fetch);
    }
    let missing = (taken.missing(Dns::TABLE), taken.missing(Fetch::TABLE));
    assert_eq!(missing, (vec![], vec![]), "nobody takes these");
}

/// What clients send to a server that answers from zones and by rules.
fn clients() -> Server {
    let huge = format!("{EXAMPLE}huge TYPE65280 \\# 65520 {}\n", "00".repeat(65_520));
    let mut server = Server::new(Setup {
        zones: vec![("example", huge), ("small", EXAMPLE.into())],
        transfers: &["127.0.0.1"],
        routes: vec![rule("dropped", FixedAnswer::Drop)],
        ..Setup::default()
    });
    for name in ["www.example", "in.dropped", "elsewhere"] {
        server.send(4000, &a(name));
    }
    server.send(4000, &ask("example", Type::AXFR));
    server.send_octets(crate::bench::local(4000), &[0; 12]);
    server.send_octets(crate::bench::local(4000), &[0; 11]);
    let stream = server.connect();
    stream.peer.send(&frame(&a("www.example").octets())[..5]);
    server.settle();
    stream.peer.finish();
    let stream = server.connect();
    stream.send(&[ask("small", Type::AXFR), ask("example", Type::AXFR), a("elsewhere")]);
    server.settle();
    server.handle.stop(Duration::from_secs(3600));
    server.settle();
    server
}

/// One client that asks too much.
fn limited() -> Server {
    let client_rate = ClientRateConfig { questions_per_second: 1, ..ClientRateConfig::default() };
    let flights = FlightLimits { flights: 0, waiters: 0 };
    let mut server = Server::new(Setup { client_rate: Some(client_rate), flights, ..Setup::default() });
    server.send(4000, &a("elsewhere"));
    server.send(4000, &a("elsewhere"));
    let stream = server.connect();
    stream.send(&[a("elsewhere")]);
    server.settle();
    server
}

/// Clients that do not read.
fn stalled() -> Server {
    let network = MemoryConfig { window: 100, send_buffer: 2000, ..MemoryConfig::default() };
    let zones = vec![("example", zone_of(3000))];
    let mut server = Server::new(Setup { zones, transfers: &["127.0.0.1"], network, ..Setup::default() });
    for questions in [vec![ask("example", Type::AXFR)], vec![a("many.example"); 10]] {
        let stream = server.connect();
        stream.send(&questions);
        server.advance(SECOND * 11);
    }
    server
}

/// What a backend does with questions in datagrams.
fn backends() -> Server {
    let health = HealthConfig { name: name("check"), ..HealthConfig::default() };
    let pools = vec![PoolConfig { health, attempts: 1, ..pool(1) }];
    let limits = Limits { patience: SECOND, ..Limits::default() };
    let mut server = Server::new(Setup { pools, limits, is_watching: true, ..Setup::default() });
    server.settle();
    let check = server.question();
    check.answer(&reply(&check.octets).octets());
    server.settle();
    server.send(4000, &a("answered"));
    server.send(4001, &a("answered"));
    let asked = server.question();
    asked.answer(&[0; 12]);
    asked.answer(&reply(&asked.octets).address(60, [192, 0, 2, 1]).octets());
    server.settle();
    server.send(4000, &a("answered"));
    server.send(4000, &a("silent"));
    server.advance(SECOND * 3);
    server.handle.stop(Duration::from_secs(3600));
    server.settle();
    server
}

/// Questions that go over TCP.
fn over_tcp() -> Server {
    let mut server = Server::forwarder();
    let stream = server.connect();
    stream.send(&[a("long")]);
    server.settle();
    let asked = server.question();
    asked.answer(&reply(&asked.octets).flags(afpa_dns::message::flag::TC).octets());
    server.settle();
    let asked = server.question();
    asked.answer(&reply(&asked.octets).address(60, [192, 0, 2, 1]).octets());
    server.settle();
    server
}

/// A backend that neither opens a connection nor refuses it, until it is too late.
fn half_open() -> Server {
    let mut pools = vec![pool(2)];
    pools[0].backends[0].tcp = true;
    pools[0].backends[1].tcp = true;
    let mut server = Server::new(Setup { pools, ..Setup::default() });
    server.switches.is_deaf.set(true);
    server.send(4000, &a("nobody"));
    server.send_octets(crate::bench::local(4000), &[]);
    server.handle.stop(Duration::from_secs(3600));
    server.advance(SECOND * 3);
    server.switches.is_deaf.set(false);
    server.settle();
    server
}

/// Several engines: another one has the answer, or none has, or there is no telling.
fn shared_cache() -> Server {
    let mut server = Server::new(Setup { engines: 2, ..Setup::default() });
    server.send(4000, &a("absent"));
    let question = name("present");
    let asked = a("present").octets();
    let answer = Prepared::of(&reply(&asked).address(60, [192, 0, 2, 9]).octets(), &Default::default(), server.time());
    let mut entry = Vec::new();
    let question = Question { name: question.as_name(), qtype: Type::A, qclass: Class::IN };
    key(&question, KeyFlags::new(true, false, false), None, &mut entry);
    answer.unwrap().insert(&server.cache, &entry, server.cache.purges(), server.time()).unwrap();
    server.answers();
    server.send(4000, &a("present"));
    assert_eq!(server.answer().addresses(), [([192, 0, 2, 9].into(), 60)], "no backend was asked");
    server
}

/// Backends that a reload takes away just before they are asked.
fn reloaded() -> Server {
    let health = HealthConfig { name: name("check"), ..HealthConfig::default() };
    let pools = |attempts| vec![PoolConfig { health: health.clone(), attempts, ..pool(1) }];
    let mut server = Server::new(Setup { pools: pools(3), is_watching: true, ..Setup::default() });
    // The check was opened in this pass.
    server.pass();
    server.reload(Setup { pools: pools(2), ..Setup::default() });
    server.settle();
    server.network.send_datagram(server.owner, crate::bench::local(4000), &a("www.elsewhere").octets());
    // The flight begins, and its conversation is opened.
    server.pass();
    server.pass();
    server.reload(Setup { pools: Vec::new(), ..Setup::default() });
    server.settle();
    assert_eq!(server.answer().rcode, afpa_dns::message::Rcode::SERVFAIL, "nobody is left waiting");
    server
}
