//! The program in the driver against the engine: what it answers is what the engine would, octet for octet. As root;
//! without, the tests say so and pass, unless CI=true.

#[path = "../../../platform/tests/datagram/mod.rs"]
mod datagram;

use std::cell::Cell;
use std::net::SocketAddr;

use afpa_dns::cache::{Request, Served};
use afpa_dns::driver::{Publisher, PublisherConfig, subject};
use afpa_dns::message::{Header, Query, Rcode, Section, Type, Writer, flag};
use afpa_dns::zone::Zone;
use afpa_engine::Time;
use afpa_platform::clock;
use afpa_platform::steering::{Answers, Rehearsal, SteeringError, Verdict};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};

use crate::messages::{Entry, address, answer, name, prepared, query, zone};

const SECOND: u64 = 1_000_000_000;
const UDP_SIZE: u16 = 1232;
const CONFIG: PublisherConfig =
    PublisherConfig { groups: (0, 0), after: 1, per_second: u32::MAX, budget: 0, udp_size: UDP_SIZE };

/// The program, with what was left to it.
struct Driver {
    rehearsal: Rehearsal,
    answers: Answers,
}

impl Driver {
    /// `None` where programs cannot be loaded.
    fn load() -> Option<Driver> {
        let rehearsal = match Rehearsal::new() {
            Ok(rehearsal) => rehearsal,
            Err(SteeringError::NoPrivilege | SteeringError::NoBpf) => {
                assert!(std::env::var("CI").as_deref() != Ok("true"), "BPF programs can be loaded");
                eprintln!("skipped: this process may not load BPF programs");
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        for service in ["192.0.2.1:53", "[2001:db8::1]:53"] {
            rehearsal.answer_at(service.parse().unwrap()).unwrap();
        }
        let answers = rehearsal.answers().unwrap();
        answers.turn_on(false);
        Some(Driver { rehearsal, answers })
    }

    /// What the program answers.
    fn ask(&self, is_v6: bool, message: &[u8]) -> Option<Vec<u8>> {
        let (from, to) =
            if is_v6 { ("[2001:db8::9]:4711", "[2001:db8::1]:53") } else { ("192.0.2.9:4711", "192.0.2.1:53") };
        let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
        match self.rehearsal.run(&datagram::frame(from, to, message)).unwrap() {
            Verdict::Answered(frame) => {
                let (source, destination, payload) = datagram::read(&frame);
                assert_eq!((source, destination), (to, from));
                assert_eq!(frame[..12], [datagram::THERE_LINK, datagram::HERE_LINK].concat());
                Some(payload.to_vec())
            }
            Verdict::Passed => None,
            Verdict::Dropped => panic!("the question was dropped"),
        }
    }
}

fn owner() -> impl Strategy<Value = String> {
    let label = prop_oneof![Just("a"), Just("www"), Just("wWw"), Just("Example"), Just("x-y_z"), Just("0123456789")];
    vec(label, 0..6)
        .prop_map(|labels| labels.iter().map(|label| format!("{label}.")).collect::<String>())
        .prop_map(|name| if name.is_empty() { ".".to_owned() } else { name })
}

fn data() -> impl Strategy<Value = (Type, Vec<u8>)> {
    let wire = |text: String| name(&text).as_name().as_wire().to_vec();
    prop_oneof![
        any::<[u8; 4]>().prop_map(|address| (Type::A, address.to_vec())),
        any::<[u8; 16]>().prop_map(|address| (Type::AAAA, address.to_vec())),
        owner().prop_map(move |name| (Type::CNAME, wire(name))),
        owner().prop_map(move |name| (Type::MX, [vec![0, 10], wire(name)].concat())),
        (0_u8..=90).prop_map(|len| (Type::TXT, [vec![len], vec![b't'; len.into()]].concat())),
    ]
}

fn section() -> impl Strategy<Value = Section> {
    prop_oneof![Just(Section::Answer), Just(Section::Authority), Just(Section::Additional)]
}

/// What follows from a client's OPT record: the UDP payload size that it takes, and DO.
fn edns() -> impl Strategy<Value = Option<(u16, bool)>> {
    prop_oneof![
        Just(None),
        (prop_oneof![Just(0u16), Just(512), 100u16..800, Just(1232), Just(65535)], any::<bool>()).prop_map(Some)
    ]
}

fn flags() -> impl Strategy<Value = u16> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(recursion, unchecked, authentic)| {
        [(recursion, flag::RD), (unchecked, flag::CD), (authentic, flag::AD)]
            .iter()
            .fold(0, |flags, (is_set, flag)| if *is_set { flags | flag } else { flags })
    })
}

