//! Messages against `domain`, a second reading of the same standards: what we write it reads, what it writes we read, and
//! what we take for a query it takes too.

mod message_support;

use afpa_dns::message::{Class, Header, Name, NameBuf, NameBuffer, Query, Record, Records, Section, Type, Writer};
use domain::base::iana::Rtype;
use domain::base::message_builder::{MessageBuilder, TreeCompressor};
use domain::base::opt::UnknownOptData;
use domain::base::rdata::ComposeRecordData;
use domain::base::{Message, ParsedName, ToName};
use domain::rdata::AllRecordData;
use message_support::{Random, mutated, mutations, seeds};
use proptest::prelude::*;

/// A record, uncompressed.
#[derive(Clone, Debug)]
struct Plain {
    owner: NameBuf,
    rtype: Type,
    ttl: u32,
    rdata: Vec<u8>,
}

fn any_name(labels: &'static [&'static str]) -> impl Strategy<Value = NameBuf> {
    prop::collection::vec(prop::sample::select(labels), 0..6).prop_map(|labels| match labels.len() {
        0 => Name::ROOT.to_owned(),
        _ => labels.join(".").parse().unwrap(),
    })
}

const LOWERCASE: &[&str] = &["a", "b", "ab", "ns1", "ns2", "example", "com", "*", r"\000\255"];
const MIXED_CASE: &[&str] = &["a", "A", "b", "ns1", "Ns1", "example", "eXample", "com", "COM"];

/// A record of a type that both know, with its data as its type has it.
fn any_record(labels: &'static [&'static str]) -> impl Strategy<Value = Plain> {
    let types = vec![
        Type::A,
        Type::NS,
        Type::CNAME,
        Type::SOA,
        Type::PTR,
        Type::MX,
        Type::TXT,
        Type::AAAA,
        Type::SRV,
        Type::DNAME,
    ];
    let names = (any_name(labels), any_name(labels), any_name(labels));
    (prop::sample::select(types), names, any::<[u8; 20]>(), 0..1u32 << 31).prop_map(
        |(rtype, (owner, first, second), octets, ttl)| {
            let (first, second) = (first.as_name().as_wire(), second.as_name().as_wire());
            let rdata = match rtype {
                Type::A => octets[..4].to_vec(),
                Type::AAAA => octets[..16].to_vec(),
                Type::TXT => [&[20], &octets[..]].concat(),
                Type::MX => [&octets[..2], first].concat(),
                Type::SRV => [&octets[..6], first].concat(),
                Type::SOA => [first, second, &octets].concat(),
                _ => first.to_vec(),
            };
            Plain { owner, rtype, ttl, rdata }
        },
    )
}

/// The data of `record`, as we read it, with its names written out.
fn expanded(message: &[u8], record: &Record<'_>) -> Vec<u8> {
    let (fixed, names) = match record.rtype {
        Type::NS | Type::CNAME | Type::PTR | Type::DNAME => (0, 1),
        Type::MX => (2, 1),
        Type::SRV => (6, 1),
        Type::SOA => (0, 2),
        _ => (record.rdata.len(), 0),
    };
    let mut octets = record.rdata[..fixed].to_vec();
    let (mut at, mut name) = (record.rdata_at + fixed, NameBuffer::default());
    for _ in 0..names {
        at = name.read(message, at).unwrap();
        octets.extend_from_slice(name.as_name().as_wire());
    }
    octets.extend_from_slice(&message[at..record.rdata_at + record.rdata.len()]);
    octets
}

/// Everything of a message that `domain` reads: records of the three sections, uncompressed. `None` if it refuses something.
fn read_by_domain(message: &[u8]) -> Option<Vec<(Section, Plain)>> {
    let message = Message::from_octets(message).ok()?;
    if message.question().any(|question| question.is_err()) {
        return None;
    }
    let mut all = Vec::new();
    let sections = [message.answer().ok()?, message.authority().ok()?, message.additional().ok()?];
    for (domains, section) in sections.into_iter().zip([Section::Answer, Section::Authority, Section::Additional]) {
        for record in domains {
            let record = record.ok()?;
            let (rtype, ttl) = (Type(record.rtype().to_int()), record.ttl().as_secs());
            let owner = Name::read(&record.owner().to_vec().into_octets()).unwrap().to_owned();
            let mut rdata = Vec::new();
            // Of what a message is about, its data is not looked at.
            if let Ok(record) = record.to_any_record::<AllRecordData<_, ParsedName<_>>>() {
                record.data().compose_rdata(&mut rdata).unwrap();
            }
            all.push((section, Plain { owner, rtype, ttl, rdata }));
        }
    }
    Some(all)
}

fn write(records: &[Plain]) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut writer = Writer::new(&mut octets, Header { id: 7, flags: 0x8000, counts: [0; 4] }, 65_535);
    for (at, Plain { owner, rtype, ttl, rdata }) in records.iter().enumerate() {
        writer.record(section(at, records.len()), owner.as_name(), *rtype, Class::IN, *ttl, rdata).unwrap();
    }
    writer.finish();
    octets
}

/// The first half answers, and so on.
fn section(at: usize, of: usize) -> Section {
    if 2 * at < of {
        Section::Answer
    } else if 4 * at < 3 * of {
        Section::Authority
    } else {
        Section::Additional
    }
}

fn write_by_domain(records: &[Plain]) -> Vec<u8> {
    let source = uncompressed(records);
    let source = Message::from_octets(&source[..]).unwrap();
    let mut answers = MessageBuilder::from_target(TreeCompressor::new(Vec::new())).unwrap().answer();
    for record in source.answer().unwrap() {
        let record = record.unwrap().to_any_record::<AllRecordData<_, ParsedName<_>>>().unwrap();
        answers.push(record).unwrap();
    }
    answers.finish().into_target()
}

