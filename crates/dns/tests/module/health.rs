//! Checks of backends.

use std::time::Duration;

use afpa_dns::message::{Rcode, Type, flag};
use afpa_dns::stats::BackendEvent;
use afpa_dns::upstream::{HealthConfig, PoolConfig};

use crate::bench::{Asked, SECOND, Server, Setup, backend, name, pool};
use crate::messages::{a, reply};

/// Two backends that are checked every five seconds, and are down after two failures.
fn server() -> Server {
    let health = HealthConfig { name: name("check.example"), qtype: Type::SOA, failures: 2, ..HealthConfig::default() };
    let mut server =
        Server::new(Setup { pools: vec![PoolConfig { health, ..pool(2) }], is_watching: true, ..Setup::default() });
    server.settle();
    server
}

fn is_check(asked: &Asked) -> bool {
    asked.ask.name.eq_ignore_ascii_case("check.example.") && asked.ask.qtype == Type::SOA
}

/// Lets so much time pass; the first backend does with checks what `first` says, the other answers them.
fn check(server: &mut Server, time: Duration, first: &dyn Fn(&Asked)) {
    for _ in 0..time.as_millis() / 250 {
        for asked in server.asked() {
            assert!(is_check(&asked), "{:?}", asked.ask);
            match asked.to == backend(1) {
                true => first(&asked),
                false => passed(&asked),
            }
        }
        server.advance(Duration::from_millis(250));
    }
}

fn passed(asked: &Asked) {
    asked.answer(&reply(&asked.octets).octets());
}

/// Whom each of so many questions goes to.
fn chosen(server: &mut Server, number: usize, count: usize) -> Vec<Asked> {
    for question in 0..count {
        server.send(4000, &a(&format!("host{question}.of{number}")));
    }
    let mut asked = server.asked();
    asked.retain(|asked| !is_check(asked));
    assert_eq!(asked.len(), count);
    asked
}

#[test]
fn backends_are_checked_from_the_start_on_and_again() {
    let mut server = server();
    let asked = server.asked();
    assert_eq!(asked.iter().map(|asked| asked.to).collect::<Vec<_>>(), [backend(1), backend(2)]);
    assert!(asked.iter().all(is_check));
    assert_eq!(asked[0].ask.flags, flag::RD);
    asked.iter().for_each(passed);
    server.advance(SECOND * 4);
    assert!(server.asked().is_empty());
    server.advance(SECOND * 2);
    assert_eq!(server.asked().len(), 2, "every five seconds, give or take a tenth");
    assert_eq!(server.event(0, BackendEvent::Asked), 0, "checks are not questions");
}

#[test]
fn a_backend_that_fails_its_checks_is_not_asked_until_it_passes_one() {
    type Fail = fn(&Asked);
    let fails: [(&str, Fail); 4] = [
        ("silence", |_| {}),
        ("nobody is there", |asked| asked.peer.reset()),
        ("SERVFAIL", |asked| asked.answer(&reply(&asked.octets).rcode(Rcode::SERVFAIL).octets())),
        ("an answer to something else", |asked| asked.answer(&reply(&asked.octets).id(!asked.ask.id).octets())),
    ];
    for (what, fail) in fails {
        let mut server = server();
        check(&mut server, SECOND * 10, &fail);
        assert_eq!(server.event(0, BackendEvent::Down), 1, "{what}");
        let asked = chosen(&mut server, 1, 10);
        assert!(asked.iter().all(|asked| asked.to == backend(2)), "{what}");
        for asked in asked {
            asked.answer(&reply(&asked.octets).address(60, [192, 0, 2, 1]).octets());
        }
        server.settle();
        check(&mut server, SECOND * 8, &passed);
        assert_eq!(server.event(0, BackendEvent::Up), 1, "{what}");
        let asked = chosen(&mut server, 2, 10);
        let first = asked.iter().filter(|asked| asked.to == backend(1)).count();
        assert_eq!(first, 5, "{what}: those with the fewest questions are asked");
    }
}

#[test]
fn what_happens_to_questions_marks_a_backend_down_too() {
    let mut server = server();
    server.asked().iter().for_each(passed);
    server.settle();
    // Two refusals in a row.
    while server.event(0, BackendEvent::Down) == 0 {
        let number = server_number(&server);
        for asked in chosen(&mut server, number, 2) {
            match asked.to == backend(1) {
                true => asked.peer.reset(),
                false => asked.answer(&reply(&asked.octets).address(60, [192, 0, 2, 1]).octets()),
            }
        }
        server.settle();
        for asked in server.asked() {
            asked.answer(&reply(&asked.octets).address(60, [192, 0, 2, 1]).octets());
        }
        server.settle();
        assert!(server.event(0, BackendEvent::Unreachable) <= 2);
    }
    assert!(chosen(&mut server, 1_000_000, 4).iter().all(|asked| asked.to == backend(2)));
}

/// A number that no question had before.
fn server_number(server: &Server) -> usize {
    server.stats.query_octets.get() as usize
}

#[test]
fn a_check_over_tcp_is_passed_and_failed_like_any_other() {
    let health = HealthConfig { name: name("check.example"), qtype: Type::SOA, failures: 1, ..HealthConfig::default() };
    let mut pools = vec![PoolConfig { health, ..pool(1) }];
    pools[0].backends[0].tcp = true;
    let mut server = Server::new(Setup { pools, is_watching: true, ..Setup::default() });
    server.settle();
    let asked = server.question();
    assert!(asked.is_over_tcp && is_check(&asked));
    passed(&asked);
    server.settle();
    assert_eq!(server.event(0, BackendEvent::Down), 0);
    check(&mut server, SECOND * 6, &|asked| asked.peer.reset());
    assert_eq!(server.event(0, BackendEvent::Down), 1);
    check(&mut server, SECOND * 6, &passed);
    assert_eq!(server.event(0, BackendEvent::Up), 1);
    // A connection that neither opens nor fails is a failure, too.
    server.switches.is_deaf.set(true);
    server.advance(SECOND * 8);
    assert_eq!(server.event(0, BackendEvent::Down), 2);
}

#[test]
fn want_of_room_on_this_side_says_nothing_of_backends() {
    let mut server = server();
    server.asked().iter().for_each(passed);
    server.settle();
    server.switches.is_full.set(true);
    server.advance(SECOND * 20);
    let answer = server.ask(&a("www").edns(1232));
    assert_eq!(answer.summary(), (Rcode::SERVFAIL, 0, Some(22)));
    let events = [BackendEvent::Down, BackendEvent::Unreachable].map(|event| server.event(0, event));
    assert_eq!(events, [0, 0]);
    // One that is down does not come back by it.
    server.switches.is_full.set(false);
    check(&mut server, SECOND * 12, &|asked| asked.peer.reset());
    assert_eq!(server.event(0, BackendEvent::Down), 1);
    server.switches.is_full.set(true);
    server.advance(SECOND * 12);
    assert_eq!(server.event(0, BackendEvent::Up), 0);
}

#[test]
fn a_reload_changes_who_is_checked() {
    let mut server = server();
    server.asked().iter().for_each(passed);
    server.settle();
    let health = HealthConfig { name: name("check.example"), qtype: Type::SOA, ..HealthConfig::default() };
    server.reload(Setup {
        pools: vec![PoolConfig { health, ..crate::bench::pool_named("default", 5..=5) }],
        ..Setup::default()
    });
    server.advance(SECOND * 7);
    let asked = server.asked();
    assert!(!asked.is_empty() && asked.iter().all(|asked| asked.to == backend(5)));
}
