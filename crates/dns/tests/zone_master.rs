//! Master files: what is read, and what each error says.

use std::path::Path;

use afpa_dns::message::{Class, Name, NameBuf, NameParseError, Type};
use afpa_dns::zone::{Limits, Reason, Zone, ZoneError};

const START: &str = "$TTL 1h\n@ SOA ns host 1 2 3 4 5\n@ NS ns\n";

fn parse(text: &str) -> Result<Zone, ZoneError> {
    let apex: NameBuf = "example.org".parse().unwrap();
    Zone::parse(apex.as_name(), Path::new("test.zone"), text.as_bytes(), Limits::default())
}

/// The data of the records of one name and type, behind a start that is good.
fn data(text: &str, name: &str, rtype: Type) -> Vec<(u32, Vec<u8>)> {
    let zone = parse(&format!("{START}{text}")).unwrap_or_else(|error| panic!("{text}: {error}"));
    let name: NameBuf = name.parse().unwrap();
    let records = zone.transfer().filter(|record| record.owner == name.as_name() && record.rtype == rtype);
    records.map(|record| (record.ttl, record.rdata.to_vec())).collect()
}

#[test]
fn entries_inherit_what_they_leave_out() {
    // RFC 1035 §5.1.
    for (text, name, ttl) in [
        ("a 60 IN A 192.0.2.1", "a.example.org", 60),
        ("a IN 60 A 192.0.2.1", "a.example.org", 60),
        ("a A 192.0.2.1", "a.example.org", 3600),
        ("a 1h30m A 192.0.2.1", "a.example.org", 5400),
        ("a 1w2d3h4m5s A 192.0.2.1", "a.example.org", 788_645),
        ("A.Example.ORG. A 192.0.2.1", "a.example.org", 3600),
        ("a TXT x\n A 192.0.2.1", "a.example.org", 3600),
        ("a TXT x\n\t60 in a 192.0.2.1", "a.example.org", 60),
        ("$ORIGIN sub\na A 192.0.2.1", "a.sub.example.org", 3600),
        ("$ORIGIN sub.example.org.\n@ A 192.0.2.1", "sub.example.org", 3600),
        ("$TTL 7\na A 192.0.2.1", "a.example.org", 7),
        ("a ( A\n ; a comment\n 192.0.2.1 )", "a.example.org", 3600),
        ("a A 192.0.2.1;x", "a.example.org", 3600),
        ("\n \n;x\na A 192.0.2.1\r\n", "a.example.org", 3600),
        ("\\065\\. A 192.0.2.1", "a\\..example.org", 3600),
        ("a TYPE1 \\# 4 c0 000201", "a.example.org", 3600),
        ("a CLASS1 A \\# 4 C0000201", "a.example.org", 3600),
        // RFC 2181 §8: a TTL with its top bit set is zero.
        ("a 2147483648 A 192.0.2.1", "a.example.org", 0),
        ("a 2147483647 A 192.0.2.1", "a.example.org", 2_147_483_647),
    ] {
        assert_eq!(data(text, name, Type::A), [(ttl, vec![192, 0, 2, 1])], "{text}");
    }
}

#[test]
fn without_a_default_the_last_ttl_holds_and_before_it_the_soas_minimum() {
    for (text, ttl) in [
        ("@ SOA ns host 1 2 3 4 5\n@ NS ns\na A 192.0.2.1", 5),
        ("@ 77 SOA ns host 1 2 3 4 5\n@ NS ns\na A 192.0.2.1", 77),
        ("@ 77 SOA ns host 1 2 3 4 5\n@ 78 NS ns\na A 192.0.2.1", 78),
    ] {
        let zone = parse(text).unwrap();
        let record = zone.transfer().find(|record| record.rtype == Type::A).unwrap();
        assert_eq!(record.ttl, ttl, "{text}");
    }
}

