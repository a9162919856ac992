//! What is left to the program, and when.

use std::net::Ipv4Addr;
use std::time::Duration;

use afpa_dns::cache::Prepared;
use afpa_dns::driver::{Publication, Publisher, PublisherConfig};
use afpa_dns::message::{Query, Rcode, Section, Type, flag};
use afpa_engine::Time;

use crate::messages::{Entry, address, answer, name, prepared, query, zone};

const CONFIG: PublisherConfig =
    PublisherConfig { groups: (0, 0), after: 3, per_second: 100, budget: 0, udp_size: 1232 };

fn publisher() -> Publisher {
    Publisher::new(CONFIG, [7; 16])
}

fn at(seconds: u64) -> Time {
    Time(0).after(Duration::from_secs(1000 + seconds))
}

fn asked() -> Vec<u8> {
    query(flag::RD, ("www.example.", Type::A), None)
}

/// Whether an answer to `message` is left when it is asked for again and again at `now`.
fn is_left(prepared: &Prepared, message: &[u8], now: Time) -> bool {
    let (mut publisher, query) = (publisher(), Query::read(message).unwrap());
    (0..10).any(|_| publisher.cached(&query, &prepared.image(), now).is_some())
}

#[test]
fn what_is_asked_for_often_is_left_once() {
    let (mut publisher, prepared, message) = (publisher(), prepared(&address(), at(0)), asked());
    let query = Query::read(&message).unwrap();
    let left: Vec<_> = (0..6).map(|_| publisher.cached(&query, &prepared.image(), at(1)).is_some()).collect();
    assert_eq!(left, [false, false, true, false, false, false]);
    // One question every two seconds is not often.
    assert!((2..20).all(|second| publisher.cached(&query, &prepared.image(), at(2 * second)).is_none()));
    // The program forgets what others push out: what is asked for again is left again.
    assert_eq!((0..6).filter(|_| publisher.cached(&query, &prepared.image(), at(60)).is_some()).count(), 1);
}

#[test]
fn an_answer_is_left_as_it_came_until_it_is_to_be_asked_for_again() {
    let (prepared, message) = (prepared(&address(), at(0)), asked());
    let mut publisher = Publisher::new(PublisherConfig { after: 1, budget: 5, ..CONFIG }, [7; 16]);
    let Publication { answer, .. } =
        publisher.cached(&Query::read(&message).unwrap(), &prepared.image(), at(100)).unwrap();
    assert_eq!(answer.tail, b"\xc0\x0c\0\x01\0\x01\0\0\x01\x2c\0\x04\xc0\0\x02\x07");
    assert_eq!((answer.ttls, answer.counts, answer.budget), (&[6][..], [1, 0, 0], 5));
    // In the last tenth of its life, an engine asks for it again.
    assert_eq!((answer.stored_at, answer.ends_at), (at(0).0, at(270).0));
    assert_eq!(answer.flags, flag::QR | flag::RD | flag::RA);
}

#[test]
fn what_only_an_engine_can_answer_is_not_left() {
    let fresh = prepared(&address(), at(0));
    assert!(is_left(&fresh, &asked(), at(269)));
    assert!(!is_left(&fresh, &asked(), at(269).after(Duration::from_millis(1))), "its time is about to end");
    assert!(!is_left(&fresh, &asked(), at(270)), "it is to be asked for again");
    assert!(!is_left(&fresh, &asked(), at(400)), "stale");
    let question = ("www.example.", Type::A);
    let failure = prepared(&answer(Rcode::SERVFAIL, question, &[]), at(0));
    assert!(!is_left(&failure, &asked(), at(0)), "a failure");
    let unkept: [Entry; 1] = [(Section::Answer, "www.example.".to_owned(), Type::A, 0, vec![192, 0, 2, 7])];
    assert!(!is_left(&prepared(&answer(Rcode::NOERROR, question, &unkept), at(0)), &asked(), at(0)), "not kept");
    let cookie = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    assert!(!is_left(&fresh, &query(flag::RD, question, Some((1232, false, &cookie))), at(1)), "with options");
    assert!(!is_left(&fresh, &query(flag::RD | 0x40, question, None), at(1)), "with an unknown flag");
    assert!(is_left(&fresh, &query(flag::RD, question, Some((1232, true, &[]))), at(1)), "with OPT alone");
    let records = |count: u8, len: usize| -> Vec<Entry> {
        (0..count).map(|n| (Section::Answer, "www.example.".to_owned(), Type::TXT, 300, vec![n; len])).collect()
    };
    let many = |count, len| prepared(&answer(Rcode::NOERROR, ("www.example.", Type::TXT), &records(count, len)), at(0));
    let wide = query(flag::RD, ("www.example.", Type::TXT), Some((1232, false, &[])));
    assert!(is_left(&many(16, 1), &wide, at(1)) && !is_left(&many(17, 1), &wide, at(1)), "TTLs");
    // 12 octets and the data, and the OPT record.
    assert!(
        is_left(&many(1, 512 - 11 - 12), &wide, at(1)) && !is_left(&many(1, 512 - 11 - 11), &wide, at(1)),
        "octets"
    );
    let long = format!("{}.{}.", "l".repeat(63), "e".repeat(8));
    let of_long = prepared(&answer(Rcode::NXDOMAIN, (&long, Type::A), &[]), at(0));
    assert!(!is_left(&of_long, &query(flag::RD, (&long, Type::A), None), at(0)), "a long name");
}

#[test]
fn so_many_are_left_in_a_second_and_no_more() {
    let mut publisher = Publisher::new(PublisherConfig { after: 1, per_second: 10, ..CONFIG }, [7; 16]);
    let prepared = prepared(&address(), at(0));
    let mut left = |second: u64| {
        let flags = [0, flag::RD, flag::CD, flag::AD, flag::RD | flag::CD, flag::RD | flag::AD, flag::CD | flag::AD];
        let edns: [Option<(u16, bool, &[u8])>; 3] = [None, Some((1232, false, &[])), Some((1232, true, &[]))];
        let asked =
            flags.iter().flat_map(|flags| edns.iter().map(|edns| query(*flags, ("www.example.", Type::A), *edns)));
        let left = asked
            .filter(|asked| publisher.cached(&Query::read(asked).unwrap(), &prepared.image(), at(second)).is_some());
        left.count()
    };
    assert_eq!((left(1), left(5)), (10, 10), "of 21 that are asked for");
}

#[test]
fn an_answer_of_a_zone_is_left_until_it_is_withdrawn() {
    let zone = zone("example.", "$TTL 3600\n@ SOA ns host 1 7200 3600 86400 600\n@ NS ns\nns A 192.0.2.1\n");
    let mut publisher = publisher();
    let message = query(0, ("NS.Example.", Type::A), None);
    let query = Query::read(&message).unwrap();
    let left = (0..2).all(|_| publisher.of_zone(&query, &zone, at(0)).is_none());
    let Publication { answer, .. } = publisher.of_zone(&query, &zone, at(0)).unwrap();
    assert!(left && answer.ends_at == u64::MAX && answer.ttls.is_empty());
    assert!(answer.tail.ends_with(&Ipv4Addr::new(192, 0, 2, 1).octets()));
    assert_eq!(answer.flags, flag::QR | flag::AA);
    assert!(name("ns.example.").as_name().is_within(zone.apex()));
}
