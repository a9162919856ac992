//! The EDNS options of an answer.

use std::time::Duration;

use afpa_dns::message::{
    Class, Edns, ExtendedError, Header, NameBuf, OPT_FIXED, Options, Rcode, Record, Records, Section, Type, Writer,
    option,
};
use afpa_dns::protect::{MAX_EXTRA_TEXT, ReplyOptions};
use proptest::prelude::*;

/// Options as a client sends them.
fn asked(options: &[(u16, &[u8])]) -> Vec<u8> {
    let mut octets = Vec::new();
    for (code, data) in options {
        octets.extend_from_slice(&code.to_be_bytes());
        octets.extend_from_slice(&(data.len() as u16).to_be_bytes());
        octets.extend_from_slice(data);
    }
    octets
}

fn read(rdata: &[u8]) -> Options<'_> {
    let record = Record {
        section: Section::Additional,
        owner_at: 0,
        rtype: Type::OPT,
        class: Class(1232),
        ttl: 0,
        ttl_at: 0,
        rdata,
        rdata_at: 0,
    };
    Edns::read(&record).unwrap().options
}

/// What is answered to `query`, as code and data.
fn answered(reply: &ReplyOptions<'_>, query: &[(u16, &[u8])]) -> Vec<(u16, Vec<u8>)> {
    let query = asked(query);
    let mut written = vec![1, 2, 3];
    let reserved = reply.write(read(&query), &mut written);
    assert_eq!(reserved, OPT_FIXED + written.len());
    read(&written).map(|option| (option.code, option.data.to_vec())).collect()
}

fn everything() -> ReplyOptions<'static> {
    ReplyOptions {
        cookie: Some([7; 24]),
        nsid: Some(b"ns1"),
        subnet_scope: Some(20),
        idle_timeout: Some(Duration::from_secs(10)),
        extended_error: Some((ExtendedError::STALE_ANSWER, "old")),
    }
}

#[test]
fn a_client_that_asks_for_nothing_gets_what_needs_no_asking() {
    assert_eq!(
        answered(&everything(), &[]),
        [(option::COOKIE, vec![7; 24]), (option::EXTENDED_ERROR, b"\0\x03old".to_vec())]
    );
    assert_eq!(answered(&ReplyOptions::default(), &[]), []);
}

#[test]
fn a_client_that_asks_for_everything_gets_it() {
    let query: [(u16, &[u8]); 6] = [
        (option::PADDING, &[0; 20]),
        (option::TCP_KEEPALIVE, &[]),
        (option::CLIENT_SUBNET, &[0, 1, 24, 0, 192, 0, 2]),
        (option::NSID, &[]),
        (option::COOKIE, &[1; 8]),
        (65001, b"what nobody knows"),
    ];
    assert_eq!(
        answered(&everything(), &query),
        [
            (option::COOKIE, vec![7; 24]),
            (option::NSID, b"ns1".to_vec()),
            (option::CLIENT_SUBNET, vec![0, 1, 24, 20, 192, 0, 2]),
            (option::TCP_KEEPALIVE, vec![0, 100]),
            (option::EXTENDED_ERROR, b"\0\x03old".to_vec()),
        ]
    );
    assert_eq!(answered(&ReplyOptions::default(), &query), [], "a server that has nothing to say");
}

#[test]
fn a_subnet_of_no_bits_has_a_scope_of_none() {
    let query: [(u16, &[u8]); 1] = [(option::CLIENT_SUBNET, &[0, 2, 0, 0])];
    let reply = ReplyOptions { subnet_scope: Some(24), ..ReplyOptions::default() };
    assert_eq!(answered(&reply, &query), [(option::CLIENT_SUBNET, vec![0, 2, 0, 0])]);
}

#[test]
fn a_timeout_is_told_in_tenths_of_seconds() {
    for (timeout, told) in [
        (Duration::ZERO, [0, 0]),
        (Duration::from_millis(199), [0, 1]),
        (Duration::from_secs(120), [4, 176]),
        (Duration::from_secs(100_000), [255, 255]),
        (Duration::MAX, [255, 255]),
    ] {
        let reply = ReplyOptions { idle_timeout: Some(timeout), ..ReplyOptions::default() };
        assert_eq!(answered(&reply, &[(option::TCP_KEEPALIVE, &[])]), [(option::TCP_KEEPALIVE, told.to_vec())]);
    }
}

#[test]
fn the_reserved_room_is_what_the_record_takes() {
    let name: NameBuf = "www.example.com".parse().unwrap();
    let (mut options, mut message) = (Vec::new(), Vec::new());
    let query = asked(&[(option::NSID, &[])]);
    let reserved = everything().write(read(&query), &mut options);
    // Header, question, and the OPT record: not one octet more.
    let limit = 12 + name.as_name().as_wire().len() + 4 + reserved;
    let mut writer = Writer::new(&mut message, Header::default(), limit);
    writer.reserve(reserved);
    writer.question(name.as_name(), Type::A, Class::IN).unwrap();
    assert!(writer.record(Section::Answer, name.as_name(), Type::A, Class::IN, 1, &[1, 2, 3, 4]).is_err());
    writer.opt(1232, Rcode::NOERROR, false, &options).unwrap();
    writer.finish();
    assert_eq!(message.len(), limit);
    let record = Records::of(&message).unwrap().next().unwrap().unwrap();
    assert_eq!(Edns::read(&record).unwrap().options.as_octets(), options);
}

proptest! {
    #[test]
    fn texts_are_cut_between_characters_and_options_stay_well_formed(
        text in "\\PC{0,200}",
        nsid: Option<Vec<u8>>,
        subnet in prop::collection::vec(any::<u8>(), 4..=20),
        scope: Option<u8>,
        keepalive: Option<u16>,
    ) {
        let reply = ReplyOptions {
            nsid: nsid.as_deref(),
            subnet_scope: scope,
            extended_error: Some((ExtendedError::OTHER, &text)),
            ..everything()
        };
        let keepalive = keepalive.map(u16::to_be_bytes);
        let keepalive = keepalive.as_ref().map_or(&[][..], |octets| &octets[..]);
        let query: [(u16, &[u8]); 3] =
            [(option::CLIENT_SUBNET, &subnet), (option::NSID, &[]), (option::TCP_KEEPALIVE, keepalive)];
        let options = answered(&reply, &query);
        let (code, data) = options.last().unwrap();
        prop_assert_eq!(*code, option::EXTENDED_ERROR);
        let sent = std::str::from_utf8(&data[2..]).unwrap();
        prop_assert!(text.starts_with(sent) && sent.len() <= MAX_EXTRA_TEXT);
        prop_assert!(sent.len() == text.len() || sent.len() > MAX_EXTRA_TEXT - 4);
    }
}
