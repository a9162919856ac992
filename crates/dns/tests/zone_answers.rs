//! What is answered from a zone, clause by clause.

use std::path::Path;
use std::sync::Arc;

use afpa_dns::message::{Class, Header, NameBuf, NameBuffer, Question, Records, Section, Type, Writer, flag};
use afpa_dns::zone::{Limits, Reason, Zone, Zones};
use afpa_platform::testing::CountingAllocator;
use proptest::prelude::*;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const ZONE: &str = "\
$TTL 3600
@        SOA    ns.example. host.example. 17 7200 3600 86400 600
@        NS     ns
@        NS     ns.other.
@        MX     10 mail
ns       A      192.0.2.1
mail     A      192.0.2.2
mail     AAAA   2001:db8::2
www      60 A   192.0.2.3
alias    CNAME  www
far      CNAME  www.other.
dead     CNAME  nothing
l1       CNAME  l2
l2       CNAME  l1
a.b.c    A      192.0.2.4
*.w      A      192.0.2.5
*.w      MX     10 mail
host.w   TXT    here
x.ent.w  A      192.0.2.6
*.wa     CNAME  www
sub      NS     ns.sub
sub      NS     mail
sub      DS     1 8 2 00
ns.sub   A      192.0.2.7
s.ns.sub A      192.0.2.8
viasub   CNAME  www.sub
d        DNAME  target
t.target A      192.0.2.9
d2       DNAME  other.
_s._tcp  SRV    1 1 1 mail
_s._tcp  SRV    2 2 2 mail
svc      HTTPS  1 . alpn=h2
svc      A      192.0.2.10
";

fn name(text: &str) -> NameBuf {
    text.parse().unwrap()
}

fn zone(apex: &str, text: &str) -> Zone {
    Zone::parse(name(apex).as_name(), Path::new("zone"), text.as_bytes(), Limits::default()).unwrap()
}

fn ask(zone: &Zone, qname: &str, qtype: Type, limit: usize) -> String {
    let (qname, mut octets) = (name(qname), Vec::new());
    let mut writer = Writer::new(&mut octets, Header { flags: flag::QR, ..Header::default() }, limit);
    writer.question(qname.as_name(), qtype, Class::IN).unwrap();
    let question = Question { name: qname.as_name(), qtype, qclass: Class::IN };
    let answered = zone.answer(&question, false, &mut writer);
    writer.finish();
    let header = Header::read(&octets).unwrap();
    assert_eq!(header.rcode(), answered.rcode);
    assert_eq!(header.has(flag::AA), answered.authoritative);
    assert_eq!(header.has(flag::TC), answered.truncated);
    shown(&octets)
}

/// Code, flags, and of each section the owners, TTLs (but for 3600) and types.
fn shown(octets: &[u8]) -> String {
    let header = Header::read(octets).unwrap();
    let flags =
        [(flag::AA, " AA"), (flag::TC, " TC")].map(|(bit, text)| if header.has(bit) { text } else { "" }).concat();
    let mut sections = [const { Vec::new() }; 3];
    let mut owner = NameBuffer::default();
    for record in Records::of(octets).unwrap() {
        let record = record.unwrap();
        owner.read(octets, record.owner_at).unwrap();
        let place =
            [Section::Answer, Section::Authority, Section::Additional].iter().position(|s| *s == record.section);
        let owner = owner.as_name().to_string();
        let owner = if owner == "example." { "@" } else { owner.strip_suffix(".example.").unwrap_or(&owner) };
        let ttl = if record.ttl == 3600 { String::new() } else { format!("{} ", record.ttl) };
        sections[place.unwrap()].push(format!("{owner} {ttl}{}", record.rtype));
    }
    let sections = sections.map(|section| section.join(", "));
    let text = format!("{}{flags} | {}", header.rcode(), sections.join(" | "));
    text.trim_end_matches([' ', '|']).to_owned()
}

