//! What the writer writes: to the octet, within its limit, and as it was before if something does not fit.

use afpa_dns::message::{
    Class, Full, Header, Name, NameBuf, NameBuffer, Query, Rcode, Record, Records, Section, Type, Writer,
};
use proptest::prelude::*;

fn name(text: &str) -> NameBuf {
    text.parse().unwrap()
}

fn write(limit: usize, content: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut octets = b"of the message before".to_vec();
    let mut writer = Writer::new(&mut octets, Header { id: 1, flags: 0x8400, counts: [9; 4] }, limit);
    content(&mut writer);
    writer.finish();
    octets
}

fn address(writer: &mut Writer<'_>, owner: &str) -> Result<(), Full> {
    writer.record(Section::Answer, name(owner).as_name(), Type::A, Class::IN, 60, &[192, 0, 2, 1])
}

fn owner(message: &[u8], record: &Record<'_>) -> NameBuf {
    let mut buffer = NameBuffer::default();
    buffer.read(message, record.owner_at).unwrap();
    buffer.as_name().to_owned()
}

#[test]
fn a_response_is_what_the_standard_shows() {
    let (www, ns) = (name("www.example"), name("ns.example"));
    let message = write(512, |writer| {
        assert!(writer.is_empty());
        writer.question(www.as_name(), Type::A, Class::IN).unwrap();
        address(writer, "www.example").unwrap();
        let soa = [ns.as_name().as_wire(), name("admin.example").as_name().as_wire(), &[9; 20]].concat();
        writer.record(Section::Authority, name("example").as_name(), Type::SOA, Class::IN, 3600, &soa).unwrap();
        assert!(!writer.is_empty());
        writer.opt(1232, Rcode::BADCOOKIE, true, &[0, 3, 0, 1, b'x']).unwrap();
    });
    let expected: &[&[u8]] = &[
        // BADCOOKIE is 23: 7 in the header, 1 in OPT.
        &[0, 1, 0x84, 0x07, 0, 1, 0, 1, 0, 1, 0, 1],
        b"\x03www\x07example\0\0\x01\0\x01",
        b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01",
        b"\xc0\x10\0\x06\0\x01\0\0\x0e\x10\0\x21\x02ns\xc0\x10\x05admin\xc0\x10",
        &[9; 20],
        b"\0\0\x29\x04\xd0\x01\0\x80\0\0\x05\0\x03\0\x01x",
    ];
    assert_eq!(message, expected.concat());
}

#[test]
fn names_are_compressed_in_the_data_of_old_types_only() {
    // RFC 3597 §4: of the types of RFC 1035, and no other.
    let target = name("a.example");
    let (wire, short) = (target.as_name().as_wire(), b"\x01a\xc0\x0c");
    let types = [
        (Type::NS, vec![], 1, true),
        (Type::CNAME, vec![], 1, true),
        (Type::PTR, vec![], 1, true),
        (Type::MB, vec![], 1, true),
        (Type::MX, vec![0, 10], 1, true),
        (Type::MINFO, vec![], 2, true),
        (Type::SOA, vec![], 2, true),
        (Type::DNAME, vec![], 1, false),
        (Type::SRV, vec![0, 0, 0, 0, 0, 53], 1, false),
        (Type::RP, vec![], 2, false),
        (Type::KX, vec![0, 10], 1, false),
        (Type::NSEC, vec![], 1, false),
        (Type::SVCB, vec![0, 1], 1, false),
        (Type(65_280), vec![], 1, false),
    ];
    for (rtype, front, names, is_compressed) in types {
        let rdata = [&front[..], &wire.repeat(names)].concat();
        let message = write(512, |writer| {
            let owner = name("example");
            writer.record(Section::Answer, owner.as_name(), rtype, Class::IN, 0, &rdata).unwrap();
        });
        let record = Records::of(&message).unwrap().next().unwrap().unwrap();
        let second: &[u8] = &[0xc0, (record.rdata_at + front.len()) as u8];
        let compressed = [&front[..], short, if names == 2 { second } else { b"" }].concat();
        assert_eq!(record.rdata, if is_compressed { compressed } else { rdata }, "{rtype}");
    }
}

