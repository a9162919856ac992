//! Messages that are no queries, or none that is answered: silence, or a code.

use afpa_dns::message::{Class, Header, Opcode, Rcode, Type, flag, option};
use afpa_engine::memory::Ending;

use crate::bench::{Server, Setup, frame, local};
use crate::messages::{Answer, a, ask};
use crate::zones::EXAMPLE;

const WWW: &[u8] = b"\x03www\x07example\0\0\x01\0\x01";
/// An OPT record of 1,232 octets without options.
const OPT: &[u8] = &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
const COOKIE: &[u8] = &[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];

fn message(flags: u16, counts: [u16; 4], parts: &[&[u8]]) -> Vec<u8> {
    [&Header { id: 0x1234, flags, counts }.to_octets()[..], &parts.concat()].concat()
}

fn opcode(opcode: u8) -> u16 {
    u16::from(opcode) << 11
}

/// An OPT record with these options.
fn opt(options: &[u8]) -> Vec<u8> {
    [&OPT[..9], &(options.len() as u16).to_be_bytes(), options].concat()
}

fn long_name() -> Vec<u8> {
    let labels = [&[63; 64][..]; 4].concat();
    [&labels[..], b"\0\0\x01\0\x01"].concat()
}

/// A record of the type TSIG that has nothing, with this owner.
fn tsig(owner: &[u8]) -> Vec<u8> {
    [owner, &[0, 250, 0, 255, 0, 0, 0, 0, 0, 0]].concat()
}

fn server() -> Server {
    Server::new(Setup { zones: vec![("example", EXAMPLE.into())], ..Setup::default() })
}

#[test]
fn what_is_no_query_is_not_answered() {
    for (what, octets) in [
        ("nothing", vec![]),
        ("shorter than a header", message(0, [1, 0, 0, 0], &[])[..11].to_vec()),
        ("a response", message(flag::QR, [1, 0, 0, 0], &[WWW])),
        ("a response that cannot be read", message(flag::QR, [9, 9, 9, 9], &[])),
    ] {
        let mut server = server();
        server.send_octets(local(4000), &octets);
        assert_eq!(server.answers(), [], "{what}");
        let mut stream = server.connect();
        stream.peer.send(&frame(&octets));
        server.settle();
        assert_eq!((stream.answers().len(), stream.peer.ending()), (0, Some(Ending::Finished)), "{what}");
    }
    let mut server = server();
    server.send_octets(local(0), &a("www.example").octets());
    assert_eq!(server.answers(), [], "nobody can have sent it from port 0");
}

fn form_errors() -> Vec<(&'static str, Vec<u8>)> {
    let with_opt = |octets: &[u8]| message(flag::RD, [1, 0, 0, 1], &[WWW, octets]);
    let with_owner = |owner: &[u8]| message(flag::RD, [1, 0, 0, 1], &[WWW, &tsig(owner)]);
    let with_question = |octets: &[u8]| message(flag::RD, [1, 0, 0, 0], &[octets]);
    vec![
        ("no question where one is announced", with_question(&[])),
        ("a question that ends early", with_question(&WWW[..WWW.len() - 1])),
        ("a question that points to itself", with_question(&[0xc0, 12, 0, 1, 0, 1])),
        ("a question that points to the header", with_question(&[0xc0, 0, 0, 1, 0, 1])),
        ("a label of a reserved type", with_question(b"\x43www\0\0\x01\0\x01")),
        ("another", with_question(b"\x83www\0\0\x01\0\x01")),
        ("a name of 257 octets", with_question(&long_name())),
        ("two questions", message(flag::RD, [2, 0, 0, 0], &[WWW, WWW])),
        ("no question, and no cookie", message(flag::RD, [0, 0, 0, 0], &[])),
        ("no question, and EDNS without a cookie", message(flag::RD, [0, 0, 0, 1], &[OPT])),
        ("an owner that points to itself", with_owner(&[0xc0, 12 + WWW.len() as u8])),
        ("an owner that points forwards", with_owner(&[0xc0, 200])),
        ("two that point to each other", with_owner(&[1, b'a', 0xc0, 12 + WWW.len() as u8])),
        ("two OPT records", message(flag::RD, [1, 0, 0, 2], &[WWW, OPT, OPT])),
        ("OPT of a name", with_opt(&[&[1, b'a'], OPT].concat())),
        ("OPT in the answer section", message(flag::RD, [1, 1, 0, 0], &[WWW, OPT])),
        ("an address in a query", message(flag::RD, [1, 1, 0, 0], &[WWW, WWW, &[0, 0, 0, 1, 0, 4, 1, 2, 3, 4]])),
        ("an option that is longer than its record", with_opt(&opt(&[0, 3, 0, 9, 1]))),
        ("an option that is no option", with_opt(&opt(&[0, 3, 0]))),
        ("a cookie of 7 octets", with_opt(&opt(&[0, 10, 0, 7, 1, 2, 3, 4, 5, 6, 7]))),
        ("a cookie of 12 octets", with_opt(&opt(&[0, 10, 0, 12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2]))),
        ("a client subnet of 3 octets", with_opt(&opt(&[0, 8, 0, 3, 0, 1, 24]))),
        ("more records than there are", message(flag::RD, [1, 0, 0, 2], &[WWW, OPT])),
    ]
}

