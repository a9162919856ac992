//! Records one after another, and the numbers in them.

use afpa_dns::message::{
    Class, Edns, ExtendedError, FormError, Header, Opcode, Rcode, Record, Records, Section, Type, UnknownNumber,
};

fn message(counts: [u16; 4], parts: &[&[u8]]) -> Vec<u8> {
    [&Header { id: 0, flags: 0x8000, counts }.to_octets(), &parts.concat()[..]].concat()
}

const QUESTION: &[u8] = b"\x03www\x07example\0\0\x01\0\x01";
const A: &[u8] = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01";
const OPT: &[u8] = b"\0\0\x29\x04\xd0\x01\0\x80\0\0\0";

fn read(message: &[u8]) -> Vec<Result<Record<'_>, FormError>> {
    Records::of(message).unwrap().collect()
}

#[test]
fn records_are_walked_section_by_section() {
    let message = message([1, 2, 1, 2], &[QUESTION, A, A, A, A, OPT]);
    let mut records = Records::of(&message).unwrap();
    assert_eq!(records.position(), 12 + QUESTION.len());
    let read: Vec<_> = records.by_ref().map(Result::unwrap).collect();
    let sections: Vec<_> = read.iter().map(|record| record.section).collect();
    let expected = [Section::Answer, Section::Answer, Section::Authority, Section::Additional, Section::Additional];
    assert_eq!(sections, expected);
    assert_eq!(records.position(), message.len());
    let first = read[0];
    assert_eq!((first.owner_at, first.rtype, first.class, first.ttl), (29, Type::A, Class::IN, 60));
    assert_eq!((first.ttl_at, first.rdata_at, first.rdata), (35, 41, &[192, 0, 2, 1][..]));
    let edns = Edns::read(&read[4]).unwrap();
    assert_eq!((edns.udp_size, edns.extended_rcode, edns.dnssec_ok), (1232, 1, true));
    assert!(edns.options.is_empty());
    let header = Header { flags: 0x8007, ..Header::default() };
    assert_eq!((edns.rcode(header), header.rcode()), (Rcode::BADCOOKIE, Rcode(7)));
}

#[test]
fn a_lifetime_with_its_top_bit_set_is_none() {
    // RFC 2181 §8.
    for (ttl, lifetime) in [(0, 0), (60, 60), (0x7fff_ffff, 0x7fff_ffff), (0x8000_0000, 0), (u32::MAX, 0)] {
        let record = [&b"\0\0\x01\0\x01"[..], &u32::to_be_bytes(ttl), &[0, 0]].concat();
        let message = message([0, 1, 0, 0], &[&record]);
        let record = read(&message)[0].unwrap();
        assert_eq!((record.ttl, record.lifetime()), (ttl, lifetime));
    }
}

#[test]
fn any_number_of_questions_is_skipped() {
    for count in 0..4 {
        let message = message([count, 1, 0, 0], &[&QUESTION.repeat(usize::from(count)), b"\0", &A[2..]]);
        assert_eq!(read(&message).len(), 1);
    }
    let pointing = message([2, 1, 0, 0], &[QUESTION, b"\xc0\x10\0\x01\0\x01", A]);
    assert_eq!(read(&pointing)[0].map(|record| record.rtype), Ok(Type::A));
}

#[test]
fn what_has_no_header_or_no_question_has_no_records() {
    for (message, error) in [
        (vec![0; 11], FormError::Short),
        (message([1, 0, 0, 0], &[]), FormError::Short),
        (message([1, 0, 0, 0], &[&QUESTION[..QUESTION.len() - 1]]), FormError::Short),
        (message([2, 0, 0, 0], &[QUESTION]), FormError::Short),
        (message([u16::MAX, 0, 0, 0], &[&QUESTION.repeat(100)]), FormError::Short),
        (message([1, 0, 0, 0], &[b"\xc0\x0c\0\x01\0\x01"]), FormError::Pointer),
        (message([1, 0, 0, 0], &[b"\x80\0\x01\0\x01"]), FormError::LabelType),
        (message([1, 0, 0, 0], &[&b"\x01a".repeat(200)]), FormError::LongName),
    ] {
        assert_eq!(Records::of(&message).map(|_| ()), Err(error));
    }
}

