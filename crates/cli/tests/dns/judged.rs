//! The whole server against NSD and Knot DNS: the same zones, the same questions, over UDP and TCP.
//!
//! `crates/dns/tests/zone_against_nsd.rs` compares every answer of the logic, additional records included; here a sample
//! goes over the wire, and a second judge is asked. Both judges keep to their own taste in additional records and in the
//! order of everything.

use std::collections::BTreeSet;

use afpa_dns::message::{NameBuf, Type, flag};
use afpa_dns::zone::{Limits, Zone};

use crate::client::{Client, Edns};
use crate::programs::{Daemon, are_installed};
use crate::server::Server;
use crate::zone_support::generate::{self, Random, Signing, ZoneFile};
use crate::zone_support::message::{Answer, Line, read, show};

/// Questions about each zone, over each carrier.
const QUESTIONS: usize = 500;

const TYPES: [Type; 14] = [
    Type::A,
    Type::AAAA,
    Type::NS,
    Type::SOA,
    Type::CNAME,
    Type::DNAME,
    Type::MX,
    Type::TXT,
    Type::SRV,
    Type::DS,
    Type::DNSKEY,
    Type::NSEC,
    Type::NSEC3PARAM,
    Type(65280),
];

#[test]
fn answers_are_those_of_nsd() {
    if are_installed(&["nsd", "ldns-keygen", "ldns-signzone"]) {
        compare("auto", Daemon::nsd, |_, _, _| false);
    }
}

#[test]
fn answers_are_those_of_knot() {
    if are_installed(&["knotd", "ldns-keygen", "ldns-signzone"]) {
        compare("epoll", Daemon::knot, is_of_knot);
    }
}

/// What Knot DNS does differently: it follows five aliases; it takes a question for NSEC to be about the alias itself, even
/// in a zone without such records, and does not prove that one was made from a wildcard; and it leaves out an SOA record
/// that does not fit without a word.
fn is_of_knot(qtype: Type, ours: &Answer, theirs: &Answer) -> bool {
    let aliases = ours.sections[0].iter().filter(|line| line.rtype == Type::CNAME).count();
    let says_nothing_more = theirs.sections[1].is_empty();
    let is_answered = !theirs.sections[0].is_empty();
    aliases > 5
        || qtype == Type::NSEC && (aliases > 0 || is_answered && says_nothing_more)
        || ours.flags & flag::TC != 0 && says_nothing_more
}

fn compare(io: &str, start: impl FnOnce(&[ZoneFile]) -> Daemon, is_known: impl Fn(Type, &Answer, &Answer) -> bool) {
    let directory = tempfile::tempdir().unwrap();
    let signings = [Signing::None, Signing::Nsec, Signing::Nsec3, Signing::OptOut];
    let zones: Vec<_> = (11..).zip(signings).map(|(seed, way)| generate::zone(directory.path(), way, seed)).collect();
    // How data of all types are written down is compared elsewhere, and Knot DNS does not read all of that.
    let text = std::fs::read_to_string(&zones[0].path).unwrap();
    let plain = text.lines().filter(|line| !line.starts_with("data") && !line.starts_with(')'));
    std::fs::write(&zones[0].path, plain.collect::<Vec<_>>().join("\n") + "\n").unwrap();
    let judge = start(&zones);
    let arguments: Vec<_> = zones.iter().map(|zone| format!("{}={}", zone.apex, zone.path.display())).collect();
    let flags: Vec<_> = arguments.iter().flat_map(|zone| ["--zone", zone]).chain(["--io", io]).collect();
    let server = Server::dns(&flags);
    let (mut ours, mut theirs) = (Client::to(server.address), Client::to(judge.address));
    let mut random = Random::new(3);
    let (mut asked, mut differences) = (0, Vec::new());
    for file in &zones {
        let zone = Zone::load(file.apex.as_name(), &file.path, Limits::default()).unwrap();
        let names: Vec<_> = generate::questions(&zone).into_iter().collect();
        for _ in 0..QUESTIONS {
            let name = &names[random.below(names.len())];
            let qtype = TYPES[random.below(TYPES.len())];
            let sizes = [512, 1232, 1232, 1232];
            let udp_size = sizes[random.below(sizes.len())];
            let edns = [None, Some(false), Some(true), Some(true)][random.below(4)];
            let edns = edns.map(|dnssec_ok| Edns { udp_size, dnssec_ok });
            for ask in [Client::udp, Client::tcp] {
                asked += 1;
                let (our, their) = (ask(&mut ours, name, qtype, edns), ask(&mut theirs, name, qtype, edns));
                let (our, their) = (read(&our), read(&their));
                if let Some(what) = difference(name, &our, &their).filter(|_| !is_known(qtype, &our, &their)) {
                    let (our, their) = (show(&our), show(&their));
                    differences.push(format!("{name} {qtype} {edns:?}: {what}\nours:\n{our}theirs:\n{their}"));
                }
            }
        }
    }
    differences.iter().take(10).for_each(|difference| println!("{difference}"));
    assert!(differences.is_empty(), "{} of {asked} answers differ", differences.len());
}

/// What differs, choices aside.
fn difference(name: &NameBuf, ours: &Answer, theirs: &Answer) -> Option<&'static str> {
    let has = |rtype| ours.sections[0].iter().any(|line| line.rtype == rtype);
    let may_prove_otherwise = name.as_name().is_wildcard() || has(Type::DNAME);
    let are_truncated = [ours, theirs].map(|answer| answer.flags & flag::TC != 0);
    // What ends in the middle of a chain may say how that goes on, or not.
    let compared = if are_truncated == [true; 2] { flag::AA } else { !flag::TC };
    if (ours.flags ^ theirs.flags) & compared != 0 {
        return Some("flags or response code");
    }
    match are_truncated {
        [false, false] => {}
        // Of a truncated answer nothing has to be there (RFC 2181 §9). Who sends less truncates less.
        [_, true] => return None,
        [true, false] => return (!may_prove_otherwise).then_some("only ours is truncated"),
    }
    if ours.sections[0] != theirs.sections[0] {
        return Some("answer");
    }
    let is_referral = ours.flags & flag::AA == 0;
    let is_denial = |line: &Line| matches!(line.covers.unwrap_or(line.rtype), Type::NSEC | Type::NSEC3);
    let [mine, other] = [&ours.sections[1], &theirs.sections[1]].map(|lines| authority(lines, is_referral));
    if mine != other && !(may_prove_otherwise && mine.symmetric_difference(&other).all(is_denial)) {
        return Some("authority");
    }
    // Addresses below the delegation have to be there; others are a courtesy.
    let delegation = ours.sections[1].iter().find(|line| is_referral && line.rtype == Type::NS);
    delegation.and_then(|delegation| {
        let is_glue = |line: &&Line| line.owner.as_name().is_within(delegation.owner.as_name());
        let glue = |answer: &Answer| answer.sections[2].iter().filter(is_glue).cloned().collect::<Vec<_>>();
        (glue(ours) != glue(theirs)).then_some("glue")
    })
}

/// Without the zone's own NS records, which some add to what they answer (RFC 1034 §4.3.2 does not ask for them).
fn authority(lines: &BTreeSet<Line>, is_referral: bool) -> BTreeSet<Line> {
    let is_of_ns = |line: &Line| line.covers.unwrap_or(line.rtype) == Type::NS;
    lines.iter().filter(|line| is_referral || !is_of_ns(line)).cloned().collect()
}
