//! An entry point for fuzzing: any octets in, a panic only if a promise is broken.

use std::path::Path;

use super::{Limits, Zone};
use crate::message::{Class, Header, Name, NameBuf, Question, Records, Type, Writer};

/// Reads `data` as the master file of two zones, `example.` and the root. Those that load are transferred, and asked
/// for each name and type that they have, and for names below.
///
/// # Panics
/// If a record lies outside the zone, a transfer has not each record, or an answer cannot be read.
pub fn fuzz_zone(data: &[u8]) {
    let limits = Limits { file_octets: 1 << 20 };
    for apex in [&b"\x07example\x00"[..], b"\x00"] {
        let Ok(zone) = Zone::parse(Name::kept(apex), Path::new("fuzz"), data, limits) else { continue };
        let mut records = 0;
        for record in zone.transfer() {
            assert!(record.owner.is_within(zone.apex()));
            records += 1;
            ask(&zone, record.owner, record.rtype);
            if let Some(below) = NameBuf::prepend(b"b", record.owner) {
                ask(&zone, below.as_name(), Type::A);
            }
        }
        assert_eq!(records, zone.record_count() + 1, "a transfer has each record, and the SOA twice");
    }
}

fn ask(zone: &Zone, name: Name<'_>, qtype: Type) {
    let question = Question { name, qtype, qclass: Class::IN };
    for dnssec_ok in [false, true] {
        let mut octets = Vec::new();
        let mut writer = Writer::new(&mut octets, Header::default(), 1232);
        let is_written = writer.question(name, qtype, Class::IN).is_ok();
        assert!(is_written, "a question fits");
        zone.answer(&question, dnssec_ok, &mut writer);
        writer.finish();
        let records = Records::of(&octets).map(|records| records.map(|record| record.is_ok()));
        assert!(records.is_ok_and(|mut records| records.all(|is_ok| is_ok)), "an answer that cannot be read");
    }
}
