//! Questions that a backend answers.

use std::collections::HashSet;

use afpa_dns::message::{Name, Rcode, Section, Type, flag, option};
use afpa_dns::stats::BackendEvent;
use afpa_dns::upstream::{PoolConfig, SubnetPolicy};

use crate::bench::{SECOND, Server, Setup, backend, local, name, pool};
use crate::messages::{Reply, a, ask, reply};

#[test]
fn a_question_goes_to_the_backend_under_an_id_and_in_letters_of_its_own() {
    let mut server = Server::new(Setup { has_cookies: true, ..Setup::default() });
    let (mut ids, mut has_capitals, mut cookies) = (HashSet::new(), false, HashSet::new());
    for number in 0..8 {
        let question = a(&format!("host{number}.example.net")).option(option::COOKIE, b"ABCDEFGH");
        server.send(4000, &question.option(option::NSID, &[]).edns(4096));
        let asked = server.question();
        assert_eq!((asked.to, asked.is_over_tcp), (backend(1), false));
        assert!(asked.ask.name.eq_ignore_ascii_case(&format!("host{number}.example.net.")), "{}", asked.ask.name);
        // RFC 6840 §5.7: AD is always asked for, since the answer is for all who ask.
        assert_eq!((asked.ask.flags, asked.ask.qtype), (flag::RD | flag::AD, Type::A));
        let opt = asked.ask.opt.expect("EDNS");
        assert_eq!((opt.udp_size, opt.dnssec_ok, opt.options.len()), (1232, false, 1));
        let (code, cookie) = &opt.options[0];
        assert_eq!((*code, cookie.len()), (option::COOKIE, 8));
        assert_ne!(cookie, b"ABCDEFGH", "a client's cookie is between it and us");
        cookies.insert(cookie.clone());
        ids.insert(asked.ask.id);
        has_capitals |= asked.ask.name.bytes().any(|octet| octet.is_ascii_uppercase());
    }
    assert!(ids.len() > 1 && has_capitals);
    assert_eq!(cookies.len(), 1, "one for each backend");
    assert_eq!(server.event(0, BackendEvent::Asked), 8);
}

#[test]
fn flags_that_change_the_answer_reach_the_backend_and_are_answered_apart() {
    let mut server = Server::forwarder();
    let mut secure = a("www").edns(1232);
    secure.opt.as_mut().unwrap().dnssec_ok = true;
    let questions = [a("www"), a("www").flags(0), a("www").flags(flag::RD | flag::CD), secure, ask("www", Type::AAAA)];
    for question in &questions {
        server.send(4000, question);
    }
    let asked = server.asked();
    let seen: Vec<_> = asked.iter().map(|asked| (asked.ask.flags, asked.ask.qtype)).collect();
    let expected = [flag::RD, 0, flag::RD | flag::CD, flag::RD].map(|flags| (flags | flag::AD, Type::A));
    assert_eq!(seen[..4], expected);
    assert_eq!(seen[4], (flag::RD | flag::AD, Type::AAAA));
    assert!(asked[3].ask.opt.as_ref().unwrap().dnssec_ok);
}

#[test]
fn an_answer_reaches_the_client_under_its_id_and_in_its_letters_and_is_a_hit_from_then_on() {
    let mut server = Server::forwarder();
    server.send(4000, &a("WwW.Example").id(77));
    let asked = server.question();
    asked.answer(&reply(&asked.octets).address(300, [192, 0, 2, 80]).octets());
    server.settle();
    let answer = server.answer();
    assert_eq!((answer.header.id, answer.question.as_ref().unwrap().0.as_str()), (77, "WwW.Example."));
    assert_eq!(answer.addresses(), [([192, 0, 2, 80].into(), 300)]);
    assert!(answer.has(flag::QR | flag::RD | flag::RA) && !answer.has(flag::AA) && answer.opt.is_none());
    server.at(100);
    let answer = server.ask(&a("www.EXAMPLE").id(78).edns(1232));
    assert_eq!((answer.header.id, answer.question.as_ref().unwrap().0.as_str()), (78, "www.EXAMPLE."));
    assert_eq!(answer.addresses(), [([192, 0, 2, 80].into(), 200)]);
    assert!(answer.opt.is_some());
    let mut stream = server.connect();
    stream.send(&[a("www.example").id(79)]);
    server.settle();
    assert_eq!(stream.answers()[0].addresses(), [([192, 0, 2, 80].into(), 200)]);
    assert!(server.asked().is_empty());
    server.at(300);
    server.send(4000, &a("www.example"));
    server.question();
    assert!(server.answers().is_empty(), "its life is over");
}

