//! What counts as the answer to a question, and what follows from it.

use afpa_dns::message::{Class, FormError, Header, Name, Opcode, Rcode, Section, Type, Writer, flag, option};
use afpa_dns::upstream::{
    Ask, Attempt, ClientSubnet, Expected, FLOOD, Matched, Mismatch, PoolConfig, Received, SubnetPolicy, Verdict,
    build_query,
};
use afpa_engine::Time;
use proptest::prelude::*;

use crate::support::{attempt, backends, name, pools, seeded};

const NOW: Time = Time(1);
const SERVER_COOKIE: [u8; 16] = [0xc0; 16];

/// A question that was sent, and what its answers are made of.
struct Sent {
    expected: Expected,
    octets: Vec<u8>,
    cookie: Vec<u8>,
}

/// What an answer has that differs from a good one.
struct Answer<'a> {
    header: Header,
    options: Option<Vec<u8>>,
    rcode: Rcode,
    address: &'a [u8],
}

fn send(change: impl FnOnce(&mut Attempt)) -> Sent {
    let config =
        PoolConfig { subnet: SubnetPolicy::Pass { ipv4: 24, ipv6: 56 }, ..PoolConfig::new("p", backends(&[1])) };
    let (pools, pool) = pools(config);
    let mut attempt = attempt(&pools, pool);
    change(&mut attempt);
    let subnet = Some(ClientSubnet::new("192.0.2.7".parse().unwrap(), 24));
    let ask = Ask { subnet, ..Ask::new(name("www.example"), Type::A) };
    let mut octets = Vec::new();
    let expected = build_query(&ask, pools.get(pool).unwrap(), &attempt, NOW, &mut seeded(3), &mut octets).unwrap();
    let octets = octets[if attempt.tcp { 2 } else { 0 }..].to_vec();
    let query = afpa_dns::message::Query::read(&octets).unwrap();
    let cookie = query.edns.and_then(|edns| edns.options.get(option::COOKIE)).unwrap_or_default().to_vec();
    Sent { expected, octets, cookie }
}