#[test]
fn what_cannot_be_read_is_answered_with_formerr_and_nothing_else() {
    let mut server = server();
    let expected = Header { id: 0x1234, flags: flag::QR | flag::RD | flag::RA | 1, counts: [0; 4] };
    let mut stream = server.connect();
    for (what, octets) in form_errors() {
        server.send_octets(local(4000), &octets);
        let answer = server.answer();
        assert_eq!((answer.header, answer.length), (expected, 12), "{what}");
        stream.peer.send(&frame(&octets));
        server.settle();
        assert_eq!(stream.answers(), [answer], "{what}");
        assert_eq!(stream.peer.ending(), None, "{what}");
    }
    stream.send(&[a("www.example")]);
    server.settle();
    assert_eq!(stream.answers().len(), 1, "what follows is a question like any other");
}

#[test]
fn what_is_not_done_is_answered_with_notimp() {
    let mut server = server();
    let mut stream = server.connect();
    for number in (1..=15).filter(|&number| Opcode(number) != Opcode::QUERY) {
        let octets = message(opcode(number) | flag::RD, [1, 0, 0, 0], &[WWW]);
        server.send_octets(local(4000), &octets);
        let answer = server.answer();
        let kept = opcode(number) | flag::QR | flag::RD | flag::RA;
        assert_eq!(answer.header, Header { id: 0x1234, flags: kept | 4, counts: [0; 4] }, "opcode {number}");
        stream.peer.send(&frame(&octets));
        server.settle();
        assert_eq!(stream.answers(), [answer]);
    }
    for (qtype, qclass) in [
        (Type(0), Class::IN),
        (Type::OPT, Class::IN),
        (Type(249), Class::IN),
        (Type::TSIG, Class::IN),
        (Type(253), Class::IN),
        (Type(254), Class::IN),
        (Type::TXT, Class::CH),
        (Type::A, Class::NONE),
        (Type::A, Class::ANY),
        (Type::A, Class(0)),
    ] {
        let mut question = ask("Www.example", qtype).edns(1232);
        question.qclass = qclass;
        let answer = server.ask(&question);
        assert_eq!(answer.summary(), (Rcode::NOTIMP, 0, Some(21)), "{qtype} {qclass}");
        assert_eq!(answer.question, Some(("Www.example.".into(), qtype, qclass)));
        assert!(answer.has(flag::QR | flag::RD) && answer.header.id == 0x1234);
    }
    assert!(server.asked().is_empty(), "no backend was asked");
}

#[test]
fn edns_of_a_later_version_is_answered_with_badvers_and_version_0() {
    let mut server = server();
    // RFC 6891 §6.1.3: whatever its options look like.
    let octets = message(flag::RD, [1, 0, 0, 1], &[WWW, &[0, 0, 41, 4, 208, 0, 1, 0x80, 0, 0, 2, 1, 2]]);
    server.send_octets(local(4000), &octets);
    let answer = server.answer();
    assert_eq!((answer.rcode, answer.header.counts), (Rcode::BADVERS, [0, 0, 0, 1]));
    assert_eq!(answer.opt.unwrap().udp_size, 1232);
}

#[test]
fn a_question_about_the_cookie_alone_is_answered_by_the_cookie_alone() {
    let mut server = Server::new(Setup { has_cookies: true, ..Setup::default() });
    let octets = message(0, [0, 0, 0, 1], &[&opt(COOKIE)]);
    server.send_octets(local(4000), &octets);
    let answer = server.answer();
    assert_eq!((answer.rcode, answer.header.counts), (Rcode::NOERROR, [0, 0, 0, 1]));
    let cookie = answer.option(option::COOKIE).expect("a cookie");
    assert_eq!((cookie.len(), &cookie[..8]), (24, &COOKIE[4..]));
}

#[test]
fn errors_have_an_opt_record_if_the_query_had_one() {
    let mut server = Server::new(Setup { forwards: false, ..Setup::default() });
    let plain = server.ask(&a("Nobody.Knows"));
    assert_eq!((plain.rcode, plain.header.counts), (Rcode::REFUSED, [1, 0, 0, 0]));
    assert!(!plain.has(flag::RA), "nothing is forwarded");
    let mut question = a("Nobody.Knows").edns(4096);
    question.opt.as_mut().unwrap().dnssec_ok = true;
    let answer = server.ask(&question.flags(flag::RD | flag::CD));
    assert_eq!((answer.rcode, answer.header.counts), (Rcode::REFUSED, [1, 0, 0, 1]));
    assert_eq!(answer.question, Some(("Nobody.Knows.".into(), Type::A, Class::IN)));
    assert!(answer.has(flag::CD | flag::RD));
    let Answer { opt: Some(opt), .. } = &answer else { panic!("no OPT") };
    assert_eq!((opt.udp_size, opt.dnssec_ok, answer.error()), (1232, true, Some(20)));
}

#[test]
fn a_zone_is_not_sent_in_datagrams_nor_to_everybody() {
    let mut server = Server::new(Setup {
        zones: vec![("example", EXAMPLE.into())],
        transfers: &["192.0.2.0/24"],
        ..Setup::default()
    });
    for qtype in [Type::AXFR, Type::IXFR] {
        for name in ["example", "www.example", "elsewhere"] {
            let question = ask(name, qtype).edns(1232);
            assert_eq!(server.ask(&question).rcode, Rcode::REFUSED, "{name} {qtype} in a datagram");
            let mut stream = server.connect();
            stream.send(&[question]);
            server.settle();
            let answers = stream.answers();
            assert_eq!((answers.len(), answers[0].rcode), (1, Rcode::REFUSED), "{name} {qtype} over a stream");
        }
    }
}