#[test]
fn however_many_wait_the_backend_is_asked_once() {
    let mut server = Server::forwarder();
    let mut stream = server.connect();
    for port in 4000..4050 {
        server.send(port, &a("www").id(port));
    }
    stream.send(&[a("WWW").id(1), a("www").edns(1232).id(2)]);
    server.settle();
    assert_eq!(server.stats.waiting.get(), 52);
    let asked = server.question();
    asked.answer(&reply(&asked.octets).address(60, [192, 0, 2, 1]).octets());
    server.settle();
    let answers = server.answers();
    let expected: Vec<_> = (4000..4050).map(|port| (local(port), port)).collect();
    let seen: Vec<_> = answers.iter().map(|(to, answer)| (*to, answer.header.id)).collect();
    assert_eq!(seen, expected, "in the order in which they came");
    assert!(answers.iter().all(|(_, answer)| answer.addresses().len() == 1));
    let mut ids = stream.ids();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2], "in any order (RFC 7766 §6.2.1.1)");
    assert!(server.asked().is_empty());
    assert_eq!(server.stats.waiting.get(), 0);
}

#[test]
fn a_client_that_goes_away_does_no_harm_to_those_who_wait() {
    let mut server = Server::forwarder();
    let stream = server.connect();
    stream.send(&[a("www"), a("other")]);
    server.settle();
    server.send(4000, &a("www"));
    stream.peer.reset();
    server.settle();
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    for asked in &asked {
        asked.answer(&reply(&asked.octets).address(60, [192, 0, 2, 1]).octets());
    }
    server.settle();
    assert_eq!(server.answer().addresses().len(), 1);
    assert_eq!(server.ask(&a("other")).addresses().len(), 1, "nobody waited for it, and it is kept");
    assert!(server.asked().is_empty());
}

#[test]
fn what_does_not_match_the_question_is_not_seen() {
    let mut server = Server::forwarder();
    server.send(4000, &a("www.example").id(9));
    let asked = server.question();
    let good = || reply(&asked.octets).address(60, [192, 0, 2, 1]);
    let mut cut = good().octets();
    cut.truncate(cut.len() - 1);
    let mut query = good().octets();
    query[2] &= 0x7f;
    let other = asked.ask.clone();
    let mut other_type = other.clone();
    other_type.qtype = Type::AAAA;
    let mut longer = good().octets();
    longer.push(0);
    let wrong = [
        vec![],
        good().octets()[..11].to_vec(),
        query,
        good().id(asked.ask.id.wrapping_add(1)).octets(),
        good().flags(4 << 11).octets(),
        good().question(&a("www.example.net")).octets(),
        good().question(&other_type).octets(),
        cut,
        longer,
        good().option(option::COOKIE, b"notyours").octets(),
    ];
    for octets in &wrong {
        asked.answer(octets);
        server.settle();
    }
    assert_eq!((server.answers(), server.event(0, BackendEvent::Mismatched)), (vec![], wrong.len() as u64));
    asked.answer(&good().octets());
    server.settle();
    assert_eq!(server.answer().addresses(), [([192, 0, 2, 1].into(), 60)]);
    assert!(server.asked().is_empty(), "nobody else was asked");
}

