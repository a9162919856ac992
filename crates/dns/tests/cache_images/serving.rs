//! What clients get of an image.

use std::time::Duration;

use Section::{Answer, Authority};
use afpa_dns::cache::{Freshness, Policy, Prepared, Request};
use afpa_dns::message::{Edns, ExtendedError, Header, Query, Rcode, Records, Section, Type, flag, option};

use crate::messages::{RESPONSE, answer, asked, at, prepared, query, served, soa, ttls};

const QUESTION: (&str, Type) = ("www.example.", Type::A);

fn positive(flags: u16, ttl: u32, policy: &Policy) -> Prepared {
    prepared(&answer(flags, QUESTION, &[(Answer, "www.example.", Type::A, ttl, vec![192, 0, 2, 1])]), policy)
}

fn lasting() -> Policy {
    Policy { stale: Duration::from_secs(1000), ..Policy::default() }
}

#[test]
fn each_client_gets_its_id_its_flags_and_its_letters() {
    let (ad, cd, rd) = (flag::AD, flag::CD, flag::RD);
    let base = flag::QR | flag::RA;
    let cases = [
        ("nothing", base, 0, false, base),
        ("RFC 1035 §4.1.1: RD is the client's", base | rd, 0, false, base),
        ("RFC 1035 §4.1.1: RD is the client's", base, rd, false, base | rd),
        ("RFC 4035 §3.2.2: so is CD", base | cd, 0, false, base),
        ("RFC 4035 §3.2.2: so is CD", base, cd, false, base | cd),
        ("RFC 6840 §5.8: no AD unasked", base | ad, 0, false, base),
        ("RFC 6840 §5.7: AD asks for AD", base | ad, ad, false, base | ad),
        ("RFC 6840 §5.8: so does DO", base | ad, 0, true, base | ad),
        ("AD is the backend's", base, ad, true, base),
        ("AA is the backend's", base | flag::AA, 0, false, base | flag::AA),
        ("the reserved bit is zero", base | 0x40, 0x40, false, base),
    ];
    for (case, backend, client, dnssec, expected) in cases {
        let edns = dnssec.then_some((1232, true));
        let query = query(0xbeef, client, ("wWw.ExAmPlE.", Type::A), edns);
        let (served, answer) = served(&positive(backend, 300, &Policy::default()), &query, 1);
        let header = Header::read(&answer).unwrap();
        assert_eq!((header.id, header.flags), (0xbeef, expected), "{case}");
        assert_eq!(header.counts, [1, 1, 0, u16::from(dnssec)], "{case}");
        assert_eq!(asked(&answer), "wWw.ExAmPlE.", "{case}");
        assert_eq!((served.freshness, served.is_truncated), (Freshness::Fresh, false), "{case}");
    }
}

#[test]
fn opt_is_for_those_who_sent_one_and_is_ours_but_for_do() {
    let prepared = positive(RESPONSE, 300, &Policy::default());
    let options = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    for edns in [None, Some((4096, false)), Some((4096, true))] {
        let octets = query(1, 0, QUESTION, edns);
        let query = Query::read(&octets).unwrap();
        let mut answer = Vec::new();
        prepared.image().serve(&Request::over_udp(&query, 1400, &options), at(0), &mut answer);
        let opt = Records::of(&answer).unwrap().map(|record| record.unwrap()).find(|record| record.rtype == Type::OPT);
        let opt = opt.map(|record| Edns::read(&record).unwrap());
        assert_eq!(opt.map(|opt| (opt.udp_size, opt.dnssec_ok)), edns.map(|edns| (1400, edns.1)));
        assert_eq!(opt.map(|opt| (opt.version, opt.extended_rcode)), edns.map(|_| (0, 0)));
        assert_eq!(opt.map(|opt| opt.options.as_octets()), edns.map(|_| &options[..]));
    }
}

