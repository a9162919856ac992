//! What the fuzzer starts from, and what it has found, as an ordinary test.

use std::fs;
use std::path::Path;

#[test]
fn the_configuration_corpus_keeps_the_promises() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/config");
    let files = fs::read_dir(&corpus).expect("the corpus").map(|file| file.expect("a file").path());
    let count = files.map(|file| afpa_cli::fuzz::config(&fs::read(file).expect("a seed"))).count();
    assert!(count >= 30, "{count} seeds");
}

#[test]
fn the_corpora_of_backends_and_cookies_keep_the_promises() {
    type Target = fn(&[u8]);
    let targets: [(&str, Target); 2] =
        [("check_response", afpa_cli::fuzz::check_response), ("cookie", afpa_balancing::fuzz::cookie)];
    for (name, target) in targets {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
        let files = fs::read_dir(&corpus).expect("the corpus").map(|file| file.expect("a file").path());
        let count = files.map(|file| target(&fs::read(file).expect("a seed"))).count();
        assert!(count >= 6, "{name}: {count} seeds");
    }
}