#[test]
fn questions_are_answered_as_rfc_1034_and_its_successors_say() {
    let zone = zone("example", ZONE);
    let soa = "@ 600 SOA";
    let referral = "| sub NS, sub NS \
                    | ns.sub A, mail A, mail AAAA";
    let cases: &[(&str, &str, Type, String)] = &[
        ("RFC 1034 §4.3.2 step 3a", "www.example", Type::A, "NOERROR AA | www 60 A".into()),
        ("RFC 4343 §4.1: in the question's letters", "wWw.EXAMPLE", Type::A, "NOERROR AA | wWw.EXAMPLE. 60 A".into()),
        ("RFC 2308 §2.2, §3: NODATA", "www.example", Type::TXT, format!("NOERROR AA |  | {soa}")),
        ("RFC 2308 §2.1: NXDOMAIN", "no.example", Type::A, format!("NXDOMAIN AA |  | {soa}")),
        ("RFC 8020 §2: below what exists", "no.www.example", Type::A, format!("NXDOMAIN AA |  | {soa}")),
        ("RFC 8020 §3.1: an empty non-terminal", "b.c.example", Type::A, format!("NOERROR AA |  | {soa}")),
        ("an alias", "alias.example", Type::A, "NOERROR AA | alias CNAME, www 60 A".into()),
        ("RFC 1034 §3.6.2: the alias itself", "alias.example", Type::CNAME, "NOERROR AA | alias CNAME".into()),
        ("an alias of a name elsewhere", "far.example", Type::A, "NOERROR AA | far CNAME".into()),
        ("RFC 6604 §3: an alias of nothing", "dead.example", Type::A, format!("NXDOMAIN AA | dead CNAME | {soa}")),
        (
            "RFC 2308 §2.2: an alias without the type",
            "alias.example",
            Type::TXT,
            format!("NOERROR AA | alias CNAME | {soa}"),
        ),
        ("a loop ends", "l1.example", Type::A, "NOERROR AA | l1 CNAME, l2 CNAME".into()),
        ("RFC 4592 §2.2.1: a wildcard", "any.w.example", Type::A, "NOERROR AA | any.w A".into()),
        ("of several labels", "a.b.w.example", Type::A, "NOERROR AA | a.b.w A".into()),
        ("without the type", "any.w.example", Type::TXT, format!("NOERROR AA |  | {soa}")),
        ("not for a name that exists", "host.w.example", Type::A, format!("NOERROR AA |  | {soa}")),
        ("nor below it", "x.host.w.example", Type::A, format!("NXDOMAIN AA |  | {soa}")),
        ("RFC 4592 §2.2.2: nor for an empty non-terminal", "ent.w.example", Type::A, format!("NOERROR AA |  | {soa}")),
        ("RFC 4592 §2.2.1: the asterisk itself", "*.w.example", Type::A, "NOERROR AA | *.w A".into()),
        ("RFC 4592 §2.2.1: and below it", "x.*.w.example", Type::A, format!("NXDOMAIN AA |  | {soa}")),
        (
            "RFC 1034 §4.3.2 step 3c: a wildcard's alias",
            "q.wa.example",
            Type::A,
            "NOERROR AA | q.wa CNAME, www 60 A".into(),
        ),
        ("RFC 1034 §4.3.2 step 3b: below a cut", "www.sub.example", Type::A, format!("NOERROR |  {referral}")),
        ("at a cut", "sub.example", Type::NS, format!("NOERROR |  {referral}")),
        ("glue is not an answer", "ns.sub.example", Type::A, format!("NOERROR |  {referral}")),
        ("nor what is below it", "s.ns.sub.example", Type::A, format!("NOERROR |  {referral}")),
        ("RFC 4035 §3.1.4.1: DS is the parent's", "sub.example", Type::DS, "NOERROR AA | sub DS".into()),
        ("but not below", "www.sub.example", Type::DS, format!("NOERROR |  {referral}")),
        ("an alias into a delegated zone", "viasub.example", Type::A, format!("NOERROR AA | viasub CNAME {referral}")),
        ("RFC 6672 §3.1", "t.d.example", Type::A, "NOERROR AA | d DNAME, t.d CNAME, t.target A".into()),
        ("RFC 6672 §2.3: not for its owner", "d.example", Type::A, format!("NOERROR AA |  | {soa}")),
        ("to elsewhere", "t.d2.example", Type::A, "NOERROR AA | d2 DNAME, t.d2 CNAME".into()),
        ("RFC 6672 §3.2: CNAME is what it makes", "t.d.example", Type::CNAME, "NOERROR AA | d DNAME, t.d CNAME".into()),
        ("RFC 8482 §4.1: the smallest RRset", "mail.example", Type::ANY, "NOERROR AA | mail A".into()),
        ("also of a wildcard", "any.w.example", Type::ANY, "NOERROR AA | any.w A".into()),
        ("ANY of an empty non-terminal", "b.c.example", Type::ANY, format!("NOERROR AA |  | {soa}")),
        (
            "RFC 1035 §3.3.9: addresses of mail exchanges",
            "example",
            Type::MX,
            "NOERROR AA | @ MX |  | mail A, mail AAAA".into(),
        ),
        (
            "RFC 2782: once each",
            "_s._tcp.example",
            Type::SRV,
            "NOERROR AA | _s._tcp SRV, _s._tcp SRV |  | mail A, mail AAAA".into(),
        ),
        ("RFC 9460 §2.5.2: the owner itself", "svc.example", Type::HTTPS, "NOERROR AA | svc HTTPS |  | svc A".into()),
        ("addresses of name servers", "example", Type::NS, "NOERROR AA | @ NS, @ NS |  | ns A".into()),
    ];
    for (clause, qname, qtype, expected) in cases {
        assert_eq!(&ask(&zone, qname, *qtype, 1232), expected, "{clause}: {qname} {qtype}");
    }
}