#[test]
fn data_that_is_not_what_its_type_says_is_copied() {
    for (rtype, rdata) in [
        (Type::MX, &b""[..]),
        (Type::MX, b"\0"),
        (Type::MX, b"\0\x0a"),
        (Type::NS, b""),
        (Type::NS, b"\x03ab"),
        (Type::NS, b"\xc0\x0c"),
        (Type::NS, b"\0behind"),
        (Type::SOA, b"\x01a\0\x40"),
        (Type::SOA, b"\0\0"),
    ] {
        let message = write(512, |writer| {
            writer.record(Section::Answer, name("owner").as_name(), rtype, Class::IN, 0, rdata).unwrap();
        });
        assert_eq!(Records::of(&message).unwrap().next().unwrap().unwrap().rdata, rdata, "{rtype} {rdata:?}");
    }
}

#[test]
fn the_letter_case_of_names_survives() {
    // RFC 4343 §4.1: a pointer to another case would change what is said.
    let owners = ["eXample", "a.example", "A.eXample", "a.eXample", "b.A.eXample"];
    let message = write(512, |writer| owners.iter().for_each(|owner| address(writer, owner).unwrap()));
    let read: Vec<_> = Records::of(&message).unwrap().map(|record| owner(&message, &record.unwrap())).collect();
    assert_eq!(read.iter().map(NameBuf::to_string).collect::<Vec<_>>(), owners.map(|owner| format!("{owner}.")));
}

#[test]
fn the_limit_holds_to_the_octet() {
    let content = |limit: usize| {
        let mut fitted = true;
        let message = write(limit, |writer| {
            fitted &= writer.question(name("example").as_name(), Type::A, Class::IN).is_ok();
            fitted &= address(writer, "www.example").is_ok();
            fitted &= writer.opt(1232, Rcode::NOERROR, false, &[]).is_ok();
        });
        (fitted, message)
    };
    let (_, whole) = content(512);
    for limit in 0..whole.len() {
        let (fitted, message) = content(limit);
        assert!(!fitted && message.len() <= limit.max(12), "{limit}");
        assert!(Records::of(&message).unwrap().all(|record| record.is_ok()), "{limit}");
    }
    assert_eq!(content(whole.len()), (true, whole));
}

#[test]
fn no_message_is_longer_than_its_length_can_say() {
    for limit in [65_535, 65_536, usize::MAX] {
        let message = write(limit, |writer| {
            let fill = |writer: &mut Writer<'_>, octets: usize| {
                writer.record(Section::Answer, Name::ROOT, Type::TXT, Class::IN, 0, &vec![0; octets])
            };
            assert_eq!(fill(writer, 65_536), Err(Full));
            assert_eq!(fill(writer, 65_535 - 12 - 10), Err(Full));
            assert_eq!(fill(writer, 65_535 - 12 - 11 - 11), Ok(()));
            assert_eq!(writer.opt(1232, Rcode::NOERROR, false, &[0]), Err(Full));
            assert_eq!(writer.opt(1232, Rcode::NOERROR, false, &vec![0; 65_536]), Err(Full));
            assert_eq!(writer.opt(1232, Rcode::NOERROR, false, &[]), Ok(()));
            assert_eq!(writer.len(), 65_535);
        });
        let mut records = Records::of(&message).unwrap();
        assert_eq!(records.by_ref().filter(|record| record.is_ok()).count(), 2);
        assert_eq!(records.position(), 65_535);
    }
}

