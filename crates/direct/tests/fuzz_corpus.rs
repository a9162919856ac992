//! What the fuzzer starts from, and what it has found, as an ordinary test.

use std::fs;
use std::path::Path;

#[test]
fn the_corpus_of_neighbours_keeps_the_promises() {
    replay("neighbours", afpa_direct::fuzz::neighbours);
}

#[test]
fn the_corpus_of_resolution_keeps_the_promises() {
    replay("resolution", afpa_direct::fuzz::resolution);
}

fn replay(target: &str, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let files = fs::read_dir(&corpus).expect("the corpus").map(|file| file.expect("a file").path());
    let count = files.map(|file| run(&fs::read(file).expect("a seed"))).count();
    assert!(count >= 20, "{count} seeds of {target}");
}