impl Sent {
    fn name(&self) -> Name<'_> {
        Name::read(&self.octets[12..]).unwrap()
    }

    fn option(code: u16, data: &[u8]) -> Vec<u8> {
        [&code.to_be_bytes()[..], &(data.len() as u16).to_be_bytes(), data].concat()
    }

    fn cookies(&self) -> Vec<u8> {
        Sent::option(option::COOKIE, &[&self.cookie[..], &SERVER_COOKIE].concat())
    }

    /// A good answer, but for what `change` changes.
    fn answer(&self, change: impl FnOnce(&mut Answer<'_>)) -> Vec<u8> {
        let header = Header { id: self.expected.id(), flags: flag::QR | flag::RD | flag::RA, counts: [0; 4] };
        let mut answer =
            Answer { header, options: Some(self.cookies()), rcode: Rcode::NOERROR, address: &[192, 0, 2, 1] };
        change(&mut answer);
        let mut octets = Vec::new();
        let mut writer = Writer::new(&mut octets, answer.header, 65_535);
        writer.question(self.name(), Type::A, Class::IN).unwrap();
        writer.record(Section::Answer, self.name(), Type::A, Class::IN, 60, answer.address).unwrap();
        match &answer.options {
            Some(options) => writer.opt(1232, answer.rcode, false, options).unwrap(),
            None => writer.header().flags |= answer.rcode.0,
        }
        writer.finish();
        octets
    }

    fn verdict(&self, change: impl FnOnce(&mut Answer<'_>)) -> Result<Verdict, Mismatch> {
        self.expected.matches(&self.answer(change)).map(|matched| matched.verdict)
    }
}

fn udp() -> Sent {
    send(|_| {})
}

fn tcp() -> Sent {
    send(|attempt| attempt.tcp = true)
}

fn plain() -> Sent {
    send(|attempt| attempt.edns = false)
}

#[test]
fn a_good_answer_matches_and_tells_what_it_carries() {
    let sent = udp();
    let subnet = Sent::option(option::CLIENT_SUBNET, &[0, 1, 24, 16, 192, 0, 2]);
    let octets = sent.answer(|answer| answer.options.as_mut().unwrap().extend_from_slice(&subnet));
    let expected = Matched {
        verdict: Verdict::Answer,
        rcode: Rcode::NOERROR,
        server_cookie: Some(&SERVER_COOKIE),
        has_edns: true,
        scope: Some(16),
    };
    assert_eq!(sent.expected.matches(&octets), Ok(expected));
    // Without EDNS, cookies and subnet it is one, too.
    assert_eq!(sent.verdict(|answer| answer.options = None), Ok(Verdict::Answer));
    assert_eq!(plain().verdict(|answer| answer.options = None), Ok(Verdict::Answer));
    assert_eq!(tcp().verdict(|_| {}), Ok(Verdict::Answer));
}

#[test]
fn each_wrong_thing_is_a_mismatch_of_its_own() {
    let sent = udp();
    let good = sent.answer(|_| {});
    let end = 12 + sent.name().as_wire().len();
    let at = |place: usize, octet: u8| {
        let mut octets = good.clone();
        octets[place] = octet;
        octets
    };
    let with_flags = |flags: u16| sent.answer(|answer| answer.header.flags = flags);
    let with_options = |options: Vec<u8>| sent.answer(|answer| answer.options = Some(options));
    let mut wrong_cookie = sent.cookie.clone();
    wrong_cookie[7] ^= 1;
    let swapped = good[13] ^ 0x20;
    let cases = [
        ("nothing", Vec::new(), Mismatch::Malformed(FormError::Short)),
        ("a header's part", good[..11].to_vec(), Mismatch::Malformed(FormError::Short)),
        ("a query", with_flags(flag::RD), Mismatch::NotAResponse),
        ("another ID", at(1, !good[1]), Mismatch::Id),
        ("another opcode", with_flags(flag::QR | u16::from(Opcode::NOTIFY.0) << 11), Mismatch::Opcode),
        ("no question", at(5, 0), Mismatch::Question),
        ("two questions", at(5, 2), Mismatch::Question),
        ("another name", at(13, b'v'), Mismatch::Question),
        ("another type", at(end + 1, 28), Mismatch::Question),
        ("another class", at(end + 3, 3), Mismatch::Question),
        ("another letter case", at(13, swapped), Mismatch::LetterCase),
        ("a compressed question", at(12, 0xc0), Mismatch::Malformed(FormError::Pointer)),
        ("a record's part", good[..good.len() - 1].to_vec(), Mismatch::Malformed(FormError::Short)),
        ("an octet too much", [&good[..], &[0]].concat(), Mismatch::Malformed(FormError::Trailing)),
        ("a record too much", at(7, 2), Mismatch::Malformed(FormError::Opt)),
        (
            "an address too short",
            sent.answer(|answer| answer.address = &[1, 2, 3]),
            Mismatch::Malformed(FormError::Short),
        ),
        (
            "a cookie of wrong length",
            with_options(Sent::option(10, &[1; 9])),
            Mismatch::Malformed(FormError::OptionLength),
        ),
        ("another cookie", with_options(Sent::option(10, &[&wrong_cookie[..], &[1; 8]].concat())), Mismatch::Cookie),
        ("another subnet", with_options(Sent::option(8, &[0, 1, 24, 0, 192, 0, 3])), Mismatch::Subnet),
        ("another family", with_options(Sent::option(8, &[0, 2, 24, 0, 192, 0, 2])), Mismatch::Subnet),
        ("another prefix", with_options(Sent::option(8, &[0, 1, 16, 0, 192, 0])), Mismatch::Subnet),
        ("a subnet that is none", with_options(Sent::option(8, &[0, 1, 24, 0, 192])), Mismatch::Subnet),
    ];
    for (what, octets, mismatch) in cases {
        assert_eq!(sent.expected.matches(&octets), Err(mismatch), "{what}");
    }
}

#[test]
fn an_opt_record_is_one_of_the_root_in_the_additional_section() {
    let sent = plain();
    let records = |counts: [u16; 3], records: &[&[u8]]| {
        let mut octets = sent.octets.clone();
        let header = Header { flags: flag::QR, counts: [1, counts[0], counts[1], counts[2]], id: sent.expected.id() };
        octets[..12].copy_from_slice(&header.to_octets());
        [&octets[..], &records.concat()].concat()
    };
    let opt: &[u8] = &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
    let named = [&[1, b'x'], opt].concat();
    assert!(sent.expected.matches(&records([0, 0, 1], &[opt])).unwrap().has_edns);
    let bad = [
        records([0, 0, 2], &[opt, opt]),
        records([0, 0, 1], &[&named]),
        records([1, 0, 0], &[opt]),
        records([0, 1, 0], &[opt]),
    ];
    for octets in bad {
        assert_eq!(sent.expected.matches(&octets), Err(Mismatch::Malformed(FormError::Opt)), "{octets:?}");
    }
}

#[test]
fn names_in_data_must_decompress_and_end_with_it() {
    let sent = udp();
    let answer = |rtype: Type, data: &[u8]| {
        let counts = [1u16, 1, 0, 0].map(u16::to_be_bytes).concat();
        let start = [&sent.expected.id().to_be_bytes()[..], &[0x80, 0], &counts].concat();
        let question = &sent.octets[12..12 + sent.name().as_wire().len() + 4];
        let record = [&[0xc0, 12][..], &rtype.0.to_be_bytes(), &[0, 1, 0, 0, 0, 60]].concat();
        [&start[..], question, &record, &(data.len() as u16).to_be_bytes(), data].concat()
    };
    // Where the record's data starts.
    let at = (12 + sent.name().as_wire().len() + 4 + 12) as u8;
    let good: [(Type, &[u8]); 6] = [
        (Type::CNAME, &[0xc0, 12]),
        (Type::CNAME, b"\x01a\xc0\x0c"),
        (Type::MX, &[0, 10, 0xc0, 12]),
        (Type::SRV, &[0, 1, 0, 1, 0, 53, 0]),
        (Type::TXT, &[0xff; 3]),
        (Type::SOA, &[&[0xc0, 12, 0][..], &[0; 20]].concat()),
    ];
    for (rtype, data) in good {
        assert_eq!(sent.expected.matches(&answer(rtype, data)).unwrap().verdict, Verdict::Answer, "{rtype} {data:?}");
    }
    let bad: [(Type, &[u8], FormError); 12] = [
        (Type::CNAME, &[], FormError::Short),
        (Type::CNAME, &[0xc0, at], FormError::Pointer),
        (Type::CNAME, &[0xc0, 12, 0], FormError::Trailing),
        (Type::CNAME, b"\x01a", FormError::Short),
        (Type::CNAME, b"\x80", FormError::LabelType),
        (Type::MX, &[0], FormError::Short),
        (Type::MX, &[0, 10], FormError::Short),
        (Type::SOA, &[&[0, 0][..], &[0; 19]].concat(), FormError::Short),
        (Type::AAAA, &[0; 4], FormError::Short),
        (Type::NAPTR, &[0, 1, 0, 1, 9, b'a'], FormError::Short),
        (Type::RRSIG, &[0; 12], FormError::Short),
        (Type::DNAME, b"\x01a\0\0", FormError::Trailing),
    ];
    for (rtype, data, error) in bad {
        let mismatch = Mismatch::Malformed(error);
        assert_eq!(sent.expected.matches(&answer(rtype, data)), Err(mismatch), "{rtype} {data:?}");
    }
}

#[test]
fn codes_have_their_verdicts() {
    let coded = |sent: &Sent, rcode: Rcode| sent.verdict(|answer| answer.rcode = rcode);
    let coded_without_opt =
        |sent: &Sent, rcode: Rcode| sent.verdict(|answer| (answer.rcode, answer.options) = (rcode, None));
    let (udp, plain) = (udp(), plain());
    for rcode in [Rcode::NOERROR, Rcode::NXDOMAIN, Rcode::YXDOMAIN] {
        assert_eq!(coded(&udp, rcode), Ok(Verdict::Answer), "{rcode}");
    }
    for rcode in [Rcode::SERVFAIL, Rcode::REFUSED, Rcode::NOTAUTH] {
        assert_eq!(coded(&udp, rcode), Ok(Verdict::Failed(rcode)));
        assert_eq!(coded_without_opt(&plain, rcode), Ok(Verdict::Failed(rcode)));
    }
    for rcode in [Rcode::FORMERR, Rcode::NOTIMP] {
        assert_eq!(coded_without_opt(&udp, rcode), Ok(Verdict::WithoutEdns));
        // It understands EDNS, or was not sent any: it means the question.
        assert_eq!(coded(&udp, rcode), Ok(Verdict::Failed(rcode)));
        assert_eq!(coded_without_opt(&plain, rcode), Ok(Verdict::Failed(rcode)));
    }
    assert_eq!(coded(&udp, Rcode::BADVERS), Ok(Verdict::WithoutEdns));
    assert_eq!(coded(&udp, Rcode::BADCOOKIE), Ok(Verdict::BadCookie));
    let without_cookie = udp.verdict(|answer| (answer.rcode, answer.options) = (Rcode::BADCOOKIE, Some(Vec::new())));
    assert_eq!(without_cookie, Ok(Verdict::Failed(Rcode::BADCOOKIE)));
}

#[test]
fn a_bare_header_says_that_edns_is_not_understood_if_edns_was_sent() {
    for (rcode, flags) in [(Rcode::FORMERR, 0x8001u16), (Rcode::NOTIMP, 0x8004)] {
        for (sent, verdict) in [(udp(), Ok(Verdict::WithoutEdns)), (plain(), Err(Mismatch::Question))] {
            let header = Header { id: sent.expected.id(), flags, counts: [0; 4] };
            let got = sent.expected.matches(&header.to_octets()).map(|matched| matched.verdict);
            assert_eq!(got, verdict, "{rcode}");
        }
    }
}

#[test]
fn what_is_truncated_goes_over_tcp_whatever_is_left_of_it() {
    let sent = udp();
    let octets = sent.answer(|answer| answer.header.flags |= flag::TC);
    assert_eq!(sent.expected.matches(&octets).unwrap().verdict, Verdict::Truncated);
    assert_eq!(sent.expected.matches(&octets[..octets.len() - 20]).unwrap().verdict, Verdict::Truncated);
    // Over TCP nothing is too long.
    let verdict = tcp().verdict(|answer| answer.header.flags |= flag::TC);
    assert_eq!(verdict, Ok(Verdict::Failed(Rcode::SERVFAIL)));
}

#[test]
fn a_flood_of_mismatches_sends_the_question_over_tcp() {
    let mut sent = udp();
    let good = sent.answer(|_| {});
    let forged = [&[!good[0]], &good[1..]].concat();
    for _ in 1..FLOOD {
        assert_eq!(sent.expected.receive(&forged), Received::Discarded(Mismatch::Id));
    }
    assert_eq!(sent.expected.receive(&forged), Received::AskOverTcp(Mismatch::Id));
    // Over TCP there is nowhere to go.
    let mut sent = tcp();
    for _ in 0..2 * FLOOD {
        assert_eq!(sent.expected.receive(&[]), Received::Discarded(Mismatch::Malformed(FormError::Short)));
    }
}

#[test]
fn a_question_in_another_case_goes_over_tcp_at_once() {
    let mut sent = udp();
    let mut octets = sent.answer(|_| {});
    octets[13] ^= 0x20;
    assert_eq!(sent.expected.receive(&octets), Received::AskOverTcp(Mismatch::LetterCase));
    let mut sent = tcp();
    let mut octets = sent.answer(|_| {});
    octets[13] ^= 0x20;
    assert!(matches!(sent.expected.receive(&octets), Received::Matched(_)));
}

proptest! {
    #[test]
    fn no_octets_make_it_panic(octets in prop::collection::vec(any::<u8>(), 0..200), keep in 0usize..80) {
        let sent = udp();
        let good = sent.answer(|_| {});
        let octets = [&good[..keep.min(good.len())], &octets].concat();
        let _ = sent.expected.matches(&octets);
    }

    #[test]
    fn no_change_of_an_octet_before_the_records_goes_unseen(place in 0usize..29, bit in 0u32..8) {
        let sent = udp();
        let mut octets = sent.answer(|_| {});
        octets[place] ^= 1 << bit;
        // Flags and codes, beside QR and the opcode, are the server's to choose.
        let is_free = place == 2 && bit < 3 || place == 3;
        prop_assert!(is_free || sent.expected.matches(&octets).is_err());
    }
}