fn uncompressed(records: &[Plain]) -> Vec<u8> {
    let mut message = Header { id: 7, flags: 0x8000, counts: [0, records.len() as u16, 0, 0] }.to_octets().to_vec();
    for Plain { owner, rtype, ttl, rdata } in records {
        message.extend_from_slice(owner.as_name().as_wire());
        message.extend_from_slice(&[rtype.0.to_be_bytes(), [0, 1]].concat());
        message.extend_from_slice(&ttl.to_be_bytes());
        message.extend_from_slice(&(rdata.len() as u16).to_be_bytes());
        message.extend_from_slice(rdata);
    }
    message
}

proptest! {
    #[test]
    fn what_we_write_is_read_there(records in prop::collection::vec(any_record(MIXED_CASE), 0..40)) {
        let message = write(&records);
        prop_assert!(message.len() <= uncompressed(&records).len());
        let read = read_by_domain(&message).expect("well-formed");
        prop_assert_eq!(read.len(), records.len());
        for (at, ((read_section, read), written)) in read.iter().zip(&records).enumerate() {
            prop_assert_eq!(*read_section, section(at, records.len()));
            prop_assert_eq!(read.owner.as_name().as_wire(), written.owner.as_name().as_wire());
            prop_assert_eq!((read.rtype, read.ttl, &read.rdata), (written.rtype, written.ttl, &written.rdata));
        }
    }

    // In one letter case, because names are compressed there whatever case they are in.
    #[test]
    fn what_is_written_there_we_read(records in prop::collection::vec(any_record(LOWERCASE), 0..40)) {
        let message = write_by_domain(&records);
        let mut read = Records::of(&message).unwrap();
        for written in &records {
            let record = read.next().unwrap().unwrap();
            let mut owner = NameBuffer::default();
            prop_assert_eq!(owner.read(&message, record.owner_at), Ok(record.ttl_at - 4));
            prop_assert_eq!(owner.as_name().as_wire(), written.owner.as_name().as_wire());
            prop_assert_eq!((record.rtype, record.class, record.ttl), (written.rtype, Class::IN, written.ttl));
            prop_assert_eq!(&expanded(&message, &record), &written.rdata);
        }
        prop_assert!(read.next().is_none() && read.position() == message.len());
        // As good a compression.
        prop_assert!(write(&records).len() <= message.len());
    }

    #[test]
    fn queries_that_are_written_there_we_read(
        name in any_name(MIXED_CASE),
        (qtype, size, dnssec_ok) in any::<(u16, u16, bool)>(),
        cookie in any::<Option<[u8; 8]>>(),
    ) {
        let name = domain::base::Name::from_octets(name.as_name().as_wire().to_vec()).unwrap();
        let mut builder = MessageBuilder::from_target(TreeCompressor::new(Vec::new())).unwrap();
        builder.header_mut().set_rd(true);
        let mut builder = builder.question();
        builder.push((&name, Rtype::from_int(qtype))).unwrap();
        let mut builder = builder.additional();
        builder.opt(|opt| {
            opt.set_udp_payload_size(size);
            opt.set_dnssec_ok(dnssec_ok);
            cookie.iter().try_for_each(|cookie| {
                opt.push(&UnknownOptData::new(10.into(), cookie).unwrap())
            })
        }).unwrap();
        let message = builder.finish().into_target();
        let query = Query::read(&message).unwrap();
        let question = query.question.unwrap();
        prop_assert_eq!(question.name.as_wire(), name.as_slice());
        prop_assert_eq!((question.qtype, question.qclass), (Type(qtype), Class::IN));
        let edns = query.edns.unwrap();
        prop_assert_eq!((edns.udp_size, query.dnssec_ok()), (size.max(512), dnssec_ok));
        prop_assert_eq!(edns.options.get(10), cookie.as_ref().map(|cookie| &cookie[..]));
    }
}

/// No exceptions.
#[test]
fn what_we_take_for_a_query_is_one_there() {
    let (seeds, mut random, mut accepted) = (seeds(), Random::new(2), 0);
    let mutations = mutations(50_000);
    for _ in 0..mutations {
        let message = mutated(&seeds, &mut random);
        let Ok(query) = Query::read(&message) else { continue };
        accepted += 1;
        assert!(read_by_domain(&message).is_some(), "{message:x?}");
        assert_the_same(&query, Message::from_octets(&message[..]).unwrap());
    }
    assert!(accepted > mutations / 20, "{accepted} were queries");
}

fn assert_the_same(query: &Query<'_>, message: Message<&[u8]>) {
    match query.question {
        None => assert!(message.first_question().is_none()),
        Some(question) => {
            let theirs = message.sole_question().unwrap();
            assert_eq!(theirs.qname().to_vec().as_slice(), question.name.as_wire());
            assert_eq!((theirs.qtype().to_int(), theirs.qclass().to_int()), (question.qtype.0, question.qclass.0));
        }
    }
    let theirs = message.opt();
    assert_eq!(theirs.is_some(), query.edns.is_some());
    if let (Some(theirs), Some(edns)) = (theirs, query.edns) {
        assert_eq!(theirs.udp_payload_size().max(512), edns.udp_size);
        assert_eq!((theirs.version(), theirs.dnssec_ok()), (edns.version, edns.dnssec_ok));
        let options: Vec<_> = theirs.opt().iter::<UnknownOptData<_>>().map(|option| option.unwrap()).collect();
        assert_eq!(options.len(), edns.options.count());
        for (theirs, ours) in options.iter().zip(edns.options) {
            assert_eq!((theirs.code().to_int(), theirs.as_slice()), (ours.code, ours.data));
        }
    }
}
