//! What the fuzzer starts from, and what it has found, as an ordinary test.

mod message_support;

use afpa_dns::fuzz;
use message_support::{Random, mutated, mutations, seeds};

#[test]
fn the_corpus_keeps_the_promises() {
    let seeds = seeds();
    assert!(seeds.len() >= 40, "{} seeds", seeds.len());
    seeds.iter().for_each(|seed| fuzz::message(seed));
}

#[test]
fn the_corpus_keeps_the_promises_cut_short_anywhere() {
    for seed in seeds() {
        (0..seed.len()).for_each(|len| fuzz::message(&seed[..len]));
    }
}

#[test]
fn the_corpus_keeps_the_promises_with_octets_changed_at_random() {
    let (seeds, mut random) = (seeds(), Random::new(1));
    for _ in 0..mutations(20_000) {
        fuzz::message(&mutated(&seeds, &mut random));
    }
}
