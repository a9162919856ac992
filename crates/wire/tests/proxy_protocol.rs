//! PROXY protocol headers: what is written, what is read, and what is not.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use afpa_wire::fuzz;
use afpa_wire::proxy_protocol::{
    Carrier, Endpoints, MAX_HEADER, Parsed, ProxyError, ProxyHeader, SIGNATURE, read, write,
};
use proptest::prelude::*;

fn endpoints(source: &str, destination: &str) -> Endpoints {
    Endpoints { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
}

fn written(endpoints: Option<&Endpoints>, carrier: Carrier) -> Vec<u8> {
    let mut octets = Vec::new();
    write(endpoints, carrier, &mut octets);
    octets
}

/// A header of version 2 with these octets behind the signature.
fn header(version_command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let len = (body.len() as u16).to_be_bytes();
    [&SIGNATURE[..], &[version_command, family], &len, body].concat()
}

#[test]
fn a_header_is_as_the_specification_draws_it() {
    let ends = endpoints("192.0.2.7:4660", "198.51.100.1:53");
    let octets = written(Some(&ends), Carrier::Datagram);
    assert_eq!(octets[..12], *b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a");
    assert_eq!(octets[12..], [0x21, 0x12, 0, 12, 192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x34, 0, 53]);
    assert_eq!(written(None, Carrier::Stream)[12..], [0x20, 0, 0, 0]);
}

#[test]
fn what_is_written_is_read() {
    let cases = [endpoints("192.0.2.7:4660", "198.51.100.1:53"), endpoints("[2001:db8::7]:1", "[2001:db8::1]:65535")];
    for ends in cases {
        for carrier in [Carrier::Stream, Carrier::Datagram] {
            let mut octets = written(Some(&ends), carrier);
            let len = octets.len();
            octets.extend_from_slice(b"query");
            let expected = ProxyHeader { endpoints: Some(ends), carrier: Some(carrier) };
            assert_eq!(read(&octets), Ok(Parsed::Whole(expected, len)));
        }
    }
    // Two families make one.
    let mixed = written(Some(&endpoints("192.0.2.7:9", "[2001:db8::1]:53")), Carrier::Stream);
    let Ok(Parsed::Whole(ProxyHeader { endpoints: Some(ends), .. }, 52)) = read(&mixed) else { panic!("{mixed:?}") };
    assert_eq!(ends.source, "[::ffff:192.0.2.7]:9".parse::<SocketAddr>().unwrap());
}

#[test]
fn the_proxy_may_speak_for_itself_or_not_know() {
    let nobody = ProxyHeader { endpoints: None, carrier: None };
    let cases: &[(Vec<u8>, usize)] = &[
        (header(0x20, 0x00, b""), 16),
        // What LOCAL carries means nothing.
        (header(0x20, 0x11, b"abc"), 19),
        (header(0x21, 0x00, b"abcd"), 20),
        (b"PROXY UNKNOWN\r\n".to_vec(), 15),
        (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), 35),
    ];
    for (octets, len) in cases {
        assert_eq!(read(octets), Ok(Parsed::Whole(nobody, *len)), "{octets:?}");
    }
    // Unix sockets have no address.
    let unix = ProxyHeader { endpoints: None, carrier: Some(Carrier::Stream) };
    assert_eq!(read(&header(0x21, 0x31, &[0; 216])), Ok(Parsed::Whole(unix, 232)));
}

#[test]
fn tlvs_are_passed_over() {
    let ends = endpoints("192.0.2.7:4660", "198.51.100.1:53");
    let body = [&written(Some(&ends), Carrier::Stream)[16..], b"\x04\x00\x02ab\x03\x00\x00"].concat();
    let expected = ProxyHeader { endpoints: Some(ends), carrier: Some(Carrier::Stream) };
    assert_eq!(read(&header(0x21, 0x11, &body)), Ok(Parsed::Whole(expected, 16 + body.len())));
}

#[test]
fn lines_of_version_1_are_read() {
    let cases = [
        ("PROXY TCP4 192.0.2.7 198.51.100.1 4660 53\r\n", "192.0.2.7:4660", "198.51.100.1:53"),
        ("PROXY TCP6 2001:db8::7 2001:db8::1 0 65535\r\n", "[2001:db8::7]:0", "[2001:db8::1]:65535"),
    ];
    for (line, source, destination) in cases {
        let ends = Some(endpoints(source, destination));
        let expected = ProxyHeader { endpoints: ends, carrier: Some(Carrier::Stream) };
        assert_eq!(read([line, "query"].concat().as_bytes()), Ok(Parsed::Whole(expected, line.len())), "{line}");
    }
}

#[test]
fn what_is_no_header_is_refused_and_named() {
    let ipv4 = [192, 0, 2, 7, 198, 51, 100, 1, 0, 1, 0, 53];
    let with = |tlvs: &[u8]| [&ipv4[..], tlvs].concat();
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
    let cases: &[(Vec<u8>, ProxyError)] = &[
        (b"GET / HTTP/1.1\r\n".to_vec(), ProxyError::Signature),
        (b"\r\n\r\n\0\r\nQUIX".to_vec(), ProxyError::Signature),
        (header(0x11, 0x11, &ipv4), ProxyError::Version),
        (header(0x22, 0x11, &ipv4), ProxyError::Command),
        (header(0x21, 0x13, &ipv4), ProxyError::Family),
        (header(0x21, 0x41, &ipv4), ProxyError::Family),
        (header(0x21, 0x11, &ipv4[..11]), ProxyError::Addresses),
        (header(0x21, 0x22, &ipv4), ProxyError::Addresses),
        (header(0x21, 0x31, &[0; 215]), ProxyError::Addresses),
        (header(0x21, 0x11, &with(b"\x04\x00")), ProxyError::Tlv),
        (header(0x21, 0x11, &with(b"\x04\x00\x02a")), ProxyError::Tlv),
        (header(0x21, 0x11, &[0; MAX_HEADER]), ProxyError::TooLong),
        (long.into_bytes(), ProxyError::TooLong),
        (b"PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n".to_vec(), ProxyError::Family),
        (b"PROXY TCP4 192.0.2.7 2001:db8::1 1 2\r\n".to_vec(), ProxyError::Addresses),
        (b"PROXY TCP4 192.0.2.07 198.51.100.1 1 2\r\n".to_vec(), ProxyError::Addresses),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 01 2\r\n".to_vec(), ProxyError::Addresses),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 +1 2\r\n".to_vec(), ProxyError::Addresses),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 1 65536\r\n".to_vec(), ProxyError::Addresses),
        (b"PROXY TCP4  192.0.2.7 198.51.100.1 1 2\r\n".to_vec(), ProxyError::Addresses),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n".to_vec(), ProxyError::Addresses),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2 3\r\n".to_vec(), ProxyError::Addresses),
        (b"PROXY TCP4 \xff 198.51.100.1 1 2\r\n".to_vec(), ProxyError::Addresses),
    ];
    for (octets, error) in cases {
        assert_eq!(read(octets), Err(*error), "{}", octets.escape_ascii());
    }
}

