//! The fuzz targets, with octets drawn at random.

use afpa_dns::upstream::fuzz;
use afpa_dns::upstream::proxy_protocol::SIGNATURE;
use proptest::prelude::*;

/// Octets of which records are made.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(vec![0xc0, 12]),
        Just(vec![0]),
        Just(vec![1, b'a']),
        Just(vec![0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]),
        Just(vec![0, 5, 0, 1, 0, 0, 0, 60, 0, 2, 0xc0, 12]),
        Just(vec![0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]),
        Just(vec![0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 20, 0, 10, 0, 16]),
        Just(vec![0, 0, 0, 0, 0, 0, 0x55, 0x55, 1, 2, 3, 4, 5, 6, 7, 8]),
        prop::collection::vec(any::<u8>(), 0..8),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn answers_keep_the_promises(start in (any::<u8>(), 0u8..24, 0u8..3, 0u8..3, 0u8..3), rest in pieces()) {
        let (flags, rcode, answers, authorities, others) = start;
        fuzz::answer(&[&[flags, rcode, answers, authorities, others][..], &rest].concat());
    }

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