#[test]
fn ttls_count_down_to_the_end_and_then_there_is_nothing() {
    let prepared = positive(RESPONSE, 300, &Policy::default());
    let query = query(1, 0, QUESTION, None);
    for (age, ttl) in [(0, 300), (1, 299), (150, 150), (299, 1)] {
        assert_eq!(ttls(&served(&prepared, &query, age).1), [(Answer, Type::A, ttl)]);
    }
    for age in [300, 301, 1_000_000_000] {
        let (served, answer) = served(&prepared, &query, age);
        assert_eq!(served.freshness, Freshness::Expired);
        assert!(answer.is_empty());
    }
}

#[test]
fn what_is_not_kept_is_served_to_those_who_wait_as_it_came() {
    let message = answer(RESPONSE | 3, QUESTION, &[(Answer, "www.example.", Type::CNAME, 300, vec![0])]);
    let prepared = prepared(&message, &Policy::default());
    assert!(!prepared.may_be_kept());
    let (served, answer) = served(&prepared, &query(1, 0, QUESTION, None), 0);
    assert_eq!(served.freshness, Freshness::Fresh);
    assert_eq!(ttls(&answer), [(Answer, Type::CNAME, 300)]);
}

#[test]
fn an_expired_answer_is_served_with_a_short_ttl_and_says_so() {
    let negative = answer(RESPONSE | 3, QUESTION, &[(Authority, "example.", Type::SOA, 300, soa(300))]);
    let with_edns = query(1, 0, QUESTION, Some((1232, false)));
    for (prepared, rcode, error) in [
        (positive(RESPONSE, 300, &lasting()), Rcode::NOERROR, ExtendedError::STALE_ANSWER),
        (prepared(&negative, &lasting()), Rcode::NXDOMAIN, ExtendedError::STALE_NXDOMAIN),
    ] {
        let (result, answer) = served(&prepared, &with_edns, 700);
        assert_eq!((result.freshness, result.wants_refresh), (Freshness::Stale, true));
        assert_eq!(Header::read(&answer).unwrap().rcode(), rcode);
        // RFC 8767 §4, RFC 8914 §4.4 and §4.20.
        assert_eq!(ttls(&answer)[0].2, 30);
        let opt = Records::of(&answer).unwrap().map(|record| record.unwrap()).last().unwrap();
        let opt = Edns::read(&opt).unwrap();
        assert_eq!(opt.options.get(option::EXTENDED_ERROR), Some(&error.0.to_be_bytes()[..]));
        let (_, plain) = served(&prepared, &query(1, 0, QUESTION, None), 700);
        assert_eq!(Header::read(&plain).unwrap().counts[3], 0, "without EDNS there is no place for a reason");
        assert_eq!(served(&prepared, &with_edns, 1300).0.freshness, Freshness::Expired);
    }
}

#[test]
fn a_failure_is_never_served_stale() {
    let prepared = prepared(&answer(RESPONSE | 2, QUESTION, &[]), &lasting());
    let query = query(1, 0, QUESTION, None);
    assert_eq!(served(&prepared, &query, 4).0.freshness, Freshness::Fresh);
    assert_eq!(served(&prepared, &query, 5).0.freshness, Freshness::Expired);
}

#[test]
fn a_hit_in_the_last_part_of_a_life_asks_for_a_refresh() {
    let query = query(1, 0, QUESTION, None);
    for (percent, first) in [(10, 270), (50, 150), (100, 0), (200, 0)] {
        let policy = Policy { prefetch_percent: percent, ..Policy::default() };
        let prepared = positive(RESPONSE, 300, &policy);
        for age in [0, 149, 150, 269, 270, 299] {
            assert_eq!(served(&prepared, &query, age).0.wants_refresh, age >= first, "{percent} % at {age}");
        }
    }
    let policy = Policy { prefetch_percent: 0, ..Policy::default() };
    assert!(!served(&positive(RESPONSE, 300, &policy), &query, 299).0.wants_refresh);
}
