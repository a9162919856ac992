//! The fuzz targets, with octets drawn at random.

use afpa_dns::upstream::fuzz;
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
}