#[test]
fn data_of_every_type_are_read() {
    let hex = |text: &str| -> Vec<u8> {
        let digits: Vec<_> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
        digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
    };
    let cases: &[(Type, &str, &str)] = &[
        (Type::A, "192.0.2.255", "c00002ff"),
        (Type::AAAA, "2001:db8::1", "20010db8 00000000 00000000 00000001"),
        (Type::CNAME, "b.c.", "01620163 00"),
        (Type::PTR, ".", "00"),
        (Type::MX, "10 m.", "000a 016d00"),
        (Type::TXT, "a \"b c\" \"\" \"\\\"\\009;\"", "0161 03622063 00 0322093b"),
        (Type::TXT, "a\"b\"", "0161 0162"),
        (Type::HINFO, "a b", "0161 0162"),
        (Type::RP, "a. b.", "016100 016200"),
        (Type::AFSDB, "1 a.", "0001 016100"),
        (Type::KX, "1 a.", "0001 016100"),
        (Type::SRV, "1 2 3 a.", "0001 0002 0003 016100"),
        (Type::NAPTR, "1 2 S \"x\" \"!a!b!\" .", "0001 0002 0153 0178 0521612162 21 00"),
        (Type::CERT, "PKIX 1 RSASHA256 AQID", "0001 0001 08 010203"),
        (Type::CERT, "65534 1 0 AQ==", "fffe 0001 00 01"),
        (Type::DNAME, "a.", "016100"),
        (Type::DS, "60485 5 1 2BB1 83AF", "ec45 05 01 2bb183af"),
        (Type::CDS, "0 0 0 00", "0000 00 00 00"),
        (Type::SSHFP, "4 2 00ff", "04 02 00ff"),
        (
            Type::RRSIG,
            "A 5 3 86400 20030322173103 20030220173103 2642 example. oJB1",
            "0001 05 03 00015180 3e7c9dd7 3e5510d7 0a52 07 6578616d706c65 00 a09075",
        ),
        (
            Type::NSEC,
            "host. A MX RRSIG NSEC TYPE1234",
            "04686f737400 0006 400100000003 041b 0000000000000000000000000000000000000000000000000000 20",
        ),
        (Type::DNSKEY, "256 3 ECDSAP256SHA256 AQ ID", "0100 03 0d 010203"),
        (Type::CDNSKEY, "0 3 0 AA==", "0000 03 00 00"),
        (Type::DHCID, "AAIB", "000201"),
        (
            Type::NSEC3,
            "1 1 12 aabbccdd 2vptu5timamqttgl4luu9kg21e0aor3s A RRSIG",
            "01 01 000c 04 aabbccdd 14 17f3df17b2b2adaef615257de4d2020b80ac6c7c 0006 400000000002",
        ),
        (Type::NSEC3PARAM, "1 0 0 -", "01 00 0000 00"),
        (Type::TLSA, "3 1 1 00ff", "03 01 01 00ff"),
        (Type::SMIMEA, "3 1 1 00ff", "03 01 01 00ff"),
        (Type::OPENPGPKEY, "AQID", "010203"),
        (Type::CSYNC, "66 3 A NS AAAA", "00000042 0003 0004 60000008"),
        (Type::ZONEMD, "1 1 1 00ff", "00000001 01 01 00ff"),
        (Type::URI, "10 1 \"ftp://x\"", "000a 0001 6674703a2f2f78"),
        (Type::CAA, "0 issue \"ca.example; a=b\"", "00 05 6973737565 63612e6578616d706c653b20613d62"),
        (
            Type::APL,
            "1:192.168.32.0/21 !1:192.168.38.0/28 2:ff00::/8",
            "0001 15 03 c0a820 0001 1c 83 c0a826 0002 08 01 ff",
        ),
        (Type::LOC, "42 21 54 N 71 06 18 W -24m 30m", "00 33 16 13 89172dd0 70be15f0 00988d20"),
        // RFC 9460 appendix D.
        (Type::SVCB, "0 foo.", "0000 03666f6f00"),
        (Type::HTTPS, "16 foo. port=53", "0010 03666f6f00 0003 0002 0035"),
        (Type::SVCB, "1 foo. key667=\"hello\\210qoo\"", "0001 03666f6f00 029b 0009 68656c6c6fd2716f6f"),
        (
            Type::SVCB,
            "16 foo. alpn=h2,h3-19 mandatory=ipv4hint,alpn ipv4hint=192.0.2.1",
            "0010 03666f6f00 0000 0004 0001 0004 0001 0009 02 6832 05 68332d3139 0004 0004 c0000201",
        ),
        (
            Type::SVCB,
            "16 foo. alpn=\"f\\\\\\\\oo\\\\,bar,h2\"",
            "0010 03666f6f00 0001 000c 08 665c6f6f2c626172 02 6832",
        ),
        (Type(65280), "\\# 3 01 0203", "010203"),
        (Type(65280), "\\# 0", ""),
    ];
    for (rtype, text, octets) in cases {
        let found = data(&format!("a {rtype} {text}"), "a.example.org", *rtype);
        assert_eq!(found.len(), 1, "{rtype} {text}");
        assert_eq!(found[0].1, hex(octets), "{rtype} {text}");
    }
}

