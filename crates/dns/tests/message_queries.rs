//! What is read as a query, and what a server answers instead: clause by clause.

use afpa_dns::message::{Class, FormError, Header, Name, Opcode, Query, Type, Unanswerable, option};

const OPT: u16 = 41;
const NOTIFY: u16 = 4 << 11;

/// `www.example`, in `IN`, of type `qtype`.
fn question(qtype: u16) -> Vec<u8> {
    [b"\x03www\x07example\0", &qtype.to_be_bytes()[..], &[0, 1]].concat()
}

/// A message with these counts of records, and these octets behind its header.
fn message(flags: u16, counts: [u16; 4], parts: &[&[u8]]) -> Vec<u8> {
    [&Header { id: 0x1234, flags, counts }.to_octets(), &parts.concat()[..]].concat()
}

fn query(additional: u16, parts: &[&[u8]]) -> Vec<u8> {
    message(0, [1, 0, 0, additional], &[&[&question(1)[..]], parts].concat())
}

fn record(owner: &[u8], rtype: u16, class: u16, ttl: u32, rdata: &[u8]) -> Vec<u8> {
    let numbers = [&rtype.to_be_bytes()[..], &class.to_be_bytes(), &ttl.to_be_bytes()].concat();
    [owner, &numbers, &(rdata.len() as u16).to_be_bytes(), rdata].concat()
}

fn opt(options: &[&[u8]]) -> Vec<u8> {
    record(b"\0", OPT, 1232, 0, &options.concat())
}

fn edns_option(code: u16, data: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes(), &(data.len() as u16).to_be_bytes(), data].concat()
}

fn cookie(len: usize) -> Vec<u8> {
    edns_option(option::COOKIE, &vec![7; len])
}

fn named(name: &[u8]) -> Vec<u8> {
    message(0, [1, 0, 0, 0], &[name, &[0, 1, 0, 1]])
}

/// A name of `len` octets: three labels of 63, and one of the rest.
fn name_of(len: usize) -> Vec<u8> {
    let long = [&[63][..], &[b'a'; 63]].concat();
    let last = len - 3 * 64 - 2;
    [&long[..], &long, &long, &[last as u8], &vec![b'b'; last], &[0]].concat()
}

fn assert_malformed(cases: &[(&str, FormError, Vec<u8>)]) {
    for (what, error, message) in cases {
        let header = Header::read(message).unwrap();
        assert_eq!(Query::read(message), Err(Unanswerable::Malformed(header, *error)), "{what}");
    }
}

fn assert_read(cases: &[(&str, Vec<u8>)]) {
    for (what, message) in cases {
        assert!(Query::read(message).is_ok(), "{what}: {:?}", Query::read(message));
    }
}

#[test]
fn a_query_is_read_where_it_lies() {
    let message = message(0x0120, [1, 0, 0, 1], &[&question(28), &record(b"\0", OPT, 4096, 0x8000, &cookie(8))]);
    let query = Query::read(&message).unwrap();
    assert_eq!((query.header.id, query.header.opcode()), (0x1234, Opcode::QUERY));
    let question = query.question.unwrap();
    assert_eq!(question.name.to_string(), "www.example.");
    assert_eq!((question.qtype, question.qclass), (Type::AAAA, Class::IN));
    assert_eq!(query.question_end, 12 + 13 + 4);
    let edns = query.edns.unwrap();
    assert_eq!((edns.udp_size, edns.version, edns.extended_rcode), (4096, 0, 0));
    assert_eq!(edns.options.get(option::COOKIE), Some(&[7; 8][..]));
    assert!(query.dnssec_ok() && edns.options.get(option::NSID).is_none());
}

#[test]
fn a_query_with_too_little_or_with_an_answer_in_its_hands_gets_silence() {
    let whole = query(0, &[]);
    for len in 0..12 {
        assert_eq!(Query::read(&whole[..len]), Err(Unanswerable::Silent), "{len} octets");
    }
    // RFC 1035 §4.1.1: QR. Whatever else is wrong with it.
    for response in [message(0x8000, [1, 0, 0, 0], &[&question(1)]), message(0x8000 | 15 << 11, [9; 4], &[])] {
        assert_eq!(Query::read(&response), Err(Unanswerable::Silent));
    }
}

