//! What the fuzzer starts from, and what it has found, as an ordinary test.

use std::fs;
use std::path::Path;

#[test]
fn the_corpus_keeps_the_promises() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/tcp");
    let files = fs::read_dir(&corpus).expect("the corpus").map(|file| file.expect("a file").path());
    let count = files.map(|file| afpa_tcp::fuzz::tcp(&fs::read(file).expect("a seed"))).count();
    assert!(count >= 20, "{count} seeds");
}