#[test]
fn errors_say_line_and_reason() {
    let bad = |expected, found: &str| Reason::Bad { expected, found: found.into() };
    let name = |text: &str| text.parse::<NameBuf>().unwrap();
    let cases: Vec<(&str, u32, Reason)> = vec![
        ("a A 192.0.2.256", 4, bad("IPv4 address", "192.0.2.256")),
        ("a A", 4, Reason::Missing("an IPv4 address")),
        ("a A 192.0.2.1 192.0.2.2", 4, Reason::Trailing("192.0.2.2".into())),
        ("\n\na AAAA ::g", 6, bad("IPv6 address", "::g")),
        ("a MX 65536 b", 4, bad("number up to 65535", "65536")),
        ("a MX +1 b", 4, bad("number up to 65535", "+1")),
        ("a", 4, Reason::Missing("a type")),
        ("a XYZZY b", 4, Reason::UnknownType("XYZZY".into())),
        ("a WKS 192.0.2.1 6 25", 4, Reason::OnlyGeneric(Type::WKS)),
        ("a TYPE65280 x", 4, Reason::OnlyGeneric(Type(65280))),
        ("a AXFR \\# 0", 4, Reason::MetaType(Type::AXFR)),
        ("a OPT \\# 0", 4, Reason::MetaType(Type::OPT)),
        ("a CH TXT x", 4, Reason::Class(Class::CH)),
        ("a 1y A 192.0.2.1", 4, bad("time in seconds", "1y")),
        ("a 4294967296 A 192.0.2.1", 4, bad("time in seconds", "4294967296")),
        ("a TXT \"x", 4, Reason::Quotes),
        ("a (\nA\n192.0.2.1", 6, Reason::Parentheses),
        ("a A 192.0.2.1 )", 4, Reason::Parentheses),
        ("a..b A 192.0.2.1", 4, Reason::Name(NameParseError::EmptyLabel)),
        ("a\\256 A 192.0.2.1", 4, Reason::Name(NameParseError::Escape)),
        ("a NS b\\", 4, Reason::Name(NameParseError::Escape)),
        ("$GENERATE 1-2 a A 192.0.2.1", 4, Reason::Directive("$GENERATE".into())),
        ("$ORIGIN", 4, Reason::Missing("a name")),
        ("$TTL x", 4, bad("time in seconds", "x")),
        ("$INCLUDE other.zone", 4, Reason::IncludeOutside("other.zone".into())),
        ("a.example.com. A 192.0.2.1", 4, Reason::Outside(name("a.example.com"))),
        ("a A \\# 3 c00002", 4, Reason::GenericData(Type::A)),
        ("a MX \\# 3 000a 05", 4, Reason::GenericData(Type::MX)),
        ("a A \\# 4 c00002", 4, bad("number of these octets", "4")),
        ("a DS 1 1 1 0", 4, Reason::Missing("a hexadecimal digit")),
        ("a DHCID A", 4, Reason::Missing("a part of the data in base 64")),
        ("a DHCID AA=A", 4, bad("data in base 64", "AA=A")),
        ("a SVCB 1 b port=1 port=2", 4, bad("parameter that is not there already", "port=2")),
        ("a SVCB 1 b mandatory=mandatory", 4, bad("parameter", "mandatory=mandatory")),
        ("a LOC 91 N 0 E 0", 4, bad("latitude", "91")),
        ("a TXT", 4, Reason::Missing("a string")),
        // The zone as a whole.
        ("@ SOA ns host 2 2 3 4 5", 4, Reason::SecondSoa),
        ("a SOA ns host 2 2 3 4 5", 4, Reason::SoaBelowApex(name("a.example.org"))),
        // RFC 1034 §3.6.2.
        ("a CNAME b\na A 192.0.2.1", 5, Reason::CnameAndOther(name("a.example.org"))),
        ("a A 192.0.2.1\na CNAME b", 4, Reason::CnameAndOther(name("a.example.org"))),
        // RFC 2181 §10.1.
        ("a CNAME b\na CNAME c", 5, Reason::Second(Type::CNAME, name("a.example.org"))),
        // RFC 6672 §2.4.
        ("a DNAME b\na DNAME c", 5, Reason::Second(Type::DNAME, name("a.example.org"))),
        ("a DNAME b\nx.a A 192.0.2.1", 5, Reason::BelowDname(name("x.a.example.org"))),
        ("y.x.a A 192.0.2.1\na DNAME b", 4, Reason::BelowDname(name("y.x.a.example.org"))),
    ];
    for (text, line, reason) in cases {
        let error = parse(&format!("{START}{text}\n")).err().unwrap_or_else(|| panic!("{text}: no error"));
        assert_eq!((error.line, &error.reason), (line, &reason), "{text}");
        assert_eq!(error.file, Path::new("test.zone"));
        assert!(error.to_string().starts_with(&format!("test.zone:{line}: ")), "{error}");
    }
    let label = "l".repeat(64);
    let long = format!("{START}{label} A 192.0.2.1");
    assert_eq!(parse(&long).err().unwrap().reason, Reason::Name(NameParseError::LongLabel));
    let long = format!("{START}{} A 192.0.2.1", ["l"; 124].join("."));
    assert_eq!(parse(&long).err().unwrap().reason, Reason::Name(NameParseError::LongName));
    let long = format!("{START}a TXT {}", "l".repeat(256 * 1024));
    assert!(matches!(parse(&long).err().unwrap().reason, Reason::LongLine(_)));
    let long = format!("{START}a TXT {}", "l ".repeat(40_000));
    assert_eq!(parse(&long).err().unwrap().reason, Reason::LongData);
}

