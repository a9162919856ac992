//! Whatever a backend sends, compared with what another library reads.

use std::collections::BTreeMap;
use std::time::Duration;

use afpa_dns::cache::{Freshness, Kind, Policy, Prepared, Request, fuzz};
use afpa_dns::message::{Header, Query, Rcode, Section, Type, flag};
use domain::base::name::ParsedName;
use domain::base::rdata::ComposeRecordData;
use domain::base::{Message, ToName};
use domain::rdata::AllRecordData;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::messages::{Entry, RESPONSE, answer_with_opt, at, mx, named, query, rrsig, soa};

/// Types with names that the other library takes for octets: RP, AFSDB, RT, NSAP-PTR, SIG, PX, NXT, KX.
const OPAQUE: [u16; 8] = [17, 18, 21, 23, 24, 26, 30, 36];

/// A record as another library reads it: section, owner, type, TTL, data; names in lower case and uncompressed.
type Read = (u8, Vec<u8>, u16, u32, Vec<u8>);

/// All records but OPT; `None` if the library does not understand all of them.
fn read(octets: &[u8]) -> Option<Vec<Read>> {
    let message = Message::from_octets(octets).ok()?;
    let mut records = Vec::new();
    for item in message.iter() {
        let (record, section) = item.ok()?;
        let record = record.to_any_record::<AllRecordData<_, ParsedName<_>>>().ok()?;
        let owner = record.owner().to_canonical_name::<Vec<u8>>();
        let mut data = Vec::new();
        record.data().compose_canonical_rdata(&mut data).ok()?;
        let rtype = record.rtype().to_int();
        if rtype != Type::OPT.0 {
            records.push((section as u8, owner.as_slice().to_vec(), rtype, record.ttl().as_secs(), data));
        }
    }
    Some(records)
}

fn owner() -> impl Strategy<Value = String> {
    let label = prop_oneof![Just("a"), Just("A"), Just("www"), Just("wWw"), Just("example"), Just("x-y_z")];
    vec(label, 0..5)
        .prop_map(|labels| labels.iter().map(|label| format!("{label}.")).collect::<String>())
        .prop_map(|name| if name.is_empty() { ".".to_owned() } else { name })
}

fn data() -> impl Strategy<Value = (Type, Vec<u8>)> {
    let numbered = |count: usize, name: &str| [vec![1; count], named(name)].concat();
    prop_oneof![
        any::<[u8; 4]>().prop_map(|address| (Type::A, address.to_vec())),
        any::<[u8; 16]>().prop_map(|address| (Type::AAAA, address.to_vec())),
        owner().prop_map(|name| (Type::NS, named(&name))),
        owner().prop_map(|name| (Type::CNAME, named(&name))),
        owner().prop_map(|name| (Type::PTR, named(&name))),
        owner().prop_map(|name| (Type::DNAME, named(&name))),
        (1_u32..4000).prop_map(|minimum| (Type::SOA, soa(minimum))),
        owner().prop_map(|name| (Type::MX, mx(10, &name))),
        owner().prop_map(move |name| (Type::SRV, numbered(6, &name))),
        owner().prop_map(|name| (Type::RRSIG, rrsig(Type::A, &name))),
        owner().prop_map(|name| (Type::NSEC, [named(&name), vec![0, 1, 0x40]].concat())),
        (0_u8..=255).prop_map(|len| (Type::TXT, [vec![len], vec![b't'; len.into()]].concat())),
        vec(any::<u8>(), 0..40).prop_map(|octets| (Type(65280), octets)),
    ]
}

fn section() -> impl Strategy<Value = Section> {
    prop_oneof![Just(Section::Answer), Just(Section::Authority), Just(Section::Additional)]
}

#[derive(Clone, Debug)]
struct Sent {
    question: String,
    octets: Vec<u8>,
}

/// What a backend sends that keeps to the rules.
fn sent() -> impl Strategy<Value = Sent> {
    let records = vec((section(), owner(), data(), 1_u32..3600), 0..24);
    (owner(), records, any::<bool>(), any::<bool>(), prop_oneof![Just(0), Just(3)]).prop_map(
        |(question, mut records, with_opt, same_owner, rcode)| {
            records.sort_by_key(|record| record.0);
            let records: Vec<Entry<'_>> = records
                .iter()
                .map(|(section, owner, (rtype, data), ttl)| {
                    let owner = if same_owner { &question } else { owner };
                    (*section, owner.as_str(), *rtype, *ttl, data.clone())
                })
                .collect();
            let opt = with_opt.then_some((Rcode(rcode), &[0, 12, 0, 3, 0, 0, 0][..]));
            let octets = answer_with_opt(RESPONSE | rcode, (&question, Type::A), &records, opt);
            Sent { question, octets }
        },
    )
}

/// Letters of other case, but for those of escapes, of which there are none.
fn swapped(name: &str) -> String {
    let swap = |letter: char| if letter.is_ascii_lowercase() { letter.to_ascii_uppercase() } else { letter };
    name.chars().enumerate().map(|(at, letter)| if at % 2 == 0 { swap(letter) } else { letter }).collect()
}

fn policy() -> Policy {
    Policy { stale: Duration::from_secs(500), ..Policy::default() }
}

/// The records of an image of `octets`, `age` seconds later, as they have to be.
fn expected(octets: &[u8], kind: Kind, age: u32) -> Vec<Read> {
    let mut records = read(octets).unwrap();
    for (section, _, rtype, ttl, data) in &mut records {
        if matches!(kind, Kind::NoData | Kind::NxDomain)
            && *rtype == Type::SOA.0
            && *section == Section::Authority as u8
        {
            let minimum = u32::from_be_bytes(*data.last_chunk().unwrap());
            *ttl = (*ttl).min(minimum);
        }
        *ttl = ttl.saturating_sub(age);
    }
    records
}