/// The name with the case of some letters changed.
fn in_other_letters(name: &str, letters: u64) -> String {
    let swap = |(at, letter): (usize, char)| match letter {
        'a'..='z' if letters >> (at % 64) & 1 == 1 => letter.to_ascii_uppercase(),
        _ => letter,
    };
    name.chars().enumerate().map(swap).collect()
}

#[test]
fn an_image_is_served_as_an_engine_serves_it() {
    let Some(driver) = Driver::load() else { return };
    let records = vec((section(), owner(), data(), 2_u32..3600), 0..18);
    let asked = (flags(), edns(), any::<u64>(), any::<bool>());
    let cases = (owner(), records, any::<bool>(), asked, 0_u64..2000);
    let given = Cell::new(0);
    let mut runner = TestRunner::new(Cases { cases: 2000, failure_persistence: None, ..Cases::default() });
    let run = runner.run(&cases, |(question, mut records, same_owner, (flags, edns, letters, is_v6), age)| {
        records.sort_by_key(|record| record.0);
        let records: Vec<Entry> = records
            .into_iter()
            .map(|(section, owner, (rtype, data), ttl)| {
                (section, if same_owner { question.clone() } else { owner }, rtype, ttl, data)
            })
            .collect();
        // Not where a second ends: the program reads its own clock.
        let now = clock::now();
        let age = age.min(now / SECOND - 1);
        let stored_at = Time(now - age * SECOND - SECOND / 3);
        let prepared = prepared(&answer(Rcode::NOERROR, (&question, Type::A), &records), stored_at);
        // Somebody has asked in these letters, and somebody else asks in others.
        let edns = edns.map(|(size, dnssec)| (size, dnssec, &[][..]));
        let first = query(flags, (&question, Type::A), edns);
        let mut publisher = Publisher::new(CONFIG, [7; 16]);
        driver.answers.withdraw_all();
        let left = publisher.cached(&Query::read(&first).unwrap(), &prepared.image(), Time(now));
        if let Some(left) = &left {
            driver.answers.publish(&left.subject, &left.answer, driver.answers.generation()).unwrap();
        }
        let message = query(flags, (&in_other_letters(&question, letters), Type::A), edns);
        let query = Query::read(&message).unwrap();
        let mut expected = Vec::new();
        let Served { is_truncated, .. } =
            prepared.image().serve(&Request::over_udp(&query, UDP_SIZE, &[]), Time(now), &mut expected);
        match driver.ask(is_v6, &message) {
            Some(answer) => {
                given.set(given.get() + 1);
                prop_assert_eq!(answer, expected);
            }
            None => {
                let is_whole = left.is_some_and(|left| {
                    let whole = query.question_end + left.answer.tail.len();
                    whole <= usize::from(query.edns.map_or(512, |edns| edns.udp_size))
                });
                prop_assert!(is_truncated || !is_whole, "it could have been given");
            }
        }
        Ok(())
    });
    run.unwrap();
    assert!(given.get() > 100, "{} answers were given", given.get());
}

