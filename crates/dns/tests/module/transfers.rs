//! Whole zones (AXFR, RFC 5936).

use std::time::Duration;

use afpa_dns::message::{Rcode, Section, Type, flag};
use afpa_engine::memory::{Ending, MemoryConfig};

use crate::bench::{SECOND, Server, Setup, Stream};
use crate::messages::{Answer, a, ask};
use crate::zones::{EXAMPLE, zone_of};

/// So that a transfer has several messages.
const MANY: usize = 3000;

fn setup() -> Setup {
    Setup { zones: vec![("example", zone_of(MANY))], transfers: &["127.0.0.0/8"], ..Setup::default() }
}

/// A network on which one message of a transfer does not fit.
fn slow() -> MemoryConfig {
    MemoryConfig { window: 1000, send_buffer: 4000, ..MemoryConfig::default() }
}

/// Reads as the server sends, until there is nothing more.
fn read_all(server: &mut Server, stream: &mut Stream) -> Vec<Answer> {
    let mut answers = stream.answers();
    for _ in 0..MANY {
        server.pass();
        server.pass();
        answers.extend(stream.answers());
    }
    answers
}

fn check(answers: &[Answer]) {
    assert!(answers.len() > 2, "{} messages", answers.len());
    let records: Vec<_> = answers.iter().flat_map(|answer| &answer.records).collect();
    assert_eq!(records.len(), 9 + MANY, "SOA twice");
    assert!(records.iter().all(|record| record.section == Section::Answer));
    let soas: Vec<_> =
        records.iter().enumerate().filter(|(_, record)| record.rtype == Type::SOA).map(|(place, _)| place).collect();
    assert_eq!(soas, [0, records.len() - 1], "first and last");
    for answer in answers {
        assert_eq!((answer.rcode, answer.header.id), (Rcode::NOERROR, 0x1234));
        assert!(answer.has(flag::QR | flag::AA) && !answer.has(flag::TC));
    }
    assert_eq!(answers[0].question.as_ref().unwrap().1, Type::AXFR);
}

#[test]
fn a_zone_is_sent_as_a_whole_in_several_messages() {
    let mut server = Server::new(setup());
    let mut stream = server.connect();
    stream.send(&[ask("example", Type::AXFR)]);
    server.settle();
    let answers = stream.answers();
    check(&answers);
    assert!(answers.iter().all(|answer| answer.opt.is_none()));
    stream.send(&[ask("example", Type::AXFR).edns(1232), a("www.example")]);
    server.settle();
    let mut answers = stream.answers();
    assert_eq!(answers.pop().unwrap().addresses(), [([192, 0, 2, 80].into(), 300)], "the stream goes on");
    check(&answers);
    assert!(answers[0].opt.is_some(), "RFC 5936 §2.2.5");
}

#[test]
fn who_asks_for_changes_gets_the_whole_zone() {
    let mut server = Server::new(setup());
    let mut stream = server.connect();
    // RFC 1995 §4: a server that has no changes sends all of it.
    stream.send(&[ask("Example", Type::IXFR)]);
    server.settle();
    let answers = stream.answers();
    assert_eq!(answers[0].question.as_ref().unwrap().1, Type::IXFR);
    assert_eq!(answers.iter().map(|answer| answer.records.len()).sum::<usize>(), 9 + MANY);
    for name in ["www.example", "elsewhere"] {
        stream.send(&[ask(name, Type::AXFR)]);
        server.settle();
        let answers = stream.answers();
        assert_eq!((answers.len(), answers[0].rcode), (1, Rcode::REFUSED), "{name} is no zone");
    }
}

#[test]
fn a_reader_that_takes_a_little_is_not_cut_off() {
    let mut server = Server::new(Setup { network: slow(), ..setup() });
    let stream = server.connect();
    stream.send(&[ask("example", Type::AXFR)]);
    server.settle();
    for _ in 0..10 {
        server.advance(SECOND * 9);
        assert_eq!((stream.peer.read(500).len(), stream.peer.ending()), (500, None));
        server.settle();
    }
}

#[test]
fn what_is_sent_slowly_arrives_whole() {
    let mut server = Server::new(Setup { network: slow(), ..setup() });
    let mut stream = server.connect();
    stream.send(&[ask("example", Type::AXFR), a("www.example")]);
    let mut answers = read_all(&mut server, &mut stream);
    assert_eq!(answers.pop().unwrap().addresses(), [([192, 0, 2, 80].into(), 300)]);
    check(&answers);
}

#[test]
fn a_reader_that_takes_nothing_is_cut_off() {
    let mut server = Server::new(Setup { network: slow(), ..setup() });
    let mut stream = server.connect();
    stream.send(&[ask("example", Type::AXFR)]);
    server.settle();
    server.advance(SECOND * 6);
    // Sending is no taking.
    stream.peer.send(b"whatever");
    server.advance(SECOND * 3);
    assert_eq!(stream.peer.ending(), None);
    server.advance(SECOND * 2);
    assert_eq!(stream.peer.ending(), Some(Ending::Reset));
    assert!(stream.answers().is_empty());
    assert_eq!(server.handle.stats().open.get(), 0);
}

#[test]
fn a_transfer_goes_on_with_the_zone_that_it_began_with() {
    let mut server = Server::new(Setup { network: slow(), ..setup() });
    let mut stream = server.connect();
    stream.send(&[ask("example", Type::AXFR)]);
    server.settle();
    server.reload(Setup { zones: vec![("example", EXAMPLE.into())], ..setup() });
    check(&read_all(&mut server, &mut stream));
}

#[test]
fn a_transfer_under_way_is_finished_before_the_engine_stops() {
    let mut server = Server::new(Setup { network: slow(), ..setup() });
    let mut stream = server.connect();
    stream.send(&[ask("example", Type::AXFR)]);
    server.settle();
    server.handle.stop(Duration::from_secs(3600));
    check(&read_all(&mut server, &mut stream));
    assert_eq!(stream.peer.ending(), Some(Ending::Finished));
    assert!(!server.pass());
}

#[test]
fn a_record_that_is_larger_than_others_has_a_message_of_its_own() {
    let large = format!("{EXAMPLE}large TYPE65280 \\# 40000 {}\n", "00".repeat(40_000));
    let mut server = Server::new(Setup { zones: vec![("example", large)], ..setup() });
    let mut stream = server.connect();
    stream.send(&[ask("example", Type::AXFR)]);
    server.settle();
    let answers = stream.answers();
    let counts: Vec<_> = answers.iter().map(|answer| answer.records.len()).collect();
    assert!(counts.contains(&1) && counts.iter().sum::<usize>() == 10, "{counts:?}");
    assert_eq!(answers.last().unwrap().records.last().unwrap().rtype, Type::SOA);
}

#[test]
fn a_record_that_fits_no_message_ends_the_transfer_with_an_error() {
    let huge = format!("{EXAMPLE}huge TYPE65280 \\# 65520 {}\n", "00".repeat(65_520));
    let mut server = Server::new(Setup { zones: vec![("example", huge)], ..setup() });
    let mut stream = server.connect();
    stream.send(&[ask("example", Type::AXFR), a("www.example")]);
    server.settle();
    let answers = stream.answers();
    assert_eq!(answers.iter().filter(|answer| answer.rcode == Rcode::SERVFAIL).count(), 1);
    assert_eq!(answers.last().unwrap().rcode, Rcode::NOERROR);
}
