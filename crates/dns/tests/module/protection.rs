//! Who may ask, and how much.

use std::net::SocketAddr;

use afpa_dns::message::{Rcode, Type, flag, option};
use afpa_dns::protect::{AccessList, ClientRateConfig, ResponseRateConfig};

use crate::bench::{SECOND, Server, Setup, local, networks};
use crate::messages::{Ask, a, ask};
use crate::zones::EXAMPLE;

fn from(address: [u8; 4]) -> SocketAddr {
    (address, 4000).into()
}

fn zones() -> Vec<(&'static str, String)> {
    vec![("example", EXAMPLE.into())]
}

#[test]
fn backends_answers_are_for_local_clients_and_zones_for_everybody() {
    let mut server = Server::new(Setup { zones: zones(), ..Setup::default() });
    for (client, is_local) in [
        ([127, 0, 0, 1], true),
        ([10, 1, 2, 3], true),
        ([192, 168, 1, 1], true),
        ([203, 0, 113, 1], false),
        ([8, 8, 8, 8], false),
    ] {
        let answer = server.ask_from(from(client), &a("www.example"));
        assert_eq!((answer.rcode, answer.addresses().len()), (Rcode::NOERROR, 1), "{client:?}");
        if is_local {
            server.send_octets(from(client), &a("elsewhere").octets());
            assert!(server.answers().is_empty(), "{client:?}");
        } else {
            let answer = server.ask_from(from(client), &a("elsewhere").edns(1232));
            assert_eq!(answer.summary(), (Rcode::REFUSED, 0, Some(18)), "{client:?}");
        }
    }
    assert_eq!(server.asked().len(), 1);
    let far: SocketAddr = "[2001:db8::1]:4000".parse().unwrap();
    assert_eq!(server.ask_from(far, &a("elsewhere")).rcode, Rcode::REFUSED);
}

#[test]
fn who_is_far_away_gets_nothing_from_the_cache_either() {
    let mut server = Server::forwarder();
    server.send(4000, &a("www"));
    let asked = server.question();
    asked.answer(&crate::messages::reply(&asked.octets).address(60, [192, 0, 2, 1]).octets());
    server.settle();
    server.answers();
    assert_eq!(server.ask_from(from([203, 0, 113, 1]), &a("www")).rcode, Rcode::REFUSED);
}

#[test]
fn zones_may_be_for_some_alone() {
    let zone_access = AccessList::new(networks(&["192.0.2.0/24"]), networks(&["192.0.2.66"]));
    let mut server = Server::new(Setup { zones: zones(), zone_access, ..Setup::default() });
    for (client, rcode, error) in [
        ([192, 0, 2, 1], Rcode::NOERROR, None),
        ([192, 0, 2, 66], Rcode::REFUSED, Some(18)),
        ([127, 0, 0, 1], Rcode::REFUSED, Some(18)),
    ] {
        let answer = server.ask_from(from(client), &a("www.example").edns(1232));
        assert_eq!((answer.rcode, answer.error()), (rcode, error), "{client:?}");
    }
}

#[test]
fn a_client_gets_no_more_answers_than_it_may_have() {
    let client_rate = ClientRateConfig { questions_per_second: 3, ..ClientRateConfig::default() };
    let mut server = Server::new(Setup { zones: zones(), client_rate: Some(client_rate), ..Setup::default() });
    for _ in 0..10 {
        server.send(4000, &a("www.example"));
    }
    assert_eq!(server.answers().len(), 3);
    assert_eq!(server.ask_from(from([10, 0, 0, 1]), &a("www.example")).rcode, Rcode::NOERROR, "another client");
    // A stream proves the address: it is told.
    let mut stream = server.connect();
    stream.send(&[a("www.example").edns(1232)]);
    server.settle();
    assert_eq!(stream.answers()[0].summary(), (Rcode::REFUSED, 0, Some(18)));
    server.advance(SECOND);
    assert_eq!(server.ask(&a("www.example")).rcode, Rcode::NOERROR);
}

fn limited() -> Server {
    let response_rate =
        ResponseRateConfig { responses_per_second: 2, errors_per_second: 2, slip: 2, ..ResponseRateConfig::default() };
    Server::new(Setup { zones: zones(), response_rate: Some(response_rate), has_cookies: true, ..Setup::default() })
}