/// Of who asks, and what the backend said in a datagram, the question that goes there over TCP.
fn over_tcp(server: &mut Server, say: impl Fn(&[u8]) -> Vec<Vec<u8>>) {
    server.send(4000, &a("www.example"));
    let asked = server.question();
    for octets in say(&asked.octets) {
        asked.answer(&octets);
    }
    // One datagram each pass.
    for _ in 0..100 {
        server.pass();
    }
    server.settle();
    assert!(server.answers().is_empty());
    let again = server.question();
    assert!(again.is_over_tcp && again.to == backend(1));
    assert_eq!(again.ask.name, "www.example.", "letters need not be mixed there");
    let answer = reply(&again.octets).address(60, [192, 0, 2, 2]).octets();
    // What belongs to nobody, first; and octet by octet.
    let frames = [crate::bench::frame(&[0; 40]), crate::bench::frame(&answer)].concat();
    for octet in frames {
        again.peer.send(&[octet]);
        server.pass();
    }
    server.settle();
    assert_eq!(server.answer().addresses(), [([192, 0, 2, 2].into(), 60)]);
}

#[test]
fn what_datagrams_cannot_carry_or_prove_is_asked_over_tcp() {
    over_tcp(&mut Server::forwarder(), |asked| vec![reply(asked).flags(flag::TC).octets()]);
    // Only the letters differ: the backend changes them, or somebody guesses.
    over_tcp(&mut Server::forwarder(), |asked| vec![reply(asked).swapped().address(1, [6; 4]).octets()]);
    // A hundred guesses.
    let guess = |asked: &[u8]| reply(asked).question(&a("guess")).octets();
    over_tcp(&mut Server::forwarder(), |asked| vec![guess(asked); 100]);
}

#[test]
fn a_backend_that_does_not_understand_edns_is_asked_without() {
    type Say = fn(&[u8]) -> Vec<u8>;
    let says: [Say; 4] = [
        |asked| reply(asked).rcode(Rcode::FORMERR).octets(),
        |asked| reply(asked).rcode(Rcode::NOTIMP).octets(),
        |asked| reply(asked).rcode(Rcode::BADVERS).octets(),
        // The header alone, as servers from before EDNS.
        |asked| [&asked[..2], &[0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0]].concat(),
    ];
    for say in says {
        let mut server = Server::forwarder();
        server.send(4000, &a("www").edns(1232));
        let asked = server.question();
        asked.answer(&say(&asked.octets));
        server.settle();
        let again = server.question();
        assert_eq!((again.to, &again.ask.opt), (backend(1), &None));
        again.answer(&reply(&again.octets).address(60, [192, 0, 2, 1]).octets());
        server.settle();
        let answer = server.answer();
        assert_eq!((answer.addresses().len(), answer.opt.is_some()), (1, true));
        server.send(4000, &a("other"));
        assert_eq!(server.question().ask.opt, None, "it is remembered for a while");
        server.advance(SECOND);
        server.at(601);
        server.send(4000, &a("later"));
        assert!(server.asked().iter().any(|asked| asked.ask.opt.is_some()));
    }
}

#[test]
fn a_backends_cookie_is_shown_to_it_from_then_on() {
    let mut server = Server::forwarder();
    let cookies = |server: &mut Server, host: &str, reply_with: &dyn Fn(Reply, &[u8]) -> Reply| {
        server.send(4000, &a(host));
        let asked = server.question();
        let cookie = asked.ask.opt.as_ref().unwrap().options[0].1.clone();
        let answer = reply_with(reply(&asked.octets).address(60, [192, 0, 2, 1]), &cookie);
        asked.answer(&answer.octets());
        server.settle();
        cookie
    };
    let with_cookie =
        |reply: Reply, cookie: &[u8]| reply.option(option::COOKIE, &[&cookie[..8], b"theserverscookie"].concat());
    let first = cookies(&mut server, "one", &with_cookie);
    assert_eq!((first.len(), server.answers().len()), (8, 1));
    let second = cookies(&mut server, "two", &with_cookie);
    assert_eq!((&second[..8], &second[8..]), (&first[..], &b"theserverscookie"[..]));
    assert_eq!(server.answer().option(option::COOKIE), None, "it is none of the client's");
    // RFC 7873 §5.3: what comes without a cookie from a server that has one is not believed.
    cookies(&mut server, "three", &|reply, _| reply);
    assert!(server.answers().is_empty());
    assert!(server.question().is_over_tcp);
}

