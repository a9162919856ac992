//! Answers from zones.

use std::fmt::Write;

use afpa_dns::message::{Rcode, Type, flag, option};

use crate::bench::{Server, Setup, frame};
use crate::messages::{a, ask};

/// A zone with a little of everything.
pub(crate) const EXAMPLE: &str = "\
$TTL 300
@ SOA ns admin 7 3600 600 86400 60
@ NS ns
ns A 192.0.2.53
www A 192.0.2.80
alias CNAME www
*.wild A 192.0.2.81
sub NS ns.sub
ns.sub A 192.0.2.54
";

/// A zone with `count` addresses of one name.
pub(crate) fn zone_of(count: usize) -> String {
    let mut text = String::from(EXAMPLE);
    for number in 0..count {
        writeln!(text, "many A 10.0.{}.{}", number / 256, number % 256).unwrap();
    }
    text
}

fn server(text: String) -> Server {
    Server::new(Setup { zones: vec![("example", text)], ..Setup::default() })
}

#[test]
fn zones_are_answered_with_authority_over_datagrams_and_streams() {
    let mut server = server(EXAMPLE.into());
    let mut stream = server.connect();
    for (name, qtype, rcode, counts, is_authoritative) in [
        ("WWW.Example", Type::A, Rcode::NOERROR, [1, 1, 0, 0], true),
        ("alias.example", Type::A, Rcode::NOERROR, [1, 2, 0, 0], true),
        ("anything.wild.example", Type::A, Rcode::NOERROR, [1, 1, 0, 0], true),
        ("www.example", Type::AAAA, Rcode::NOERROR, [1, 0, 1, 0], true),
        ("absent.example", Type::A, Rcode::NXDOMAIN, [1, 0, 1, 0], true),
        ("below.sub.example", Type::A, Rcode::NOERROR, [1, 0, 1, 1], false),
    ] {
        let question = ask(name, qtype);
        let answer = server.ask(&question);
        assert_eq!((answer.rcode, answer.header.counts), (rcode, counts), "{name}");
        assert_eq!(answer.has(flag::AA), is_authoritative, "{name}");
        assert_eq!(answer.question.as_ref().unwrap().0, format!("{name}."), "the letters of the question");
        assert!(answer.has(flag::QR | flag::RD | flag::RA) && !answer.has(flag::TC));
        stream.send(&[question]);
        server.settle();
        assert_eq!(stream.answers(), [answer]);
    }
    assert!(server.asked().is_empty(), "no backend is asked");
}

#[test]
fn an_answer_that_does_not_fit_is_truncated_and_whole_over_a_stream() {
    // 30 addresses: 12 + 18 + 30 · 16 = 510 octets of a message.
    let mut server = server(zone_of(30));
    let answer = server.ask(&a("many.example"));
    assert_eq!((answer.has(flag::TC), answer.header.counts[1], answer.length), (false, 30, 510));
    let answer = server.ask(&a("many.example").edns(512));
    assert!(answer.has(flag::TC), "the OPT record does not fit");

    let mut server = self::server(zone_of(200));
    for (question, most) in [
        (a("many.example"), 512),
        (a("many.example").edns(0), 512),
        (a("many.example").edns(800), 800),
        (a("many.example").edns(1232), 1232),
        (a("many.example").edns(65_535), 1232),
    ] {
        let answer = server.ask(&question);
        assert!(answer.has(flag::TC) && answer.length <= most, "{question:?}: {}", answer.length);
        assert_eq!(answer.opt.is_some(), question.opt.is_some());
    }
    let mut stream = server.connect();
    stream.send(&[a("many.example")]);
    server.settle();
    let answers = stream.answers();
    assert_eq!((answers[0].has(flag::TC), answers[0].header.counts[1]), (false, 200));
}

#[test]
fn our_own_limit_holds_for_clients_that_take_more() {
    let mut server = Server::new(Setup { zones: vec![("example", zone_of(100))], udp_size: 4096, ..Setup::default() });
    assert!(server.ask(&a("many.example").edns(1232)).has(flag::TC));
    let answer = server.ask(&a("many.example").edns(65_535));
    assert_eq!((answer.has(flag::TC), answer.header.counts[1]), (false, 100));
    assert_eq!(answer.opt.unwrap().udp_size, 4096);
}

#[test]
fn a_reload_replaces_zones_between_two_questions_and_drops_no_waiting_one() {
    let mut server = server(EXAMPLE.into());
    server.send(4000, &a("www.elsewhere"));
    let asked = server.question();
    let mut stream = server.connect();
    let octets = frame(&a("www.example").octets());
    stream.peer.send(&octets[..7]);
    server.settle();
    server.reload(Setup { zones: vec![("example", EXAMPLE.replace("192.0.2.80", "192.0.2.99"))], ..Setup::default() });
    assert_eq!(server.ask(&a("www.example")).addresses(), [([192, 0, 2, 99].into(), 300)]);
    stream.peer.send(&octets[7..]);
    server.settle();
    assert_eq!(stream.answers()[0].addresses(), [([192, 0, 2, 99].into(), 300)]);
    asked.answer(&crate::messages::reply(&asked.octets).address(60, [192, 0, 2, 1]).octets());
    server.settle();
    assert_eq!(server.answer().addresses(), [([192, 0, 2, 1].into(), 60)]);
}

#[test]
fn a_stream_is_told_how_long_it_may_be_idle_if_it_asks() {
    let mut server = server(EXAMPLE.into());
    let question = a("www.example").option(option::TCP_KEEPALIVE, &[]);
    assert_eq!(server.ask(&question).option(option::TCP_KEEPALIVE), None, "RFC 7828 §3.2.1: not in datagrams");
    let mut stream = server.connect();
    stream.send(&[question, a("www.example").edns(1232)]);
    server.settle();
    let answers = stream.answers();
    // 10 s in units of 100 ms.
    assert_eq!(answers[0].option(option::TCP_KEEPALIVE), Some(&[0, 100][..]));
    assert_eq!(answers[1].option(option::TCP_KEEPALIVE), None);
}
