//! Messages for tests.

use std::path::Path;
use std::time::Duration;

use afpa_dns::cache::{Policy, Prepared};
use afpa_dns::message::{Class, Header, NameBuf, Rcode, Section, Type, Writer, flag};
use afpa_dns::zone::{Limits, Zone};
use afpa_engine::Time;

/// A record: section, owner, type, TTL, data.
pub(crate) type Entry = (Section, String, Type, u32, Vec<u8>);

pub(crate) fn name(text: &str) -> NameBuf {
    text.parse().unwrap()
}

/// What a backend answers.
pub(crate) fn answer(rcode: Rcode, question: (&str, Type), records: &[Entry]) -> Vec<u8> {
    let mut octets = Vec::new();
    let flags = flag::QR | flag::RD | flag::RA | flag::AD | rcode.0;
    let mut writer = Writer::new(&mut octets, Header { id: 7, flags, counts: [0; 4] }, 65535);
    writer.question(name(question.0).as_name(), question.1, Class::IN).unwrap();
    for (section, owner, rtype, ttl, data) in records {
        writer.record(*section, name(owner).as_name(), *rtype, Class::IN, *ttl, data).unwrap();
    }
    writer.finish();
    octets
}

/// An address of `www.example.` for 300 s.
pub(crate) fn address() -> Vec<u8> {
    let record = (Section::Answer, "www.example.".to_owned(), Type::A, 300, vec![192, 0, 2, 7]);
    answer(Rcode::NOERROR, ("www.example.", Type::A), &[record])
}

/// A query; with `edns`, of that UDP payload size, DO, and options.
pub(crate) fn query(flags: u16, question: (&str, Type), edns: Option<(u16, bool, &[u8])>) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut writer = Writer::new(&mut octets, Header { id: 0xabcd, flags, counts: [0; 4] }, 65535);
    writer.question(name(question.0).as_name(), question.1, Class::IN).unwrap();
    if let Some((size, dnssec, options)) = edns {
        writer.opt(size, Rcode::NOERROR, dnssec, options).unwrap();
    }
    writer.finish();
    octets
}

pub(crate) fn prepared(message: &[u8], now: Time) -> Prepared {
    let policy = Policy { stale: Duration::from_secs(1000), ..Policy::default() };
    Prepared::of(message, &policy, now).unwrap()
}

pub(crate) fn zone(apex: &str, text: &str) -> Zone {
    Zone::parse(name(apex).as_name(), Path::new("zone"), text.as_bytes(), Limits::default()).unwrap()
}