#[test]
fn a_name_that_a_dname_makes_too_long_is_an_error() {
    // RFC 6672 §2.2.
    let label = "l".repeat(60);
    let zone = zone("example", &format!("{ZONE}long DNAME {label}.{label}.{label}.example.\n"));
    let found = ask(&zone, &format!("{label}.{label}.long.example"), Type::A, 1232);
    assert_eq!(found, "YXDOMAIN AA | long DNAME");
}

#[test]
fn nsec3_records_are_no_names_and_may_be_below_a_dname() {
    // RFC 5155 §7.2.8, RFC 6672 §2.4.
    let start = "@ 3600 SOA ns.other. host 1 2 3 4 600\n@ NS ns.other.\n@ DNAME other.\n@ NSEC3PARAM 1 0 0 -\n";
    let hash = "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom";
    let zone = zone("example", &format!("{start}{hash} NSEC3 1 0 0 - {hash} NS SOA DNAME\n"));
    assert!(zone.is_signed());
    assert_eq!((zone.name_count(), zone.record_count()), (1, 5));
    assert_eq!(ask(&zone, "a.example", Type::A, 1232), "NOERROR AA | @ DNAME, a CNAME");
    let renamed = ask(&zone, &format!("{hash}.example"), Type::NSEC3, 1232);
    assert_eq!(renamed, format!("NOERROR AA | @ DNAME, {hash} CNAME"));
}

#[test]
fn nsec3_records_that_are_not_where_they_should_be_deny_nothing() {
    let apex = "a".repeat(32);
    let hash = "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom";
    for owner in ["@", "b", "b.c", "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"] {
        let start = "@ 3600 SOA ns.other. host 1 2 3 4 600\n@ NS ns.other.\n@ NSEC3PARAM 1 0 0 -\n";
        let zone = zone(&apex, &format!("{start}{owner} NSEC3 1 0 0 - {hash} NS\n"));
        for dnssec_ok in [false, true] {
            let (qname, mut octets) = (name(&format!("x.{apex}")), Vec::new());
            let mut writer = Writer::new(&mut octets, Header::default(), 1232);
            let question = Question { name: qname.as_name(), qtype: Type::A, qclass: Class::IN };
            zone.answer(&question, dnssec_ok, &mut writer);
            writer.finish();
            assert!(shown(&octets).starts_with("NXDOMAIN AA"), "{owner}");
        }
    }
}

#[test]
fn a_chain_of_aliases_has_an_end() {
    let aliases: String = (0..100).map(|i| format!("c{i} CNAME c{}\n", i + 1)).collect();
    let zone = zone("example", &format!("{ZONE}{aliases}"));
    let found = ask(&zone, "c0.example", Type::A, 65535);
    assert!(found.starts_with("NOERROR AA | c0 CNAME") && found.matches("CNAME").count() <= 17, "{found}");
}

#[test]
fn a_loop_of_aliases_ends_where_it_comes_back() {
    let zone =
        zone("example", &format!("{ZONE}*.r CNAME a.r\nr1 DNAME r2\nr2 DNAME r1\n*.p CNAME q.s\n*.s CNAME q.p\n"));
    for (qname, owners) in [
        ("x.r.example", "x.r CNAME, a.r CNAME"),
        ("x.r1.example", "r1 DNAME, x.r1 CNAME, r2 DNAME, x.r2 CNAME"),
        ("x.p.example", "x.p CNAME, q.s CNAME, q.p CNAME"),
    ] {
        assert_eq!(ask(&zone, qname, Type::A, 1232), format!("NOERROR AA | {owners}"));
    }
}