#[test]
fn after_an_error_there_is_nothing_more() {
    let long_owner = [&b"\x01a".repeat(130)[..], b"\0", &A[2..]].concat();
    for (bad, error) in [
        (&A[..A.len() - 1], FormError::Short),
        (&A[..11], FormError::Short),
        (b"\xc0", FormError::Short),
        (b"", FormError::Short),
        (b"\x03ab", FormError::Short),
        (&[b"\xc0\xff", &A[2..]].concat(), FormError::Pointer),
        // Where it starts itself.
        (&[b"\xc0\x2d", &A[2..]].concat(), FormError::Pointer),
        (&[b"\x40\x0c", &A[2..]].concat(), FormError::LabelType),
        (&long_owner, FormError::LongName),
    ] {
        let message = message([1, 9, 9, 9], &[QUESTION, A, bad]);
        let read = read(&message);
        assert_eq!(read.len(), 2, "{bad:x?}");
        assert!(read[0].is_ok());
        assert_eq!(read[1], Err(error), "{bad:x?}");
    }
}

#[test]
fn the_largest_counts_cost_what_is_there() {
    let message = message([0, u16::MAX, u16::MAX, u16::MAX], &[&[b"\0", &A[2..]].concat().repeat(3)]);
    assert_eq!(read(&message).len(), 4);
}

#[test]
fn headers_are_read_and_written() {
    let octets = [0x12, 0x34, 0xa5, 0xb3, 0, 1, 0, 2, 0, 3, 0xff, 0xff];
    let header = Header::read(&octets).unwrap();
    assert_eq!((header.id, header.counts), (0x1234, [1, 2, 3, 65_535]));
    assert_eq!((header.opcode(), header.rcode()), (Opcode::NOTIFY, Rcode::NXDOMAIN));
    assert!(header.has(0x8000) && header.has(0x0400) && !header.has(0x0200) && !header.has(0x0500 | 0x0200));
    assert_eq!(header.to_octets(), octets);
    assert_eq!(Header::read(&octets[..11]), None);
}

#[test]
fn numbers_have_mnemonics_and_a_generic_form() {
    for number in 0..=u16::MAX {
        let (rtype, class, error) = (Type(number), Class(number), ExtendedError(number));
        assert_eq!(rtype.to_string().parse(), Ok(rtype));
        assert_eq!(class.to_string().to_lowercase().parse(), Ok(class));
        assert_eq!(error.to_string().parse(), Ok(error));
        // RFC 3597 §5: the generic form of a known number means the same.
        assert_eq!(format!("TYPE{number}").parse(), Ok(rtype));
        assert_eq!(format!("class{number}").parse(), Ok(class));
        assert_eq!(rtype.mnemonic().is_none(), rtype.to_string() == format!("TYPE{number}"));
    }
    assert_eq!((Type::AAAA.to_string(), Type(65_280).to_string()), ("AAAA".to_owned(), "TYPE65280".to_owned()));
    assert_eq!(format!("{:>6}|{:<9}|{:?}", Type::MX, Type(700), Rcode::REFUSED), "    MX|TYPE700  |REFUSED");
    for (text, number, shown) in [
        ("nsec3param", 51, "NSEC3PARAM"),
        ("TYPE65", 65, "HTTPS"),
        ("type65280", 65_280, "TYPE65280"),
        ("TYPE0", 0, "TYPE0"),
        ("hip", 55, "HIP"),
        ("EUI48", 108, "EUI48"),
        ("eui64", 109, "EUI64"),
        ("any", 255, "ANY"),
    ] {
        assert_eq!(text.parse(), Ok(Type(number)));
        assert_eq!(Type(number).to_string(), shown);
    }
    assert_eq!("ch".parse(), Ok(Class::CH));
    assert_eq!("Opcode7".parse(), Ok(Opcode(7)));
    for text in [
        "",
        "AAAAA",
        "MXX",
        "TYPE",
        "TYPE-1",
        "TYPE+1",
        "TYPE65536",
        "TYPE 1",
        "TYPE1 ",
        "1",
        "CLASS1",
        "KIND1",
        "TYPÉ1",
        "É",
    ] {
        assert_eq!(text.parse::<Type>(), Err(UnknownNumber), "{text}");
    }
    assert_eq!("TYPE1".parse::<Class>(), Err(UnknownNumber));
    assert_eq!("OPCODE256".parse::<Opcode>(), Err(UnknownNumber));
}