#[test]
fn names_that_cannot_be_read_are_malformed() {
    assert_malformed(&[
        ("no question where one is announced", FormError::Short, message(0, [1, 0, 0, 0], &[])),
        ("no type", FormError::Short, message(0, [1, 0, 0, 0], &[b"\x03www\0"])),
        ("half a class", FormError::Short, message(0, [1, 0, 0, 0], &[b"\x03www\0\0\x01\0"])),
        ("labels to the end", FormError::Short, message(0, [1, 0, 0, 0], &[b"\x03www"])),
        ("a label beyond the end", FormError::Short, message(0, [1, 0, 0, 0], &[b"\x3fwww"])),
        // RFC 1035 §4.1.4: the combinations 10 and 01 are reserved; RFC 6891 §5: so they stay.
        ("label type 01", FormError::LabelType, named(b"\x41\0\0")),
        ("label type 10", FormError::LabelType, named(b"\x81\0\0")),
        // RFC 1035 §4.1.4: a pointer is to a prior name; nothing is prior to the first.
        ("a pointer to itself", FormError::Pointer, named(b"\xc0\x0c")),
        ("a pointer forwards", FormError::Pointer, named(b"\xc0\x20")),
        ("a pointer to the header", FormError::Pointer, named(b"\xc0\x00")),
        ("a pointer to a zero in the header", FormError::Pointer, named(b"\x03www\xc0\x06")),
        ("two pointers at each other", FormError::Pointer, named(b"\xc0\x0e\xc0\x0c")),
        // RFC 1035 §2.3.4.
        ("256 octets", FormError::LongName, named(&name_of(256))),
        ("128 labels", FormError::LongName, named(&[&b"\x01a".repeat(128)[..], b"\0"].concat())),
    ]);
    assert_read(&[
        ("255 octets", named(&name_of(255))),
        ("127 labels", named(&[&b"\x01a".repeat(127)[..], b"\0"].concat())),
        ("the root", named(b"\0")),
        ("octets that are no letters", named(b"\x04\0\xff.\\\0")),
    ]);
}

#[test]
fn there_is_one_question_or_a_cookie() {
    let twice = question(1).repeat(2);
    assert_malformed(&[
        // RFC 9619 §4.
        ("two questions", FormError::Questions, message(0, [2, 0, 0, 0], &[&twice])),
        ("two announced, one there", FormError::Questions, message(0, [2, 0, 0, 0], &[&question(1)])),
        ("65,535 announced", FormError::Questions, message(0, [u16::MAX, 0, 0, 0], &[&question(1)])),
        ("none", FormError::Questions, message(0, [0; 4], &[])),
        ("none, EDNS without a cookie", FormError::Questions, message(0, [0, 0, 0, 1], &[&opt(&[])])),
        // RFC 7873 §5.4 speaks of QUERY only.
        ("NOTIFY of nothing", FormError::Questions, message(NOTIFY, [0, 0, 0, 1], &[&opt(&[&cookie(8)])])),
    ]);
    let about_a_cookie = message(0, [0, 0, 0, 1], &[&opt(&[&cookie(8)])]);
    let query = Query::read(&about_a_cookie).unwrap();
    assert_eq!((query.question, query.question_end), (None, 12));
}

#[test]
fn counts_that_lie_are_malformed() {
    let root_a = record(b"\0", 1, 1, 60, &[192, 0, 2, 1]);
    assert_malformed(&[
        ("an answer announced", FormError::Short, message(0, [1, 1, 0, 0], &[&question(1)])),
        ("65,535 records announced", FormError::Short, message(0, [1, 0, 0, u16::MAX], &[&question(1)])),
        ("two OPT announced", FormError::Short, message(0, [1, 0, 0, 2], &[&question(1), &opt(&[])])),
        ("data beyond the end", FormError::Short, query(1, &[b"\0\0\x29\x04\xd0\0\0\0\0\0\x01"])),
        ("a record cut short", FormError::Short, query(1, &[b"\0\0\x29\x04\xd0\0\0"])),
        (
            "a NOTIFY's answer cut short",
            FormError::Short,
            message(NOTIFY, [1, 1, 0, 0], &[&question(6), &root_a[..14]]),
        ),
    ]);
}

#[test]
fn octets_behind_the_last_record_are_not_looked_at() {
    assert_read(&[
        ("one octet", query(0, &[b"\0"])),
        ("many", query(0, &[&[b'x'; 500]])),
        ("behind OPT", query(1, &[&opt(&[]), b"xyz"])),
        ("an OPT that is not counted", query(0, &[&opt(&[&cookie(9)])])),
    ]);
    let uncounted = query(0, &[&opt(&[])]);
    assert_eq!(Query::read(&uncounted).unwrap().edns, None);
}

