//! What the fuzzer is given, and what it found, keeps the promises.

use std::fs;
use std::path::Path;

#[test]
fn the_corpus_keeps_the_promises() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/caching");
    let files = fs::read_dir(&corpus).expect("the corpus").map(|file| file.expect("a file").path());
    let mut count = 0;
    for file in files {
        let data = fs::read(&file).expect("a readable file");
        for end in 0..=data.len() {
            afpa_caching::fuzz::exchange(&data[..end]);
            afpa_caching::fuzz::date(&data[..end]);
        }
        count += 1;
    }
    assert!(count >= 8, "{count} files");
}
