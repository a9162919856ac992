//! Messages as sets of records, to compare.

use std::collections::BTreeSet;
use std::fmt::Write;

use afpa_dns::message::{Header, NameBuf, NameBuffer, Record, Records, Section, Type, flag};

/// A response without what does not matter: order, letter case, compression, OPT.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// AA, TC and the response code.
    pub(crate) flags: u16,
    pub(crate) sections: [BTreeSet<Line>; 3],
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Line {
    pub(crate) owner: NameBuf,
    pub(crate) rtype: Type,
    pub(crate) ttl: u32,
    pub(crate) rdata: Vec<u8>,
    /// Of a signature.
    pub(crate) covers: Option<Type>,
}

pub(crate) fn read(message: &[u8]) -> Answer {
    let header = Header::read(message).unwrap();
    let flags = header.flags & (flag::AA | flag::TC | 0xf);
    let mut sections: [BTreeSet<Line>; 3] = Default::default();
    for record in Records::of(message).unwrap() {
        let record = record.unwrap();
        if record.rtype == Type::OPT {
            continue;
        }
        let section = match record.section {
            Section::Answer => 0,
            Section::Authority => 1,
            Section::Additional => 2,
        };
        let line = line(message, &record);
        assert!(sections[section].insert(line.clone()), "twice: {line:?}");
    }
    Answer { flags, sections }
}

fn line(message: &[u8], record: &Record<'_>) -> Line {
    let mut owner = NameBuffer::default();
    owner.read(message, record.owner_at).unwrap();
    let rdata = expanded(message, record);
    let covers = (record.rtype == Type::RRSIG).then(|| Type(u16::from_be_bytes([rdata[0], rdata[1]])));
    Line { owner: owner.as_name().to_lowercase(), rtype: record.rtype, ttl: record.ttl, rdata, covers }
}

/// The data with names that are not compressed, in lower case.
fn expanded(message: &[u8], record: &Record<'_>) -> Vec<u8> {
    let (before, names) = match record.rtype {
        Type::NS | Type::CNAME | Type::PTR | Type::DNAME => (0, 1),
        Type::MX => (2, 1),
        Type::SRV => (6, 1),
        Type::SOA => (0, 2),
        _ => return record.rdata.to_vec(),
    };
    let (mut at, end) = (record.rdata_at + before, record.rdata_at + record.rdata.len());
    let mut rdata = record.rdata[..before].to_vec();
    let mut name = NameBuffer::default();
    for _ in 0..names {
        at = name.read(message, at).unwrap();
        name.as_name().write_lowercase(&mut rdata);
    }
    rdata.extend_from_slice(&message[at..end]);
    rdata
}

pub(crate) fn show(answer: &Answer) -> String {
    let mut text = format!("  flags {:04x}\n", answer.flags);
    for (section, lines) in ["answer", "authority", "additional"].into_iter().zip(&answer.sections) {
        for line in lines {
            let covers = line.covers.map(|covers| format!(" of {covers}")).unwrap_or_default();
            let data: String =
                line.rdata.iter().take(40).map(|octet| char::from(*octet).escape_default().to_string()).collect();
            writeln!(text, "  {section}: {} {} {}{covers} {data}", line.owner, line.ttl, line.rtype).unwrap();
        }
    }
    text
}