proptest! {
    #[test]
    fn an_image_is_read_as_its_message_with_ttls_reduced(sent in sent(), age in 0_u32..5000, edns in any::<bool>()) {
        let prepared = Prepared::of(&sent.octets, &policy(), at(0)).unwrap();
        let asked = swapped(&sent.question);
        let query_octets = query(0xabcd, flag::RD, (&asked, Type::A), edns.then_some((1232, true)));
        let query = Query::read(&query_octets).unwrap();
        let mut answer = Vec::with_capacity(65535);
        let place = answer.as_ptr();
        let served = prepared.image().serve(&Request::over_stream(&query, 1232, &[]), at(age.into()), &mut answer);
        prop_assert_eq!(answer.as_ptr(), place);
        prop_assert!(!served.is_truncated);
        let lifetime = prepared.details().lifetime();
        let records = expected(&sent.octets, prepared.details().kind(), 0);
        let least = records.iter().map(|record| record.3).min().unwrap_or(0);
        prop_assert!(lifetime == 0 || lifetime == least);
        match served.freshness {
            Freshness::Fresh => {
                prop_assert!(age < lifetime || lifetime == 0);
                prop_assert_eq!(read(&answer).unwrap(), expected(&sent.octets, prepared.details().kind(), age));
            }
            Freshness::Stale => {
                prop_assert!((lifetime..lifetime + 500).contains(&age));
                let mut records = records;
                records.iter_mut().for_each(|record| record.3 = 30);
                prop_assert_eq!(read(&answer).unwrap(), records);
            }
            Freshness::Expired => {
                prop_assert!(age >= lifetime + 500);
                prop_assert!(answer.is_empty());
                return Ok(());
            }
        }
        let end = query.question_end;
        prop_assert_eq!(&answer[12..end], &query_octets[12..end], "the question as it was asked");
        prop_assert_eq!(Header::read(&answer).unwrap().id, 0xabcd);
    }

    #[test]
    fn what_is_cut_off_leaves_whole_rrsets(sent in sent(), limit in 512_usize..1500, edns in any::<bool>()) {
        let prepared = Prepared::of(&sent.octets, &policy(), at(0)).unwrap();
        let query_octets = query(1, 0, (&sent.question, Type::A), edns.then_some((1232, false)));
        let query = Query::read(&query_octets).unwrap();
        let mut answer = Vec::new();
        let request = Request { query: &query, limit, udp_size: 1232, options: &[] };
        let served = prepared.image().serve(&request, at(0), &mut answer);
        prop_assert!(answer.len() <= limit);
        let left = read(&answer).unwrap();
        let whole = expected(&sent.octets, prepared.details().kind(), 0);
        prop_assert_eq!(&whole[..left.len()], &left[..]);
        let header = Header::read(&answer).unwrap();
        prop_assert_eq!(header.has(flag::TC), served.is_truncated);
        if served.is_truncated {
            prop_assert_eq!(header.counts, [1, 0, 0, u16::from(edns)]);
        } else {
            // Signatures over other types are RRsets of their own, but here all are over A.
            let sets = |records: &[Read]| {
                let mut sets = BTreeMap::<_, usize>::new();
                records.iter().for_each(|read| *sets.entry((read.0, read.1.clone(), read.2)).or_default() += 1);
                sets
            };
            let all = sets(&whole);
            prop_assert!(sets(&left).iter().all(|(set, count)| all[set] == *count));
            prop_assert!(whole[left.len()..].iter().all(|record| record.0 == Section::Additional as u8));
        }
    }

    #[test]
    fn a_message_with_wrong_octets_is_refused_or_read_as_before(
        sent in sent(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut octets = sent.octets;
        for (place, octet) in changes {
            let place = place.index(octets.len());
            octets[place] = octet;
        }
        if let Some(cut) = cut {
            octets.truncate(cut.index(octets.len()));
        }
        fuzz::image(&octets);
        let Ok(prepared) = Prepared::of(&octets, &policy(), at(0)) else { return Ok(()) };
        let Some(before) = read(&octets) else { return Ok(()) };
        if prepared.details().kind() == Kind::Failure || before.iter().any(|record| OPAQUE.contains(&record.2)) {
            return Ok(());
        }
        let question_end = 12 + afpa_dns::message::Question::read(&octets[12..]).unwrap().1;
        let mut query_octets = Header { counts: [1, 0, 0, 0], ..Header::default() }.to_octets().to_vec();
        query_octets.extend_from_slice(&octets[12..question_end]);
        let query = Query::read(&query_octets).unwrap();
        let mut answer = Vec::new();
        prepared.image().serve(&Request::over_stream(&query, 1232, &[]), at(0), &mut answer);
        let after = read(&answer);
        prop_assert!(after.is_some());
        let without_ttl = |records: &[Read]| {
            records.iter().map(|read| (read.0, read.1.clone(), read.2, read.4.clone())).collect::<Vec<_>>()
        };
        prop_assert_eq!(without_ttl(&after.unwrap()), without_ttl(&before));
    }

    #[test]
    fn octets_of_any_kind_do_no_harm(octets in vec(any::<u8>(), 0..300)) {
        fuzz::image(&octets);
        let header = Header { flags: RESPONSE, counts: [1, 2, 1, 1], ..Header::default() };
        fuzz::image(&[&header.to_octets()[..], &[0, 0, 1, 0, 1], &octets].concat());
    }
}
