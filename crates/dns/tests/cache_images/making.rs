//! What a backend sends becomes an image, or not.

use std::time::Duration;

use Section::{Additional, Answer, Authority};
use afpa_dns::cache::{Kind, Policy, Prepared, Uncacheable};
use afpa_dns::message::{Class, ExtendedError, FormError, Header, Question, Rcode, Section, Type, flag};

use crate::messages::{
    Entry, RESPONSE, answer, answer_with_opt, asked, at, mx, name, named, prepared, query, served, soa, ttls,
};

const NXDOMAIN: u16 = RESPONSE | Rcode::NXDOMAIN.0;

fn a(section: Section, owner: &str, ttl: u32) -> Entry<'_> {
    (section, owner, Type::A, ttl, vec![192, 0, 2, 1])
}

fn policy(change: impl FnOnce(&mut Policy)) -> Policy {
    let mut policy = Policy::default();
    change(&mut policy);
    policy
}

#[test]
fn an_image_says_what_the_answer_says_and_lives_as_long_as_its_shortest_record() {
    let soa_of = |ttl, minimum| (Authority, "example.", Type::SOA, ttl, soa(minimum));
    let ns = |ttl| (Authority, "example.", Type::NS, ttl, named("ns.example."));
    let cname = |ttl| (Answer, "www.example.", Type::CNAME, ttl, named("web.example."));
    let web = "www.example.";
    let cases: &[(&str, u16, Vec<Entry<'_>>, Kind, u32)] = &[
        ("one record", RESPONSE, vec![a(Answer, web, 300)], Kind::Positive, 300),
        (
            "RFC 2181 §5.2: the least of an RRset",
            RESPONSE,
            vec![a(Answer, web, 300), a(Answer, web, 20)],
            Kind::Positive,
            20,
        ),
        ("an alias that lives shorter", RESPONSE, vec![cname(60), a(Answer, "web.example.", 300)], Kind::Positive, 60),
        ("an alias alone", RESPONSE, vec![cname(60)], Kind::Positive, 60),
        ("authority counts", RESPONSE, vec![a(Answer, web, 300), ns(100)], Kind::Positive, 100),
        ("additional counts", RESPONSE, vec![a(Answer, web, 300), a(Additional, "x.example.", 10)], Kind::Positive, 10),
        ("RFC 2181 §8: the top bit", RESPONSE, vec![a(Answer, web, 0x8000_0001)], Kind::Positive, 0),
        ("a TTL of zero", RESPONSE, vec![a(Answer, web, 0)], Kind::Positive, 0),
        ("too long a TTL", RESPONSE, vec![a(Answer, web, 1_000_000)], Kind::Positive, 86400),
        ("RFC 2181 §9: truncated", RESPONSE | flag::TC, vec![a(Answer, web, 300)], Kind::Positive, 0),
        ("RFC 2308 §5: MINIMUM", RESPONSE, vec![soa_of(900, 60)], Kind::NoData, 60),
        ("RFC 2308 §5: the SOA's TTL", RESPONSE, vec![soa_of(30, 600)], Kind::NoData, 30),
        ("RFC 2308 §5: no such name", NXDOMAIN, vec![soa_of(900, 60)], Kind::NxDomain, 60),
        ("RFC 2308 §5: an upper bound", NXDOMAIN, vec![soa_of(86400, 86400)], Kind::NxDomain, 3600),
        ("RFC 2308 §2.1: behind an alias", NXDOMAIN, vec![cname(10), soa_of(900, 60)], Kind::NxDomain, 10),
        ("RFC 2308 §2.2: behind an alias", RESPONSE, vec![cname(1000), soa_of(900, 60)], Kind::NoData, 60),
        ("RFC 2308 §5: no SOA", NXDOMAIN, vec![], Kind::NxDomain, 0),
        ("RFC 2308 §5: no SOA, no data", RESPONSE, vec![], Kind::NoData, 0),
        ("RFC 2308 §2.2: NS alone refers", RESPONSE, vec![ns(500)], Kind::Referral, 500),
        (
            "a SOA that was asked for has no MINIMUM",
            RESPONSE,
            vec![a(Answer, web, 900), soa_of(900, 60)],
            Kind::Positive,
            900,
        ),
        ("RFC 9520 §2.1: SERVFAIL", RESPONSE | 2, vec![], Kind::Failure, 5),
        ("RFC 9520 §2.1: REFUSED, whatever it holds", RESPONSE | 5, vec![a(Answer, web, 900)], Kind::Failure, 5),
    ];
    for (case, flags, records, kind, lifetime) in cases {
        let prepared = prepared(&answer(*flags, (web, Type::A), records), &Policy::default());
        assert_eq!(prepared.details().kind(), *kind, "{case}");
        assert_eq!(prepared.details().lifetime(), *lifetime, "{case}");
        assert_eq!(prepared.may_be_kept(), *lifetime > 0, "{case}");
    }
}

#[test]
fn ttls_are_kept_within_the_bounds_of_the_policy() {
    let records = [a(Answer, "www.example.", 10), a(Answer, "www.example.", 100), a(Answer, "www.example.", 1000)];
    let message = answer(RESPONSE, ("www.example.", Type::A), &records);
    let policy = policy(|policy| {
        policy.min_ttl = Duration::from_secs(60);
        policy.max_ttl = Duration::from_secs(600);
    });
    let prepared = prepared(&message, &policy);
    assert_eq!(prepared.details().lifetime(), 60);
    let (_, answer) = served(&prepared, &query(1, 0, ("www.example.", Type::A), None), 0);
    assert_eq!(ttls(&answer).iter().map(|record| record.2).collect::<Vec<_>>(), [60, 100, 600]);
}

#[test]
fn a_failure_is_kept_for_a_second_at_least_and_five_minutes_at_most() {
    for (wanted, lifetime) in [(0, 1), (1, 1), (30, 30), (300, 300), (3000, 300)] {
        let policy = policy(|policy| policy.failure_ttl = Duration::from_secs(wanted));
        let message = answer(RESPONSE | Rcode::SERVFAIL.0, ("www.example.", Type::A), &[]);
        assert_eq!(prepared(&message, &policy).details().lifetime(), lifetime);
        let question = name("www.example.");
        let question = Question { name: question.as_name(), qtype: Type::A, qclass: Class::IN };
        let failure = Prepared::failure(&question, Rcode::SERVFAIL, None, &policy, at(0)).unwrap();
        assert_eq!(failure.details().lifetime(), lifetime);
    }
}

#[test]
fn what_cannot_be_an_answer_to_a_client_is_refused() {
    let question = ("www.example.", Type::A);
    let good = answer(RESPONSE, question, &[a(Answer, "www.example.", 300)]);
    let record = good.len() - 16;
    let changed = |at: usize, octet: u8| {
        let mut message = good.clone();
        message[at] = octet;
        message
    };
    let with = |rtype, data: Vec<u8>| answer(RESPONSE, question, &[(Answer, "www.example.", rtype, 300, data)]);
    let two_opts = {
        let mut message = answer_with_opt(RESPONSE, question, &[], Some((Rcode::NOERROR, &[])));
        let opt = message[message.len() - 11..].to_vec();
        message.extend(opt);
        message[11] = 2;
        message
    };
    let malformed = Uncacheable::Malformed;
    let cases: Vec<(&str, Vec<u8>, Uncacheable)> = vec![
        ("nothing", vec![], malformed(FormError::Short)),
        ("a header", good[..12].to_vec(), malformed(FormError::Short)),
        ("a query", changed(2, 0), Uncacheable::NoAnswer),
        ("another opcode", changed(2, 0xa0), Uncacheable::NoAnswer),
        ("no question", changed(5, 0), malformed(FormError::Questions)),
        ("two questions", changed(5, 2), malformed(FormError::Questions)),
        ("a record too many", changed(7, 2), malformed(FormError::Short)),
        ("an octet too few", good[..good.len() - 1].to_vec(), malformed(FormError::Short)),
        ("an octet too many", [&good[..], &[0]].concat(), malformed(FormError::Trailing)),
        ("an owner that points to itself", changed(record + 1, record as u8), malformed(FormError::Pointer)),
        ("an address of three octets", with(Type::A, vec![1, 2, 3]), malformed(FormError::Short)),
        ("an address of five octets", with(Type::A, vec![1, 2, 3, 4, 5]), malformed(FormError::Trailing)),
        ("an alias of no name", with(Type::CNAME, vec![]), malformed(FormError::Short)),
        ("an alias that ends in its label", with(Type::CNAME, vec![3, b'a']), malformed(FormError::Short)),
        (
            "an alias that points ahead",
            with(Type::SRV, vec![0, 0, 0, 0, 0, 0, 0xc0, 0xff]),
            malformed(FormError::Pointer),
        ),
        ("octets behind an alias", with(Type::CNAME, [named("a."), vec![0]].concat()), malformed(FormError::Trailing)),
        ("half a SOA", with(Type::SOA, named("a.")), malformed(FormError::Short)),
        ("a reserved label", with(Type::SRV, vec![0, 0, 0, 0, 0, 0, 0x40]), malformed(FormError::LabelType)),
        ("RFC 6891 §6.1.1: two OPT", two_opts, malformed(FormError::Opt)),
        ("RFC 6891 §6.1.1: OPT as an answer", with(Type::OPT, vec![]), malformed(FormError::Opt)),
        ("RFC 8945 §5.1: TSIG", with(Type(250), vec![]), Uncacheable::Meta(Type(250))),
        ("RFC 2931 §3: SIG(0)", with(Type(24), vec![0; 30]), Uncacheable::Meta(Type(24))),
        ("a transfer", answer(RESPONSE, ("www.example.", Type::AXFR), &[]), Uncacheable::Meta(Type::AXFR)),
        (
            "BADVERS is between us and the backend",
            answer_with_opt(RESPONSE, question, &[], Some((Rcode::BADVERS, &[]))),
            Uncacheable::Rcode(Rcode::BADVERS),
        ),
    ];
    assert!(Prepared::of(&good, &Policy::default(), at(0)).is_ok());
    for (case, message, error) in cases {
        assert_eq!(Prepared::of(&message, &Policy::default(), at(0)).err(), Some(error), "{case}");
    }
}

#[test]
fn a_name_that_runs_out_of_its_data_is_no_alias() {
    // RDLENGTH 2, but the name goes on into the next record.
    let records = [(Answer, "a.", Type::CNAME, 300, named("b.c.")), (Answer, "d.", Type::CNAME, 300, named("e."))];
    let mut message = answer(RESPONSE, ("a.", Type::CNAME), &records);
    let len_at = 12 + 3 + 4 + 2 + 8;
    assert_eq!(message[len_at..len_at + 2], [0, 5]);
    message[len_at + 1] = 2;
    assert!(Prepared::of(&message, &Policy::default(), at(0)).is_err());
}

#[test]
fn opt_is_left_out_wherever_it_stands_and_pointers_behind_it_stay_right() {
    // OPT first in the additional section; behind it a record whose name another one points to.
    let records = [(Answer, "www.example.", Type::MX, 300, mx(5, "mail.example."))];
    let mut message = answer_with_opt(RESPONSE, ("www.example.", Type::MX), &records, Some((Rcode::NOERROR, &[0; 8])));
    let place = message.len();
    message.extend([1, b'x', 0xc0, 16, 0, 1, 0, 1, 0, 0, 1, 0, 0, 4, 192, 0, 2, 7]);
    message.extend([0xc0, place as u8, 0, 1, 0, 1, 0, 0, 1, 0, 0, 4, 192, 0, 2, 8]);
    message[11] = 3;
    let prepared = prepared(&message, &Policy::default());
    let (_, answer) = served(&prepared, &query(1, 0, ("WWW.example.", Type::MX), None), 10);
    assert_eq!(ttls(&answer), [(Answer, Type::MX, 290), (Additional, Type::A, 246), (Additional, Type::A, 246)]);
    assert!(answer.windows(2).filter(|octets| octets == b"\x01x").count() == 1, "compressed again");
}

#[test]
fn the_letters_that_a_backend_was_asked_in_are_not_kept() {
    // As a backend does that writes the question's name out again.
    let mut message = answer(RESPONSE, ("wWw.eXaMpLe.", Type::A), &[a(Answer, "other.", 300)]);
    message.truncate(message.len() - 16 - 5);
    message.extend(b"\x03wWw\x07eXaMpLe\x00");
    message.extend([0, 1, 0, 1, 0, 0, 1, 0, 0, 4, 192, 0, 2, 1]);
    let prepared = prepared(&message, &Policy::default());
    let (_, answer) = served(&prepared, &query(1, 0, ("www.EXAMPLE.", Type::A), None), 0);
    assert_eq!(asked(&answer), "www.EXAMPLE.");
    assert_eq!(answer[29..31], [0xc0, 12], "the owner is the question's name");
}

#[test]
fn why_an_answer_is_what_it_is_and_for_whom_is_remembered() {
    let options = [&[0, 15, 0, 5, 0, 9][..], b"why", &[0, 8, 0, 7, 0, 1, 24, 16, 192, 0, 2]].concat();
    let message = answer_with_opt(RESPONSE | 2, ("a.", Type::A), &[], Some((Rcode::SERVFAIL, &options)));
    let prepared = prepared(&message, &Policy::default());
    assert_eq!(prepared.details().extended_error(), Some(ExtendedError(9)));
    assert_eq!(prepared.details().subnet_scope(), Some(16));
}

#[test]
fn a_failure_of_our_own_answers_the_question() {
    let question = name("www.EXAMPLE.");
    let question = Question { name: question.as_name(), qtype: Type::A, qclass: Class::IN };
    let error = Some(ExtendedError::NO_REACHABLE_AUTHORITY);
    let failure = Prepared::failure(&question, Rcode::SERVFAIL, error, &Policy::default(), at(0)).unwrap();
    let query = query(7, flag::RD, ("Www.Example.", Type::A), Some((1232, false)));
    let (_, answer) = served(&failure, &query, 0);
    let header = Header::read(&answer).unwrap();
    assert_eq!((header.id, header.rcode(), header.counts), (7, Rcode::SERVFAIL, [1, 0, 0, 1]));
    assert_eq!(header.flags, flag::QR | flag::RD | flag::RA | Rcode::SERVFAIL.0);
    assert_eq!(asked(&answer), "Www.Example.");
    assert!(answer.ends_with(&[0, 15, 0, 2, 0, 22]));
    assert!(Prepared::failure(&question, Rcode::BADVERS, None, &Policy::default(), at(0)).is_err());
}