#[test]
fn a_wrong_cookie_is_replaced_and_the_question_asked_again() {
    let mut server = Server::forwarder();
    server.send(4000, &a("www"));
    let asked = server.question();
    let cookie = asked.ask.opt.as_ref().unwrap().options[0].1.clone();
    let fresh = [&cookie[..8], b"freshfresh"].concat();
    asked.answer(&reply(&asked.octets).rcode(Rcode::BADCOOKIE).option(option::COOKIE, &fresh).octets());
    server.settle();
    let again = server.question();
    assert_eq!((again.to, &again.ask.opt.as_ref().unwrap().options[0].1), (backend(1), &fresh));
    again.answer(&reply(&again.octets).address(60, [192, 0, 2, 1]).option(option::COOKIE, &fresh).octets());
    server.settle();
    assert_eq!(server.answer().addresses().len(), 1);
}

#[test]
fn aliases_are_passed_on_whole() {
    let mut server = Server::forwarder();
    server.send(4000, &a("Alias.example"));
    let asked = server.question();
    let target = name("www.example");
    let chain = reply(&asked.octets)
        .record(Section::Answer, "alias.example", Type::CNAME, 300, target.as_name().as_wire())
        .record(Section::Answer, "www.example", Type::A, 60, &[192, 0, 2, 1]);
    asked.answer(&chain.octets());
    server.settle();
    let answer = server.answer();
    let types: Vec<_> = answer.records.iter().map(|record| (record.rtype, record.ttl)).collect();
    assert_eq!(types, [(Type::CNAME, 300), (Type::A, 60)]);
    server.at(30);
    let types: Vec<_> =
        server.ask(&a("alias.example")).records.iter().map(|record| (record.rtype, record.ttl)).collect();
    assert_eq!(types, [(Type::CNAME, 270), (Type::A, 30)]);
}

#[test]
fn what_does_not_fit_the_clients_datagram_is_truncated_for_it_alone() {
    let mut server = Server::forwarder();
    server.send(4000, &a("many"));
    let asked = server.question();
    let many = (0..60).fold(reply(&asked.octets), |reply, last| reply.address(60, [192, 0, 2, last]));
    asked.answer(&many.octets());
    server.settle();
    let answer = server.answer();
    assert_eq!((answer.has(flag::TC), answer.header.counts[1]), (true, 0));
    assert!(server.ask(&a("many")).has(flag::TC), "the same from the cache");
    assert_eq!(server.ask(&a("many").edns(1232)).addresses().len(), 60);
    let mut stream = server.connect();
    stream.send(&[a("many")]);
    server.settle();
    assert_eq!(stream.answers()[0].addresses().len(), 60);
    assert!(server.asked().is_empty());
}

/// The subnet 198.51.100.0/24 with so many bits, as a client sends it; with a scope, as a backend answers.
fn subnet(source: u8, scope: u8) -> Vec<u8> {
    let octets = &[198, 51, 100, 0][..usize::from(source).div_ceil(8)];
    [&[0, 1, source, scope], octets].concat()
}

#[test]
fn a_clients_subnet_stays_here_unless_the_pool_wants_it() {
    let mut server = Server::forwarder();
    let question = a("www").option(option::CLIENT_SUBNET, &subnet(24, 0));
    server.send(4000, &question);
    let asked = server.question();
    assert!(asked.ask.opt.as_ref().unwrap().options.iter().all(|(code, _)| *code != option::CLIENT_SUBNET));
    // One that answers it all the same says nothing to anybody.
    let answer = reply(&asked.octets).address(60, [192, 0, 2, 1]).option(option::CLIENT_SUBNET, &subnet(24, 24));
    asked.answer(&answer.octets());
    server.settle();
    assert_eq!(server.answer().option(option::CLIENT_SUBNET), None);
    assert_eq!(server.ask(&question).option(option::CLIENT_SUBNET), None);
}

