//! The answers of a zone, compared section by section with those of NSD, to thousands of questions about zones that are
//! generated and signed.
//!
//! Differences that are choices, and are taken out before the comparison:
//!
//! - NSD adds the zone's NS records, and their addresses, to answers. RFC 1034 §4.3.2 does not ask for them; answers
//!   are smaller and cheaper without.
//! - ANY: NSD sends the first RRset of the name, we send the smallest (RFC 8482 §4.1). Compared with NSD's answer to
//!   the type that we chose.
//! - NODATA for a wildcard that is asked for by its own name, in a zone with NSEC3: NSD adds the record of the name
//!   above, as if the wildcard had been expanded. RFC 5155 §7.2.3 asks for the one that matches.
//! - A DNAME that leads to a name that does not exist, in a zone with NSEC: NSD leaves out the record that covers the
//!   name, without which nothing is proved (RFC 4035 §3.1.3.2); Knot sends it. Compared: what NSD sends is among what
//!   we send.
//! - Addresses for SVCB and HTTPS, which RFC 9460 §4.1 asks for: NSD sends none.

#[path = "../../cli/tests/free_address/mod.rs"]
mod free_address;
mod zone_support;

use std::collections::{BTreeMap, BTreeSet};

use afpa_dns::message::{Class, Header, Name, NameBuf, Question, Type, Writer, flag};
use afpa_dns::zone::{Limits, Zone};

use zone_support::generate::{self, Signing};
use zone_support::message::{Answer, Line, read, show};
use zone_support::nsd::{Nsd, TemporaryDirectory, is_installed};

/// The size of messages in which everything fits, and one in which not everything does.
const LARGE: u16 = 4096;
const SMALL: u16 = 512;
const TYPES: &[Type] = &[
    Type::A,
    Type::AAAA,
    Type::NS,
    Type::SOA,
    Type::CNAME,
    Type::DNAME,
    Type::MX,
    Type::TXT,
    Type::SRV,
    Type::KX,
    Type::AFSDB,
    Type::SVCB,
    Type::HTTPS,
    Type::DS,
    Type::DNSKEY,
    Type::NSEC,
    Type::NSEC3PARAM,
    Type::RRSIG,
    Type::ANY,
    Type(65280),
];

#[test]
fn answers_are_those_of_nsd() {
    let missing: Vec<_> =
        ["nsd", "ldns-keygen", "ldns-signzone"].into_iter().filter(|name| !is_installed(name)).collect();
    if !missing.is_empty() {
        assert!(std::env::var_os("CI").is_none(), "{missing:?} must be installed");
        eprintln!("skipped: {missing:?} is not installed");
        return;
    }
    let directory = TemporaryDirectory::new("zone-nsd");
    let signings = [Signing::None, Signing::Nsec, Signing::Nsec3, Signing::OptOut];
    let zones: Vec<_> = signings
        .into_iter()
        .enumerate()
        .map(|(seed, signing)| generate::zone(directory.path(), signing, seed as u64 + 1))
        .collect();
    let mut nsd = Nsd::start(directory.path(), &zones);
    let (mut asked, mut differences) = (0, Vec::new());
    for file in &zones {
        let zone = Zone::load(file.apex.as_name(), &file.path, Limits::default()).unwrap();
        let mut types: BTreeMap<NameBuf, BTreeSet<Type>> = BTreeMap::new();
        for record in zone.transfer() {
            types.entry(record.owner.to_owned()).or_default().insert(record.rtype);
        }
        for name in generate::questions(&zone) {
            let own = types.get(&name).into_iter().flatten();
            for &qtype in TYPES.iter().chain(own).collect::<BTreeSet<_>>() {
                for dnssec_ok in [false, true] {
                    asked += 1;
                    let ours = read(&ask(&zone, &name, qtype, dnssec_ok, LARGE));
                    let asked_instead = if qtype == Type::ANY { chosen(&ours) } else { qtype };
                    let theirs = read(&nsd.ask(&name, asked_instead, dnssec_ok, LARGE));
                    if let Some(what) = difference(&zone, &name, &ours, &theirs) {
                        let (ours, theirs) = (show(&ours), show(&theirs));
                        differences.push(format!("{name} {qtype} DO={dnssec_ok}: {what}\nours:\n{ours}NSD:\n{theirs}"));
                    }
                }
            }
            // Where we do not send the same records, or stop at the first alias that does not fit, flags differ too.
            let is_choice = name.as_name().is_wildcard() || name.as_name().labels().any(|label| label == b"dname");
            for qtype in [Type::A, Type::NS, Type::MX, Type::DS, Type::DNSKEY].into_iter().filter(|_| !is_choice) {
                asked += 1;
                let theirs = read(&nsd.ask(&name, qtype, true, SMALL));
                let ours = read(&ask(&zone, &name, qtype, true, SMALL));
                if ours.flags != theirs.flags {
                    let (ours, theirs) = (show(&ours), show(&theirs));
                    differences.push(format!("{name} {qtype} small: flags\nours:\n{ours}NSD:\n{theirs}"));
                }
            }
        }
    }
    eprintln!("{asked} questions, {} answers differ", differences.len());
    for difference in differences.iter().take(10) {
        eprintln!("{difference}");
    }
    assert!(differences.is_empty(), "{} of {asked} answers differ", differences.len());
}