#[test]
fn the_program_reads_nothing_into_a_question_that_an_engine_does_not() {
    let Some(driver) = Driver::load() else { return };
    let message = query(flag::RD, ("wWw.Example.", Type::A), Some((1232, true, &[])));
    let prepared = prepared(&address(), Time(clock::now()));
    let mut publisher = Publisher::new(CONFIG, [7; 16]);
    let left = publisher.cached(&Query::read(&message).unwrap(), &prepared.image(), Time(clock::now())).unwrap();
    driver.answers.publish(&left.subject, &left.answer, driver.answers.generation()).unwrap();
    let asked = left.subject;
    let changes = vec((0..message.len(), prop_oneof![any::<u8>(), Just(0), Just(1), Just(0x20), Just(0xc0)]), 0..3);
    let answered = Cell::new(0);
    let mut runner = TestRunner::new(Cases { cases: 5000, failure_persistence: None, ..Cases::default() });
    let run = runner.run(&(changes, 0..4usize, any::<bool>()), |(changes, cut, is_v6)| {
        let mut message = message.clone();
        for (place, octet) in changes {
            message[place] ^= octet;
        }
        message.truncate(message.len() - cut.saturating_sub(2));
        if driver.ask(is_v6, &message).is_some() {
            answered.set(answered.get() + 1);
            let query = Query::read(&message);
            let read = query.ok().and_then(|query| subject(&query, &mut Vec::new()));
            prop_assert_eq!(read, Some(asked));
        }
        Ok(())
    });
    run.unwrap();
    assert!(answered.get() > 100, "{} were answered", answered.get());
}

/// What an engine answers from a zone.
fn from_zone(zone: &Zone, query: &Query<'_>) -> Vec<u8> {
    let mut octets = Vec::new();
    let question = query.question.unwrap();
    let limit = query.edns.map_or(512, |edns| edns.udp_size.clamp(512, UDP_SIZE));
    let kept = query.header.flags & (flag::RD | flag::CD);
    let header = Header { id: query.header.id, flags: flag::QR | kept, counts: [0; 4] };
    let mut writer = Writer::new(&mut octets, header, limit.into());
    writer.reserve(if query.edns.is_some() { 11 } else { 0 });
    writer.question(question.name, question.qtype, question.qclass).unwrap();
    let answered = zone.answer(&question, query.dnssec_ok(), &mut writer);
    if query.edns.is_some() {
        writer.opt(UDP_SIZE, answered.rcode, query.dnssec_ok(), &[]).unwrap();
    }
    writer.finish();
    octets
}

#[test]
fn a_zone_is_answered_from_as_an_engine_answers() {
    let Some(driver) = Driver::load() else { return };
    // More than the program has room for.
    let many: String = (10..30).map(|number| format!("many TXT {}\n", "t".repeat(number))).collect();
    let text = format!(
        "$TTL 3600\n@ SOA ns host 1 7200 3600 86400 600\n@ NS ns\n@ NS ns.other.\n@ MX 10 mail\nns A 192.0.2.1\n\
         mail A 192.0.2.2\nmail AAAA 2001:db8::2\nalias CNAME mail\n*.w A 192.0.2.5\nsub NS ns.sub\n\
         ns.sub A 192.0.2.7\nd DNAME mail\n{many}"
    );
    let zone = zone("example.", &text);
    let names = ["", "ns.", "mail.", "alias.", "x.w.", "y.sub.", "nothing.", "x.d.", "many."];
    let types = [Type::A, Type::AAAA, Type::MX, Type::TXT, Type::NS, Type::SOA, Type::ANY];
    let sizes = [None, Some((512, false)), Some((1232, true)), Some((4096, false))];
    let mut publisher = Publisher::new(CONFIG, [7; 16]);
    let asked = names.iter().flat_map(|name| types.map(|qtype| (name, qtype)));
    for ((name, qtype), (number, edns)) in
        asked.flat_map(|asked| sizes.into_iter().enumerate().map(move |edns| (asked, edns)))
    {
        let edns = edns.map(|(size, dnssec)| (size, dnssec, &[][..]));
        let message = query(flag::RD, (&format!("{name}example."), qtype), edns);
        let query = Query::read(&message).unwrap();
        // Each the first of its window.
        let now = Time(clock::now() + number as u64 * 2 * SECOND);
        let left = publisher.of_zone(&query, &zone, now);
        assert_eq!(left.is_none(), *name == "many." && matches!(qtype, Type::TXT | Type::ANY), "{name} {qtype}");
        if let Some(left) = left {
            driver.answers.publish(&left.subject, &left.answer, driver.answers.generation()).unwrap();
            assert_eq!(driver.ask(number % 2 == 0, &message).unwrap(), from_zone(&zone, &query), "{name} {qtype}");
        }
    }
}