#[test]
fn where_the_pool_wants_subnets_answers_are_kept_for_each() {
    let subnet_policy = SubnetPolicy::Pass { ipv4: 24, ipv6: 56 };
    let mut server =
        Server::new(Setup { pools: vec![PoolConfig { subnet: subnet_policy, ..pool(1) }], ..Setup::default() });
    let question = a("www").option(option::CLIENT_SUBNET, &[0, 1, 32, 0, 198, 51, 100, 7]);
    server.send(4000, &question);
    let asked = server.question();
    let sent = asked.ask.opt.as_ref().unwrap().options.iter().find(|(code, _)| *code == option::CLIENT_SUBNET);
    assert_eq!(
        sent.map(|(_, data)| &data[..]),
        Some(&subnet(24, 0)[..]),
        "no more bits than RFC 7871 §11.1 recommends"
    );
    let answer = reply(&asked.octets).address(60, [192, 0, 2, 1]).option(option::CLIENT_SUBNET, &subnet(24, 16));
    asked.answer(&answer.octets());
    server.settle();
    let expected: &[u8] = &[0, 1, 32, 16, 198, 51, 100, 7];
    assert_eq!(server.answer().option(option::CLIENT_SUBNET), Some(expected));
    let again = server.ask(&question);
    assert_eq!((again.option(option::CLIENT_SUBNET), again.addresses().len()), (Some(expected), 1));
    server.send(4000, &a("www").option(option::CLIENT_SUBNET, &[0, 1, 24, 0, 203, 0, 113]));
    assert_eq!(server.asked().len(), 1, "of another subnet");
    server.send(4000, &a("www"));
    assert_eq!(server.asked().len(), 1, "of none");
}

#[test]
fn what_is_no_subnet_is_a_form_error_where_subnets_matter() {
    let subnet_policy = SubnetPolicy::Pass { ipv4: 24, ipv6: 56 };
    let pools = vec![PoolConfig { subnet: subnet_policy, ..pool(1) }];
    let mut server = Server::new(Setup { pools, ..Setup::default() });
    for wrong in [
        &[0, 1, 33, 0, 1, 2, 3, 4, 5][..],
        &[0, 9, 24, 0, 1, 2, 3],
        &[0, 1, 24, 0, 1, 2, 3, 4],
        &[0, 1, 23, 0, 1, 2, 3],
    ] {
        let question = a("www").option(option::CLIENT_SUBNET, wrong);
        assert_eq!(server.ask(&question).rcode, Rcode::FORMERR, "{wrong:?}");
        assert!(server.asked().is_empty());
        let mut other = Server::forwarder();
        other.send(4000, &question);
        assert_eq!(other.asked().len(), 1, "nobody looks at it there: {wrong:?}");
    }
}

#[test]
fn an_answer_for_everybody_is_kept_once_whatever_subnet_was_asked_for() {
    let subnet_policy = SubnetPolicy::Pass { ipv4: 24, ipv6: 56 };
    let mut server =
        Server::new(Setup { pools: vec![PoolConfig { subnet: subnet_policy, ..pool(1) }], ..Setup::default() });
    server.send(4000, &a("www").option(option::CLIENT_SUBNET, &subnet(24, 0)));
    let asked = server.question();
    let answer = reply(&asked.octets).address(60, [192, 0, 2, 1]).option(option::CLIENT_SUBNET, &subnet(24, 0));
    asked.answer(&answer.octets());
    server.settle();
    server.answers();
    for other in [a("www"), a("www").option(option::CLIENT_SUBNET, &[0, 1, 24, 0, 203, 0, 113])] {
        assert_eq!(server.ask(&other).addresses().len(), 1);
    }
}

#[test]
fn a_backend_that_wants_to_know_the_client_is_told() {
    let mut pools = vec![pool(1)];
    pools[0].backends[0].proxy_protocol = true;
    let mut server = Server::new(Setup { pools, ..Setup::default() });
    server.send(4321, &a("www"));
    let (peer, _) = server.network.converse().expect("a conversation");
    let octets = peer.receive_datagram().expect("a question");
    assert_eq!(octets[..16], *b"\r\n\r\n\0\r\nQUIT\n\x21\x12\0\x0c");
    assert_eq!((&octets[16..20], &octets[24..26]), (&[127, 0, 0, 1][..], &4321_u16.to_be_bytes()[..]));
    assert!(Name::read(&octets[28 + 12..]).is_ok());
}
