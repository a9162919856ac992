//! Messages for tests.

use std::time::Duration;

use afpa_dns::cache::{Policy, Prepared, Request, Served};
use afpa_dns::message::{Class, Header, Name, NameBuf, Query, Rcode, Records, Section, Type, Writer, flag};
use afpa_engine::Time;

/// What a backend that answers a query sends.
pub(crate) const RESPONSE: u16 = flag::QR | flag::RD | flag::RA;

/// A record: section, owner, type, TTL, data.
pub(crate) type Entry<'a> = (Section, &'a str, Type, u32, Vec<u8>);

pub(crate) fn name(text: &str) -> NameBuf {
    text.parse().unwrap()
}

/// The data that is one name.
pub(crate) fn named(text: &str) -> Vec<u8> {
    name(text).as_name().as_wire().to_vec()
}

pub(crate) fn soa(minimum: u32) -> Vec<u8> {
    let numbers = [1, 7200, 3600, 86400, minimum].map(u32::to_be_bytes).concat();
    [named("ns.example."), named("host.example."), numbers].concat()
}

pub(crate) fn mx(preference: u16, exchange: &str) -> Vec<u8> {
    [preference.to_be_bytes().to_vec(), named(exchange)].concat()
}

/// A signature over records of `covered`.
pub(crate) fn rrsig(covered: Type, signer: &str) -> Vec<u8> {
    [&covered.0.to_be_bytes()[..], &[0; 16], &named(signer), &[7; 64]].concat()
}

pub(crate) fn answer(flags: u16, question: (&str, Type), records: &[Entry<'_>]) -> Vec<u8> {
    answer_with_opt(flags, question, records, None)
}

pub(crate) fn answer_with_opt(
    flags: u16,
    question: (&str, Type),
    records: &[Entry<'_>],
    opt: Option<(Rcode, &[u8])>,
) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut writer = Writer::new(&mut octets, Header { id: 0x1234, flags, counts: [0; 4] }, 65535);
    writer.question(name(question.0).as_name(), question.1, Class::IN).unwrap();
    for (section, owner, rtype, ttl, data) in records {
        writer.record(*section, name(owner).as_name(), *rtype, Class::IN, *ttl, data).unwrap();
    }
    if let Some((rcode, options)) = opt {
        writer.opt(1232, rcode, true, options).unwrap();
    }
    writer.finish();
    octets
}

/// A query; with `edns`, of that UDP payload size and DO.
pub(crate) fn query(id: u16, flags: u16, question: (&str, Type), edns: Option<(u16, bool)>) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut writer = Writer::new(&mut octets, Header { id, flags, counts: [0; 4] }, 65535);
    writer.question(name(question.0).as_name(), question.1, Class::IN).unwrap();
    if let Some((size, dnssec)) = edns {
        writer.opt(size, Rcode::NOERROR, dnssec, &[]).unwrap();
    }
    writer.finish();
    octets
}

pub(crate) fn at(seconds: u64) -> Time {
    Time(0).after(Duration::from_secs(1000 + seconds))
}

/// What comes of `message` at second 0.
pub(crate) fn prepared(message: &[u8], policy: &Policy) -> Prepared {
    Prepared::of(message, policy, at(0)).unwrap()
}

/// The answer to `query` at `seconds`, over UDP.
pub(crate) fn served(prepared: &Prepared, query: &[u8], seconds: u64) -> (Served, Vec<u8>) {
    let query = Query::read(query).unwrap();
    let mut answer = Vec::new();
    let served = prepared.image().serve(&Request::over_udp(&query, 1232, &[]), at(seconds), &mut answer);
    (served, answer)
}

/// Section, type and TTL of each record.
pub(crate) fn ttls(message: &[u8]) -> Vec<(Section, Type, u32)> {
    Records::of(message)
        .unwrap()
        .map(|record| record.unwrap())
        .map(|record| (record.section, record.rtype, record.ttl))
        .collect()
}

/// The question's name, in its letters.
pub(crate) fn asked(message: &[u8]) -> String {
    Name::read(&message[12..]).unwrap().to_string()
}
