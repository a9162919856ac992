//! What is left of an image that is too long.

use Section::{Additional, Answer, Authority};
use afpa_dns::cache::{Policy, Prepared, Request, Served};
use afpa_dns::message::{Header, Query, Section, Type, flag};

use crate::messages::{Entry, RESPONSE, answer, asked, at, named, prepared, query, rrsig, ttls};

const QUESTION: (&str, Type) = ("example.", Type::NS);

/// The answer within `limit`, with EDNS, DO and `options`.
fn within(prepared: &Prepared, limit: usize, options: &[u8]) -> (Served, Vec<u8>) {
    let octets = query(1, 0, QUESTION, Some((4096, true)));
    let query = Query::read(&octets).unwrap();
    let mut answer = Vec::new();
    let request = Request { query: &query, limit, udp_size: 1232, options };
    let served = prepared.image().serve(&request, at(5), &mut answer);
    (served, answer)
}

fn text(section: Section, owner: &str, len: u8) -> Entry<'_> {
    (section, owner, Type::TXT, 300, [vec![len], vec![b'x'; len.into()]].concat())
}

fn ns() -> Entry<'static> {
    (Answer, "example.", Type::NS, 300, named("a.example."))
}

/// How many records of each section, and whether TC is set.
fn shape(message: &[u8]) -> ([u16; 4], bool) {
    let header = Header::read(message).unwrap();
    assert_eq!(ttls(message).len(), usize::from(header.counts[1..].iter().sum::<u16>()));
    (header.counts, header.has(flag::TC))
}

#[test]
fn rrsets_of_the_additional_section_go_from_the_end_without_tc() {
    // RFC 2181 §9: whole RRsets; RFC 4035 §3.1.1: a signature may go before what it signs.
    let records = [
        ns(),
        text(Additional, "a.example.", 200),
        text(Additional, "a.example.", 200),
        (Additional, "a.example.", Type::RRSIG, 300, rrsig(Type::TXT, "example.")),
        text(Additional, "b.example.", 100),
    ];
    let prepared = prepared(&answer(RESPONSE, QUESTION, &records), &Policy::default());
    let (_, whole) = within(&prepared, 65535, &[]);
    assert_eq!(shape(&whole), ([1, 1, 0, 5], false));
    let mut seen = Vec::new();
    for limit in (100..=whole.len()).rev() {
        let (served, answer) = within(&prepared, limit, &[]);
        assert!(answer.len() <= limit);
        assert!(!served.is_truncated);
        seen.push(shape(&answer));
    }
    seen.dedup();
    let expected = [5, 4, 3, 1].map(|additional| ([1, 1, 0, additional], false));
    assert_eq!(seen, expected, "OPT is one of them");
}

#[test]
fn an_rrset_in_several_places_goes_with_all_of_its_section() {
    let scattered = [("a.example.", 100), ("b.example.", 100), ("a.example.", 100)];
    let mut records = vec![ns()];
    records.extend(scattered.map(|(owner, len)| text(Additional, owner, len)));
    let prepared = prepared(&answer(RESPONSE, QUESTION, &records), &Policy::default());
    let len = within(&prepared, 65535, &[]).1.len();
    assert_eq!(shape(&within(&prepared, len, &[]).1), ([1, 1, 0, 4], false));
    assert_eq!(shape(&within(&prepared, len - 1, &[]).1), ([1, 1, 0, 1], false));
}

#[test]
fn an_answer_or_authority_that_does_not_fit_leaves_question_and_opt_with_tc() {
    // RFC 6891 §7.
    for section in [Answer, Authority] {
        let mut records = vec![ns()];
        records.extend((0..5).map(|_| text(section, "example.", 200)));
        let prepared = prepared(&answer(RESPONSE, QUESTION, &records), &Policy::default());
        let (served, answer) = within(&prepared, 600, &[]);
        assert!(served.is_truncated);
        assert_eq!(shape(&answer), ([1, 0, 0, 1], true));
        assert_eq!(asked(&answer), "example.");
        assert_eq!(answer.len(), 12 + 9 + 4 + 11);
    }
}

#[test]
fn a_referral_without_all_of_its_glue_is_truncated() {
    // RFC 9471 §3.
    let mut records = vec![(Authority, "example.", Type::NS, 300, named("a.example."))];
    records.extend((1..=40).map(|last| (Additional, "a.example.", Type::A, 300, vec![192, 0, 2, last])));
    let prepared = prepared(&answer(RESPONSE, ("example.", Type::A), &records), &Policy::default());
    assert_eq!(shape(&within(&prepared, 1232, &[]).1), ([1, 0, 1, 41], false));
    assert_eq!(shape(&within(&prepared, 512, &[]).1), ([1, 0, 0, 1], true));
}

#[test]
fn a_client_without_edns_gets_512_octets() {
    let records = [ns(), text(Additional, "a.example.", 250), text(Additional, "b.example.", 250)];
    let prepared = prepared(&answer(RESPONSE, QUESTION, &records), &Policy::default());
    let octets = query(1, 0, QUESTION, None);
    let query = Query::read(&octets).unwrap();
    let mut answer = Vec::new();
    prepared.image().serve(&Request::over_udp(&query, 1232, &[]), at(5), &mut answer);
    assert_eq!(shape(&answer), ([1, 1, 0, 1], false));
    prepared.image().serve(&Request::over_stream(&query, 1232, &[]), at(5), &mut answer);
    assert_eq!(shape(&answer), ([1, 1, 0, 2], false));
}

#[test]
fn the_limit_over_udp_is_the_lesser_of_both_sizes_but_not_below_512() {
    for (client, ours, limit) in [
        (None, 1232, 512),
        (Some(100), 1232, 512),
        (Some(512), 1232, 512),
        (Some(1000), 1232, 1000),
        (Some(4096), 1232, 1232),
        (Some(4096), 100, 512),
    ] {
        let octets = query(1, 0, QUESTION, client.map(|size| (size, false)));
        let query = Query::read(&octets).unwrap();
        assert_eq!(Request::over_udp(&query, ours, &[]).limit, limit);
    }
}

#[test]
fn options_give_way_when_nothing_else_can() {
    let records = (0..5).map(|_| text(Answer, "example.", 200)).collect::<Vec<_>>();
    let prepared = prepared(&answer(RESPONSE, QUESTION, &records), &Policy::default());
    let padding = [&[0, 12, 2, 0][..], &[0; 512]].concat();
    let (_, answer) = within(&prepared, 512, &padding);
    assert_eq!(answer.len(), 12 + 9 + 4 + 11);
}