#[test]
fn what_does_not_fit_leaves_the_message_as_it_was() {
    let content = |tries_more: bool| {
        write(100, |writer| {
            address(writer, "www.example").unwrap();
            writer.reserve(20);
            if tries_more {
                let rdata = [name("mail.other.example").as_name().as_wire(), &[0; 60]].concat();
                let owner = name("other.example");
                let written = writer.record(Section::Answer, owner.as_name(), Type::NS, Class::IN, 0, &rdata);
                assert_eq!(written, Err(Full));
                assert_eq!(writer.opt(1232, Rcode::BADVERS, true, &[0; 90]), Err(Full));
            }
            // Nothing points to what was taken back, and what was kept free still is.
            assert_eq!(address(writer, "mail.other.example"), Ok(()));
            assert_eq!(address(writer, "x.other.example"), Err(Full));
            writer.opt(1232, Rcode::NOERROR, false, &[0, 3, 0, 5, 1, 2, 3, 4, 5]).unwrap();
        })
    };
    assert_eq!(content(true), content(false));
}

#[test]
fn names_that_did_not_fit_are_not_remembered() {
    let content = |tries: usize| {
        write(200, |writer| {
            for number in 0..tries {
                let owner = name(&format!("a.b.host{number}"));
                let written = writer.record(Section::Answer, owner.as_name(), Type::TXT, Class::IN, 0, &[0; 300]);
                assert_eq!(written, Err(Full));
            }
            (0..5).for_each(|_| address(writer, "www.example").unwrap());
        })
    };
    assert_eq!(content(500), content(0));
}

#[test]
fn what_was_taken_back_leaves_no_trace() {
    // RFC 2181 §9: an RRset goes out whole or not at all.
    let content = |tries: usize| {
        write(512, |writer| {
            writer.question(name("www.example").as_name(), Type::A, Class::IN).unwrap();
            for number in 0..tries {
                let mark = writer.mark();
                address(writer, &format!("a.b.host{number}")).unwrap();
                address(writer, "www.other").unwrap();
                assert_eq!(writer.counts(), [1, 2, 0, 0]);
                writer.rewind(mark);
                assert_eq!(writer.counts(), [1, 0, 0, 0]);
            }
            (0..2).for_each(|_| address(writer, "www.other").unwrap());
        })
    };
    assert_eq!(content(300), content(0));
}

#[test]
fn an_opt_record_fits_where_room_was_kept() {
    for options in [&[][..], &[0, 3, 0, 0], &[0, 12, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]
    {
        for limit in 60..200 {
            let message = write(limit, |writer| {
                writer.reserve(11 + options.len());
                while address(writer, "a.b.c").is_ok() {}
                assert_eq!(writer.opt(512, Rcode::NOERROR, false, options), Ok(()), "{limit}");
            });
            assert!(message.len() <= limit && limit - message.len() < 16 + 5, "{limit}: {}", message.len());
        }
    }
}

#[test]
fn counts_are_kept_by_section() {
    let message = write(512, |writer| {
        let record = |writer: &mut Writer<'_>, section: Section| {
            writer.record(section, Name::ROOT, Type::A, Class::IN, 0, &[0; 4]).unwrap();
        };
        writer.question(Name::ROOT, Type::A, Class::IN).unwrap();
        (0..3).for_each(|_| record(writer, Section::Answer));
        (0..2).for_each(|_| record(writer, Section::Authority));
        record(writer, Section::Additional);
        // TC; and a response code that is not the last word.
        writer.header().flags |= 0x0204;
        writer.opt(1232, Rcode::NXDOMAIN, false, &[]).unwrap();
    });
    let header = Header::read(&message).unwrap();
    assert_eq!(header, Header { id: 1, flags: 0x8603, counts: [1, 3, 2, 2] });
    let sections: Vec<_> = Records::of(&message).unwrap().map(|record| record.unwrap().section).collect();
    assert!(sections.is_sorted() && sections.len() == 7);
}