#[test]
fn what_does_not_fit_is_left_out_whole_and_tc_says_so_if_it_is_needed() {
    // RFC 2181 §9, RFC 9471 §3.
    let texts: String = (0..5).map(|i| format!("many TXT {i}{}\n", "x".repeat(100))).collect();
    let mut servers = String::new();
    for server in 0..20 {
        servers +=
            &format!("child NS a-rather-long-name-{server}.child\na-rather-long-name-{server}.child A 192.0.2.1\n");
    }
    let siblings: String = (0..12).map(|i| format!("kid NS s{i}.kin\ns{i}.kin AAAA 2001:db8::{i}\n")).collect();
    let mx = "big MX 1 mail\nbig MX 2 mail2\nmail2 AAAA 2001:db8::3\n";
    let zone = zone("example", &format!("{ZONE}{texts}{servers}{siblings}{mx}"));
    assert_eq!(ask(&zone, "many.example", Type::TXT, 512), "NOERROR AA TC");
    assert!(ask(&zone, "many.example", Type::TXT, 1232).starts_with("NOERROR AA | many TXT,"));
    let glue = ask(&zone, "x.child.example", Type::A, 1000);
    assert!(glue.starts_with("NOERROR TC |  | child NS"), "{glue}");
    let optional = ask(&zone, "x.kid.example", Type::A, 512);
    assert!(optional.starts_with("NOERROR |  | kid NS"), "siblings' addresses only help: {optional}");
    let full = "NOERROR AA | big MX, big MX";
    assert_eq!(ask(&zone, "big.example", Type::MX, 72), full);
    assert_eq!(ask(&zone, "big.example", Type::MX, 88), format!("{full} |  | mail A"));
}

#[test]
fn a_transfer_starts_and_ends_with_the_soa_and_has_the_rest_once() {
    // RFC 5936 §2.2.
    let zone = zone("example", ZONE);
    let records: Vec<_> = zone.transfer().collect();
    assert_eq!(records.first(), records.last());
    assert_eq!(records[0].rtype, Type::SOA);
    assert_eq!(records.len(), zone.record_count() + 1);
    assert_eq!(records.len(), ZONE.lines().count());
    assert_eq!(records.iter().filter(|record| record.rtype == Type::SOA).count(), 2);
    assert_eq!(zone.serial(), 17);
    let mut position = zone.transfer().position();
    for record in &records {
        let mut rest = zone.transfer_from(position);
        assert_eq!(rest.next().as_ref(), Some(record), "a transfer goes on where it stopped");
        position = rest.position();
    }
    assert_eq!(zone.transfer_from(position).next(), None);
}

#[test]
fn a_zone_written_from_a_transfer_is_the_same_zone() {
    let first = zone("example", ZONE);
    let lines = first.transfer().skip(1).map(|record| {
        let hex: String = record.rdata.iter().map(|octet| format!("{octet:02x}")).collect();
        format!("{} {} TYPE{} \\# {} {hex}\n", record.owner, record.ttl, record.rtype.0, record.rdata.len())
    });
    let second = zone("example", &lines.collect::<String>());
    assert!(first.transfer().eq(second.transfer()));
}

#[test]
fn the_closest_zone_answers_and_ds_is_asked_of_the_one_above() {
    let start = "@ 1 SOA ns. host. 1 2 3 4 5\n@ 1 NS ns.\n";
    let few = vec!["example", "sub.example", "a.b.c.org"];
    // More of them are found by their hashes.
    let many = few.iter().copied().chain(["net", "com", "x.com", "y.com"]).collect();
    for apexes in [few, many] {
        the_closest_answers(&Zones::new(apexes.into_iter().map(|apex: &str| Arc::new(zone(apex, start)))));
    }
    let with_root = Zones::new([Arc::new(zone(".", start))]);
    assert!(with_root.find(name("any.thing").as_name()).is_some());
    assert!(Zones::default().find(name(".").as_name()).is_none());
}

fn the_closest_answers(zones: &Zones) {
    for (qname, apex) in [
        ("example", Some("example.")),
        ("WWW.Example", Some("example.")),
        ("sub.example", Some("sub.example.")),
        ("x.y.z.sub.example", Some("sub.example.")),
        ("xsub.example", Some("example.")),
        ("b.c.org", None),
        ("x.a.b.c.org", Some("a.b.c.org.")),
        ("org", None),
        (".", None),
    ] {
        let found = zones.find(name(qname).as_name()).map(|zone| zone.apex().to_string());
        assert_eq!(found.as_deref(), apex, "{qname}");
    }
    // RFC 4035 §3.1.4.1.
    for (qname, apex) in [("sub.example", "example."), ("example", "example."), ("x.sub.example", "sub.example.")] {
        let qname = name(qname);
        let question = Question { name: qname.as_name(), qtype: Type::DS, qclass: Class::IN };
        assert_eq!(zones.answering(&question).unwrap().apex().to_string(), apex, "{qname}");
    }
}