#[test]
fn a_zone_needs_its_soa_and_a_name_server() {
    for (text, line, reason) in [
        ("", 0, Reason::NoSoa),
        ("a A 192.0.2.1", 1, Reason::NoTtl),
        (" A 192.0.2.1", 1, Reason::NoOwner),
        ("@ 1 NS ns", 0, Reason::NoSoa),
        ("@ SOA ns host 1 2 3 4 5", 0, Reason::NoNs),
        ("@ SOA ns host 1 2 3 4 5\na NS ns", 0, Reason::NoNs),
        ("@ SOA ns host 1 2 3 4 5\n@ NS ns\n@ NSEC3PARAM 1 0 151 -", 3, Reason::Iterations(151)),
    ] {
        let error = parse(text).err().unwrap_or_else(|| panic!("{text}"));
        assert_eq!((error.line, error.reason), (line, reason), "{text}");
    }
}

#[test]
fn what_is_there_twice_is_there_once() {
    // RFC 2181 §5; names in data are the same in either case.
    let zone =
        parse(&format!("{START}a A 192.0.2.1\nA A 192.0.2.1\n@ NS NS\nb CNAME c\nb CNAME C\na A 192.0.2.2")).unwrap();
    assert_eq!(zone.record_count(), 5);
    assert_eq!(zone.name_count(), 3);
}

