//! What the log and the counters tell of queries.

use std::time::Duration;

use afpa_dns::Limits;
use afpa_dns::cache::Policy;
use afpa_dns::message::{Rcode, Type, flag};
use afpa_dns::protect::{ClientRateConfig, ResponseRateConfig};
use afpa_dns::query_log::{Outcome, Protocol, QueryFlags};
use afpa_dns::upstream::FlightLimits;

use crate::bench::{START, Server, Setup, pool};
use crate::messages::{a, ask, reply};
use crate::zones::EXAMPLE;

/// A record, as far as tests look at it.
type Seen = (String, Outcome, Rcode, Option<u16>);

fn seen(server: &mut Server) -> Vec<Seen> {
    let mut seen = Vec::new();
    while let Some(record) = server.records.take() {
        let name = record.question.map(|question| question.name.to_string()).unwrap_or_default();
        seen.push((name, record.outcome, record.rcode, record.backend));
    }
    seen
}

fn one(name: &str, outcome: Outcome, rcode: Rcode, backend: Option<u16>) -> Vec<Seen> {
    vec![(name.to_owned(), outcome, rcode, backend)]
}

#[test]
fn each_query_is_recorded_once_with_what_became_of_it() {
    let policy = Policy { stale: Duration::from_secs(60), ..Policy::default() };
    let (zones, limits) = (vec![("example", EXAMPLE.into())], Limits::default());
    let mut server = Server::new(Setup { zones, policy, limits, pools: vec![pool(2)], ..Setup::default() });
    server.ask(&a("WWW.example"));
    assert_eq!(seen(&mut server), one("WWW.example.", Outcome::Zone, Rcode::NOERROR, None));
    server.ask_from(([8, 8, 8, 8], 53).into(), &a("elsewhere"));
    assert_eq!(seen(&mut server), one("elsewhere.", Outcome::Refused, Rcode::REFUSED, None));
    server.send_octets(crate::bench::local(4000), &[0; 12]);
    assert_eq!(seen(&mut server), one("", Outcome::Malformed, Rcode::FORMERR, None));
    server.send(4000, &a("elsewhere"));
    assert_eq!(seen(&mut server), [], "it waits");
    let asked = server.question();
    asked.answer(&reply(&asked.octets).address(60, [192, 0, 2, 1]).octets());
    server.settle();
    let backend = u16::from(asked.to == crate::bench::backend(2));
    assert_eq!(seen(&mut server), one("elsewhere.", Outcome::Miss, Rcode::NOERROR, Some(backend)));
    server.answers();
    server.ask(&a("elsewhere"));
    assert_eq!(seen(&mut server), one("elsewhere.", Outcome::Hit, Rcode::NOERROR, None));
    server.at(70);
    server.ask(&a("elsewhere"));
    assert_eq!(seen(&mut server), one("elsewhere.", Outcome::Stale, Rcode::NOERROR, None));
    server.send(4000, &a("nobody"));
    server.advance(Duration::from_secs(6));
    assert_eq!(seen(&mut server), one("nobody.", Outcome::Failed, Rcode::SERVFAIL, None));
    let mut stream = server.connect();
    stream.send(&[ask("other", Type::MX), ask("www.example", Type::AXFR)]);
    server.settle();
    assert_eq!(seen(&mut server), one("www.example.", Outcome::Refused, Rcode::REFUSED, None));
    assert_eq!(stream.answers().len(), 1);
    let asked = server.asked().pop().expect("a question");
    asked.answer(&reply(&asked.octets).rcode(Rcode::NXDOMAIN).soa(60, 60).octets());
    server.settle();
    assert_eq!(seen(&mut server)[0].1, Outcome::Miss);
}

#[test]
fn what_is_held_back_is_recorded_as_that() {
    let response_rate =
        ResponseRateConfig { responses_per_second: 1, slip: 2, ipv4_prefix: 32, ..ResponseRateConfig::default() };
    let client_rate = ClientRateConfig { questions_per_second: 4, ..ClientRateConfig::default() };
    let mut server = Server::new(Setup {
        zones: vec![("example", EXAMPLE.into())],
        response_rate: Some(response_rate),
        client_rate: Some(client_rate),
        flights: FlightLimits { flights: 0, waiters: 0 },
        ..Setup::default()
    });
    for _ in 0..3 {
        server.send(4000, &a("www.example"));
    }
    server.send(4000, &a("elsewhere"));
    server.send(4000, &a("www.example"));
    let outcomes: Vec<_> = seen(&mut server).into_iter().map(|(_, outcome, ..)| outcome).collect();
    assert_eq!(outcomes, [Outcome::Zone, Outcome::Dropped, Outcome::Truncated, Outcome::Failed, Outcome::Limited]);
}

#[test]
fn a_record_tells_when_a_query_came_and_how() {
    let mut server = Server::forwarder();
    server.at(10);
    let mut question = a("www").edns(1232).flags(flag::RD | flag::CD);
    question.opt.as_mut().unwrap().dnssec_ok = true;
    server.send(4321, &question);
    let asked = server.question();
    server.advance(Duration::from_millis(1500));
    asked.answer(&reply(&asked.octets).address(60, [192, 0, 2, 1]).octets());
    server.settle();
    let length = server.answer().length as u32;
    let record = server.records.take().expect("a record");
    assert_eq!((record.unix_micros, record.latency_micros), ((START + 10) * 1_000_000, 1_500_000));
    assert_eq!((record.client, record.client_port), ([127, 0, 0, 1].into(), 4321));
    assert_eq!((record.protocol, record.answer_octets), (Protocol::Udp, length));
    let flags = [QueryFlags::RECURSION, QueryFlags::DNSSEC, QueryFlags::CHECKING_DISABLED, QueryFlags::EDNS];
    let expected = flags.into_iter().fold(QueryFlags::default(), |all, flag| all.with(flag, true));
    assert_eq!(record.flags, expected);
}