/// Asks ten times. What comes back: whole answers, and truncated ones.
fn flood(server: &mut Server, name: impl Fn(u8) -> Ask) -> (usize, usize) {
    for number in 0..10 {
        server.send_octets(from([203, 0, 113, number]), &name(number).octets());
    }
    let answers = server.answers();
    let truncated: Vec<_> = answers.iter().filter(|(_, answer)| answer.has(flag::TC)).collect();
    for (_, answer) in &truncated {
        let sections = [1, 0, 0, answer.header.counts[3]];
        assert_eq!((answer.header.counts, answer.rcode == Rcode::REFUSED), (sections, false));
    }
    (answers.len() - truncated.len(), truncated.len())
}

#[test]
fn the_same_answers_to_one_network_are_limited_and_every_second_is_truncated() {
    for (what, question, expected) in [
        ("an answer", (|_| a("www.example")) as fn(u8) -> Ask, (2, 4)),
        ("in any letters", |number| a(if number % 2 == 0 { "WWW.example" } else { "www.EXAMPLE" }), (2, 4)),
        ("no data", |_| ask("www.example", Type::AAAA), (2, 4)),
        ("names that are not there", |number| a(&format!("absent{number}.example")), (2, 4)),
        ("names that a wildcard makes", |number| a(&format!("host{number}.wild.example")), (2, 4)),
        ("names below a delegation", |number| a(&format!("host{number}.sub.example")), (2, 4)),
        // They are no larger than questions, and nobody is to come back for them.
        ("errors", |number| a(&format!("host{number}.elsewhere")), (6, 0)),
        ("different answers", |number| ask("www.example", if number % 2 == 0 { Type::A } else { Type::MX }), (4, 2)),
    ] {
        assert_eq!(flood(&mut limited(), question), expected, "{what}");
    }
}

#[test]
fn a_truncated_answer_has_an_opt_record_if_the_question_had_one() {
    let mut server = limited();
    let answers: Vec<_> = (0..4)
        .flat_map(|_| {
            server.send(4000, &a("www.example").edns(1232));
            server.answers()
        })
        .collect();
    let (_, truncated) = answers.iter().find(|(_, answer)| answer.has(flag::TC)).expect("a truncated answer");
    assert_eq!((truncated.header.counts, truncated.opt.as_ref().unwrap().udp_size), ([1, 0, 0, 1], 1232));
    assert_eq!(truncated.question.as_ref().unwrap().0, "www.example.");
    assert!(truncated.has(flag::AA | flag::RD));
}

#[test]
fn who_has_proven_its_address_is_not_limited() {
    let mut server = limited();
    let client = local(4000);
    let first = server.ask_from(client, &a("www.example").option(option::COOKIE, b"12345678"));
    let cookie = first.option(option::COOKIE).expect("a cookie").to_vec();
    let mut count = 0;
    for _ in 0..10 {
        server.send_octets(client, &a("www.example").option(option::COOKIE, &cookie).octets());
        count += server.answers().iter().filter(|(_, answer)| !answer.has(flag::TC)).count();
    }
    assert_eq!(count, 10, "by a server's cookie");
    // RFC 7873 §5.2.4: one that is not ours is as good as none, and answered with a good one.
    let mut wrong = cookie.clone();
    wrong[20] ^= 1;
    server.send_octets(from([203, 0, 113, 1]), &a("www.example").option(option::COOKIE, &wrong).octets());
    let answer = server.answer();
    let renewed = answer.option(option::COOKIE).expect("a cookie");
    assert!(renewed[..8] == cookie[..8] && renewed != cookie);
    let mut stream = server.connect();
    stream.send(&vec![a("www.example"); 10]);
    server.settle();
    assert_eq!(stream.answers().iter().filter(|answer| answer.addresses().len() == 1).count(), 10, "by a stream");
    let (whole, _) = flood(&mut server, |_| a("www.example").option(option::COOKIE, &[7; 24]));
    assert!(whole < 3, "not by a cookie that somebody made up");
}