#[test]
fn a_header_that_was_cut_anywhere_is_incomplete() {
    let ends = endpoints("[2001:db8::7]:1", "[2001:db8::1]:2");
    let line = b"PROXY TCP4 192.0.2.7 198.51.100.1 4660 53\r\n".to_vec();
    for octets in [written(Some(&ends), Carrier::Datagram), written(None, Carrier::Stream), line] {
        for len in 0..octets.len() {
            assert_eq!(read(&octets[..len]), Ok(Parsed::Incomplete), "{len} of {}", octets.escape_ascii());
        }
    }
}

proptest! {
    #[test]
    fn no_octets_make_it_panic_and_what_is_consumed_was_there(octets in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(Parsed::Whole(_, len)) = read(&octets) {
            prop_assert!(len <= octets.len());
        }
    }

    #[test]
    fn nor_do_those_that_begin_well(kind in 0usize..2, octets in prop::collection::vec(any::<u8>(), 0..300)) {
        let starts: [&[u8]; 2] = [&SIGNATURE, b"PROXY "];
        let octets = [starts[kind], &octets].concat();
        if let Ok(Parsed::Whole(_, len)) = read(&octets) {
            prop_assert!(len <= octets.len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn proxy_headers_keep_the_promises(
        command in 0x1fu8..0x23,
        family in prop::sample::select(vec![0, 0x10, 0x11, 0x12, 0x21, 0x22, 0x31]),
        len in prop::sample::select(vec![0u8, 11, 12, 15, 19, 36, 40, 216]),
        body in prop::collection::vec(any::<u8>(), 0..230),
        line in "PROXY (TCP4|TCP6|UNKNOWN) ?[0-9a-f.: ]{0,40}\r?\n",
    ) {
        fuzz::proxy_header(&[&SIGNATURE[..], &[command, family, 0, len], &body].concat());
        fuzz::proxy_header(line.as_bytes());
    }
}

#[test]
fn headers_that_are_good_keep_the_promises() {
    for line in ["PROXY TCP4 192.0.2.7 198.51.100.1 4660 53\r\n", "PROXY TCP6 ::1 2001:db8::1 0 1\r\n"] {
        fuzz::proxy_header(line.as_bytes());
    }
    fuzz::proxy_header(&[&SIGNATURE[..], &[0x21, 0x22, 0, 36], &[7; 40]].concat());
    fuzz::proxy_header(&[&SIGNATURE[..], &[0x21, 0x31, 0, 216], &[7; 216]].concat());
}

/// What the fuzzer starts from: whole, cut short anywhere, and with octets changed.
#[test]
fn the_corpus_keeps_the_promises() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/proxy_header");
    let mut seeds: Vec<Vec<u8>> =
        fs::read_dir(corpus).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap()).collect();
    assert!(seeds.len() >= 9, "{} seeds", seeds.len());
    for seed in &mut seeds {
        (0..=seed.len()).for_each(|len| fuzz::proxy_header(&seed[..len]));
        for at in 0..seed.len() {
            let kept = seed[at];
            for octet in [0, 0x3f, 0x40, 0xc0, 0xff, kept ^ 1, kept ^ 0x80] {
                seed[at] = octet;
                fuzz::proxy_header(seed);
            }
            seed[at] = kept;
        }
    }
}