#[test]
fn a_query_comes_with_nothing_but_its_opt_and_a_signature() {
    let a = record(b"\xc0\x0c", 1, 1, 60, &[192, 0, 2, 1]);
    let soa = record(b"\xc0\x10", 6, 1, 60, &[0; 22]);
    let tsig = record(b"\x03key\0", 250, 255, 0, &[0; 20]);
    let sig = record(b"\0", 24, 255, 0, &[0; 20]);
    let bare = [&question(251)[..]];
    assert_malformed(&[
        ("an answer", FormError::Records, message(0, [1, 1, 0, 0], &[&question(1), &a])),
        ("an authority", FormError::Records, message(0, [1, 0, 1, 0], &[&question(1), &soa])),
        ("something additional", FormError::Records, query(1, &[&a])),
        ("something before OPT", FormError::Records, query(2, &[&a, &opt(&[])])),
        ("something behind OPT", FormError::Records, query(2, &[&opt(&[]), &a])),
        // RFC 8945 §5.1: TSIG is the last record of the additional section.
        ("something behind TSIG", FormError::Records, query(2, &[&tsig, &opt(&[])])),
        ("two TSIG", FormError::Records, query(2, &[&tsig, &tsig])),
        ("TSIG as an answer", FormError::Records, message(0, [1, 1, 0, 0], &[&question(1), &tsig])),
        ("IXFR with another authority", FormError::Records, message(0, [1, 0, 1, 0], &[bare[0], &a])),
        ("an owner that points forwards", FormError::Pointer, query(1, &[b"\xc0\xff", &tsig[5..]])),
        ("an owner that points to itself", FormError::Pointer, query(1, &[b"\xc0\x1d", &tsig[5..]])),
        (
            "an owner that points to no name",
            FormError::LabelType,
            message(0, [1, 0, 0, 1], &[b"\x01a\0\x41\x41\0\x01\xc0\x0f", &tsig[5..]]),
        ),
    ]);
    assert_read(&[
        ("TSIG", query(2, &[&opt(&[]), &tsig])),
        ("SIG(0)", query(2, &[&opt(&[]), &sig])),
        // RFC 1995 §3.
        ("IXFR with the SOA that the client has", message(0, [1, 0, 1, 0], &[bare[0], &soa])),
        // RFC 1996 §3.7.
        ("NOTIFY with the new SOA", message(NOTIFY, [1, 1, 0, 0], &[&question(6), &soa])),
        ("NOTIFY alone", message(NOTIFY, [1, 0, 0, 0], &[&question(6)])),
    ]);
}

#[test]
fn there_is_one_opt_of_the_root_in_the_additional_section() {
    // RFC 6891 §6.1.1 and §6.1.2.
    let owned = record(b"\xc0\x0c", OPT, 1232, 0, &[]);
    assert_malformed(&[
        ("two", FormError::Opt, query(2, &[&opt(&[]), &opt(&[])])),
        ("a name's", FormError::Opt, query(1, &[&record(b"\x01a\0", OPT, 1232, 0, &[])])),
        ("a pointer's", FormError::Opt, query(1, &[&owned])),
        ("a pointer's to the root", FormError::Opt, query(1, &[&record(b"\xc0\x18", OPT, 1232, 0, &[])])),
        ("as an answer", FormError::Opt, message(0, [1, 1, 0, 0], &[&question(1), &opt(&[])])),
        ("as an authority", FormError::Opt, message(0, [1, 0, 1, 0], &[&question(1), &opt(&[])])),
        ("in a NOTIFY's answer", FormError::Opt, message(NOTIFY, [1, 1, 0, 0], &[&question(6), &opt(&[])])),
    ]);
}

