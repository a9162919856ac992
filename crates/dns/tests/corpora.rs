//! What the fuzzers of zones, images and backends' answers start from, as an ordinary test: whole, cut short anywhere, and
//! with octets changed.

use std::fs;
use std::path::Path;

use afpa_dns::{cache, upstream, zone};

type Target = (&'static str, fn(&[u8]));

const TARGETS: &[Target] =
    &[("dns_zone", zone::fuzz_zone), ("dns_image", cache::fuzz::image), ("dns_answer", upstream::fuzz::answer)];

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut paths: Vec<_> =
        fs::read_dir(folder).expect("a corpus").map(|entry| entry.expect("a seed").path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a seed")).collect()
}

#[test]
fn the_corpora_keep_the_promises() {
    for (target, run) in TARGETS {
        let seeds = seeds(target);
        assert!(seeds.len() >= 9, "{target} has {} seeds", seeds.len());
        for seed in &seeds {
            run(seed);
            (0..seed.len()).for_each(|len| run(&seed[..len]));
        }
    }
}

#[test]
fn the_corpora_keep_the_promises_with_octets_changed() {
    for (target, run) in TARGETS {
        for mut seed in seeds(target) {
            for at in 0..seed.len() {
                let kept = seed[at];
                for octet in [0, 0x3f, 0x40, 0xc0, 0xff, kept ^ 1, kept ^ 0x80] {
                    seed[at] = octet;
                    run(&seed);
                }
                seed[at] = kept;
            }
        }
    }
}
