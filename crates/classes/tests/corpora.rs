//! What the fuzzers start from, as an ordinary test: whole, cut short anywhere, and with octets changed.

use std::fs;
use std::path::Path;

use afpa_classes::fuzz;

type Target = (&'static str, fn(&[u8]));

const TARGETS: &[Target] = &[("priority", fuzz::priority)];

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    fs::read_dir(folder).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
}

#[test]
fn the_corpora_keep_the_promises() {
    for (target, run) in TARGETS {
        let seeds = seeds(target);
        assert!(seeds.len() >= 9, "{target} has {} seeds", seeds.len());
        for mut seed in seeds {
            (0..=seed.len()).for_each(|len| run(&seed[..len]));
            for at in 0..seed.len() {
                let kept = seed[at];
                for octet in [0, b'"', b'\n', 0xff, kept ^ 1, kept ^ 0x80] {
                    seed[at] = octet;
                    run(&seed);
                }
                seed[at] = kept;
            }
        }
    }
}