fn ask(zone: &Zone, name: &NameBuf, qtype: Type, dnssec_ok: bool, size: u16) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut writer = Writer::new(&mut octets, Header { flags: flag::QR, ..Header::default() }, size.into());
    writer.question(name.as_name(), qtype, Class::IN).unwrap();
    writer.reserve(11);
    let question = Question { name: name.as_name(), qtype, qclass: Class::IN };
    zone.answer(&question, dnssec_ok, &mut writer);
    writer.finish();
    octets
}

/// What type ANY was answered with: what is no step on the way there, if there is such.
fn chosen(answer: &Answer) -> Type {
    let is_step = |rtype: &Type| matches!(*rtype, Type::CNAME | Type::DNAME | Type::RRSIG);
    let types = answer.sections[0].iter().map(|line| line.rtype);
    let steps: BTreeSet<_> = types.clone().filter(|rtype| *rtype != Type::RRSIG).collect();
    let only = steps.first().copied().filter(|_| steps.len() == 1);
    types.clone().find(|rtype| !is_step(rtype)).or(only).unwrap_or(Type::ANY)
}

/// What differs, choices aside.
fn difference(zone: &Zone, name: &NameBuf, ours: &Answer, theirs: &Answer) -> Option<&'static str> {
    let theirs = &without_choices(zone, ours, theirs);
    let is_denial = |line: &Line| matches!(line.covers.unwrap_or(line.rtype), Type::NSEC | Type::NSEC3);
    let is_same_or = |some: &BTreeSet<Line>, more: &BTreeSet<Line>, may_be_more: bool| {
        some == more || may_be_more && some.is_subset(more) && more.difference(some).all(is_denial)
    };
    let [our_authority, their_authority] = [&ours.sections[1], &theirs.sections[1]];
    let has = |rtype| ours.sections[0].iter().any(|line| line.rtype == rtype);
    let is_renamed = has(Type::DNAME) && has(Type::CNAME) && ours.flags & 0xf == 3;
    if ours.flags != theirs.flags {
        Some("flags or response code")
    } else if ours.sections[0] != theirs.sections[0] {
        Some("answer")
    } else if !is_same_or(our_authority, their_authority, name.as_name().is_wildcard())
        && !is_same_or(their_authority, our_authority, is_renamed)
    {
        Some("authority")
    } else {
        let is_service = has(Type::SVCB) || has(Type::HTTPS);
        (ours.sections[2] != theirs.sections[2] && !is_service).then_some("additional")
    }
}

fn without_choices(zone: &Zone, ours: &Answer, theirs: &Answer) -> Answer {
    let mut theirs = theirs.clone();
    let apex = zone.apex().to_owned();
    let is_of_ns = |line: &Line| line.owner == apex && (line.rtype == Type::NS || line.covers == Some(Type::NS));
    let is_answer = !theirs.sections[0].is_empty() && !ours.sections[1].iter().any(is_of_ns);
    if is_answer && theirs.sections[1].iter().any(is_of_ns) {
        theirs.sections[1].retain(|line| !is_of_ns(line));
        let servers: BTreeSet<_> = zone
            .transfer()
            .filter(|record| record.rtype == Type::NS && record.owner == zone.apex())
            .map(|record| Name::read(record.rdata).unwrap().to_lowercase())
            .collect();
        let ours = &ours.sections[2];
        theirs.sections[2].retain(|line| ours.contains(line) || !servers.contains(&line.owner));
    }
    theirs
}