#[test]
fn options_fill_their_record_and_have_possible_lengths() {
    let with = |options: &[&[u8]]| query(1, &[&opt(options)]);
    let mut malformed = vec![
        ("half a code".to_owned(), with(&[&[0]])),
        ("no length".to_owned(), with(&[&[0, 3]])),
        ("half a length".to_owned(), with(&[&[0, 3, 0]])),
        ("data beyond the record".to_owned(), with(&[&[0, 3, 0, 5]])),
        ("the second beyond the record".to_owned(), with(&[&cookie(8), &[0, 3, 0, 1]])),
        ("the largest length".to_owned(), with(&[&[0, 3, 0xff, 0xff, 1]])),
    ];
    // RFC 7873 §5.2.2: a client's cookie has 8 octets, a server's 8 to 32.
    for len in (0..50).filter(|len| *len != 8 && !(16..=40).contains(len)) {
        malformed.push((format!("a cookie of {len}"), with(&[&cookie(len)])));
    }
    // RFC 7871 §6.
    for len in (0..4).chain(21..25) {
        malformed.push((format!("a subnet of {len}"), with(&[&edns_option(option::CLIENT_SUBNET, &vec![0; len])])));
    }
    for (what, message) in malformed {
        assert_malformed(&[(&what, FormError::OptionLength, message)]);
    }
    assert_read(&[
        ("a client's cookie", with(&[&cookie(8)])),
        ("a server's", with(&[&cookie(16)])),
        ("the longest", with(&[&cookie(40)])),
        ("a subnet of no octets", with(&[&edns_option(option::CLIENT_SUBNET, &[0, 1, 0, 0])])),
        // RFC 7828 §3.3.1: over UDP it is to be ignored, as it is.
        ("a keepalive of one octet", with(&[&edns_option(option::TCP_KEEPALIVE, &[1])])),
        ("an unknown option", with(&[&edns_option(65001, &[0; 300])])),
        ("an empty option", with(&[&edns_option(option::NSID, &[])])),
    ]);
    // Of two cookies the first counts.
    let twice = with(&[&edns_option(option::COOKIE, &[1; 8]), &edns_option(option::COOKIE, &[2; 8])]);
    let options = Query::read(&twice).unwrap().edns.unwrap().options;
    assert_eq!((options.get(option::COOKIE), options.count()), (Some(&[1; 8][..]), 2));
}

#[test]
fn a_payload_size_below_512_means_512() {
    // RFC 6891 §6.2.3.
    for (size, meant) in [(0, 512), (511, 512), (512, 512), (513, 513), (65_535, 65_535)] {
        let message = query(1, &[&record(b"\0", OPT, size, 0, &[])]);
        assert_eq!(Query::read(&message).unwrap().edns.unwrap().udp_size, meant);
    }
}

#[test]
fn a_later_version_of_edns_is_told_so_whatever_its_options_are() {
    // RFC 6891 §6.1.3.
    for (version, options) in [(1, vec![]), (255, vec![]), (1, cookie(9)), (1, vec![1, 2, 3])] {
        let message = query(1, &[&record(b"\0", OPT, 1232, version << 16, &options)]);
        let header = Header::read(&message).unwrap();
        assert_eq!(Query::read(&message), Err(Unanswerable::Version(header)), "version {version}");
    }
    // But not without a question: a cookie cannot be seen.
    let nothing = message(0, [0, 0, 0, 1], &[&record(b"\0", OPT, 1232, 1 << 16, &cookie(8))]);
    assert_malformed(&[("version 1, no question", FormError::Questions, nothing)]);
    // Nor in a message that is malformed elsewhere.
    let twice = query(2, &[&record(b"\0", OPT, 1232, 1 << 16, &[]), &opt(&[])]);
    assert_malformed(&[("version 1, and another OPT", FormError::Opt, twice)]);
}

#[test]
fn opcodes_that_are_not_served_are_refused_unread() {
    for opcode in (0..16).filter(|opcode| ![0, 4].contains(opcode)) {
        let cases = [
            message(opcode << 11, [1, 0, 0, 0], &[&question(1)]),
            message(opcode << 11, [0; 4], &[]),
            message(opcode << 11, [9; 4], &[b"\x41"]),
        ];
        for message in cases {
            let header = Header::read(&message).unwrap();
            assert_eq!(Query::read(&message), Err(Unanswerable::Opcode(header)), "opcode {opcode}");
        }
    }
    let notify = message(NOTIFY, [1, 0, 0, 0], &[&question(6)]);
    assert_eq!(Query::read(&notify).unwrap().header.opcode(), Opcode::NOTIFY);
}

#[test]
fn types_classes_and_flags_are_the_callers_business() {
    let asks = |qtype: u16, qclass: u16| {
        let tail = [qtype.to_be_bytes(), qclass.to_be_bytes()].concat();
        message(0, [1, 0, 0, 0], &[b"\x01a\0", &tail])
    };
    for (qtype, qclass) in [(0, 1), (41, 1), (255, 1), (65_535, 1), (1, 0), (1, 3), (1, 254), (1, 255)] {
        let message = asks(qtype, qclass);
        let question = Query::read(&message).unwrap().question.unwrap();
        assert_eq!((question.qtype, question.qclass), (Type(qtype), Class(qclass)));
        assert_eq!(question.name, Name::read(b"\x01A\0").unwrap());
    }
    // AA, TC, RA, Z and a response code mean nothing in a query.
    for flags in [0x0400, 0x0200, 0x0080, 0x0040, 0x0005, 0x07ff] {
        assert_eq!(Query::read(&message(flags, [1, 0, 0, 0], &[&question(1)])).unwrap().header.flags, flags);
    }
}