#[test]
fn an_rrset_has_its_lowest_ttl() {
    // RFC 2181 §5.2.
    let found = data("a 60 A 192.0.2.1\na 30 A 192.0.2.2\na 90 A 192.0.2.3", "a.example.org", Type::A);
    assert_eq!(found.iter().map(|(ttl, _)| *ttl).collect::<Vec<_>>(), [30, 30, 30]);
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    let apex = Name::read(b"\x01a\x00").unwrap();
    let limits = Limits { file_octets: 40 };
    let text = "@ 1 SOA ns host 1 2 3 4 5\n@ 1 NS ns\n; more\n";
    let error = Zone::parse(apex, Path::new("f"), text.as_bytes(), limits).err().unwrap();
    assert_eq!((error.line, error.reason), (3, Reason::LargeZone(40)));
}

#[test]
fn files_include_files_of_their_directory_only() {
    let directory = std::env::temp_dir().join(format!("afpa-zone-include-{}", std::process::id()));
    let inner = directory.join("zones/inner");
    std::fs::create_dir_all(&inner).unwrap();
    let write = |path: &str, text: &str| std::fs::write(directory.join(path), text).unwrap();
    write("outside.zone", "a A 192.0.2.1\n");
    write("zones/inner/good.zone", "@ A 192.0.2.1\nb A 192.0.2.2\n$ORIGIN deeper\n$TTL 1\n");
    write("zones/inner/bad.zone", "\nb A x\n");
    write("zones/loop.zone", "$INCLUDE loop.zone\n");
    std::os::unix::fs::symlink(directory.join("outside.zone"), directory.join("zones/link.zone")).unwrap();
    let load = |text: &str| {
        write("zones/main.zone", &format!("{START}{text}\n"));
        let apex: NameBuf = "example.org".parse().unwrap();
        Zone::load(apex.as_name(), &directory.join("zones/main.zone"), Limits::default())
    };
    let zone = load("$INCLUDE inner/good.zone sub ; with an origin\nc A 192.0.2.3\n A 192.0.2.4").unwrap();
    let owners: Vec<_> =
        zone.transfer().filter(|record| record.rtype == Type::A).map(|record| record.owner.to_string()).collect();
    assert_eq!(owners, ["c.example.org.", "c.example.org.", "sub.example.org.", "b.sub.example.org."]);
    assert!(zone.transfer().all(|record| record.ttl == 3600), "what an included file sets ends with it");

    let outside = |path: &str| Reason::IncludeOutside(path.into());
    for (path, reason) in [
        ("../outside.zone", outside("../outside.zone")),
        ("link.zone", outside("link.zone")),
        ("inner", outside("inner")),
        ("missing.zone", Reason::Read(std::io::ErrorKind::NotFound)),
    ] {
        let error = load(&format!("$INCLUDE {path}")).err().unwrap_or_else(|| panic!("{path}"));
        assert_eq!((error.line, error.reason), (4, reason), "{path}");
    }
    let error = load("$INCLUDE inner/bad.zone").err().unwrap();
    assert!(error.file.ends_with("zones/inner/bad.zone"), "{error}");
    assert_eq!(error.line, 2);
    let error = load("$INCLUDE loop.zone").err().unwrap();
    assert_eq!(error.reason, Reason::IncludeLimit);
    let missing = Zone::load(Name::ROOT, &directory.join("none"), Limits::default()).err().unwrap();
    assert_eq!((missing.line, missing.reason), (0, Reason::Read(std::io::ErrorKind::NotFound)));
    std::fs::remove_dir_all(&directory).unwrap();
}