#[test]
fn nothing_points_beyond_what_a_pointer_can_say() {
    let message = write(65_535, |writer| {
        // Names on both sides of 16,384, each twice.
        let mut at_end = false;
        for number in 0.. {
            for _ in 0..2 {
                let owner = name(&format!("host{number}"));
                at_end |= writer.record(Section::Answer, owner.as_name(), Type::TXT, Class::IN, 0, &[0; 250]).is_err();
            }
            if at_end {
                break;
            }
        }
    });
    assert!(message.len() > 65_000);
    for (at, record) in Records::of(&message).unwrap().enumerate() {
        assert_eq!(owner(&message, &record.unwrap()), name(&format!("host{}", at / 2)));
    }
}

#[test]
fn more_names_than_are_remembered_are_written_out() {
    let message = write(65_535, |writer| {
        for round in 0..2 {
            for number in 0..400 {
                address(writer, &format!("host{number}.zone{}.example", number % 200))
                    .unwrap_or_else(|_| panic!("{round}"));
            }
        }
    });
    let owners: Vec<_> = Records::of(&message).unwrap().map(|record| owner(&message, &record.unwrap())).collect();
    assert_eq!(owners.len(), 800);
    for (at, owner) in owners.iter().enumerate() {
        assert_eq!(*owner, name(&format!("host{}.zone{}.example", at % 400, at % 400 % 200)));
    }
    // The first names were found again, and `example` all the time.
    assert!(message.len() < 12 + 800 * (14 + 8 + 8 + 2));
    assert_eq!(message.windows(7).filter(|octets| *octets == b"example").count(), 1);
}

#[test]
fn a_question_of_ours_is_a_query() {
    let message = write(512, |writer| {
        writer.header().flags = 0x0100;
        writer.question(name("example").as_name(), Type::MX, Class::IN).unwrap();
        writer.opt(1232, Rcode::NOERROR, true, &[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
    });
    let query = Query::read(&message).unwrap();
    assert_eq!((query.question.unwrap().qtype, query.dnssec_ok()), (Type::MX, true));
}

fn any_name() -> impl Strategy<Value = NameBuf> {
    let label = prop::sample::select(vec!["a", "A", "b", "ab", "ns1", "ns2", "example", "com", "*", r"\000\255"]);
    prop::collection::vec(label, 0..6).prop_map(|labels| match labels.len() {
        0 => name("."),
        _ => name(&labels.join(".")),
    })
}

proptest! {
    #[test]
    fn whatever_is_written_is_read_and_no_longer_than_uncompressed(
        owners in prop::collection::vec((any_name(), any_name()), 1..60),
        limit in 12..2000usize,
    ) {
        let (mut kept, mut uncompressed) = (Vec::new(), 12);
        let message = write(limit, |writer| {
            for (owner, target) in &owners {
                let rdata = [&[0, 10], target.as_name().as_wire()].concat();
                let len = writer.len();
                match writer.record(Section::Answer, owner.as_name(), Type::MX, Class::IN, 7, &rdata) {
                    Ok(()) => {
                        kept.push((owner, target));
                        uncompressed += owner.as_name().as_wire().len() + 10 + rdata.len();
                    }
                    Err(Full) => assert_eq!(writer.len(), len),
                }
            }
        });
        prop_assert!(message.len() <= limit.min(uncompressed));
        prop_assert_eq!(usize::from(Header::read(&message).unwrap().counts[1]), kept.len());
        let mut records = Records::of(&message).unwrap();
        for (expected, target) in kept {
            let record = records.next().unwrap().unwrap();
            let mut read = NameBuffer::default();
            prop_assert_eq!(read.read(&message, record.owner_at), Ok(record.ttl_at - 4));
            prop_assert_eq!(read.as_name().as_wire(), expected.as_name().as_wire());
            prop_assert_eq!(read.read(&message, record.rdata_at + 2), Ok(record.rdata_at + record.rdata.len()));
            prop_assert_eq!(read.as_name().as_wire(), target.as_name().as_wire());
        }
        prop_assert!(records.next().is_none() && records.position() == message.len());
    }
}
