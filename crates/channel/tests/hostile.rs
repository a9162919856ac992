//! Whatever the other side writes, what is read of it is an error or within bounds.

use std::fs;
use std::path::Path;

use afpa_channel::fuzz;
use afpa_channel::layout::{MAGIC, VERSION, words};
use proptest::prelude::*;

/// What the fuzzer starts from, whole, cut short anywhere, and with octets changed.
fn the_corpus_keeps_the_promises(name: &str, target: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let mut seeds: Vec<Vec<u8>> =
        fs::read_dir(corpus).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap()).collect();
    assert!(seeds.len() >= 6, "{name}: {} seeds", seeds.len());
    for seed in &mut seeds {
        target(seed);
        for at in 0..seed.len().min(64) {
            target(&seed[..at]);
            let kept = seed[at];
            for octet in [0, 0x7f, 0x80, 0xff, kept ^ 1] {
                seed[at] = octet;
                target(seed);
            }
            seed[at] = kept;
        }
    }
}

#[test]
fn the_corpus_of_packets_keeps_the_promises() {
    the_corpus_keeps_the_promises("channel_packet", fuzz::packet);
}

#[test]
fn the_corpus_of_shared_memory_keeps_the_promises() {
    the_corpus_keeps_the_promises("channel_shared", fuzz::shared);
}

proptest! {
    #[test]
    fn any_octets_in_shared_memory_keep_the_promises(octets in prop::collection::vec(any::<u8>(), 0..6000)) {
        fuzz::shared(&octets);
    }

    /// Indexes close to each other, and at the ends of their range.
    #[test]
    fn indexes_of_either_side_keep_the_promises(
        indexes in prop::collection::vec(
            prop_oneof![0..20u32, 4080..4120u32, u32::MAX - 20..=u32::MAX, any::<u32>()], words::SLOT / 4),
    ) {
        let octets: Vec<_> = indexes.iter().flat_map(|index| index.to_le_bytes()).collect();
        fuzz::shared(&octets);
    }

    #[test]
    fn headers_keep_the_promises(
        geometry in prop::collection::vec(prop_oneof![0..66u32, 4095..4098u32, 65504..65570u32, any::<u32>()], 5),
    ) {
        let octets: Vec<_> = [MAGIC, VERSION].iter().chain(&geometry).flat_map(|word| word.to_le_bytes()).collect();
        fuzz::shared(&octets);
    }
}