#[test]
fn an_answer_allocates_nothing() {
    let start = "@ 1 SOA ns. host. 1 2 3 4 5\n@ 1 NS ns.\n";
    let zones = Zones::new([Arc::new(zone("example", ZONE)), Arc::new(zone("org", start))]);
    let names =
        ["www.example", "no.example", "any.w.example", "x.sub.example", "t.d.example", "alias.example"].map(name);
    let mut octets = Vec::with_capacity(4096);
    for dnssec_ok in [false, true] {
        for qname in &names {
            for qtype in [Type::A, Type::TXT, Type::ANY, Type::DS] {
                let before = CountingAllocator::allocations();
                let question = Question { name: qname.as_name(), qtype, qclass: Class::IN };
                let mut writer = Writer::new(&mut octets, Header::default(), 1232);
                writer.question(question.name, qtype, Class::IN).unwrap();
                zones.answering(&question).unwrap().answer(&question, dnssec_ok, &mut writer);
                writer.finish();
                assert_eq!(CountingAllocator::allocations(), before, "{qname} {qtype}");
            }
        }
    }
}

/// Lines that look like those of master files.
const LINES: &str = "(([a-c@*$]{0,2}|[ \t]) ?([0-9]{1,3} )?(IN )?\
    (A|NS|SOA|TXT|MX|CNAME|DNAME|NSEC3|TYPE1|\\$TTL) [ -~]{0,30}\n){0,8}";

fn label() -> impl Strategy<Value = String> {
    prop_oneof![Just("*".to_owned()), "[a-c]{1,2}", Just("\\000".to_owned()), Just("Z\\.z".to_owned())]
}

fn owners() -> impl Strategy<Value = Vec<(String, u8)>> {
    let owner = prop::collection::vec(label(), 1..4).prop_map(|labels| labels.join("."));
    prop::collection::vec((owner, 0u8..4), 0..40)
}

proptest! {
    /// Whatever a zone has is answered exactly: all records of the RRset and no other.
    #[test]
    fn each_rrset_is_answered_exactly(owners in owners()) {
        let mut text = "@ 60 SOA ns host 1 2 3 4 5\n@ NS ns.other.\n".to_owned();
        for (index, (owner, kind)) in owners.iter().enumerate() {
            let data = ["A 192.0.2.", "AAAA 2001:db8::", "TXT ", "MX 1 m"][usize::from(*kind)];
            text += &format!("{owner} {data}{}\n", index % 200);
        }
        let zone = zone("example", &text);
        let records: Vec<_> = zone.transfer().skip(1).collect();
        for record in &records {
            let mut octets = Vec::new();
            let mut writer = Writer::new(&mut octets, Header::default(), 65535);
            writer.question(record.owner, record.rtype, Class::IN).unwrap();
            let question = Question { name: record.owner, qtype: record.rtype, qclass: Class::IN };
            zone.answer(&question, false, &mut writer);
            writer.finish();
            let set = records.iter().filter(|other| (other.owner, other.rtype) == (record.owner, record.rtype));
            prop_assert_eq!(usize::from(Header::read(&octets).unwrap().counts[1]), set.count());
            let mut answers = Records::of(&octets).unwrap().map(|answer| answer.unwrap());
            prop_assert!(answers.all(|answer| answer.section > Section::Answer || answer.rtype == record.rtype));
        }
    }

    /// Any text is a zone or an error of one of its lines.
    #[test]
    fn any_text_is_a_zone_or_an_error(text in LINES) {
        afpa_dns::zone::fuzz_zone(text.as_bytes());
        let text = format!("@ 60 SOA ns host 1 2 3 4 5\n@ NS ns\n{text}");
        afpa_dns::zone::fuzz_zone(text.as_bytes());
        let apex = name("example");
        if let Err(error) = Zone::parse(apex.as_name(), Path::new("f"), text.as_bytes(), Limits::default()) {
            let lines = text.lines().count() as u32;
            let is_of_all = matches!(error.reason, Reason::NoNs | Reason::NoSoa);
            prop_assert!(error.line <= lines && (error.line > 0 || is_of_all));
        }
    }
}
