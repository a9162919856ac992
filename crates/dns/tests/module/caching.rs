//! How long answers are kept, and what is served behind their end.

use std::time::Duration;

use afpa_dns::cache::Policy;
use afpa_dns::message::{Rcode, Section};

use crate::bench::{SECOND, Server, Setup};
use crate::messages::{Answer, Ask, Reply, a, reply};

fn with(policy: Policy) -> Server {
    Server::new(Setup { policy, ..Setup::default() })
}

/// Asks, plays the backend that answers with what `with` makes of an empty answer, and returns what the client gets.
fn fetch(server: &mut Server, ask: &Ask, with: impl Fn(Reply) -> Reply) -> Answer {
    server.send(4000, ask);
    let asked = server.question();
    asked.answer(&with(reply(&asked.octets)).octets());
    server.settle();
    server.answer()
}

fn ttls(answer: &Answer, section: Section) -> Vec<u32> {
    answer.records.iter().filter(|record| record.section == section).map(|record| record.ttl).collect()
}

#[test]
fn negative_answers_are_kept_for_as_long_as_the_zone_says() {
    for (rcode, ttl, minimum, kept) in [
        (Rcode::NXDOMAIN, 900, 60, 60),
        (Rcode::NXDOMAIN, 30, 60, 30),
        (Rcode::NOERROR, 900, 60, 60),
        (Rcode::NOERROR, 86_400, 86_400, 3600),
    ] {
        let mut server = Server::forwarder();
        let answer = fetch(&mut server, &a("www.example"), |reply| reply.rcode(rcode).soa(ttl, minimum));
        assert_eq!((answer.rcode, ttls(&answer, Section::Authority)), (rcode, vec![kept]));
        server.at(u64::from(kept) - 1);
        let answer = server.ask(&a("www.example"));
        assert_eq!((answer.rcode, ttls(&answer, Section::Authority)), (rcode, vec![1]));
        // It is near its end.
        server.asked();
        server.advance(SECOND * 7);
        server.at(u64::from(kept) + 20);
        server.asked();
        server.answers();
        server.send(4000, &a("www.example"));
        assert!(server.answers().is_empty());
    }
}

#[test]
fn what_has_no_life_is_for_those_who_wait_alone() {
    let mut server = Server::forwarder();
    for _ in 0..2 {
        let answer = fetch(&mut server, &a("www.example"), |reply| reply.address(0, [192, 0, 2, 1]));
        assert_eq!(answer.addresses(), [([192, 0, 2, 1].into(), 0)]);
        let answer = fetch(&mut server, &a("absent.example"), |reply| reply.rcode(Rcode::NXDOMAIN));
        assert_eq!(answer.rcode, Rcode::NXDOMAIN, "RFC 2308 §5: it has no SOA record");
    }
}

#[test]
fn an_expired_answer_is_served_while_its_backend_is_silent() {
    let mut server = with(Policy { stale: Duration::from_secs(3600), prefetch_percent: 0, ..Policy::default() });
    let question = a("www.example").edns(1232);
    fetch(&mut server, &question, |reply| reply.address(60, [192, 0, 2, 1]));
    server.at(59);
    assert_eq!(server.ask(&question).error(), None);
    assert!(server.asked().is_empty());
    server.at(60);
    let answer = server.ask(&question);
    assert_eq!((answer.addresses(), answer.error()), (vec![([192, 0, 2, 1].into(), 30)], Some(3)));
    assert_eq!(server.ask(&question).error(), Some(3));
    assert_eq!(server.asked().len(), 1, "meanwhile it is asked for again, once");
    server.advance(SECOND * 6);
    assert_eq!(server.asked().len(), 2, "the other attempts");
    assert_eq!(server.ask(&question).error(), Some(3), "a failure does not replace it");
    server.advance(SECOND * 20);
    server.ask(&question);
    assert!(server.asked().is_empty(), "RFC 8767 §5: for half a minute the backend is left alone");
    server.advance(SECOND * 20);
    server.ask(&question);
    let asked = server.question();
    asked.answer(&reply(&asked.octets).address(60, [192, 0, 2, 2]).octets());
    server.settle();
    assert!(server.answers().is_empty());
    let answer = server.ask(&question);
    assert_eq!((answer.addresses(), answer.error()), (vec![([192, 0, 2, 2].into(), 60)], None));
    server.at(60 + 60 + 3600 + 100);
    server.send(4000, &question);
    assert!(server.answers().is_empty(), "too old for anybody");
}

#[test]
fn that_there_is_no_such_name_is_served_stale_too() {
    let mut server = with(Policy { stale: Duration::from_secs(3600), ..Policy::default() });
    let question = a("absent.example").edns(1232);
    fetch(&mut server, &question, |reply| reply.rcode(Rcode::NXDOMAIN).soa(60, 60));
    server.at(61);
    assert_eq!(server.ask(&question).summary(), (Rcode::NXDOMAIN, 0, Some(19)));
}

#[test]
fn an_answer_that_is_in_use_is_asked_for_again_before_its_end() {
    let mut server = Server::forwarder();
    fetch(&mut server, &a("www.example"), |reply| reply.address(100, [192, 0, 2, 1]));
    server.at(89);
    server.ask(&a("www.example"));
    assert!(server.asked().is_empty());
    server.at(90);
    assert_eq!(server.ask(&a("www.example")).addresses(), [([192, 0, 2, 1].into(), 10)]);
    assert_eq!(server.ask(&a("www.example")).addresses(), [([192, 0, 2, 1].into(), 10)]);
    let asked = server.question();
    asked.answer(&reply(&asked.octets).address(100, [192, 0, 2, 2]).octets());
    server.settle();
    server.at(101);
    assert_eq!(server.ask(&a("www.example")).addresses(), [([192, 0, 2, 2].into(), 89)]);
    assert!(server.asked().is_empty());
}

#[test]
fn who_misses_an_answer_joins_the_one_that_is_asked_for_already() {
    let mut server = Server::forwarder();
    fetch(&mut server, &a("www.example"), |reply| reply.address(100, [192, 0, 2, 1]));
    server.at(99);
    server.ask(&a("www.example"));
    let asked = server.question();
    server.at(100);
    server.send(4000, &a("www.example"));
    assert!(server.asked().is_empty());
    asked.answer(&reply(&asked.octets).address(100, [192, 0, 2, 2]).octets());
    server.settle();
    assert_eq!(server.answer().addresses(), [([192, 0, 2, 2].into(), 100)]);
}

#[test]
fn what_was_purged_is_asked_for_again_and_what_was_under_way_is_not_kept() {
    let mut server = Server::forwarder();
    fetch(&mut server, &a("www.example"), |reply| reply.address(100, [192, 0, 2, 1]));
    server.cache.purge_all();
    server.send(4000, &a("www.example"));
    let asked = server.question();
    server.cache.purge_all();
    asked.answer(&reply(&asked.octets).address(100, [192, 0, 2, 2]).octets());
    server.settle();
    assert_eq!(server.answer().addresses(), [([192, 0, 2, 2].into(), 100)], "for who waited");
    let answer = fetch(&mut server, &a("www.example"), |reply| reply.address(100, [192, 0, 2, 3]));
    assert_eq!(answer.addresses(), [([192, 0, 2, 3].into(), 100)]);
    assert_eq!(server.ask(&a("www.example")).addresses(), [([192, 0, 2, 3].into(), 100)]);
}
